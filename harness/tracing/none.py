"""No tracing: the baseline of every timed comparison, as a strategy like any other."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from harness.providers import Operation, Provider

T = TypeVar("T")


class NoTracing:
    """Calls go straight to the SDK, and MLflow is not imported."""

    name = "none"
    expects_traces = False
    flows = "never"

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        if style or depth:
            raise ConfigError(f"tracing none has no style or depth, but got {style or depth!r}; leave them empty")

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Nothing to turn on."""

    def wrap(self, operation: Operation) -> Callable[..., Any]:
        """The operation's call itself."""
        return operation.call

    def complete(self, call: Callable[..., T]) -> Callable[..., T]:
        """The call itself."""
        return call

    def stream(self, call: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
        """The call itself."""
        return call

    def attribute(self, metadata: dict[str, str]) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's
        """There is no trace to tie."""
        return nullcontext()

    def drain(self) -> None:
        """Nothing was handed over."""

    def source(self) -> str:
        """In words, because there is nothing to write."""
        return "no tracing"
