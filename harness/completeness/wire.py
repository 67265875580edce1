"""What one call's exchanges prove: the ground truth that its trace is held against.

Understands chat completions, single answers and streams, in the OpenAI and the Mistral wire
format. Nothing here raises on bad wire text: what cannot be read is kept as ``malformed``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.records import Exchange

CHAT_PATH_ENDING = "/chat/completions"
_NOT_PARAMETERS = frozenset({"model", "messages", "stream", "tools"})
_DONE = "[DONE]"
_CACHED_PATHS = (
    ("prompt_tokens_details", "cached_tokens"),
    ("prompt_token_details", "cached_tokens"),
    ("num_cached_tokens",),
)


class WireChoice(NamedTuple):
    """One choice of an answer; a stream's deltas are already merged.

    Attributes:
        number: The choice's index among the answer's choices.
        content: Text, a list of content parts, or ``None`` where the answer has none.
        tool_calls: Tool calls in the chat-completions form, arguments as they were sent.
    """

    number: int
    content: Any
    tool_calls: tuple[dict[str, Any], ...]
    finish_reason: str | None
    refusal: str | None


class WireUsage(NamedTuple):
    """Token counts; ``None`` where the wire shows none."""

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None


class WireResponse(NamedTuple):
    """The answer of one exchange."""

    model: str | None
    response_id: str | None
    choices: tuple[WireChoice, ...]
    usage: WireUsage


class WireError(NamedTuple):
    """How an exchange failed, as far as the wire says it.

    Attributes:
        status_code: The HTTP status if it names an error; ``None`` for a stream that broke off.
    """

    status_code: int | None
    type: str | None
    message: str | None
    code: str | None


@dataclass(frozen=True)
class WireCall:
    """All exchanges of one call, seen from the last one.

    Attributes:
        dialect: Wire format of the last exchange, ``None`` if the call reached no wire.
        parameters: Every key of the request but ``model``, ``messages``, ``stream`` and
            ``tools``, without nulls.
        attempts: Number of exchanges.
        status: HTTP status of the last exchange.
        completed: Whether the whole last answer went out.
        response: The last exchange's answer, as far as it went out; ``None`` without one.
        error: How the last exchange failed; ``None`` if it did not.
        first_received_unix_ns: When the first exchange's request had been read.
        received_unix_ns: The same of the last exchange.
        last_byte_unix_ns: When the last exchange's last byte went out.
        first_chunk_unix_ns: When its first streamed event went out.
        first_content_unix_ns: When its first event with content or a tool call went out.
        malformed: Wire texts that could not be read.
        other_paths: Paths of exchanges that are no chat completions and are not judged.
        same_request: Whether every exchange asked the same.
    """

    dialect: str | None
    model: str | None
    messages: list[Any] | None
    parameters: dict[str, Any]
    tools: list[Any] | None
    stream: bool
    attempts: int
    status: int | None
    completed: bool
    response: WireResponse | None
    error: WireError | None
    first_received_unix_ns: int | None
    received_unix_ns: int | None
    last_byte_unix_ns: int | None
    first_chunk_unix_ns: int | None
    first_content_unix_ns: int | None
    malformed: tuple[str, ...]
    other_paths: tuple[str, ...]
    same_request: bool


def observe(exchanges: Sequence[Exchange]) -> WireCall:
    """Read the exchanges of one call.

    Args:
        exchanges: In any order; none for a call that reached no wire.
    """
    chats = sorted(
        (one for one in exchanges if one.path.rstrip("/").endswith(CHAT_PATH_ENDING)),
        key=lambda one: (one.received_ns, one.exchange_id),
    )
    others = tuple(sorted({one.path for one in exchanges} - {one.path for one in chats}))
    if not chats:
        return _unseen(others)
    last = chats[-1]
    malformed: list[str] = []
    request = _object(last.request_body, malformed)
    answer = _read_answer(last, malformed)
    messages, tools = request.get("messages"), request.get("tools")
    return WireCall(
        dialect=last.dialect,
        model=_text(request.get("model")),
        messages=messages if isinstance(messages, list) else None,
        parameters={k: v for k, v in request.items() if k not in _NOT_PARAMETERS and v is not None},
        tools=tools if isinstance(tools, list) and tools else None,
        stream=request.get("stream") is True,
        attempts=len(chats),
        status=last.status,
        completed=last.completed,
        response=_response(answer.payload),
        error=_error(last, answer.payload),
        first_received_unix_ns=chats[0].received_unix_ns,
        received_unix_ns=last.received_unix_ns,
        last_byte_unix_ns=_unix(last, last.last_byte_ns),
        first_chunk_unix_ns=_unix(last, answer.first_chunk_ns),
        first_content_unix_ns=_unix(last, answer.first_content_ns),
        malformed=tuple(malformed),
        other_paths=others,
        same_request=len({one.request_digest for one in chats}) == 1,
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
        for key in ("id", "model"):
            merged[key] = merged[key] if merged[key] is not None else payload.get(key)
        for key in ("usage", "error"):
            if payload.get(key) is not None:
                merged[key] = payload[key]
        for position, choice in enumerate(_dicts(payload.get("choices"))):
            index = choice.get("index")
            index = index if isinstance(index, int) else position
            choices.setdefault(index, _Choice()).add(choice)
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
        for call in _dicts(delta.get("tool_calls")):
            self._add_call(call)

    def _add_content(self, content: Any) -> None:
        if isinstance(content, list):
            if self._parts is None:
                self._parts = [{"type": "text", "text": "".join(self._texts)}] if any(self._texts) else []
            for part in _dicts(content):
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
        identity = _text(delta.get("id"))
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
            call["function"]["name"] += _text(function.get("name")) or ""
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


def sse_events(data: str) -> Iterator[str]:
    """The payload texts of the server-sent events in a piece of a stream.

    ``data`` lines of one event are joined with a line feed; comments, event names and ids are
    left out. Text in which no line is a ``data`` line comes back whole, unless it holds nothing
    but comments, names and ids.
    """
    for block in data.replace("\r\n", "\n").split("\n\n"):
        lines = block.split("\n")
        payload = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
        if payload:
            yield "\n".join(payload)
        elif rest := [line for line in lines if line and not line.startswith((":", "event:", "id:", "retry:"))]:
            yield "\n".join(rest)


class _Answer(NamedTuple):
    payload: dict[str, Any] | None
    first_chunk_ns: int | None
    first_content_ns: int | None


def _read_answer(exchange: Exchange, malformed: list[str]) -> _Answer:
    if exchange.chunks is None:
        body = _object(exchange.response_body, malformed) if exchange.response_body else None
        return _Answer(body, None, None)
    payloads: list[dict[str, Any]] = []
    first_content_ns = None
    for chunk in exchange.chunks:
        for text in sse_events(chunk.data):
            if text.strip() == _DONE:
                continue
            payload = _object(text, malformed)
            if payload:
                payloads.append(payload)
            if first_content_ns is None and has_content(payload):
                first_content_ns = chunk.sent_ns
    first_chunk_ns = exchange.chunks[0].sent_ns if exchange.chunks else None
    return _Answer(merge_chunks(payloads), first_chunk_ns, first_content_ns)


def has_content(payload: dict[str, Any]) -> bool:
    """Whether a streamed event brings content: text, a tool call or a refusal in any choice's delta."""
    for choice in _dicts(payload.get("choices")):
        delta = choice.get("delta")
        if isinstance(delta, dict) and (delta.get("content") or delta.get("tool_calls") or delta.get("refusal")):
            return True
    return False


def _response(payload: dict[str, Any] | None) -> WireResponse | None:
    if not payload or not (payload.get("id") or payload.get("choices")):
        return None
    choices = []
    for position, choice in enumerate(_dicts(payload.get("choices"))):
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        index = choice.get("index")
        choices.append(
            WireChoice(
                number=index if isinstance(index, int) else position,
                content=message.get("content"),
                tool_calls=tuple(_dicts(message.get("tool_calls"))),
                finish_reason=_text(choice.get("finish_reason")),
                refusal=_text(message.get("refusal")),
            )
        )
    choices.sort(key=lambda one: one.number)
    return WireResponse(
        model=_text(payload.get("model")),
        response_id=_text(payload.get("id")),
        choices=tuple(choices),
        usage=_usage(payload.get("usage")),
    )


def _usage(usage: Any) -> WireUsage:
    cached = next((count for path in _CACHED_PATHS if (count := _count(usage, *path)) is not None), None)
    return WireUsage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        cached_tokens=cached,
        reasoning_tokens=_count(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def _error(exchange: Exchange, payload: dict[str, Any] | None) -> WireError | None:
    """Both error forms: OpenAI's ``{"error": {...}}`` and Mistral's flat object."""
    status = exchange.status if exchange.status is not None and exchange.status >= 400 else None
    nested = (payload or {}).get("error")
    if status is None and nested is None:
        return None if exchange.completed else WireError(None, None, None, None)
    detail = nested if isinstance(nested, dict) else payload or {}
    message = nested if isinstance(nested, str) else detail.get("message") or detail.get("detail")
    code = detail.get("code")
    return WireError(
        status_code=status,
        type=_text(detail.get("type")),
        message=_text(message),
        code=str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else None,
    )


def _unseen(other_paths: tuple[str, ...]) -> WireCall:
    return WireCall(
        dialect=None,
        model=None,
        messages=None,
        parameters={},
        tools=None,
        stream=False,
        attempts=0,
        status=None,
        completed=False,
        response=None,
        error=None,
        first_received_unix_ns=None,
        received_unix_ns=None,
        last_byte_unix_ns=None,
        first_chunk_unix_ns=None,
        first_content_unix_ns=None,
        malformed=(),
        other_paths=other_paths,
        same_request=True,
    )


def _object(text: str | None, malformed: list[str]) -> dict[str, Any]:
    try:
        value = json.loads(text or "")
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    malformed.append(text or "")
    return {}


def _unix(exchange: Exchange, monotonic_ns: int | None) -> int | None:
    if monotonic_ns is None:
        return None
    return exchange.received_unix_ns + (monotonic_ns - exchange.received_ns)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(usage: Any, *path: str) -> int | None:
    for key in path:
        usage = usage.get(key) if isinstance(usage, dict) else None
    return usage if isinstance(usage, int) and not isinstance(usage, bool) else None
