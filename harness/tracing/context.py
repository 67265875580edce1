"""``with mlflow.start_span(...)`` around the call to the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import SpanEvent, SpanType

from harness.tracing.spans import note_answer, note_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.providers import Provider


def plain_complete(call: Callable[..., Any]) -> Callable[..., Any]:
    """A bare span with inputs and outputs."""

    def chat(**request: Any) -> Any:
        with mlflow.start_span("chat") as span:
            span.set_inputs(request)
            value = call(**request)
            span.set_outputs(value)
            return value

    return chat


def plain_stream(call: Callable[..., Any]) -> Callable[..., Any]:
    """A bare span held open over the iteration; it stays the active span between two chunks."""

    def chat(**request: Any) -> Iterator[Any]:
        with mlflow.start_span("chat") as span:
            span.set_inputs(request)
            chunks = []
            for chunk in call(**request):
                chunks.append(chunk)
                yield chunk
            span.set_outputs(chunks)

    return chat


def careful_complete(call: Callable[..., Any], provider: Provider) -> Callable[..., Any]:
    """A typed span that describes the request and the answer."""

    def chat(**request: Any) -> Any:
        with mlflow.start_span("chat", span_type=SpanType.CHAT_MODEL) as span:
            note_request(span, provider.chat_request(request))
            value = call(**request)
            note_answer(span, provider.answer(value))
            return value

    return chat


def careful_stream(call: Callable[..., Any], provider: Provider) -> Callable[..., Any]:
    """The same for a stream, with a span that is not active while the consumer has control.

    A ``with`` block in a generator would leave its span active between two chunks, so that the
    consumer's own spans became its children.
    """

    def chat(**request: Any) -> Iterator[Any]:
        parent = mlflow.get_current_active_span()
        span = mlflow.start_span_no_context("chat", span_type=SpanType.CHAT_MODEL, parent_span=parent)
        chunks: list[Any] = []
        waiting = True
        try:
            note_request(span, {**provider.chat_request(request), "stream": True})
            for chunk in call(**request):
                chunks.append(chunk)
                # The first chunk of a stream usually carries the role and no text.
                if waiting and provider.stream_answer(chunks).text:
                    span.add_event(SpanEvent("first_token"))  # type: ignore[abstract]  # as MLflow declares it
                    waiting = False
                yield chunk
            note_answer(span, provider.stream_answer(chunks))
        except Exception as error:
            span.record_exception(error)
            raise
        finally:
            span.end()

    return chat
