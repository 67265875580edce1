"""Checks of the values in a sample, each of which raises a sentence that says what is wrong.

The sentences name the value's place in the sample (``messages[0].role``); the file and the line are added by
the reader.
"""

from __future__ import annotations

import difflib
import math
import re
from typing import Any

from pydantic import ValidationError

from harness.scripts import ScriptedAnswer

MAX_DEPTH = 32
"""How many lists and objects may stand inside each other in a sample."""

MAX_TAG_CHARACTERS = 64

ROLES = ("system", "user", "assistant", "tool")
"""The roles that the OpenAI and the Mistral API both know."""

_MESSAGE_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")
_ELSEWHERE = {
    "messages": "the sample's own 'messages' or 'prompt' says it",
    "model": "the provider's configuration says it",
    "stream": "the sample's own 'stream' says it",
}
_NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_INTEGERS: dict[str, int | None] = {"max_tokens": 1, "n": 1, "seed": None}
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_SCENARIO = re.compile(r"(?:[a-z][a-z0-9_]*|[^\s:]+:[A-Za-z_]\w*)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER_RANGE = range(-(2**63), 2**63)


class FlawError(ValueError):
    """What is wrong with a sample or a file, in words without the place.

    A ``ValueError``, so that it may be raised inside a validator.
    """

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what)
        self.line = line


def printable(text: str) -> str:
    """The text on one line, in characters that any terminal and UTF-8 can take."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shown(value: Any) -> str:
    """A value as a message quotes it: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def kind(value: Any) -> str:  # noqa: PLR0911 - one return for each kind of JSON value
    """What a value is called in JSON's terms."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def unknown(what: str, name: str, options: tuple[str, ...]) -> FlawError:
    """Make the error for a name that is not among the options; it suggests the closest."""
    closest = difflib.get_close_matches(name, options, n=1)
    hint = f" (the closest is {closest[0]!r})" if closest else ""
    return FlawError(f"unknown {what} {shown(name)}{hint}; the options are: {', '.join(options)}")


def text_of(value: Any, what: str) -> str:
    """The value, if it is text; ``what`` names it in the message that says why not."""
    if not isinstance(value, str):
        raise FlawError(f"{what} must be text, not {kind(value)}")
    return value


def list_of(value: Any, what: str) -> list[Any] | tuple[Any, ...]:
    """The value, if it is a list."""
    if not isinstance(value, list | tuple):
        raise FlawError(f"{what} must be a list, not {kind(value)}")
    return value


def object_of(value: Any, what: str) -> dict[str, Any]:
    """The value, if it is an object."""
    if not isinstance(value, dict):
        raise FlawError(f"{what} must be an object, not {kind(value)}")
    return value


def filled_text(value: Any, what: str) -> str:
    """The value, if it is text that is not empty."""
    text = text_of(value, what)
    if not text:
        raise FlawError(f"{what} is empty")
    return text


def check_id(value: Any) -> None:
    """Check a sample's id."""
    if not _ID.fullmatch(text_of(value, "id")):
        raise FlawError(
            f"id {shown(value)} must be 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-', "
            "the first of them not '.'"
        )


def check_tags(value: Any) -> None:
    """Check a sample's tags; what is allowed can be written in a CSV cell too."""
    tags = list_of(value, "tags")
    seen: set[str] = set()
    for index, tag in enumerate(tags):
        text = text_of(tag, f"tags[{index}]")
        if not text or text != text.strip() or ";" in text or len(text) > MAX_TAG_CHARACTERS:
            raise FlawError(
                f"tags[{index}] is {shown(tag)}, a tag must have 1 to {MAX_TAG_CHARACTERS} characters, "
                "no ';', and no space at its ends"
            )
        if text in seen:
            raise FlawError(f"tags[{index}] is {shown(tag)} for a second time")
        seen.add(text)


def check_messages(value: Any) -> None:
    """Check a sample's messages: their shape, their roles, and that an answer is due after the last."""
    messages = list_of(value, "messages")
    if not messages:
        raise FlawError("messages is empty, it must hold at least one message")
    call_ids: set[str] = set()
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]", call_ids)
    if messages[-1]["role"] not in ("user", "tool"):
        raise FlawError(f"the last message must be by 'user' or 'tool', not by {messages[-1]['role']!r}")


def check_parameters(value: Any) -> None:
    """Check the type of the common request parameters, and refuse what is said elsewhere."""
    for name, parameter in object_of(value, "parameters").items():
        _check_parameter(name, parameter)


def check_stream(value: Any) -> None:
    """Check a sample's stream flag."""
    if not isinstance(value, bool):
        raise FlawError(f"stream must be true or false, not {kind(value)}")


def check_expected(value: Any) -> None:
    """Check a sample's expected answer, which may be null but not empty."""
    if value is not None:
        filled_text(value, "expected")


def check_tools(value: Any) -> None:
    """Check the tools that a sample offers."""
    for index, tool in enumerate(list_of(value, "tools")):
        where = f"tools[{index}]"
        if object_of(tool, where).get("type", "function") != "function":
            raise FlawError(f"{where}.type is {shown(tool['type'])}, it must be 'function'")
        function = object_of(tool.get("function"), f"{where}.function")
        filled_text(function.get("name"), f"{where}.function.name")
        object_of(function.get("parameters", {}), f"{where}.function.parameters")


def check_scenario(value: Any) -> None:
    """Check the form of a scenario's name; whether there is such a one is asked later."""
    if not _SCENARIO.fullmatch(text_of(value, "scenario")):
        raise FlawError(f"scenario {shown(value)} must be a name such as 'stream', or 'package.module:function'")


def check_options(value: Any) -> None:
    """Check that a scenario's options are an object."""
    object_of(value, "options")


def check_script(value: Any) -> None:
    """Check what the simulator is told to answer."""
    for index, entry in enumerate(list_of(value, "script")):
        object_of(entry, f"script[{index}]")
        try:
            ScriptedAnswer.model_validate(entry)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                raise unknown(f"key in script[{index}]", place, tuple(ScriptedAnswer.model_fields)) from error
            raise FlawError(f"script[{index}].{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from error


def check_json(value: Any, where: str, depth: int = 1) -> None:
    """Check that a value survives a way through UTF-8 JSON with 64-bit numbers unchanged."""
    match value:
        case str():
            _check_characters(value, where)
        case None | bool():
            pass
        case int():
            if value not in _INTEGER_RANGE:
                raise FlawError(f"{where} is a whole number beyond 64 bits")
        case float():
            if not math.isfinite(value):
                raise FlawError(f"{where} is {value}, it must be a finite 64-bit number")
        case list() | tuple() | dict():
            if depth > MAX_DEPTH:
                raise FlawError(f"{re.split('[.[]', where, maxsplit=1)[0]} is nested deeper than {MAX_DEPTH} levels")
            _check_json_items(value, where, depth)
        case _:
            raise FlawError(f"{where} is a {type(value).__name__}, which JSON does not have")


def _check_json_items(value: Any, where: str, depth: int) -> None:
    if not isinstance(value, dict):
        for index, item in enumerate(value):
            check_json(item, f"{where}[{index}]", depth + 1)
        return
    for key, item in value.items():
        _check_characters(text_of(key, f"a key in {where}"), f"a key in {where}")
        check_json(item, f"{where}.{printable(key[:40])}", depth + 1)


def _check_characters(text: str, where: str) -> None:
    if "\0" in text:
        raise FlawError(f"{where} holds a NUL character, which texts must not")
    if not text.isascii() and (surrogate := _SURROGATE.search(text)):
        raise FlawError(
            f"{where} holds half of a surrogate pair (U+{ord(surrogate[0]):04X}), which UTF-8 cannot encode"
        )


def _check_message(value: Any, where: str, call_ids: set[str]) -> None:
    """Check one message; the ids of an assistant's tool calls are added to ``call_ids``."""
    message = object_of(value, where)
    for key in message:
        if key not in _MESSAGE_KEYS:
            raise unknown(f"key in {where}", key, _MESSAGE_KEYS)
    if "role" not in message:
        raise FlawError(f"{where} has no role")
    role = text_of(message["role"], f"{where}.role")
    if role not in ROLES:
        raise unknown(f"role in {where}", role, ROLES)
    if "name" in message:
        filled_text(message["name"], f"{where}.name")
    _check_tool_use(message, role, where, call_ids)
    if message.get("content") is None and "tool_calls" in message:
        return
    if "content" not in message:
        raise FlawError(f"{where} has no content")
    _check_content(message["content"], where, may_be_empty=role in ("assistant", "tool"))


def _check_tool_use(message: dict[str, Any], role: str, where: str, call_ids: set[str]) -> None:
    if "tool_calls" in message:
        if role != "assistant":
            raise FlawError(f"{where} has tool_calls, but is by {role!r}, not by 'assistant'")
        calls = list_of(message["tool_calls"], f"{where}.tool_calls")
        if not calls:
            raise FlawError(f"{where}.tool_calls is empty, leave it out where there is none")
        for index, call in enumerate(calls):
            call_ids.add(_check_tool_call(call, f"{where}.tool_calls[{index}]"))
    if role == "tool":
        call_id = text_of(message.get("tool_call_id"), f"{where}.tool_call_id")
        if call_id not in call_ids:
            raise FlawError(f"{where} answers tool call {shown(call_id)}, which no earlier message made")
    elif "tool_call_id" in message:
        raise FlawError(f"{where} has a tool_call_id, but is by {role!r}, not by 'tool'")


def _check_tool_call(value: Any, where: str) -> str:
    """Check one tool call and give its id."""
    call = object_of(value, where)
    if call.get("type", "function") != "function":
        raise FlawError(f"{where}.type is {shown(call['type'])}, it must be 'function'")
    function = object_of(call.get("function"), f"{where}.function")
    filled_text(function.get("name"), f"{where}.function.name")
    text_of(function.get("arguments"), f"{where}.function.arguments")
    return filled_text(call.get("id"), f"{where}.id")


def _check_content(content: Any, where: str, *, may_be_empty: bool) -> None:
    if isinstance(content, str):
        if not content and not may_be_empty:
            raise FlawError(f"{where}.content is empty")
        return
    if not isinstance(content, list | tuple):
        raise FlawError(f"{where}.content must be text or a list of content parts, not {kind(content)}")
    if not content:
        raise FlawError(f"{where}.content is an empty list, it must be text or hold at least one content part")
    for index, value in enumerate(content):
        place = f"{where}.content[{index}]"
        if filled_text(object_of(value, place).get("type"), f"{place}.type") == "text":
            filled_text(value.get("text"), f"{place}.text")


def _check_parameter(name: str, value: Any) -> None:
    what = f"parameters.{printable(name[:40])}"
    if name in _ELSEWHERE:
        raise FlawError(f"{what} is not allowed, {_ELSEWHERE[name]}")
    if not name:
        raise FlawError("parameters has a parameter without a name")
    if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise FlawError(f"{what} must be a number, not {kind(value)}")
    if name in _INTEGERS:
        _check_integer(value, what, _INTEGERS[name])
    if name == "stop" and not isinstance(value, str):
        for index, text in enumerate(list_of(value, what)):
            text_of(text, f"{what}[{index}]")
    if name == "stream_options":
        object_of(value, what)


def _check_integer(value: Any, what: str, least: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FlawError(f"{what} must be a whole number, not {value if isinstance(value, float) else kind(value)}")
    if least is not None and value < least:
        raise FlawError(f"{what} is {value}, it must be at least {least}")
