"""When two values state the same: harmless differences of form, and nothing else, are forgiven.

Forgiven are: the order of an object's keys; null against an absent key; an integer against a
float of equal value; a text against a list of that one text part; a file's data URL against MLflow's
reference to an attachment of the
same type and bytes, which its web interface shows in its place; tool call arguments as JSON
text against the object; and in messages three ways of writing nothing (an empty list of tool
calls, empty text beside tool calls, and ``prefix: false``, Mistral's default, which its SDK
adds to what the application gave).
"""

from __future__ import annotations

import contextlib
import json
import math
from base64 import b64decode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

_JSON_BEGINS = frozenset("{[")
_ATTACHMENT = "mlflow-attachment://"
"""MLflow moves files out of a trace into attachments of it and leaves a reference with their type and size."""
_MESSAGE_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def canonical(value: Any) -> Any:
    """One form for all values that state the same; plain ``==`` then compares them.

    Truth values become tuples, because Python holds ``True`` equal to 1. What has this form already keeps it.
    """
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return ("truth", value)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else value
    if isinstance(value, dict):
        return {key: canonical(one) for key, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        is_truth = isinstance(value, tuple) and len(value) == 2 and value[0] == "truth"
        return value if is_truth else [canonical(one) for one in value]
    return value


def same_value(expected: Any, traced: Any) -> bool:
    """Whether two JSON values state the same."""
    if type(expected) is type(traced) and isinstance(expected, (str, int)):
        return bool(expected == traced)
    return bool(canonical(expected) == canonical(traced))


def canonical_content(content: Any) -> Any:
    """Message content; a list of exactly one text part is that text."""
    if isinstance(content, list) and len(content) == 1:
        part = content[0]
        if isinstance(part, dict) and {k for k, v in part.items() if v is not None} == {"type", "text"}:
            return part["text"] if part["type"] == "text" else canonical(content)
    return canonical(content)


def canonical_call(call: Any) -> Any:
    """A tool call as ``{"id", "type", "name", "arguments"}``, the arguments decoded; a function's type goes unsaid."""
    if not isinstance(call, dict):
        return call
    function = call.get("function")
    function = function if isinstance(function, dict) else call
    arguments = function.get("arguments", function.get("args"))
    kind = call.get("type")
    return canonical(
        {
            "id": call.get("id"),
            # LangChain's name for it, the Responses API's, and OpenTelemetry's.
            "type": None if kind in ("function", "tool_call", "function_call") else kind,
            "name": function.get("name"),
            "arguments": decoded(arguments),
        }
    )


def canonical_calls(calls: Any) -> Any:
    """Tool calls in their order; anything that is not a list stays as it is."""
    return [canonical_call(call) for call in calls] if isinstance(calls, (list, tuple)) else calls


def canonical_message(message: Any) -> Any:
    """A chat message in one form."""
    if not isinstance(message, dict):
        return canonical(message)
    calls = message.get("tool_calls")
    content = canonical_content(message.get("content"))
    rest = {key: one for key, one in message.items() if key not in ("content", "tool_calls")}
    if rest.get("prefix") is False:
        del rest["prefix"]
    plain: dict[str, Any] = canonical(rest)
    if calls:
        plain["tool_calls"] = canonical_calls(calls)
    if content is not None and not (calls and content == ""):
        plain["content"] = content
    return plain


def same_messages(expected: Any, traced: Any) -> bool:
    """Whether two lists hold the same messages in the same order."""
    if not isinstance(expected, list) or not isinstance(traced, list) or len(expected) != len(traced):
        return False
    if all(canonical_message(a) == canonical_message(b) for a, b in zip(expected, traced, strict=True)):
        return True
    forms = [_with_attachments(messages) for messages in (expected, traced)]
    return forms[1] != traced and all(canonical_message(a) == canonical_message(b) for a, b in zip(*forms, strict=True))


def _with_attachments(value: Any) -> Any:
    """A value in which files stand as their type and content: data URLs, and MLflow's references to attachments.

    A reference whose attachment could not be read has no digest of it, and is no file.
    """
    if isinstance(value, dict):
        return {key: _with_attachments(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_attachments(one) for one in value]
    if not isinstance(value, str):
        return value
    if value.startswith(_ATTACHMENT):
        query = parse_qs(urlsplit(value).query)
        return ("file", *query.get("content_type", ()), *query["sha256"]) if "sha256" in query else value
    head, _, data = value.partition(";base64,")
    if head.startswith("data:") and data:
        with contextlib.suppress(ValueError):
            return ("file", head.removeprefix("data:"), sha256(b64decode(data, validate=True)).hexdigest())
    return value


def same_contents(expected: Any, traced: Any) -> bool:
    """Whether the contents of an answer's choices are the same, choice by choice.

    A choice that only calls tools (``None`` here) may have null or empty text as content.
    """
    if not isinstance(traced, list) or len(expected) != len(traced):
        return False
    return all(
        canonical_content(a) == canonical_content(b) or (a is None and b == "")
        for a, b in zip(expected, traced, strict=True)
    )


def same_calls(expected: Any, traced: Any) -> bool:
    """Whether the tool calls of an answer's choices are the same, choice by choice."""
    if not isinstance(traced, list) or len(expected) != len(traced):
        return False
    return all(canonical_calls(a or []) == canonical_calls(b or []) for a, b in zip(expected, traced, strict=True))


def contains_text(expected: str, traced: Any) -> bool:
    """Whether a message stands in a longer text, or in one of several.

    Exceptions quote the provider's message inside their own, at times escaped as JSON or as a
    Python literal; white space is not compared.
    """
    texts = traced if isinstance(traced, (list, tuple)) else [traced]
    forms = {expected, json.dumps(expected)[1:-1], json.dumps(expected, ensure_ascii=False)[1:-1], repr(expected)[1:-1]}
    needles = [" ".join(form.split()) for form in forms]
    return any(needle in " ".join(text.split()) for text in texts if isinstance(text, str) for needle in needles)


def same_tools(expected: Any, traced: Any) -> bool:
    """Whether two lists define the same tools; the Responses API's flat form and chat completions' are both read."""
    if not isinstance(expected, list) or not isinstance(traced, list) or len(expected) != len(traced):
        return False
    return all(_flat_tool(a) == _flat_tool(b) for a, b in zip(expected, traced, strict=True))


def same_tools_flat(expected: Any, traced: Any) -> bool:
    """Tool definitions in OpenTelemetry's flat form, where all but type and name may be left out."""
    traced = decoded(traced)
    if not isinstance(traced, list) or len(expected) != len(traced):
        return False
    return all(_same_tool_flat(a, b) for a, b in zip(expected, traced, strict=True))


def _same_tool_flat(tool: Any, traced: Any) -> bool:
    if not isinstance(tool, dict) or not isinstance(traced, dict):
        return False
    flat, given = _flat_tool(tool), canonical(traced)
    named = {"type", "name"} if "name" in flat else {"type"}
    return bool(named <= given.keys() and given.items() <= flat.items())


def _flat_tool(tool: Any) -> Any:
    if not isinstance(tool, dict):
        return canonical(tool)
    function = tool.get("function")
    rest = {key: value for key, value in tool.items() if key != "function" or not isinstance(function, dict)}
    return canonical({"type": "function", **rest, **(function if isinstance(function, dict) else {})})


def same_input(expected: Any, traced: Any) -> bool:
    """Whether two inputs of the Responses API, or of an embeddings endpoint, state the same.

    A text and a list of that one text are the same, and so are a conversation in the Responses API's
    items and in chat messages.
    """
    if same_value(_one_text(expected), _one_text(traced)):
        return True
    asked, given = from_responses_input(expected), from_responses_input(traced)
    return asked is not None and given is not None and same_messages(asked, given)


def _one_text(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) else value


def same_instructions(expected: Any, traced: Any) -> bool:
    """Whether OpenTelemetry's system instructions, a list of parts, state a text."""
    traced = decoded(traced)
    if isinstance(traced, list) and traced and all(_is_text_part(part) for part in traced):
        traced = "".join(str(part.get("content", "")) for part in traced)
    return same_value(expected, traced)


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


def from_responses_input(items: Any) -> list[Any] | None:
    """The Responses API's input as chat messages; ``None`` if it is none.

    Function calls next to each other become one message, as chat completions have them.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items or not all(isinstance(one, dict) for one in items):
        return None
    messages: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type", "message")
        calls = [item] if kind == "function_call" else list(item.get("tool_calls") or ())
        if kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")})
        elif calls and not item.get("content"):
            if not messages or not messages[-1].get("tool_calls") or messages[-1].get("content"):
                messages.append({"role": "assistant", "tool_calls": []})
            messages[-1]["tool_calls"] += [_call_of_item(one) for one in calls]
        elif "role" in item:
            message = {key: value for key, value in item.items() if key not in ("type", "content", "id", "status")}
            messages.append({**message, "content": _chat_parts(item.get("content"))})
        else:
            messages.append(item)
    return messages


def _call_of_item(item: Any) -> Any:
    if not isinstance(item, dict) or "call_id" not in item:
        return item
    return {"id": item["call_id"], "function": {"name": item.get("name"), "arguments": item.get("arguments")}}


def _chat_parts(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    parts: list[Any] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("input_text", "output_text"):
            parts.append({"type": "text", "text": part.get("text")})
        elif kind == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part.get("image_url")}})
        else:
            parts.append(part)
    return parts


def from_otel_messages(messages: Any) -> Any:
    """OpenTelemetry's messages (role and parts) as chat messages; ``None`` if they are not such.

    The structured form and its JSON text are both allowed on spans.
    """
    messages = decoded(messages)
    if not isinstance(messages, list) or not messages:
        return None
    if not all(isinstance(one, dict) and isinstance(one.get("parts"), list) for one in messages):
        return None
    return [_from_otel_message(one) for one in messages]


def _from_otel_message(message: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {k: v for k, v in message.items() if k not in ("parts", "finish_reason")}
    content: list[Any] = []
    for part in message["parts"]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            content.append({"type": "text", "text": part.get("content")})
        elif kind == "tool_call":
            plain.setdefault("tool_calls", []).append(
                {"id": part.get("id"), "function": {"name": part.get("name"), "arguments": part.get("arguments")}}
            )
        elif kind == "tool_call_response":
            plain["tool_call_id"] = part.get("id")
            response = part.get("response")
            content.append({"type": "text", "text": response} if isinstance(response, str) else response)
        elif kind == "blob" and part.get("modality") == "image":
            url = f"data:{part.get('mime_type')};base64,{part.get('content')}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        elif kind == "uri":
            content.append({"type": "image_url", "image_url": {"url": part.get("uri")}})
        else:
            content.append(part)
    plain["content"] = content or None
    return plain


def from_langchain_messages(messages: Any) -> Any:
    """LangChain's own messages (``type`` instead of ``role``) as chat messages; ``None`` if they are not such."""
    if not isinstance(messages, list) or not messages:
        return None
    if not all(isinstance(one, dict) and "content" in one and isinstance(one.get("type"), str) for one in messages):
        return None
    kept = ("content", "tool_call_id", "name")
    return [
        {
            "role": _MESSAGE_ROLES.get(one["type"], one["type"]),
            **{key: one[key] for key in kept if one.get(key) is not None},
            "tool_calls": one.get("tool_calls"),
        }
        for one in messages
    ]


def decoded(value: Any) -> Any:
    """The object or list that a text holds as JSON; anything else as it is."""
    if isinstance(value, str) and (value[:1] in _JSON_BEGINS or (value[:1].isspace() and value.lstrip()[:1] in "{[")):
        try:
            return orjson.loads(value)
        except ValueError:
            return value
    return value
