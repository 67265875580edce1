"""Chat completions, single and streamed, in the OpenAI and the Mistral wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.completeness.answers import WireChoice, WireResponse, WireUsage, count, dicts, index_of, text

if TYPE_CHECKING:
    from collections.abc import Iterable

_CACHED_PATHS = (
    ("prompt_tokens_details", "cached_tokens"),
    ("prompt_token_details", "cached_tokens"),
    ("num_cached_tokens",),
)


def read_response(payload: dict[str, Any]) -> WireResponse | None:
    """A chat completion; ``None`` if the payload is none."""
    if not (payload.get("id") or payload.get("choices")):
        return None
    choices = []
    for position, choice in enumerate(dicts(payload.get("choices"))):
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        choices.append(
            WireChoice(
                number=index_of(choice, position),
                content=message.get("content"),
                tool_calls=tuple(dicts(message.get("tool_calls"))),
                finish_reason=text(choice.get("finish_reason")),
                refusal=text(message.get("refusal")),
            )
        )
    choices.sort(key=lambda one: one.number)
    return WireResponse(
        model=text(payload.get("model")),
        response_id=text(payload.get("id")),
        choices=tuple(choices),
        usage=read_usage(payload.get("usage")),
    )


def read_usage(usage: Any) -> WireUsage:
    """Token counts in chat completions' names, which embeddings share."""
    cached = next((found for path in _CACHED_PATHS if (found := count(usage, *path)) is not None), None)
    return WireUsage(
        input_tokens=count(usage, "prompt_tokens"),
        output_tokens=count(usage, "completion_tokens"),
        total_tokens=count(usage, "total_tokens"),
        cached_tokens=cached,
        reasoning_tokens=count(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def merge_chunks(payloads: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Put the events of a streamed chat completion together into one answer.

    Deltas are merged by choice index, tool call deltas by their index within the choice. Id and
    model are the first that were shown; usage and finish reasons the last. Content that came in
    parts (Mistral) stays a list of parts, adjoining text parts joined.

    Args:
        payloads: Decoded events in their order.

    Returns:
        A chat completion: ``id``, ``model``, ``choices``, ``usage``, and ``error`` if one of the
        events was an error.
    """
    merged: dict[str, Any] = {"id": None, "model": None, "usage": None}
    choices: dict[int, _Choice] = {}
    for payload in payloads:
        if merged["id"] is None or merged["model"] is None:
            for key in ("id", "model"):
                merged[key] = merged[key] if merged[key] is not None else payload.get(key)
        for key in ("usage", "error"):
            if payload.get(key) is not None:
                merged[key] = payload[key]
        for position, choice in enumerate(dicts(payload.get("choices"))):
            index = choice.get("index")
            index = index if isinstance(index, int) else position
            known = choices.get(index)
            if known is None:
                known = choices[index] = _Choice()
            known.add(choice)
    merged["choices"] = [choices[index].merged(index) for index in sorted(choices)]
    return merged


class _Choice:
    """The growing answer of one choice of a stream."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._parts: list[dict[str, Any]] | None = None
        self._refusals: list[str] = []
        self._calls: dict[Any, dict[str, Any]] = {}
        self._finish_reason: Any = None

    def add(self, choice: dict[str, Any]) -> None:
        if choice.get("finish_reason") is not None:
            self._finish_reason = choice["finish_reason"]
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        self._add_content(delta.get("content"))
        if isinstance(delta.get("refusal"), str):
            self._refusals.append(delta["refusal"])
        for call in dicts(delta.get("tool_calls")):
            self._add_call(call)

    def _add_content(self, content: Any) -> None:
        if isinstance(content, list):
            if self._parts is None:
                self._parts = [{"type": "text", "text": "".join(self._texts)}] if any(self._texts) else []
            for part in dicts(content):
                self._add_part(part)
        elif isinstance(content, str) and self._parts is not None and content:
            self._add_part({"type": "text", "text": content})
        elif isinstance(content, str):
            self._texts.append(content)

    def _add_part(self, part: dict[str, Any]) -> None:
        parts = self._parts
        if parts is None:
            return
        if parts and part.get("type") == parts[-1].get("type") == "text":
            parts[-1] = {**parts[-1], "text": str(parts[-1].get("text", "")) + str(part.get("text", ""))}
        else:
            parts.append(part)

    def _add_call(self, delta: dict[str, Any]) -> None:
        key = delta.get("index")
        identity = text(delta.get("id"))
        known = self._calls.get(key) if isinstance(key, int) else None
        if not isinstance(key, int):
            key = ("id", identity) if identity or not self._calls else list(self._calls)[-1]
        elif known is not None and identity and known["id"] and known["id"] != identity:
            # Some servers leave the index at 0 for every call; a new id then begins a new call.
            key = ("id", identity)
        call = self._calls.setdefault(key, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = call["id"] or identity
        function = delta.get("function")
        if isinstance(function, dict):
            call["function"]["name"] += text(function.get("name")) or ""
            arguments = function.get("arguments")
            if isinstance(arguments, str) and isinstance(call["function"]["arguments"], str):
                call["function"]["arguments"] += arguments
            elif arguments is not None:
                call["function"]["arguments"] = arguments

    def merged(self, index: int) -> dict[str, Any]:
        content: Any = self._parts if self._parts is not None else "".join(self._texts)
        if not self._texts and self._parts is None:
            content = None
        message = {
            "role": "assistant",
            "content": content,
            "tool_calls": list(self._calls.values()) or None,
            "refusal": "".join(self._refusals) or None,
        }
        return {"index": index, "message": message, "finish_reason": self._finish_reason}


def has_content(payload: dict[str, Any]) -> bool:
    """Whether a streamed event brings content: text, a tool call or a refusal in any choice's delta."""
    choices = payload.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict) and (delta.get("content") or delta.get("tool_calls") or delta.get("refusal")):
            return True
    return False
