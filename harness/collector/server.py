"""The collector's application, and its run until the parent ends it."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from harness.collector.otlp import JSON, BadExportError, read_export
from harness.collector.raw import raw_request
from harness.collector.settings import TRACES_PATH
from harness.gateway.server import Server, announce, run_server, uvicorn_config

if TYPE_CHECKING:
    import socket

    from starlette.requests import Request

    from harness.collector.settings import CollectorConfig


class Receiver:
    """Takes export requests and writes their spans, or the requests as they came.

    Attributes:
        failure: Why spans could not be written; ``None`` as long as they could.
    """

    def __init__(self, file: IO[bytes] | None, *, raw: bool = False) -> None:
        self._file = file
        self._raw = raw
        self.failure: OSError | None = None

    async def traces(self, request: Request) -> Response:
        """Answer one export, after its spans are in the file."""
        body = await request.body()
        kind = request.headers.get("content-type", "")
        if self._file is not None:
            encoding = request.headers.get("content-encoding", "")
            try:
                if self._raw:
                    self._write(raw_request(body, kind, encoding))
                else:
                    spans = await run_in_threadpool(read_export, body, kind, encoding)
                    self._write("".join(f"{span.model_dump_json()}\n" for span in spans).encode())
            except BadExportError as error:
                return PlainTextResponse(str(error), status_code=error.status)
            except OSError as error:
                self.failure = error
                return PlainTextResponse(f"spans cannot be written: {error}", status_code=500)
        if kind.startswith(JSON):
            return Response("{}", media_type=JSON)
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type=kind)

    def _write(self, kept: bytes) -> None:
        assert self._file is not None  # noqa: S101 - for the type checker
        self._file.write(kept)
        self._file.flush()


def make_app(receiver: Receiver) -> Starlette:
    """The collector's application."""
    return Starlette(routes=[Route(TRACES_PATH, receiver.traces, methods=["POST"])])


def serve(config: CollectorConfig, listener: socket.socket) -> None:
    """Run a collector until it is told to end.

    Raises:
        OSError: If spans could not be written.
    """
    with config.spans_path.open("wb") as file:
        receiver = Receiver(file if config.keep else None, raw=config.raw)
        server = Server(uvicorn_config(make_app(receiver)), listening=lambda: announce(listener))
        uvloop.run(run_server(server, listener))
    if receiver.failure is not None:
        raise receiver.failure
