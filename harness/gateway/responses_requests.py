"""Requests of OpenAI's Responses API as the simulator understands them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.gateway.content import ANY_OBJECT
from harness.gateway.requests import RESPONSES_TYPES, Request, check_content, read_document, read_integer
from harness.gateway.tokens import prompt_tokens
from harness.gateway.tools import read_choice, read_tools

if TYPE_CHECKING:
    from harness.gateway.refusals import Refusing

_CALL_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})


def read_responses(body: bytes) -> Request:
    """Read a request's body.

    Raises:
        RefusedError: As the endpoint would.
    """
    document, refuse = read_document("openai", body, ("input",), RESPONSES_TYPES)
    items = _items(document["input"], refuse)
    tools = read_tools(document, refuse, nested=False)
    forced, named = read_choice(document, tools, refuse, nested=False)
    instructions = document.get("instructions")
    system = [{"role": "system", "content": instructions}] if instructions else []
    return Request(
        document=document,
        model=document["model"],
        stream=document.get("stream") is True,
        choices=1,
        max_tokens=read_integer(document, "max_output_tokens", refuse),
        stop=(),
        prompt_tokens=prompt_tokens([*system, *map(_message, items)], document.get("tools")),
        tools=tools,
        forced=forced,
        named=named,
        schema=_schema((document.get("text") or {}).get("format"), refuse),
        after_tool=items[-1].get("type") in _CALL_RESULTS,
        include_usage=True,
    )


def _items(value: Any, refuse: Refusing) -> list[dict[str, Any]]:
    """The input as items; a text is a message of the user."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise refuse.wrong_type("input", (str, list))
    if not value:
        raise refuse.wrong_value("input", "expected at least one item")
    for index, item in enumerate(value):
        check_content(item.get("content"), f"input[{index}]", refuse)
    return value


def _message(item: dict[str, Any]) -> dict[str, Any]:
    """An item in the form of chat completions, for counting its tokens."""
    if item.get("type") == "function_call":
        return {"role": "assistant", "tool_calls": [{"name": item.get("name"), "arguments": item.get("arguments")}]}
    if item.get("type") in _CALL_RESULTS:
        return {"role": "tool", "content": item.get("output")}
    return item


def _schema(text_format: Any, refuse: Refusing) -> Any:
    """What the text has to be valid against; ``None`` if it may be any."""
    if text_format is None:
        return None
    if not isinstance(text_format, dict):
        raise refuse.wrong_type("text.format", (dict,))
    kind = text_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return ANY_OBJECT
    if kind != "json_schema":
        raise refuse.wrong_value("text.format.type", "expected one of text, json_object, json_schema")
    if "schema" not in text_format:
        raise refuse.missing("text.format.schema")
    return text_format["schema"]
