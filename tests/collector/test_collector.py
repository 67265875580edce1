"""The collector over HTTP: what it takes, what it refuses, and how it starts and ends."""

from __future__ import annotations

import gzip
import json
import os
import signal
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from harness.collector.otlp import PROTOBUF
from harness.collector.process import Collector
from harness.collector.settings import CollectorConfig
from harness.errors import CollectorError

if TYPE_CHECKING:
    from pathlib import Path

TRACE_ID, SPAN_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
SPAN_JSON = {
    "traceId": TRACE_ID.upper(),
    "spanId": SPAN_ID,
    "parentSpanId": PARENT_ID,
    "name": "chat gpt-4o",
    "kind": 3,
    "startTimeUnixNano": "1700000000000000001",
    "endTimeUnixNano": "1700000001000000002",
    "attributes": [
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "27"}},
        {"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.5}},
        {"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}},
    ],
    "events": [
        {
            "name": "exception",
            "timeUnixNano": "1700000000500000000",
            "attributes": [{"key": "exception.type", "value": {"stringValue": "ValueError"}}],
        }
    ],
    "status": {"code": 2, "message": "it broke"},
    "aFieldOfTheFuture": True,
}
BODY_JSON: dict[str, Any] = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "app"}}]},
            "scopeSpans": [{"scope": {"name": "mlflow"}, "spans": [SPAN_JSON]}],
        }
    ]
}


def proto_body(*, values: dict[str, AnyValue] | None = None) -> bytes:
    """The same span in protobuf, or one with these attributes."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="app")))
    scoped = resource.scope_spans.add()
    scoped.scope.name = "mlflow"
    span = scoped.spans.add(
        trace_id=bytes.fromhex(TRACE_ID),
        span_id=bytes.fromhex(SPAN_ID),
        parent_span_id=bytes.fromhex(PARENT_ID),
        name="chat gpt-4o",
        kind=3,
        start_time_unix_nano=1700000000000000001,
        end_time_unix_nano=1700000001000000002,
    )
    span.status.code, span.status.message = 2, "it broke"
    known = {
        "gen_ai.request.model": AnyValue(string_value="gpt-4o"),
        "gen_ai.usage.input_tokens": AnyValue(int_value=27),
        "gen_ai.request.temperature": AnyValue(double_value=0.5),
        "gen_ai.response.finish_reasons": AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="stop")])),
    }
    for key, value in (known if values is None else values).items():
        span.attributes.append(KeyValue(key=key, value=value))
    event = span.events.add(name="exception", time_unix_nano=1700000000500000000)
    event.attributes.append(KeyValue(key="exception.type", value=AnyValue(string_value="ValueError")))
    return bytes(request.SerializeToString())


def post(collector: Collector, body: bytes, kind: str = "application/x-protobuf", encoding: str = "") -> httpx.Response:
    """One export request."""
    headers = {"content-type": kind} | ({"content-encoding": encoding} if encoding else {})
    return httpx.post(collector.endpoint_url, content=body, headers=headers, timeout=30, trust_env=False)


def test_protobuf_and_json_say_the_same(collector: Collector) -> None:
    """Both forms of one span are the same record, whatever the compression, and each gets its own answer."""
    as_json = json.dumps(BODY_JSON).encode()
    answers = [
        post(collector, proto_body()),
        post(collector, gzip.compress(proto_body()), encoding="gzip"),
        post(collector, zlib.compress(proto_body()), encoding="deflate"),
        post(collector, as_json, "application/json; charset=utf-8"),
        post(collector, gzip.compress(as_json), "application/json", "gzip"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert ExportTraceServiceResponse.FromString(answers[0].content) == ExportTraceServiceResponse()
    assert answers[3].json() == {}
    first, *others = collector.spans()
    assert len(others) == 4
    assert all(other == first for other in others)
    assert (first.trace_id, first.span_id, first.parent_id) == (TRACE_ID, SPAN_ID, PARENT_ID)
    assert (first.name, first.kind, first.status, first.status_message) == (
        "chat gpt-4o",
        "CLIENT",
        "ERROR",
        "it broke",
    )
    assert (first.start_unix_ns, first.end_unix_ns) == (1700000000000000001, 1700000001000000002)
    assert first.attributes == {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 27,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.finish_reasons": ["stop"],
    }
    assert [(event.name, event.attributes) for event in first.events] == [
        ("exception", {"exception.type": "ValueError"})
    ]
    assert (first.scope, first.resource) == ("mlflow", {"service.name": "app"})


def test_every_kind_of_value(collector: Collector) -> None:
    """Values of any kind become JSON data; a line end inside one does not break the file."""
    nested = KeyValueList(values=[KeyValue(key="deep", value=AnyValue(bool_value=False))])
    values = {
        "none": AnyValue(),
        "text": AnyValue(string_value="two\nlines\u2028and more"),
        "true": AnyValue(bool_value=True),
        "zero": AnyValue(int_value=0),
        "bytes": AnyValue(bytes_value=b"\x00\xff"),
        "empty": AnyValue(array_value=ArrayValue()),
        "map": AnyValue(kvlist_value=nested),
    }
    post(collector, proto_body(values=values))
    (span,) = collector.spans()
    assert span.attributes == {
        "none": None,
        "text": "two\nlines\u2028and more",
        "true": True,
        "zero": 0,
        "bytes": "AP8=",
        "empty": [],
        "map": {"deep": False},
    }


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "status"),
    [
        (b"\xff\xff\xff", "application/x-protobuf", "", 400),
        (b"not gzip", "application/x-protobuf", "gzip", 400),
        (b"not json", "application/json", "", 400),
        (b"[1]", "application/json", "", 400),
        (
            json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}).encode(),
            "application/json",
            "",
            400,
        ),
        (b"", "text/plain", "", 415),
        (b"", "application/x-protobuf", "br", 415),
    ],
)
def test_what_is_no_export_is_refused(collector: Collector, body: bytes, kind: str, encoding: str, status: int) -> None:
    """A request that cannot be read is answered with what is wrong, nothing is kept, and the next one is taken."""
    answer = post(collector, body, kind, encoding)
    assert answer.status_code == status
    assert answer.text
    assert collector.spans() == []
    assert post(collector, proto_body()).status_code == 200
    assert len(collector.spans()) == 1


def test_an_empty_export_is_fine(collector: Collector) -> None:
    """OTLP lets an exporter send nothing."""
    assert post(collector, b"").status_code == 200
    assert collector.spans() == []


def test_takes_all_and_keeps_nothing(tmp_path: Path) -> None:
    """While calls are timed, the collector only answers."""
    with Collector.start(tmp_path / "spans.jsonl", keep=False) as collector:
        assert post(collector, proto_body()).status_code == 200
        assert collector.spans() == []


def test_ends_with_its_spans_kept(tmp_path: Path) -> None:
    """Stopping it twice is fine, and what it received is still there."""
    collector = Collector.start(tmp_path / "spans.jsonl", cpus=tuple(os.sched_getaffinity(0)))
    post(collector, proto_body())
    collector.stop()
    collector.stop()
    assert not collector.alive()
    assert len(collector.spans()) == 1


def test_says_that_it_died(tmp_path: Path) -> None:
    """A collector that was killed is reported when it is stopped."""
    collector = Collector.start(tmp_path / "spans.jsonl")
    os.kill(collector.pid, signal.SIGKILL)
    collector._process.wait(30)
    with pytest.raises(CollectorError, match="had ended with status -9 before it was told to"):
        collector.stop()


def test_says_why_it_cannot_start(tmp_path: Path) -> None:
    """A file that cannot be written is a bad start, named in the error."""
    with pytest.raises(CollectorError, match=r"the collector could not start: .*missing.*spans\.jsonl"):
        Collector.start(tmp_path / "missing" / "spans.jsonl")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A line that is no span is not passed over."""
    with Collector.start(tmp_path / "spans.jsonl") as collector:
        (tmp_path / "spans.jsonl").write_text("{}\n", encoding="utf-8")
        with pytest.raises(CollectorError, match=r"spans\.jsonl holds a line that is no received span"):
            collector.spans()


def test_requests_are_kept_as_they_came(tmp_path: Path) -> None:
    """While calls are timed nothing is parsed: what was sent is read afterwards, whatever its form."""
    config = CollectorConfig(spans_path=tmp_path / "exports", raw=True)
    with Collector(config) as collector:
        bodies = [(proto_body(), PROTOBUF, ""), (gzip.compress(proto_body()), PROTOBUF, "gzip")]
        bodies.append((json.dumps(BODY_JSON).encode(), "application/json; charset=utf-8", ""))
        assert [post(collector, *one).status_code for one in bodies] == [200] * 3
        first, *others = collector.spans()
        assert (first.trace_id, first.parent_id, first.name) == (TRACE_ID, PARENT_ID, "chat gpt-4o")
        assert others == [first, first]
        kept = config.spans_path.read_bytes()
        assert all(body in kept for body, _, _ in bodies)
        # What is being written now counts only once it is whole.
        config.spans_path.write_bytes(kept[:-1])
        assert len(collector.spans()) == 2


def test_what_was_kept_and_is_no_export_is_named(tmp_path: Path) -> None:
    """A request that cannot be read is no trace that may be passed over."""
    with Collector(CollectorConfig(spans_path=tmp_path / "exports", raw=True)) as collector:
        assert post(collector, b"no export").status_code == 200
        with pytest.raises(CollectorError, match="was sent an export that cannot be read: the body is no export"):
            collector.spans()
