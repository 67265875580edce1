"""The completeness pass in one process: runs each sample's scenario and records every call of it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import threading
import time
from contextvars import copy_context
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import ConfigError, NotApplicableError, WorkerError
from harness.observing import observe_chunks, observe_error, observe_value, type_name
from harness.providers import operations_of
from harness.providers.callid import CALL_ID
from harness.records import CALL_ID_METADATA, Call, CallId, NotApplicable, Observation
from harness.scenarios import scenario_of
from harness.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.prompts import Sample
    from harness.providers import Answer, Operation, Provider
    from harness.records import Outcome
    from harness.scenarios import Scenario
    from harness.tracing import Strategy


class Parts(NamedTuple):
    """What flows are run with.

    Attributes:
        provider: Pointed at the gateway.
        refused: Makes a provider that is pointed at a port on which connections are refused.
        base: The call id of the arm's first flow; repetition, sample and step are put in.
        labels: Put on each trace beside the cell and the sample, for people to filter by.
    """

    strategy: Strategy
    provider: Provider
    refused: Callable[[], Provider]
    base: CallId
    labels: Mapping[str, str] = MappingProxyType({})


class Flows:
    """Runs samples one after the other; asynchronous ones on one event loop, as an application would."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.operations = operations_of(parts.provider)
        self._traced: dict[tuple[str, bool], Callable[..., Any]] = {}
        self._refused: dict[str, Operation] | None = None
        self._runner: asyncio.Runner | None = None

    def why_not(self, sample: Sample) -> NotApplicable | None:
        """Why a sample cannot be run here; ``None`` if it can.

        Raises:
            ConfigError: If the sample sets a parameter that the SDK does not take.
        """
        scenario = scenario_of(sample)
        try:
            for name in self._needed(scenario, sample):
                self.traced(name)
                # Also what the SDK would refuse to be asked is told before anything is sent.
                operation = self.operation(name)
                operation.request(asked_as(sample, operation))
        except NotApplicableError as error:
            return NotApplicable(sample_id=sample.id, scenario=scenario.name, reason=str(error))
        return None

    def run(self, repetition: int, sample: Sample) -> list[Call]:
        """Run one sample's scenario; gives its calls in the order of their steps.

        Raises:
            NotApplicableError: If a scenario of one's own asks for what the provider does not have.
            WorkerError: If the scenario itself failed: that is no finding about tracing.
        """
        strategy = self._parts.strategy
        scenario = scenario_of(sample)
        flows = getattr(strategy, "flows", "never")
        run = _FlowRun(self, self._parts, sample, repetition, scenario)
        run.flow_traced = flows == "always" or (flows == "several" and scenario.several)
        try:
            if inspect.iscoroutinefunction(scenario.run):
                # In a copy of this context: the runner keeps one of its own otherwise.
                self.runner.run(run.handle_async(), context=copy_context())
            else:
                run.handle()
        except (NotApplicableError, ConfigError):
            raise
        except Exception as error:
            if error not in run.errors:
                raise WorkerError(
                    f"the scenario {scenario.name!r} failed on sample {sample.id!r}: {type(error).__name__}: {error}"
                ) from error
        if run.under_way:
            raise WorkerError(
                f"the scenario {scenario.name!r} ended on sample {sample.id!r} while {run.under_way} of its calls "
                "were under way: it has to wait for them, or cancel them and wait for that"
            )
        return sorted(run.calls, key=lambda call: CallId.parse(call.call_id).step)

    @property
    def runner(self) -> asyncio.Runner:
        """The event loop that all flows share: SDK clients keep their connections on it."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner

    def operation(self, name: str, *, refused: bool = False) -> Operation:
        """What the provider offers under a name.

        Raises:
            NotApplicableError: If it does not.
        """
        if refused and self._refused is None:
            self._refused = operations_of(self._parts.refused())
        found = (self._refused or {}) if refused else self.operations
        if name not in found:
            raise NotApplicableError(f"provider {self._parts.provider.name} has no operation {name!r}")
        return found[name]

    def traced(self, name: str, *, refused: bool = False) -> Callable[..., Any]:
        """The operation as the application calls it under the strategy.

        Raises:
            NotApplicableError: If the provider does not have it, or the strategy does not trace its mode.
        """
        key = (name, refused)
        if key not in self._traced:
            operation = self.operation(name, refused=refused)
            try:
                self._traced[key] = traced(self._parts.strategy, operation)
            except NotImplementedError as error:
                raise NotApplicableError(str(error)) from error
        return self._traced[key]

    def close(self) -> None:
        """Close asynchronous clients and the event loop."""
        if self._runner is None:
            return
        close = getattr(self._parts.provider, "close_async", None)
        if close is not None:
            self._runner.run(close())
        self._runner.close()

    def _needed(self, scenario: Scenario, sample: Sample) -> tuple[str, ...]:
        if scenario.name == "tools":
            return ("stream",) if sample.stream else ("chat",)
        return scenario.operations


class _Seen(NamedTuple):
    """Clock readings and what came, of one call under way or ended."""

    start_unix_ns: int
    start_ns: int
    end_ns: int
    chunk_ns: tuple[int, ...]
    value: Any
    chunks: list[Any] | None
    container: Any
    error: BaseException | None
    outcome: Outcome


class _FlowRun:
    """One run of one sample's scenario: the ``Application`` that its code gets."""

    def __init__(self, flows: Flows, parts: Parts, sample: Sample, repetition: int, scenario: Scenario) -> None:
        self.sample = sample
        self.calls: list[Call] = []
        self.errors: list[BaseException] = []
        self.flow_traced = False
        self.under_way = 0
        self._flows = flows
        self._parts = parts
        self._scenario = scenario
        self._id = parts.base._replace(repetition=repetition, sample=sample.id)
        self._next_step = 0
        self._steps: set[int] = set()
        self._lock = threading.Lock()

    # The flow

    def handle(self) -> None:
        """Run a plain scenario as the application's own function."""

        def handle(question: str) -> Any:
            del question
            return self._scenario.run(self)

        with self._attributed(self._id.flow):
            given = self._entry(handle)(prompt_text(self.sample))
        if inspect.iscoroutine(given) or inspect.isgenerator(given) or inspect.isasyncgen(given):
            if not inspect.isasyncgen(given):
                given.close()
            raise TypeError(f"it returned a {type(given).__name__} that nobody runs: write it as async def and await")

    async def handle_async(self) -> None:
        """Run an asynchronous scenario as the application's own coroutine."""

        async def handle(question: str) -> Any:
            del question
            return await self._scenario.run(self)

        with self._attributed(self._id.flow):
            await self._entry(handle)(prompt_text(self.sample))

    def _entry(self, handle: Callable[[str], Any]) -> Callable[[str], Any]:
        if not self.flow_traced:
            return handle
        wrapped: Callable[[str], Any] = self._parts.strategy.flow(handle)  # type: ignore[attr-defined]  # it has flows
        return wrapped

    # What a scenario may do

    def option(self, name: str) -> Any:
        """The sample's value for an option of the scenario, or the scenario's own."""
        return self.sample.options.get(name, (self._scenario.options or {}).get(name))

    def reserve(self, count: int) -> range:
        """Steps for calls that are to run at once."""
        with self._lock:
            first, self._next_step = self._next_step, self._next_step + count
        return range(first, first + count)

    def call(
        self,
        operation: str = "chat",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        refused: bool = False,
    ) -> Any:
        """Make a call with a single answer and give its value."""
        call, request = self._prepared(operation, sample, refused=refused)
        with self._call(operation, sample, step) as record:
            record.value = call(**request)
        return record.value

    def stream(
        self,
        operation: str = "stream",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        leave_after: int | None = None,
    ) -> list[Any]:
        """Call for a stream and read it; gives its chunks."""
        call, request = self._prepared(operation, sample)
        with self._call(operation, sample, step) as record:
            chunks = record.begin_chunks()
            iterator = call(**request)
            record.container = iterator
            if leave_after == 0:
                record.leave()
                del iterator
                return chunks
            for chunk in iterator:
                record.add(chunk)
                if len(chunks) == leave_after:
                    record.leave()
                    break
            # An application that leaves drops its stream; a generator is closed by that.
            del iterator
        return chunks

    async def call_async(
        self,
        operation: str = "chat_async",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        give_up_after_s: float | None = None,
    ) -> Any:
        """Await a call with a single answer; with a time to give up after, under ``asyncio.wait_for``."""
        call, request = self._prepared(operation, sample)
        with self._call(operation, sample, step) as record:
            record.may_time_out = give_up_after_s is not None
            if give_up_after_s is None:
                record.value = await call(**request)
            else:
                record.value = await asyncio.wait_for(call(**request), give_up_after_s)
        return record.value

    async def stream_async(
        self,
        operation: str = "stream_async",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        leave_after: int | None = None,
    ) -> list[Any]:
        """Iterate a stream asynchronously; gives its chunks."""
        call, request = self._prepared(operation, sample)
        with self._call(operation, sample, step) as record:
            chunks = record.begin_chunks()
            iterator = call(**request)
            if inspect.isawaitable(iterator):
                iterator = await iterator
            record.container = iterator
            if leave_after == 0:
                record.leave()
                return chunks
            async for chunk in iterator:
                record.add(chunk)
                if len(chunks) == leave_after:
                    record.leave()
                    break
            del iterator
        return chunks

    def text(self, operation: str, value: Any) -> str:
        """What the application reads as the answer's text."""
        return self._answer(operation, value).text

    def message(self, operation: str, value: Any) -> dict[str, Any]:
        """The answer as plain JSON data in the shape of a chat completion."""
        return self._answer(operation, value).message

    def _answer(self, operation: str, value: Any) -> Answer:
        """The application reads an answer.

        A tracer can put something in its place that no application can read, such as ``None`` for a
        cancelled call. The flow ends with the error then, as the application would; the call is recorded
        with what it gave, and the comparison with the arm without tracing shows it.
        """
        try:
            return self._flows.operation(operation).answer(value)
        except Exception as error:
            with self._lock:
                self.errors.append(error)
            raise

    # Recording

    def _prepared(
        self, operation: str, sample: Sample | None, *, refused: bool = False
    ) -> tuple[Callable[..., Any], dict[str, Any]]:
        call = self._flows.traced(operation, refused=refused)
        known = self._flows.operation(operation, refused=refused)
        return call, known.request(asked_as(sample or self.sample, known))

    def _attributed(self, text: str) -> contextlib.AbstractContextManager[None]:
        own = {"harness.cell": self._id.cell, "harness.sample": self.sample.id, "harness.scenario": self._scenario.name}
        return self._parts.strategy.attribute({CALL_ID_METADATA: text, **own, **self._parts.labels})

    def _begun(self, step: int | None) -> int:
        """The step of a call that begins: the next one, or one of its own that was reserved."""
        with self._lock:
            if step is None:
                step, self._next_step = self._next_step, self._next_step + 1
            elif step not in range(self._next_step) or step in self._steps:
                raise ValueError(f"step {step!r} was not reserved for this call: each takes one of app.reserve(...)")
            self._steps.add(step)
            self.under_way += 1
        return step

    @contextlib.contextmanager
    def _call(self, operation: str, sample: Sample | None, step: int | None) -> Iterator[_Recording]:
        """Record what happens inside as one call; exceptions pass through."""
        call_id = str(self._id._replace(step=self._begun(step)))
        recording = _Recording()
        token = CALL_ID.set(call_id)
        error: BaseException | None = None
        try:
            with self._attributed(call_id):
                recording.start()
                try:
                    yield recording
                finally:
                    recording.stop()
        except (Exception, asyncio.CancelledError) as caught:
            error = caught
            with self._lock:
                self.errors.append(caught)
            raise
        finally:
            CALL_ID.reset(token)
            record = self._record(call_id, operation, sample or self.sample, recording.seen(error))
            recording.container = None
            with self._lock:
                self.calls.append(record)
                self.under_way -= 1

    def _record(self, call_id: str, operation: str, sample: Sample, seen: _Seen) -> Call:
        known = self._flows.operations[operation]
        text, unread = None, None
        if seen.error is None and seen.outcome == "ok":
            try:
                text = known.answer(seen.value if seen.chunks is None else seen.chunks).text
            except Exception as error:  # noqa: BLE001  # an endpoint may leave out what the provider reads
                unread = f"the answer could not be read: {type(error).__name__}: {error}"
        shown = seen.value if seen.chunks is None else (seen.chunks[0] if seen.chunks else None)
        return Call(
            call_id=call_id,
            flow_id=self._id.flow,
            flow_traced=self.flow_traced,
            sample_id=self.sample.id,
            scenario=self._scenario.name,
            operation=operation,
            mode=known.mode,
            stream=seen.chunks is not None,
            start_unix_ns=seen.start_unix_ns,
            start_ns=seen.start_ns,
            end_ns=seen.end_ns,
            first_chunk_ns=seen.chunk_ns[0] if seen.chunk_ns else None,
            chunk_ns=seen.chunk_ns,
            chunk_count=None if seen.chunks is None else len(seen.chunks),
            outcome=seen.outcome,
            prompt=prompt_text(sample),
            expected=sample.expected,
            text=text,
            value_type=None if seen.error is not None else type_name(type(shown)),
            error_type=None if seen.error is None else type_name(type(seen.error)),
            error_message=unread if seen.error is None else str(seen.error),
            observed=_observation(seen, shown=not getattr(self._parts.strategy, "streams_are_generators", False)),
        )


class _Recording:
    """Clock readings and values of one call while it is made."""

    def __init__(self) -> None:
        self.value: Any = None
        self.container: Any = None
        self.may_time_out = False
        self._chunks: list[Any] | None = None
        self._left = False
        self._start_unix_ns = self._start_ns = self._end_ns = 0
        self._chunk_ns: list[int] = []

    def start(self) -> None:
        self._start_unix_ns = time.time_ns()
        self._start_ns = time.perf_counter_ns()

    def stop(self) -> None:
        self._end_ns = time.perf_counter_ns()

    def begin_chunks(self) -> list[Any]:
        self._chunks = []
        return self._chunks

    def add(self, chunk: Any) -> None:
        self._chunk_ns.append(time.perf_counter_ns())
        if self._chunks is not None:
            self._chunks.append(chunk)

    def leave(self) -> None:
        self._left = True

    def seen(self, error: BaseException | None) -> _Seen:
        return _Seen(
            self._start_unix_ns,
            self._start_ns,
            self._end_ns,
            tuple(self._chunk_ns),
            self.value,
            self._chunks,
            self.container,
            error,
            self._outcome(error),
        )

    def _outcome(self, error: BaseException | None) -> Outcome:
        if isinstance(error, asyncio.CancelledError) or (self.may_time_out and isinstance(error, TimeoutError)):
            return "cancelled"
        if error is not None:
            return "error"
        return "left" if self._left else "ok"


def asked_as(sample: Sample, operation: Operation) -> Sample:
    """The sample as an operation sends it: whether the answer is streamed is the operation's to say."""
    streamed = operation.mode in ("stream", "async_stream")
    parameters = {key: value for key, value in sample.parameters.items() if streamed or key != "stream_options"}
    return sample.model_copy(update={"stream": streamed, "parameters": parameters})


def _observation(seen: _Seen, *, shown: bool) -> Observation:
    """What came; the stream object itself is left out where the application made it, by a function of its own."""
    if seen.chunks is not None:
        return observe_chunks(seen.container if shown else None, seen.chunks, seen.error)
    return observe_value(seen.value) if seen.error is None else observe_error(seen.error)


def prompt_text(sample: Sample) -> str:
    """The last message's text, for tables and as what a flow is asked."""
    content = sample.messages[-1].get("content", "")
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
