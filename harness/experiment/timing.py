"""The timing pass: forks of two fresh processes, interleaved blocks, one arm running at a time."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.experiment.arm import ArmProcess
from harness.experiment.destinations import DESTINATIONS, SqliteFile
from harness.experiment.loads import LoadPass
from harness.experiment.plan import ARMS, arm_order, block_plans, sample_order
from harness.experiment.stages import Stages
from harness.experiment.watch import MachineWatch
from harness.overhead import MIN_FORKS
from harness.processes import CPU_STEP_NS, pinned, split_cpus
from harness.records import Arm, ArmRun, Block, MachineSample, StoppedBy
from harness.runtimes import HARNESS
from harness.stores.counting import TraceCount
from harness.stores.throwaway import TEMPLATE_EXPERIMENT
from harness.tracing.levels import EXPORTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.config import MeasureConfig
    from harness.experiment.progress import Progress
    from harness.runtimes import Runtime
    from harness.served import Served
    from harness.worker import WorkerSetup

PRIME_CALLS = 3
FORKS_AT_ONCE = 4
"""How many forks' processes are started together; each pair holds about half a GiB, with a server beside it
a third more."""


class ArmPlan(NamedTuple):
    """What one arm of every fork is made of.

    Attributes:
        level: How far its strategy goes.
        into: Where its traces go; empty for an arm without tracing. Below ``exported`` none should come.
        environment: Variables that turn MLflow's switches, those of the destination left out.
    """

    strategy_target: str
    style: str
    depth: str
    level: str
    into: str
    environment: dict[str, str]


class TimingPlan(NamedTuple):
    """Everything that the timing pass of one cell needs.

    Attributes:
        base: The setup that all workers share.
        arms: By arm, what it runs.
        template: A migrated SQLite store to copy for each arm that traces.
        folder: Where the arms' stores live.
        hidden: Environment variables that workers must not see.
        endpoint_kind: What answers: not every endpoint can take every load.
        runtime: What both arms run in.
    """

    base: WorkerSetup
    arms: dict[Arm, ArmPlan]
    measure: MeasureConfig
    seed: int
    template: Path
    folder: Path
    hidden: tuple[str, ...]
    endpoint_kind: str = "simulator"
    runtime: Runtime = HARNESS


class _ArmState:
    """One arm of one fork while it is being timed."""

    def __init__(self, plan: TimingPlan, fork: int, arm: Arm) -> None:
        self.fork = fork
        self.arm: Arm = arm
        self.plan = plan
        self.arm_plan = plan.arms[arm]
        self.folder = plan.folder / f"fork{fork}-{arm}"
        self.folder.mkdir()
        self.destination: SqliteFile | None = None
        if self.arm_plan.into:
            _, others_cpus = split_cpus(pin=plan.measure.pin)
            self.destination = DESTINATIONS[self.arm_plan.into](self.folder, plan.template, others_cpus)
        self._process: ArmProcess | None = None
        self._destination_cpu_ns = 0
        self.warmup: dict[str, int] = {}
        self.measured_calls = 0

    @property
    def process(self) -> ArmProcess:
        """The arm's worker, once it was started."""
        assert self._process is not None  # noqa: S101 - for the type checker
        return self._process

    @property
    def stores(self) -> bool:
        """Whether its calls should leave traces."""
        return self.destination is not None and self.arm_plan.level == EXPORTED

    def start(self) -> None:
        """Start the worker; it has to be told where its traces go, so its destination has to be up."""
        arm_plan, to = self.arm_plan, self.destination
        if to is not None:
            to.wait_ready()
        setup = self.plan.base.model_copy(
            update={
                "role": "timing",
                "fork": self.fork,
                "arm": self.arm,
                "strategy_target": arm_plan.strategy_target,
                "style": arm_plan.style,
                "depth": arm_plan.depth,
                "level": arm_plan.level,
                "expected_share": self.plan.base.expected_share if arm_plan.level == EXPORTED else 0.0,
                "environment": arm_plan.environment | ({} if to is None else to.environment),
                "tracking_uri": None if to is None else to.tracking_uri,
                "experiment": None if to is None else TEMPLATE_EXPERIMENT,
                "store_path": None if to is None else str(to.written_path),
                "artifacts_path": None if to is None else str(to.artifacts),
                "prime_calls": PRIME_CALLS,
            }
        )
        seed = self.plan.measure.hash_seed
        # Said in any case: a person's shell may have set one.
        chance = {"PYTHONHASHSEED": "random" if seed is None else str(seed)}
        self._process = ArmProcess(setup, self.folder, self.plan.hidden, self.plan.runtime, chance)

    def rest(self) -> None:
        """Stop the worker, and then what runs beside it."""
        self.process.rest()
        if (beside := self._beside) is not None:
            beside.rest()

    def resume(self) -> None:
        """Let the worker go on, after what runs beside it."""
        if (beside := self._beside) is not None:
            beside.resume()
        self.process.resume()

    @property
    def store(self) -> Path | None:
        """The SQLite file in which its traces end up; ``None`` for an arm that leaves none there."""
        return self.destination.store if self.destination is not None and self.stores else None

    @property
    def spans_alone(self) -> bool:
        """Whether its traces are spans without MLflow's own write of the trace."""
        return bool(self.process.ready["spans_alone"])

    @property
    def counted_at_end(self) -> bool:
        """Whether what came can be counted only once."""
        return self.destination is not None and self.destination.counted_at_end

    @property
    def _beside(self) -> Served | None:
        """What runs beside it, unless that has been ended for its count."""
        beside = None if self.destination is None else self.destination.beside
        return None if beside is None or beside.ended else beside

    def end(self) -> None:
        """End what runs beside it.

        Raises:
            CellError: If that had died before.
        """
        if self.destination is not None:
            self.destination.end()

    def begin_measured(self) -> None:
        """From here on what runs beside the worker works for measured calls."""
        self._destination_cpu_ns = self._cpu_beside_ns() or 0

    def end_measured(self) -> None:
        """The last drain of measured calls is over."""
        self._destination_cpu_ns = (self._cpu_beside_ns() or 0) - self._destination_cpu_ns

    def kill(self) -> None:
        """End every process of the arm."""
        if self._process is not None:
            self._process.kill()
        if self.destination is not None:
            self.destination.close()

    def _cpu_beside_ns(self) -> int | None:
        beside = self._beside
        return None if beside is None else beside.cpu_ns()

    def record(self, totals: dict[str, Any], last_drain: dict[str, Any]) -> ArmRun:
        """The arm's totals as a record, once it has drained."""
        to = self.destination
        beside = None if to is None else to.beside
        count = TraceCount(0, 0) if to is None else to.count(spans_alone=self.spans_alone)
        expected, stored = count.against(totals["expected_traces"])
        return ArmRun(
            fork=self.fork,
            arm=self.arm,
            pid=self.process.pid,
            cpus=tuple(totals["cpus"]),
            import_cpu_ns=self.process.ready["import_cpu_ns"],
            warmup_calls=self.warmup["calls"],
            warmup_ns=self.warmup["total_ns"],
            warmup_drain_ns=self.warmup["drain_ns"],
            measured_calls=self.measured_calls,
            measured_cpu_ns=last_drain["cpu_ns"] or 0,
            drain_ns=last_drain["drain_ns"],
            expected_traces=expected,
            stored_traces=stored,
            stored_bytes=totals["stored_bytes"] if to is None or to.has_size else None,
            peak_memory_bytes=totals["peak_memory_bytes"],
            destination="" if to is None else to.name,
            destination_cpu_ns=None if beside is None else self._destination_cpu_ns,
            first_calls=PRIME_CALLS,
            **self.process.ready["first"],
            planted_losses=totals["planted_losses"],
            astray_traces=0 if to is None else to.astray(),
            destination_cpu_step_ns=CPU_STEP_NS,
        )


class _Host:
    """The timing pass as the loads of one fork see it."""

    def __init__(self, timing: TimingPass, fork: int, pair: dict[Arm, _ArmState]) -> None:
        self._timing = timing
        self._fork = fork
        self._pair = pair

    def running(self, arm: Arm) -> contextlib.AbstractContextManager[None]:
        """Let one arm run while the other rests."""
        return self._timing.running(self._pair[arm])

    def watched(self, position: int, load: str) -> contextlib.AbstractContextManager[None]:
        """Note what the machine does meanwhile."""
        return self._timing.watched(self._fork, position, load)


class TimingPass:
    """Runs forks until told to stop; what was measured so far is in ``blocks``, ``arms`` and ``machine``.

    Only complete forks count in the analysis, so an interruption loses at most the fork that
    was under way.

    Attributes:
        stopped_by: What ended the adding of forks.
    """

    def __init__(self, plan: TimingPlan, progress: Progress, stages: Stages | None = None) -> None:
        self.plan = plan
        self.progress = progress
        self.stages = stages or Stages()
        self.blocks: list[Block] = []
        self.arms: list[ArmRun] = []
        self.machine: list[MachineSample] = []
        self.stopped_by: StoppedBy = ""
        self.period_ms: float = plan.measure.period_ms
        self._watch = MachineWatch()
        self.loads = LoadPass(plan.measure, plan.seed, plan.endpoint_kind, plan.base.timeout_s)
        self._waiting: dict[int, dict[Arm, _ArmState]] = {}
        self._forks_started = 0

    def start_processes(self, most: int) -> None:
        """Start the processes of the next forks, so that they import while something else goes on."""
        started: list[dict[Arm, _ArmState]] = []
        for _ in range(min(most, FORKS_AT_ONCE)):
            fork = self._forks_started
            self._forks_started += 1
            pair: dict[Arm, _ArmState] = {}
            self._waiting[fork] = pair
            # In the order of their warm-up: an arm that always began first would import beside fewer others.
            for arm in arm_order(self.plan.seed, fork):
                pair[arm] = _ArmState(self.plan, fork, arm)
            started.append(pair)
        # What runs beside the arms comes up in the meantime.
        for pair in started:
            for state in pair.values():
                state.start()

    def close(self) -> None:
        """End every process that is still there."""
        for pair in self._waiting.values():
            for state in pair.values():
                state.kill()
        self._waiting.clear()

    def wait_until_ready(self) -> None:
        """Wait for the processes that were started, and let them rest until their fork's turn."""
        self.progress.stage("starting processes", 2 * len(self._waiting))
        with self.stages.of("starting"):
            for state in self._states():
                state.process.wait_ready()
                state.rest()
                self.progress.step()

    def run(self, enough: Callable[[], bool], told: Callable[[], str] = str) -> None:
        """Run forks until there are enough of them.

        Args:
            enough: Whether the forks so far give what was asked for; asked after each one.
            told: What is known after the forks so far, in words.
        """
        begun_s = time.monotonic()
        done = 0
        while self._goes_on(done, time.monotonic() - begun_s, enough):
            if not self._waiting:
                measure = self.plan.measure
                self.start_processes((measure.forks if done < measure.forks else measure.max_forks) - done)
                self.wait_until_ready()
            fork = min(self._waiting)
            known = told()
            self.progress.stage(f"timing, fork {fork + 1}{'; ' + known if known else ''}", 2 * self.plan.measure.blocks)
            self._run_fork(fork, self._waiting[fork])
            del self._waiting[fork]
            done += 1
        self.close()

    def _goes_on(self, done: int, elapsed_s: float, enough: Callable[[], bool]) -> bool:
        """Whether another fork is to be run. What the forks say is asked for their precision alone."""
        measure = self.plan.measure
        spent = 0 < measure.budget_s <= elapsed_s
        if done < min(measure.forks, MIN_FORKS) or (done < measure.forks and not spent):
            return True
        if done >= measure.forks and enough():
            asks = measure.precision_ms > 0 or measure.precision_relative > 0
            self.stopped_by = "precision" if asks else ""
        elif done >= measure.max_forks:
            self.stopped_by = "max_forks"
        elif spent:
            self.stopped_by = "budget"
        else:
            return True
        return False

    def _states(self) -> Iterator[_ArmState]:
        for pair in self._waiting.values():
            yield from pair.values()

    def _run_fork(self, fork: int, pair: dict[Arm, _ArmState]) -> None:
        arm_cpus, parent_cpus = split_cpus(pin=self.plan.measure.pin)
        self._watch.find_own()
        with pinned(parent_cpus):
            for state in pair.values():
                state.process.pin(arm_cpus)
            for arm in arm_order(self.plan.seed, fork):
                with self.stages.of("warm_up"), self.running(pair[arm]):
                    self._warm_up(pair[arm])
                    pair[arm].begin_measured()
            self._run_blocks(fork, pair)
            for arm in ARMS:
                self._conclude(pair[arm])
            with self.stages.of("loads"):
                in_step = self.loads.run(fork, pair, _Host(self, fork, pair), self.progress)
            for arm in ARMS:
                if in_step:
                    self._finish(pair[arm])
                else:
                    self._give_up(pair[arm])

    def _run_blocks(self, fork: int, pair: dict[Arm, _ArmState]) -> None:
        plan, measure = self.plan, self.plan.measure
        for block in block_plans(
            plan.seed,
            fork,
            samples=len(plan.base.samples),
            blocks=measure.blocks,
            calls_per_block=measure.calls_per_block,
            first_repetition=PRIME_CALLS + measure.warmup_calls,
        ):
            state = pair[block.arm]
            with self.watched(fork, block.position), self.stages.of("measuring"), self.running(state):
                answer = state.process.ask(
                    "block",
                    timeout_s=self._block_timeout_s(len(block.order)),
                    kind="measured",
                    block=block.block,
                    position=block.position,
                    first_repetition=block.first_repetition,
                    order=block.order,
                    period_ns=int(self.period_ms * 1e6),
                )
            self.blocks.append(Block.model_validate(answer["block"]))
            state.measured_calls += len(block.order)
            self.progress.step()

    def _conclude(self, state: _ArmState) -> None:
        """Drain an arm and count what it stored; what loads add is no part of the arm's own totals."""
        with self.running(state):
            last_drain = self._drain(state)
            state.end_measured()
            with self.stages.of("counting"):
                self.arms.append(state.record(state.process.ask("totals"), last_drain))

    def _finish(self, state: _ArmState) -> None:
        """End an arm with what runs beside it."""
        state.resume()
        with self.stages.of("counting"):
            state.process.finish()
            state.end()
            shutil.rmtree(state.folder, ignore_errors=True)

    def _give_up(self, state: _ArmState) -> None:
        """Kill an arm that cannot be asked any more, with what runs beside it."""
        state.kill()
        shutil.rmtree(state.folder, ignore_errors=True)

    @contextlib.contextmanager
    def running(self, state: _ArmState) -> Iterator[None]:
        """Let one arm run; the other rests: stopped, or with nothing left to do."""
        state.resume()
        yield
        if self.plan.measure.rest == "drain":
            self._drain(state)
        else:
            state.rest()

    @contextlib.contextmanager
    def watched(self, fork: int, position: int, load: str = "") -> Iterator[None]:
        """Note what the machine does meanwhile, as that of a block or of a load."""
        self._watch.begin()
        yield
        self.machine.append(self._watch.end(fork, position, load))

    def _block_timeout_s(self, calls: int) -> float:
        """How long a block may take: every call may use up its time-out, with two retries of the SDK."""
        return 60.0 + calls * (3 * self.plan.base.timeout_s + self.period_ms / 1e3)

    def _drain(self, state: _ArmState) -> dict[str, Any]:
        with self.stages.of("draining"):
            return state.process.ask("drain", timeout_s=self.plan.measure.drain_timeout_s)

    def _warm_up(self, state: _ArmState) -> None:
        """A burst back to back, then drained: it warms the arm up and shows how fast its store drains."""
        plan, measure = self.plan, self.plan.measure
        order = sample_order(plan.seed, state.fork, len(plan.base.samples), PRIME_CALLS, measure.warmup_calls)
        answer = state.process.ask(
            "block",
            timeout_s=self._block_timeout_s(len(order)),
            kind="warmup",
            block=0,
            position=0,
            first_repetition=PRIME_CALLS,
            order=order,
            period_ns=0,
        )
        block = Block.model_validate(answer["block"])
        self.blocks.append(block)
        drained = self._drain(state)
        first_ns = block.start_ns[0]
        last_ns = block.start_ns[-1] + block.latency_ns[-1]
        stored_ns = max(last_ns, drained["last_write_ns"] or 0)
        state.warmup = {"calls": len(order), "total_ns": stored_ns - first_ns, "drain_ns": stored_ns - last_ns}
        if measure.gc != "on":
            state.process.ask("collect", mode=measure.gc)
        if state.stores and state.process.ready["expects_traces"]:
            self._keep_below_drain_rate(state)

    def _keep_below_drain_rate(self, state: _ArmState) -> None:
        """Pace the load below what the store was just seen to drain; set once, by the first fork."""
        if state.fork != 0:
            return
        # Of a call, which where calls are sampled is not a trace: the pace is that of calls.
        per_call_ms = state.warmup["total_ns"] / 1e6 / state.warmup["calls"]
        least_ms = per_call_ms / self.plan.measure.max_load
        if least_ms > self.period_ms:
            self.progress.note(
                f"the store takes {per_call_ms:.1f} ms a call, so timed calls start {least_ms:.0f} ms apart "
                f"instead of {self.period_ms:.0f} ms"
            )
            self.period_ms = least_ms
