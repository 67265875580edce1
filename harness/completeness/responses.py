"""OpenAI's Responses API, single and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.completeness.answers import WireChoice, WireResponse, WireUsage, count, dicts, text

if TYPE_CHECKING:
    from collections.abc import Iterable

EVENT_PREFIX = "response."
_WHOLE = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CONTENT_DELTAS = frozenset(
    {"response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta"}
)


def read_response(payload: dict[str, Any]) -> WireResponse | None:
    """A response object; ``None`` if the payload is none."""
    if not (payload.get("id") or payload.get("output")):
        return None
    usage, details, failure = payload.get("usage"), payload.get("incomplete_details"), payload.get("error")
    return WireResponse(
        model=text(payload.get("model")),
        response_id=text(payload.get("id")),
        choices=(choice_of(payload.get("output")),),
        usage=WireUsage(
            input_tokens=count(usage, "input_tokens"),
            output_tokens=count(usage, "output_tokens"),
            total_tokens=count(usage, "total_tokens"),
            cached_tokens=count(usage, "input_tokens_details", "cached_tokens"),
            reasoning_tokens=count(usage, "output_tokens_details", "reasoning_tokens"),
        ),
        status=text(payload.get("status")),
        incomplete_reason=text(details.get("reason")) if isinstance(details, dict) else None,
        failure=failure if isinstance(failure, dict) else None,
    )


def choice_of(output: Any) -> WireChoice:
    """The output items of a response as one choice: the text of its messages, and its function calls."""
    texts: list[str] = []
    refusals: list[str] = []
    calls: list[dict[str, Any]] = []
    for item in dicts(output):
        if item.get("type") == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            calls.append({"id": item.get("call_id"), "type": "function", "function": function})
        elif item.get("type") == "message":
            parts = dicts(item.get("content"))
            texts += [one["text"] for one in parts if isinstance(one.get("text"), str)]
            refusals += [one["refusal"] for one in parts if isinstance(one.get("refusal"), str)]
    return WireChoice(0, "".join(texts) if texts else None, tuple(calls), None, "".join(refusals) or None)


def merge_events(payloads: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Put the events of a streamed response together into one response object.

    The last event that carries the whole response wins; what it does not show of the output is made
    up from the items and deltas before it.

    Args:
        payloads: Decoded events in their order.

    Returns:
        A response object, with ``stream_error`` if one of the events was an error.
    """
    merged: dict[str, Any] = {}
    items: dict[int, dict[str, Any]] = {}
    error: dict[str, Any] | None = None
    for payload in payloads:
        kind, whole = payload.get("type"), payload.get("response")
        if isinstance(whole, dict):
            merged = {**merged, **whole}
        elif kind == "error" or (payload.get("error") is not None and kind is None):
            nested = payload.get("error")
            error = nested if isinstance(nested, dict) else payload
        elif isinstance(kind, str):
            _add(items, kind, payload)
    if not merged.get("output") and items:
        merged["output"] = [items[index] for index in sorted(items)]
    return merged | ({"stream_error": error} if error else {})


def has_content(payload: dict[str, Any]) -> bool:
    """Whether a streamed event brings content: text, a function call or a refusal."""
    kind = text(payload.get("type"))
    if kind == "response.output_item.added":
        item = payload.get("item")
        return isinstance(item, dict) and item.get("type") == "function_call"
    return kind in _CONTENT_DELTAS and bool(payload.get("delta"))


def _add(items: dict[int, dict[str, Any]], kind: str, payload: dict[str, Any]) -> None:
    index, item, delta = payload.get("output_index"), payload.get("item"), payload.get("delta")
    if not isinstance(index, int):
        return
    if kind in ("response.output_item.added", "response.output_item.done") and isinstance(item, dict):
        items[index] = dict(item)
    elif isinstance(delta, str) and kind == "response.function_call_arguments.delta":
        known = items.setdefault(index, {"type": "function_call"})
        known["arguments"] = (text(known.get("arguments")) or "") + delta
    elif isinstance(delta, str) and kind in _CONTENT_DELTAS:
        known = items.setdefault(index, {"type": "message", "role": "assistant"})
        key = "refusal" if kind == "response.refusal.delta" else "text"
        part_index = payload.get("content_index")
        parts = [dict(one) for one in dicts(known.get("content"))]
        at = part_index if isinstance(part_index, int) and 0 <= part_index < len(parts) else len(parts)
        if at == len(parts):
            parts.append({"type": "refusal" if key == "refusal" else "output_text"})
        parts[at][key] = (text(parts[at].get(key)) or "") + delta
        known["content"] = parts
