"""One arm in one process: ``python -P -m harness.worker``, steered over standard input and output.

The process imports records, errors, its provider and its strategy, and nothing else of the
project; the ``none`` arm therefore never imports MLflow, whose weight is part of the price of
tracing. It answers each command line (JSON) with one line (JSON); in the completeness pass a
line a call comes before the answer.

Whatever an SDK prints goes to standard error, because standard output is the protocol's.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.config import ExportConfig
from harness.driving import load, why_not
from harness.endings import Leaving, burst, end, fork
from harness.errors import HarnessError, InputError, NotApplicableError
from harness.flows import Flows, Parts
from harness.machine import package_versions, peak_memory_bytes
from harness.processes import allowed_cpus, die_with_parent
from harness.prompts import Sample
from harness.records import Arm, Block, Call, CallId, NotApplicable, Pass, Record
from harness.targets import load_function, load_target
from harness.timed import Asked, Timed
from harness.tracing.levels import EXPORTED, apply_level
from harness.tracing.prompt_flush import prompt_flush
from harness.tracing.switches import apply_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from harness.providers import Provider
    from harness.tracing import Strategy

WORKER_NAME = "harness-worker-{cell}"
"""What MLflow stores as a trace's source name; by it even a trace without a call id is found."""


class WorkerSetup(Record):
    """All that a worker has to know; its first line of input.

    Attributes:
        role: The pass that it works for.
        cell: The cell's id.
        fork: Index of the fork.
        arm: Its side of the comparison.
        base_url: The gateway's URL for the backend's dialect.
        refused_url: The same on a port where connections are refused.
        api_key: What the SDK is given; the gateway holds the real key.
        tracking_uri: Where the strategy sends traces; ``None`` for an arm without a store.
        experiment: Name of the MLflow experiment.
        environment: Variables that MLflow's switches are turned by; they are set before it is imported.
        disabled: Whether tracing is disabled after the strategy was installed.
        level: How far the strategy goes; ``environment`` already holds the variables that the level needs.
        expected_share: Share of the calls that leave a trace under a strategy that expects one from each.
        store_path: The file in which the arm's traces end up in the timing pass, whoever writes it; its
            last write marks the end of a drain.
        artifacts_path: The folder for artifacts of the arm's traces, such as files that MLflow moves out of them.
        prime_calls: Calls made before the arm reports ready, so that lazy imports and the
            first connection are no part of what is timed.
        labels: Put on each trace of the completeness pass, for people to filter by.
    """

    role: Pass
    cell: str
    fork: int
    arm: Arm
    provider_target: str
    backend: str
    model: str
    base_url: str
    refused_url: str | None = None
    api_key: str
    timeout_s: float
    strategy_target: str
    style: str
    depth: str
    tracking_uri: str | None = None
    experiment: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    disabled: bool = False
    level: str = EXPORTED
    expected_share: float = 1.0
    store_path: str | None = None
    artifacts_path: str | None = None
    samples: tuple[Sample, ...]
    prime_calls: int = 0
    labels: dict[str, str] = Field(default_factory=dict)


class Worker:
    """One arm: the application loop around one provider under one strategy."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        begun_cpu_ns = time.process_time_ns()
        self.strategy: Strategy = load_target(setup.strategy_target)(style=setup.style, depth=setup.depth)
        self.provider = self._provider(setup.base_url)
        self.strategy.install(self.provider, setup.tracking_uri, setup.experiment)
        apply_switches(ExportConfig(disabled=setup.disabled))
        apply_level(setup.level, self.strategy.name)
        self.flows = Flows(
            Parts(
                strategy=self.strategy,
                provider=self.provider,
                refused=lambda: self._provider(setup.refused_url or setup.base_url),
                base=CallId(setup.cell, setup.role, setup.fork, setup.arm, 0, ""),
                labels=setup.labels,
            )
        )
        self.complete = self.flows.traced("chat")
        self.stream = self.flows.traced("stream")
        self.expects_traces = self.strategy.expects_traces and setup.expected_share > 0
        self.spans_alone = bool(getattr(self.strategy, "spans_alone", False))
        # CPU time: several processes start at once, and waiting for a core is no part of an import.
        self.import_cpu_ns = time.process_time_ns() - begun_cpu_ns
        refusals = (self.flows.why_not(sample) for sample in setup.samples)
        self.not_applicable = {one.sample_id: one for one in refusals if one is not None}
        self.requests = (
            [(sample, self.provider.request(sample)) for sample in setup.samples]
            if setup.role != "completeness"
            else []
        )
        self.calls_made = 0
        self.first: dict[str, int] = {}
        self.store_before_bytes = self.store_size_bytes()
        self.measured_from_cpu_ns: int | None = None

    def _provider(self, base_url: str) -> Provider:
        setup = self.setup
        provider: Provider = load_target(setup.provider_target)(
            base_url=base_url,
            backend=setup.backend,
            model=setup.model,
            api_key=setup.api_key,
            timeout_s=setup.timeout_s,
        )
        return provider

    def call_id(self, repetition: int, sample: Sample) -> str:
        """The id of a call of this arm."""
        setup = self.setup
        return str(CallId(setup.cell, setup.role, setup.fork, setup.arm, repetition, sample.id))

    def load_id(self, repetition: int, sample: Sample) -> str:
        """The id of a call under a further load, which is a pass of its own."""
        return str(CallId.parse(self.call_id(repetition, sample))._replace(phase="load"))

    def call(self, sample: Sample, request: dict[str, Any], call_id: str) -> Timed:
        """Make one call, and read the clocks around it."""
        return self._timed([Asked(request, call_id, sample.stream)])

    def _timed(self, calls: Sequence[Asked], period_ns: int = 0) -> Timed:
        timed = Timed()
        try:
            return timed.run(calls, self.complete, self.stream, period_ns)
        finally:
            self.calls_made += len(timed.start_ns)

    def completeness(self, skipped: Sequence[str]) -> Iterator[list[Call]]:
        """Run each sample's scenario once, each trace tied to its call; gives the calls of one sample at a time."""
        for repetition, sample in enumerate(self.setup.samples):
            if sample.id in self.not_applicable or sample.id in skipped:
                continue
            try:
                yield self.flows.run(repetition, sample)
            except NotApplicableError as error:
                # A scenario of one's own says only when it runs what it asks for.
                name = sample.scenario_name
                self.not_applicable[sample.id] = NotApplicable(sample_id=sample.id, scenario=name, reason=str(error))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples that it was given."""
        return self.setup.samples

    def refusals(self) -> list[dict[str, Any]]:
        """The samples that cannot be run here, with the reasons, so far as that is known."""
        return [one.model_dump() for one in self.not_applicable.values()]

    def prime(self) -> None:
        """Make the first calls, which pay for lazy imports and connections, and drain; what they took is kept."""
        begun_cpu_ns = time.process_time_ns()
        for index in range(self.setup.prime_calls):
            sample, request = self.requests[index % len(self.requests)]
            timed = self.call(sample, request, self.call_id(index, sample))
            if index == 0:
                (self.first["first_call_ns"],) = timed.latency_ns
                self.first["first_call_cpu_ns"] = time.process_time_ns() - begun_cpu_ns
        self.flush()
        if self.first:
            self.first["first_calls_cpu_ns"] = time.process_time_ns() - begun_cpu_ns
        self._planted_ns()

    def block(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one block: ``order`` lists indexes of samples, ``period_ns`` is 0 for back to back."""
        kind = command["kind"]
        first_repetition: int = command["first_repetition"]
        cpu_before_ns = time.process_time_ns()
        if kind == "measured" and self.measured_from_cpu_ns is None:
            self.measured_from_cpu_ns = cpu_before_ns
        calls = [(*self.requests[index], first_repetition + offset) for offset, index in enumerate(command["order"])]
        timed = self._timed(
            [Asked(request, self.call_id(repetition, sample), sample.stream) for sample, request, repetition in calls],
            command["period_ns"],
        )
        block = Block(
            fork=self.setup.fork,
            arm=self.setup.arm,
            kind=kind,
            block=command["block"],
            position=command["position"],
            first_repetition=first_repetition,
            sample_ids=tuple(sample.id for sample, _, _ in calls),
            start_ns=tuple(timed.start_ns),
            latency_ns=timed.latency_ns,
            first_chunk_ns=timed.first_chunk_ns,
            errors=timed.described_errors(),
            cpu_ns=time.process_time_ns() - cpu_before_ns,
            planted_ns=self._planted_ns(),
            **timed.of_streams,
        )
        return {"block": block.model_dump()}

    def _planted_ns(self) -> tuple[int, ...]:
        """What a calibration's strategy says that it added to each call since the last time; empty of any other."""
        take: Callable[[], tuple[int, ...]] | None = getattr(self.strategy, "take_planted_ns", None)
        return () if take is None else take()

    def flush(self) -> None:
        """Have the strategy store all that it holds.

        Where calls are timed, what MLflow sleeps on the way is left out. Elsewhere the flush is the
        application's own: what it stores is what is judged.
        """
        with prompt_flush() if self.setup.role == "timing" else contextlib.nullcontext():
            self.strategy.drain()

    def drain(self) -> dict[str, Any]:
        """Drain and say when: how long the caller waited, and when the store was last written."""
        begun_ns = time.perf_counter_ns()
        self.flush()
        ended_ns = time.perf_counter_ns()
        cpu_ns = time.process_time_ns()
        from_ns = self.measured_from_cpu_ns
        last_write_ns = self.last_write_ns()
        if from_ns is not None:
            # Looking at what was written is the harness's work and none of the arm's.
            self.measured_from_cpu_ns = from_ns + time.process_time_ns() - cpu_ns
        return {
            "drain_ns": ended_ns - begun_ns,
            "last_write_ns": last_write_ns,
            "cpu_ns": None if from_ns is None else cpu_ns - from_ns,
        }

    def collect(self, mode: str) -> dict[str, Any]:
        """Set Python's garbage collector for what is measured: ``on``, ``off`` or ``freeze``."""
        if mode != "on":
            gc.collect()
        if mode == "freeze":
            gc.freeze()
        elif mode == "off":
            gc.disable()
        return {"enabled": gc.isenabled(), "frozen_objects": gc.get_freeze_count()}

    def finish(self) -> dict[str, Any]:
        """The arm's totals, after its last drain."""
        after_bytes = self.store_size_bytes()
        return {
            "calls_made": self.calls_made,
            # An arm that traces nothing must not have what only tracing brings.
            "mlflow_imported": "mlflow" in sys.modules,
            "expected_traces": self.expected_traces(self.calls_made),
            "stored_bytes": None
            if after_bytes is None or self.store_before_bytes is None
            else after_bytes - self.store_before_bytes,
            "peak_memory_bytes": peak_memory_bytes(),
            "planted_losses": getattr(self.strategy, "planted_losses", None),
            "cpus": allowed_cpus(),
        }

    def expected_traces(self, calls: int) -> int | None:
        """Traces that so many calls should leave; ``None`` where chance decides which calls are sampled."""
        if not self.expects_traces:
            return 0
        return calls if self.setup.expected_share == 1.0 else None

    def _stored_files(self) -> Iterator[Path]:
        """The files of the store, and those that MLflow puts beside it for its traces."""
        if self.setup.store_path is not None:
            # A rollback journal is there only while something is being written.
            yield from (Path(self.setup.store_path + suffix) for suffix in ("", "-wal"))
        if self.setup.artifacts_path is not None:
            yield from (path for path in Path(self.setup.artifacts_path).rglob("*") if path.is_file())

    def store_size_bytes(self) -> int | None:
        """Size of the files in which traces are stored; ``None`` without a store."""
        if self.setup.store_path is None:
            return None
        return sum(path.stat().st_size for path in self._stored_files() if path.exists())

    def last_write_ns(self) -> int | None:
        """When the store was last written, on the monotonic clock; ``None`` without a store.

        A flush waits up to a second for nothing (its consumer sleeps on an empty queue), so its
        end says little; the file's modification time does, to a tick of the kernel (4 ms).
        """
        times: list[int] = []
        for path in self._stored_files():
            with contextlib.suppress(FileNotFoundError):
                times.append(path.stat().st_mtime_ns)
        if not times:
            return None
        return max(times) - time.time_ns() + time.perf_counter_ns()


def _send(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message, default=str) + "\n")
    out.flush()


def _serve(out: TextIO, lines: Iterator[str]) -> None:
    """Set up from the first line, then obey the others until ``finish`` or the end of input."""
    try:
        setup = WorkerSetup.model_validate_json(next(lines))
    except StopIteration:
        return
    sys.argv[0] = WORKER_NAME.format(cell=setup.cell)
    os.environ.update(setup.environment)
    if setup.role == "completeness":
        # Nothing of this process is timed, and a fifth of an import's time is collecting garbage.
        gc.disable()
    worker = Worker(setup)
    gc.enable()
    worker.prime()
    _send(
        out,
        {
            "ready": True,
            "import_cpu_ns": worker.import_cpu_ns,
            "first": worker.first,
            "source": worker.strategy.source(),
            "expects_traces": worker.expects_traces,
            "spans_alone": worker.spans_alone,
            "not_applicable": worker.refusals(),
            "versions": package_versions(),
        },
    )
    commands: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "block": worker.block,
        "drain": lambda _: worker.drain(),
        "collect": lambda command: worker.collect(command["mode"]),
        "finish": lambda _: worker.finish(),
        "burst": lambda command: burst(worker, command),
        "fork": lambda command: fork(worker, command),
        "run": lambda command: load_function(command["target"])(worker, command),
        "end": end,
        "load": lambda command: load(worker, command),
        "why_not": lambda command: why_not(worker, command),
        "totals": lambda _: worker.finish(),
    }
    for line in lines:
        command = json.loads(line)
        if command["op"] == "completeness":
            for calls in worker.completeness(command["skipped"]):
                _send(out, {"calls": [call.model_dump() for call in calls]})
            worker.flows.close()
            _send(out, {"done": True, "not_applicable": worker.refusals()})
        else:
            _send(out, commands[command["op"]](command))
        if command["op"] == "finish":
            worker.provider.close()
            return


def main(arguments: Sequence[str] = ()) -> None:
    """Run one worker to its end."""
    del arguments
    die_with_parent()
    # The parent writes UTF-8, whatever the locale says.
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        _serve(out, iter(sys.stdin.readline, ""))
    except Leaving as leaving:
        return leaving.carry_out()
    except HarnessError as error:
        kind = next((kind.__name__ for kind in (InputError, NotApplicableError) if isinstance(error, kind)), "")
        _send(out, {"error": str(error), "kind": kind})
    except Exception as error:  # noqa: BLE001  # the parent turns it into the cell's reason
        traceback.print_exc()
        _send(out, {"error": f"{type(error).__name__}: {error}".splitlines()[0], "kind": ""})
    sys.stderr.flush()
    out.flush()
    # Everything was drained on command. What interpreters and SDKs do at exit would only cost
    # time, and a second flush could hide what the drain had lost.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
