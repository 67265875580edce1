"""The application: routes to the backend, each exchange recorded from arrival to end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from harness.gateway.backends import ClientGoneError, refuse
from harness.gateway.endpoints import ENDPOINTS
from harness.gateway.refusals import RefusedError
from harness.gateway.wires import WIRES

if TYPE_CHECKING:
    from harness.gateway.backends import Backend
    from harness.gateway.recorder import Capture, Receive, Recorder, Scope, Send
    from harness.records import Dialect


def make_app(backend: Backend, recorder: Recorder, *, every_path: bool = False) -> Starlette:
    """The gateway's application.

    With ``every_path`` the backend is asked for all paths of a dialect: a recording may hold any.

    Endpoints are plain ASGI applications: Starlette's request and response classes would cost
    more than the rest of the gateway.
    """
    served = [
        Route(f"/{dialect}{path}", _Served(dialect, f"/{dialect}", backend, recorder), methods=["POST"])
        for endpoint in ENDPOINTS
        for dialect in endpoint.dialects
        for path in endpoint.paths
    ]
    elsewhere = [
        Route(
            f"/{dialect}/{{rest:path}}",
            _Served(dialect, f"/{dialect}", backend, recorder)
            if every_path
            else _NoRoute(dialect, f"/{dialect}", recorder),
        )
        for dialect in WIRES
    ]
    # A path without a dialect belongs to no wire format; OpenAI's error is the one most clients read.
    return Starlette(routes=[*served, *elsewhere, Route("/{rest:path}", _NoRoute("openai", "", recorder))])


class _Endpoint:
    """Reads a request, has it answered, and records the exchange."""

    def __init__(self, dialect: Dialect, prefix: str, recorder: Recorder) -> None:
        self._dialect = dialect
        self._prefix_length = len(prefix)
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            return
        capture = self._recorder.arrive(self._dialect, scope, self._path(scope), body)
        try:
            await self._respond(capture, receive, send)
        except ClientGoneError:
            capture.error = "client closed the connection"
        except asyncio.CancelledError:
            await _fail(capture, send, RefusedError(503, "the gateway was told to end", kind="server_error"))
            raise
        except Exception as error:
            await _fail(capture, send, RefusedError(500, f"the gateway failed: {error!r}", kind="server_error"))
            raise
        finally:
            self._recorder.finish(capture)

    async def _respond(self, capture: Capture, receive: Receive, send: Send) -> None:
        """Answer one request; each dialect has its own way."""
        raise NotImplementedError

    def _path(self, scope: Scope) -> str:
        """The path as it was asked for, with its query, without the dialect's prefix."""
        path: bytes = scope["raw_path"]
        query: bytes = scope["query_string"]
        return (path + b"?" + query if query else path).decode("latin-1")[self._prefix_length :]


class _Served(_Endpoint):
    """What the backend answers: what an endpoint serves, or whatever was recorded."""

    def __init__(self, dialect: Dialect, prefix: str, backend: Backend, recorder: Recorder) -> None:
        super().__init__(dialect, prefix, recorder)
        self._backend = backend

    async def _respond(self, capture: Capture, receive: Receive, send: Send) -> None:
        await self._backend.respond(capture, receive, send)


class _NoRoute(_Endpoint):
    """Everything else: the dialect's own 404."""

    async def _respond(self, capture: Capture, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the signature
        message = WIRES[self._dialect].no_route(capture.method, capture.path)
        await refuse(capture, send, RefusedError(404, message))


async def _fail(capture: Capture, send: Send, refused: RefusedError) -> None:
    """Say why there is no answer; one that has begun stays incomplete, and the server closes the connection."""
    capture.error = str(refused)
    if capture.status is None:
        await refuse(capture, send, refused)


async def _read(receive: Receive) -> bytes | None:
    """The whole body of a request; ``None`` if the client left before it was sent."""
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"]:
        whole: bytes = message["body"]
        return whole
    parts: list[bytes] = []
    while message["type"] == "http.request":
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)
        message = await receive()
    return None
