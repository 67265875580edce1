"""Levels as a person times them: real SDKs, real workers, an MLflow server and a collector of the arm's own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness.cli.compose import compose_cells
from harness.cli.levels import batches_of
from harness.collector.process import Collector
from harness.errors import StoreError
from harness.experiment.destinations import DESTINATIONS
from harness.processes import python_module
from harness.records import CellRecords, read_cell
from harness.server.process import MlflowServer
from harness.server.settings import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

TINY = (
    "prompts=short",
    "prompts.limit=2",
    "measure.forks=1",
    "measure.max_forks=1",
    "measure.blocks=2",
    "measure.calls_per_block=3",
    "measure.warmup_calls=3",
    "measure.period_ms=20",
)
TRACES = 3 + 3 + 2 * 3
"""Of one arm: priming, warm-up, two blocks of three calls."""


class Sweep(NamedTuple):
    """What a finished command line left."""

    done: subprocess.CompletedProcess[str]
    client: MlflowClient
    parents: list[Run]
    cells: list[Run]

    def artifact(self, run: Run, name: str) -> Path:
        return Path(self.client.download_artifacts(run.info.run_id, name))

    def records(self) -> list[CellRecords]:
        return [read_cell(self.artifact(run, "records")) for run in self.cells]


def run(folder: Path, *arguments: str) -> Sweep:
    """Run the command line and read what it left."""
    from mlflow.tracking import MlflowClient

    done = subprocess.run(
        python_module("harness", *arguments),
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tracing-harness")
    assert experiment is not None, done.stderr
    runs = list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))
    parents = [run for run in runs if run.data.tags.get("harness.kind") == "sweep"]
    return Sweep(done, client, parents, [run for run in runs if run.data.tags.get("harness.kind") == "cell"])


@pytest.fixture(scope="module")
def all_levels(tmp_path_factory: pytest.TempPathFactory, begin_store: Callable[[Path], None]) -> Sweep:
    """All steps of autolog into a collector, and the whole."""
    folder = tmp_path_factory.mktemp("levels")
    begin_store(folder)
    return run(folder, "levels", "provider=openai", "tracing=autolog", "--into", "collector", *TINY)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, begin_store: Callable[[Path], None]) -> Sweep:
    """Manual tracing into a server of its own, synchronously, against the same strategy that drops its spans."""
    folder = tmp_path_factory.mktemp("served")
    begin_store(folder)
    to = ("tracing.into=server", "tracing.against=dropped", "tracing.export.asynchronous=false")
    return run(folder, "provider=openai", "tracing=manual", *to, *TINY)


@pytest.mark.calibration  # the whole command: more than a minute
@pytest.mark.timeout(600)
def test_one_command_times_every_step_and_the_whole(all_levels: Sweep) -> None:
    """The cells are the floor, each adjacent pair, and the whole, all of one parent run; every one ended well."""
    assert all_levels.done.returncode == 0, all_levels.done.stderr
    (parent,) = all_levels.parents
    assert {run.data.tags["mlflow.parentRunId"] for run in all_levels.cells} == {parent.info.run_id}
    cells = [
        (record.cell.tracing, record.cell.against, record.cell.level, record.cell.into)
        for record in all_levels.records()
    ]
    assert cells == [
        ("none", "untraced", "exported", "sqlite"),
        ("autolog", "untraced", "disabled", "sqlite"),
        ("autolog", "disabled", "sampled_out", "sqlite"),
        ("autolog", "sampled_out", "dropped", "sqlite"),
        ("autolog", "dropped", "exported", "collector"),
        ("autolog", "untraced", "exported", "collector"),
    ]


@pytest.mark.calibration  # the whole command: more than a minute
@pytest.mark.timeout(600)
def test_labels_say_what_is_not_as_usual(all_levels: Sweep) -> None:
    """Runs are named by level, baseline and destination, which are params, too."""
    assert [run.info.run_name for run in all_levels.cells] == [
        "openai / none",
        "openai / autolog [level=disabled]",
        "openai / autolog [level=sampled_out, against=disabled]",
        "openai / autolog [level=dropped, against=sampled_out]",
        "openai / autolog [against=dropped, into=collector]",
        "openai / autolog [into=collector]",
    ]
    assert [record.cell.label for record in all_levels.records()] == [run.info.run_name for run in all_levels.cells]
    assert all_levels.cells[2].data.params["tracing.against"] == "disabled"


@pytest.mark.calibration  # the whole command: more than a minute
@pytest.mark.timeout(600)
def test_only_exported_cells_leave_traces(all_levels: Sweep) -> None:
    """Below, completeness and timing expect no trace, none is stored, and none counts as lost."""
    for run, records in zip(all_levels.cells, all_levels.records(), strict=True):
        exported = records.cell.level == "exported" and records.cell.tracing != "none"
        metrics = run.data.metrics
        assert metrics["traces.lost"] == metrics["traces.orphaned"] == metrics["overhead.traces_lost"] == 0
        assert metrics["traces.expected"] == metrics["traces.stored"] == (2 if exported else 0)
        arms = {arm.arm: (arm.expected_traces, arm.stored_traces) for arm in records.arms}
        assert arms == {"strategy": (TRACES, TRACES) if exported else (0, 0), "baseline": (0, 0)}


@pytest.mark.calibration  # the whole command: more than a minute
@pytest.mark.timeout(600)
def test_a_baseline_that_traces_imports_mlflow_and_an_untraced_one_does_not(all_levels: Sweep) -> None:
    """The arm that is timed against is the strategy at its level, or the application alone."""
    for records in all_levels.records()[1:]:
        import_ns = {arm.arm: arm.import_cpu_ns for arm in records.arms}
        where = {arm.arm: arm.destination for arm in records.arms}
        untraced = records.cell.against == "untraced"
        assert (import_ns["baseline"] * 1.5 < import_ns["strategy"]) == untraced
        assert where["baseline"] == ("" if untraced else "sqlite")


@pytest.mark.calibration  # the whole command: more than a minute
@pytest.mark.timeout(600)
def test_a_collectors_cpu_is_not_the_applications(all_levels: Sweep) -> None:
    """It is recorded beside the arm's own; what a collector stores is nobody's size."""
    whole = all_levels.records()[-1]
    arms = {arm.arm: arm for arm in whole.arms}
    assert arms["strategy"].destination == "collector"
    assert arms["strategy"].destination_cpu_ns is not None
    assert arms["strategy"].stored_bytes is None
    assert arms["baseline"].destination_cpu_ns is None


@pytest.mark.calibration  # the whole command: more than a minute
@pytest.mark.timeout(600)
def test_the_report_says_where_the_cost_goes(all_levels: Sweep) -> None:
    """One fork gives no verdict, and the report says so for latency and CPU time, beside the steps."""
    markdown = all_levels.artifact(all_levels.parents[0], "report.md").read_text(encoding="utf-8")
    section = markdown.partition("## Where the cost goes")[2]
    assert section.count("cannot be said") == 2
    assert "into an OTLP collector, in batches" in section
    assert "harness levels provider=openai tracing=autolog --into collector" in markdown
    cells = json.loads(all_levels.artifact(all_levels.parents[0], "cells.json").read_text(encoding="utf-8"))
    assert [cell["against"] for cell in cells["cells"]][-1] == "untraced"


@pytest.mark.calibration  # a server for each arm: more than a minute
@pytest.mark.timeout(600)
def test_traces_reach_a_server_of_the_arms_own(served: Sweep) -> None:
    """Every timed call's trace is in the server's store, the server's CPU is told apart, and the baseline drops its."""
    assert served.done.returncode == 0, served.done.stderr
    (records,) = served.records()
    arms = {arm.arm: arm for arm in records.arms}
    assert (arms["strategy"].destination, arms["baseline"].destination) == ("server", "sqlite")
    assert arms["strategy"].expected_traces == arms["strategy"].stored_traces == TRACES
    assert arms["strategy"].stored_bytes
    assert arms["strategy"].destination_cpu_ns
    assert arms["baseline"].stored_traces == 0
    assert arms["strategy"].import_cpu_ns < 3 * arms["baseline"].import_cpu_ns
    assert "overhead.destination_cpu_ms_per_call" in served.cells[0].data.metrics


@pytest.mark.calibration  # a server for each arm: more than a minute
@pytest.mark.timeout(600)
def test_what_the_first_calls_take_is_recorded_apart(served: Sweep) -> None:
    """In both arms; MLflow imports and opens so much at its first call that no later one takes as long."""
    (records,) = served.records()
    for arm in records.arms:
        assert arm.first_calls == 3
        assert arm.first_call_ns is not None
        assert arm.first_call_cpu_ns is not None
        assert arm.first_calls_cpu_ns is not None
        assert 0 < arm.first_call_cpu_ns <= arm.first_calls_cpu_ns
    first_ns = {arm.arm: arm.first_call_ns or 0 for arm in records.arms}
    later_ns = [ns for block in records.blocks if block.arm == "strategy" for ns in block.latency_ns]
    assert first_ns["strategy"] > sorted(later_ns)[len(later_ns) // 2]
    # The other arm opens SQLite and this one a connection: a difference of these would be no step's price.
    assert "overhead.first_calls_cpu_ms" not in served.cells[0].data.metrics


def state(pid: int) -> str:
    """What the kernel says of a process: ``T`` where it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


@pytest.mark.parametrize("kind", DESTINATIONS)
def test_what_runs_beside_an_arm_rests_with_it(kind: str, migrated_store: Path, tmp_path: Path) -> None:
    """A server or collector is stopped and goes on, counts nothing where nothing came, and is gone afterwards."""
    to = DESTINATIONS[kind](tmp_path, migrated_store, ())
    try:
        to.wait_ready()
        assert to.tracking_uri.startswith(("sqlite:///", "http://127.0.0.1:"))
        if to.beside is None:
            assert kind == "sqlite"
        else:
            to.beside.rest()
            assert state(to.beside.pid) == "T"
            to.beside.resume()
            assert state(to.beside.pid) != "T"
            assert to.beside.cpu_ns() > 0
        assert to.count() == (0, 0)
        to.end()
        assert to.beside is None or not to.beside.alive()
    finally:
        to.close()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Its last words are the error's."""
    (tmp_path / "store.db").write_text("this is no database, and long enough to be looked at as one" * 20)
    server = MlflowServer(ServerConfig(store_path=tmp_path / "store.db", artifacts_path=tmp_path / "artifacts"))
    with pytest.raises(StoreError, match="MLflow server ended with status 1 at its start; it wrote"):
        server.wait_ready()
    assert not server.alive()


def test_a_destination_that_died_fails_the_count(migrated_store: Path, tmp_path: Path) -> None:
    """A collector that ended by itself may have lost what it was sent, so nothing is counted."""
    to = DESTINATIONS["collector"](tmp_path, migrated_store, ())
    to.wait_ready()
    assert isinstance(to.beside, Collector)
    to.beside._process.kill()
    to.beside._process.wait(30)
    with pytest.raises(to.beside.error, match="before it was told to"):
        to.count()


def test_a_collector_counts_the_roots_that_it_took(migrated_store: Path, tmp_path: Path) -> None:
    """Spans are counted from the requests as they came, and sent as MLflow has them, untranslated."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for trace, parent in ((b"a", b""), (b"a", b"p"), (b"b", b""), (b"c", b"p")):
        spans.add(trace_id=trace * 16, span_id=b"s" * 8, parent_span_id=parent * 8, name="span")
    to = DESTINATIONS["collector"](tmp_path, migrated_store, ())
    try:
        to.wait_ready()
        assert "MLFLOW_ENABLE_OTEL_GENAI_SEMCONV" not in to.environment
        for _ in range(2):
            sent = httpx.post(
                to.environment["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
                content=request.SerializeToString(),
                headers={"content-type": "application/x-protobuf"},
                trust_env=False,
            )
            assert sent.status_code == 200
        assert to.count() == (3, 2)
        assert isinstance(to.beside, Collector)
        assert len({span.trace_id for span in to.beside.spans() if span.parent_id is None}) == 2
    finally:
        to.close()


def test_a_strategy_without_mlflow_has_no_levels(
    harness: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """One's own strategy that does not use MLflow is refused in one sentence, with exit status 2."""
    own = ("tracing=custom", "tracing.name=own", "tracing.target=harness.tracing.none:NoTracing")
    done = harness(*own, "tracing.level=dropped", "prompts=short", "prompts.limit=1", "measure.timing=false")
    assert done.returncode == 2
    assert "tracing.level=dropped is a level of MLflow's tracing" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_sweep_of_levels_covers_every_way_out() -> None:
    """Floor, three lower steps, then step and whole for each destination and branch; a collector has one branch."""
    batches = batches_of(["provider=openai", "tracing=autolog"], ["sqlite", "server", "collector"])
    cells = [cell.tracing for batch in batches for cell in compose_cells(batch, multirun=True)]
    assert len(cells) == 1 + 3 + 2 * (2 + 2 + 1)
    assert cells[0].name == "none"
    ways = [(cell.against, cell.into, cell.export.asynchronous) for cell in cells[4:]]
    assert len(set(ways)) == 10
    assert ("dropped", "server", False) in ways
    assert [way for way in ways if way[1] == "collector"] == [
        ("dropped", "collector", None),
        ("untraced", "collector", None),
    ]


@pytest.mark.calibration
def test_a_sweep_of_levels_takes_several_strategies() -> None:
    """Every strategy has all its cells, and the floor is measured once for each provider."""
    batches = batches_of(["provider=openai,mistralai", "tracing=autolog,manual", "tracing.style=context"], ["sqlite"])
    cells = [cell for batch in batches for cell in compose_cells(batch, multirun=True)]
    assert len(cells) == 2 * (1 + 2 * (3 + 4))
    assert {cell.tracing.style for cell in cells if cell.tracing.name == "manual"} == {"context"}
