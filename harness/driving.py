"""How a worker makes calls under a load: many at once, large ones, long streams, or at a rate of its own.

The worker hands over its commands ``load`` and ``why_not``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.errors import NotApplicableError
from harness.flows import asked_as
from harness.loads import SATURATION, Load, parse_load
from harness.machine import peak_memory_bytes, reset_peak_memory
from harness.observing import type_name
from harness.prompts import Sample
from harness.providers.callid import CALL_ID
from harness.records import CALL_ID_METADATA
from harness.scripts import ScriptedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from harness.flows import Flows
    from harness.tracing import Strategy

_SENTENCE = "The quiet river crosses the old bridge while the careful engine follows a narrow valley. "


class Caller(Protocol):
    """What making calls under a load needs of a worker."""

    strategy: Strategy
    flows: Flows
    calls_made: int

    @property
    def samples(self) -> Sequence[Sample]:
        """The samples that are timed."""

    def load_id(self, repetition: int, sample: Sample) -> str:
        """The id of a call under a load."""

    def expected_traces(self, calls: int) -> int | None:
        """Traces that so many calls should leave; ``None`` where chance decides."""

    def flush(self) -> None:
        """Have the strategy store all that it holds."""

    def store_size_bytes(self) -> int | None:
        """Size of the store's files; ``None`` without a store."""

    def last_write_ns(self) -> int | None:
        """When the store was last written, on the monotonic clock."""


class _Job(NamedTuple):
    """One kind of call: whose answer comes, by which function, and with which arguments."""

    sample: Sample
    call: Callable[..., Any]
    request: dict[str, Any]
    streamed: bool


class _Timed(NamedTuple):
    """Clock readings of one call; no chunks are counted where it was not streamed."""

    call_id: str
    start_ns: int
    end_ns: int
    first_chunk_ns: int | None
    last_chunk_ns: int | None
    chunks: int | None
    error: Exception | None


class _Turns:
    """Hands out the calls of a load in turn, each with the time at which it is due."""

    def __init__(self, jobs: Sequence[_Job], command: dict[str, Any], first: int, count: int) -> None:
        rate_per_s: float | None = command["rate_per_s"]
        self._jobs = jobs
        self._first = first
        self._count = count
        self._next = itertools.count()
        self._lock = Lock()
        self._period_ns = 0.0 if rate_per_s is None else 1e9 / rate_per_s
        self.timed: list[_Timed | None] = [None] * count
        self.begun_ns = time.perf_counter_ns()

    def take(self) -> tuple[int, int, _Job] | None:
        """The next call: its place, its repetition, and what is asked; ``None`` when all are taken."""
        with self._lock:
            place = next(self._next)
        if place >= self._count:
            return None
        repetition = self._first + place
        return place, repetition, self._jobs[repetition % len(self._jobs)]

    def wait_s(self, place: int) -> float:
        """How long it is until a call is due; 0 where that has passed."""
        return max(0.0, (self.begun_ns + place * self._period_ns - time.perf_counter_ns()) / 1e9)


def sample_of(load: Load) -> Sample | None:
    """The sample of a load that brings its own; the simulator has to know it. ``None``: the prompt set's are sent.

    Of a payload the prompt and the simulated answer have its size; a stream brings so many pieces of text.
    """
    name = f"load-{load.kind}-{load.size}"
    if load.kind == "payload":
        text = (_SENTENCE * (load.size // len(_SENTENCE) + 1))[: load.size]
        asked = ({"role": "user", "content": text},)
        return Sample(id=name, messages=asked, script=(ScriptedAnswer(content=text),))
    if load.kind == "chunks":
        asked = ({"role": "user", "content": "Tell me a long story."},)
        return Sample(id=name, messages=asked, stream=True, script=(ScriptedAnswer(tokens=load.size),))
    return None


def load_samples(loads: Iterable[str]) -> tuple[Sample, ...]:
    """The samples that loads bring with them."""
    return tuple(sample for load in loads if (sample := sample_of(parse_load(load))) is not None)


def why_not(caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    """Which of the ``loads`` this worker cannot run, each with the reason; and how many ``traces`` a call leaves.

    The latter is ``None`` where chance decides.
    """
    reasons: dict[str, str] = {}
    for text in command["loads"]:
        try:
            _jobs(caller, parse_load(text))
        except NotApplicableError as error:
            reasons[text] = str(error)
    return {"reasons": reasons, "traces": caller.expected_traces(1)}


def load(caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    """Make the warm-up calls and drain; then make the calls of a load, and drain again.

    ``calls`` calls from ``first_repetition`` + ``warmup_calls`` on, back to back or ``rate_per_s`` a second.
    It answers with the fields of a ``LoadRun`` that the worker knows, and the ids of the calls that went well; or,
    where the load broke off (a drain that failed, for instance), with ``failed`` alone: the reason.
    """
    try:
        return _load(caller, command)
    except Exception as error:  # noqa: BLE001  # told to the parent, which leaves this load out and goes on
        return {"failed": described(error)}


def _load(caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    asked = parse_load(command["load"])
    jobs = _jobs(caller, asked)
    first, warmup = command["first_repetition"], command["warmup_calls"]
    before_bytes = caller.store_size_bytes()
    warmed = _run(caller, asked, _Turns(jobs, {"rate_per_s": None}, first, warmup))
    caller.flush()
    resettable = reset_peak_memory()
    begun_cpu_ns = time.process_time_ns()
    timed = _run(caller, asked, _Turns(jobs, command, first + warmup, command["calls"]))
    caller.flush()
    cpu_ns = time.process_time_ns() - begun_cpu_ns
    last_ns = max(one.end_ns for one in timed)
    after_bytes = caller.store_size_bytes()
    good = [one for one in timed if one.error is None]
    streams = [one for one in good if one.first_chunk_ns is not None]
    return {
        "calls": len(timed),
        "warmup_calls": len(warmed),
        "wall_ns": last_ns - min(one.start_ns for one in timed),
        "cpu_ns": cpu_ns,
        "drain_ns": max(0, (caller.last_write_ns() or 0) - last_ns),
        "latency_ns": [one.end_ns - one.start_ns for one in good],
        "first_chunk_ns": [(one.first_chunk_ns or 0) - one.start_ns for one in streams],
        "last_chunk_ns": [(one.last_chunk_ns or 0) - one.start_ns for one in streams],
        "chunks": [one.chunks for one in streams],
        "errors": len(timed) - len(good),
        "first_error": next((described(one.error) for one in timed if one.error is not None), ""),
        "stored_bytes": None if before_bytes is None or after_bytes is None else after_bytes - before_bytes,
        "peak_memory_bytes": peak_memory_bytes() if resettable else None,
        "expected_traces": caller.expected_traces(len(timed)),
        "expected_with_warmup": caller.expected_traces(len(warmed) + len(timed)),
        "answered": [one.call_id for one in (*warmed, *timed) if one.error is None],
    }


def described(error: Exception) -> str:
    """An exception as a record names it: its type and its message."""
    return f"{type_name(type(error))}: {error}"


def _jobs(caller: Caller, asked: Load) -> list[_Job]:
    """What is asked under a load, and by which functions.

    Raises:
        NotApplicableError: If the provider or the strategy has no such calls.
    """
    own = sample_of(asked)
    jobs = []
    for sample in caller.samples if own is None else [own]:
        name = ("stream" if sample.stream else "chat") + ("_async" if asked.kind == "asyncio" else "")
        operation = caller.flows.operation(name)
        jobs.append(
            _Job(sample, caller.flows.traced(name), operation.request(asked_as(sample, operation)), sample.stream)
        )
    return jobs


def _run(caller: Caller, asked: Load, turns: _Turns) -> list[_Timed]:
    """Make all calls of the turns, at the load's concurrency; gives them in the order in which they began."""
    if asked.kind == "asyncio":
        # In a copy of this context: the runner keeps one of its own otherwise.
        caller.flows.runner.run(_tasks(caller, asked.concurrency, turns), context=copy_context())
    elif asked.concurrency == 1 and asked.kind != "threads":
        _work(caller, asked, turns)
    else:
        with ThreadPoolExecutor(asked.concurrency) as pool:
            for future in [pool.submit(_work, caller, asked, turns) for _ in range(asked.concurrency)]:
                future.result()
    timed = [one for one in turns.timed if one is not None]
    caller.calls_made += len(timed)
    return timed


def _work(caller: Caller, asked: Load, turns: _Turns) -> None:
    """One thread: take a call, wait until it is due, make it, and so on until all are taken."""
    while (turn := turns.take()) is not None:
        place, repetition, job = turn
        call_id = caller.load_id(repetition, job.sample)
        if (wait_s := turns.wait_s(place)) > 0:
            time.sleep(wait_s)
        with _tied(caller, asked, call_id):
            turns.timed[place] = _call(job, call_id)


def _tied(caller: Caller, asked: Load, call_id: str) -> AbstractContextManager[None]:
    """Only the count of a saturation asks which call a trace is of: what ties them costs some time."""
    if asked.kind != SATURATION:
        return contextlib.nullcontext()
    return caller.strategy.attribute({CALL_ID_METADATA: call_id})


def _call(job: _Job, call_id: str) -> _Timed:
    """Make one call as an application would; an exception of the SDK is its outcome. Answers are let go at once."""
    token = CALL_ID.set(call_id)
    first_chunk_ns: int | None = None
    last_chunk_ns: int | None = None
    chunks = 0
    error: Exception | None = None
    start_ns = time.perf_counter_ns()
    try:
        given = job.call(**job.request)
        if job.streamed:
            for _ in given:
                last_chunk_ns = time.perf_counter_ns()
                if first_chunk_ns is None:
                    first_chunk_ns = last_chunk_ns
                chunks += 1
    except Exception as caught:  # noqa: BLE001  # any exception of any SDK is the call's outcome
        error = caught
    end_ns = time.perf_counter_ns()
    CALL_ID.reset(token)
    return _Timed(call_id, start_ns, end_ns, first_chunk_ns, last_chunk_ns, chunks if job.streamed else None, error)


async def _tasks(caller: Caller, count: int, turns: _Turns) -> None:
    await asyncio.gather(*(_work_async(caller, turns) for _ in range(count)))


async def _work_async(caller: Caller, turns: _Turns) -> None:
    """One task, which has a context of its own: take a call, make it, and so on until all are taken."""
    while (turn := turns.take()) is not None:
        place, repetition, job = turn
        turns.timed[place] = await _call_async(job, caller.load_id(repetition, job.sample))


async def _call_async(job: _Job, call_id: str) -> _Timed:
    token = CALL_ID.set(call_id)
    first_chunk_ns: int | None = None
    last_chunk_ns: int | None = None
    chunks = 0
    error: Exception | None = None
    start_ns = time.perf_counter_ns()
    try:
        given = job.call(**job.request)
        if inspect.isawaitable(given):
            given = await given
        if job.streamed:
            async for _ in given:
                last_chunk_ns = time.perf_counter_ns()
                if first_chunk_ns is None:
                    first_chunk_ns = last_chunk_ns
                chunks += 1
    except Exception as caught:  # noqa: BLE001  # any exception of any SDK is the call's outcome
        error = caught
    end_ns = time.perf_counter_ns()
    CALL_ID.reset(token)
    return _Timed(call_id, start_ns, end_ns, first_chunk_ns, last_chunk_ns, chunks if job.streamed else None, error)
