"""Chat completions as plain JSON data: one answer from many chunks, and what stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.providers import Answer, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def answer_from(message: dict[str, Any]) -> Answer:
    """What stands in a chat completion; of several choices, the first."""
    choices = message.get("choices") or [{}]
    usage = message.get("usage")
    return Answer(
        text=text_of((choices[0].get("message") or {}).get("content")),
        model=message.get("model"),
        response_id=message.get("id"),
        finish_reason=choices[0].get("finish_reason"),
        usage=Usage(usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) if usage else None,
        message=message,
    )


def text_of(content: str | Sequence[dict[str, Any] | str] | None) -> str:
    """The text of a message's content, which is a text, a list of typed parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part if isinstance(part, str) else part.get("text") or "" for part in content)


def merged_chunks(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One chat completion from the chunks of a streamed one.

    Texts and tool call arguments are joined in their order, choice by choice; everything else
    keeps the last value that was sent. Without usage among the chunks there is none in the result.
    """
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        whole.update({key: value for key, value in chunk.items() if key != "choices" and value is not None})
        for part in chunk.get("choices") or ():
            choice = choices.setdefault(part["index"], {"index": part["index"], "message": {}, "finish_reason": None})
            _add_delta(choice["message"], part.get("delta") or {})
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
    ordered = [choices[index] for index in sorted(choices)]
    for choice in ordered:
        choice["message"] = {"role": "assistant", "content": None, **choice["message"]}
    return {**whole, "object": "chat.completion", "choices": ordered}


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if value is None:
            continue
        if key == "tool_calls":
            _add_tool_calls(message.setdefault("tool_calls", []), value)
        elif key == "content":
            message["content"] = _joined(message.get("content"), value)
        elif key in ("refusal", "reasoning_content"):
            message[key] = message.get(key, "") + value
        else:
            message[key] = value


def _joined(so_far: Any, more: Any) -> Any:
    if so_far is None or so_far == "":
        return more
    if isinstance(so_far, str) and isinstance(more, str):
        return so_far + more
    return [*_as_parts(so_far), *_as_parts(more)]


def _as_parts(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


def _add_tool_calls(calls: list[dict[str, Any]], parts: Iterable[dict[str, Any]]) -> None:
    for part in parts:
        index = part.get("index") or 0
        while len(calls) <= index:
            calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        call, function = calls[index], part.get("function") or {}
        call["id"] = part.get("id") or call["id"]
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        call["function"]["arguments"] += function.get("arguments") or ""
