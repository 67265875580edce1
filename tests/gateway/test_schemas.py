"""Values made up from JSON schemas."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from harness.gateway.schemas import SchemaError, value_of


class Colour(Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Node(BaseModel):
    """A tree."""

    value: int
    children: list[Node]
    parent: Node | None


class Everything(BaseModel):
    """Most of what applications write into the classes that they parse answers into."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=3, max_length=12)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d{3,5}$")]
    choice: Literal["a", "b"]
    fixed: Literal[3]
    colour: Colour
    count: Annotated[int, Field(ge=5, lt=9)]
    even: Annotated[int, Field(multiple_of=2, gt=7)]
    share: Annotated[float, Field(gt=0, lt=1)]
    half: Annotated[float, Field(multiple_of=0.5)]
    maybe: str | None
    either: int | list[bool]
    tags: Annotated[list[str], Field(min_length=2, max_length=4)]
    unique: set[int]
    pair: tuple[int, str]
    scores: dict[str, float]
    when: dt.datetime
    day: dt.date
    key: uuid.UUID
    tree: Node
    with_default: int = 4


SEEDS = st.text(max_size=4)


@given(SEEDS)
def test_values_pass_the_class_that_the_schema_came_from(seed: str) -> None:
    """What applications ask for with a Pydantic class can be parsed into it."""
    Everything.model_validate(value_of(Everything.model_json_schema(), seed))


@given(SEEDS)
def test_values_are_a_function_of_schema_and_seed(seed: str) -> None:
    """Twice the same, and another seed gives another value at some time."""
    schema = Everything.model_json_schema()
    assert value_of(schema, seed) == value_of(schema, seed)
    assert value_of(schema, seed) != value_of(schema, f"{seed}x")


@given(SEEDS)
def test_combined_schemas_hold_all_at_once(seed: str) -> None:
    """The parts of ``allOf`` and what stands beside a reference are all kept."""
    schema = {
        "$defs": {"named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        "allOf": [{"$ref": "#/$defs/named"}, {"properties": {"age": {"type": "integer"}}, "required": ["age"]}],
        "required": ["born"],
        "additionalProperties": False,
    }
    value = value_of(schema, seed)
    assert isinstance(value["name"], str)
    assert isinstance(value["age"], int)
    assert "born" in value


@pytest.mark.parametrize(
    "pattern", [r"^(foo|bar)+$", r"[^abc]{2,4}", r"^\+?[1-9]\d{1,14}$", r"^\w+@\w+\.com$", r"^.x\s\S$", r"^[a-z_]*?$"]
)
def test_texts_match_their_pattern(pattern: str) -> None:
    """Alternatives, repetitions, classes and their opposites."""
    for seed in range(20):
        assert re.search(pattern, value_of({"type": "string", "pattern": pattern}, str(seed)))


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({}, str),
        (True, str),
        ({"type": ["null", "integer"]}, int),
        ({"properties": {}}, dict),
        ({"items": {"type": "null"}}, list),
        ({"minimum": 3}, float),
        ({"type": "integer", "exclusiveMaximum": -3}, int),
        ({"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}}, dict),
    ],
)
def test_what_a_schema_leaves_open_is_filled_in(schema: Any, kind: type) -> None:
    """Without a type the keywords tell it."""
    assert isinstance(value_of(schema, "x"), kind)


@pytest.mark.parametrize(
    "schema",
    [
        5,
        False,
        {"type": "colour"},
        {"enum": []},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema"},
        {"allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "minItems": 900, "items": {"type": "array", "minItems": 900}},
        {"type": "array", "minItems": 2, "uniqueItems": True, "items": {"const": 1}},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "a{100000}"},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "integer", "minimum": 5, "maximum": 2},
        {"type": "number", "minimum": 5, "maximum": 2},
        {"type": "number", "multipleOf": 0},
        {"properties": 3},
    ],
)
def test_impossible_schemas_are_refused(schema: Any) -> None:
    """Nothing is made up that the schema does not allow, and nothing runs for ever."""
    with pytest.raises(SchemaError):
        value_of(schema, "x")


def test_wide_recursive_schemas_come_to_an_end() -> None:
    """A tree of many branches stays small enough to be an answer."""
    names = [f"branch_{index}" for index in range(30)]
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in names}}
    assert len(str(value_of(schema, "x"))) < 100_000


def test_json_types_alone() -> None:
    """Bare types of Python are served too."""
    kinds: list[Any] = [int, float, bool, str, list[int], dict[str, int], None]
    for kind in kinds:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        adapter.validate_python(value_of(adapter.json_schema(), "x"))
