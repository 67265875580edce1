"""Tools that a request offers, whether it forces a call, and calls that are made up."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from harness.gateway.schemas import SchemaError, value_of

if TYPE_CHECKING:
    from harness.gateway.refusals import Refusing

_FORCING = frozenset({"required", "any"})
_WORDS = _FORCING | {"auto", "none"}
_EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


class Tool(NamedTuple):
    """A function that may be called; the schema is that of its arguments."""

    name: str
    schema: Any


class ToolCall(NamedTuple):
    """A call of a tool; the arguments are JSON text."""

    name: str
    arguments: str


def read_tools(document: dict[str, Any], refuse: Refusing, *, nested: bool) -> tuple[Tool, ...]:
    """The functions among the tools of a request.

    Args:
        document: The request's body.
        refuse: How its dialect refuses.
        nested: Whether a function stands below ``function``, as in chat completions.

    Raises:
        RefusedError: If a function has no name.
    """
    found = []
    for index, tool in enumerate(document.get("tools") or ()):
        place = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise refuse.wrong_type(place, (dict,))
        if tool.get("type", "function") != "function":
            continue
        function = tool.get("function") if nested else tool
        place = f"{place}.function" if nested else place
        if not isinstance(function, dict):
            raise refuse.missing(place)
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise refuse.missing(f"{place}.name")
        found.append(Tool(function["name"], function.get("parameters") or _EMPTY_SCHEMA))
    return tuple(found)


def read_choice(
    document: dict[str, Any], tools: tuple[Tool, ...], refuse: Refusing, *, nested: bool
) -> tuple[tuple[Tool, ...], bool]:
    """The tools of which one has to be called, and whether it was named.

    Raises:
        RefusedError: If the choice is none that there is.
    """
    choice = document.get("tool_choice")
    if choice is None:
        return (), False
    if isinstance(choice, str):
        if choice not in _WORDS:
            raise refuse.wrong_value("tool_choice", f"expected one of {', '.join(sorted(_WORDS))}")
        if choice not in _FORCING:
            return (), False
        if not document.get("tools"):
            raise refuse.wrong_value("tool_choice", "it is only allowed when 'tools' are specified")
        return tools, False
    if choice.get("type", "function") != "function":
        return (), False
    function = choice.get("function") if nested else choice
    name = function.get("name") if isinstance(function, dict) else None
    named = tuple(tool for tool in tools if tool.name == name)
    if not named:
        raise refuse.wrong_value("tool_choice", "the tool that it names was not found in the 'tools' parameter")
    return named[:1], True


def made_up_call(tools: tuple[Tool, ...], seed: str, refuse: Refusing) -> ToolCall:
    """A call of one of the tools, with arguments that its schema allows.

    Raises:
        RefusedError: If the schema allows none.
    """
    tool = random.Random(seed).choice(tools)  # noqa: S311 - simulation, not cryptography
    try:
        return ToolCall(tool.name, json_text(value_of(tool.schema, seed)))
    except SchemaError as error:
        raise refuse.wrong_value("tools", f"invalid schema for function '{tool.name}': {error}") from error


def json_text(value: Any) -> str:
    """A value as the models write it."""
    return orjson.dumps(value).decode()
