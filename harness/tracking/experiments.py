"""What an experiment of ours says of itself in MLflow: which kind it is, and where a newcomer finds what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.tracking.cells import NOTE_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND_TAG = "mlflow.experimentKind"
KIND = "genai_development"
"""Of the values that MLflow's UI knows (it has no constant in Python) the one of applications that call models."""

NOTE = """\
Open the latest run named **sweep ...**: its description has the verdict, its artifact `report.html` the whole report.

1. **Sweeps.** Each is one comparison of tracing strategies. Links at the end of its description lead to what follows.
2. **Cells.** Below a sweep stands one run for each provider and strategy. Choose some and press *Compare*: parallel
   coordinates, scatter and box plots of `completeness.recall`, `overhead.p50_ms` and the others; group by the
   parameters `provider` and `tracing` or by the tags `harness.strategy` and `harness.verdict`. `block.*` are latencies
   block by block, as lines.
3. **Tables.** In the evaluation view choose `facts.json` and group by `fact`: what each strategy records, side by side.
4. **Traces.** The assessments `completeness`, `fidelity` and `transparent` say what a trace lacks, with the wire's
   value in the rationale. Filter by the metadata `harness.sweep_id`, `harness.strategy` and `harness.sample`:
   one sample under each strategy, side by side. Scripts find the same as tags.

In the sidebar, *Model training* lists the runs, and *GenAI* the traces and the evaluation runs.
"""


def missing_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """What an experiment's tags lack; what stands there is a person's and stays, even if it is empty."""
    return {key: value for key, value in {KIND_TAG: KIND, NOTE_TAG: NOTE}.items() if key not in tags}
