"""What a gateway process is told at its start, as one JSON line on its standard input."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from harness.config import TIMINGS
from harness.errors import EndpointError, unknown_option
from harness.prompts import Sample
from harness.records import Dialect, Record

LATENCY_KINDS = ("none", "fixed", "lognormal")
ENDPOINT_KINDS = ("simulator", "forward", "replay")


class LatencySettings(Record):
    """What the simulator waits, a function of (seed, sample, repetition).

    Attributes:
        kind: ``none``, ``fixed`` or ``lognormal``.
        first_token_ms: Wait before the first token: the value, or the lognormal's median.
        per_token_ms: Wait before each further token: the value, or the lognormal's median.
        sigma: Shape of the lognormal (standard deviation of the logarithm).
    """

    kind: str = "none"
    first_token_ms: float = 0.0
    per_token_ms: float = 0.0
    sigma: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind not in LATENCY_KINDS:
            raise unknown_option("latency", self.kind, "endpoint.latency.kind", LATENCY_KINDS)
        for name in ("first_token_ms", "per_token_ms", "sigma"):
            if getattr(self, name) < 0:
                raise EndpointError(f"endpoint.latency.{name} is {getattr(self, name)}; it must not be negative")
        return self


class GatewayConfig(Record):
    """One gateway's whole configuration.

    Attributes:
        records_path: Where exchanges are written; a file that is there is replaced.
        samples: The prompt set, from which the simulator takes expected answers.
        seed: Everything that the simulator makes up is a function of it.
        kind: ``simulator``, ``forward`` or ``replay``.
        base_url: Where to forward to, with the version path (``https://host/v1``).
        api_key: Sent to ``base_url`` as a bearer token in place of the client's; ``None`` sends
            none. It is never recorded, logged or printed.
        timeout_s: How long a forwarded answer may take from the request to its last byte.
        latency: The simulator's waiting, and that of a replay whose timing is simulated.
        recordings_path: What a replay answers from.
        recordings_dialect: The wire format of recordings that do not show it.
        timing: What a replay waits: ``recorded``, ``none`` or ``simulated``.
        cpus: Cores that the process may run on; empty leaves it as it is.
        grace_s: How long open answers may still take when the gateway is told to end.

    Raises:
        EndpointError: If the endpoint cannot work as configured.
        ConfigError: If a kind is unknown.
    """

    records_path: Path
    samples: tuple[Sample, ...] = ()
    seed: int = 0
    kind: str = "simulator"
    base_url: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    timeout_s: float = 120.0
    latency: LatencySettings = LatencySettings()
    recordings_path: Path | None = None
    recordings_dialect: Dialect | None = None
    timing: str = "recorded"
    cpus: tuple[int, ...] = ()
    grace_s: int = 3

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind not in ENDPOINT_KINDS:
            raise unknown_option("kind of endpoint", self.kind, "endpoint.kind", ENDPOINT_KINDS)
        if self.timeout_s <= 0:
            raise EndpointError(f"endpoint.timeout_s is {self.timeout_s}; it must be more than 0 seconds")
        if self.timing not in TIMINGS:
            raise unknown_option("timing", self.timing, "endpoint.timing", TIMINGS)
        if self.kind == "replay" and self.recordings_path is None:
            raise EndpointError("endpoint.path is needed to answer from recorded exchanges")
        if self.kind == "forward":
            _check_url(self.base_url)
        return self


def _check_url(url: str | None) -> None:
    """Raise EndpointError unless the text is an HTTP URL with a host; credentials in it are refused."""
    parts = urlsplit(url or "")
    if parts.username or parts.password:
        raise EndpointError("endpoint.base_url holds a user name or password; name the key's variable in key_env")
    if parts.query or parts.fragment:
        raise EndpointError("endpoint.base_url has a query or a fragment; it must end with the version path")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError(f"endpoint.base_url is {url!r}; it must be a URL such as https://host/v1")
