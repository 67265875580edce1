"""Running gateways, requests to them, and the records that they leave."""

from __future__ import annotations

import contextlib
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.prompts import Sample
from harness.records import CALL_ID_HEADER, CallId, Exchange, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.records import Dialect

SAMPLES = (
    Sample(
        id="capital", messages=({"role": "user", "content": "Capital of France?"},), expected="It is Paris, I think."
    ),
    Sample(id="story", messages=({"role": "user", "content": "Tell me a story"},)),
)


class RunningGateway:
    """A gateway process with its records at hand."""

    def __init__(self, gateway: Gateway, config: GatewayConfig) -> None:
        self.gateway = gateway
        self.config = config
        self._taken = 0
        self._settled = 0

    def url(self, dialect: Dialect = "openai", path: str = "/v1/chat/completions") -> str:
        return self.gateway.base_url(dialect) + path

    def post(
        self,
        body: dict[str, Any] | bytes,
        *,
        dialect: Dialect = "openai",
        call: CallId | None = None,
        headers: dict[str, str] | None = None,
        path: str = "/v1/chat/completions",
    ) -> httpx.Response:
        attributed = {} if call is None else {CALL_ID_HEADER: str(call)}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **attributed, **(headers or {})}
        return httpx.post(self.url(dialect, path), content=content, headers=sent, timeout=30, trust_env=False)

    def take(self, count: int = 1) -> list[Exchange]:
        """Wait for the records of so many further exchanges of the completeness pass."""
        deadline_s = time.monotonic() + 20
        while len(lines := self.config.records_path.read_bytes().splitlines()) < self._taken + count:
            assert time.monotonic() < deadline_s, "records are on disk soon after the exchange"
            time.sleep(0.02)
        new = lines[self._taken :]
        self._taken = len(lines)
        assert len(new) == count
        return [Exchange.model_validate_json(line) for line in new]

    def settle(self) -> None:
        """Leave out all exchanges so far: their records are on disk, or will be before the next one is taken."""
        marker = f"settled-{self._settled}"
        self._settled += 1
        self.post({"model": marker}, path=f"/v1/{marker}")
        deadline_s = time.monotonic() + 20
        while marker.encode() not in self.config.records_path.read_bytes():
            assert time.monotonic() < deadline_s, "records are on disk soon after the exchange"
            time.sleep(0.02)
        self._taken = len(self.config.records_path.read_bytes().splitlines())

    def stop(self) -> list[Exchange]:
        """Stop the gateway and read what it recorded."""
        self.gateway.stop()
        return list(read_jsonl(self.config.records_path, Exchange))


def _run(stack: contextlib.ExitStack, folder: Path, **settings: Any) -> RunningGateway:
    number = len(list(folder.glob("exchanges-*.jsonl")))
    known = {"records_path": folder / f"exchanges-{number}.jsonl", "samples": SAMPLES, "seed": 7}
    config = GatewayConfig(**{**known, **settings})
    return RunningGateway(stack.enter_context(Gateway.start(config)), config)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningGateway]]:
    """Start gateways that end with the test."""
    with contextlib.ExitStack() as stack:
        yield partial(_run, stack, tmp_path)


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningGateway]]:
    """Start gateways that end with the module."""
    with contextlib.ExitStack() as stack:
        yield partial(_run, stack, tmp_path_factory.mktemp("gateways"))


@pytest.fixture(scope="module")
def shared(start_for_module: Callable[..., RunningGateway]) -> RunningGateway:
    """One simulating gateway for the tests of a module; either all of them take its records or none."""
    return start_for_module()


@pytest.fixture
def make_call() -> Callable[..., CallId]:
    """Call ids, by default the first call of the completeness pass."""

    def make(sample: str = "capital", **parts: Any) -> CallId:
        known = {"cell": "cell-1", "phase": "completeness", "fork": 0, "arm": "strategy", "repetition": 0}
        return CallId(**{**known, **parts, "sample": sample})

    return make


@pytest.fixture
def chat() -> Callable[..., dict[str, Any]]:
    """Bodies of chat requests."""

    def make(model: str = "gpt-4o-mini", **parameters: Any) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": "Say this is a test"}], **parameters}

    return make
