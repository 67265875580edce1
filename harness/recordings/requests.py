"""What a request states, whatever the way in which its SDK wrote it down, and where two requests differ.

Two requests state the same if their ``stated`` forms are equal. Forgiven are: the order of keys, null for
a key that is not there, ``1.0`` for ``1``, a single text part for its text, a text for a list with it
alone, and values that say no more than the endpoint's default does.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any, NamedTuple

CHAT, EMBEDDINGS, RESPONSES = "chat", "embeddings", "responses"
_KINDS = {"chat/completions": CHAT, "embeddings": EMBEDDINGS, "responses": RESPONSES}
_FIRST = ("model", "stream", "messages", "input")
_ABSENT = object()
MAX_DEPTH = 100
"""Requests that are nested deeper match nothing."""
_SHOWN_CHARACTERS = 60


class Difference(NamedTuple):
    """The first place at which two requests state something else, with what either has there."""

    place: str
    asked: str
    recorded: str


def read_object(text: str | bytes) -> dict[str, Any] | None:
    """A request's body as JSON data; ``None`` if it is no object, or nested too deep to be looked through."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and not is_deep(document) else None


def is_deep(value: Any) -> bool:
    """Whether lists and objects stand inside each other in more than ``MAX_DEPTH`` levels."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)
                 if isinstance(item, dict | list)]  # fmt: skip
    return bool(level)


def kind_of(path: str) -> str:
    """What is asked for: ``chat``, ``embeddings``, ``responses``, or else the path.

    The version, what stands before it (Azure's deployments), the query and Mistral's ``#stream``
    make no difference.
    """
    plain = re.split("[?#]", path.replace("%23", "#"), maxsplit=1)[0].rstrip("/")
    return next((kind for end, kind in _KINDS.items() if plain.endswith(f"/{end}") or plain == end), plain)


def stated(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """A request's body with all ways of saying the same made one."""
    plain: dict[str, Any] = _plain(body)
    for key in ("stream", "safe_prompt"):
        if plain.get(key) is False:
            del plain[key]
    if kind == CHAT:
        if "max_completion_tokens" in plain:
            plain.setdefault("max_tokens", plain.pop("max_completion_tokens"))
        plain["messages"] = _each(plain.get("messages"), _message)
        if "tools" in plain:
            plain["tools"] = _each(plain["tools"], _tool)
    elif kind == EMBEDDINGS:
        # The same vectors, however they are written: the answer is converted.
        plain.pop("encoding_format", None)
        if isinstance(plain.get("input"), str):
            plain["input"] = [plain["input"]]
    elif kind == RESPONSES:
        _state_input(plain)
        if "tools" in plain:
            plain["tools"] = _each(plain["tools"], _flat_tool)
    return plain


def digest(kind: str, form: dict[str, Any]) -> bytes:
    """What is equal for two stated forms of one kind if they are equal."""
    text = json.dumps([kind, form], sort_keys=True, ensure_ascii=True)
    return blake2b(text.encode(), digest_size=16).digest()


def difference(asked: dict[str, Any], recorded: dict[str, Any]) -> Difference | None:
    """Where two stated forms differ first: in the model, the stream flag, what is said, then in name's order."""
    rest = sorted((asked.keys() | recorded.keys()) - set(_FIRST))
    for key in (*_FIRST, *rest):
        found = _differ(asked.get(key, _ABSENT), recorded.get(key, _ABSENT), key)
        if found is not None:
            return found
    return None


def differing_keys(asked: dict[str, Any], recorded: dict[str, Any]) -> int:
    """How many of the top-level keys differ, to find the recording that comes nearest."""
    return sum(asked.get(key, _ABSENT) != recorded.get(key, _ABSENT) for key in asked.keys() | recorded.keys())


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _each(values: Any, state: Any) -> Any:
    if not isinstance(values, list):
        return values
    return [state(value) if isinstance(value, dict) else value for value in values]


def _message(message: dict[str, Any]) -> dict[str, Any]:
    form = dict(message)
    if form.get("prefix") is False:
        del form["prefix"]
    if "content" in form:
        form["content"] = _content(form["content"])
    if "tool_calls" in form:
        form["tool_calls"] = _each(form["tool_calls"], _tool_call)
        if form["tool_calls"] == []:
            del form["tool_calls"]
        elif form.get("content") in ("", []):
            del form["content"]
    return form


def _content(content: Any) -> Any:
    parts = _each(content, _part)
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict) and set(parts[0]) == {"type", "text"}:
        return parts[0]["text"]
    return parts


def _part(part: dict[str, Any]) -> dict[str, Any]:
    form = dict(part)
    if form.get("type") == "input_text":
        form["type"] = "text"
    if isinstance(image := form.get("image_url"), dict) and set(image) == {"url"}:
        form["image_url"] = image["url"]
    return form


def _tool_call(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call; SDKs parse the arguments and write them anew, and Mistral's numbers each call 0."""
    form = {"type": "function", **{key: value for key, value in call.items() if key != "index"}}
    function = form.get("function")
    if isinstance(function, dict):
        form["function"] = {**function, "arguments": _json_text(function.get("arguments"))}
    return form


def _json_text(text: Any) -> Any:
    try:
        return _plain(json.loads(text)) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    return {"type": "function", **tool, "function": _without_defaults(function)}


def _flat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool of the Responses API, which has no object ``function`` around name and parameters."""
    function = tool.get("function")
    flat = {"type": tool.get("type", "function"), **function} if isinstance(function, dict) else tool
    return _without_defaults(flat)


def _without_defaults(function: dict[str, Any]) -> dict[str, Any]:
    """A function without what Mistral's SDK adds where the application said nothing."""
    return {key: value for key, value in function.items() if not (key == "strict" and value is False) and value != ""}


def _state_input(plain: dict[str, Any]) -> None:
    """Make a text the user's message, and the instructions the system's, which they are."""
    items = plain.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if isinstance(items, list):
        items = _each(items, _item)
        if "instructions" in plain:
            items = [{"role": "system", "content": plain.pop("instructions")}, *items]
        plain["input"] = items


def _item(item: dict[str, Any]) -> dict[str, Any]:
    form = dict(item)
    if "role" in form and form.get("type") == "message":
        del form["type"]
    if "content" in form:
        form["content"] = _content(form["content"])
    if "arguments" in form:
        form["arguments"] = _json_text(form["arguments"])
    return form


def _differ(asked: Any, recorded: Any, place: str) -> Difference | None:
    if asked == recorded and isinstance(asked, bool) == isinstance(recorded, bool):
        return None
    if isinstance(asked, dict) and isinstance(recorded, dict):
        pairs = ((f"{place}.{key}", key) for key in sorted(asked.keys() | recorded.keys()))
        found = (_differ(asked.get(key, _ABSENT), recorded.get(key, _ABSENT), where) for where, key in pairs)
        return next((one for one in found if one is not None), None)
    if isinstance(asked, list) and isinstance(recorded, list):
        for index in range(max(len(asked), len(recorded))):
            left = asked[index] if index < len(asked) else _ABSENT
            right = recorded[index] if index < len(recorded) else _ABSENT
            if (found_here := _differ(left, right, f"{place}[{index}]")) is not None:
                return found_here
        return None
    return Difference(place, *_shown(asked, recorded))


def _shown(asked: Any, recorded: Any) -> tuple[str, str]:
    """Both values, short; of two long texts the part in which they differ."""
    start = 0
    if isinstance(asked, str) and isinstance(recorded, str):
        pairs = zip(asked, recorded, strict=False)
        same = next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(asked), len(recorded)))
        start = same - 20 if same > _SHOWN_CHARACTERS // 2 else 0
    return _short(asked, start), _short(recorded, start)


def _short(value: Any, start: int) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, str) and start:
        value = f"...{value[start:]}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
