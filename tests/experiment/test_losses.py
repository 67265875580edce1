"""What a store holds after each way in which a process can end: real workers, a real gateway, real stores.

Four tests assert defects that were seen in mlflow 3.17.2 (``MENDED`` says what to do once they fail).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.cli.compose import compose_cells
from harness.config import PROCESS_ENDINGS, ExportConfig, MeasureConfig
from harness.endings import SYS_EXIT_STATUS, _wait_for
from harness.errors import GatewayError
from harness.experiment import record_cell
from harness.experiment.loss import LossPass, LossPlan, count, plain_samples
from harness.experiment.progress import Silent
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.prompts import Sample
from harness.records import CallId, StoredSpan, StoredTrace, read_cell
from harness.report.losses import ENDINGS
from harness.runtimes import HARNESS, HarnessRuntime, OwnTraces
from harness.tracing.switches import switch_environment
from harness.tracking import Store
from harness.worker import WorkerSetup

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from harness.records import Loss, ProcessEnding

    Run = Callable[..., dict[ProcessEnding, Loss]]

SAMPLES = (
    Sample(id="capital", messages=({"role": "user", "content": "Capital of France?"},)),
    Sample(id="story", messages=({"role": "user", "content": "Tell me a story"},), stream=True),
)
STRATEGIES = {
    "none": ("harness.tracing.none:NoTracing", "", ""),
    "manual": ("harness.tracing.manual:ManualTracing", "decorator", "plain"),
}
CALLS = 23
STATUSES = {"sys.exit": SYS_EXIT_STATUS, "exception": 1, "SIGTERM": -15, "SIGKILL": -9}
"""Every other ending has the status 0."""
MENDED = (
    "MLflow no longer loses traces here: it has mended a defect of 3.17.2. Say so in the table of known defects, "
    "turn this test around, and keep the scenario"
)


class StopsAt(Silent):
    """A person who presses Ctrl-C when a stage begins."""

    def __init__(self, text: str) -> None:
        self._text = text

    def stage(self, text: str, total: int | None = None) -> None:
        del total
        if text == self._text:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all workers."""
    records = tmp_path_factory.mktemp("gateway") / "exchanges.jsonl"
    with Gateway.start(GatewayConfig(records_path=records, samples=SAMPLES, seed=7)) as gateway:
        yield gateway


@pytest.fixture
def plan(gateway: Gateway, migrated_store: Path, tmp_path: Path) -> Callable[..., LossPlan]:
    """Make plans for one strategy."""

    def make(
        strategy: str, *endings: ProcessEnding, environment: dict[str, str] | None = None, **measured: Any
    ) -> LossPlan:
        target, style, depth = STRATEGIES[strategy]
        setup = WorkerSetup(
            role="completeness",
            cell="cell-1",
            fork=0,
            arm="strategy",
            provider_target="harness.providers.openai:OpenAIProvider",
            backend="openai",
            model="gpt-4o-mini",
            base_url=gateway.base_url("openai"),
            api_key="made-up",
            timeout_s=60.0,
            strategy_target=target,
            style=style,
            depth=depth,
            samples=SAMPLES,
            environment=environment or {},
        )
        numbers = {"ending_calls": CALLS, "burst_calls": CALLS, **measured}
        measure = MeasureConfig(losses=list(endings), **numbers)
        return LossPlan(setup, measure, migrated_store, tmp_path, (), HARNESS)

    return make


@pytest.fixture
def run(plan: Callable[..., LossPlan]) -> Run:
    """Run the loss pass; all that it started and wrote has to be gone afterwards."""

    def counted(
        strategy: str, *endings: ProcessEnding, export: ExportConfig | None = None, **measured: Any
    ) -> dict[ProcessEnding, Loss]:
        made = plan(strategy, *endings, environment=switch_environment(export or ExportConfig()), **measured)
        with LossPass(made, Silent()) as losses:
            losses.run()
        assert not children()
        assert list(made.folder.iterdir()) == []
        found = {loss.ending: loss for loss in losses.losses}
        assert list(found) == list(endings)
        for ending, loss in found.items():
            assert loss.calls == (made.measure.burst_calls if ending == "burst" else CALLS)
            assert loss.exit_status in (STATUSES.get(ending, 0), None), loss
        return found

    return counted


def children() -> list[str]:
    """Command lines of the workers that there still are under this process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            environment = path.with_name("environ").read_bytes()
            if f"HARNESS_PARENT_PID={os.getpid()}".encode() in environment.split(b"\0"):
                found.append(path.read_text())
    return [line for line in found if "harness.worker" in line]


@pytest.mark.calibration
def test_without_tracing_nothing_is_expected_and_nothing_stored(run: Run) -> None:
    """The untraced strategy expects 0 traces after every ending, and each ending has its own exit status."""
    for loss in run("none", *PROCESS_ENDINGS).values():
        assert (loss.expected_traces, loss.stored_traces, loss.complete_traces, loss.untied_traces) == (0, 0, 0, 0)
        assert loss.exit_status is not None


def test_an_ending_that_the_check_refuses_does_not_count(plan: Callable[..., LossPlan]) -> None:
    """Where the gateway died the pass ends, and what was counted against a dead gateway is left out."""

    def check() -> None:
        raise GatewayError("it died")

    with LossPass(plan("none", "normal", "sys.exit"), Silent()) as losses:
        with pytest.raises(GatewayError, match="it died"):
            losses.run(check)
        assert losses.losses == []
    assert not children()


@pytest.mark.calibration
def test_an_orderly_end_loses_none(run: Run) -> None:
    """After a drain, a normal end, ``sys.exit``, an uncaught exception and in a forked child every trace is stored."""
    for loss in run("manual", "drain", "normal", "sys.exit", "exception", "fork").values():
        assert (loss.expected_traces, loss.stored_traces, loss.complete_traces) == (CALLS, CALLS, CALLS), loss
        assert loss.exit_status is not None


def test_an_abrupt_end_loses_what_is_queued(run: Run) -> None:
    """``os._exit``, SIGTERM and SIGKILL lose traces whose calls the application had finished."""
    for loss in run("manual", "os._exit", "SIGTERM", "SIGKILL").values():
        assert loss.expected_traces == CALLS
        assert loss.complete_traces <= loss.stored_traces
        assert loss.complete_traces < CALLS, f"{MENDED} (ending {loss.ending}): {loss}"


@pytest.mark.calibration
def test_a_child_of_a_process_that_has_traced_loses_all_and_does_not_end(run: Run) -> None:
    """MLflow's queue takes its threads for running in the child: nothing is exported, and the exit waits for ever."""
    loss = run("manual", "fork-after-calls", exit_timeout_s=12.0)["fork-after-calls"]
    assert loss.expected_traces == CALLS
    assert (loss.stored_traces, loss.exit_status) == (0, None), f"{MENDED}: {loss}"


def test_synchronous_export_loses_none_even_where_the_process_is_killed(run: Run) -> None:
    """The loss comes from the asynchronous queues: with MLflow's switch off a killed process has stored all."""
    loss = run("manual", "SIGKILL", export=ExportConfig(asynchronous=False))["SIGKILL"]
    assert (loss.stored_traces, loss.complete_traces) == (CALLS, CALLS), loss


@pytest.mark.calibration  # found in a cell of its own by tests/known, too
def test_a_burst_overflows_a_queue_unseen(run: Run) -> None:
    """A drained burst that is longer than MLflow's queue leaves some traces out and some without their metadata."""
    loss = run("manual", "burst", burst_calls=80, export=ExportConfig(queue_size=5))["burst"]
    assert loss.expected_traces == 80
    assert 0 < loss.complete_traces < 80, f"{MENDED}: {loss}"
    assert loss.complete_traces + loss.untied_traces <= loss.stored_traces


@pytest.mark.calibration
@pytest.mark.timeout(600)
def test_a_burst_of_two_thousand_overflows_the_queues_as_they_are(run: Run) -> None:
    """With MLflow's own sizes 2,000 traces in a tight loop, drained, are not all there."""
    loss = run("manual", "burst", burst_calls=2000)["burst"]
    assert loss.expected_traces == 2000
    assert 0 < loss.complete_traces < 2000, f"{MENDED}: {loss}"


def test_ctrl_c_keeps_what_was_counted_and_ends_the_workers(plan: Callable[..., LossPlan]) -> None:
    """An interruption leaves the endings before it in the records, and no process and no file."""
    made = plan("none", "drain", "normal", "SIGKILL")
    losses = LossPass(made, StopsAt("loss: normal"))
    with pytest.raises(KeyboardInterrupt), losses:
        losses.run()
    assert [loss.ending for loss in losses.losses] == ["drain"]
    assert not children()
    assert list(made.folder.iterdir()) == []


def test_a_child_that_does_not_end_is_killed() -> None:
    """The wait for a forked child is bounded; a child that had to be killed has no exit status."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    assert _wait_for(pid, 0.1) is None
    assert not Path(f"/proc/{pid}").exists()
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
    assert _wait_for(pid, 30.0) == 7


@pytest.mark.calibration
def test_the_command_line_records_losses_beside_an_undisturbed_completeness(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """``measure=loss`` leaves the losses in the cell's records, and completeness is judged as without it."""
    from mlflow.tracking import MlflowClient

    done = harness("tracing=manual", "prompts=short", "prompts.limit=2", "measure=loss", "measure.losses=SIGKILL")
    assert done.returncode == 0, done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tracing-harness")
    assert experiment is not None
    (cell,) = client.search_runs([experiment.experiment_id], "tags.`harness.kind` = 'cell'")
    records = read_cell(Path(client.download_artifacts(cell.info.run_id, "records")))
    assert [loss.ending for loss in records.losses] == ["SIGKILL"]
    assert cell.data.metrics["traces.expected"] == cell.data.metrics["traces.stored"] == 2
    assert cell.data.metrics["traces.orphaned"] == 0
    lost = [one for one in records.exchanges if CallId.parse(one.call_id or "").phase == "loss"]
    assert len({one.call_id for one in lost}) == sum(loss.calls for loss in records.losses)
    assert all(one.request_body is None for one in lost)


class Noting(HarnessRuntime):
    """The harness's own environment, taken for one of other versions: it notes what it is asked for."""

    name = "noting"
    shares_store = False

    def __init__(self, template: Path) -> None:
        self._template = template
        self.modules: list[str] = []
        self.read: list[str] = []

    def command(self, module: str, *arguments: str) -> list[str]:
        self.modules.append(module)
        return super().command(module, *arguments)

    def make_template(self, path: Path) -> None:
        shutil.copyfile(self._template, path)

    def read_traces(self, path: Path) -> OwnTraces:
        self.read.append(path.parent.name)
        return super().read_traces(path)


@pytest.mark.calibration
def test_the_processes_that_end_run_in_the_cells_runtime(
    migrated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the two workers of the completeness pass one a way of ending, whose stores the runtime's MLflow reads."""
    runtime = Noting(migrated_store)
    monkeypatch.setattr("harness.experiment.runtime_of", lambda *_: runtime)
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    small = ["prompts=short", "prompts.limit=1", "measure=loss", "measure.ending_calls=3"]
    endings = "measure.losses=[normal,SIGKILL]"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    overrides = ["provider=openai", "tracing=manual", *small, endings, f"store.uri={uri}"]
    cell = compose_cells(overrides, multirun=False)[0]
    records = record_cell(cell, Store(cell.store.uri, cell.store.experiment), Silent())
    assert [loss.ending for loss in records.losses] == ["normal", "SIGKILL"]
    assert records.losses[0].complete_traces == 3
    assert runtime.modules == ["harness.worker"] * (2 + 2)
    assert runtime.read == ["own", "loss-normal", "loss-SIGKILL"]


def test_only_plain_calls_are_made() -> None:
    """Samples of other scenarios than ``chat`` and ``stream`` take no part."""
    other = SAMPLES[0].model_copy(update={"id": "tools", "scenario": "embeddings"})
    assert plain_samples((*SAMPLES, other)) == SAMPLES


def trace(name: str, call: str | None, *, ended: bool = True, spans: bool = True, state: str = "OK") -> StoredTrace:
    span = StoredSpan(
        span_id="1",
        parent_id=None,
        name="chat",
        start_unix_ns=1,
        end_unix_ns=2 if ended else None,
        status="OK",
        attributes={},
    )
    return StoredTrace(trace_id=name, call_id=call, state=state, metadata={}, tags={}, spans=(span,) if spans else ())


@pytest.mark.parametrize(
    ("traces", "stored", "complete", "untied"),
    [
        ([], 0, 0, 0),
        ([trace("t1", "a"), trace("t2", "b")], 2, 2, 0),
        ([trace("t1", "a"), trace("t2", "a")], 1, 1, 0),
        ([trace("t1", "a", spans=False)], 1, 0, 0),
        ([trace("t1", "a", ended=False)], 1, 0, 0),
        ([trace("t1", "a", state="IN_PROGRESS")], 1, 0, 0),
        ([trace("t1", None), trace("t2", None)], 2, 0, 2),
        ([trace("t1", "a", spans=False), trace("t2", "a")], 1, 1, 0),
    ],
)
def test_a_call_counts_once_and_as_complete_only_with_all_of_its_trace(
    traces: list[StoredTrace], stored: int, complete: int, untied: int
) -> None:
    """Duplicates count once; without an ended root span or what ties it to its call a trace is not complete."""
    assert count(traces) == {"stored_traces": stored, "complete_traces": complete, "untied_traces": untied}


def test_every_ending_has_words_and_a_row_in_the_report() -> None:
    """An ending that the report cannot name would cost the whole report."""
    assert set(ENDINGS) == set(PROCESS_ENDINGS)
