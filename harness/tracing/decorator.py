"""``@mlflow.trace`` on a function of one's own that calls the SDK."""

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
    """The bare decorator."""

    @mlflow.trace
    def chat(messages: Any, **parameters: Any) -> Any:
        return target.call(messages=messages, **parameters)

    return chat


def plain_stream(target: Target) -> Callable[..., Any]:
    """The bare decorator on a generator function."""

    @mlflow.trace
    def chat(messages: Any, **parameters: Any) -> Iterator[Any]:
        yield from target.call(messages=messages, **parameters)

    return chat


def plain_async(target: Target) -> Callable[..., Any]:
    """The bare decorator on a coroutine function."""

    @mlflow.trace
    async def chat(messages: Any, **parameters: Any) -> Any:
        return await target.call(messages=messages, **parameters)

    return chat


def plain_async_stream(target: Target) -> Callable[..., Any]:
    """The bare decorator on an asynchronous generator function."""

    @mlflow.trace
    async def chat(messages: Any, **parameters: Any) -> AsyncIterator[Any]:
        async for chunk in await opened(target.call(messages=messages, **parameters)):
            yield chunk

    return chat


def open_single(target: Target) -> Callable[..., Any]:
    """The bare decorator, for a request without messages."""

    @mlflow.trace
    def ask(**request: Any) -> Any:
        return target.call(**request)

    return ask


def open_stream(target: Target) -> Callable[..., Any]:
    """The bare decorator on a generator function, for a request without messages."""

    @mlflow.trace
    def ask(**request: Any) -> Iterator[Any]:
        yield from target.call(**request)

    return ask


def open_async(target: Target) -> Callable[..., Any]:
    """The bare decorator on a coroutine function, for a request without messages."""

    @mlflow.trace
    async def ask(**request: Any) -> Any:
        return await target.call(**request)

    return ask


def open_async_stream(target: Target) -> Callable[..., Any]:
    """The bare decorator on an asynchronous generator function, for a request without messages."""

    @mlflow.trace
    async def ask(**request: Any) -> AsyncIterator[Any]:
        async for chunk in await opened(target.call(**request)):
            yield chunk

    return ask


def careful_single(target: Target) -> Callable[..., Any]:
    """A typed span that describes the request and the answer."""

    @mlflow.trace(name=target.name, span_type=target.kind)
    def ask(**request: Any) -> Any:
        span = mlflow.get_current_active_span()
        note_request(span, target.describe, request)
        value = target.call(**request)
        note_answer(span, target.answer, value)
        return value

    return ask


def careful_stream(target: Target) -> Callable[..., Any]:
    """The same for a stream, whose chunks are reduced to one answer at its end, wherever that is."""

    def reduced(chunks: list[Any]) -> dict[str, Any]:
        return target.answer(chunks).message

    @mlflow.trace(name=target.name, span_type=target.kind, output_reducer=reduced)
    def ask(**request: Any) -> Iterator[Any]:
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

    return ask


def careful_async(target: Target) -> Callable[..., Any]:
    """A typed span around an awaited call."""

    @mlflow.trace(name=target.name, span_type=target.kind)
    async def ask(**request: Any) -> Any:
        span = mlflow.get_current_active_span()
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
    """The same for an asynchronous stream."""

    def reduced(chunks: list[Any]) -> dict[str, Any]:
        return target.answer(chunks).message

    @mlflow.trace(name=target.name, span_type=target.kind, output_reducer=reduced)
    async def ask(**request: Any) -> AsyncIterator[Any]:
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

    return ask


def flow(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """The decorator on the function that handles a question with several calls."""

    @mlflow.trace(span_type=SpanType.CHAIN)
    def handle(question: str) -> Any:
        return function(question)

    return handle


def flow_async(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same on a coroutine function."""

    @mlflow.trace(span_type=SpanType.CHAIN)
    async def handle(question: str) -> Any:
        return await function(question)

    return handle
