"""``with mlflow.start_span(...)`` around the call to the SDK."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import SpanEvent, SpanType

from harness.tracing.spans import note_answer, note_failure, note_request, opened, shows_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from harness.tracing.spans import Target


def plain_single(target: Target) -> Callable[..., Any]:
    """A bare span with inputs and outputs."""

    def ask(**request: Any) -> Any:
        with mlflow.start_span(target.name) as span:
            span.set_inputs(request)
            value = target.call(**request)
            span.set_outputs(value)
            return value

    return ask


def plain_stream(target: Target) -> Callable[..., Any]:
    """A bare span held open over the iteration; it stays the active span between two chunks."""

    def ask(**request: Any) -> Iterator[Any]:
        with mlflow.start_span(target.name) as span:
            span.set_inputs(request)
            chunks = []
            for chunk in target.call(**request):
                chunks.append(chunk)
                yield chunk
            span.set_outputs(chunks)

    return ask


def plain_async(target: Target) -> Callable[..., Any]:
    """A bare span around an awaited call."""

    async def ask(**request: Any) -> Any:
        with mlflow.start_span(target.name) as span:
            span.set_inputs(request)
            value = await target.call(**request)
            span.set_outputs(value)
            return value

    return ask


def plain_async_stream(target: Target) -> Callable[..., Any]:
    """A bare span held open over the asynchronous iteration."""

    async def ask(**request: Any) -> AsyncIterator[Any]:
        with mlflow.start_span(target.name) as span:
            span.set_inputs(request)
            chunks = []
            async for chunk in await opened(target.call(**request)):
                chunks.append(chunk)
                yield chunk
            span.set_outputs(chunks)

    return ask


def careful_single(target: Target) -> Callable[..., Any]:
    """A typed span that describes the request and the answer."""

    def ask(**request: Any) -> Any:
        with mlflow.start_span(target.name, span_type=target.kind) as span:
            note_request(span, target.describe, request)
            value = target.call(**request)
            note_answer(span, target.answer, value)
            return value

    return ask


def careful_stream(target: Target) -> Callable[..., Any]:
    """The same for a stream, with a span that is not active while the consumer has control.

    A ``with`` block in a generator would leave its span active between two chunks, so that the
    consumer's own spans became its children.
    """

    def ask(**request: Any) -> Iterator[Any]:
        parent = mlflow.get_current_active_span()
        span = mlflow.start_span_no_context(target.name, span_type=target.kind, parent_span=parent)
        note_request(span, target.describe, request, stream=True)
        chunks: list[Any] = []
        waiting = True
        try:
            for chunk in target.call(**request):
                chunks.append(chunk)
                if waiting and shows_text(target.answer, chunk):
                    span.add_event(SpanEvent("first_token"))  # type: ignore[abstract]  # as MLflow declares it
                    waiting = False
                yield chunk
        except Exception as error:
            note_failure(span, error)
            raise
        finally:  # also where the application leaves the stream early
            if chunks:
                note_answer(span, target.answer, chunks)
            span.end()

    return ask


def careful_async(target: Target) -> Callable[..., Any]:
    """A typed span around an awaited call."""

    async def ask(**request: Any) -> Any:
        with mlflow.start_span(target.name, span_type=target.kind) as span:
            note_request(span, target.describe, request)
            try:
                value = await target.call(**request)
            except CancelledError as error:
                note_failure(span, error)
                raise
            note_answer(span, target.answer, value)
            return value

    return ask


def careful_async_stream(target: Target) -> Callable[..., Any]:
    """The careful stream, iterated asynchronously."""

    async def ask(**request: Any) -> AsyncIterator[Any]:
        parent = mlflow.get_current_active_span()
        span = mlflow.start_span_no_context(target.name, span_type=target.kind, parent_span=parent)
        note_request(span, target.describe, request, stream=True)
        chunks: list[Any] = []
        waiting = True
        try:
            async for chunk in await opened(target.call(**request)):
                chunks.append(chunk)
                if waiting and shows_text(target.answer, chunk):
                    span.add_event(SpanEvent("first_token"))  # type: ignore[abstract]  # as MLflow declares it
                    waiting = False
                yield chunk
        except (Exception, CancelledError) as error:
            note_failure(span, error)
            raise
        finally:  # also where the application leaves the stream early
            if chunks:
                note_answer(span, target.answer, chunks)
            span.end()

    return ask


def flow(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """A span around all that the application does for a question."""

    def handle(question: str) -> Any:
        with mlflow.start_span("handle", span_type=SpanType.CHAIN) as span:
            span.set_inputs({"question": question})
            value = function(question)
            span.set_outputs(value)
            return value

    return handle


def flow_async(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same around a coroutine function."""

    async def handle(question: str) -> Any:
        with mlflow.start_span("handle", span_type=SpanType.CHAIN) as span:
            span.set_inputs({"question": question})
            value = await function(question)
            span.set_outputs(value)
            return value

    return handle
