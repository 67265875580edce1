"""What one call's exchanges prove: the ground truth that its trace is held against.

``ENDPOINTS`` is the table of what can be read: an endpoint is a row with its readers. Nothing here
raises on bad wire text: what cannot be read is kept as ``malformed``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from harness.completeness import chat, embeddings, responses
from harness.completeness.answers import WireError, WireResponse, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from harness.records import Exchange

_DONE = "[DONE]"
FIRST_ERROR_STATUS = 400
RETRY_HEADER = "x-stainless-retry-count"
"""OpenAI's SDK numbers a request's attempts from 0 in this header."""


@dataclass(frozen=True)
class Endpoint:
    """One row: an endpoint of a model provider and how its wire is read.

    Attributes:
        name: As facts refer to it.
        ending: How its paths end, in lower case.
        operation: OpenTelemetry's name for the operation.
        not_parameters: Keys of the request that are facts of their own.
        read_response: Reads a whole answer; ``None`` if the payload is none.
        merge: Puts the events of a stream together into one answer.
        has_content: Whether a streamed event brings content.
    """

    name: str
    ending: str
    operation: str
    not_parameters: frozenset[str]
    read_response: Callable[[dict[str, Any]], WireResponse | None]
    merge: Callable[[Iterable[dict[str, Any]]], dict[str, Any]]
    has_content: Callable[[dict[str, Any]], bool]


ENDPOINTS = (
    Endpoint(
        name="chat",
        ending="/chat/completions",
        operation="chat",
        not_parameters=frozenset({"model", "messages", "stream", "tools"}),
        read_response=chat.read_response,
        merge=chat.merge_chunks,
        has_content=chat.has_content,
    ),
    Endpoint(
        name="responses",
        ending="/responses",
        operation="chat",
        not_parameters=frozenset({"model", "input", "instructions", "stream", "tools"}),
        read_response=responses.read_response,
        merge=responses.merge_events,
        has_content=responses.has_content,
    ),
    Endpoint(
        name="embeddings",
        ending="/embeddings",
        operation="embeddings",
        not_parameters=frozenset({"model", "input"}),
        read_response=embeddings.read_response,
        merge=chat.merge_chunks,
        has_content=chat.has_content,
    ),
)
"""What is judged. Exchanges on any other path are named in a note."""


@dataclass(frozen=True)
class WireRequest:
    """One request to a model with all its attempts, seen from the last one.

    Attributes:
        endpoint: Name of the endpoint; empty if the call reached no wire.
        operation: OpenTelemetry's name for the operation.
        dialect: Wire format of the last exchange, ``None`` if the call reached no wire.
        input: What the Responses API or an embeddings endpoint was given.
        instructions: The Responses API's instructions.
        parameters: Every key of the request that is no fact of its own, without nulls.
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
        event_count: Events of the last exchange's stream, its end mark left out.
        content_event_count: Those of them that bring content.
        malformed: Wire texts that could not be read.
        attempt_times: For each attempt when its request had been read and when its last byte went out.
    """

    endpoint: str = ""
    operation: str = ""
    dialect: str | None = None
    model: str | None = None
    messages: list[Any] | None = None
    input: Any = None
    instructions: Any = None
    parameters: dict[str, Any] = field(default_factory=dict)
    tools: list[Any] | None = None
    stream: bool = False
    attempts: int = 0
    status: int | None = None
    completed: bool = False
    response: WireResponse | None = None
    error: WireError | None = None
    first_received_unix_ns: int | None = None
    received_unix_ns: int | None = None
    last_byte_unix_ns: int | None = None
    first_chunk_unix_ns: int | None = None
    first_content_unix_ns: int | None = None
    event_count: int = 0
    content_event_count: int = 0
    malformed: tuple[str, ...] = ()
    attempt_times: tuple[tuple[int, int | None], ...] = ()


UNSEEN = WireRequest()
"""A request that reached no wire."""


class CallWire(NamedTuple):
    """Everything that one call sent.

    Attributes:
        requests: Its requests to a model, by the time of their first attempt.
        other_paths: Paths of exchanges that are on none of the endpoints and are not judged.
    """

    requests: tuple[WireRequest, ...]
    other_paths: tuple[str, ...]


def observe_call(exchanges: Sequence[Exchange]) -> CallWire:
    """Read the exchanges of one call.

    Args:
        exchanges: In any order; none for a call that reached no wire.
    """
    judged = [one for one in exchanges if endpoint_of(one) is not None]
    others = tuple(sorted({one.path for one in exchanges} - {one.path for one in judged}))
    return CallWire(tuple(observe(attempts) for attempts in group_attempts(judged)), others)


def endpoint_of(exchange: Exchange) -> Endpoint | None:
    """The row that an exchange's path belongs to; query, fragment and case do not count."""
    if exchange.method.upper() != "POST":
        return None
    path = "/" + exchange.path.lower().replace("%23", "#").split("#")[0].split("?")[0].strip("/")
    return next((one for one in ENDPOINTS if path.endswith(one.ending)), None)


def group_attempts(exchanges: Sequence[Exchange]) -> list[list[Exchange]]:
    """Sort exchanges into requests: each a list of its attempts in their order.

    An exchange is a further attempt if it asks the same (path and digest of the body) as one before it
    that failed (an error status, or an answer that did not go out whole) and was over. One that was
    answered well, or is still being answered, was not sent again: the same asked twice, or at the same
    time, are two requests. Where the SDK numbers its attempts, 0 always begins a new request.
    """
    groups: list[list[Exchange]] = []
    waiting: dict[tuple[str, str], list[list[Exchange]]] = {}
    for one in sorted(exchanges, key=lambda exchange: (exchange.received_ns, exchange.exchange_id)):
        key = (one.path, one.request_digest)
        number = _retry_number(one)
        known = [] if number == 0 else waiting.get(key, [])
        group = next((group for group in known if _is_further(group, one, number)), None)
        if group is None:
            group = []
            groups.append(group)
            waiting.setdefault(key, []).append(group)
        group.append(one)
    return groups


def _is_further(group: list[Exchange], one: Exchange, number: int | None) -> bool:
    last = group[-1]
    gave_no_status = last.status is None
    failed = gave_no_status or not last.completed or (last.status or 0) >= FIRST_ERROR_STATUS
    if not failed:
        return False
    # A client that gave up waiting is seen late by the server; its numbering is then the proof.
    over = gave_no_status or last.last_byte_ns is None or last.last_byte_ns <= one.received_ns
    return over or number is not None


def _retry_number(exchange: Exchange) -> int | None:
    for name, value in (exchange.request_headers or {}).items():
        if name.lower() == RETRY_HEADER and value.isdigit():
            return int(value)
    return None


def observe(attempts: Sequence[Exchange]) -> WireRequest:
    """Read one request from its attempts, in any order; none give a request that reached no wire."""
    if not attempts:
        return UNSEEN
    ordered = sorted(attempts, key=lambda one: (one.received_ns, one.exchange_id))
    last = ordered[-1]
    endpoint = endpoint_of(last)
    if endpoint is None:
        return UNSEEN
    malformed: list[str] = []
    request = _object(last.request_body, malformed)
    answer = _read_answer(endpoint, last, malformed)
    messages, tools = request.get("messages"), request.get("tools")
    return WireRequest(
        endpoint=endpoint.name,
        operation=endpoint.operation,
        dialect=last.dialect,
        model=text(request.get("model")),
        messages=messages if isinstance(messages, list) and endpoint.name == "chat" else None,
        input=request.get("input") if "input" in endpoint.not_parameters else None,
        instructions=request.get("instructions") if "instructions" in endpoint.not_parameters else None,
        parameters={k: v for k, v in request.items() if k not in endpoint.not_parameters and v is not None},
        tools=tools if isinstance(tools, list) and tools and "tools" in endpoint.not_parameters else None,
        stream=request.get("stream") is True,
        attempts=len(ordered),
        status=last.status,
        completed=last.completed,
        response=endpoint.read_response(answer.payload) if answer.payload else None,
        error=_error(last, answer.payload),
        first_received_unix_ns=ordered[0].received_unix_ns,
        received_unix_ns=last.received_unix_ns,
        last_byte_unix_ns=_unix(last, last.last_byte_ns),
        first_chunk_unix_ns=_unix(last, answer.first_chunk_ns),
        first_content_unix_ns=_unix(last, answer.first_content_ns),
        event_count=answer.events,
        content_event_count=answer.content_events,
        malformed=tuple(malformed),
        attempt_times=tuple((one.received_unix_ns, _unix(one, one.last_byte_ns)) for one in ordered),
    )


def sse_events(data: str) -> Iterator[str]:
    """The payload texts of the server-sent events in a piece of a stream.

    ``data`` lines of one event are joined with a line feed; comments, event names and ids are
    left out. Text in which no line is a ``data`` line comes back whole, unless it holds nothing
    but comments, names and ids.
    """
    if data.startswith("data: ") and data.endswith("\n\n") and data.count("\n") == 2:
        yield data[6:-2].rstrip("\r")
        return
    for block in data.replace("\r\n", "\n").split("\n\n"):
        lines = block.split("\n")
        payload = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
        if payload:
            yield "\n".join(payload)
        elif rest := [line for line in lines if line and not line.startswith((":", "event:", "id:", "retry:"))]:
            yield "\n".join(rest)


class _Answer(NamedTuple):
    payload: dict[str, Any] | None
    first_chunk_ns: int | None = None
    first_content_ns: int | None = None
    events: int = 0
    content_events: int = 0


def _read_answer(endpoint: Endpoint, exchange: Exchange, malformed: list[str]) -> _Answer:
    if exchange.chunks is None:
        return _Answer(_object(exchange.response_body, malformed) if exchange.response_body else None)
    payloads: list[dict[str, Any]] = []
    first_content_ns = None
    events = content_events = 0
    for chunk in exchange.chunks:
        for data in sse_events(chunk.data):
            if data.strip() == _DONE:
                continue
            events += 1
            payload = _object(data, malformed)
            if not payload:
                continue
            payloads.append(payload)
            if endpoint.has_content(payload):
                content_events += 1
                first_content_ns = chunk.sent_ns if first_content_ns is None else first_content_ns
    first_chunk_ns = exchange.chunks[0].sent_ns if exchange.chunks else None
    return _Answer(endpoint.merge(payloads), first_chunk_ns, first_content_ns, events, content_events)


def _error(exchange: Exchange, payload: dict[str, Any] | None) -> WireError | None:
    """All forms: ``{"error": {...}}``, Mistral's flat object, and an event in the middle of a stream.

    A response object with an ``error`` of its own was answered well as far as HTTP and the SDK go.
    """
    status = exchange.status if exchange.status is not None and exchange.status >= FIRST_ERROR_STATUS else None
    payload = payload or {}
    nested = payload.get("stream_error")
    if nested is None and payload.get("object") != "response":
        nested = payload.get("error")
    if status is None and nested is None:
        return None if exchange.completed else WireError(None, None, None, None)
    detail = nested if isinstance(nested, dict) else payload
    message = nested if isinstance(nested, str) else detail.get("message") or detail.get("detail")
    code = detail.get("code")
    return WireError(
        status_code=status,
        type=text(detail.get("type")) if detail.get("type") != "error" else None,
        message=text(message),
        code=str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else None,
    )


def _object(data: str | None, malformed: list[str]) -> dict[str, Any]:
    value: Any = None
    try:
        value = orjson.loads(data or "")
    except ValueError:
        try:  # what orjson refuses and SDKs read: NaN, lone surrogates
            value = json.loads(data or "")
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, dict):
        return value
    malformed.append(data or "")
    return {}


def _unix(exchange: Exchange, monotonic_ns: int | None) -> int | None:
    if monotonic_ns is None:
        return None
    return exchange.received_unix_ns + (monotonic_ns - exchange.received_ns)
