"""MLflow's autologging: one line, no change to the application's calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import mlflow

from harness.errors import ConfigError
from harness.tracing.base import MLflowTracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.providers import Operation, Provider

T = TypeVar("T")

FLAVORS = {"openai": "openai", "mistralai": "mistral", "langchain": "langchain"}
"""Provider to the MLflow module with its ``autolog``. A provider of one's own names it in ``autolog_flavor``."""


class Autolog(MLflowTracing):
    """``mlflow.<flavor>.autolog()``, which patches the SDK's classes for the life of the process."""

    name = "autolog"
    flows = "never"

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        if style or depth:
            raise ConfigError(f"tracing autolog has no style or depth, but got {style or depth!r}; leave them empty")
        self._flavor: str | None = None

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Say where traces go, and turn the provider's flavour on.

        Raises:
            ConfigError: If MLflow has no autologging for the provider.
        """
        flavor = getattr(provider, "autolog_flavor", None) or FLAVORS.get(provider.name)
        autolog = getattr(getattr(mlflow, flavor, None), "autolog", None) if flavor else None
        if autolog is None:
            raise ConfigError(
                f"tracing {self.name}: MLflow has no autologging for provider {provider.name!r}"
                f"{f' (flavour {flavor!r})' if flavor else ''}; there is one for {', '.join(FLAVORS)}, "
                "and a provider that sits on another SDK names MLflow's flavour in its attribute autolog_flavor"
            )
        super().install(provider, tracking_uri, experiment)
        autolog()
        self._flavor = flavor

    def wrap(self, operation: Operation) -> Callable[..., Any]:
        """The operation's call itself: the SDK is patched beneath it."""
        return operation.call

    def complete(self, call: Callable[..., T]) -> Callable[..., T]:
        """The call itself: the SDK is patched beneath it."""
        return call

    def stream(self, call: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
        """The call itself: the SDK is patched beneath it."""
        return call

    def source(self) -> str:
        """The one line; before ``install`` the flavour is not known."""
        return f"mlflow.{self._flavor or '<flavor>'}.autolog()"
