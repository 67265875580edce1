"""OTLP's export requests, in protobuf or JSON, as received spans."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any, Literal

from google.protobuf.json_format import Parse, ParseError  # type: ignore[import-untyped]  # no stubs
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness.collector.spans import ReceivedSpan
from harness.records import SpanEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_STATUS: tuple[Literal["UNSET", "OK", "ERROR"], ...] = ("UNSET", "OK", "ERROR")
_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


class BadExportError(Exception):
    """A request that is no export of traces.

    Attributes:
        status: The HTTP status to answer with.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_export(body: bytes, content_type: str, content_encoding: str) -> list[ReceivedSpan]:
    """The spans of an export request.

    Raises:
        BadExportError: If the request is of no known type or encoding, or cannot be read.
    """
    plain = _decompressed(body, content_encoding)
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise BadExportError(415, f"content type {content_type!r} is neither {PROTOBUF} nor {JSON}")
    try:
        request = ExportTraceServiceRequest.FromString(plain) if kind == PROTOBUF else _from_json(plain)
    except (DecodeError, ParseError, ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise BadExportError(400, f"the body is no export request: {error}") from error
    return [
        _received(span, scoped.scope.name, _attributes(resource.resource.attributes))
        for resource in request.resource_spans
        for scoped in resource.scope_spans
        for span in scoped.spans
    ]


def _decompressed(body: bytes, encoding: str) -> bytes:
    try:
        match encoding.strip().lower():
            case "" | "identity":
                return body
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise BadExportError(400, f"the body is not {encoding}: {error}") from error
    raise BadExportError(415, f"content encoding {encoding!r} is none of gzip, deflate, identity")


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    """OTLP writes ids in hexadecimal where protobuf's JSON has base64."""
    data = json.loads(body)
    for resource in data.get("resourceSpans") or ():
        for scoped in resource.get("scopeSpans") or ():
            for span in scoped.get("spans") or ():
                for one in (span, *(span.get("links") or ())):
                    for key in ("traceId", "spanId", "parentSpanId"):
                        if one.get(key):
                            one[key] = base64.b64encode(bytes.fromhex(one[key])).decode()
    request = ExportTraceServiceRequest()
    Parse(json.dumps(data), request, ignore_unknown_fields=True)
    return request


def _received(span: Span, scope: str, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name,
        kind=_named(_KINDS, span.kind),
        start_unix_ns=span.start_time_unix_nano,
        end_unix_ns=span.end_time_unix_nano or None,
        status=_STATUS[span.status.code] if span.status.code < len(_STATUS) else "UNSET",
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        events=tuple(
            SpanEvent(name=event.name, time_unix_ns=event.time_unix_nano, attributes=_attributes(event.attributes))
            for event in span.events
        ),
        scope=scope,
        resource=resource,
    )


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    """A value as JSON data; bytes, for which JSON has no form, in base64."""
    match kind := value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case _:
            return getattr(value, kind)
