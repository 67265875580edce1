"""What an endpoint behind the gateway is: one method that answers, and a close."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

from harness.gateway.endpoints import endpoint_at
from harness.gateway.latency import wait_until
from harness.gateway.simulator import Simulator
from harness.gateway.wires import WIRES

if TYPE_CHECKING:
    from harness.gateway.recorder import Capture, Receive, Send
    from harness.gateway.refusals import RefusedError
    from harness.gateway.settings import GatewayConfig
    from harness.gateway.simulator import Answer


class ClientGoneError(Exception):
    """The client closed the connection before the answer was complete."""


class Backend(Protocol):
    """Answers a captured request by way of the capture's own methods."""

    async def respond(self, capture: Capture, receive: Receive, send: Send) -> None:
        """Send the whole answer.

        Raises:
            ClientGoneError: If the client left early.
        """

    async def close(self) -> None:
        """Give back what the backend holds."""


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection, or the answer is complete."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def refuse(capture: Capture, send: Send, refused: RefusedError) -> None:
    """Answer with an error of the gateway's own, in the dialect's shape."""
    body = WIRES[capture.dialect].error(refused)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await capture.answer(send, refused.status, headers, body)


class SimulatorBackend:
    """Waits as planned, then sends what the simulator says."""

    def __init__(self, config: GatewayConfig) -> None:
        self._simulator = Simulator(config)

    async def respond(self, capture: Capture, receive: Receive, send: Send) -> None:
        """Send the simulator's answer, a stream event by event."""
        answer = self._simulator.answer(capture.dialect, capture.body, capture.call, endpoint_at(capture.path))
        capture.latency_planned_ns = sum(answer.waits_ns)
        capture.latency_realised_ns = 0
        if answer.body is not None and not capture.latency_planned_ns and answer.cut_after is None:
            await capture.answer(send, answer.status, answer.headers, answer.body)
            return
        gone = asyncio.create_task(until_gone(receive))
        try:
            await (_send_single if answer.rounds is None else _send_stream)(capture, answer, gone, send)
        finally:
            gone.cancel()

    async def close(self) -> None:
        """The simulator holds nothing."""


async def _send_single(capture: Capture, answer: Answer, gone: asyncio.Task[None], send: Send) -> None:
    await _wait(capture, sum(answer.waits_ns), gone)
    body = answer.body or b""
    if answer.cut_after is None or answer.cut_after >= len(body):
        await capture.answer(send, answer.status, answer.headers, body)
        return
    await capture.answer_in_part(send, answer.status, answer.headers, body[: answer.cut_after])
    capture.error = f"cut after {answer.cut_after} bytes, as scripted"


async def _send_stream(capture: Capture, answer: Answer, gone: asyncio.Task[None], send: Send) -> None:
    rounds = answer.rounds or []
    waited_ns = 0
    left = sum(map(len, rounds)) if answer.cut_after is None else answer.cut_after
    is_cut = left < sum(map(len, rounds))
    last_event = b"" if is_cut else rounds[-1].pop()
    for wait_ns, events in zip(answer.waits_ns, rounds, strict=True):
        if wait_ns:
            waited_ns += wait_ns
            await _wait(capture, waited_ns, gone)
        if capture.status is None:
            await capture.begin(send, answer.status, answer.headers)
            capture.writes = []
        for event in events[:left]:
            await capture.write(send, event)
            # uvloop joins the writes of one turn of the loop; an event is to be a write of its own.
            await asyncio.sleep(0)
            if gone.done():
                raise ClientGoneError
        left -= len(events)
        if left <= 0 and is_cut:
            # An answer that is left incomplete has the server close the connection.
            capture.error = f"cut after {answer.cut_after} events, as scripted"
            return
    # The stream's end goes out together with its last event: SDKs close the connection as soon
    # as they have read that, and the answer is complete by then.
    await capture.write(send, last_event)
    await capture.end(send)


async def _wait(capture: Capture, since_arrival_ns: int, gone: asyncio.Task[None]) -> None:
    """Wait up to a time counted from the request's arrival, so that lateness does not add up."""
    await wait_until(capture.received_ns + since_arrival_ns, unless=gone)
    capture.latency_realised_ns = perf_counter_ns() - capture.received_ns
    if gone.done():
        raise ClientGoneError
