"""Traces of a throwaway SQLite store, counted by SQL: quickly, and whichever version of MLflow wrote them.

MLflow writes a trace twice: its spans (``log_spans``) and the trace itself with its metadata and tags
(``start_trace``). Either write makes the trace's row if it is not there, and either may be lost while the
other arrives; so a row says only that something arrived. What ``start_trace`` alone writes is the version of
the trace's schema, in the metadata, from MLflow 3.0 to today's; what ``log_spans`` alone writes is the spans.
A store that has no spans when ``start_trace`` comes gets them from MLflow in a file among the trace's
artifacts, so such a trace is whole as well.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness.records import CALL_ID_METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPANS_FILE = "traces.json"
_TRACES = """
SELECT
    EXISTS (
        SELECT 1 FROM spans
        WHERE trace_id = trace.request_id AND parent_span_id IS NULL AND end_time_unix_nano IS NOT NULL
    ),
    EXISTS (
        SELECT 1 FROM trace_request_metadata
        WHERE request_id = trace.request_id AND key = 'mlflow.trace_schema.version'
    ),
    EXISTS (
        SELECT 1 FROM trace_tags
        WHERE request_id = trace.request_id AND key = 'mlflow.trace.spansLocation' AND value = 'TRACKING_STORE'
    ),
    (SELECT value FROM trace_tags WHERE request_id = trace.request_id AND key = 'mlflow.artifactLocation'),
    (SELECT value FROM trace_request_metadata WHERE request_id = trace.request_id AND key = :call_id),
    status
FROM trace_info AS trace
"""


class TraceCount(NamedTuple):
    """How many traces a store holds.

    Attributes:
        begun: Those of which anything was written.
        whole: Those of which both writes arrived, and whose root span has ended.
    """

    begun: int
    whole: int

    def against(self, expected: int | None) -> tuple[int, int]:
        """Traces that should be there, and those that count as stored.

        Where none should be there, whatever is left of any counts.

        Args:
            expected: Traces that should be there; ``None`` where chance decides: what was begun should then be whole.
        """
        if expected is None:
            return self.begun, self.whole
        return expected, self.whole if expected else self.begun

    def since(self, before: TraceCount) -> TraceCount:
        """What has come since an earlier count."""
        return TraceCount(self.begun - before.begun, self.whole - before.whole)


class _Stored(NamedTuple):
    """What is there of one trace; the columns of the query."""

    has_ended_root: bool
    has_info: bool
    has_spans: bool
    artifacts_uri: str | None
    call_id: str | None
    status: str


def count_traces(path: Path, *, spans_alone: bool = False) -> TraceCount:
    """Count the traces in an arm's own SQLite store, once the arm has drained.

    Args:
        path: The store.
        spans_alone: Whether the strategy says that it does not have MLflow write the trace itself (it sends spans
            over OTLP, for instance), so that its traces need their root alone. What is in the store cannot tell: one
            where every second write was lost looks the same.
    """
    found = _traces(path)
    return TraceCount(len(found), len(_whole(found, spans_alone=spans_alone)))


def whole_calls(path: Path) -> frozenset[str]:
    """The ids of the calls that have a whole trace, of those traces that were tied to their calls.

    What ties a trace to its call comes with the write of the trace itself, so spans alone make none.
    """
    return frozenset(one.call_id for one in _whole(_traces(path)) if one.call_id is not None)


def _traces(path: Path) -> list[_Stored]:
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
        return [_Stored(*row) for row in store.execute(_TRACES, {"call_id": CALL_ID_METADATA})]


def _whole(traces: Sequence[_Stored], *, spans_alone: bool = False) -> list[_Stored]:
    return [
        one
        for one in traces
        if one.status != "IN_PROGRESS" and (one.has_info or spans_alone) and (one.has_ended_root or _is_kept(one))
    ]


def _is_kept(trace: _Stored) -> bool:
    """Whether the spans that the database does not have stand in a file, with a root that has ended."""
    if trace.has_spans or trace.artifacts_uri is None:
        return False
    place = urlsplit(trace.artifacts_uri)
    if place.scheme not in ("", "file"):
        return False
    try:
        spans = json.loads((Path(url2pathname(place.path)) / _SPANS_FILE).read_bytes())["spans"]
    except (OSError, ValueError, KeyError):
        return False
    return any(not span.get("parent_span_id") and span.get("end_time_unix_nano") for span in spans)
