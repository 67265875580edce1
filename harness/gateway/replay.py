"""Answers from recorded exchanges, byte for byte, and never with anything else."""

from __future__ import annotations

import asyncio
import json
import re
from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple

from harness.gateway.backends import ClientGoneError, refuse, until_gone
from harness.gateway.latency import planned_waits_ns, wait_until
from harness.gateway.refusals import RefusedError
from harness.recordings import NotRecordedError, Shelf, load_recordings

if TYPE_CHECKING:
    from harness.gateway.recorder import Capture, Receive, Send
    from harness.gateway.settings import GatewayConfig
    from harness.gateway.wires import Headers
    from harness.recordings import Recording
    from harness.records import CallId

NOT_RECORDED_STATUS = 404
"""No SDK tries again after it, as it would after 409 or 429."""
NOT_RECORDED_CODE = "not_in_recording"

_NOT_RETURNED = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What belonged to the recorded connection: bodies are kept decoded, and this server frames them itself."""

_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
"""What HTTP/1.1 takes for a header's name: HTTP/2's ``:status`` is none."""

_USAGE_NAMES = ("completion_tokens", "output_tokens")


class _Schedule(NamedTuple):
    """When to send what, in nanoseconds after the request's arrival; ``event_ns`` has one entry an event."""

    begin_ns: int
    event_ns: tuple[int, ...]

    @property
    def last_ns(self) -> int:
        """When the answer is over."""
        return max((self.begin_ns, *self.event_ns))


class ReplayBackend:
    """Sends what was recorded, with the recorded headers but those of the connection itself.

    An answer that has no content type gets the one of its body, because SDKs read by it.

    Raises:
        EndpointError: If the recordings cannot be read.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._shelf = Shelf(load_recordings(config.recordings_path or "", config.recordings_dialect))
        self._timing = config.timing
        self._latency = config.latency
        self._seed = config.seed
        self._timeout_ns = round(config.timeout_s * 1e9)

    async def respond(self, capture: Capture, receive: Receive, send: Send) -> None:
        """Send the recorded answer, or an error that names what the recording does not hold."""
        try:
            recording = self._shelf.find(capture.dialect, capture.method, capture.path, capture.body, capture.call)
        except NotRecordedError as missing:
            await refuse(capture, send, RefusedError(NOT_RECORDED_STATUS, str(missing), code=NOT_RECORDED_CODE))
            return
        schedule = self._schedule(recording, capture.call)
        capture.latency_planned_ns = schedule.last_ns
        capture.latency_realised_ns = 0
        if not schedule.last_ns and recording.events is None and _is_whole(recording):
            await _send_single(capture, recording, send)
            return
        gone = asyncio.create_task(until_gone(receive))
        try:
            await self._send(capture, recording, schedule, gone, send)
        finally:
            gone.cancel()

    async def close(self) -> None:
        """Recordings need no closing."""

    async def _send(
        self, capture: Capture, recording: Recording, schedule: _Schedule, gone: asyncio.Task[None], send: Send
    ) -> None:
        if recording.status is None:
            await _send_nothing(capture, recording, self._timeout_ns, gone)
            return
        await _wait(capture, schedule.begin_ns, gone)
        if recording.events is None:
            await (_send_single if _is_whole(recording) else _send_part)(capture, recording, send)
            return
        await capture.begin(send, recording.status, _headers(recording))
        # The stream's end goes out together with its last event: SDKs close the connection as soon
        # as they have read that, and the answer is complete by then.
        last = len(recording.events) - 1
        for index, (event, at_ns) in enumerate(zip(recording.events, schedule.event_ns, strict=True)):
            await _wait(capture, at_ns, gone)
            await capture.write(send, event.encode("utf-8", "surrogatepass"))
            if index < last or not recording.completed:
                # uvloop joins the writes of one turn of the loop; an event is to be a write of its own.
                await asyncio.sleep(0)
        if recording.completed:
            await capture.end(send)
        else:
            _break_off(capture, recording)

    def _schedule(self, recording: Recording, call: CallId | None) -> _Schedule:
        count = len(recording.events or ())
        if self._timing == "recorded":
            # A wire sample has no times: it is sent at once.
            return _Schedule(recording.first_byte_ns or 0, recording.event_ns or (0,) * count)
        if self._timing == "none" or recording.status is None or recording.status >= 400:
            return _Schedule(0, (0,) * count)
        sample, repetition = ("", 0) if call is None else (call.sample, call.repetition)
        tokens = count if recording.events is not None else _token_count(recording.text)
        waits_ns = planned_waits_ns(self._latency, self._seed, sample, repetition, tokens)
        passed_ns = [sum(waits_ns[: index + 1]) for index in range(count)]
        return _Schedule(waits_ns[0] if passed_ns else sum(waits_ns), tuple(passed_ns))


def _token_count(text: str) -> int:
    """How many tokens a single answer says that it has, at least 1."""
    try:
        usage = json.loads(text).get("usage") or {}
        found = next((usage[name] for name in _USAGE_NAMES if isinstance(usage.get(name), int)), 1)
    except (ValueError, RecursionError, AttributeError):
        return 1
    return max(1, found)


def _is_whole(recording: Recording) -> bool:
    """Whether a single answer is there to its end; its client may have left just after that."""
    if recording.status is None:
        return False
    return recording.completed or len(recording.text.encode("utf-8", "surrogatepass")) >= _length(recording)


def _length(recording: Recording) -> int:
    """The length that the recorded answer said it had; one more than is there if it did not say."""
    said = dict(recording.headers).get("content-length", "")
    return int(said) if said.isdecimal() else len(recording.text.encode("utf-8", "surrogatepass")) + 1


async def _send_single(capture: Capture, recording: Recording, send: Send) -> None:
    body = recording.text.encode("utf-8", "surrogatepass")
    assert recording.status is not None  # noqa: S101 - for the type checker: a whole answer has one
    headers = [*_headers(recording), (b"content-length", b"%d" % len(body))]
    await capture.answer(send, recording.status, headers, body)


async def _send_part(capture: Capture, recording: Recording, send: Send) -> None:
    """Send what there is of an answer that broke off, and break off there."""
    body = recording.text.encode("utf-8", "surrogatepass")
    assert recording.status is not None  # noqa: S101 - for the type checker: see _send
    headers = [*_headers(recording), (b"content-length", b"%d" % _length(recording))]
    await capture.begin(send, recording.status, headers)
    capture.single = body
    capture.last_byte_ns = perf_counter_ns()
    await send({"type": "http.response.body", "body": body, "more_body": True})
    _break_off(capture, recording)


async def _send_nothing(capture: Capture, recording: Recording, timeout_ns: int, gone: asyncio.Task[None]) -> None:
    """No answer was recorded, because the client had left before: wait for it to leave again."""
    await _wait(capture, timeout_ns, gone)
    _break_off(capture, recording)


def _break_off(capture: Capture, recording: Recording) -> None:
    """Leave the answer incomplete; the server then closes the connection."""
    capture.error = f"the recording breaks off here: {recording.error or 'no reason is recorded'}"


def _headers(recording: Recording) -> Headers:
    kept = [(name, value) for name, value in recording.headers if name not in _NOT_RETURNED and _TOKEN.fullmatch(name)]
    if recording.text and not any(name == "content-type" for name, _ in kept):
        kept.append(("content-type", "application/json"))
    elif recording.events is not None and not any(name == "content-type" for name, _ in kept):
        kept.append(("content-type", "text/event-stream"))
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in kept]


async def _wait(capture: Capture, since_arrival_ns: int, gone: asyncio.Task[None]) -> None:
    """Wait up to a time counted from the request's arrival, so that lateness does not add up."""
    if since_arrival_ns:
        await wait_until(capture.received_ns + since_arrival_ns, unless=gone)
        capture.latency_realised_ns = perf_counter_ns() - capture.received_ns
    if gone.done():
        raise ClientGoneError
