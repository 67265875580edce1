"""Places in MLflow's UI to look at a sweep's cells and traces, as links that hold wherever the UI is served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.tracking.cells import PARENT_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.results import SweepResult

NOTE_LIMIT = 8000
"""Characters of a tag's value that MLflow takes; a run's description is one."""

RUNS_NAVIGATION = "workflowType=machine_learning"
"""Has the UI list runs in its sidebar; by itself it lists what belongs to traces alone."""

COMPARED_AT_MOST = 10
"""Cells that MLflow's page for a comparison can still show side by side."""


def with_links(note: str, sweep: SweepResult, experiment_id: str, run_id: str) -> str:
    """A sweep's description with a line of links at its end, as many as there is room for.

    A link leads nowhere that is empty: one cell cannot be compared, and an untraced one has no traces.

    Args:
        note: What was found, in Markdown.
        sweep: The sweep.
        experiment_id: Of its experiment.
        run_id: Of its run.
    """
    line = "\n**Look closer:**"
    joint = " "
    for words, address in _links(sweep, experiment_id, run_id):
        more = f"{joint}[{words}]({address})"
        if len(note) + len(line) + len(more) + 1 > NOTE_LIMIT:
            break
        line += more
        joint = " · "
    return f"{note}{line}\n" if joint != " " else note


def _links(sweep: SweepResult, experiment_id: str, run_id: str) -> Iterator[tuple[str, str]]:
    """Words and address of each link, the most useful first."""
    place = f"#/experiments/{experiment_id}"
    yield "the whole report", f"{place}/runs/{run_id}/artifacts/report.html"
    runs = [cell.run_id for cell in sweep.cells if cell.run_id is not None]
    if runs:
        children = quote(f"tags.`{PARENT_TAG}` = '{run_id}'", safe="")
        # In any other order than that of time cells stand by themselves, not folded up under the sweep.
        order = f"orderByKey={quote('metrics.`completeness.recall`', safe='')}&orderByAsc=false"
        cells = f"{place}/runs?searchFilter={children}&{order}&{RUNS_NAVIGATION}"
        yield "the cells in charts", f"{cells}&compareRunsMode=CHART"
        yield "their tables", f"{cells}&compareRunsMode=ARTIFACT"
    if any(row.trace_id is not None for cell in sweep.cells for row in cell.rows):
        yield "the traces", f"{place}/traces?startTimeLabel=ALL"
    if 1 < len(runs) <= COMPARED_AT_MOST:
        experiments = quote(json.dumps([experiment_id]), safe="")
        listed = quote(json.dumps(runs, separators=(",", ":")), safe="")
        # MLflow reads the first parameter of this page by its place.
        yield "the cells side by side", f"#/compare-runs?runs={listed}&experiments={experiments}"
