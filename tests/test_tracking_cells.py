from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from mlflow.entities import Feedback

from harness.errors import StoreError
from harness.records import CellRecord, CellRecords, Loss, Machine, NotApplicable
from harness.results import CellResult, CompletenessResult, Judgement, TransparencyFinding, Verdict
from harness.stores.traces import stored_trace
from harness.tracking import DIFFERENCES_FILE, Store, assessments, cell_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import Trace

    from harness.records import StoredTrace

MACHINE = Machine(hostname="h", cpu_model="c", cpu_count=2, memory_bytes=1, kernel="k", python="3.11", load_1min=0.0)


def cell_record(**changes: Any) -> CellRecord:
    """A cell that went well."""
    values: dict[str, Any] = {
        "cell_id": "c1",
        "sweep_id": "s1",
        "provider": "openai",
        "backend": "openai",
        "prompts": "chat",
        "tracing": "autolog",
        "style": "",
        "endpoint": "simulator",
        "measure": "quick",
        "seed": 1,
        "strategy_source": "",
        "expects_traces": True,
        "config": {},
        "versions": {},
        "machine": MACHINE,
        "prompt_set_digest": "ab" * 32,
        "sample_count": 3,
        "started_unix_ns": 0,
        "ended_unix_ns": 1,
        "status": "ok",
    }
    return CellRecord(**(values | changes))


def judgement(call: int, fact: str, verdict: Verdict, trace_id: str | None, **changes: Any) -> Judgement:
    """One judgement of a call."""
    values: dict[str, Any] = {
        "call_id": f"c1/completeness/0/strategy/{call}/s{call}/0",
        "sample_id": f"s{call}",
        "scenario": "tool turn",
        "fact": fact,
        "convention": "mlflow",
        "verdict": verdict,
        "wire": "length",
        "traced": None if verdict == "missing" else "stop" if verdict == "wrong" else "length",
        "place": f"span.attributes[{fact}]",
        "trace_id": trace_id,
    }
    return Judgement(**(values | changes))


def completeness(judgements: tuple[Judgement, ...], **changes: Any) -> CompletenessResult:
    """A result with these judgements."""
    values: dict[str, Any] = {
        "calls": 3,
        "traces_expected": 3,
        "traces_stored": 2,
        "traces_lost": 1,
        "traces_duplicated": 0,
        "traces_orphaned": 1,
        "recall": 0.5,
        "otel_recall": None,
        "fidelity": 0.75,
        "reasons": {},
        "facts": (),
        "judgements": judgements,
    }
    return CompletenessResult(**(values | changes))


def result_of(found: CompletenessResult | None, **changes: Any) -> CellResult:
    """A cell's result without timing."""
    return CellResult(cell=cell_record(), run_id="r", completeness=found, overhead=None, **changes)


# In a process of its own, as a strategy is: MLflow's tracing keeps threads and state for the life of a process.
MAKE_TRACES = """
import sys
import mlflow

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment(sys.argv[2])
for number in range(3):
    with mlflow.start_span(f"call {number}", span_type="CHAT_MODEL") as span:
        span.set_inputs({"messages": [{"role": "user", "content": f"question {number}"}]})
        with mlflow.start_span("inner") as inner:
            inner.set_outputs("text")
        span.set_outputs({"choices": [{"message": {"content": f"answer {number}"}}]})
mlflow.flush_trace_async_logging()
"""
EXPERIMENT = "assessed"


class Traced:
    """A store with three traces, and a run for the cell they are of."""

    def __init__(self, uri: str) -> None:
        self.store = Store(uri, EXPERIMENT)
        self.run_id = self.store.start_run("cell", {})
        found = sorted(self.search(), key=lambda trace: trace.info.timestamp_ms)
        self.ids = [trace.info.trace_id for trace in found]
        self.traces: tuple[StoredTrace, ...] = tuple(stored_trace(trace) for trace in found)

    def search(self) -> list[Trace]:
        """All traces of the experiment."""
        return list(self.store.client.search_traces(locations=[self.store.experiment_id]))

    def log(self, found: CompletenessResult) -> None:
        """Write the cell."""
        result = result_of(found)
        self.store.log_cell(self.run_id, result, CellRecords(result.cell, (), (), self.traces, (), ()), None)

    def assessed(self, number: int) -> dict[str, Feedback]:
        """The assessments of one trace, by name."""
        trace = self.store.client.get_trace(self.ids[number])
        return {one.name: one for one in trace.info.assessments if isinstance(one, Feedback)}

    def judged(self) -> tuple[Judgement, ...]:
        """Two calls with a trace, one without; the third trace is of no call."""
        first, second = self.ids[:2]
        return (
            judgement(0, "response.finish_reason", "wrong", first),
            judgement(0, "usage.input_tokens", "missing", first, wire=27),
            judgement(0, "response.id", "elsewhere", first, wire="r-1"),
            judgement(0, "response.content", "recorded", first),
            judgement(0, "response.content", "missing", first, convention="otel", level="opt_in"),
            judgement(1, "response.content", "recorded", second),
            judgement(2, "response.content", "missing", None),
            judgement(2, "response.id", "missing", None),
        )


@pytest.fixture(scope="session")
def store_with_traces(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three real traces, to be copied."""
    folder = tmp_path_factory.mktemp("traced")
    path = folder / "mlflow.db"
    shutil.copyfile(migrated_store, path)
    Store(f"sqlite:///{path}", EXPERIMENT)
    command = [sys.executable, "-c", MAKE_TRACES, f"sqlite:///{path}", EXPERIMENT]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return path


@pytest.fixture
def traced(store_with_traces: Path, tmp_path: Path) -> Iterator[Traced]:
    """Three real traces in a store of the test's own."""
    before = mlflow.get_tracking_uri()
    path = tmp_path / "mlflow.db"
    shutil.copyfile(store_with_traces, path)
    yield Traced(f"sqlite:///{path}")
    mlflow.set_tracking_uri(before)


def test_verdicts_stand_on_the_traces(traced: Traced) -> None:
    """Each judged trace has its completeness and fidelity, with what is missing in the rationale."""
    traced.log(completeness(traced.judged()))
    scores = traced.assessed(0)
    assert scores["completeness"].value == pytest.approx(1 / 4)
    assert scores["fidelity"].value == pytest.approx(1 - 1 / 3, abs=1e-4)
    rationale = scores["completeness"].rationale or ""
    for told in ("1 of 4 facts", "missing `usage.input_tokens`: the wire shows `27`", "wrong", "elsewhere"):
        assert told in rationale
    assert 'the wire shows `"length"`, the trace `"stop"`' in (scores["fidelity"].rationale or "")
    assert scores["completeness"].source.source_type == "CODE"
    assert traced.assessed(1)["completeness"].value == 1.0


def test_trace_without_a_call_gets_no_verdict(traced: Traced) -> None:
    """What belongs to no call was not judged, and nothing is written on it."""
    traced.log(completeness(traced.judged()))
    assert traced.assessed(2) == {}


def test_transparency_is_a_verdict_of_its_own(traced: Traced) -> None:
    """A difference makes the trace opaque; where all calls were compared the others are transparent."""
    finding = TransparencyFinding(
        call_id="c1/completeness/0/strategy/0/s0/0",
        sample_id="s0",
        aspect="exception",
        without="TimeoutError",
        with_tracing=None,
        trace_id=traced.ids[0],
    )
    traced.log(completeness(traced.judged(), transparency=(finding,), transparency_compared=3))
    opaque = traced.assessed(0)["transparent"]
    assert opaque.value is False
    assert "TimeoutError" in (opaque.rationale or "")
    assert traced.assessed(1)["transparent"].value is True


def test_no_trace_is_cleared_without_comparison(traced: Traced) -> None:
    """Where only some calls were compared, nothing says of a trace that its call was one of them."""
    traced.log(completeness(traced.judged(), transparency_compared=1))
    assert "transparent" not in traced.assessed(1)


def test_traces_that_lack_most_are_assessed_first(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a trace has no assessment, and the run says how many have."""
    monkeypatch.setattr(assessments, "ASSESSED_AT_MOST", 1)
    traced.log(completeness(traced.judged()))
    assert "completeness" in traced.assessed(0)
    assert traced.assessed(1) == {}
    tags = traced.store.client.get_run(traced.run_id).data.tags
    assert tags[assessments.ASSESSED_TAG] == "1 of 2 traces, those that lack most"


def test_assessing_adds_no_trace_run_or_thread(traced: Traced, capfd: pytest.CaptureFixture[str]) -> None:
    """MLflow's evaluation uses the cell's run, leaves the experiment's traces as they were, and is silent."""
    before = {thread.ident for thread in threading.enumerate()}
    traced.log(completeness(traced.judged()))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [thread.name for thread in threading.enumerate() if thread.ident not in before]
        if not left:
            break
        time.sleep(0.05)
    assert left == []
    assert sorted(trace.info.trace_id for trace in traced.search()) == sorted(traced.ids)
    runs = traced.store.client.search_runs([traced.store.experiment_id])
    assert [run.info.run_id for run in runs] == [traced.run_id]
    assert runs[0].data.metrics["completeness/mean"] == pytest.approx((1 / 4 + 1) / 2)
    assert capfd.readouterr() == ("", "")


def test_assessment_that_is_not_there_is_an_error(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow goes on after a failed write with a warning; here it ends the writing, with the trace named."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(mlflow, "log_assessment", refuse)
    with pytest.raises(StoreError, match=r"'completeness' was not written to trace tr-"):
        traced.log(completeness(traced.judged()))


def test_run_shows_the_judged_traces(traced: Traced) -> None:
    """The traces are found from the cell's run."""
    traced.log(completeness(traced.judged()))
    linked = traced.store.client.search_traces(locations=[traced.store.experiment_id], run_id=traced.run_id)
    assert {trace.info.trace_id for trace in linked} == set(traced.ids)


def test_table_holds_every_difference(traced: Traced, tmp_path: Path) -> None:
    """The artifact has one row a difference with the trace's id, gravest first, and one for a lost call."""
    traced.log(completeness(traced.judged()))
    path = traced.store.client.download_artifacts(traced.run_id, DIFFERENCES_FILE, str(tmp_path))
    table = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["verdict"] for row in rows] == ["lost", "wrong", "missing", "elsewhere", "missing"]
    assert rows[0]["sample"] == "s2"
    assert rows[1]["trace_id"] == traced.ids[0]
    assert (rows[1]["wire_value"], rows[1]["traced_value"]) == ('"length"', '"stop"')
    assert [row["convention"] for row in rows] == ["", "mlflow", "mlflow", "mlflow", "otel"]
    tag = traced.store.client.get_run(traced.run_id).data.tags["mlflow.loggedArtifacts"]
    assert json.loads(tag) == [{"path": DIFFERENCES_FILE, "type": "table"}]


def test_cell_without_differences_has_no_table(traced: Traced) -> None:
    """An empty table would say less than none."""
    traced.log(completeness((judgement(1, "response.content", "recorded", traced.ids[1]),)))
    files = [file.path for file in traced.store.client.list_artifacts(traced.run_id)]
    assert files == ["records"]


def test_metrics_name_recall_by_level_and_transparency() -> None:
    """OpenTelemetry's recall by level and the number of transparency differences are metrics of the cell."""
    found = completeness((), otel_recall_by_level={"required": 0.5}, transparency_compared=3)
    metrics = cell_metrics(result_of(found))
    assert metrics["completeness.otel_recall.required"] == 0.5
    assert metrics["transparency.differences"] == 0.0
    assert metrics["traces.orphaned"] == 1.0


def test_what_was_not_compared_is_no_metric() -> None:
    """No comparison is not the same as no difference."""
    metrics = cell_metrics(result_of(completeness(())))
    assert not any(name.startswith(("transparency.", "completeness.otel_recall")) for name in metrics)


def test_losses_are_metrics_by_ending() -> None:
    """Each way in which a process was ended has its traces expected, stored, stored by half and lost."""
    loss = Loss(ending="os._exit", calls=10, expected_traces=10, stored_traces=4, complete_traces=3, exit_status=0)
    metrics = cell_metrics(result_of(None, losses=(loss,)))
    assert metrics == {
        "losses.os._exit.expected": 10.0,
        "losses.os._exit.stored": 4.0,
        "losses.os._exit.incomplete": 1.0,
        "losses.os._exit.lost": 6.0,
    }


def test_metric_names_suit_the_store(traced: Traced) -> None:
    """Endings have dots and underscores in their names, which the store takes."""
    loss = Loss(ending="os._exit", calls=1, expected_traces=1, stored_traces=0, complete_traces=0, exit_status=0)
    traced.store.log_metrics(traced.run_id, cell_metrics(result_of(None, losses=(loss,))))
    assert traced.store.client.get_run(traced.run_id).data.metrics["losses.os._exit.lost"] == 1.0


def test_not_applicable_cell_is_written(traced: Traced) -> None:
    """A cell that its provider cannot run has a run that says so, and why."""
    record = cell_record(
        status="not applicable",
        reason="the SDK has no embeddings",
        not_applicable=(NotApplicable(sample_id="s0", scenario="embeddings", reason="no embeddings"),),
    )
    result = CellResult(cell=record, run_id=traced.run_id, completeness=None, overhead=None)
    traced.store.log_cell(traced.run_id, result, CellRecords(record, (), (), (), (), ()), None)
    tags = traced.store.client.get_run(traced.run_id).data.tags
    assert (tags["harness.status"], tags["harness.reason"]) == ("not applicable", "the SDK has no embeddings")
