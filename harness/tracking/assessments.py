"""The verdicts on a cell's traces as MLflow assessments: on the trace, in the trace table, in the charts.

``mlflow.genai.evaluate`` writes them, with code scorers that only look up what was judged
already: no model is asked and nothing leaves the machine. It takes time in proportion to the
traces (six writes and reads each: about 20 ms with SQLite, more through a server), so there is
a limit, and the traces that lack most come first.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

import mlflow
import mlflow.genai
import pandas as pd
from mlflow.entities import AssessmentSource, Feedback
from mlflow.genai.scorers import scorer
from mlflow.tracking import MlflowClient

from harness.errors import StoreError
from harness.report.judged import trace_verdicts
from harness.stores.traces import search
from harness.tracking.temporary import environment, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import Trace
    from mlflow.genai.scorers import Scorer

    from harness.report.judged import TraceVerdict
    from harness.results import CompletenessResult

SCORES = ("completeness", "fidelity", "transparent")
ASSESSED_AT_MOST = 2000
"""Traces of one cell that get assessments; the table of differences and the records have all."""

ASSESSED_TAG = "harness.assessed"
_SOURCE = AssessmentSource(source_type="CODE", source_id="llm-tracing-harness")


def assess_traces(uri: str, experiment_id: str, run_id: str, completeness: CompletenessResult) -> None:
    """Write the verdicts onto the traces that are linked to the cell's run.

    Calls without a trace and traces without a call get nothing.

    Raises:
        StoreError: If an assessment is not on its trace afterwards.
    """
    judged = sorted(trace_verdicts(completeness), key=lambda one: (one.transparent is not False, one.completeness))
    verdicts = {verdict.trace_id: verdict for verdict in judged[:ASSESSED_AT_MOST]}
    if not verdicts:
        return
    client = MlflowClient(tracking_uri=uri)
    if len(judged) > len(verdicts):
        told = f"{len(verdicts)} of {len(judged)} traces, those that lack most"
        client.set_tag(run_id, ASSESSED_TAG, told)
    traces = [
        trace
        for trace in search(client, [experiment_id], None, include_spans=True, run_id=run_id)
        if trace.info.trace_id in verdicts
    ]
    if not traces:
        return
    data = pd.DataFrame(
        {
            "trace": traces,
            # Given here, so that MLflow does not parse what a strategy may have stored in its own way.
            "inputs": [{"trace_id": trace.info.trace_id} for trace in traces],
            "outputs": ["" for _ in traces],
        }
    )
    mlflow.set_tracking_uri(uri)
    with _quiet_evaluation(uri), mlflow.start_run(run_id=run_id):
        mlflow.genai.evaluate(data=data, scorers=_scorers(verdicts))
    _check(search(client, [experiment_id], None, include_spans=False, run_id=run_id), verdicts)


def _scorers(verdicts: dict[str, TraceVerdict]) -> list[Scorer]:
    """One code scorer for each score; each looks its verdict up, and says nothing where there is none."""

    @scorer(name="completeness")
    def completeness(trace: Trace) -> Feedback:
        verdict = verdicts[trace.info.trace_id]
        return Feedback(value=verdict.completeness, rationale=verdict.differences, source=_SOURCE)

    @scorer(name="fidelity")
    def fidelity(trace: Trace) -> Feedback | None:
        verdict = verdicts[trace.info.trace_id]
        if verdict.fidelity is None:
            return None
        return Feedback(value=verdict.fidelity, rationale=verdict.wrong, source=_SOURCE)

    @scorer(name="transparent")
    def transparent(trace: Trace) -> Feedback | None:
        verdict = verdicts[trace.info.trace_id]
        if verdict.transparent is None:
            return None
        return Feedback(value=verdict.transparent, rationale=verdict.opaque, source=_SOURCE)

    return [completeness, fidelity, transparent]


def _check(traces: list[Trace], verdicts: dict[str, TraceVerdict]) -> None:
    """MLflow only logs a warning where an assessment could not be written; a hole must not go unseen.

    Raises:
        StoreError: Naming the first trace that lacks one.
    """
    for trace in traces:
        verdict = verdicts.get(trace.info.trace_id)
        if verdict is None:
            continue
        written = {one.name: one.value for one in trace.info.assessments if isinstance(one, Feedback)}
        for name in SCORES:
            value = getattr(verdict, name)
            if value is not None and written.get(name) != value:
                raise StoreError(
                    f"the assessment {name!r} was not written to trace {trace.info.trace_id}; "
                    f"the store holds {written.get(name)!r} instead of {value!r}"
                )


@contextlib.contextmanager
def _quiet_evaluation(uri: str) -> Iterator[None]:
    """Have MLflow evaluate without limits meant for hosted judges, without traces of its own, and silently.

    Its progress bar and its closing words would run into the display of the sweep, and the bar
    leaves a thread behind; the bar is taken out as MLflow does itself where tqdm is not installed.
    Its warnings are of traces without a root span, which are judged anyway.
    """
    settings = {
        "MLFLOW_GENAI_EVAL_PREDICT_RATE_LIMIT": "0",
        "MLFLOW_GENAI_EVAL_SCORER_RATE_LIMIT": "0",
        "MLFLOW_GENAI_EVAL_ENABLE_SCORER_TRACING": "false",
        "MLFLOW_GENAI_EVAL_MAX_SCORER_WORKERS": "1",
        # SQLite has one writer; a server takes several requests at a time.
        "MLFLOW_GENAI_EVAL_MAX_WORKERS": "1" if uri.startswith("sqlite:") else "4",
    }
    with warnings.catch_warnings():
        # Type hints of MLflow's own models are loose, and it says so when it is imported.
        warnings.simplefilter("ignore")
        # Seconds of imports that only a cell with traces needs.
        from mlflow.genai.evaluation import base, harness  # noqa: PLC0415 - see above
    logger = logging.getLogger("mlflow.genai")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            environment(settings),
            replaced(harness, "tqdm", None),
            replaced(base, "display_evaluation_output", _say_nothing),
        ):
            yield
    finally:
        logger.setLevel(level)


def _say_nothing(run_id: str) -> None:
    """The run's place is told once, at the end of the sweep."""
