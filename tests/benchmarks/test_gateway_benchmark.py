"""How fast the gateway answers and records, against a bare handler on the same server.

The bare handler is Starlette's own: it reads nothing and returns a constant of the size of the
gateway's answer. Both run in processes of their own under the same settings of uvicorn, and are
asked over one kept connection each by a client that does next to nothing.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Self

import pytest

from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.processes import child_environment, end
from harness.prompts import Sample
from harness.records import CALL_ID_HEADER, CallId, Exchange, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from harness.records import Pass

LEAST_RATIO = 0.5
PAIRS = 15
BURST = 150
SDK_CALLS = 150
PATH = "/openai/v1/chat/completions"
SAMPLE = Sample(id="sample", messages=({"role": "user", "content": "Describe the harbor in the morning."},))

BARE_SERVER = """
import sys
import uvloop
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from harness.gateway.server import Server, announce, bind, run_server, uvicorn_config

CONSTANT = b"x" * int(sys.argv[1])

async def handler(request):
    return Response(CONSTANT, media_type="application/json")

with bind() as listener:
    app = Starlette(routes=[Route(sys.argv[2], handler, methods=["POST"])])
    uvloop.run(run_server(Server(uvicorn_config(app), lambda: announce(listener)), listener))
"""


class Client:
    """Sends one request after the other over one connection, without an HTTP library in the way."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._repetition = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, phase: Pass, *, stream: bool = False) -> int:
        """Send one request, read the whole answer, and return the size of its body."""
        self._socket.sendall(_request(phase, self._repetition, stream))
        self._repetition += 1
        data = b""
        while (head_end := data.find(b"\r\n\r\n")) < 0:
            data += self._socket.recv(1 << 16)
        if stream:
            while not data.endswith(b"\r\n0\r\n\r\n"):
                data += self._socket.recv(1 << 16)
            return len(data) - head_end - 4
        head = data[:head_end]
        start = head.index(b"content-length: ") + 16
        size = int(head[start:].split(b"\r\n", 1)[0])
        while len(data) < head_end + 4 + size:
            data += self._socket.recv(1 << 16)
        return size

    def rate_per_s(self, phase: Pass) -> float:
        """Requests a second over one burst."""
        start_ns = perf_counter_ns()
        for _ in range(BURST):
            self.ask(phase)
        return BURST * 1e9 / (perf_counter_ns() - start_ns)


def _request(phase: Pass, repetition: int, stream: bool) -> bytes:
    """A request with about the headers that an SDK sends."""
    body = json.dumps({"model": "gpt-4o-mini", "messages": list(SAMPLE.messages), "stream": stream}).encode()
    call = CallId("cell", phase, 0, "strategy", repetition, SAMPLE.id)
    headers = {
        "Host": "127.0.0.1",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Connection": "keep-alive",
        "Content-Type": "application/json",
        "User-Agent": "a benchmark",
        "Authorization": "Bearer unused",
        "X-Stainless-Lang": "python",
        "X-Stainless-OS": "Linux",
        "X-Stainless-Retry-Count": "0",
        CALL_ID_HEADER: str(call),
        "Content-Length": str(len(body)),
    }
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture(scope="module")
def records_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway") / "exchanges.jsonl"


@pytest.fixture(scope="module")
def gateway(records_path: Path) -> Iterator[Gateway]:
    with Gateway.start(GatewayConfig(records_path=records_path, samples=(SAMPLE,))) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway.port) as connected:
        yield connected


@pytest.fixture(scope="module")
def bare_port(gateway: Gateway) -> Iterator[int]:
    with Client(gateway.port) as connected:
        size = connected.ask("timing")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", BARE_SERVER, str(size), PATH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(),
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        yield json.loads(process.stdout.readline())["port"]
    end(process, grace_s=10)


@pytest.fixture
def bare(bare_port: int) -> Iterator[Client]:
    with Client(bare_port) as connected:
        yield connected


@pytest.mark.parametrize("phase", ["timing", "completeness"])
def test_the_gateway_has_at_least_half_the_rate_of_a_bare_handler(bare: Client, client: Client, phase: Pass) -> None:
    """Median over pairs of bursts, one right after the other, in alternating order."""
    assert bare.ask(phase) == client.ask(phase)
    for warming in (bare, client):
        warming.rate_per_s(phase)
    ratios = []
    for pair in range(PAIRS):
        order = (bare, client) if pair % 2 else (client, bare)
        rates_per_s = {asked: asked.rate_per_s(phase) for asked in order}
        ratios.append(rates_per_s[client] / rates_per_s[bare])
    assert statistics.median(ratios) >= LEAST_RATIO, f"ratios of the pairs: {sorted(ratios)}"


@pytest.mark.benchmark(group="gateway: one single answer")
def test_bare_handler(benchmark: BenchmarkFixture, bare: Client) -> None:
    """The bare handler."""
    assert benchmark(bare.ask, "timing") > 0


@pytest.mark.benchmark(group="gateway: one single answer")
@pytest.mark.parametrize("phase", ["timing", "completeness"])
def test_gateway(benchmark: BenchmarkFixture, client: Client, phase: Pass) -> None:
    """The gateway in either pass."""
    assert benchmark(client.ask, phase) > 0


@pytest.mark.benchmark(group="gateway: one streamed answer")
@pytest.mark.parametrize("phase", ["timing", "completeness"])
def test_gateway_stream(benchmark: BenchmarkFixture, client: Client, phase: Pass) -> None:
    """The gateway in either pass, every event a write of its own."""
    assert benchmark(lambda: client.ask(phase, stream=True)) > 0


@pytest.mark.benchmark(group="gateway: one call of the OpenAI SDK")
def test_share_of_an_sdk_call(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """How much of an untraced SDK call's latency passes between the request's arrival and the answer's last byte."""
    from openai import OpenAI

    config = GatewayConfig(records_path=tmp_path / "exchanges.jsonl", samples=(SAMPLE,))
    latency_ns: list[int] = []
    with (
        Gateway.start(config) as gateway,
        OpenAI(base_url=f"{gateway.base_url('openai')}/v1", api_key="unused", max_retries=0) as sdk,
    ):

        def ask() -> None:
            call = CallId("cell", "timing", 0, "baseline", len(latency_ns), SAMPLE.id)
            messages: Any = list(SAMPLE.messages)
            start_ns = perf_counter_ns()
            sdk.chat.completions.create(
                model="gpt-4o-mini", messages=messages, extra_headers={CALL_ID_HEADER: str(call)}
            )
            latency_ns.append(perf_counter_ns() - start_ns)

        benchmark.pedantic(ask, rounds=SDK_CALLS, warmup_rounds=5)  # type: ignore[no-untyped-call]
    service_ns = [
        exchange.last_byte_ns - exchange.received_ns
        for exchange in read_jsonl(config.records_path, Exchange)
        if exchange.last_byte_ns is not None
    ]
    shares = [service / latency for service, latency in zip(service_ns, latency_ns, strict=True)]
    benchmark.extra_info["median_latency_us"] = statistics.median(latency_ns) / 1000
    benchmark.extra_info["median_service_us"] = statistics.median(service_ns) / 1000
    benchmark.extra_info["median_share"] = statistics.median(shares)
    assert all(0 < share < 1 for share in shares)
