"""Ties exchanges, calls and traces together: by call id, never by content or order.

Exactly one trace is expected for a unit: a call, or, where the strategy put a span around a whole
flow, all calls of that flow. Inside a trace ``spans.find_spans`` says which span is which request's.
What is ambiguous is settled by a fixed rule and said in a note, so nothing is resolved silently.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.completeness.chunks import Piece, pieces_of
from harness.completeness.search import Searched, index_span, index_trace_level
from harness.completeness.spans import TIME_TOLERANCE_NS, Found, Subject, Tree, call_end_unix_ns, encloses, find_spans
from harness.completeness.wire import UNSEEN, CallWire, observe_call
from harness.errors import CellError, UnattributedError
from harness.records import CallId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from harness.completeness.search import TraceIndex
    from harness.records import Call, CellRecords, Exchange, StoredSpan, StoredTrace


class Unit(NamedTuple):
    """What exactly one trace is expected for.

    Attributes:
        calls: One call, or the calls of a flow that has a span of its own, by their start.
        traces: The traces that belong to them, the one that is judged first.
        flow: Whether it is such a flow.
        expected: Whether a trace is expected: not of calls that the application left or cancelled
            before anything was sent.
    """

    calls: tuple[Call, ...]
    traces: tuple[StoredTrace, ...]
    flow: bool
    expected: bool


@dataclass
class Look:
    """One trace as it is looked at: its spans in order, and their values when they are first asked for.

    Attributes:
        tree: Its spans.
        owners: The id of each assigned span to the requests that it is assigned to.
    """

    tree: Tree
    owners: dict[str, set[int]] = field(default_factory=dict)
    _indexes: dict[str, TraceIndex] = field(default_factory=dict)
    _pieces: dict[str, tuple[Piece, ...]] = field(default_factory=dict)

    def searched(self, first: StoredSpan | None, number: int) -> Searched:
        """Everything in the trace but what belongs to other requests, the judged span first."""
        spans = self.spans_of(number)
        spans.sort(key=lambda span: span is not first)
        return Searched([*map(self._index, spans), self._trace_level])

    def spans_of(self, number: int) -> list[StoredSpan]:
        """The spans that may hold something of a request: all but those that belong to others alone."""
        return [span for span in self.tree.spans if number in self.owners.get(span.span_id, (number,))]

    def pieces(self, span: StoredSpan) -> tuple[Piece, ...]:
        """A span's chunk events, read once."""
        if span.span_id not in self._pieces:
            self._pieces[span.span_id] = pieces_of(span)
        return self._pieces[span.span_id]

    def _index(self, span: StoredSpan) -> TraceIndex:
        if span.span_id not in self._indexes:
            encoded = self.tree.trace.source == "otlp"
            self._indexes[span.span_id] = index_span(span, self.pieces(span), encoded=encoded)
        return self._indexes[span.span_id]

    @cached_property
    def _trace_level(self) -> TraceIndex:
        return index_trace_level(self.tree.trace)


@dataclass
class CallTrace:
    """What a trace holds of one request, as the facts are read from it.

    Attributes:
        look: The trace.
        copies: How many traces there are for what should have one.
        found: The request's spans.
        number: The request's place among all that were looked for in the trace.
        sharers: The requests that share the trace, each with its spans.
        detached: Why the call's spans are not where the flow's trace has them; ``None`` if they are.
        trace: The trace.
        span: The span that is judged; ``None`` where none stands for the request.
        root: The first span without a parent.
    """

    look: Look
    copies: int
    found: Found
    number: int = 0
    sharers: tuple[tuple[Subject, Found], ...] = ()
    detached: str | None = None

    def __post_init__(self) -> None:
        self.trace: StoredTrace = self.look.tree.trace
        self.span: StoredSpan | None = self.found.span
        self.root: StoredSpan | None = self.look.tree.root

    @cached_property
    def index(self) -> Searched:
        """Everything in the trace that may be the request's, by value; made when first asked for."""
        return self.look.searched(self.span, self.number)

    @cached_property
    def stands_for_several(self) -> bool:
        """Whether several requests without a model span have the same span for lack of one of their own.

        What it says of one of them, or of all together, contradicts none of the others.
        """
        found = (one.span for _, one in self.sharers if not one.matched and one.span is not None)
        ids = [span.span_id for span in found]
        return not self.found.matched and self.span is not None and ids.count(self.span.span_id) > 1

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The judged span's chunk events."""
        return self.look.pieces(self.span) if self.span else ()


class Case(NamedTuple):
    """One request with what the conventions are judged on.

    Attributes:
        subject: The request.
        store: What the store's trace holds of it; ``None`` if there is no trace.
        otel: What OpenTelemetry's convention is judged on: the same, or what a collector received.
    """

    subject: Subject
    store: CallTrace | None
    otel: CallTrace | None


@dataclass(frozen=True)
class Join:
    """A cell's calls, exchanges and traces, tied together.

    Attributes:
        calls: The strategy's calls of the completeness pass in their order.
        wires: Call id to what the call sent.
        units: What one trace each is expected for.
        orphaned: Traces that belong to no call.
        received: Trace id to the trace as an OTLP collector received it; ``None`` if none was there.
        notes: What did not fit, one sentence each.
    """

    calls: tuple[Call, ...]
    wires: dict[str, CallWire]
    units: tuple[Unit, ...]
    orphaned: tuple[StoredTrace, ...]
    received: dict[str, StoredTrace] | None
    notes: tuple[str, ...] = field(default=())


def join_cell(records: CellRecords) -> Join:
    """Tie a cell's records together; only the completeness pass counts, and of it the strategy's arm.

    Raises:
        UnattributedError: If an exchange carries no call id, or one that is none.
        CellError: If a call went well and yet reached no wire in either arm, or a call's own id is none.
    """
    ids = {call.call_id: _id_of(call) for call in records.calls}
    known = {call_id for call_id, parsed in ids.items() if parsed.phase == "completeness"}
    calls = tuple(one for one in records.calls if one.call_id in known and ids[one.call_id].arm == "strategy")
    exchanges, stray = _exchanges_by_call(records.exchanges, known)
    notes = [f"{stray} exchange(s) carry the id of no call and were not judged"] if stray else []
    sent = {ids[one] for one in exchanges if one in ids}
    for call in calls:
        plain = ids[call.call_id]._replace(arm="baseline")
        # One that sends its request without tracing was kept from it by the strategy: a finding, no hole.
        if call.outcome == "ok" and call.call_id not in exchanges and plain not in sent:
            raise CellError(f"call {call.call_id!r} went well, but the gateway saw no exchange of it")
    wires = {call.call_id: observe_call(exchanges.get(call.call_id, ())) for call in calls}
    stored = [trace for trace in records.traces if trace.source == "store"]
    received = {trace.trace_id: trace for trace in records.traces if trace.source == "otlp"}
    groups = _groups(calls)
    traces, orphaned = _traces_by_group(stored, groups if records.cell.expects_traces else {}, notes)
    units = tuple(_unit(members, traces.get(key, []), wires) for key, members in groups.items())
    return Join(calls, wires, units, tuple(orphaned), received or None, tuple(notes))


def cases_of(unit: Unit, join: Join, notes: list[str]) -> list[Case]:
    """The requests of a unit's calls with what its traces hold of them, by call and request.

    Args:
        unit: The unit.
        join: The cell that it belongs to.
        notes: Takes what was ambiguous, one sentence each.
    """
    subjects = [
        Subject(call, wire, index, wires, unit.calls if unit.flow else ())
        for call in unit.calls
        for wires in (join.wires[call.call_id].requests or (UNSEEN,),)
        for index, wire in enumerate(wires)
    ]
    if not unit.traces:
        return [Case(subject, None, None) for subject in subjects]
    looks = _look(unit, subjects, notes)
    if join.received is None:
        return [Case(subject, seen, seen) for subject, seen in zip(subjects, looks, strict=True)]
    twins = _received(unit, subjects, looks, join.received)
    return [Case(*three) for three in zip(subjects, looks, twins, strict=True)]


def _look(unit: Unit, subjects: list[Subject], notes: list[str]) -> list[CallTrace]:
    """What the unit's traces hold of its requests, each looked at in one trace."""
    name = f"flow {_flow_of(unit.calls[0])}" if len(unit.calls) > 1 else f"call {unit.calls[0].call_id}"
    remarks: list[str] = []
    seen: dict[int, CallTrace] = {}
    for trace, numbers in _homes(unit, subjects, remarks):
        mine = [subjects[number] for number in numbers]
        seen |= dict(zip(numbers, _look_at(trace, mine, len(unit.traces), remarks), strict=True))
    notes += [f"{name}: {remark}" for remark in dict.fromkeys(remarks)]
    if unit.flow:
        for number, one in seen.items():
            one.detached = _detached(unit, subjects[number], one)
    return [seen[number] for number in range(len(subjects))]


def _homes(unit: Unit, subjects: list[Subject], notes: list[str]) -> list[tuple[StoredTrace, list[int]]]:
    """In which trace each request is looked at, by their numbers.

    The first trace that has a model span of the request's own; of a request that has none the trace that
    names its call alone, if the flow's other calls have another, else the unit's first trace.
    """
    first = unit.traces[0]
    everything = list(range(len(subjects)))
    if len(unit.traces) == 1:
        return [(first, everything)]
    left = everything
    homes: dict[str, tuple[StoredTrace, list[int]]] = {trace.trace_id: (trace, []) for trace in unit.traces}
    names = {call.call_id for call in unit.calls} if len(unit.calls) > 1 else set()
    for trace in unit.traces:
        # A further trace that names a call is that call's alone; the flow's own may carry the name of any.
        only = {trace.call_id} if trace is not first and trace.call_id in names else names
        trial = [n for n in left if subjects[n].wire.attempts and (not only or subjects[n].call.call_id in only)]
        found = find_spans(Tree(trace), [subjects[number] for number in trial], notes) if trial else []
        held = [
            number
            for number, one in zip(trial, found, strict=True)
            if one.matched and one.span is not None and encloses(one.span, subjects[number], first=False)
        ]
        homes[trace.trace_id][1].extend(held)
        left = [number for number in left if number not in held]
    own = {trace.call_id: trace for trace in reversed(unit.traces[1:])} if unit.flow else {}
    for number in left:
        trace = own.get(subjects[number].call.call_id, first)
        homes[trace.trace_id][1].append(number)
    return [(trace, sorted(numbers)) for trace, numbers in homes.values() if numbers]


def _look_at(trace: StoredTrace, subjects: list[Subject], copies: int, notes: list[str]) -> list[CallTrace]:
    tree = Tree(trace)
    found = find_spans(tree, subjects, notes)
    owners: defaultdict[str, set[int]] = defaultdict(set)
    if len(subjects) > 1:
        # A span that stands for want of a model span is its request's alone, unless it is around another's.
        shared = {above.span_id for one in found if one.span for above in tree.above(one.span)}
        shared |= {tree.root.span_id} if tree.root else set()
        for number, one in enumerate(found):
            if one.span is not None and (one.matched or one.span.span_id not in shared):
                owners[one.span.span_id].add(number)
    look = Look(tree, dict(owners))
    sharers = tuple(zip(subjects, found, strict=True))
    return [CallTrace(look, copies, one, number, sharers) for number, one in enumerate(found)]


def _received(
    unit: Unit, subjects: list[Subject], looks: list[CallTrace], received: dict[str, StoredTrace]
) -> list[CallTrace | None]:
    """What an OTLP collector received of the same requests, by the id of the trace in the store."""
    by_trace: defaultdict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(looks):
        by_trace[one.trace.trace_id].append(number)
    twins: list[CallTrace | None] = [None] * len(subjects)
    for trace_id, numbers in by_trace.items():
        if trace_id in received:
            mine = [subjects[number] for number in numbers]
            for number, one in zip(numbers, _look_at(received[trace_id], mine, len(unit.traces), []), strict=True):
                twins[number] = one
    return twins


def _detached(unit: Unit, subject: Subject, seen: CallTrace) -> str | None:
    """Why a call's spans are not inside and under the flow's root; ``None`` if they are."""
    tree = seen.look.tree
    if seen.trace is not unit.traces[0]:
        return f"in a trace of its own, {seen.trace.trace_id}"
    if not _encloses_calls(tree.root, unit.calls):
        return "its root does not enclose the flow"
    span = seen.span
    if span is not None and tree.root is not None and span is not tree.root:
        top = [span, *tree.above(span)][-1]
        if top is not tree.root:
            return f"under another root, span {top.span_id}"
    if len(unit.calls) > 1 and span is tree.root and subject.wire.attempts:
        return "no span of its own under the flow's root"
    return None


def _encloses_calls(root: StoredSpan | None, calls: Sequence[Call]) -> bool:
    if root is None or root.end_unix_ns is None:
        return False
    begin = min(call.start_unix_ns for call in calls)
    end = max(call_end_unix_ns(call) for call in calls)
    return root.start_unix_ns <= begin + TIME_TOLERANCE_NS and root.end_unix_ns >= end - TIME_TOLERANCE_NS


def _groups(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """Calls by what one trace is expected for: the flow's name where flows are traced, else the call's id."""
    groups: dict[str, list[Call]] = {}
    for call in calls:
        groups.setdefault(_flow_of(call) if call.flow_traced else call.call_id, []).append(call)
    return groups


def _flow_of(call: Call) -> str:
    return call.flow_id or CallId.parse(call.call_id).flow


def _unit(members: list[Call], traces: list[StoredTrace], wires: dict[str, CallWire]) -> Unit:
    calls = tuple(sorted(members, key=lambda call: (call.start_unix_ns, call.call_id)))
    flow = members[0].flow_traced
    ordered = sorted(traces, key=_trace_order)
    if flow:
        ordered.sort(key=lambda trace: not _encloses_calls(Tree(trace).root, calls))
    nothing_sent = all(
        call.outcome in ("left", "cancelled")
        and not wires[call.call_id].requests
        and not wires[call.call_id].other_paths
        for call in calls
    )
    return Unit(calls, tuple(ordered), flow, expected=not nothing_sent)


def _exchanges_by_call(exchanges: Iterable[Exchange], known: AbstractSet[str]) -> tuple[dict[str, list[Exchange]], int]:
    by_call: dict[str, list[Exchange]] = {}
    unattributed: list[Exchange] = []
    for exchange in exchanges:
        phase = "completeness" if exchange.call_id in known else _phase(exchange.call_id)
        if phase is None or exchange.call_id is None:
            unattributed.append(exchange)
        elif phase == "completeness":
            by_call.setdefault(exchange.call_id, []).append(exchange)
    if unattributed:
        paths = ", ".join(sorted({one.path for one in unattributed}))
        raise UnattributedError(f"{len(unattributed)} exchange(s) reached the gateway without a call id, on {paths}")
    stray = sum(len(found) for call_id, found in by_call.items() if call_id not in known)
    return by_call, stray


def _traces_by_group(
    traces: Iterable[StoredTrace], groups: dict[str, list[Call]], notes: list[str]
) -> tuple[dict[str, list[StoredTrace]], list[StoredTrace]]:
    """Traces by the group that their id names: a call's id, or a flow's where that is one group."""
    owners = {call.call_id: key for key, calls in groups.items() for call in calls}
    flows: defaultdict[str, set[str]] = defaultdict(set)
    for key, calls in groups.items():
        for call in calls:
            flows[_flow_of(call)].add(key)
    owners = {flow: next(iter(keys)) for flow, keys in flows.items() if len(keys) == 1} | owners
    by_group: dict[str, list[StoredTrace]] = {}
    orphaned = []
    for trace in traces:
        if trace.call_id is not None and trace.call_id in owners:
            by_group.setdefault(owners[trace.call_id], []).append(trace)
        elif _phase(trace.call_id) != "timing":
            orphaned.append(trace)
            if trace.call_id in flows:
                notes.append(f"trace {trace.trace_id} names the flow {trace.call_id}, but none of its calls")
    return by_group, orphaned


def _trace_order(trace: StoredTrace) -> tuple[Any, ...]:
    return (not trace.spans, min((span.start_unix_ns for span in trace.spans), default=0), trace.trace_id)


def _phase(call_id: str | None) -> str | None:
    try:
        return CallId.parse(call_id or "").phase
    except ValueError:
        return None


def _id_of(call: Call) -> CallId:
    try:
        return CallId.parse(call.call_id)
    except ValueError as error:
        raise CellError(f"a call of sample {call.sample_id!r} has no valid id: {call.call_id!r}") from error
