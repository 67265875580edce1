"""The load pass: what both arms of a fork do under further loads, once their measured blocks are done."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.errors import CellError, WorkerError
from harness.experiment.loss import DRAIN_S_PER_CALL
from harness.experiment.plan import ARMS
from harness.loads import SATURATION, Load, parse_load
from harness.records import CallId, LadderEnd, LoadRun, SkippedLoad
from harness.stores.counting import TraceCount, count_traces, whole_calls

if TYPE_CHECKING:
    from collections.abc import Mapping
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
NOTHING_TO_LOSE = "the strategy stores no traces, so there is nothing that a high rate could lose"
UNTIED = "the strategy has spans alone stored, which do not say whose calls' they are: lost ones could not be told"
BY_CHANCE = "chance decides which calls leave a trace, so nobody can say which ones were lost"


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
    def spans_alone(self) -> bool:
        """Whether its traces are spans without MLflow's own write of the trace."""

    @property
    def counted_at_end(self) -> bool:
        """Whether what came can be counted only once."""


class Host(Protocol):
    """What the pass needs of the timing pass that it is a part of."""

    def running(self, arm: Arm) -> AbstractContextManager[None]:
        """Let one arm run while the other rests."""

    def watched(self, position: int, load: str) -> AbstractContextManager[None]:
        """Note what the machine does meanwhile."""


class _LoadFailedError(CellError):
    """A worker says that a load broke off; it goes on itself."""


class _Task(NamedTuple):
    """What both arms are to do: one load, or one step of a saturation."""

    load: Load
    calls: int
    warmup_calls: int
    rate_per_s: float | None = None
    ladder_ended_by: LadderEnd = ""


class _Ladder(NamedTuple):
    """The rates of a saturation, which every fork runs alike, and what ended them."""

    rates_per_s: tuple[float, ...]
    ended_by: LadderEnd


class LoadPass:
    """Runs the loads of one fork after the other; what was measured so far is in ``runs``.

    Attributes:
        runs: One record for each arm, load (of a saturation: each step) and fork.
        answered: Ids of the calls that went well, which the gateway must have seen.
        skipped: Loads that are not run, or not any more, with the reasons.
        broken_off: Loads that broke off in a fork and are tried again in the next, with the first reason.
        ladder: The rates of the saturation, once a fork has found them.
        measure: What to run, and how much of it.
        seed: The order of loads and arms is a function of it.
        timeout_s: How long one request of an SDK may take.
    """

    def __init__(self, measure: MeasureConfig, seed: int, endpoint_kind: str, timeout_s: float) -> None:
        self.runs: list[LoadRun] = []
        self.answered: list[str] = []
        self.skipped: dict[str, str] = {}
        self.broken_off: dict[str, str] = {}
        self.ladder: _Ladder | None = None
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
        """What was not run, or not to its end in each fork, as records."""
        reasons = self.broken_off | self.skipped
        return tuple(SkippedLoad(load=load, reason=reason) for load, reason in reasons.items())

    def run(self, fork: int, pair: Mapping[Arm, ArmState], host: Host, progress: Progress) -> bool:
        """Run all loads in one fork of two arms that have drained.

        Args:
            fork: Index of the fork; those from ``measure.forks`` on have no loads, so that a timing pass that
                adds forks for its precision does not take ever longer.
            pair: The two arms.
            host: Lets one arm run while the other rests, and watches the machine.
            progress: Is told of each load.

        Returns:
            Whether both workers can still be asked: one that is dead, or has not answered in time, ends the
            loads of its fork. What was measured before stays.
        """
        if fork >= self.measure.forks or not self._loads:
            return True
        return _ForkLoads(self, fork, pair, host).run(self._loads, progress)


class _ForkLoads:
    """The loads of one fork."""

    def __init__(self, owner: LoadPass, fork: int, pair: Mapping[Arm, ArmState], host: Host) -> None:
        self._owner = owner
        self._measure = owner.measure
        self._fork = fork
        self._pair = pair
        self._host = host
        self._draw = random.Random(f"{owner.seed}/loads/{fork}")  # noqa: S311  # reproducible, not secret
        self._position = 0
        self._repetition = 0

    def run(self, loads: list[Load], progress: Progress) -> bool:
        """Run the loads in random order; a saturation comes last, because it leaves the store's queues behind it.

        Returns:
            Whether both workers can still be asked.
        """
        possible = self._possible(loads)
        steady = [load for load in possible if load.kind != SATURATION]
        order = self._draw.sample(steady, len(steady)) + [load for load in possible if load.kind == SATURATION]
        for load in order:
            progress.stage(f"load {load}, fork {self._fork + 1}")
            where = f"in fork {self._fork} it broke off"
            try:
                if load.kind == SATURATION:
                    self._saturate(load)
                else:
                    self._both(_Task(load, load.calls(self._measure.load_calls), load.warmup_calls))
            except _LoadFailedError as error:
                self._owner.broken_off.setdefault(str(load), f"{where}: {error}")
            except WorkerError as error:
                # It may be at work still and answer late, or be gone: nothing it says from now on can be trusted.
                self._owner.skipped[str(load)] = f"{where}, and that fork's loads ended with it: {error}"
                progress.note(f"load {load} {where}: {error}")
                return False
        return True

    def _possible(self, loads: list[Load]) -> list[Load]:
        """The loads that both arms can run."""
        skipped = self._owner.skipped
        if any(self._pair[arm].counted_at_end for arm in ARMS):
            skipped |= dict.fromkeys(map(str, loads), COUNTED_ONCE)
            return []
        for arm in ARMS:
            with self._host.running(arm):
                answer = self._pair[arm].process.ask("why_not", loads=list(map(str, loads)))
            skipped |= answer["reasons"]
            if arm == "strategy" and Load(SATURATION) in loads:
                if answer["traces"] != 1:
                    skipped[SATURATION] = NOTHING_TO_LOSE if answer["traces"] == 0 else BY_CHANCE
                elif self._pair[arm].spans_alone:
                    skipped[SATURATION] = UNTIED
        return [load for load in loads if str(load) not in skipped]

    def _saturate(self, load: Load) -> None:
        """Offer rate after rate, and at last all calls back to back; the first fork finds the rates.

        Were each fork to stop where it loses traces, a high rate would be tried by those alone that had lost
        none before, and the mean over forks would flatter it.
        """
        ladder = self._owner.ladder
        if ladder is None:
            ladder = self._owner.ladder = self._climb(load)
        else:
            for place, rate_per_s in enumerate(ladder.rates_per_s):
                self._step(load, rate_per_s, warm=place > 0)
        calls = max(self._calls_of_step(ladder.rates_per_s[-1]), self._measure.burst_calls)
        self._both(_Task(load, calls, 0, ladder_ended_by=ladder.ended_by))

    def _climb(self, load: Load) -> _Ladder:
        """Double the rate until a step beyond the first loss, until calls can't keep up, or until the time is over.

        The time is that in which the strategy's arm was offered calls: drains and counting take none of it.
        """
        rates_per_s: list[float] = []
        rate_per_s = self._measure.saturation_from_per_s
        offered_ns = 0
        has_lost = False
        while True:
            strategy = self._step(load, rate_per_s, warm=bool(rates_per_s))["strategy"]
            rates_per_s.append(rate_per_s)
            offered_ns += strategy.wall_ns
            if has_lost:
                return _Ladder(tuple(rates_per_s), "loss")
            if offered_ns >= self._measure.saturation_max_s * 1e9:
                return _Ladder(tuple(rates_per_s), "time")
            if strategy.calls * 1e9 / strategy.wall_ns < KEPT_UP * rate_per_s:
                return _Ladder(tuple(rates_per_s), "pace")
            has_lost = strategy.stored_traces < strategy.expected_traces
            rate_per_s *= 2

    def _step(self, load: Load, rate_per_s: float, *, warm: bool) -> dict[Arm, LoadRun]:
        warmup_calls = 0 if warm else load.warmup_calls
        return self._both(_Task(load, self._calls_of_step(rate_per_s), warmup_calls, rate_per_s))

    def _calls_of_step(self, rate_per_s: float) -> int:
        return min(MOST_CALLS_A_STEP, max(1, round(rate_per_s * self._measure.saturation_step_s)))

    def _both(self, task: _Task) -> dict[Arm, LoadRun]:
        """One load, or one step of a saturation, by both arms in random order."""
        found: dict[Arm, LoadRun] = {}
        try:
            for arm in self._draw.sample(ARMS, 2):
                with self._host.running(arm):
                    done = self._one(task, self._pair[arm])
                self._position += 1
                if isinstance(done, str):
                    raise _LoadFailedError(f"the {arm} arm failed with {done}")
                found[arm] = done
                self._owner.runs.append(done)
        finally:
            # No call has the id of another, also of a load that broke off.
            self._repetition += task.warmup_calls + task.calls
        return found

    def _one(self, task: _Task, state: ArmState) -> LoadRun | str:
        """What an arm did; or, in words, why it could not go on with that."""
        is_step = task.load.kind == SATURATION
        before = TraceCount(0, 0) if is_step else _count(state)
        answer = self._ask(task, state)
        if "failed" in answer:
            return str(answer["failed"])
        self._owner.answered += answer.pop("answered")
        expected, with_warmup = answer.pop("expected_traces"), answer.pop("expected_with_warmup")
        if is_step:
            stored = self._stored_whole(state, self._repetition + task.warmup_calls)
        else:
            expected, stored = _count(state).since(before).against(with_warmup)
        return LoadRun(
            fork=self._fork,
            arm=state.arm,
            load=str(task.load),
            position=self._position,
            offered_per_s=task.rate_per_s,
            # Where calls are sampled nobody can say which traces should be there: none counts as lost.
            expected_traces=stored if expected is None else expected,
            stored_traces=stored,
            ladder_ended_by=task.ladder_ended_by,
            **answer,
        )

    def _ask(self, task: _Task, state: ArmState) -> dict[str, Any]:
        """Have an arm carry out its task.

        Raises:
            WorkerError: If it is gone, or has not answered in time.
        """
        with self._host.watched(self._position, str(task.load)):
            return state.process.ask(
                "load",
                timeout_s=self._timeout_s(task.calls + task.warmup_calls, task.rate_per_s),
                load=str(task.load),
                calls=task.calls,
                warmup_calls=task.warmup_calls,
                first_repetition=self._repetition,
                rate_per_s=task.rate_per_s,
            )

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


def _count(state: ArmState) -> TraceCount:
    return TraceCount(0, 0) if state.store is None else count_traces(state.store, spans_alone=state.spans_alone)


def _cannot_answer(load: Load, endpoint_kind: str) -> str:
    """Why the endpoint is not asked under this load; empty if it is."""
    if load.needs_simulator and endpoint_kind != "simulator":
        return SIMULATOR_ONLY
    return FLOODS if load.kind == SATURATION and endpoint_kind == "forward" else ""
