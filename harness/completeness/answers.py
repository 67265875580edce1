"""What an answer on the wire holds, whichever endpoint gave it."""

from __future__ import annotations

from typing import Any, NamedTuple


class WireChoice(NamedTuple):
    """One choice of an answer; a stream's deltas are already merged.

    The Responses API has one choice: the text of all its messages, and all its function calls.

    Attributes:
        number: The choice's index among the answer's choices.
        content: Text, a list of content parts, or ``None`` where the answer has none.
        tool_calls: Tool calls in the chat-completions form, arguments as they were sent.
    """

    number: int
    content: Any
    tool_calls: tuple[dict[str, Any], ...]
    finish_reason: str | None
    refusal: str | None


class WireUsage(NamedTuple):
    """Token counts; ``None`` where the wire shows none."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireResponse(NamedTuple):
    """The answer of one exchange.

    Attributes:
        status: How an answer of the Responses API ended: ``completed``, ``incomplete``, ``failed``.
        incomplete_reason: Why it is incomplete.
        failure: Its ``error`` object, where it failed with a status that is none.
        vector_lengths: For embeddings the number of dimensions of each vector, in the order of their indexes.
    """

    model: str | None
    response_id: str | None
    choices: tuple[WireChoice, ...]
    usage: WireUsage
    status: str | None = None
    incomplete_reason: str | None = None
    failure: dict[str, Any] | None = None
    vector_lengths: tuple[int, ...] = ()


class WireError(NamedTuple):
    """How an exchange failed, as far as the wire says it.

    Attributes:
        status_code: The HTTP status if it names an error; ``None`` for a stream that broke off.
    """

    status_code: int | None
    type: str | None
    message: str | None
    code: str | None


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; nothing if it is none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """The value if it is a text."""
    return value if isinstance(value, str) else None


def count(value: Any, *path: str) -> int | None:
    """The whole number that stands under a path of keys."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def in_order(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items by their ``index``, those without one by their position."""
    numbered = [(index_of(one, position), one) for position, one in enumerate(items)]
    return [one for _, one in sorted(numbered, key=lambda pair: pair[0])]


def index_of(item: dict[str, Any], position: int) -> int:
    """An item's ``index``, or its position where it has none."""
    index = item.get("index")
    return index if isinstance(index, int) else position
