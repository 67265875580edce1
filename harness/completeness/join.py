"""Ties exchanges, calls and traces together: by call id, never by content or order.

Inside a trace, model spans are assigned to exchanges one to one by their times. What is
ambiguous is settled by a fixed rule and said in a note, so nothing is resolved silently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.completeness.search import TraceIndex, index_trace
from harness.completeness.wire import WireCall, observe
from harness.errors import CellError, UnattributedError
from harness.records import CallId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from harness.records import Call, CellRecords, Exchange, StoredSpan, StoredTrace

SPAN_TYPE = "mlflow.spanType"
SPAN_INPUTS = "mlflow.spanInputs"
SPAN_OUTPUTS = "mlflow.spanOutputs"
MODEL_SPAN_TYPES = ("CHAT_MODEL", "LLM")
UNTYPED_SPAN_TYPES = (None, "", "UNKNOWN")
"""``UNKNOWN`` is what MLflow writes where nobody gave a type."""

TIME_TOLERANCE_NS = 5_000_000
"""5 ms. Spans and the gateway read one machine's clock, but not in the same instant: an SDK may
end its span at the last event it needs while the gateway is still taking the time of its last byte."""


class Subject(NamedTuple):
    """One call with what its exchanges prove."""

    call: Call
    wire: WireCall


@dataclass(frozen=True)
class CallTrace:
    """One call's trace, as the facts are read from it.

    Attributes:
        trace: The first trace of the call.
        copies: How many traces the call has.
        span: The span that is judged; ``None`` in a trace without spans.
        root: The first span without a parent.
        roots: How many spans have no parent.
        model_spans: All spans of a model type, by start.
        matched: Model spans that have an exchange of their own.
        notes: What was ambiguous.
    """

    trace: StoredTrace
    copies: int
    span: StoredSpan | None
    root: StoredSpan | None
    roots: int
    model_spans: tuple[StoredSpan, ...]
    matched: int
    notes: tuple[str, ...] = ()

    @cached_property
    def index(self) -> TraceIndex:
        """Everything in the trace, by value; made when first asked for."""
        return index_trace(self.trace, self.span)


@dataclass(frozen=True)
class Join:
    """A cell's calls, exchanges and traces, tied together.

    Attributes:
        subjects: The calls of the completeness pass in their order.
        traces: Call id to the call's traces, the first one first.
        orphaned: Traces that belong to no call.
        notes: What did not fit, one sentence each.
    """

    subjects: tuple[Subject, ...]
    traces: dict[str, tuple[StoredTrace, ...]]
    orphaned: tuple[StoredTrace, ...]
    notes: tuple[str, ...] = field(default=())


def join_cell(records: CellRecords) -> Join:
    """Tie a cell's records together; only the completeness pass counts.

    Raises:
        UnattributedError: If an exchange carries no call id, or one that is none.
        CellError: If a call went well and yet reached no wire, or a call's own id is none.
    """
    calls = [
        call
        for call in records.calls
        if _call_phase(call) == "completeness" and CallId.parse(call.call_id).arm == "strategy"
    ]
    known = {call.call_id for call in calls}
    exchanges, stray = _exchanges_by_call(records.exchanges, known)
    notes = [f"{stray} exchange(s) carry the id of no call and were not judged"] if stray else []
    for call in calls:
        if call.outcome == "ok" and call.call_id not in exchanges:
            raise CellError(f"call {call.call_id!r} went well, but the gateway saw no exchange of it")
    subjects = tuple(Subject(call, observe(exchanges.get(call.call_id, ()))) for call in calls)
    traces, orphaned = _traces_by_call(records.traces, known if records.cell.expects_traces else frozenset())
    return Join(subjects, traces, orphaned, tuple(notes))


def look_at(subject: Subject, traces: Sequence[StoredTrace]) -> CallTrace:
    """Choose what is judged in a call's first trace.

    The judged span is the model span of the call's last exchange. Without a model span it is the
    innermost span whose times enclose that exchange, or the nearest one above it that carries
    inputs or outputs; and where no span encloses it, the root.
    """
    trace = traces[0]
    spans = sorted(trace.spans, key=_span_order)
    roots = [span for span in spans if span.parent_id is None]
    root = roots[0] if roots else (spans[0] if spans else None)
    models = [span for span in spans if is_model_span(span)]
    notes: list[str] = []
    span: StoredSpan | None
    if models:
        span, matched = _assign(subject, models, spans, notes)
    else:
        span, matched = _carrier(subject, spans, root, notes), 0
    prefix = f"call {subject.call.call_id}: "
    return CallTrace(
        trace=trace,
        copies=len(traces),
        span=span,
        root=root,
        roots=len(roots),
        model_spans=tuple(models),
        matched=matched,
        notes=tuple(prefix + note for note in notes),
    )


def is_model_span(span: StoredSpan) -> bool:
    """Whether a span says of itself that it is a call to a model."""
    return span.attributes.get(SPAN_TYPE) in MODEL_SPAN_TYPES


def end_bound_ns(subject: Subject) -> int | None:
    """When the answer was over, in nanoseconds since the epoch.

    The gateway's last byte, or the end of the call if that came first: a value that the
    application holds has arrived, whenever the gateway came to take the time.
    """
    last = subject.wire.last_byte_unix_ns
    if last is None:
        return None
    call = subject.call
    return min(last, call.start_unix_ns + (call.end_ns - call.start_ns))


def encloses(span: StoredSpan, subject: Subject, *, first: bool = True) -> bool:
    """Whether a span's times enclose the wire's, within the tolerance.

    Args:
        span: Any span.
        subject: The call.
        first: From the first exchange's request on, instead of the last exchange's.
    """
    wire = subject.wire
    begin = wire.first_received_unix_ns if first else wire.received_unix_ns
    end = end_bound_ns(subject)
    if begin is None or span.start_unix_ns > begin + TIME_TOLERANCE_NS:
        return False
    return span.end_unix_ns is not None and (end is None or span.end_unix_ns >= end - TIME_TOLERANCE_NS)


def _assign(
    subject: Subject, models: list[StoredSpan], spans: list[StoredSpan], notes: list[str]
) -> tuple[StoredSpan, int]:
    """The model span of the last exchange, and how many model spans have an exchange of their own."""
    attempts = subject.wire.attempts
    if len(models) == 1:
        return models[0], min(1, attempts)
    if len(models) == attempts and _disjoint(models) and encloses(models[-1], subject, first=False):
        return models[-1], attempts
    enclosing = [span for span in models if encloses(span, subject, first=False)]
    chosen = _innermost(enclosing or models, spans)
    how = "the innermost" if len(chosen) == 1 else "ambiguous among siblings; the first of them"
    if not enclosing:
        how = "none of them encloses the last exchange; " + how
    notes.append(f"{len(models)} model spans for {attempts} exchange(s): {how}, span {chosen[0].span_id}, is judged")
    return chosen[0], min(1, attempts)


def _carrier(subject: Subject, spans: list[StoredSpan], root: StoredSpan | None, notes: list[str]) -> StoredSpan | None:
    enclosing = [span for span in spans if encloses(span, subject, first=False)]
    if not enclosing:
        return root
    leaves = _innermost(enclosing, spans)
    if len(leaves) > 1:
        notes.append(
            f"no model span, and {len(leaves)} spans could be the last exchange's: "
            f"the first of them, span {leaves[0].span_id}, is judged"
        )
    by_id = {span.span_id: span for span in spans}
    one: StoredSpan | None = leaves[0]
    seen: set[str] = set()
    while one is not None and one.span_id not in seen:
        if _carries(one):
            return one
        seen.add(one.span_id)
        one = by_id.get(one.parent_id or "")
    return root


def _carries(span: StoredSpan) -> bool:
    return span.attributes.get(SPAN_INPUTS) is not None or span.attributes.get(SPAN_OUTPUTS) is not None


def _innermost(candidates: list[StoredSpan], spans: list[StoredSpan]) -> list[StoredSpan]:
    """Those candidates that are no ancestor of another candidate, by start."""
    parents = {span.span_id: span.parent_id for span in spans}
    above: set[str] = set()
    for span in candidates:
        parent = span.parent_id
        while parent is not None and parent not in above:
            above.add(parent)
            parent = parents.get(parent)
    return [span for span in candidates if span.span_id not in above] or candidates


def _disjoint(spans: list[StoredSpan]) -> bool:
    """Whether spans, sorted by start, follow one another."""
    return all(
        a.end_unix_ns is not None and a.end_unix_ns <= b.start_unix_ns + TIME_TOLERANCE_NS for a, b in pairwise(spans)
    )


def _exchanges_by_call(exchanges: Iterable[Exchange], known: AbstractSet[str]) -> tuple[dict[str, list[Exchange]], int]:
    by_call: dict[str, list[Exchange]] = {}
    unattributed: list[Exchange] = []
    for exchange in exchanges:
        phase = _phase(exchange.call_id)
        if phase is None or exchange.call_id is None:
            unattributed.append(exchange)
        elif phase == "completeness" and CallId.parse(exchange.call_id).arm == "strategy":
            by_call.setdefault(exchange.call_id, []).append(exchange)
    if unattributed:
        paths = ", ".join(sorted({one.path for one in unattributed}))
        raise UnattributedError(f"{len(unattributed)} exchange(s) reached the gateway without a call id, on {paths}")
    stray = sum(len(found) for call_id, found in by_call.items() if call_id not in known)
    return by_call, stray


def _traces_by_call(
    traces: Iterable[StoredTrace], known: AbstractSet[str]
) -> tuple[dict[str, tuple[StoredTrace, ...]], tuple[StoredTrace, ...]]:
    by_call: dict[str, list[StoredTrace]] = {}
    orphaned = []
    for trace in traces:
        if trace.call_id is not None and trace.call_id in known:
            by_call.setdefault(trace.call_id, []).append(trace)
        elif _phase(trace.call_id) != "timing":
            orphaned.append(trace)
    return {key: tuple(sorted(found, key=_trace_order)) for key, found in by_call.items()}, tuple(orphaned)


def _trace_order(trace: StoredTrace) -> tuple[Any, ...]:
    return (not trace.spans, min((span.start_unix_ns for span in trace.spans), default=0), trace.trace_id)


def _span_order(span: StoredSpan) -> tuple[Any, ...]:
    return (span.start_unix_ns, span.span_id)


def _phase(call_id: str | None) -> str | None:
    try:
        return CallId.parse(call_id or "").phase
    except ValueError:
        return None


def _call_phase(call: Call) -> str:
    phase = _phase(call.call_id)
    if phase is None:
        raise CellError(f"a call of sample {call.sample_id!r} has no valid id: {call.call_id!r}")
    return phase
