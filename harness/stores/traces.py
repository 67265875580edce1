"""Stored traces: searched page by page, and read back into records.

MLflow moves files (images, audio) out of a trace into attachments and leaves a reference. An attachment
is read with its trace: what it really holds is noted on the reference, as ``sha256`` of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace

from harness.records import CALL_ID_METADATA, SpanEvent, StoredSpan, StoredTrace

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Span, Trace
    from mlflow.tracking import MlflowClient

PAGE = 200
_REFERENCE = re.compile(r"mlflow-attachment://([0-9a-f-]+)\?[^\s\"'\\]+")


def search(
    client: MlflowClient,
    experiment_ids: list[str],
    filter_string: str | None,
    *,
    include_spans: bool,
    run_id: str | None = None,
) -> list[Trace]:
    """All traces of some experiments that match, or that a run has been linked to."""
    found: list[Trace] = []
    token = None
    while True:
        page = client.search_traces(
            locations=experiment_ids,
            filter_string=filter_string,
            max_results=PAGE,
            page_token=token,
            run_id=run_id,
            include_spans=include_spans,
        )
        found.extend(page)
        token = page.token
        if not token:
            return found


def with_attachments(trace: StoredTrace, read: Callable[[str], bytes]) -> StoredTrace:
    """A trace whose references to attachments say what the attachments hold.

    Args:
        trace: As it was read back.
        read: Gives the bytes of one of the trace's attachments by its id; whatever it raises means that
            the attachment is not there, and the reference then stays as it is.
    """

    def noted(reference: re.Match[str]) -> str:
        try:
            data = read(reference.group(1))
        except Exception:  # noqa: BLE001  # each kind of artifact store has errors of its own
            return reference.group(0)
        return f"{reference.group(0)}&sha256={hashlib.sha256(data).hexdigest()}"

    text = trace.model_dump_json()
    return StoredTrace.model_validate_json(_REFERENCE.sub(noted, text)) if _REFERENCE.search(text) else trace


def attachments_of(trace: Trace) -> Callable[[str], bytes]:
    """Reads a trace's attachments by their ids; MLflow has no public way."""
    return lambda name: get_artifact_repository(get_artifact_uri_for_trace(trace.info)).download_trace_attachment(name)


def stored_trace(trace: Trace) -> StoredTrace:
    """A trace as MLflow hands it back, as a record."""
    metadata = {str(key): str(value) for key, value in trace.info.trace_metadata.items()}
    return StoredTrace(
        trace_id=trace.info.trace_id,
        call_id=metadata.get(CALL_ID_METADATA),
        state=str(getattr(trace.info.state, "value", trace.info.state)),
        metadata=metadata,
        tags={str(key): str(value) for key, value in trace.info.tags.items()},
        spans=tuple(_stored_span(span) for span in trace.data.spans),
    )


def _stored_span(span: Span) -> StoredSpan:
    status = str(getattr(span.status.status_code, "value", span.status.status_code))
    return StoredSpan(
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        start_unix_ns=span.start_time_ns,
        end_unix_ns=span.end_time_ns,
        status=status if status in ("OK", "ERROR") else "UNSET",
        status_message=span.status.description or "",
        attributes=_plain(dict(span.attributes)),
        events=tuple(
            SpanEvent(
                name=event.name, time_unix_ns=int(event.timestamp), attributes=_plain(dict(event.attributes or {}))
            )
            for event in span.events
        ),
    )


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Only JSON data, whatever the store handed back."""
    value: dict[str, Any] = json.loads(json.dumps(attributes, default=str))
    return value


def first_start(trace: StoredTrace) -> tuple[int, str]:
    """When the trace's first span began, in nanoseconds since the epoch, for sorting."""
    return (min((span.start_unix_ns for span in trace.spans), default=0), trace.trace_id)
