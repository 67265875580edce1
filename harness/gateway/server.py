"""Runs the gateway's application until its parent ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import orjson
import uvicorn
import uvloop

from harness.gateway.app import make_app
from harness.gateway.backends import SimulatorBackend
from harness.gateway.recorder import Recorder
from harness.gateway.replay import ReplayBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from harness.gateway.backends import Backend
    from harness.gateway.settings import GatewayConfig

LOOPBACK = "127.0.0.1"
_KEEP_ALIVE_S = 24 * 3600
_STDIN = 0


def uvicorn_config(app: ASGIApp, grace_s: int = 3) -> uvicorn.Config:
    """The settings of every server of the harness.

    Connections are kept longer than any arm rests: a stopped process must find its connection
    as it left it.
    """
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )


class Server(uvicorn.Server):
    """A server that leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled in ``serve``; uvicorn would raise them again at the end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets)
        self._listening()

    def stop(self) -> None:
        """Have the server finish open answers and end."""
        self.should_exit = True


async def run_server(server: Server, listener: socket.socket) -> None:
    """Serve until standard input ends or SIGTERM comes, then finish open answers."""
    loop = asyncio.get_running_loop()

    def read_stdin() -> None:
        if not os.read(_STDIN, 4096):
            loop.remove_reader(_STDIN)
            server.stop()

    loop.add_reader(_STDIN, read_stdin)
    loop.add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve([listener])
    # Answers that outlasted the grace were cancelled; they still have to say so in their records.
    if server.server_state.tasks:
        await asyncio.wait(set(server.server_state.tasks), timeout=1)


def announce(listener: socket.socket, **others: int) -> None:
    """Tell the parent where this process listens, and other numbers that it is to know."""
    say({"port": listener.getsockname()[1], "pid": os.getpid(), **others})


def say(message: dict[str, object]) -> None:
    """Write one JSON line to standard output."""
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


def bind() -> socket.socket:
    """A socket at a free port, reachable from this machine only."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((LOOPBACK, 0))
    return listener


def serve(config: GatewayConfig, listener: socket.socket, refusing: socket.socket) -> None:
    """Run a gateway until it is told to end.

    Args:
        config: What it is to do.
        listener: Where it listens.
        refusing: A bound socket at which nobody listens.

    Raises:
        EndpointError: If the recordings to answer from cannot be read; nothing was announced then.
        OSError: If records cannot be written.
    """
    uvloop.run(_serve(config, listener, refusing))


async def _serve(config: GatewayConfig, listener: socket.socket, refusing: socket.socket) -> None:
    backend = _backend(config)
    recorder = Recorder(config.records_path, config.api_key)
    server = Server(
        uvicorn_config(make_app(backend, recorder, every_path=config.kind == "replay"), config.grace_s),
        listening=lambda: announce(listener, refused_port=refusing.getsockname()[1]),
    )
    recorder.on_failure = server.stop
    # What exists by now lives to the end: no collection has to look at it again.
    gc.freeze()
    try:
        await run_server(server, listener)
    finally:
        await backend.close()
        recorder.close()


def _backend(config: GatewayConfig) -> Backend:
    if config.kind == "simulator":
        return SimulatorBackend(config)
    if config.kind == "replay":
        return ReplayBackend(config)
    # Only a forwarding gateway needs an HTTP client, and its import is half of the start.
    from harness.gateway.forwarder import Forwarder  # noqa: PLC0415

    return Forwarder(config)
