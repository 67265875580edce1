"""The timing pass: forks of two fresh processes, interleaved blocks, one arm running at a time."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.experiment.arm import ArmProcess
from harness.experiment.plan import ARMS, arm_order, block_plans, sample_order
from harness.processes import pinned, split_cpus
from harness.records import Arm, ArmRun, Block
from harness.runtimes import HARNESS
from harness.stores.throwaway import TEMPLATE_EXPERIMENT, count_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.config import MeasureConfig
    from harness.experiment.progress import Progress
    from harness.runtimes import Runtime
    from harness.worker import WorkerSetup

PRIME_CALLS = 3
FORKS_AT_ONCE = 4
"""How many forks' processes are started together; each pair holds about half a GiB."""


class ArmPlan(NamedTuple):
    """What one arm of every fork is made of."""

    strategy_target: str
    style: str
    depth: str
    stores: bool


class TimingPlan(NamedTuple):
    """Everything that the timing pass of one cell needs.

    Attributes:
        base: The setup that all workers share.
        arms: By arm, what it runs.
        template: A migrated SQLite store to copy for each arm that stores.
        folder: Where the arms' stores live.
        hidden: Environment variables that workers must not see.
        runtime: What both arms run in.
    """

    base: WorkerSetup
    arms: dict[Arm, ArmPlan]
    measure: MeasureConfig
    seed: int
    template: Path
    folder: Path
    hidden: tuple[str, ...]
    runtime: Runtime = HARNESS


class _ArmState:
    """One arm of one fork while it is being timed."""

    def __init__(self, plan: TimingPlan, fork: int, arm: Arm) -> None:
        self.fork = fork
        self.arm: Arm = arm
        self.folder = plan.folder / f"fork{fork}-{arm}"
        self.folder.mkdir()
        self.store: Path | None = None
        arm_plan = plan.arms[arm]
        if arm_plan.stores:
            self.store = self.folder / "store.db"
            shutil.copyfile(plan.template, self.store)
        setup = plan.base.model_copy(
            update={
                "role": "timing",
                "fork": fork,
                "arm": arm,
                "strategy_target": arm_plan.strategy_target,
                "style": arm_plan.style,
                "depth": arm_plan.depth,
                "tracking_uri": None if self.store is None else f"sqlite:///{self.store}",
                "experiment": None if self.store is None else TEMPLATE_EXPERIMENT,
                "store_path": None if self.store is None else str(self.store),
                "prime_calls": PRIME_CALLS,
            }
        )
        self.process = ArmProcess(setup, self.folder, plan.hidden, plan.runtime)
        self.warmup: dict[str, int] = {}
        self.measured_calls = 0

    def record(self, totals: dict[str, Any], last_drain: dict[str, Any]) -> ArmRun:
        """The arm's totals as a record, once its process has ended."""
        stored = 0 if self.store is None else count_traces(self.store)
        expected = totals["expected_traces"]
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
            # Where calls are sampled nobody can say which traces should be there: none counts as lost.
            expected_traces=stored if expected is None else expected,
            stored_traces=stored,
            stored_bytes=totals["stored_bytes"],
            peak_memory_bytes=totals["peak_memory_bytes"],
        )


class TimingPass:
    """Runs forks until told to stop; what was measured so far is in ``blocks`` and ``arms``.

    Only complete forks count in the analysis, so an interruption loses at most the fork that
    was under way.
    """

    def __init__(self, plan: TimingPlan, progress: Progress) -> None:
        self.plan = plan
        self.progress = progress
        self.blocks: list[Block] = []
        self.arms: list[ArmRun] = []
        self.period_ms: float = plan.measure.period_ms
        self._waiting: dict[int, dict[Arm, _ArmState]] = {}
        self._forks_started = 0

    def start_processes(self, most: int) -> None:
        """Start the processes of the next forks, so that they import while something else goes on."""
        for _ in range(min(most, FORKS_AT_ONCE)):
            fork = self._forks_started
            self._forks_started += 1
            pair: dict[Arm, _ArmState] = {}
            self._waiting[fork] = pair
            for arm in ARMS:
                pair[arm] = _ArmState(self.plan, fork, arm)

    def close(self) -> None:
        """End every process that is still there."""
        for pair in self._waiting.values():
            for state in pair.values():
                state.process.kill()
        self._waiting.clear()

    def wait_until_ready(self) -> None:
        """Wait for the processes that were started, and let them rest until their fork's turn."""
        self.progress.stage("starting processes", 2 * len(self._waiting))
        for state in self._states():
            state.process.wait_ready()
            state.process.rest()
            self.progress.step()

    def run(self, enough: Callable[[], bool]) -> None:
        """Run forks: at least ``measure.forks``, then until ``enough()`` or ``measure.max_forks``."""
        measure = self.plan.measure
        done = 0
        while done < measure.max_forks and (done < measure.forks or not enough()):
            if not self._waiting:
                self.start_processes((measure.forks if done < measure.forks else measure.max_forks) - done)
                self.wait_until_ready()
            done += self._run_waiting(enough, done)

    def _run_waiting(self, enough: Callable[[], bool], done: int) -> int:
        """Run all forks whose processes are ready; returns how many were run."""
        measure = self.plan.measure
        arm_cpus, parent_cpus = split_cpus()
        ran = 0
        with pinned(parent_cpus):
            for state in self._states():
                state.process.pin(arm_cpus)
            for fork in sorted(self._waiting):
                if done + ran >= measure.forks and enough():
                    break
                self.progress.stage(f"timing, fork {fork + 1}", 2 * measure.blocks)
                self._run_fork(fork, self._waiting[fork])
                del self._waiting[fork]
                ran += 1
        self.close()
        return ran

    def _states(self) -> Iterator[_ArmState]:
        for pair in self._waiting.values():
            yield from pair.values()

    def _run_fork(self, fork: int, pair: dict[Arm, _ArmState]) -> None:
        plan, measure = self.plan, self.plan.measure
        for arm in arm_order(plan.seed, fork):
            with self._running(pair[arm]):
                self._warm_up(pair[arm])
        for block in block_plans(
            plan.seed,
            fork,
            samples=len(plan.base.samples),
            blocks=measure.blocks,
            calls_per_block=measure.calls_per_block,
            first_repetition=PRIME_CALLS + measure.warmup_calls,
        ):
            state = pair[block.arm]
            with self._running(state):
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
        for arm in ARMS:
            state = pair[arm]
            state.process.resume()
            last_drain = self._drain(state)
            totals = state.process.finish()
            self.arms.append(state.record(totals, last_drain))
            shutil.rmtree(state.folder, ignore_errors=True)

    @contextlib.contextmanager
    def _running(self, state: _ArmState) -> Iterator[None]:
        """Let one arm run; the other rests: stopped, or with nothing left to do."""
        state.process.resume()
        yield
        if self.plan.measure.rest == "drain":
            self._drain(state)
        else:
            state.process.rest()

    def _block_timeout_s(self, calls: int) -> float:
        """How long a block may take: every call may use up its time-out, with two retries of the SDK."""
        return 60.0 + calls * (3 * self.plan.base.timeout_s + self.period_ms / 1e3)

    def _drain(self, state: _ArmState) -> dict[str, Any]:
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
        if state.store is not None:
            self._keep_below_drain_rate(state)

    def _keep_below_drain_rate(self, state: _ArmState) -> None:
        """Pace the load below what the store was just seen to drain; set once, by the first fork."""
        if state.fork != 0:
            return
        per_trace_ms = state.warmup["total_ns"] / 1e6 / state.warmup["calls"]
        least_ms = per_trace_ms / self.plan.measure.max_load
        if least_ms > self.period_ms:
            self.progress.note(
                f"the store takes {per_trace_ms:.1f} ms a trace, so timed calls start {least_ms:.0f} ms apart "
                f"instead of {self.period_ms:.0f} ms"
            )
            self.period_ms = least_ms
