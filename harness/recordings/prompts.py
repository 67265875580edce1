"""The fields of the sample that asks for what a recorded flow asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.recordings.requests import CHAT, EMBEDDINGS, RESPONSES, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.recordings.values import Recording

_RENAMED = {"random_seed": "seed"}
"""Mistral's names, where OpenAI's differ: a sample has OpenAI's."""


class NoSampleError(ValueError):
    """Why no sample can ask for what was recorded, in words without the place."""


def fields_of(recordings: Sequence[Recording], scenario: str, known: dict[str, Any] | None) -> dict[str, Any]:
    """The fields of a flow's sample, without its id.

    Args:
        recordings: The flow's exchanges.
        scenario: How it was run, where that is known.
        known: The sample that it was run from, where that is known.

    Raises:
        NoSampleError: If there can be none.
    """
    if known is not None:
        model = _model(recordings, str(known.get("scenario") or ""))
        return {**known, **({"model": model} if model else {}), "script": [], "recorded": True}
    first = recordings[0]
    kind = kind_of(first.path)
    if first.method != "POST" or kind not in _READERS:
        raise NoSampleError(f"no scenario asks for {first.method} {first.path}")
    if first.body is None:
        raise NoSampleError("the request's body is no JSON object")
    body = {key: value for key, value in first.body.items() if value is not None}
    model = body.pop("model", None)
    stream = body.pop("stream", False) is True or first.path.endswith("#stream")
    fields = _READERS[kind](body, stream)
    if scenario:
        fields["scenario"] = scenario
    named = {"model": model} if isinstance(model, str) and model else {}
    return {**fields, **named, "stream": stream and kind != EMBEDDINGS, "recorded": True}


def _model(recordings: Sequence[Recording], scenario: str) -> str:
    """The model that a flow asked for: of several kinds of requests, the one that its scenario is named for."""
    kind = EMBEDDINGS if scenario.startswith(EMBEDDINGS) else RESPONSES if scenario.startswith(RESPONSES) else CHAT
    bodies = [one.body for one in sorted(recordings, key=lambda one: kind_of(one.path) != kind) if one.body]
    model = bodies[0].get("model") if bodies else None
    return model if isinstance(model, str) else ""


def _parameters(body: dict[str, Any], said: Sequence[str]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in body.items() if key not in said}


def _chat(body: dict[str, Any], stream: bool) -> dict[str, Any]:
    del stream
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise NoSampleError("messages is no list of objects with at least one entry")
    # LangChain asks for the key, and null says no more than its absence.
    filled = [{"content": None, **message} if "tool_calls" in message else message for message in messages]
    fields = {"messages": filled, "parameters": _parameters(body, ("messages", "tools")), "scenario": ""}
    return _with_tools(fields, body.get("tools"))


def _embeddings(body: dict[str, Any], stream: bool) -> dict[str, Any]:
    del stream
    texts = body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise NoSampleError("input is no text and no list of texts; a sample cannot hold token numbers")
    # OpenAI's SDK asks for base64 by itself, and gives the application numbers.
    said = ("input", *(["encoding_format"] if body.get("encoding_format") == "base64" else []))
    messages = [{"role": "user", "content": text} for text in texts]
    return {"messages": messages, "parameters": _parameters(body, said), "scenario": EMBEDDINGS}


def _responses(body: dict[str, Any], stream: bool) -> dict[str, Any]:
    said, asked = ["instructions", "tools"], body.get("input")
    messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else _messages(asked)
    if messages is not None:
        said.append("input")
    else:
        # Items that are no messages have no form in a sample, so they go as they are.
        messages = [{"role": "user", "content": _texts(asked)}]
    if isinstance(instructions := body.get("instructions"), str):
        messages = [{"role": "system", "content": instructions}, *messages]
    scenario = f"{RESPONSES}_stream" if stream else RESPONSES
    fields = {"messages": messages, "parameters": _parameters(body, said), "scenario": scenario}
    tools = body.get("tools")
    if isinstance(tools, list) and tools and all(_is_function(tool) for tool in tools):
        chat_tools = [{"type": "function", "function": _without_type(tool)} for tool in tools]
        return _with_tools(fields, chat_tools)
    return _with_tools(fields, tools)


def _messages(items: Any) -> list[dict[str, Any]] | None:
    """Input items as messages, if all of them are that."""
    if not isinstance(items, list) or not items:
        return None
    messages = []
    for item in items:
        if not isinstance(item, dict) or item.get("type", "message") != "message" or set(item) - {
            "type", "role", "content",
        }:  # fmt: skip
            return None
        content = item.get("content")
        if not isinstance(content, str):
            parts = content if isinstance(content, list) else []
            if len(parts) != 1 or not isinstance(parts[0], dict) or set(parts[0]) != {"type", "text"}:
                return None
            content = parts[0]["text"]
        messages.append({"role": item.get("role", "user"), "content": content})
    return messages


def _texts(value: Any) -> str:
    """All texts of input items, for tables."""
    match value:
        case str():
            return value
        case list():
            return "\n".join(text for item in value if (text := _texts(item)))
        case dict():
            return _texts(value.get("content") or value.get("text") or value.get("output") or "")
        case _:
            return ""


def _is_function(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function" and isinstance(tool.get("name"), str)


def _without_type(tool: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tool.items() if key != "type" and value is not None}


def _with_tools(fields: dict[str, Any], tools: Any) -> dict[str, Any]:
    """Tools where a sample has them; those of another form than chat completions' go as a parameter."""
    if tools is None:
        return fields
    chat_form = isinstance(tools, list) and all(
        isinstance(tool, dict) and isinstance(tool.get("function"), dict) for tool in tools
    )
    if chat_form:
        return {**fields, "tools": tools}
    return {**fields, "parameters": {**fields["parameters"], "tools": tools}}


_READERS = {CHAT: _chat, EMBEDDINGS: _embeddings, RESPONSES: _responses}
