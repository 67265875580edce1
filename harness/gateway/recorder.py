"""The recorder: what the gateway saw, kept off the hot path and written as records.

While an exchange runs, only references and clock readings are stored in a ``Capture``. In the
completeness pass records are made and written a moment later; in the timing pass what is kept
is reduced to a tuple of numbers when the exchange ends, and written when the gateway is idle or
ends.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.gateway.redaction import redact_headers, redact_query, redact_text
from harness.records import CALL_ID_HEADER, CallId, Chunk, Exchange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from pathlib import Path

    from harness.gateway.wires import Headers
    from harness.records import Dialect

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_CALL_ID = CALL_ID_HEADER.encode()
_WRITE_SOON_S = 0.1
_IDLE_S = 1.0
_BATCH = 16
_MOST_WAITING = 20_000
_EVENT_STREAM = b"text/event-stream"


class Capture:
    """One exchange while it runs.

    Clock readings are taken just before bytes are handed over, so that they never lie after the
    moment at which the client can see these bytes.

    Attributes:
        call: The parsed call id; ``None`` makes the exchange unattributed.
        body: The request's body.
        single: The body of a single answer.
        writes: Writes of a stream, with their times.
        error: Why the answer is not complete.
    """

    __slots__ = (
        "body",
        "call",
        "completed",
        "dialect",
        "error",
        "exchange_id",
        "first_byte_ns",
        "last_byte_ns",
        "latency_planned_ns",
        "latency_realised_ns",
        "method",
        "path",
        "received_ns",
        "received_unix_ns",
        "request_headers",
        "response_headers",
        "single",
        "status",
        "writes",
    )

    def __init__(self, exchange_id: int, dialect: Dialect, scope: Scope, path: str, body: bytes) -> None:
        self.received_ns = perf_counter_ns()
        self.received_unix_ns = time_ns()
        self.exchange_id = exchange_id
        self.dialect = dialect
        self.method: str = scope["method"]
        self.path = path
        self.request_headers: Headers = scope["headers"]
        self.call = _call_id(self.request_headers)
        self.body = body
        self.status: int | None = None
        self.response_headers: Headers | None = None
        self.first_byte_ns: int | None = None
        self.last_byte_ns: int | None = None
        self.single: bytes | None = None
        self.writes: list[tuple[int, bytes]] | None = None
        self.completed = False
        self.error: str | None = None
        self.latency_planned_ns: int | None = None
        self.latency_realised_ns: int | None = None

    async def begin(self, send: Send, status: int, headers: Headers) -> None:
        """Begin the response."""
        self.status = status
        self.response_headers = headers
        self.first_byte_ns = perf_counter_ns()
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def answer(self, send: Send, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole single answer."""
        await self.begin(send, status, headers)
        self.single = body
        self.last_byte_ns = perf_counter_ns()
        await send({"type": "http.response.body", "body": body})
        self.completed = True

    async def answer_in_part(self, send: Send, status: int, headers: Headers, part: bytes) -> None:
        """Send the beginning of a single answer; the server closes the connection when nothing follows."""
        await self.begin(send, status, headers)
        self.single = part
        self.last_byte_ns = perf_counter_ns()
        await send({"type": "http.response.body", "body": part, "more_body": True})

    async def write(self, send: Send, data: bytes) -> None:
        """Send a piece of a stream."""
        if self.writes is None:
            self.writes = []
        now_ns = perf_counter_ns()
        self.last_byte_ns = now_ns
        self.writes.append((now_ns, data))
        await send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, send: Send) -> None:
        """End a stream."""
        if self.writes is None:
            self.writes = []
        self.last_byte_ns = perf_counter_ns()
        await send({"type": "http.response.body", "body": b""})
        self.completed = True


class _Timed(NamedTuple):
    """What every pass but completeness keeps of an exchange: numbers and short texts only."""

    exchange_id: int
    call_id: str
    dialect: Dialect
    method: str
    path: str
    received_unix_ns: int
    received_ns: int
    request_size_bytes: int
    request_digest: str
    status: int | None
    first_byte_ns: int | None
    last_byte_ns: int | None
    chunk_sent_ns: tuple[int, ...] | None
    response_size_bytes: int
    response_digest: str
    completed: bool
    error: str | None
    latency_planned_ns: int | None
    latency_realised_ns: int | None


class Recorder:
    """Writes exchanges as JSON Lines.

    While the gateway runs, lines stand in the order in which exchanges ended; ``close`` puts them
    into the order of arrival.

    Attributes:
        failure: Why records could not be written, if they could not.
        on_failure: Called when that is found out.
    """

    def __init__(self, path: Path, api_key: str | None) -> None:
        """Open the file, replacing what was there.

        Raises:
            OSError: If the file cannot be written.
        """
        self._path = path
        self._file = path.open("wb")
        self._api_key = api_key
        self._next_id = 0
        self._waiting: list[Capture | _Timed] = []
        self._timer: asyncio.TimerHandle | None = None
        self._last_end_s = 0.0
        self._last_written_id = -1
        self._in_order = True
        self.failure: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None

    def arrive(self, dialect: Dialect, scope: Scope, path: str, body: bytes) -> Capture:
        """Begin the record of an exchange whose whole request has just been read."""
        capture = Capture(self._next_id, dialect, scope, path, body)
        self._next_id += 1
        return capture

    def finish(self, capture: Capture) -> None:
        """Take over an exchange that has ended."""
        timed = capture.call is not None and capture.call.phase != "completeness"
        self._waiting.append(_reduce(capture) if timed else capture)
        loop = asyncio.get_running_loop()
        self._last_end_s = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(_IDLE_S if timed else _WRITE_SOON_S, self._tick)

    def close(self) -> None:
        """Write everything, in the order of arrival.

        Raises:
            OSError: If records could not be written, now or before.
        """
        if self._timer is not None:
            self._timer.cancel()
        if self.failure is None:
            self._write(len(self._waiting))
        self._file.close()
        if self.failure is not None:
            raise self.failure
        if not self._in_order:
            _sort_by_arrival(self._path)

    def _tick(self) -> None:
        """Write a batch if it is time to, and come again if something is left."""
        self._timer = None
        loop = asyncio.get_running_loop()
        idle = loop.time() - self._last_end_s >= _IDLE_S
        urgent = len(self._waiting) > _MOST_WAITING or any(isinstance(item, Capture) for item in self._waiting[:_BATCH])
        if idle or urgent:
            try:
                self._write(_BATCH)
            except Exception as error:  # noqa: BLE001 - a gateway that cannot record must end, whatever the reason
                self.failure = error
                self.on_failure()
                return
        if self._waiting:
            # Between batches the loop serves whoever has asked meanwhile.
            self._timer = loop.call_later(0.0 if idle or urgent else _IDLE_S, self._tick)

    def _write(self, count: int) -> None:
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        lines = []
        for item in batch:
            record = _timing_record(item, self._api_key) if isinstance(item, _Timed) else _record(item, self._api_key)
            self._in_order = self._in_order and record.exchange_id > self._last_written_id
            self._last_written_id = record.exchange_id
            lines.append(record.model_dump_json().encode() + b"\n")
        self._file.write(b"".join(lines))
        self._file.flush()


def split_events(writes: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The events of a stream, each with the time of the write that completed it.

    An event is everything up to and including the blank line that ends it, so joined they are
    what was sent. What follows the last blank line is an event of its own: a stream that broke off.
    """
    events: list[tuple[int, bytes]] = []
    rest = b""
    time_ns_ = 0
    for time_ns_, data in writes:
        rest += data
        while (end := _event_end(rest)) is not None:
            events.append((time_ns_, rest[:end]))
            rest = rest[end:]
    if rest:
        events.append((time_ns_, rest))
    return events


def _event_end(data: bytes) -> int | None:
    ends = [place + len(blank) for blank in (b"\n\n", b"\r\n\r\n") if (place := data.find(blank)) >= 0]
    return min(ends, default=None)


def _call_id(headers: Headers) -> CallId | None:
    """The call id of a request; one that is not of the form counts as none."""
    for name, value in headers:
        if name == _CALL_ID:
            try:
                return CallId.parse(value.decode("latin-1"))
            except ValueError:
                return None
    return None


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _response_body(capture: Capture) -> bytes:
    return capture.single if capture.single is not None else b"".join(data for _, data in capture.writes or ())


def _reduce(capture: Capture) -> _Timed:
    response = _response_body(capture)
    return _Timed(
        exchange_id=capture.exchange_id,
        call_id=str(capture.call),
        dialect=capture.dialect,
        method=capture.method,
        path=capture.path,
        received_unix_ns=capture.received_unix_ns,
        received_ns=capture.received_ns,
        request_size_bytes=len(capture.body),
        request_digest=_digest(capture.body),
        status=capture.status,
        first_byte_ns=capture.first_byte_ns,
        last_byte_ns=capture.last_byte_ns,
        chunk_sent_ns=_chunk_times_ns(capture),
        response_size_bytes=len(response),
        response_digest=_digest(response),
        completed=capture.completed,
        error=capture.error,
        latency_planned_ns=capture.latency_planned_ns,
        latency_realised_ns=capture.latency_realised_ns,
    )


def _chunk_times_ns(capture: Capture) -> tuple[int, ...] | None:
    """When the events of a stream went out; not kept under a load, whose streams may have thousands."""
    if capture.writes is None or (capture.call is not None and capture.call.phase == "load"):
        return None
    return tuple(at_ns for at_ns, _ in split_events(capture.writes))


def _timing_record(timed: _Timed, api_key: str | None) -> Exchange:
    fields = timed._asdict()
    fields["path"] = redact_query(timed.path)
    if timed.error is not None and api_key:
        fields["error"] = redact_text(timed.error, [api_key])
    return Exchange(**fields)


def _record(capture: Capture, api_key: str | None) -> Exchange:
    request_headers, secrets = redact_headers(capture.request_headers)
    response_headers, more_secrets = redact_headers(capture.response_headers or [])
    secrets |= more_secrets | ({api_key} if api_key else set())

    def shown(data: bytes | str) -> str:
        return redact_text(data if isinstance(data, str) else data.decode("utf-8", "replace"), secrets)

    response = _response_body(capture)
    return Exchange(
        exchange_id=capture.exchange_id,
        call_id=None if capture.call is None else str(capture.call),
        dialect=capture.dialect,
        method=capture.method,
        path=shown(redact_query(capture.path)),
        received_unix_ns=capture.received_unix_ns,
        received_ns=capture.received_ns,
        request_headers={name: shown(value) for name, value in request_headers.items()},
        request_body=shown(capture.body),
        request_size_bytes=len(capture.body),
        request_digest=_digest(capture.body),
        status=capture.status,
        response_headers=None
        if capture.response_headers is None
        else {name: shown(value) for name, value in response_headers.items()},
        first_byte_ns=capture.first_byte_ns,
        last_byte_ns=capture.last_byte_ns,
        response_body=None if capture.single is None else shown(capture.single),
        chunks=None
        if capture.writes is None
        else tuple(Chunk(sent_ns=at_ns, data=shown(data)) for at_ns, data in split_events(capture.writes)),
        response_size_bytes=len(response),
        response_digest=_digest(response),
        completed=capture.completed,
        error=None if capture.error is None else shown(capture.error),
        latency_planned_ns=capture.latency_planned_ns,
        latency_realised_ns=capture.latency_realised_ns,
    )


def _sort_by_arrival(path: Path) -> None:
    with path.open("rb") as file:
        records = sorted((Exchange.model_validate_json(line).exchange_id, line) for line in file)
    ordered = path.with_name(path.name + ".ordered")
    ordered.write_bytes(b"".join(line for _, line in records))
    ordered.replace(path)
