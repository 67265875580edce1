"""The gateway as its parent sees it: started, asked for its address, ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from harness.errors import EndpointError, GatewayError, HarnessError
from harness.served import Served

if TYPE_CHECKING:
    from harness.gateway.settings import GatewayConfig
    from harness.records import Dialect


class Gateway(Served):
    """A running gateway process."""

    module = "harness.gateway"
    name = "the gateway"
    error = GatewayError

    def __init__(self, config: GatewayConfig) -> None:
        super().__init__(config)
        # Open answers may take so long.
        self._stop_timeout_s += config.grace_s

    @classmethod
    def start(cls, config: GatewayConfig, *, cpus: tuple[int, ...] = ()) -> Self:
        """Start a gateway and wait until it listens.

        Args:
            config: What it is to do.
            cpus: Cores that it may run on, in place of the configuration's.

        Raises:
            EndpointError: If the endpoint cannot be used as configured.
            GatewayError: If the process did not come up.
        """
        gateway = cls(config.model_copy(update={"cpus": cpus}) if cpus else config)
        gateway.wait_ready()
        return gateway

    @property
    def refused_port(self) -> int:
        """A port of 127.0.0.1 on which connections are refused as long as it runs."""
        return int(self._answer["refused_port"])

    def base_url(self, dialect: Dialect) -> str:
        """Where clients of this dialect are pointed at, without a version path."""
        return f"http://127.0.0.1:{self.port}/{dialect}"

    def refused_url(self, dialect: Dialect) -> str:
        """A base URL of the same form at which connections are refused."""
        return f"http://127.0.0.1:{self.refused_port}/{dialect}"

    def _refusal(self, answer: dict[str, Any]) -> HarnessError:
        kind = EndpointError if answer.get("type") == EndpointError.__name__ else GatewayError
        return kind(answer["error"])
