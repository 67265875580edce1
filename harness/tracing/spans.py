"""What a careful person writes on a span, in the places where MLflow and its UI look."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow.entities import SpanEvent, SpanStatus, SpanStatusCode, SpanType
from mlflow.tracing import set_span_chat_tools
from mlflow.tracing.constant import SpanAttributeKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mlflow.entities import LiveSpan

    from harness.providers import Answer, Operation

SPANS: dict[str, tuple[str, str]] = {
    "embeddings": ("embeddings", SpanType.EMBEDDING),
    "responses": ("responses", SpanType.CHAT_MODEL),
    "chain": ("chain", SpanType.CHAIN),
    "batch": ("batch", SpanType.CHAIN),
    "retrieval": ("retrieval", SpanType.CHAIN),
    "agent": ("agent", SpanType.AGENT),
}
"""First word of an operation to the name and type of its span; any other is a chat completion."""


class Target(NamedTuple):
    """What is traced.

    Attributes:
        call: What the application calls.
        name: The name of its span.
        kind: The type of its span.
        describe: The request as plain JSON data.
        answer: What the application reads from the value, or from all chunks of a stream.
    """

    call: Callable[..., Any]
    name: str
    kind: str
    describe: Callable[[dict[str, Any]], dict[str, Any]]
    answer: Callable[[Any], Answer]


def target_of(operation: Operation) -> Target:
    """An operation as its span shows it."""
    name, kind = SPANS.get(operation.name.partition("_")[0], ("chat", SpanType.CHAT_MODEL))
    return Target(operation.call, name, kind, operation.describe, operation.answer)


def note_request(
    span: LiveSpan | None, describe: Callable[[Any], dict[str, Any]], request: dict[str, Any], **more: Any
) -> None:
    """The request as the span's inputs, before the call, so that a failed call has them too."""
    if span is None:  # tracing is disabled, or this trace was not sampled
        return
    try:
        described = {**describe(request), **more}
        span.set_inputs(described)
        if "messages" in described:
            span.set_attribute(SpanAttributeKey.MESSAGE_FORMAT, "openai")
        if described.get("model"):
            span.set_attribute(SpanAttributeKey.MODEL, described["model"])
        if described.get("tools"):
            set_span_chat_tools(span, described["tools"])
    except Exception:  # noqa: BLE001 - tracing must not break the application
        span.set_inputs(request)


def note_answer(span: LiveSpan | None, read: Callable[[Any], Answer], value: Any) -> None:
    """The answer as the span's outputs, the model that answered, and the token counts."""
    if span is None:
        return
    try:
        answer = read(value)
        span.set_outputs(answer.message)
        if answer.model:
            span.set_attribute(SpanAttributeKey.MODEL, answer.model)
        if answer.usage:
            usage = answer.usage._asdict()
            sent = answer.message.get("usage") or {}
            details = sent.get("prompt_tokens_details") or sent.get("input_tokens_details") or {}
            if details.get("cached_tokens"):
                usage["cache_read_input_tokens"] = details["cached_tokens"]
            span.set_attribute(SpanAttributeKey.CHAT_USAGE, usage)
    except Exception:  # noqa: BLE001 - tracing must not break the application
        span.set_outputs(value)


def note_cut(span: LiveSpan | None, read: Callable[[Any], Answer], chunks: list[Any], error: BaseException) -> None:
    """What had come of a stream that broke, was cancelled, or that the application left.

    MLflow ends the span of an ``Exception`` alone; that the application left is no error.
    """
    if span is None:
        return
    if chunks:
        note_answer(span, read, chunks)
    if isinstance(error, Exception):
        return
    if not isinstance(error, GeneratorExit):
        note_failure(span, error)
    span.end()


def note_failure(span: LiveSpan | None, error: BaseException) -> None:
    """What a call ended with; MLflow's own ``record_exception`` refuses a cancellation."""
    if span is None:
        return
    span.add_event(SpanEvent.from_exception(error))  # type: ignore[arg-type]  # it takes any
    status = SpanStatus(SpanStatusCode.ERROR, description=f"{type(error).__name__}: {error}")
    span.set_status(status)  # type: ignore[arg-type]  # as MLflow itself calls it


def shows_text(read: Callable[[Any], Answer], chunk: Any) -> bool:
    """Whether a chunk of a stream brings text; the first one usually carries the role alone."""
    try:
        return bool(read([chunk]).text)
    except Exception:  # noqa: BLE001 - tracing must not break the application
        return False


async def opened(stream: Any) -> AsyncIterator[Any]:
    """An asynchronous stream, which some SDKs give only after an ``await``."""
    begun: AsyncIterator[Any] = await stream if inspect.isawaitable(stream) else stream
    return begun
