"""Ways in which a value can come to state something else."""

from __future__ import annotations

import copy
import json
import struct
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

Path = tuple[Any, ...]

TYPE = "type"
"""The key that says what a part or a call is: with another one it is no such part or call any more."""
NOT_STATED = "index"
"""A key of tool calls that Mistral's SDK adds to what the wire said; altered, it contradicts nothing."""
A_LIST = "a list of it twice"
A_TYPE = "its type altered"
SPACED = "white space after it"


def altered(value: Any, draw: random.Random) -> Iterator[tuple[str, Any]]:
    """Every way that applies to a value, each with a value that states something else.

    In an object or list one leaf, drawn by chance, is altered; and elements are lost or swapped.

    Args:
        value: Any JSON value but null.
        draw: Where chance comes from.
    """
    plain = [path for path, leaf in _walk(value) if not isinstance(leaf, (dict, list))]
    leaves = [path for path in plain if path[-1:] not in ((NOT_STATED,), (TYPE,))]
    for way, change in _LEAF_WAYS.items():
        for path in draw.sample(leaves, len(leaves)):
            changed = change(_get(value, path), draw)
            if changed is not None:
                yield way, _put(value, path, changed)
                break
    lists = [path for path, one in _walk(value) if isinstance(one, list) and len(one) > 1]
    if lists:
        path = draw.choice(lists)
        one = _get(value, path)
        lost = draw.randrange(len(one))
        yield "an element lost", _put(value, path, one[:lost] + one[lost + 1 :])
        first = draw.randrange(len(one) - 1)
        if one[first] != one[first + 1]:
            yield (
                "elements swapped",
                _put(value, path, [*one[:first], one[first + 1], one[first], *one[first + 2 :]]),
            )


def doubled(value: Any) -> Iterator[tuple[str, Any]]:
    """A value that was recorded twice in its place: counts added up, lists with each element twice."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value:
            yield "counted twice", value * 2
    elif isinstance(value, list) and value:
        yield "each element twice", [one for one in value for _ in range(2)]
    if not isinstance(value, list):
        yield A_LIST, [value, value]


def retyped(value: Any, draw: random.Random) -> Iterator[tuple[str, Any]]:
    """The value with the type of one of its parts altered, if it has parts with types."""
    types = [path for path, leaf in _walk(value) if path[-1:] == (TYPE,) and isinstance(leaf, str)]
    if types:
        path = draw.choice(types)
        yield A_TYPE, _put(value, path, _get(value, path) + "x")


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value inside a value that is not null, itself included."""
    if value is None:
        return
    yield path, value
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _walk(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _walk(one, (*path, index))


def _get(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _put(value: Any, path: Path, changed: Any) -> Any:
    if not path:
        return changed
    whole = copy.deepcopy(value)
    _get(whole, path[:-1])[path[-1]] = changed
    return whole


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


def _character(value: Any, draw: random.Random) -> Any:
    places = [index for index, one in enumerate(value) if one.isalnum()] if isinstance(value, str) else []
    if not places:
        return None
    place = draw.choice(places)
    other = "x" if value[place] != "x" else "y"
    return value[:place] + other + value[place + 1 :]


def _cut(value: Any, _draw: random.Random) -> Any:
    return value[: len(value) * 2 // 3] if isinstance(value, str) and len(value) > 1 else None


def _spaced(value: Any, _draw: random.Random) -> Any:
    # Space after JSON text, such as a tool call's arguments, changes nothing that it states.
    return value + " " if isinstance(value, str) and value and not _is_json(value) else None


def _cased(value: Any, _draw: random.Random) -> Any:
    return value.swapcase() if isinstance(value, str) and value.swapcase() != value else None


def _normalised(value: Any, _draw: random.Random) -> Any:
    if not isinstance(value, str):
        return None
    forms = (unicodedata.normalize(form, value) for form in ("NFD", "NFC"))
    return next((form for form in forms if form != value), None)


def _repr(value: Any, _draw: random.Random) -> Any:
    return repr(value) if isinstance(value, str) and value else None


def _off(value: Any, draw: random.Random) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value + draw.choice((-1, 1)) * (1 if isinstance(value, int) else 0.01)


def _single_precision(value: Any, _draw: random.Random) -> Any:
    if not isinstance(value, float):
        return None
    rounded = struct.unpack("f", struct.pack("f", value))[0]
    return rounded if rounded != value else None


def _flipped(value: Any, _draw: random.Random) -> Any:
    return not value if isinstance(value, bool) else None


def _as_text(value: Any, _draw: random.Random) -> Any:
    return None if isinstance(value, str) else json.dumps(value)


def _as_number(value: Any, _draw: random.Random) -> Any:
    return int(value) if isinstance(value, bool) else None


_LEAF_WAYS: dict[str, Callable[[Any, random.Random], Any]] = {
    "a character changed": _character,
    "cut short": _cut,
    SPACED: _spaced,
    "other case": _cased,
    "another Unicode form": _normalised,
    "its repr": _repr,
    "a little off": _off,
    "in single precision": _single_precision,
    "flipped": _flipped,
    "a number or truth value as text": _as_text,
    "a truth value as number": _as_number,
}
