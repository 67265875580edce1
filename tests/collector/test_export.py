"""MLflow's export over OTLP beside its store: what arrives, and what a collector that fails does to an application."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from harness.collector.process import Collector
from harness.collector.spans import ReceivedSpan, mlflow_trace_id, stored_traces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import NamedTuple

    class Exported(NamedTuple):
        """As in ``conftest``, which tests do not import."""

        seen: dict[str, Any]
        stored: dict[str, str]
        span_ids: set[str]
        spans: list[ReceivedSpan]


TEXTS = ["It is Paris, I think.", "Once upon a time."]


def test_the_same_traces_are_in_both(exported: Exported) -> None:
    """The store and the collector have the same traces under the same ids, with the same spans."""
    assert exported.seen["texts"] == TEXTS
    assert len(exported.stored) == 2
    assert {mlflow_trace_id(span.trace_id) for span in exported.spans} == set(exported.stored)
    assert {span.span_id for span in exported.spans} == exported.span_ids


def test_traces_know_their_calls(exported: Exported) -> None:
    """Received traces are tied to calls through the store's traces, and are in the order of the calls."""
    traces = stored_traces(exported.spans, exported.stored)
    assert [(trace.call_id or "").split("/")[5] for trace in traces] == ["capital", "story"]
    assert [trace.source for trace in traces] == ["otlp", "otlp"]
    assert [trace.state for trace in traces] == ["OK", "OK"]


def test_attributes_are_the_conventions(exported: Exported) -> None:
    """What arrives is in OpenTelemetry's words, with numbers as numbers, and in none of MLflow's."""
    single, stream = stored_traces(exported.spans, exported.stored)
    (span,) = single.spans
    assert span.parent_id is None
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["gen_ai.request.model"].startswith("gpt-4o-mini")
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert span.attributes["gen_ai.request.max_tokens"] == 40
    assert isinstance(span.attributes["gen_ai.usage.input_tokens"], int)
    assert isinstance(json.loads(span.attributes["gen_ai.input.messages"]), list)
    for one in (*single.spans, *stream.spans):
        assert not [key for key in one.attributes if key.startswith("mlflow.")]
        assert one.end_unix_ns is not None
        assert one.start_unix_ns < one.end_unix_ns


def test_a_dead_collector_costs_no_trace(export: Callable[..., Any], tmp_path: Path) -> None:
    """Where nothing listens, the application goes on, the drain ends, and the store has everything."""
    collector = Collector.start(tmp_path / "spans.jsonl")
    os.kill(collector.pid, signal.SIGKILL)
    collector._process.wait(30)
    seen, stored, _ = export(collector.endpoint_url, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="1")
    collector._process.communicate()
    collector._log.close()
    assert seen["texts"] == TEXTS
    assert len(stored) == 2


def test_a_silent_collector_costs_no_trace(export: Callable[..., Any], silent_url: str) -> None:
    """Where connections are taken and never answered, it is the same."""
    seen, stored, _ = export(silent_url, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="1")
    assert seen["texts"] == TEXTS
    assert len(stored) == 2


def span(trace_id: str, span_id: str, parent_id: str | None = None, **more: Any) -> ReceivedSpan:
    """A span that differs from others in what matters."""
    known: dict[str, Any] = {"start_unix_ns": 2, "end_unix_ns": 3, "status": "OK", "attributes": {}}
    fields = {"name": span_id, "kind": "INTERNAL", "resource": {}, **known, **more}
    return ReceivedSpan(trace_id=trace_id, span_id=span_id, parent_id=parent_id, **fields)


def test_spans_are_put_together_whatever_their_order() -> None:
    """Spans of several traces that came mixed, and one that came twice, are as if they had come in order."""
    spans = [
        span("b", "2", "1", start_unix_ns=6),
        span("a", "1", start_unix_ns=1),
        span("b", "1", start_unix_ns=5, status="UNSET"),
        span("b", "1", start_unix_ns=5, status="ERROR"),
    ]
    first, second = stored_traces(spans, {"tr-a": "the call"})
    assert (first.trace_id, first.call_id, first.state) == ("tr-a", "the call", "OK")
    assert (second.trace_id, second.call_id, second.state) == ("tr-b", None, "ERROR")
    assert [(one.span_id, one.parent_id) for one in second.spans] == [("1", None), ("2", "1")]


def test_a_trace_without_its_root_is_unfinished() -> None:
    """Where only children came, the trace is still in progress, as the store would say."""
    (trace,) = stored_traces([span("a", "2", "1")])
    assert trace.state == "IN_PROGRESS"


def test_mlflows_own_attributes_are_decoded() -> None:
    """Without the conventions MLflow sends its own attributes as JSON texts; others stay as they came."""
    attributes = {"mlflow.spanInputs": '{"a": 1}', "mlflow.odd": "no json", "gen_ai.input.messages": "[1]"}
    (trace,) = stored_traces([span("a", "1", attributes={**attributes, "mlflow.traceTag.team": "search"})])
    assert trace.spans[0].attributes["mlflow.spanInputs"] == {"a": 1}
    assert trace.spans[0].attributes["mlflow.odd"] == "no json"
    assert trace.spans[0].attributes["gen_ai.input.messages"] == "[1]"
    assert trace.tags == {"team": "search"}
