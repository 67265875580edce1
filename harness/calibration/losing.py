"""A strategy that loses a known number of its traces, whole or by halves: they are made, ended, and not stored."""

from __future__ import annotations

import inspect
import random
import re
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.tracing.export.mlflow_v3 import MlflowV3SpanExporter

from harness.errors import ConfigError
from harness.providers.callid import CALL_ID
from harness.records import CallId
from harness.tracing.base import MLflowTracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.providers import Operation, Provider

WRITES = ("log_spans", "log_trace")
"""How MLflow's exporter names the two writes that make up a trace: first its spans, then the trace itself."""
_STYLE = re.compile(r"(\d+)of(\d+)|(log_spans|log_trace)-(\d+)in(\d+)")


class LosingTracing(MLflowTracing):
    """A span around each call; of some traces the exporter's writes to the store are dropped.

    Args:
        style: ``3of12``: of so many of its first calls each process drops both writes; which ones is chance, the
            same in each process. Further calls lose nothing. ``log_trace-1in3`` or ``log_spans-1in3``: of any
            call, with that chance, only the write of that name is dropped, so that half of the trace is stored;
            which ones follows from the call's place in the cell.
        depth: Empty.
    """

    name = "losing"
    streams_are_generators = True

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        found = _STYLE.fullmatch(style)
        lost, calls = (int(found[1] or found[4]), int(found[2] or found[5])) if found else (1, 0)
        if found is None or depth or lost > calls:
            raise ConfigError(
                "planted losses are given as tracing.style, such as 3of12, log_trace-1in3 or log_spans-1in3, "
                f"but got {style or depth!r}"
            )
        self._style = style
        self._writes = (found[3],) if found[3] else WRITES
        self._chance = lost / calls if found[3] else None
        self._first_calls = set() if found[3] else set(random.Random(style).sample(range(calls), lost))  # noqa: S311
        self._calls = 0
        self._chosen: set[str] = set()
        self._dropped: set[str] = set()

    @property
    def planted_losses(self) -> int:
        """How many traces have lost a write so far."""
        return len(self._dropped)

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Say where traces go, and have the exporter drop what is to be lost."""
        super().install(provider, tracking_uri, experiment)
        exporters: Any = MlflowV3SpanExporter
        if "log_trace" in self._writes:
            exporters._log_trace = self._dropping_traces(exporters._log_trace)  # noqa: SLF001  # no public way
        if "log_spans" in self._writes:
            exporters._log_spans = self._dropping_spans(exporters._log_spans)  # noqa: SLF001
            # Spans that did not reach the database are put into a file instead, unless that is lost, too.
            in_file = exporters._should_log_spans_to_artifacts  # noqa: SLF001
            exporters._should_log_spans_to_artifacts = lambda exporter, info: (  # noqa: SLF001
                info.trace_id not in self._dropped and in_file(exporter, info)
            )

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
                self._choose(span.trace_id)
                return call(**request)

        return traced

    def stream(self, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A stream in a span."""

        def traced(**request: Any) -> Iterator[Any]:
            with mlflow.start_span("ask") as span:
                self._choose(span.trace_id)
                yield from call(**request)

        return traced

    def source(self) -> str:
        """The class."""
        return inspect.getsource(type(self))

    def _choose(self, trace_id: str) -> None:
        """Say whether this call's trace is to lose something."""
        if self._calls in self._first_calls if self._chance is None else is_chosen(self._style, self._chance):
            self._chosen.add(trace_id)
        self._calls += 1

    def _is_lost(self, trace_id: str) -> bool:
        """Whether a write of this trace is to be dropped; it is noted as dropped."""
        if trace_id in self._chosen:
            self._dropped.add(trace_id)
        return trace_id in self._chosen

    def _dropping_traces(self, log_trace: Callable[..., None]) -> Callable[..., None]:
        def log_others(exporter: Any, trace: Any, *more: Any, **named: Any) -> None:
            if not self._is_lost(trace.info.trace_id):
                log_trace(exporter, trace, *more, **named)

        return log_others

    def _dropping_spans(self, log_spans: Callable[..., None]) -> Callable[..., None]:
        def log_others(exporter: Any, experiment_id: str, spans: Sequence[Any], *more: Any, **named: Any) -> None:
            if others := [span for span in spans if not self._is_lost(span.trace_id)]:
                log_spans(exporter, experiment_id, others, *more, **named)

        return log_others


def is_chosen(style: str, chance: float, call_id: str | None = None) -> bool:
    """Whether a call loses a write: chance that follows from what is planted and from the call's place in the cell.

    Args:
        style: What is planted.
        chance: How likely it is.
        call_id: The call; the one that is under way if not given.
    """
    call = CallId.parse(call_id or CALL_ID.get() or "")
    place = f"{style}/{call.phase}/{call.fork}/{call.repetition}"
    return random.Random(place).random() < chance  # noqa: S311  # the same each time
