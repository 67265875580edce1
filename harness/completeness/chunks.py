"""Events that stand for pieces of a stream, and which of them brought the first content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from harness.completeness.wire import has_content

if TYPE_CHECKING:
    from harness.records import SpanEvent, StoredSpan

CHUNK_WORDS = ("token", "chunk")
"""What the names of such events have in common: MLflow's ``mlflow.chunk.item.N`` (OpenAI flavour and
decorated generators), LangChain's ``new_token``, and what people write themselves (``first_token``)."""

_CHUNK_VALUE = "mlflow.chunk.value"
_TOKEN = "token"  # noqa: S105 - an attribute of an event, not a secret
_LANGCHAIN_CHUNK = "chunk"
_LANGCHAIN_PARTS = ("content", "tool_call_chunks", "tool_calls")


def is_chunk_event(event: SpanEvent) -> bool:
    """Whether an event's name says that it stands for a piece of a stream."""
    name = event.name.lower()
    return any(word in name for word in CHUNK_WORDS)


def chunk_value(event: SpanEvent) -> Any:
    """The piece that an event carries, decoded; ``None`` if it carries none."""
    if _CHUNK_VALUE in event.attributes:
        return _decoded(event.attributes[_CHUNK_VALUE])
    return event.attributes.get(_TOKEN)


def unwrapped(chunk: Any) -> Any:
    """Mistral's SDK wraps each chunk as ``{"data": chunk}``."""
    if isinstance(chunk, dict) and "choices" not in chunk and isinstance(chunk.get("data"), dict):
        return chunk["data"]
    return chunk


def first_content_unix_ns(span: StoredSpan) -> int | None:
    """When a span says that the first content arrived, in nanoseconds since the epoch.

    The first of its chunk events, or, where the pieces that they carry can be read, the first whose
    piece has content. Never a later one, whatever time is expected.

    Returns:
        ``None`` without such events, and where the pieces can be read and none has content.
    """
    events = sorted(filter(is_chunk_event, span.events), key=lambda event: event.time_unix_ns)
    contents = [shows_content(event) for event in events]
    readable = any(one is not None for one in contents)
    return next(
        (event.time_unix_ns for event, one in zip(events, contents, strict=True) if one or not readable),
        None,
    )


def shows_content(event: SpanEvent) -> bool | None:
    """Whether an event's piece has content, by what counts as content on the wire; ``None`` if it cannot be read.

    LangChain's token is empty where a piece calls a tool; the chunk beside it then decides.
    """
    shown = _has_content(chunk_value(event))
    if not shown and isinstance(event.attributes.get(_LANGCHAIN_CHUNK), str):
        beside = _has_content(_decoded(event.attributes[_LANGCHAIN_CHUNK]))
        shown = shown if beside is None else beside
    return shown


def _has_content(piece: Any) -> bool | None:
    """Reads texts, chat completion chunks, and LangChain's messages, plain or serialised."""
    piece = unwrapped(piece)
    if isinstance(piece, str):
        return piece != ""
    if not isinstance(piece, dict):
        return None
    if isinstance(piece.get("choices"), list):
        return has_content(piece)
    inner = piece.get("kwargs", piece.get("message"))
    if isinstance(inner, dict):
        return _has_content(inner)
    if not any(key in piece for key in _LANGCHAIN_PARTS):
        return None
    return any(piece.get(key) for key in _LANGCHAIN_PARTS)


def _decoded(value: Any) -> Any:
    """What a text holds as JSON; ``None`` for a broken object or list, any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return None if value.startswith(("{", "[")) else value
