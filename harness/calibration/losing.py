"""A strategy that loses a known number of its traces: they are made, ended, and never stored."""

from __future__ import annotations

import inspect
import random
import re
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.tracing.export.mlflow_v3 import MlflowV3SpanExporter

from harness.errors import ConfigError
from harness.tracing.base import MLflowTracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.providers import Operation, Provider

_SHARE = re.compile(r"(\d+)of(\d+)")


class LosingTracing(MLflowTracing):
    """A span around each call; the exporter drops some of them before it stores them.

    Args:
        style: How many of its first calls each process loses, such as ``3of12``; chance, the same each
            time, says which. Further calls lose nothing.
        depth: Empty.
    """

    name = "losing"
    streams_are_generators = True

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        found = _SHARE.fullmatch(style)
        if found is None or depth or int(found[1]) > int(found[2]):
            raise ConfigError(f"planted losses are given as tracing.style, such as 3of12, but got {style or depth!r}")
        lost, calls = int(found[1]), int(found[2])
        self._lost_calls = set(random.Random(style).sample(range(calls), lost))  # noqa: S311  # the same each time
        self._calls = 0
        self._lost_traces: set[int] = set()

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Say where traces go, and have the exporter drop what is to be lost."""
        super().install(provider, tracking_uri, experiment)
        exporters: Any = MlflowV3SpanExporter
        export = exporters.export
        lost = self._lost_traces

        def export_others(exporter: Any, spans: Sequence[Any]) -> None:
            export(exporter, [span for span in spans if span.context.trace_id not in lost])

        exporters.export = export_others

    def wrap(self, operation: Operation) -> Callable[..., Any]:
        """The operation, single or streamed, in a span."""
        if operation.mode == "single":
            return self.complete(operation.call)
        if operation.mode == "stream":
            return self.stream(operation.call)
        raise NotImplementedError(f"the losing strategy does not trace {operation.name!r}")

    def complete(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A single answer in a span."""

        def traced(**request: Any) -> Any:
            with mlflow.start_span("ask") as span:
                self._choose(span)
                return call(**request)

        return traced

    def stream(self, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A stream in a span."""

        def traced(**request: Any) -> Iterator[Any]:
            with mlflow.start_span("ask") as span:
                self._choose(span)
                yield from call(**request)

        return traced

    def source(self) -> str:
        """The class."""
        return inspect.getsource(type(self))

    def _choose(self, span: Any) -> None:
        """Say whether this call's trace is to be lost."""
        if self._calls in self._lost_calls:
            self._lost_traces.add(span._span.context.trace_id)  # noqa: SLF001  # MLflow shows its own id only
        self._calls += 1
