"""The endpoint that the providers are tried on, and the providers. A new one joins by a line in ``TRIED``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness.providers import PROVIDERS, Provider
from harness.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRIED = {
    "openai": ("openai", "openai"),
    "mistralai": ("mistralai", "mistralai"),
    "langchain-openai": ("langchain", "openai"),
    "langchain-mistralai": ("langchain", "mistralai"),
}
PATHS = {"openai": "openai", "mistralai": "mistral"}


@pytest.fixture(params=TRIED)
def key(request: pytest.FixtureRequest) -> str:
    """Which provider is tried."""
    return str(request.param)


@pytest.fixture(scope="session")
def make(endpoint_url: str) -> Callable[[str], Provider]:
    """Make a provider as a worker does, pointed at the endpoint."""

    def made(key: str) -> Provider:
        name, backend = TRIED[key]
        provider = load_target(PROVIDERS[name])(
            base_url=f"{endpoint_url}/{PATHS[backend]}",
            backend=backend,
            model="m-1",
            api_key="test-key",
            timeout_s=30.0,
        )
        assert isinstance(provider, Provider)
        return provider

    return made


@pytest.fixture(scope="session")
def providers(make: Callable[[str], Provider]) -> Iterator[dict[str, Provider]]:
    """One provider of each kind, for all tests."""
    made = {key: make(key) for key in TRIED}
    yield made
    for provider in made.values():
        provider.close()


@pytest.fixture
def provider(key: str, providers: dict[str, Provider]) -> Provider:
    """The provider."""
    return providers[key]


@pytest.fixture
def recorded(endpoint_url: str) -> Callable[[str], list[dict[str, Any]]]:
    """What the endpoint got under a call id."""
    return lambda call_id: httpx.get(f"{endpoint_url}/requests", params={"call_id": call_id}).json()


@pytest.fixture(scope="session")
def endpoint_url() -> Iterator[str]:
    """Where the endpoint listens."""
    command = [sys.executable, str(Path(__file__).with_name("endpoint.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()
