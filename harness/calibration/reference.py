"""The reference strategy: records everything in its place, in both conventions.

It is what good traces are made with before defects are planted in them. It knows what to write from
the SDK's request and answer, as an application would, and never sees the wire; how often a request
was sent it learns from the HTTP client, as an instrumentation of that client would.
"""

from __future__ import annotations

import inspect
import json
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import httpx2
import mlflow
from mlflow.entities import SpanEvent, SpanStatus, SpanStatusCode, SpanType
from mlflow.tracing import set_span_chat_tools
from mlflow.tracing.constant import STREAM_CHUNK_EVENT_NAME_FORMAT, STREAM_CHUNK_EVENT_VALUE_KEY, SpanAttributeKey
from mlflow.tracing.utils import TraceJSONEncoder

from harness.calibration import conventions
from harness.providers import operations_of
from harness.providers.callid import CALL_ID
from harness.tracing.base import MLflowTracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from harness.providers import Answer, Operation, Provider

SPAN_TYPES = {"embeddings": SpanType.EMBEDDING}
"""First word of an operation to the type of its model span; any other is a chat model's."""

SPAN_CALL_ID = "harness.call_id"
"""The span attribute that says whose call a span is of, where several share one trace."""

_ATTEMPTS: ContextVar[list[int] | None] = ContextVar("harness_reference_attempts", default=None)
"""When each request of the call under way was sent, in nanoseconds since the epoch."""


class ReferenceTracing(MLflowTracing):
    """A root span around a model span, both written by hand."""

    name = "reference"
    streams_are_generators = True
    flows = "several"

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        del style, depth
        self._operations: dict[str, Operation] = {}
        self._system = ""

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Say where traces go, and count what the HTTP client sends."""
        super().install(provider, tracking_uri, experiment)
        self._operations = operations_of(provider)
        self._system = conventions.PROVIDERS.get(provider.name, provider.name)
        _count_requests()

    def wrap(self, operation: Operation) -> Callable[..., Any]:
        """The operation of any mode, traced."""
        if operation.name.split("_")[0] in ("chain", "batch", "retrieval", "agent"):
            raise NotImplementedError(f"the reference strategy does not describe what {operation.name!r} does inside")

        def single(**request: Any) -> Any:
            with _Recorder(operation, request, self._system) as recorder:
                return recorder.answered(operation.call(**request))

        def stream(**request: Any) -> Iterator[Any]:
            with _Recorder(operation, request, self._system) as recorder:
                for chunk in operation.call(**request):
                    recorder.chunk(chunk)
                    yield chunk

        async def awaited(**request: Any) -> Any:
            with _Recorder(operation, request, self._system) as recorder:
                return recorder.answered(await operation.call(**request))

        async def async_stream(**request: Any) -> AsyncIterator[Any]:
            with _Recorder(operation, request, self._system) as recorder:
                chunks = operation.call(**request)
                async for chunk in await chunks if inspect.isawaitable(chunks) else chunks:
                    recorder.chunk(chunk)
                    yield chunk

        wrapped: dict[str, Callable[..., Any]] = {
            "single": single,
            "stream": stream,
            "async": awaited,
            "async_stream": async_stream,
        }
        return wrapped[operation.mode]

    def flow(self, function: Callable[[str], Any]) -> Callable[[str], Any]:
        """What a scenario does, in a span of its own."""

        async def handle_async(question: str) -> Any:
            with mlflow.start_span("handle", span_type=SpanType.CHAIN) as span:
                span.set_inputs({"step": "handle"})
                value = await function(question)
                span.set_outputs({"answered": True})
                return value

        def handle(question: str) -> Any:
            with mlflow.start_span("handle", span_type=SpanType.CHAIN) as span:
                span.set_inputs({"step": "handle"})
                value = function(question)
                span.set_outputs({"answered": True})
                return value

        return handle_async if inspect.iscoroutinefunction(function) else handle

    def complete(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A chat completion with a single answer, traced."""
        return self.wrap(self._operations["chat"]._replace(call=call))

    def stream(self, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A streamed chat completion, traced."""
        return self.wrap(self._operations["stream"]._replace(call=call))

    def source(self) -> str:
        """The class that writes the spans."""
        return inspect.getsource(_Recorder)


class _Recorder:
    """Writes one call: a root span with a model span in it, from before the call to after its answer."""

    def __init__(self, operation: Operation, request: dict[str, Any], system: str) -> None:
        self._operation = operation
        self._chunks: list[Any] = []
        self._answered = False
        self._attempts: list[int] = []
        word = operation.name.split("_")[0]
        self.root = mlflow.start_span_no_context(
            "ask", span_type=SpanType.CHAIN, parent_span=mlflow.get_current_active_span(), inputs={"step": "ask"}
        )
        self.span = mlflow.start_span_no_context(
            word, span_type=SPAN_TYPES.get(word, SpanType.CHAT_MODEL), parent_span=self.root
        )
        streamed = {"stream": True} if operation.mode in ("stream", "async_stream") else {}
        self._note_request({**operation.describe(request), **streamed}, system)

    def __enter__(self) -> Self:
        _ATTEMPTS.set(self._attempts)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Not reset by a token: a generator may be closed in another context than it was begun in.
        _ATTEMPTS.set(None)
        for _ in self._attempts[1:]:
            self.span.add_event(SpanEvent("retry"))  # type: ignore[abstract]  # as MLflow declares it
        if len(self._attempts) > 1:
            self.span.set_attribute("http.request.resend_count", len(self._attempts) - 1)
        left = isinstance(error, GeneratorExit)
        if self._chunks and not self._answered:
            self._note_answer(self._operation.answer(self._chunks))
        if error is not None and not left:
            self._note_error(error)
        elif self.root.outputs is None:
            self.root.set_outputs({"answered": True})
        self.span.end()
        self.root.end()

    def answered(self, value: Any) -> Any:
        """Note an answer that came whole."""
        self._note_answer(self._operation.answer(value))
        return value

    def chunk(self, chunk: Any) -> None:
        """Note a piece of a stream, and when the first came."""
        # Before anything else: to write a first event as JSON can take longer than the event took to come.
        came_unix_ns = time.time_ns()
        name = STREAM_CHUNK_EVENT_NAME_FORMAT.format(index=len(self._chunks))
        text = json.dumps(chunk, cls=TraceJSONEncoder)
        event = SpanEvent(name, timestamp=came_unix_ns, attributes={STREAM_CHUNK_EVENT_VALUE_KEY: text})  # type: ignore[abstract]
        self.span.add_event(event)
        if not self._chunks and self._attempts:
            waited_ns = came_unix_ns - self._attempts[-1]
            self.span.set_attribute("gen_ai.response.time_to_first_chunk", waited_ns / 1e9)
        self._chunks.append(chunk)

    def _note_request(self, request: dict[str, Any], system: str) -> None:
        self.span.set_inputs(request)
        self.span.set_attribute(SpanAttributeKey.MESSAGE_FORMAT, "openai")
        self.span.set_attribute(SpanAttributeKey.MODEL, request["model"])
        if request.get("tools"):
            set_span_chat_tools(self.span, request["tools"])
        self.span.set_attribute(SPAN_CALL_ID, CALL_ID.get())
        self.span.set_attribute("gen_ai.provider.name", system)
        kind = "embeddings" if self.span.span_type == SpanType.EMBEDDING else "chat"
        for name, value in conventions.request_attributes(request, kind):
            self.span.set_attribute(name, value)

    def _note_answer(self, answer: Answer) -> None:
        self._answered = True
        self.span.set_outputs(answer.message)
        if answer.model:
            self.span.set_attribute(SpanAttributeKey.MODEL, answer.model)
        if answer.usage:
            usage = answer.usage._asdict()
            if cached := conventions.cached_tokens(answer.message.get("usage") or {}):
                usage["cache_read_input_tokens"] = cached
            self.span.set_attribute(SpanAttributeKey.CHAT_USAGE, usage)
        for name, value in conventions.answer_attributes(answer):
            self.span.set_attribute(name, value)

    def _note_error(self, error: BaseException) -> None:
        shown = error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
        self.span.record_exception(shown)
        for name, value in conventions.error_attributes(error):
            self.span.set_attribute(name, value)
        status = SpanStatus(SpanStatusCode.ERROR, f"{type(error).__name__}: {error}")
        self.root.set_status(status)  # type: ignore[arg-type]  # it takes one, whatever it declares


def _count_requests() -> None:
    """Note each request that the SDKs' HTTP clients send; done once in a process."""
    if getattr(httpx2.Client.send, "harness_counts", False):
        return
    send, send_async = httpx2.Client.send, httpx2.AsyncClient.send

    def counted(self: Any, request: Any, **options: Any) -> Any:
        _note_attempt()
        return send(self, request, **options)

    async def counted_async(self: Any, request: Any, **options: Any) -> Any:
        _note_attempt()
        return await send_async(self, request, **options)

    counted.harness_counts = True  # type: ignore[attr-defined]
    httpx2.Client.send = counted  # type: ignore[method-assign]
    httpx2.AsyncClient.send = counted_async  # type: ignore[method-assign]


def _note_attempt() -> None:
    attempts = _ATTEMPTS.get()
    if attempts is not None:
        attempts.append(time.time_ns())
