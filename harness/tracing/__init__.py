"""Tracing strategies behind one narrow protocol.

``none`` is a strategy like any other, so nothing else asks whether a cell is traced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from harness.providers import Provider

STRATEGIES: dict[str, str] = {
    "none": "harness.tracing.none:NoTracing",
    "manual": "harness.tracing.manual:ManualTracing",
    "autolog": "harness.tracing.autolog:Autolog",
}

T = TypeVar("T")


@runtime_checkable
class Strategy(Protocol):
    """How calls are traced.

    A strategy is made as ``Class(style=..., depth=...)`` (empty texts where they do not apply)
    in a fresh worker process, before the provider is imported.

    Attributes:
        name: How the strategy is called in runs and reports.
        expects_traces: Whether it should leave exactly one trace a call.
    """

    name: str
    expects_traces: bool

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Turn tracing on in this process, after the provider was made.

        ``tracking_uri`` and ``experiment`` say where traces go.
        """

    def complete(self, call: Callable[..., T]) -> Callable[..., T]:
        """The function that the application calls for a single answer, traced."""

    def stream(self, call: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
        """The function that the application calls for a stream, traced."""

    def attribute(self, metadata: dict[str, str]) -> AbstractContextManager[None]:
        """Tie traces begun inside to their call by trace metadata, without adding a span."""

    def drain(self) -> None:
        """Wait until everything that was handed over is stored."""

    def source(self) -> str:
        """The strategy's source text as a report prints it: what a user would have to write."""


def strategy_label(config: Any) -> str:
    """Style and depth of manual tracing in one text, such as ``decorator/plain``; else empty."""
    return "/".join(part for part in (config.style, config.depth) if part)
