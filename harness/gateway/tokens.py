"""A small deterministic tokenizer of our own, because real vocabularies need the network.

A piece is, with one space before it if there is one: up to eight letters, up to three digits,
one punctuation mark or symbol, or a run of underscores; or else a run of white space. Joined, the
pieces of a text are the text. Over chat messages the overhead is that of OpenAI's published
recipe: three tokens a message, one more for a name, three for the answer's opening. On plain
English sentences the counts come out as OpenAI's do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PIECE = re.compile(r" ?[^\W\d_]{1,8}| ?\d{1,3}| ?[^\w\s]| ?_+|\s+")
_PER_MESSAGE = 3
_PER_NAME = 1
_OPENING = 3
_PER_IMAGE = 85
"""What OpenAI counts for an image in low detail; the simulator looks at no image."""
_PER_DETAILED_IMAGE = 765
"""What OpenAI counts for one of 1024 x 1024 pixels in high detail: four tiles of 170 more."""


def pieces(text: str) -> tuple[str, ...]:
    """The tokens of a text, which joined are the text."""
    return tuple(_PIECE.findall(text))


def prompt_tokens(messages: Iterable[Mapping[str, Any]], tools: object = None) -> int:
    """Tokens of a chat request: all messages, the tools offered, and the fixed overhead."""
    return _OPENING + sum(_message_tokens(message) for message in messages) + _json_tokens(tools)


def _message_tokens(message: Mapping[str, Any]) -> int:
    named = _PER_NAME + len(pieces(str(message["name"]))) if message.get("name") else 0
    return (
        _PER_MESSAGE
        + named
        + len(pieces(str(message.get("role", ""))))
        + _content_tokens(message.get("content"))
        + _json_tokens(message.get("tool_calls"))
    )


def _content_tokens(content: object) -> int:
    if isinstance(content, str):
        return len(pieces(content))
    if isinstance(content, list):
        return sum(_part_tokens(part) for part in content)
    return 0


def _part_tokens(part: object) -> int:
    if isinstance(part, str):
        return len(pieces(part))
    if not isinstance(part, dict):
        return 0
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            return len(pieces(part[name]))
    # Chat completions keep the detail beside the address, the Responses API beside the type.
    image = part.get("image_url")
    detail = image.get("detail") if isinstance(image, dict) else part.get("detail")
    return _PER_DETAILED_IMAGE if detail == "high" else _PER_IMAGE


def _json_tokens(value: object) -> int:
    return len(pieces(orjson.dumps(value).decode())) if value else 0
