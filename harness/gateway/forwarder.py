"""The forwarder: passes requests to a real endpoint and its answers back, as they are."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from harness.gateway.backends import ClientGoneError, refuse, until_gone
from harness.gateway.refusals import RefusedError
from harness.gateway.template import DONE
from harness.records import CALL_ID_HEADER

if TYPE_CHECKING:
    from harness.gateway.recorder import Capture, Receive, Send
    from harness.gateway.settings import GatewayConfig
    from harness.gateway.wires import Headers

_VERSION_PATH = "/v1"
_ENCODED_FRAGMENT = "%23stream"
_HARNESS_PREFIX = CALL_ID_HEADER.rsplit("call-id", 1)[0].encode()
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The client's key is none of the endpoint's business, and answers are asked for as they are.
_NOT_SENT = _HOP_BY_HOP | {b"host", b"content-length", b"authorization", b"accept-encoding", b"expect"}
# httpx hands over decoded bytes, and the gateway's own server frames them.
_NOT_RETURNED = _HOP_BY_HOP | {b"content-length", b"content-encoding"}
_LAST_EVENTS = tuple(b"event: response.%s" % status for status in (b"completed", b"incomplete", b"failed"))
"""How streams of the Responses API end, which have no closing mark."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_CONNECT_TIMEOUT_S = 10.0


class Forwarder:
    """Sends each request's body byte for byte to an endpoint, and each answer back as it comes.

    Redirects are not followed: their answers are passed back.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._base_url = (config.base_url or "").rstrip("/")
        self._api_key = config.api_key
        self._timeout_s = config.timeout_s
        # The overall time is limited below; httpx would limit each read alone.
        timeout = httpx.Timeout(None, connect=min(_CONNECT_TIMEOUT_S, config.timeout_s))
        on_this_machine = urlsplit(self._base_url).hostname in _LOOPBACK
        self._client = httpx.AsyncClient(
            timeout=timeout,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=None),
            # Proxies come from the environment, but none leads to this machine.
            trust_env=not on_this_machine,
            follow_redirects=False,
        )
        self._client.headers.clear()

    async def respond(self, capture: Capture, receive: Receive, send: Send) -> None:
        """Forward a request and pass the answer back, until it is complete or the client leaves."""
        relay = asyncio.create_task(self._relay(capture, send))
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
            if relay.done():
                relay.result()
            elif _is_over(capture):
                capture.completed = True
            else:
                raise ClientGoneError
        finally:
            gone.cancel()
            # Cancelling closes the request to the endpoint; only then is the record complete.
            relay.cancel()
            await asyncio.wait({relay})

    async def close(self) -> None:
        """Close the connections to the endpoint."""
        await self._client.aclose()

    async def _relay(self, capture: Capture, send: Send) -> None:
        """Forward a request; an endpoint that fails is answered for, or the stream is broken off."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange(capture, send)
        except (TimeoutError, httpx.TimeoutException):
            message = f"the endpoint did not answer within {self._timeout_s:g} s"
            await self._fail(capture, send, RefusedError(504, message, kind="server_error"))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            message = f"the endpoint at {self._base_url} could not be reached or broke off: {reason}"
            await self._fail(capture, send, RefusedError(502, message, kind="server_error"))

    async def _exchange(self, capture: Capture, send: Send) -> None:
        url = self._base_url + capture.path.removeprefix(_VERSION_PATH).replace(_ENCODED_FRAGMENT, "")
        request = self._client.build_request(
            capture.method, url, content=capture.body, headers=self._request_headers(capture.request_headers)
        )
        async with contextlib.aclosing(await self._client.send(request, stream=True)) as response:
            headers = [(name, value) for name, value in _lowered(response.headers.raw) if name not in _NOT_RETURNED]
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                body = await response.aread()
                length = (b"content-length", b"%d" % len(body))
                await capture.answer(send, response.status_code, [*headers, length], body)
                return
            await capture.begin(send, response.status_code, headers)
            async for data in response.aiter_bytes():
                await capture.write(send, data)
            await capture.end(send)

    def _request_headers(self, headers: Headers) -> Headers:
        passed = [
            (name, value) for name, value in headers if name not in _NOT_SENT and not name.startswith(_HARNESS_PREFIX)
        ]
        if self._api_key:
            passed.append((b"authorization", b"Bearer " + self._api_key.encode()))
        return [*passed, (b"accept-encoding", b"identity")]

    async def _fail(self, capture: Capture, send: Send, refused: RefusedError) -> None:
        """Answer with an error, or leave an answer that has begun incomplete, which closes the connection."""
        capture.error = str(refused)
        if capture.status is None:
            await refuse(capture, send, refused)


def _is_over(capture: Capture) -> bool:
    """Whether a stream's last event went out: SDKs close the connection then, and wait for no end."""
    last = b"".join(data for _, data in (capture.writes or [])[-2:]).rstrip()
    if last.endswith(DONE.rstrip()):
        return True
    event, _, data = last.rpartition(b"\n")
    return event.endswith(_LAST_EVENTS) and data.endswith(b"}")


def _lowered(headers: list[tuple[bytes, bytes]]) -> Headers:
    return [(name.lower(), value) for name, value in headers]
