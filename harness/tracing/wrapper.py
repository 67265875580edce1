"""``mlflow.trace(...)`` around a function that already exists, such as the SDK's own method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import SpanType

from harness.tracing.spans import note_answer, note_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.providers import Provider


def plain_complete(call: Callable[..., Any]) -> Callable[..., Any]:
    """The bare wrapper."""
    return mlflow.trace(call)


def plain_stream(call: Callable[..., Any]) -> Callable[..., Any]:
    """The bare wrapper, whatever the function returns."""
    return mlflow.trace(call)


def careful_complete(call: Callable[..., Any], provider: Provider) -> Callable[..., Any]:
    """A typed span around a function that describes the request and the answer on it."""

    def described(**request: Any) -> Any:
        span = mlflow.get_current_active_span()
        note_request(span, provider.chat_request(request))
        value = call(**request)
        note_answer(span, provider.answer(value))
        return value

    return mlflow.trace(described, name="chat", span_type=SpanType.CHAT_MODEL)


def careful_stream(call: Callable[..., Any], provider: Provider) -> Callable[..., Any]:
    """The same around a generator function, so that the span lasts as long as the stream."""

    def reduced(chunks: list[Any]) -> dict[str, Any]:
        return provider.stream_answer(chunks).message

    def described(**request: Any) -> Iterator[Any]:
        span = mlflow.get_current_active_span()
        note_request(span, {**provider.chat_request(request), "stream": True})
        chunks = []
        for chunk in call(**request):
            chunks.append(chunk)
            yield chunk
        note_answer(span, provider.stream_answer(chunks))

    return mlflow.trace(described, name="chat", span_type=SpanType.CHAT_MODEL, output_reducer=reduced)
