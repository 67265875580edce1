"""One cell: a completeness pass, a loss pass, a timing pass, and everything that is written about them.

A job never imports an SDK and traces nothing. It spawns workers, steers them and collects
records; the analyses read those records and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.checks import endpoint_key
from harness.collector.process import Collector
from harness.collector.spans import stored_traces
from harness.config import DEFAULT_MODELS, DIALECTS, HarnessConfig
from harness.driving import load_samples
from harness.errors import CellError, HarnessError, InputError, NotApplicableError, StoreError, UnattributedError
from harness.experiment.analysis import analyse_cell
from harness.experiment.arm import ArmProcess
from harness.experiment.loss import SCENARIOS, LossPass, LossPlan, plain_samples
from harness.experiment.stages import Stages
from harness.experiment.timing import ArmPlan, TimingPass, TimingPlan
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.machine import HARNESS_PACKAGE, package_versions, this_machine
from harness.overhead import analyse, precision_reached
from harness.overhead.stopping import so_far
from harness.processes import WorkFolder, idle_polling, split_cpus, timing_lock
from harness.prompts import PromptSet, resolve_prompts
from harness.records import (
    CONTROL_FORK,
    Call,
    CallId,
    CellRecord,
    CellRecords,
    Exchange,
    NotApplicable,
    SentSample,
    SkippedLoad,
    StoredTrace,
    levels_label,
    read_jsonl,
    write_cell,
)
from harness.runtimes import HARNESS, Runtime, has_own_environment, runtime_label, runtime_of
from harness.scenarios import scenario_of
from harness.stores.throwaway import TEMPLATE_EXPERIMENT, copy_template
from harness.tracing import STRATEGIES, strategy_label
from harness.tracing.levels import EXPORTED, UNTRACED, level_environment, traces_share
from harness.tracing.switches import switch_environment, switches_label, without_switches
from harness.tracking import CELL_TAG, KIND_TAG, PROVIDER_TAG, STRATEGY_TAG, SWEEP_TAG, Ending, Store
from harness.urls import without_secrets
from harness.worker import WORKER_NAME, WorkerSetup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.experiment.progress import Progress
    from harness.records import Block
    from harness.results import CellResult, OverheadResult

ENDINGS: dict[str, Ending] = {
    "ok": "FINISHED",
    "not applicable": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
REPEATABLE_ENDPOINTS = ("simulator", "replay")
"""Kinds of endpoints that answer the same request of both arms alike."""
_SECRET = re.compile("TOKEN|PASS|SECRET|KE[YK]|HEADERS|CREDENTIAL|USERNAME")
_NOT_A_SWITCH = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")
_PROVIDER_VARIABLE = re.compile(r"(OPENAI|MISTRAL|AZURE_OPENAI|LANGSMITH|LANGCHAIN)_(?!TRACING)|\w+_API_KEY$")
KEPT_ELSEWHERE = Path("/var/tmp")  # noqa: S108  # a folder of its own for each cell; the sweep's temporary files go with it
PLACEHOLDER_KEY = "held-by-the-gateway"
"""What SDKs are given as their key: the gateway puts the real one in its place."""


def run_cell(config: HarnessConfig, store: Store, progress: Progress) -> CellResult:
    """Run one cell and write it to the store, however it ends.

    Raises:
        InputError: If the prompt set or the key is not there; nothing is written then.
        StoreError: If the store did not take the cell; its records are then kept in the current folder.
        KeyboardInterrupt: After what was measured has been written.
    """
    prompts = resolve_prompts(config.prompts, config.endpoint, config.provider.backend)
    cell = _Cell(config, prompts, store, progress)
    progress.cell(cell.label)
    for note in prompts.notes:
        progress.note(note)
    tags = {KIND_TAG: "cell", SWEEP_TAG: config.sweep.sweep_id, CELL_TAG: cell.cell_id}
    run_id = store.start_run(cell.label, tags, config.sweep.run_id or None)
    interrupted: KeyboardInterrupt | None = None
    try:
        cell.run()
    except KeyboardInterrupt as stop:
        interrupted = stop
        cell.status, cell.reason = "interrupted", "interrupted by the user"
    except NotApplicableError as error:
        cell.status, cell.reason = "not applicable", str(error)
    except HarnessError as error:
        cell.status, cell.reason = "failed", str(error)
        cell.is_input_error = isinstance(error, InputError)
    except Exception as error:  # noqa: BLE001  # a failed cell is a result: the sweep goes on
        cell.status, cell.reason = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    try:
        result = _write(cell, store, run_id, progress)
    except Exception as error:
        raise _kept(cell, store, error) from error
    if interrupted is not None:
        raise interrupted
    return result


def record_cell(config: HarnessConfig, store: Store, progress: Progress, *, completeness: bool = True) -> CellRecords:
    """Run one cell for its records alone; nothing but its traces is written to the store.

    Args:
        config: The cell.
        store: Where its traces go.
        progress: Told what it does.
        completeness: Whether the completeness pass is run; a calibration of timings does without.

    Raises:
        HarnessError: If the cell could not be run to its end.
    """
    cell = _Cell(config, resolve_prompts(config.prompts), store, progress)
    cell.run(completeness=completeness)
    return cell.records()


def _kept(cell: _Cell, store: Store, error: Exception) -> StoreError:
    """Keep the records of a cell that its store did not take, and say where."""
    fate = ""
    # The disk that the store filled up is often the current folder's as well.
    for parent in (Path.cwd(), KEPT_ELSEWHERE):
        folder = parent / f"harness-unsaved-{cell.cell_id}"
        try:
            write_cell(folder, cell.records())
        except OSError as full:
            shutil.rmtree(folder, ignore_errors=True)
            fate = f"its records could not be kept in {folder} either ({full.strerror})"
        else:
            fate = f"its records are kept in {folder}"
            break
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(without_secrets(f"{cell.label}: the store {store.uri} did not take the cell ({said}); {fate}"))


def _write(cell: _Cell, store: Store, run_id: str, progress: Progress) -> CellResult:
    progress.stage("writing to MLflow")
    with cell.stages.of("analysing"):
        records = cell.records()
        result = analyse_cell(records, run_id)
        records = records._replace(cell=result.cell)
    with cell.stages.of("writing"):
        store.log_cell(run_id, result, records, cell.prompts)
    result = result.model_copy(update={"cell": result.cell.model_copy(update={"stages_s": cell.stages.seconds()})})
    store.log_stages(run_id, result.cell)
    store.end_run(run_id, ENDINGS[result.cell.status])
    progress.cell_done(f"{result.cell.status}" + (f": {result.cell.reason}" if result.cell.reason else ""))
    return result


class _Cell:
    """The state of one cell while it runs."""

    def __init__(self, config: HarnessConfig, prompts: PromptSet, store: Store, progress: Progress) -> None:
        self.config = config
        self.prompts = prompts
        self.store = store
        self.progress = progress
        self.cell_id = uuid.uuid4().hex[:12]
        self.status = "ok"
        self.reason: str | None = None
        self.is_input_error = False
        self.source = ""
        self.expects_traces = config.tracing.name != "none"
        self.started_unix_ns = time.time_ns()
        self.stages = Stages()
        self.arm_cpus, self.gateway_cpus = split_cpus(pin=config.measure.pin)
        self.machine = this_machine(self.arm_cpus, self.gateway_cpus)
        self.calls: list[Call] = []
        self.traces: tuple[StoredTrace, ...] = ()
        self.exchanges: tuple[Exchange, ...] = ()
        self.collector: Collector | None = None
        self.losses: LossPass | None = None
        self.timing: TimingPass | None = None
        self.completeness_done = False
        self.planted_losses: int | None = None
        self.not_applicable: tuple[NotApplicable, ...] = ()
        self.judged: tuple[int, OverheadResult] | None = None
        self.trouble: HarnessError | None = None
        self.api_key = endpoint_key(config)
        self.runtime: Runtime = HARNESS
        # What the workers had is known once the first of them says so.
        self.versions = {} if has_own_environment(config) else package_versions()

    @property
    def label(self) -> str:
        """The cell in people's words."""
        provider = self.config.provider
        backend = "" if provider.backend == provider.name else f" ({provider.backend})"
        style = strategy_label(self.config.tracing)
        switches = switches_label(self.config.tracing.export)
        named = f"{provider.name}{backend} / {self.config.tracing.name}{' ' + style if style else ''}"
        tracing = self.config.tracing
        turned = ", ".join(filter(None, (levels_label(tracing.level, tracing.against, tracing.into), switches)))
        if turned:
            named += f" [{turned}]"
        runtime = runtime_label(self.config.runtime)
        return f"{named} on {runtime}" if runtime else named

    def run(self, *, completeness: bool = True) -> None:
        """All passes, with one gateway for the cell; without completeness the timing pass alone."""
        with WorkFolder() as folder, contextlib.ExitStack() as ending:
            # Before the lock: making an environment may take minutes.
            self.runtime = runtime_of(self.config, folder.path, self.progress.note)
            if self.config.measure.timing:
                # Held from the start: another cell's imports would disturb a timing as much as its calls.
                with self.stages.of("waiting"):
                    ending.enter_context(timing_lock(self._say_waiting))
            exchanges = folder.path / "exchanges.jsonl"
            self.progress.stage("starting the gateway")
            with self.stages.of("starting"):
                gateway = self._start_gateway(exchanges, folder.path)
            # Read whatever was recorded, also when a pass raised; stopping flushes it.
            ending.callback(self._stop_and_read, gateway, exchanges)
            self.collector = self._start_collector(folder.path / "spans.jsonl", ending)
            setup = self._setup(gateway)
            if self.config.measure.timing:
                with self.stages.of("starting"):
                    self._start_timing(setup, folder.path, ending)
            if completeness:
                self._untimed_passes(setup, folder.path, gateway)
            elif self.timing is not None:
                self.timing.wait_until_ready()
            if self.timing is not None and self.status != "not applicable":
                with idle_polling(wanted=self.config.measure.idle == "poll") as granted:
                    self.machine = self.machine.model_copy(update={"idle_polling": granted})
                    self.timing.run(self._precise_enough, self._so_far)
                if not completeness:
                    self.expects_traces = any(arm.expected_traces for arm in self.timing.arms)
                if said := self._so_far():
                    self.progress.note(f"{said} after {self._overhead().forks} forks")
        if self.status == "not applicable":
            return
        if self.trouble is not None:
            raise self.trouble
        self._check_attribution()

    def _start_gateway(self, exchanges: Path, folder: Path) -> Gateway:
        """Start the gateway; what a timing pass needs besides is made while it imports."""
        gateway = Gateway(self._gateway_config(exchanges).model_copy(update={"cpus": self.gateway_cpus}))
        try:
            if self.config.measure.timing:
                self._template(folder)
            gateway.wait_ready()
        except BaseException:
            gateway.kill()
            raise
        return gateway

    def _untimed_passes(self, setup: WorkerSetup, folder: Path, gateway: Gateway) -> None:
        with self.stages.of("completeness"):
            self._completeness_pass(setup, folder)
        if not gateway.alive():
            # What calls got from a gateway that died says nothing about tracing.
            self.completeness_done = False
            gateway.check_alive()
        if self.status != "not applicable":
            with self.stages.of("losses"):
                self._loss_pass(setup, folder, gateway)

    def _start_collector(self, path: Path, ending: contextlib.ExitStack, *, keep: bool = True) -> Collector | None:
        """What takes the strategy's export over OTLP, if there is one."""
        if not self.config.tracing.export.otlp:
            return None
        self.progress.stage("starting the collector")
        return ending.enter_context(Collector.start(path, keep=keep, cpus=self.gateway_cpus))

    def _switches(self, collector: Collector | None) -> dict[str, str]:
        """The environment that turns MLflow's switches in a worker."""
        return switch_environment(self.config.tracing.export, None if collector is None else collector.endpoint_url)

    def _start_timing(self, setup: WorkerSetup, folder: Path, ending: contextlib.ExitStack) -> None:
        """Start the forks of the timing pass, over the samples that can be timed."""
        timed = tuple(sample for sample in self.prompts.samples if scenario_of(sample).timed)
        if len(timed) < len(self.prompts.samples):
            names = sorted({one.scenario_name for one in self.prompts.samples if not scenario_of(one).timed})
            self.progress.note(f"not timed: the scenarios {', '.join(names)}")
        if not timed:
            return
        # Timed spans are taken and let go: nobody reads them.
        collector = self._start_collector(folder / "timed-spans.jsonl", ending, keep=False)
        timed_setup = setup.model_copy(update={"samples": timed})
        self.timing = TimingPass(self._timing_plan(timed_setup, collector, folder), self.progress, self.stages)
        ending.callback(self.timing.close)
        self.timing.start_processes(self.config.measure.forks)

    def _say_waiting(self) -> None:
        self.progress.note("another timing runs on this machine; waiting for it")

    def _gateway_config(self, records_path: Path) -> GatewayConfig:
        endpoint = self.config.endpoint
        return GatewayConfig.model_validate(
            {
                "records_path": str(records_path),
                "samples": (*self.prompts.samples, *load_samples(self.config.measure.loads)),
                "seed": self.config.seed,
                "kind": endpoint.kind,
                "base_url": endpoint.base_url,
                "api_key": self.api_key,
                "timeout_s": endpoint.timeout_s,
                "latency": asdict(endpoint.latency),
                "recordings_path": None if endpoint.path is None else str(Path(endpoint.path).absolute()),
                "recordings_dialect": DIALECTS.get(endpoint.backend),
                "timing": endpoint.timing,
            }
        )

    def _setup(self, gateway: Gateway) -> WorkerSetup:
        config = self.config
        return WorkerSetup(
            role="completeness",
            cell=self.cell_id,
            fork=0,
            arm="strategy",
            provider_target=config.provider.target,
            backend=config.provider.backend,
            model=config.provider.model or DEFAULT_MODELS[config.provider.backend],
            base_url=gateway.base_url(DIALECTS[config.provider.backend]),
            refused_url=gateway.refused_url(DIALECTS[config.provider.backend]),
            environment=self._switches(self.collector) | level_environment(config.tracing.level),
            disabled=config.tracing.export.disabled,
            level=config.tracing.level,
            expected_share=traces_share(config.tracing),
            api_key=PLACEHOLDER_KEY,
            timeout_s=config.endpoint.timeout_s,
            strategy_target=config.tracing.target,
            style=config.tracing.style,
            depth=config.tracing.depth,
            tracking_uri=self.store.uri,
            experiment=self.store.experiment,
            samples=self.prompts.samples,
            labels=self._trace_labels(),
        )

    def _trace_labels(self) -> dict[str, str]:
        """What people filter the traces of several cells by."""
        cell = self._cell_record()
        labels = {STRATEGY_TAG: cell.strategy_label, PROVIDER_TAG: cell.provider_label, SWEEP_TAG: cell.sweep_id}
        return {key: value for key, value in labels.items() if value}

    def _timing_plan(self, setup: WorkerSetup, collector: Collector | None, folder: Path) -> TimingPlan:
        tracing = self.config.tracing
        return TimingPlan(
            base=setup,
            arms={
                "strategy": self._arm(tracing.level, collector),
                "baseline": self._arm(tracing.against, collector),
            },
            measure=self.config.measure,
            seed=self.config.seed,
            template=self._template(folder),
            folder=folder,
            hidden=self._hidden(),
            endpoint_kind=self.config.endpoint.kind,
            runtime=self.runtime,
        )

    def _arm(self, level: str, collector: Collector | None) -> ArmPlan:
        """What an arm is made of at a level; only one that exports depends on where to."""
        tracing = self.config.tracing
        if level == UNTRACED or tracing.target == STRATEGIES["none"]:
            return ArmPlan(STRATEGIES["none"], "", "", level=UNTRACED, into="", environment=self._switches(collector))
        if level == EXPORTED:
            into, environment = tracing.into, self._switches(collector)
        else:
            # The same store in every cell, so that a level costs the same wherever the traces of the next one go.
            into = "sqlite"
            environment = switch_environment(replace(tracing.export, otlp=False)) | level_environment(level)
        return ArmPlan(tracing.target, tracing.style, tracing.depth, level=level, into=into, environment=environment)

    def _template(self, folder: Path) -> Path:
        """A migrated store to copy, the same for all cells of a sweep."""
        shared = self.config.sweep.work_dir
        # A launcher may have brought the job to a machine that does not have the sweep's folder.
        place = Path(shared) if shared and Path(shared).is_dir() else folder
        # One for each runtime whose MLflow has a schema of its own.
        template = place / (f"template-{self.runtime.name}.db" if self.runtime.name else "template.db")
        if not template.exists():
            self.progress.stage("making a store to copy")
            self.runtime.make_template(template)
        return template

    def _hidden(self) -> tuple[str, ...]:
        return hidden_variables(self.config.endpoint.key_env)

    def _completeness_pass(self, setup: WorkerSetup, folder: Path) -> None:
        own_store = None if self.runtime.shares_store else self._own_store(folder)
        if own_store is not None:
            setup = setup.model_copy(
                update={"tracking_uri": f"sqlite:///{own_store}", "experiment": TEMPLATE_EXPERIMENT}
            )
        with contextlib.ExitStack() as ending:
            worker = ending.enter_context(ArmProcess(setup, folder, self._hidden(), self.runtime))
            untraced = ending.enter_context(ArmProcess(self._untraced(setup), folder, self._hidden(), self.runtime))
            with self.stages.of("starting"):
                if self.timing is not None:
                    # All processes start together, but nothing else runs while traces are held against the wire.
                    self.timing.wait_until_ready()
                worker.wait_ready()
                untraced.wait_ready()
            self.source = worker.ready["source"]
            # The harness itself is not installed in an environment of the workers' own.
            self.versions = {HARNESS_PACKAGE: __version__} | worker.ready["versions"]
            self.expects_traces = worker.ready["expects_traces"]
            self.not_applicable = tuple(map(NotApplicable.model_validate, worker.ready["not_applicable"]))
            samples = len(self.prompts.samples) - len(self.not_applicable)
            if not samples:
                self.status, self.reason = "not applicable", self.not_applicable[0].reason
                return
            self.progress.stage("completeness", 2 * samples)
            begun_unix_ns = time.time_ns()
            self.not_applicable = self._run_samples(worker)
            if not self.calls:
                if len(self.not_applicable) < len(self.prompts.samples):
                    raise CellError("no scenario made a call: there is nothing to hold traces against")
                self.status, self.reason = "not applicable", self.not_applicable[0].reason
                return
            # A flush of MLflow's sleeps for most of its time: the other worker makes its calls meanwhile.
            worker.send("drain")
            self._run_samples(untraced, [one.sample_id for one in self.not_applicable])
            worker.receive(self.config.measure.drain_timeout_s)
            self.planted_losses = worker.finish()["planted_losses"]
            untraced.finish()
        self._repeat_own_scenarios(setup, folder)
        self.traces = (
            self.store.read_traces(WORKER_NAME.format(cell=self.cell_id), begun_unix_ns, time.time_ns())
            if own_store is None
            else self._read_own(own_store)
        )
        if self.collector is not None:
            known = {trace.trace_id: trace.call_id for trace in self.traces if trace.call_id is not None}
            self.traces += tuple(stored_traces(self.collector.spans(), known))
        self.completeness_done = True
        if self._is_unintended_failure():
            first = self.calls[0]
            raise CellError(f"every call failed, the first with {first.error_type}: {first.error_message}")

    def _own_store(self, folder: Path) -> Path:
        """A store for an MLflow that cannot use the person's, or whose traces should be as it keeps them."""
        path = folder / "own" / "store.db"
        path.parent.mkdir()
        copy_template(self._template(folder), path)
        return path

    def _read_own(self, path: Path) -> tuple[StoredTrace, ...]:
        """The traces of such a store as its MLflow reads them; the person's store gets a copy of each."""
        self.progress.stage("reading traces with the runtime's MLflow")
        found = self.runtime.read_traces(path)
        for reason in self.store.adopt_traces(found.plain):
            self.progress.note(reason)
        return found.records

    def _is_unintended_failure(self) -> bool:
        """Whether nothing at all was answered, and neither a script nor a recording nor a scenario asks for that."""
        if not self.calls or any(call.outcome != "error" for call in self.calls):
            return False
        samples = self.prompts.samples
        asked_for = any(sample.script or sample.scenario_name == "refused" for sample in samples)
        return not asked_for and self.config.endpoint.kind != "replay"

    def _untraced(self, setup: WorkerSetup) -> WorkerSetup:
        """The same application without tracing: what it gets is what it has to get with tracing."""
        none = {"arm": "baseline", "strategy_target": STRATEGIES["none"], "style": "", "depth": "", "level": UNTRACED}
        return setup.model_copy(update={**none, "tracking_uri": None, "experiment": None})

    def _repeat_own_scenarios(self, setup: WorkerSetup, folder: Path) -> None:
        """Run scenarios of one's own without tracing once more: what they do not repeat, tracing did not change."""
        left_out = {one.sample_id for one in self.not_applicable}
        own = {one.id for one in self.prompts.samples if ":" in one.scenario and one.id not in left_out}
        if not own:
            return
        again = self._untraced(setup).model_copy(update={"fork": CONTROL_FORK})
        self.progress.stage("repeating scenarios of one's own", len(own))
        with ArmProcess(again, folder, self._hidden(), self.runtime) as control:
            control.wait_ready()
            self._run_samples(control, [one.id for one in self.prompts.samples if one.id not in own])
            control.finish()

    def _run_samples(self, worker: ArmProcess, skipped: Sequence[str] = ()) -> tuple[NotApplicable, ...]:
        """Run the samples in one process; gives those that it could not run."""
        worker.send("completeness", skipped=list(skipped))
        while "calls" in (answer := worker.receive(self.config.endpoint.timeout_s * 4 + 60)):
            self.calls += map(Call.model_validate, answer["calls"])
            self.progress.step()
        return tuple(map(NotApplicable.model_validate, answer["not_applicable"]))

    def _loss_pass(self, setup: WorkerSetup, folder: Path, gateway: Gateway) -> None:
        measure = self.config.measure
        if not measure.losses:
            return
        if not plain_samples(setup.samples):
            self.progress.note(f"no sample is of scenario {' or '.join(SCENARIOS)}; losses were not counted")
            return
        plan = LossPlan(setup, measure, self._template(folder), folder, self._hidden(), self.runtime)
        with LossPass(plan, self.progress) as self.losses:
            self.losses.run(gateway.check_alive)

    def _overhead(self) -> OverheadResult:
        """What the forks so far say."""
        arms = 0 if self.timing is None else len(self.timing.arms)
        if self.judged is None or self.judged[0] != arms:
            self.judged = arms, analyse(self.records(), self.config.measure)
        return self.judged[1]

    def _precise_enough(self) -> bool:
        return precision_reached(self._overhead(), self.config.measure)

    def _so_far(self) -> str:
        return so_far(self._overhead().estimates["p50_ms"], self.config.measure)

    def _stop_and_read(self, gateway: Gateway, path: Path) -> None:
        """Stop the gateway, which flushes it, and read what it recorded; trouble must not hide a Ctrl-C."""
        try:
            gateway.stop()
        except HarnessError as error:
            self.trouble = error
        try:
            if path.exists():
                self.exchanges = tuple(read_jsonl(path, Exchange))
        except HarnessError as error:
            self.trouble = self.trouble or error

    def _check_attribution(self) -> None:
        """Hold the exchanges against the calls: a hole in the ground truth fails the cell.

        Raises:
            UnattributedError: If an exchange has no call id.
            CellError: If a call of another pass than completeness went well and has no exchange.
        """
        known = {exchange.call_id for exchange in self.exchanges}
        if None in known:
            count = sum(exchange.call_id is None for exchange in self.exchanges)
            raise UnattributedError(f"unattributed: {count} exchanges reached the gateway without a call id")
        blocks = () if self.timing is None else self.timing.blocks
        silent = sum(call_id not in known for block in blocks for call_id in self._timed_ids(block))
        if silent:
            raise CellError(f"{silent} timed calls went well, but no request of theirs reached the gateway")
        silent = 0 if self.losses is None else len(set(self.losses.answered) - known)
        if silent:
            raise CellError(
                f"{silent} calls of the loss pass went well, but none of their requests reached the gateway"
            )
        silent = 0 if self.timing is None else len(set(self.timing.loads.answered) - known)
        if silent:
            raise CellError(f"{silent} calls under a load went well, but no request of theirs reached the gateway")

    def _timed_ids(self, block: Block) -> Iterator[str]:
        """The call ids of a block's calls that went well."""
        for offset, (sample, error) in enumerate(zip(block.sample_ids, block.errors, strict=True)):
            if error is None:
                repetition = block.first_repetition + offset
                yield str(CallId(self.cell_id, "timing", block.fork, block.arm, repetition, sample))

    def records(self) -> CellRecords:
        """Everything that was recorded so far."""
        timing = self.timing
        return CellRecords(
            cell=self._cell_record(),
            calls=tuple(self.calls),
            # A saturation makes tens of thousands: they are checked to be there, and not kept.
            exchanges=tuple(one for one in self.exchanges if not _is_of_load(one)),
            traces=self.traces,
            blocks=() if timing is None else tuple(timing.blocks),
            arms=() if timing is None else tuple(timing.arms),
            machine=() if timing is None else tuple(timing.machine),
            losses=() if self.losses is None else tuple(self.losses.losses),
            samples=tuple(
                SentSample(sample_id=sample.id, fields=sample.model_dump(mode="json", exclude_defaults=True))
                for sample in self.prompts.samples
            ),
            loads=() if timing is None else tuple(timing.loads.runs),
        )

    def _skipped_loads(self) -> tuple[SkippedLoad, ...]:
        """Loads that were asked for and could not be run."""
        if self.timing is not None:
            return self.timing.loads.skipped_loads()
        reason = "no sample of the prompt set can be timed"
        return tuple(SkippedLoad(load=load, reason=reason) for load in self.config.measure.loads)

    def _cell_record(self) -> CellRecord:
        config = self.config
        return CellRecord(
            cell_id=self.cell_id,
            sweep_id=config.sweep.sweep_id,
            provider=config.provider.name,
            backend=config.provider.backend,
            prompts=self.prompts.name,
            tracing=config.tracing.name,
            style=strategy_label(config.tracing),
            switches=switches_label(config.tracing.export),
            endpoint=config.endpoint.name,
            measure=config.measure.name,
            seed=config.seed,
            strategy_source=self.source,
            expects_traces=self.expects_traces,
            expected_share=traces_share(config.tracing),
            config=public_config(config),
            versions=self.versions,
            machine=self.machine,
            prompt_set_digest=self.prompts.digest,
            sample_count=len(self.prompts.samples),
            period_ms=None if self.timing is None else self.timing.period_ms,
            started_unix_ns=self.started_unix_ns,
            ended_unix_ns=time.time_ns(),
            completeness_done=self.completeness_done,
            status=self.status,
            reason=None if self.reason is None else without_secrets(self.reason),
            input_error=self.is_input_error,
            not_applicable=self.not_applicable,
            skipped_loads=self._skipped_loads(),
            compares_values=config.endpoint.kind in REPEATABLE_ENDPOINTS,
            level=config.tracing.level,
            against=config.tracing.against,
            into=config.tracing.into,
            runtime=runtime_label(config.runtime),
            stopped_by="" if self.timing is None else self.timing.stopped_by,
            stages_s=self.stages.seconds(),
            planted_losses=self.planted_losses,
        )


def _is_of_load(exchange: Exchange) -> bool:
    return exchange.call_id is not None and CallId.parse(exchange.call_id).phase == "load"


def public_config(config: HarnessConfig) -> dict[str, Any]:
    """The configuration as it may be recorded: passwords in URLs are replaced."""
    plain = asdict(config)
    for group, key in (("store", "uri"), ("endpoint", "base_url"), ("sweep", "command")):
        if plain[group][key]:
            plain[group][key] = without_secrets(plain[group][key])
    plain["runtime"]["packages"] = list(map(without_secrets, plain["runtime"]["packages"]))
    plain["provider"]["model"] = config.provider.model or DEFAULT_MODELS[config.provider.backend]
    plain["environment"] = measured_environment()
    return plain


def measured_environment() -> dict[str, str]:
    """Variables of the environment that reach the workers and may change what is measured.

    Names that may hold a secret are recorded as being set, without their value.
    """
    return {
        name: "[set]" if _SECRET.search(name) else without_secrets(value)
        for name, value in sorted(without_switches(os.environ).items())
        if name.startswith(("MLFLOW_", "OTEL_")) and name not in _NOT_A_SWITCH
    }


def hidden_variables(key_env: str) -> tuple[str, ...]:
    """Keys and addresses that an SDK would take from the environment: the gateway alone may have them.

    Args:
        key_env: The variable of the endpoint's key; empty for none.
    """
    own = (key_env,) if key_env else ()
    return (*own, *(name for name in os.environ if _PROVIDER_VARIABLE.match(name)))
