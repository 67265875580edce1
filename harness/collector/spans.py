"""Spans as a collector received them, and the traces that they make up."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

from harness.records import Record, SpanEvent, StoredSpan, StoredTrace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TAG_PREFIX = "mlflow.traceTag."


class ReceivedSpan(Record):
    """One span of an export request.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: The same, or ``None`` for a root.
        kind: OpenTelemetry's kind of span, such as ``"CLIENT"``.
        end_unix_ns: ``None`` where none was sent.
        attributes: As they were sent, as JSON data.
        scope: Name of the instrumentation that made the span.
        resource: Attributes of the resource, such as ``service.name``.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_unix_ns: int
    end_unix_ns: int | None
    status: Literal["OK", "ERROR", "UNSET"]
    status_message: str = ""
    attributes: dict[str, Any]
    events: tuple[SpanEvent, ...] = ()
    scope: str = ""
    resource: dict[str, Any]


def stored_traces(spans: Iterable[ReceivedSpan], call_ids: Mapping[str, str] | None = None) -> list[StoredTrace]:
    """The traces that received spans make up, in the order of their first spans.

    OTLP knows spans alone, so a trace has no metadata, and its call is known only through the store's
    trace of the same id. An exporter may send a span again when an answer was late: the last one counts.

    Args:
        spans: What was received, in any order.
        call_ids: MLflow trace id to call id, from the store's traces.
    """
    known = call_ids or {}
    by_trace: defaultdict[str, dict[str, ReceivedSpan]] = defaultdict(dict)
    for span in spans:
        by_trace[span.trace_id][span.span_id] = span
    found = [_trace(mlflow_trace_id(trace_id), list(one.values()), known) for trace_id, one in by_trace.items()]
    return sorted(found, key=lambda trace: (trace.spans[0].start_unix_ns, trace.trace_id))


def mlflow_trace_id(trace_id: str) -> str:
    """The id under which MLflow's store has the trace with this OpenTelemetry id."""
    return f"tr-{trace_id}"


def _trace(trace_id: str, spans: list[ReceivedSpan], call_ids: Mapping[str, str]) -> StoredTrace:
    spans.sort(key=lambda span: (span.start_unix_ns, span.parent_id is not None, span.span_id))
    roots = [span for span in spans if span.parent_id is None]
    tags = {
        key.removeprefix(_TAG_PREFIX): str(value)
        for span in roots
        for key, value in span.attributes.items()
        if key.startswith(_TAG_PREFIX)
    }
    return StoredTrace(
        trace_id=trace_id,
        call_id=call_ids.get(trace_id),
        source="otlp",
        state=_state(roots),
        metadata={},
        tags=tags,
        spans=tuple(_span(span) for span in spans),
    )


def _state(roots: list[ReceivedSpan]) -> str:
    if not roots:
        return "IN_PROGRESS"
    return "ERROR" if any(root.status == "ERROR" for root in roots) else "OK"


def _span(span: ReceivedSpan) -> StoredSpan:
    return StoredSpan(
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        start_unix_ns=span.start_unix_ns,
        end_unix_ns=span.end_unix_ns,
        status=span.status,
        status_message=span.status_message,
        attributes={
            key: _decoded(value) if key.startswith("mlflow.") else value for key, value in span.attributes.items()
        },
        events=span.events,
    )


def _decoded(value: Any) -> Any:
    """MLflow writes its own attributes as JSON texts; the store's reader decodes them too."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
