"""``mlflow.trace(...)`` around a function that already exists, such as the SDK's own method."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import SpanType

from harness.tracing.spans import note_answer, note_cut, note_failure, note_request, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from harness.tracing.spans import Target


def plain_single(target: Target) -> Callable[..., Any]:
    """The bare wrapper, whatever the function returns: a value, a stream, a coroutine."""
    return mlflow.trace(target.call)


plain_stream = plain_async = plain_async_stream = plain_single


def careful_single(target: Target) -> Callable[..., Any]:
    """A typed span around a function that describes the request and the answer on it."""

    def described(**request: Any) -> Any:
        span = mlflow.get_current_active_span()
        note_request(span, target.describe, request)
        value = target.call(**request)
        note_answer(span, target.answer, value)
        return value

    return mlflow.trace(described, name=target.name, span_type=target.kind)


def careful_stream(target: Target) -> Callable[..., Any]:
    """The same around a generator function, so that the span lasts as long as the stream."""

    def reduced(chunks: list[Any]) -> dict[str, Any]:
        return target.answer(chunks).message

    def described(**request: Any) -> Iterator[Any]:
        span = mlflow.get_current_active_span()
        note_request(span, target.describe, request, stream=True)
        chunks = []
        try:
            for chunk in target.call(**request):
                chunks.append(chunk)
                yield chunk
        except BaseException as error:
            note_cut(span, target.answer, chunks, error)
            raise
        note_answer(span, target.answer, chunks)

    return mlflow.trace(described, name=target.name, span_type=target.kind, output_reducer=reduced)


def careful_async(target: Target) -> Callable[..., Any]:
    """A typed span around a coroutine function."""

    async def described(**request: Any) -> Any:
        span = mlflow.get_current_active_span()
        note_request(span, target.describe, request)
        try:
            value = await target.call(**request)
        except CancelledError as error:
            note_failure(span, error)
            raise
        note_answer(span, target.answer, value)
        return value

    return mlflow.trace(described, name=target.name, span_type=target.kind)


def careful_async_stream(target: Target) -> Callable[..., Any]:
    """The same around an asynchronous generator function."""

    def reduced(chunks: list[Any]) -> dict[str, Any]:
        return target.answer(chunks).message

    async def described(**request: Any) -> AsyncIterator[Any]:
        span = mlflow.get_current_active_span()
        note_request(span, target.describe, request, stream=True)
        chunks = []
        try:
            async for chunk in await opened(target.call(**request)):
                chunks.append(chunk)
                yield chunk
        except BaseException as error:
            note_cut(span, target.answer, chunks, error)
            raise
        note_answer(span, target.answer, chunks)

    return mlflow.trace(described, name=target.name, span_type=target.kind, output_reducer=reduced)


def flow(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """The wrapper around the function that handles a question with several calls."""
    return mlflow.trace(function, name="handle", span_type=SpanType.CHAIN)


flow_async = flow
