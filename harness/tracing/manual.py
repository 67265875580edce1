"""Manual tracing with MLflow's fluent API, by style and depth."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from harness.config import DEPTHS, STYLES
from harness.errors import unknown_option
from harness.tracing import context, decorator, spans, wrapper
from harness.tracing.base import MLflowTracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.providers import Provider

T = TypeVar("T")

MODULES = {"decorator": decorator, "wrapper": wrapper, "context": context}


class ManualTracing(MLflowTracing):
    """What a person would write around a call, bare (``plain``) or described (``careful``).

    A request has to hold ``messages``, which the decorated function takes by name.
    """

    name = "manual"

    def __init__(self, *, style: str, depth: str) -> None:
        if style not in STYLES:
            raise unknown_option("style", style, "tracing.style", STYLES)
        if depth not in DEPTHS:
            raise unknown_option("depth", depth, "tracing.depth", DEPTHS)
        self._careful = depth == "careful"
        self._trace_complete = getattr(MODULES[style], f"{depth}_complete")
        self._trace_stream = getattr(MODULES[style], f"{depth}_stream")
        self._arguments: tuple[Any, ...] = ()

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Say where traces go; careful tracing asks the provider what an answer shows."""
        super().install(provider, tracking_uri, experiment)
        self._arguments = (provider,) if self._careful else ()

    def complete(self, call: Callable[..., T]) -> Callable[..., T]:
        """The call, traced for a single answer."""
        traced: Callable[..., T] = self._trace_complete(call, *self._arguments)
        return traced

    def stream(self, call: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
        """The call, traced for a stream."""
        traced: Callable[..., Iterator[T]] = self._trace_stream(call, *self._arguments)
        return traced

    def source(self) -> str:
        """The functions of this style and depth, as they stand in their module."""
        functions = [self._trace_complete, self._trace_stream]
        helpers = [spans.note_request, spans.note_answer] if self._careful else []
        return "\n\n".join(inspect.getsource(function) for function in [*helpers, *functions])
