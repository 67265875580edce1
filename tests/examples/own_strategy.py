"""A strategy of one's own: a bare span around each call, and a tag that says which team made it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import mlflow

from harness.tracing.base import MLflowTracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def traced(call: Callable[..., Any]) -> Callable[..., Any]:
    """A span around a call with a single answer."""

    def chat(**request: Any) -> Any:
        with mlflow.start_span("chat", span_type="CHAT_MODEL") as span:
            mlflow.update_current_trace(tags={"team": "search"})
            span.set_inputs(request)
            value = call(**request)
            span.set_outputs(value)
            return value

    return chat


class TeamTag(MLflowTracing):
    """``tracing.name=team-tag tracing.target=own_strategy.py:TeamTag``."""

    name = "team-tag"

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        """There is only one way to do it."""

    def complete(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call in a span."""
        return traced(call)

    def stream(self, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A stream's chunks are collected first: its span would otherwise end too early."""
        return traced(lambda **request: list(call(**request)))

    def source(self) -> str:
        """What the report prints."""
        return inspect.getsource(traced)
