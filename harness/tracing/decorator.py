"""``@mlflow.trace`` on a function of one's own that calls the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import SpanType

from harness.tracing.spans import note_answer, note_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.providers import Provider


def plain_complete(call: Callable[..., Any]) -> Callable[..., Any]:
    """The bare decorator."""

    @mlflow.trace
    def chat(messages: Any, **parameters: Any) -> Any:
        return call(messages=messages, **parameters)

    return chat


def plain_stream(call: Callable[..., Any]) -> Callable[..., Any]:
    """The bare decorator on a generator function."""

    @mlflow.trace
    def chat(messages: Any, **parameters: Any) -> Iterator[Any]:
        yield from call(messages=messages, **parameters)

    return chat


def careful_complete(call: Callable[..., Any], provider: Provider) -> Callable[..., Any]:
    """A typed span that describes the request and the answer."""

    @mlflow.trace(name="chat", span_type=SpanType.CHAT_MODEL)
    def chat(**request: Any) -> Any:
        span = mlflow.get_current_active_span()
        note_request(span, provider.chat_request(request))
        value = call(**request)
        note_answer(span, provider.answer(value))
        return value

    return chat


def careful_stream(call: Callable[..., Any], provider: Provider) -> Callable[..., Any]:
    """The same for a stream, whose chunks are reduced to one answer at its end."""

    def reduced(chunks: list[Any]) -> dict[str, Any]:
        return provider.stream_answer(chunks).message

    @mlflow.trace(name="chat", span_type=SpanType.CHAT_MODEL, output_reducer=reduced)
    def chat(**request: Any) -> Iterator[Any]:
        span = mlflow.get_current_active_span()
        note_request(span, {**provider.chat_request(request), "stream": True})
        chunks = []
        for chunk in call(**request):
            chunks.append(chunk)
            yield chunk
        note_answer(span, provider.stream_answer(chunks))

    return chat
