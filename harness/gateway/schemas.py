"""Values that a JSON schema allows, as a pure function of the schema and a seed."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

from harness.gateway.patterns import matching_text
from harness.gateway.wording import seeded_words

if TYPE_CHECKING:
    from collections.abc import Callable

_SHALLOW = 4
"""From this depth on, only what must be there is made: recursive schemas have to come to an end."""
_DEEPEST = 48
_MOST_TRIES = 64
_MANY_PARTS, _MOST_PARTS = 500, 10_000
"""After so many parts a value is ended as if it were deep; after so many more it is given up."""
_SPAN = 100
_LARGEST = 1000
"""The longest text, array or object that a schema may insist on."""
_ITEMS = (1, 3)
_ANYTHING = {"type": "string"}
_COMBINING = ("allOf", "anyOf", "oneOf")
_DECIMALS = 2


class SchemaError(ValueError):
    """A schema that is none, or that no value was found for."""


def value_of(schema: Any, seed: str) -> Any:
    """A value that is valid against a JSON schema.

    Understood are the keywords that OpenAI's structured outputs allow and what Pydantic writes:
    types, enumerations, constants, objects, arrays, references, ``allOf``, ``anyOf``, ``oneOf``,
    bounds of numbers and lengths, the common formats, and patterns. Others are not looked at.

    Raises:
        SchemaError: If the schema is malformed, or allows nothing that was found.
    """
    try:
        return _Maker(schema, seed).make(schema, 0)
    except SchemaError:
        raise
    except (ArithmeticError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        # The schema is a stranger's: whatever is wrong in it shows as one of these.
        raise SchemaError(f"the schema cannot be read: {error!r}") from error


class _Maker:
    """Makes the parts of one value."""

    def __init__(self, root: Any, seed: str) -> None:
        self._root = root
        self._made = 0
        self._draw = random.Random(seed)  # noqa: S311 - simulation, not cryptography
        self._makers: dict[str, Callable[[dict[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _schema, _depth: self._draw.random() < 0.5,
            "null": lambda _schema, _depth: None,
        }

    def make(self, schema: Any, depth: int) -> Any:
        """A value for a schema that stands somewhere below the root."""
        self._made += 1
        if depth > _DEEPEST or self._made > _MOST_PARTS:
            raise SchemaError("the schema never comes to an end")
        if self._made > _MANY_PARTS:
            depth = max(depth, _SHALLOW)
        plain = self._resolved(schema, depth)
        if "const" in plain:
            return plain["const"]
        if "enum" in plain:
            return self._draw.choice(plain["enum"])
        return self._makers[self._type(plain)](plain, depth)

    def _resolved(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema without references and combinations."""
        if schema is True:
            return dict(_ANYTHING)
        if not isinstance(schema, dict):
            raise SchemaError(f"a schema must be an object, not {schema!r}")
        plain = schema
        for _ in range(_DEEPEST):
            if "$ref" in plain:
                plain = _merged(_without(plain, "$ref"), self._referenced(plain["$ref"]))
            elif "allOf" in plain:
                parts = [self._resolved(part, depth) for part in plain["allOf"]]
                plain = _without(plain, "allOf")
                for part in parts:
                    plain = _merged(plain, part)
            elif name := next((name for name in ("anyOf", "oneOf") if name in plain), None):
                plain = _merged(_without(plain, name), self._branch(plain[name], depth))
            else:
                return plain
        raise SchemaError("the schema refers to itself without end")

    def _branch(self, branches: list[Any], depth: int) -> Any:
        """One of several schemas: any at first, deep down the simplest."""
        if depth >= _SHALLOW:
            return min(branches, key=_weight)
        full = [branch for branch in branches if branch != {"type": "null"}] or branches
        return self._draw.choice(full)

    def _referenced(self, reference: str) -> Any:
        place = self._root
        if not reference.startswith("#"):
            raise SchemaError(f"the reference {reference!r} leads out of the schema")
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            place = place[int(name)] if isinstance(place, list) else place[name]
        return place

    def _type(self, schema: dict[str, Any]) -> str:
        name = schema.get("type")
        if isinstance(name, list):
            name = self._draw.choice([one for one in name if one != "null"] or name)
        if name is None:
            name = next((kind for key, kind in _TYPE_BY_KEY if key in schema), "string")
        if name not in self._makers:
            raise SchemaError(f"there is no type {name!r}")
        return str(name)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        known = schema.get("properties", {})
        required = list(schema.get("required", ()))
        others = schema.get("additionalProperties", True)
        names = [name for name in known if name in required or depth < _SHALLOW]
        names += [name for name in required if name not in known]
        made = {name: self.make(known.get(name, _ANYTHING if others is False else others), depth + 1) for name in names}
        least = _size(schema, "minProperties", 2 if isinstance(others, dict) and not known and depth < _SHALLOW else 0)
        while len(made) < least:
            made[f"{seeded_words(self._draw, 1)}_{len(made)}"] = self.make(others, depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = [self.make(part, depth + 1) for part in schema.get("prefixItems", ())]
        rest = schema.get("items", not first)
        least = _size(schema, "minItems", 0 if depth >= _SHALLOW else _ITEMS[0])
        most = min(schema.get("maxItems", max(least, _ITEMS[1])), max(least, _ITEMS[1]))
        count = self._draw.randint(least, max(least, most)) if depth < _SHALLOW else least
        count = min(count, schema.get("maxItems", count))
        items = first
        for _ in range(_MOST_TRIES + count):
            if len(items) >= count or rest is False:
                break
            item = self.make(rest, depth + 1)
            if not schema.get("uniqueItems") or item not in items:
                items.append(item)
        if len(items) < schema.get("minItems", 0):
            raise SchemaError("no array is long enough")
        return items

    def _string(self, schema: dict[str, Any], _depth: int) -> str:
        shortest, longest = _size(schema, "minLength", 0), schema.get("maxLength")
        if "pattern" in schema:
            for _ in range(_MOST_TRIES):
                text = matching_text(schema["pattern"], self._draw)
                if shortest <= len(text) <= (len(text) if longest is None else longest):
                    return text
            raise SchemaError(f"no text was found for the pattern {schema['pattern']!r}")
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]](self._draw)
        text = seeded_words(self._draw, self._draw.randint(1, 3))
        while len(text) < shortest:
            text += f" {seeded_words(self._draw, 3)}"
        return text if longest is None else text[:longest].rstrip().ljust(shortest, "x")

    def _integer(self, schema: dict[str, Any], _depth: int) -> int:
        low, high = _bounds(schema, 1)
        step = schema.get("multipleOf", 1)
        first, last = -(-low // step), high // step
        if first > last:
            raise SchemaError("no integer lies between the bounds")
        return int(self._draw.randint(int(first), int(last)) * step)

    def _number(self, schema: dict[str, Any], depth: int) -> float:
        if "multipleOf" in schema:
            return self._integer({**schema}, depth) if float(schema["multipleOf"]).is_integer() else self._step(schema)
        low, high = _bounds(schema, 0)
        for decimals in (_DECIMALS, 15):
            value = round(self._draw.uniform(low, high), decimals)
            if low <= value <= high and value not in (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")):
                return value
        raise SchemaError("no number was found between the bounds")

    def _step(self, schema: dict[str, Any]) -> float:
        low, high = _bounds(schema, 0)
        step = schema["multipleOf"]
        return float(self._draw.randint(int(-(-low // step)), int(high // step)) * step)


def _size(schema: dict[str, Any], name: str, otherwise: int) -> int:
    size = int(schema.get(name, otherwise))
    if size > _LARGEST:
        raise SchemaError(f"{name} is {size}, more than {_LARGEST} is not made up")
    return size


def _bounds(schema: dict[str, Any], gap: int) -> tuple[Any, Any]:
    """The smallest and the largest value; an exclusive bound of an integer lies one further in."""
    lows = [schema["minimum"]] if "minimum" in schema else []
    lows += [schema["exclusiveMinimum"] + gap] if "exclusiveMinimum" in schema else []
    highs = [schema["maximum"]] if "maximum" in schema else []
    highs += [schema["exclusiveMaximum"] - gap] if "exclusiveMaximum" in schema else []
    low = max(lows) if lows else min([1, *(high - _SPAN for high in highs)])
    return low, min(highs) if highs else max(low, 0) + _SPAN


def _merged(one: dict[str, Any], other: Any) -> dict[str, Any]:
    """Both at once, as far as that is a matter of keywords."""
    if other is True:
        return one
    if not isinstance(other, dict):
        raise SchemaError(f"a schema must be an object, not {other!r}")
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        both["required"] = [*one["required"], *other["required"]]
    return both


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _weight(schema: Any) -> int:
    """How much a schema is likely to make."""
    if not isinstance(schema, dict):
        return 0
    if "$ref" in schema or any(name in schema for name in _COMBINING):
        return 3
    return {"object": 2, "array": 1}.get(str(schema.get("type")), 0)


_TYPE_BY_KEY = (
    ("properties", "object"),
    ("additionalProperties", "object"),
    ("required", "object"),
    ("items", "array"),
    ("prefixItems", "array"),
    ("minimum", "number"),
    ("maximum", "number"),
    ("multipleOf", "number"),
)
_FORMATS: dict[str, Callable[[random.Random], str]] = {
    "date": lambda draw: f"2024-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
    "time": lambda draw: f"{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:00Z",
    "date-time": lambda draw: f"2024-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T{draw.randint(0, 23):02}:00:00Z",
    "duration": lambda draw: f"P{draw.randint(1, 9)}D",
    "email": lambda draw: f"{seeded_words(draw, 1)}@example.com",
    "hostname": lambda draw: f"{seeded_words(draw, 1)}.example.com",
    "uri": lambda draw: f"https://example.com/{seeded_words(draw, 1)}",
    "ipv4": lambda draw: f"192.0.2.{draw.randint(1, 254)}",
    "ipv6": lambda draw: f"2001:db8::{draw.randint(1, 9999):x}",
    "uuid": lambda draw: str(uuid.UUID(int=draw.getrandbits(128), version=4)),
}
