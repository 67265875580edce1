"""The loss pass: what a store holds after a worker process has ended, for each way in which processes end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from harness.config import PROCESS_ENDINGS
from harness.experiment.arm import ArmProcess
from harness.records import CallId, Loss, ProcessEnding
from harness.stores.throwaway import TEMPLATE_EXPERIMENT, copy_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from harness.config import MeasureConfig
    from harness.experiment.progress import Progress
    from harness.prompts import Sample
    from harness.records import StoredTrace
    from harness.runtimes import Runtime
    from harness.worker import WorkerSetup

AT_ONCE = 2
"""How many workers run at once: one is at work while the next one imports."""
SCENARIOS = ("chat", "stream")
"""Only plain calls are made here, one trace each."""
SETTLED_S = 0.5
SETTLE_TIMEOUT_S = 10.0
CALLS_BEFORE_FORK = 3
DRAIN_S_PER_CALL = 0.2
"""What a drain is allowed for each call: some 26 ms of CPU a trace, many times that on a busy machine."""
FORKS: tuple[ProcessEnding, ...] = ("fork", "fork-after-calls")
SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}


class LossPlan(NamedTuple):
    """Everything that the loss pass of one cell needs.

    Attributes:
        base: The setup of the cell's workers.
        measure: What to try, and with how many calls.
        template: A migrated SQLite store; each worker has a copy of its own.
        folder: Where the copies live.
        hidden: Environment variables that workers must not see.
        runtime: What the workers run in, and what reads their stores.
    """

    base: WorkerSetup
    measure: MeasureConfig
    template: Path
    folder: Path
    hidden: tuple[str, ...]
    runtime: Runtime


class LossPass:
    """Tries one ending after the other; what was counted so far is in ``losses``.

    Attributes:
        losses: One record an ending.
        answered: Ids of the calls that went well, which the gateway must have seen.
    """

    def __init__(self, plan: LossPlan, progress: Progress) -> None:
        self.plan = plan
        self.progress = progress
        self.losses: list[Loss] = []
        self.answered: list[str] = []
        self._attempts: dict[ProcessEnding, _Attempt] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._attempts:
            self._attempts.popitem()[1].close()

    def run(self, check: Callable[[], None] = lambda: None) -> None:
        """Try every ending of the plan; ``burst`` stands last among them and has the machine to itself.

        Args:
            check: Called after each ending; what it raises ends the pass, and that ending does not count.
        """
        endings: list[ProcessEnding] = self.plan.measure.losses
        for place, ending in enumerate(endings):
            for near in endings[place : place + AT_ONCE]:
                if near not in self._attempts:
                    self._attempts[near] = _Attempt(self.plan, near)
            self.progress.stage(f"loss: {ending}")
            attempt = self._attempts[ending]
            loss = attempt.run()
            check()
            self.losses.append(loss)
            self.answered += attempt.answered
            self._attempts.pop(ending).close()


class _Attempt:
    """One worker on a store of its own, on its way to one ending."""

    def __init__(self, plan: LossPlan, ending: ProcessEnding) -> None:
        self.plan = plan
        self.ending: ProcessEnding = ending
        self.answered: list[str] = []
        self._folder = plan.folder / f"loss-{ending}"
        self._folder.mkdir()
        # Also a strategy that should store nothing gets a store, so that it shows.
        self._store = self._folder / "store.db"
        copy_template(plan.template, self._store)
        setup = plan.base.model_copy(
            update={
                "role": "loss",
                "fork": PROCESS_ENDINGS.index(ending),
                "tracking_uri": f"sqlite:///{self._store}",
                "experiment": TEMPLATE_EXPERIMENT,
                "samples": plain_samples(plan.base.samples),
            }
        )
        self._process = ArmProcess(setup, self._folder, plan.hidden, plan.runtime)

    def run(self) -> Loss:
        """Make the calls, end, and count."""
        measure = self.plan.measure
        self._process.wait_ready()
        calls = measure.burst_calls if self.ending == "burst" else measure.ending_calls
        before = CALLS_BEFORE_FORK if self.ending == "fork-after-calls" else 0
        if before:
            self.answered += self._make("burst", before)["answered"]
            self._drain(before)
        made = self._make("fork" if self.ending in FORKS else "burst", calls, first_repetition=before)
        self.answered += made["answered"]
        status = self._end(made)
        waited_ns = self._settle()
        # Whatever the worker has left behind must not write while it is counted.
        self._process.kill()
        counts = count(
            trace for trace in self.plan.runtime.read_traces(self._store).records if not _is_of_first(before, trace)
        )
        expected = made["made"] if self._process.ready["expects_traces"] else 0
        if 0.0 < self.plan.base.expected_share < 1.0:
            # Where calls are sampled nobody can say which traces should be there: none counts as lost.
            expected = min(expected, counts["stored_traces"])
        return Loss(
            ending=self.ending,
            calls=made["made"],
            expected_traces=expected,
            **counts,
            exit_status=status,
            sent_per_s=made["made"] / (made["ns"] / 1e9),
            waited_ns=waited_ns,
        )

    def close(self) -> None:
        """End the worker if it is still there, and remove its store."""
        self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make(self, op: str, calls: int, first_repetition: int = 0) -> dict[str, Any]:
        """Have calls made; every one may use up its time-out, with two retries of the SDK."""
        exit_timeout_s = self.plan.measure.exit_timeout_s
        return self._process.ask(
            op,
            timeout_s=60.0 + exit_timeout_s + calls * 3 * self.plan.base.timeout_s,
            calls=calls,
            first_repetition=first_repetition,
            child_timeout_s=exit_timeout_s,
        )

    def _drain(self, calls: int) -> None:
        self._process.ask("drain", timeout_s=self.plan.measure.drain_timeout_s + calls * DRAIN_S_PER_CALL)

    def _end(self, made: dict[str, Any]) -> int | None:
        """Let the worker end in its way; returns the exit status, ``None`` if it did not end in time."""
        process = self._process
        if self.ending in ("drain", "burst"):
            self._drain(made["made"])
        if self.ending in ("drain", "burst", *FORKS):
            process.finish()
            return made["status"] if self.ending in FORKS else process.process.returncode
        if self.ending in SIGNALS:
            os.kill(process.pid, SIGNALS[self.ending])
        else:
            process.send("end", how=self.ending)
        try:
            return process.process.wait(self.plan.measure.exit_timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def _settle(self) -> int:
        """Wait until nobody has written to the store for a while; returns how long that took, in ns."""
        begun_ns = changed_ns = now_ns = time.perf_counter_ns()
        before = self._written()
        while now_ns - changed_ns < SETTLED_S * 1e9 and now_ns - begun_ns < SETTLE_TIMEOUT_S * 1e9:
            time.sleep(0.05)
            now_ns = time.perf_counter_ns()
            if (after := self._written()) != before:
                before, changed_ns = after, now_ns
        return now_ns - begun_ns

    def _written(self) -> list[tuple[str, int, int]]:
        stats = [(path.name, path.stat()) for path in sorted(self._folder.glob("store.db*"))]
        return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]


def plain_samples(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """The samples that the loss pass can use."""
    return tuple(sample for sample in samples if sample.scenario_name in SCENARIOS)


def count(traces: Iterable[StoredTrace]) -> dict[str, int]:
    """Count the traces in a store that holds one worker's calls only, under the names of ``Loss``.

    Several traces of one call count once. A trace that is not tied to its call counts as the trace
    of another call: what ties it may have been lost, and then nothing tells whose it is.
    """
    stored: set[str] = set()
    complete: set[str] = set()
    untied = 0
    for trace in traces:
        stored.add(trace.call_id or trace.trace_id)
        if trace.call_id is None:
            untied += 1
        elif is_complete(trace):
            complete.add(trace.call_id)
    return {"stored_traces": len(stored), "complete_traces": len(complete), "untied_traces": untied}


def _is_of_first(calls: int, trace: StoredTrace) -> bool:
    return trace.call_id is not None and CallId.parse(trace.call_id).repetition < calls


def is_complete(trace: StoredTrace) -> bool:
    """Whether a trace has a root span that ended, and says so itself."""
    ended_root = any(span.parent_id is None and span.end_unix_ns is not None for span in trace.spans)
    return ended_root and trace.state != "IN_PROGRESS"
