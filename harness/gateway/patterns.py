"""Texts that a regular expression matches, drawn at random."""

from __future__ import annotations

import re
import string
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_FURTHER_REPEATS = 8
_LARGEST_REPEAT = 1000
_CATEGORIES = {
    codes.CATEGORY_DIGIT: string.digits,
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_WORD: string.ascii_letters + string.digits + "_",
    codes.CATEGORY_NOT_DIGIT: string.ascii_letters,
    codes.CATEGORY_NOT_SPACE: string.ascii_letters + string.digits,
    codes.CATEGORY_NOT_WORD: "-",
}
_PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "


def matching_text(pattern: str, draw: random.Random) -> str:
    """A text in which the pattern is found, as JSON schemas mean it.

    Raises:
        ValueError: If the pattern is no regular expression, or one of a kind that is not supported.
    """
    try:
        parsed = _parser.parse(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    text = _sequence(parsed, draw)
    if re.search(pattern, text) is None:
        raise ValueError(f"no text was found for the pattern {pattern!r}")
    return text


def _sequence(parts: Any, draw: random.Random) -> str:
    made = []
    for code, value in parts:
        if code not in _MAKERS:
            raise ValueError(f"patterns with {str(code).lower()} are not supported")
        made.append(_MAKERS[code](value, draw))
    return "".join(made)


def _repeat(value: Any, draw: random.Random) -> str:
    least, most, part = value
    if least > _LARGEST_REPEAT:
        raise ValueError(f"more than {_LARGEST_REPEAT} repetitions are not made up")
    count = draw.randint(least, min(most, least + _FURTHER_REPEATS))
    return "".join(_sequence(part, draw) for _ in range(count))


def _one_of(value: Any, draw: random.Random) -> str:
    chosen: set[str] = set()
    for code, item in value:
        if code is codes.LITERAL:
            chosen.add(chr(item))
        elif code is codes.RANGE:
            chosen.update(map(chr, range(item[0], min(item[1], item[0] + 255) + 1)))
        elif code is codes.CATEGORY:
            chosen.update(_CATEGORIES[item])
    if value[0][0] is codes.NEGATE:
        chosen = set(_PRINTABLE) - chosen
    return draw.choice(sorted(chosen))


_MAKERS: dict[Any, Callable[[Any, random.Random], str]] = {
    codes.LITERAL: lambda value, _draw: chr(value),
    codes.NOT_LITERAL: lambda value, draw: draw.choice(sorted(set(_PRINTABLE) - {chr(value)})),
    codes.ANY: lambda _value, draw: draw.choice(string.ascii_letters),
    codes.IN: _one_of,
    codes.MAX_REPEAT: _repeat,
    codes.MIN_REPEAT: _repeat,
    codes.POSSESSIVE_REPEAT: _repeat,
    codes.SUBPATTERN: lambda value, draw: _sequence(value[3], draw),
    codes.BRANCH: lambda value, draw: _sequence(draw.choice(value[1]), draw),
    codes.AT: lambda _value, _draw: "",
}
