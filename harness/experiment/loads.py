"""The load pass: what both arms of a fork do under further loads, once their measured blocks are done."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Protocol

from harness.experiment.loss import DRAIN_S_PER_CALL
from harness.experiment.plan import ARMS
from harness.loads import SATURATION, Load, parse_load
from harness.records import CallId, LoadRun, SkippedLoad
from harness.stores.counting import TraceCount, count_traces, whole_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.config import MeasureConfig
    from harness.experiment.arm import ArmProcess
    from harness.experiment.progress import Progress
    from harness.records import Arm

KEPT_UP = 0.9
"""Below this share of the offered rate the calls themselves are the limit: more cannot be offered."""
MOST_CALLS_A_STEP = 2000
"""Twice what MLflow's queue of writes holds: at such rates it overflows well before."""
SIMULATOR_ONLY = "only endpoint=simulator can give an answer of the size that is asked for"
COUNTED_ONCE = "what a collector received is counted once, at its end; use tracing.into=sqlite or server"
FLOODS = "it would flood the provider behind the endpoint; use endpoint=simulator"


class ArmState(Protocol):
    """What the pass needs of one arm of one fork: its process, and its store if it has one."""

    arm: Arm

    @property
    def process(self) -> ArmProcess:
        """Its worker."""

    @property
    def store(self) -> Path | None:
        """The SQLite file in which its traces end up; ``None`` for an arm that leaves none there."""

    @property
    def counted_at_end(self) -> bool:
        """Whether what came can be counted only once."""


class LoadPass:
    """Runs the loads of one fork after the other; what was measured so far is in ``runs``.

    Attributes:
        runs: One record for each arm, load (of a saturation: each step) and fork.
        answered: Ids of the calls that went well, which the gateway must have seen.
        skipped: Loads that could not be run, with the reasons.
        measure: What to run, and how much of it.
        seed: The order of loads and arms is a function of it.
        timeout_s: How long one request of an SDK may take.
    """

    def __init__(self, measure: MeasureConfig, seed: int, endpoint_kind: str, timeout_s: float) -> None:
        self.runs: list[LoadRun] = []
        self.answered: list[str] = []
        self.skipped: dict[str, str] = {}
        self.measure = measure
        self.seed = seed
        self.timeout_s = timeout_s
        self._loads: list[Load] = []
        for load in map(parse_load, measure.loads):
            reason = _cannot_answer(load, endpoint_kind)
            if reason:
                self.skipped[str(load)] = reason
            else:
                self._loads.append(load)

    def skipped_loads(self) -> tuple[SkippedLoad, ...]:
        """What could not be run, as records."""
        return tuple(SkippedLoad(load=load, reason=reason) for load, reason in self.skipped.items())

    def run(
        self,
        fork: int,
        pair: Mapping[Arm, ArmState],
        running: Callable[[Arm], AbstractContextManager[None]],
        progress: Progress,
    ) -> None:
        """Run all loads in one fork of two arms that have drained.

        Args:
            fork: Index of the fork; those from ``measure.forks`` on have no loads, so that a timing pass that
                adds forks for its precision does not take ever longer.
            pair: The two arms.
            running: Lets one arm run while the other rests.
            progress: Is told of each load.
        """
        if fork < self.measure.forks and self._loads:
            _ForkLoads(self, fork, pair, running).run(self._loads, progress)


class _ForkLoads:
    """The loads of one fork."""

    def __init__(
        self,
        owner: LoadPass,
        fork: int,
        pair: Mapping[Arm, ArmState],
        running: Callable[[Arm], AbstractContextManager[None]],
    ) -> None:
        self._owner = owner
        self._measure = owner.measure
        self._fork = fork
        self._pair = pair
        self._running = running
        self._draw = random.Random(f"{owner.seed}/loads/{fork}")  # noqa: S311  # reproducible, not secret
        self._position = 0
        self._repetition = 0
        self._stored = {arm: _count(pair[arm].store) for arm in ARMS}

    def run(self, loads: list[Load], progress: Progress) -> None:
        """Run the loads in random order; a saturation comes last, because it leaves the store's queues behind it."""
        possible = self._possible(loads)
        steady = [load for load in possible if load.kind != SATURATION]
        order = self._draw.sample(steady, len(steady)) + [load for load in possible if load.kind == SATURATION]
        for load in order:
            progress.stage(f"load {load}, fork {self._fork + 1}")
            if load.kind == SATURATION:
                self._saturate(load)
            else:
                self._both(load, load.calls(self._measure.load_calls), load.warmup_calls)

    def _possible(self, loads: list[Load]) -> list[Load]:
        """The loads that both arms can run."""
        if any(self._pair[arm].counted_at_end for arm in ARMS):
            self._owner.skipped |= dict.fromkeys(map(str, loads), COUNTED_ONCE)
            return []
        for arm in ARMS:
            with self._running(arm):
                answer = self._pair[arm].process.ask("why_not", loads=list(map(str, loads)))
            self._owner.skipped |= answer["reasons"]
        return [load for load in loads if str(load) not in self._owner.skipped]

    def _saturate(self, load: Load) -> None:
        """Offer more and more until traces are lost, calls come back to back, or the time is over."""
        measure = self._measure
        begun_s = time.monotonic()
        rate_per_s: float | None = measure.saturation_from_per_s
        warmup_calls = load.warmup_calls
        while rate_per_s is not None:
            calls = min(MOST_CALLS_A_STEP, max(1, round(rate_per_s * measure.saturation_step_s)))
            strategy = self._both(load, calls, warmup_calls, rate_per_s)["strategy"]
            warmup_calls = 0
            if strategy.stored_traces < strategy.expected_traces or self._is_over(begun_s):
                return
            keeps_up = strategy.calls * 1e9 / strategy.wall_ns >= KEPT_UP * rate_per_s
            rate_per_s = 2 * rate_per_s if keeps_up else None
        self._both(load, max(calls, measure.burst_calls), 0)

    def _is_over(self, begun_s: float) -> bool:
        return time.monotonic() - begun_s >= self._measure.saturation_max_s

    def _both(self, load: Load, calls: int, warmup_calls: int, rate_per_s: float | None = None) -> dict[Arm, LoadRun]:
        """One load, or one step of a saturation, by both arms in random order."""
        found: dict[Arm, LoadRun] = {}
        for arm in self._draw.sample(ARMS, 2):
            with self._running(arm):
                found[arm] = self._one(load, self._pair[arm], calls, warmup_calls, rate_per_s)
            self._owner.runs.append(found[arm])
            self._position += 1
        self._repetition += warmup_calls + calls
        return found

    def _one(self, load: Load, state: ArmState, calls: int, warmup_calls: int, rate_per_s: float | None) -> LoadRun:
        answer = state.process.ask(
            "load",
            timeout_s=self._timeout_s(calls + warmup_calls, rate_per_s),
            load=str(load),
            calls=calls,
            warmup_calls=warmup_calls,
            first_repetition=self._repetition,
            rate_per_s=rate_per_s,
        )
        self._owner.answered += answer.pop("answered")
        expected, with_warmup = answer.pop("expected_traces"), answer.pop("expected_with_warmup")
        if load.kind == SATURATION:
            stored = self._stored_whole(state, self._repetition + warmup_calls)
        else:
            expected, stored = self._newly_stored(state).against(with_warmup)
        return LoadRun(
            fork=self._fork,
            arm=state.arm,
            load=str(load),
            position=self._position,
            offered_per_s=rate_per_s,
            # Where calls are sampled nobody can say which traces should be there: none counts as lost.
            expected_traces=stored if expected is None else expected,
            stored_traces=stored,
            **answer,
        )

    def _newly_stored(self, state: ArmState) -> TraceCount:
        """Traces in the arm's store that were not there before this load."""
        before = self._stored[state.arm]
        self._stored[state.arm] = after = _count(state.store)
        return after.since(before)

    def _stored_whole(self, state: ArmState, first_repetition: int) -> int:
        """Whole traces of the step's own calls; its warm-up, all at once, may overflow a small queue by itself."""
        if state.store is None:
            return 0
        calls = map(CallId.parse, whole_calls(state.store))
        return sum(call.phase == "load" and call.repetition >= first_repetition for call in calls)

    def _timeout_s(self, calls: int, rate_per_s: float | None) -> float:
        """How long a load may take: every call may use up its time-out, with two retries of the SDK."""
        paced_s = 0.0 if rate_per_s is None else calls / rate_per_s
        own_s = calls * (3 * self._owner.timeout_s + DRAIN_S_PER_CALL)
        return 60.0 + 2 * self._measure.drain_timeout_s + paced_s + own_s


def _count(store: Path | None) -> TraceCount:
    return TraceCount(0, 0) if store is None else count_traces(store)


def _cannot_answer(load: Load, endpoint_kind: str) -> str:
    """Why the endpoint is not asked under this load; empty if it is."""
    if load.needs_simulator and endpoint_kind != "simulator":
        return SIMULATOR_ONLY
    return FLOODS if load.kind == SATURATION and endpoint_kind == "forward" else ""
