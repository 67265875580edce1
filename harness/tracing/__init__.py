"""Tracing strategies behind one narrow protocol.

``none`` is a strategy like any other, so nothing else asks whether a cell is traced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from harness.providers import Operation, Provider

STRATEGIES: dict[str, str] = {
    "none": "harness.tracing.none:NoTracing",
    "manual": "harness.tracing.manual:ManualTracing",
    "autolog": "harness.tracing.autolog:Autolog",
    "around": "harness.tracing.around:ManualAroundAutolog",
    "both": "harness.tracing.both:BothAutologs",
}

T = TypeVar("T")


@runtime_checkable
class Strategy(Protocol):
    """How calls are traced.

    A strategy is made as ``Class(style=..., depth=...)`` (empty texts where they do not apply)
    in a fresh worker process, before the provider is imported.

    It may also have:

    - ``flows``: whether it puts a span of its own around what a scenario does: ``"never"`` (the default),
      ``"several"`` (where a scenario makes several calls, as an application that traces by hand would), or
      ``"always"``. Then the calls inside belong into that one trace.
    - ``flow(function)``: the function, a plain one or a coroutine function of one text, in such a span.
    - ``wrap(operation)``: the function that the application calls for an operation of any mode, traced.
      Without it ``complete`` and ``stream`` are used, and asynchronous operations are not applicable.
    - ``take_planted_ns()``: in a calibration, the delays that it added to each call since the last time.
    - ``planted_losses``: in a calibration, how many traces it kept from being stored whole, once it has drained.
    - ``spans_alone``: ``True`` where it has spans sent without MLflow's own write of the trace, over OTLP for
      instance: its stored traces need no more than their root.
    - ``streams_are_generators``: ``True`` where the application itself writes a generator around the SDK's
      stream; its type is then the application's choice, and no change by tracing.

    Attributes:
        name: How the strategy is called in runs and reports.
        expects_traces: Whether it should leave exactly one trace a call, or a flow where it wraps flows.
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


def traced(strategy: Strategy, operation: Operation) -> Callable[..., Any]:
    """The function that the application calls for an operation under a strategy.

    Raises:
        NotImplementedError: If the strategy does not say how it traces an operation of this mode.
    """
    wrap = getattr(strategy, "wrap", None)
    if wrap is not None:
        wrapped: Callable[..., Any] = wrap(operation)
        return wrapped
    if operation.mode == "single":
        return strategy.complete(operation.call)
    if operation.mode == "stream":
        return strategy.stream(operation.call)
    raise NotImplementedError(f"the strategy {strategy.name!r} does not trace asynchronous calls")


def strategy_label(config: Any) -> str:
    """Style and depth of manual tracing in one text, such as ``decorator/plain``; else empty."""
    return "/".join(part for part in (config.style, config.depth) if part)
