"""Events that stand for pieces of a stream, and which of them brought the first content."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from harness.completeness import chat, responses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import SpanEvent, StoredSpan

CHUNK_WORDS = ("token", "chunk")
"""What the names of such events have in common: MLflow's ``mlflow.chunk.item.N`` (OpenAI flavour and
decorated generators), LangChain's ``new_token``, and what people write themselves (``first_token``)."""

_NUMBER = re.compile(r"\d+")
_CHUNK_VALUE = "mlflow.chunk.value"
_TOKEN = "token"  # noqa: S105 - an attribute of an event, not a secret
_LANGCHAIN_CHUNK = "chunk"
_LANGCHAIN_PARTS = ("content", "tool_call_chunks", "tool_calls")


def is_chunk_event(event: SpanEvent) -> bool:
    """Whether an event's name says that it stands for a piece of a stream."""
    return _says_chunk(event.name)


@lru_cache(maxsize=4096)
def _says_chunk(name: str) -> bool:
    plain = name.lower()
    return any(word in plain for word in CHUNK_WORDS)


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


class Piece(NamedTuple):
    """One event that stands for a piece of a stream.

    Attributes:
        event: The event.
        position: Its place among the span's events.
        value: What it carries, decoded; ``None`` if it carries nothing that can be read.
    """

    event: SpanEvent
    position: int
    value: Any

    @property
    def has_content(self) -> bool | None:
        """Whether what it carries is content; ``None`` if it cannot be told."""
        return _shows_content(self.event, self.value)


def pieces_of(span: StoredSpan) -> tuple[Piece, ...]:
    """A span's chunk events, by their time."""
    found = [
        Piece(event, position, chunk_value(event))
        for position, event in enumerate(span.events)
        if is_chunk_event(event)
    ]
    found.sort(key=lambda one: one.event.time_unix_ns)
    return tuple(found)


def series_of(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The events that stand for the pieces one by one: those that carry a piece, and those of one name with others.

    An event alone of its name that carries nothing (``first_token``) marks a moment, and promises no others.
    """
    if all(one.value is not None for one in pieces):
        return tuple(pieces)
    alike = Counter(_NUMBER.sub("", one.event.name) for one in pieces)
    return tuple(one for one in pieces if one.value is not None or alike[_NUMBER.sub("", one.event.name)] > 1)


def first_content_unix_ns(pieces: Sequence[Piece]) -> int | None:
    """When a span says that the first content arrived, in nanoseconds since the epoch.

    The first of its chunk events, or, where the pieces that they carry can be read, the first whose
    piece has content. Never a later one, whatever time is expected.

    Returns:
        ``None`` without such events, and where the pieces can be read and none has content.
    """
    readable = False
    for one in pieces:
        shown = one.has_content
        if shown:
            return one.event.time_unix_ns
        readable = readable or shown is not None
    return None if readable or not pieces else pieces[0].event.time_unix_ns


def _shows_content(event: SpanEvent, value: Any) -> bool | None:
    """Whether an event's piece has content, by what counts as content on the wire; ``None`` if it cannot be read.

    LangChain's token is empty where a piece calls a tool; the chunk beside it then decides.
    """
    shown = has_content(value)
    if not shown and isinstance(event.attributes.get(_LANGCHAIN_CHUNK), str):
        beside = has_content(_decoded(event.attributes[_LANGCHAIN_CHUNK]))
        shown = shown if beside is None else beside
    return shown


def is_piece(value: Any) -> bool:
    """Whether a value is surely a piece of a stream: a text, a chunk of any SDK, or an event of the Responses API."""
    value = unwrapped(value)
    if not isinstance(value, dict):
        return isinstance(value, str)
    choices, kind = value.get("choices"), str(value.get("type"))
    if isinstance(choices, list):
        return not choices or (isinstance(choices[0], dict) and "delta" in choices[0])
    return kind.startswith(responses.EVENT_PREFIX) or kind.endswith("MessageChunk")


def has_content(piece: Any) -> bool | None:
    """Whether a piece of a stream has content; ``None`` if it cannot be told.

    Reads texts, chunks of chat completions, events of the Responses API, and LangChain's messages,
    plain or serialised.
    """
    piece = unwrapped(piece)
    if not isinstance(piece, dict):
        return piece != "" if isinstance(piece, str) else None
    if isinstance(piece.get("choices"), list):
        return chat.has_content(piece)
    if str(piece.get("type")).startswith(responses.EVENT_PREFIX):
        return responses.has_content(piece)
    inner = piece.get("kwargs", piece.get("message"))
    if isinstance(inner, dict):
        return has_content(inner)
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
