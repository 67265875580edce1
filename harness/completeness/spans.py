"""A trace as a tree in time, and which of its spans is which request's.

Model spans are assigned to requests one to one, by their times: a span belongs to a request only if
it encloses the request's exchanges within the tolerance, and of spans inside each other the innermost.
Where that leaves a choice (requests that ran at once, or followed each other within the tolerance), the
choice is taken that agrees best with what was asked and answered; of equal ones the one that strains the
times least, and then the one in the order of starts. Unless the times speak for the same choice, a note
says so. That cannot hide a defect: the choices differ only in which of several spans of the same
time is called whose, and each request is judged against one span of its own in every one of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from harness.completeness.compare import decoded
from harness.completeness.wire import UNSEEN, WireRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from harness.records import Call, StoredSpan, StoredTrace

SPAN_TYPE = "mlflow.spanType"
SPAN_INPUTS = "mlflow.spanInputs"
SPAN_OUTPUTS = "mlflow.spanOutputs"
OTEL_OPERATION = "gen_ai.operation.name"
MODEL_SPAN_TYPES = ("CHAT_MODEL", "LLM")
EMBEDDING_SPAN_TYPE = "EMBEDDING"
UNTYPED_SPAN_TYPES = (None, "", "UNKNOWN")
"""``UNKNOWN`` is what MLflow writes where nobody gave a type."""
AROUND_SPAN_TYPES = ("AGENT", "CHAIN", "MEMORY", "PARSER", "RERANKER", "RETRIEVER", "TASK", "WORKFLOW")
"""Types of what application code puts around a request; such a span does not claim to be the request's."""

_OTEL_FAMILIES = {"chat": "model", "generate_content": "model", "text_completion": "model", "embeddings": "embedding"}

TIME_TOLERANCE_NS = 5_000_000
"""5 ms. Spans and the gateway read one machine's clock, but not in the same instant: an SDK may
end its span at the last event it needs while the gateway is still taking the time of its last byte."""

SAME_CLOCK_NS = 50_000
"""50 us. A call and its spans read one clock in one process; what is left is the order of the readings."""

NEAR_MISS_NS = 4 * TIME_TOLERANCE_NS
"""20 ms. Up to here a span that misses a request's times may still be its, if what it says shows it; a request
whose own span lies would otherwise take its neighbour's."""

_NOT_ALLOWED = -1e6
_NEAR_MISS_COST = 1.0
"""What a near miss costs, where full agreement in what was asked and answered is worth 3."""
_STRAIN_WEIGHT = 1e-6
"""What a millisecond within the tolerance costs where agreement does not tell spans apart."""
_NEAREST_WEIGHT = 1e-3
"""The most that nearness is worth beside agreement, where no span fits a request in time."""
_ORDER_WEIGHT = 1e-10
"""What a step out of the order of starts costs where nothing else tells spans apart."""


class Subject(NamedTuple):
    """One request of one call, with what its exchanges prove.

    Attributes:
        call: The call.
        wire: The request; one without attempts if the call reached no wire.
        number: Which of the call's requests it is, from 0.
        requests: All requests of the call.
        flow: The calls that share one trace with this one, by their start; the call alone elsewhere.
    """

    call: Call
    wire: WireRequest = UNSEEN
    number: int = 0
    requests: tuple[WireRequest, ...] = ()
    flow: tuple[Call, ...] = ()

    @property
    def leads_call(self) -> bool:
        """Whether facts about the whole call are judged with this request."""
        return self.number == 0

    @property
    def leads_trace(self) -> bool:
        """Whether facts about the whole trace are judged with this request."""
        return self.number == 0 and (not self.flow or self.flow[0].call_id == self.call.call_id)

    @property
    def in_company(self) -> bool:
        """Whether the trace holds more than this one request."""
        return len(self.requests) > 1 or len(self.flow) > 1

    @property
    def family(self) -> str:
        """The kind of span that the request asks for."""
        return "embedding" if self.wire.endpoint == "embeddings" else "model"


@dataclass
class Tree:
    """One trace's spans, by start, and how they hang together.

    Attributes:
        trace: The trace.
        spans: By start.
        root: The first span without a parent, else the first span.
        roots: How many spans have no parent.
    """

    trace: StoredTrace
    spans: list[StoredSpan] = field(init=False)
    root: StoredSpan | None = field(init=False)
    roots: int = field(init=False)

    def __post_init__(self) -> None:
        self.spans = sorted(self.trace.spans, key=lambda span: (span.start_unix_ns, span.span_id))
        roots = [span for span in self.spans if span.parent_id is None]
        self.root = roots[0] if roots else (self.spans[0] if self.spans else None)
        self.roots = len(roots)

    @cached_property
    def by_id(self) -> dict[str, StoredSpan]:
        """Spans by their ids."""
        return {span.span_id: span for span in self.spans}

    def above(self, span: StoredSpan) -> Iterator[StoredSpan]:
        """A span's ancestors from the nearest up; ends where the tree has a hole or a circle."""
        seen = {span.span_id}
        one = self.by_id.get(span.parent_id or "")
        while one is not None and one.span_id not in seen:
            yield one
            seen.add(one.span_id)
            one = self.by_id.get(one.parent_id or "")

    def innermost(self, candidates: list[StoredSpan]) -> list[StoredSpan]:
        """Those candidates that are no ancestor of another candidate, in their order."""
        if len(candidates) < 2:
            return candidates
        around = {above.span_id for span in candidates for above in self.above(span)}
        return [span for span in candidates if span.span_id not in around] or candidates

    def family(self, span: StoredSpan) -> str | None:
        """``model`` or ``embedding`` for a span that says so of itself, by MLflow's type or OpenTelemetry's operation.

        The operation counts only in what an OTLP collector received: there the type does not stand.
        """
        given = span.attributes.get(SPAN_TYPE)
        if given in MODEL_SPAN_TYPES:
            return "model"
        if given == EMBEDDING_SPAN_TYPE:
            return "embedding"
        if self.trace.source == "otlp" and given in UNTYPED_SPAN_TYPES:
            return _OTEL_FAMILIES.get(str(span.attributes.get(OTEL_OPERATION)))
        return None


class Found(NamedTuple):
    """What a trace holds of one request.

    Attributes:
        span: The span that is judged; ``None`` in a trace without spans.
        matched: Model spans of the request: one, or one for each attempt; 0 if another span is judged.
        extras: Model spans too many that stand with this request.
    """

    span: StoredSpan | None
    matched: int = 0
    extras: int = 0


def end_bound_ns(subject: Subject) -> int | None:
    """When the answer was over, in nanoseconds since the epoch.

    The gateway's last byte, or the end of the call if that came first: a value that the
    application holds has arrived, whenever the gateway came to take the time.
    """
    last = subject.wire.last_byte_unix_ns
    return None if last is None else min(last, call_end_unix_ns(subject.call))


def call_end_unix_ns(call: Call) -> int:
    """When a call ended, on the wall clock."""
    return call.start_unix_ns + (call.end_ns - call.start_ns)


def encloses(span: StoredSpan, subject: Subject, *, first: bool = True, tolerance_ns: int = TIME_TOLERANCE_NS) -> bool:
    """Whether a span's times enclose the wire's, within the tolerance.

    Args:
        span: Any span.
        subject: The request.
        first: From the first exchange's request on, instead of the last exchange's.
        tolerance_ns: By how much the clocks may differ.
    """
    wire = subject.wire
    begin = wire.first_received_unix_ns if first else wire.received_unix_ns
    end = end_bound_ns(subject)
    if begin is None or span.start_unix_ns > begin + tolerance_ns:
        return False
    if span.end_unix_ns is None:
        return False
    # Without a last byte the request's own time has to lie inside: a span that was over before is another's.
    return span.end_unix_ns >= (begin if end is None else max(begin, end)) - tolerance_ns


def find_spans(tree: Tree, subjects: Sequence[Subject], notes: list[str]) -> list[Found]:
    """Assign a trace's spans to the requests that it should hold.

    Args:
        tree: The trace.
        subjects: The requests, by call and number; a call without any stands for itself.
        notes: Takes what was ambiguous, one sentence each.

    Returns:
        One entry a subject, in their order.
    """
    return _Finder(tree, subjects, notes).find()


class _Finder:
    """Assigns one trace's spans; ``chosen`` is the model span of each subject that has one."""

    def __init__(self, tree: Tree, subjects: Sequence[Subject], notes: list[str]) -> None:
        self.tree, self.subjects, self.notes = tree, subjects, notes
        self.families = {span.span_id: family for span in tree.spans if (family := tree.family(span)) is not None}
        self.chosen: dict[int, StoredSpan] = {}
        self.taken: set[str] = set()

    def find(self) -> list[Found]:
        sent = [number for number, one in enumerate(self.subjects) if one.wire.attempts]
        unsent = self._of_unsent(sent)
        for family in ("model", "embedding"):
            members = [number for number in sent if self.subjects[number].family == family]
            models = [
                span
                for span in self.tree.spans
                if self.families.get(span.span_id) == family and span.span_id not in unsent
            ]
            if members and models:
                self._assign(members, models)
        attempts = {number: self._earlier_spans(number) for number in list(self.chosen)}
        for number, one in enumerate(self.subjects):
            if not one.wire.attempts and (span := self._unsent(one)):
                self._choose(number, span)
        own = dict(self.chosen)
        self._assign_carriers([number for number in range(len(self.subjects)) if number not in own])
        extras = self._extras(sent, own)
        return [
            Found(self.chosen.get(number), 1 + attempts[number] if number in attempts else 0, extras[number])
            for number in range(len(self.subjects))
        ]

    def _choose(self, number: int, span: StoredSpan) -> None:
        self.chosen[number] = span
        self.taken.add(span.span_id)

    def _assign(self, members: list[int], models: list[StoredSpan]) -> None:
        if len(members) == 1 and len(models) == 1:
            self._choose(members[0], models[0])
            return
        enclosing = {number: [span for span in models if self._may_be(span, number)] for number in members}
        # A model span around another one is a wrapper: the inner one made the request, whoever's that is.
        leaves = {span.span_id for span in self.tree.innermost(models)}
        fitting = {number: [one for one in spans if one.span_id in leaves] for number, spans in enclosing.items()}
        one_each = len(models) == len(members) == len({self.subjects[number].call.call_id for number in members})
        if len(leaves) < len(models) and one_each and len(self._told_by_times(enclosing)) == len(members):
            fitting = enclosing  # one for each call, though one stands under another: that is a fault of its own
        self._choose_best(fitting, self._near_misses(fitting, [span for span in models if span.span_id in leaves]))
        for number in members:
            if number in self.chosen and len(enclosing[number]) > len(fitting[number]) and len(models) > len(members):
                self.notes.append(
                    f"{len(models)} model spans for {self.subjects[number].wire.attempts} exchange(s): the innermost, "
                    f"span {self.chosen[number].span_id}, is judged"
                )
        told = self._told_by_times(fitting)
        open_to = {number: spans for number, spans in fitting.items() if len(spans) > 1 and number in self.chosen}
        if any(self.chosen[number] is not told.get(number) for number in open_to):
            names = ", ".join(sorted({span.span_id for spans in open_to.values() for span in spans}))
            self.notes.append(
                f"{len(open_to)} request(s) and the model spans {names} fit each other in time in several ways, "
                "ambiguous among siblings: the way that agrees best with what was asked is judged"
            )
        left = [number for number in members if number not in self.chosen]
        if left:
            self._choose_nearest(left, models)

    def _may_be(self, span: StoredSpan, number: int) -> bool:
        """Whether a span's times allow it to be a request's, within the tolerance."""
        subject = self.subjects[number]
        return _begins_with_call(span, subject, TIME_TOLERANCE_NS) and encloses(span, subject, first=False)

    def _told_by_times(self, fitting: dict[int, list[StoredSpan]]) -> dict[int, StoredSpan]:
        """What the times, read without tolerance, decide by themselves."""
        return _forced(
            {
                number: [span for span in spans if _strain_ns(span, self.subjects[number]) <= SAME_CLOCK_NS]
                for number, spans in fitting.items()
            }
        )

    def _near_misses(
        self, fitting: dict[int, list[StoredSpan]], spans: list[StoredSpan]
    ) -> dict[int, list[StoredSpan]]:
        """By request the spans whose times miss it by little more than the tolerance, failed tries left out."""
        fits = {number: {span.span_id for span in found} for number, found in fitting.items()}
        return {
            number: [
                span
                for span in spans
                if span.span_id not in fits[number]
                and span.end_unix_ns is not None
                and _strain_ns(span, self.subjects[number]) <= NEAR_MISS_NS
                and (span.status != "ERROR" or _may_fail(self.subjects[number]))
            ]
            for number in fitting
        }

    def _choose_best(self, fitting: dict[int, list[StoredSpan]], near: dict[int, list[StoredSpan]]) -> None:
        """Of the assignments that the times allow, the one that agrees best, strains least, keeps the order.

        Args:
            fitting: By request the spans that fit it in time.
            near: By request further spans, of which it takes one only where agreement makes up for the miss.
        """
        rows = sorted(fitting, key=self._order)
        allowed = {number: [*fitting[number], *near.get(number, ())] for number in rows}
        wanted = {span.span_id for spans in allowed.values() for span in spans} - self.taken
        columns = {span.span_id: at for at, span in enumerate(one for one in self.tree.spans if one.span_id in wanted)}
        spans = [span for span in self.tree.spans if span.span_id in columns]
        texts = [(_texts(span, SPAN_INPUTS), _texts(span, SPAN_OUTPUTS)) for span in spans]
        worth = np.full((len(rows), len(spans)), _NOT_ALLOWED)
        for row, number in enumerate(rows):
            subject, fits = self.subjects[number], {span.span_id for span in fitting[number]}
            asked, answered = _asked(subject.wire), _answered(subject.wire)
            for span in allowed[number]:
                if (column := columns.get(span.span_id)) is not None:
                    inputs, outputs = texts[column]
                    agreement = 2 * _likeness(asked, inputs) + _likeness(answered, outputs)
                    strain = _STRAIN_WEIGHT * _strain_ns(span, subject) / 1e6
                    missed = 0 if span.span_id in fits else _NEAR_MISS_COST
                    worth[row, column] = agreement - missed - strain - _ORDER_WEIGHT * abs(row - column)
        for row_index, column_index in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if worth[row_index, column_index] > _NOT_ALLOWED / 2:
                self._choose_noted(rows[row_index], spans[column_index], fitting)

    def _choose_noted(self, number: int, span: StoredSpan, fitting: dict[int, list[StoredSpan]]) -> None:
        self._choose(number, span)
        if span not in fitting[number]:
            self.notes.append(
                f"no model span encloses request {self.subjects[number].number}: span {span.span_id}, which agrees "
                "best with it, is judged"
            )

    def _agreement(self, numbers: Sequence[int], spans: Sequence[StoredSpan]) -> NDArray[np.float64]:
        """How well each request agrees with each span in what was asked and answered, from 0 to 3; shape (n, m)."""
        texts = [(_texts(span, SPAN_INPUTS), _texts(span, SPAN_OUTPUTS)) for span in spans]
        wires = [(_asked(wire), _answered(wire)) for wire in (self.subjects[number].wire for number in numbers)]
        found = [[2 * _likeness(a, i) + _likeness(b, o) for i, o in texts] for a, b in wires]
        return np.array(found).reshape(len(numbers), len(spans))

    def _order(self, number: int) -> tuple[int, int, int]:
        """The order in which requests were begun; calls at once by their starts, for requests may overtake others."""
        subject = self.subjects[number]
        return (subject.call.start_unix_ns, subject.wire.received_unix_ns or 0, number)

    def _choose_nearest(self, left: list[int], models: list[StoredSpan]) -> None:
        """Requests that no model span encloses get the model spans left over: the likest, of those the nearest.

        Not the ancestors of assigned spans, nor failed spans where the request did not fail: those are
        tries that never reached the wire.
        """
        used = self.taken | {above.span_id for span in self.chosen.values() for above in self.tree.above(span)}
        free = [span for span in models if span.span_id not in used]
        wanting = [self.subjects[number] for number in left]
        if not any(map(_may_fail, wanting)):
            free = [span for span in free if span.status != "ERROR"] or ([] if self.chosen else free)
        free = self.tree.innermost(free)
        if not free:
            return
        begins = [one.wire.received_unix_ns or 0 for one in wanting]
        distance = np.array([[abs(span.start_unix_ns - begin) / 1e6 for span in free] for begin in begins])
        nearness = _NEAREST_WEIGHT * (1 - distance / (distance.max() + 1))
        worth = self._agreement(left, free) + nearness
        for row, column in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            number, span = left[row], free[column]
            self._choose(number, span)
            self.notes.append(
                f"none of {len(models)} model spans encloses request {self.subjects[number].number}: the nearest, "
                f"span {span.span_id}, is judged"
            )

    def _earlier_spans(self, number: int) -> int:
        """How many model spans a request's earlier attempts have: one each, or none counts."""
        subject, span = self.subjects[number], self.chosen[number]
        earlier: list[str] = []
        for received_ns, last_byte_ns in subject.wire.attempt_times[:-1]:
            end = received_ns if last_byte_ns is None else last_byte_ns
            fits = (
                other.span_id
                for other in self.tree.spans
                if other.span_id not in self.taken
                and other.span_id not in earlier
                and self.families.get(other.span_id) == subject.family
                and other.end_unix_ns is not None
                and other.start_unix_ns <= received_ns + TIME_TOLERANCE_NS
                and end - TIME_TOLERANCE_NS <= other.end_unix_ns <= span.start_unix_ns + TIME_TOLERANCE_NS
            )
            earlier += [other for other in (next(fits, None),) if other is not None]
        if len(earlier) < subject.wire.attempts - 1:
            return 0
        self.taken.update(earlier)
        return len(earlier)

    def _unsent(self, subject: Subject) -> StoredSpan | None:
        """The model span of a call that reached no wire: the first free one in the call's own time."""
        free = [span for span in self.tree.spans if span.span_id in self.families and span.span_id not in self.taken]
        if len(self.subjects) > 1:
            free = [span for span in free if _in_call(span, subject)]
        return next(iter(self.tree.innermost(free)), None)

    def _of_unsent(self, sent: list[int]) -> set[str]:
        """Model spans in the time of a call that reached no wire: no other request's, unless the times allow it."""
        calls = [one for one in self.subjects if not one.wire.attempts]
        return {
            span.span_id
            for span in self.tree.spans
            if span.span_id in self.families
            and any(_in_call(span, one) for one in calls)
            and not any(self._may_be(span, number) for number in sent)
        }

    def _extras(self, sent: list[int], chosen: dict[int, StoredSpan]) -> defaultdict[int, int]:
        """Model spans too many, by the request that they stand with: around or inside its span, or in its time.

        ``chosen`` are the model spans of requests. A span that a request of the other family is judged by is of the
        wrong kind, not one too many, unless it is around another's.
        """
        extras: defaultdict[int, int] = defaultdict(int)
        if all(span_id in self.taken for span_id in self.families):
            return extras
        first = {self.subjects[number].family: number for number in reversed(sent)}
        around = {number: {above.span_id for above in self.tree.above(span)} for number, span in chosen.items()}
        carriers = {number: span.span_id for number, span in self.chosen.items() if number not in chosen}
        mistyped = {one for number, one in carriers.items() if self.families.get(one) != self.subjects[number].family}
        settled = self.taken | mistyped.difference(*around.values())
        for span in self.tree.spans:
            family = self.families.get(span.span_id)
            if span.span_id in settled or family not in first:
                continue
            above = {one.span_id for one in self.tree.above(span)}
            near = [number for number, ids in around.items() if span.span_id in ids]
            near = near or [number for number, one in chosen.items() if one.span_id in above]
            near = near or [number for number in sent if encloses(span, self.subjects[number], first=False)]
            if not near and span.status == "ERROR" and _is_apart(span, self.subjects):
                self.notes.append(
                    f"model span {span.span_id} failed without an exchange: taken for a try that was never sent"
                )
            else:
                extras[near[0] if near else first[family]] += 1
        return extras

    def _enclosing(self, members: list[int], spans: list[StoredSpan]) -> dict[int, list[StoredSpan]]:
        """By request the spans that may be its by their times, those that fit best.

        Clocks differ a little, so a span may seem to begin before its call, or to end before the last byte. A
        request takes such a one only where none fits better, and none that fits another request better.
        """
        fitting: dict[int, list[StoredSpan]] = {number: [] for number in members}
        for tolerance_ns, anybodys in ((0, False), (0, True), (TIME_TOLERANCE_NS, False), (TIME_TOLERANCE_NS, True)):
            owned = {span.span_id for found in fitting.values() for span in found}
            free = [span for span in spans if span.span_id not in owned]
            for number in [number for number, found in fitting.items() if not found]:
                subject = self.subjects[number]
                fitting[number] = [
                    span
                    for span in free
                    if (anybodys or _begins_with_call(span, subject, SAME_CLOCK_NS))
                    and encloses(span, subject, first=False, tolerance_ns=tolerance_ns)
                ]
        return fitting

    def _assign_carriers(self, members: list[int]) -> None:
        """Requests without a model span: the innermost span around the exchange that carries something.

        One to one as far as there are such spans; requests that share one are all judged by it. Without any,
        the root stands for a trace's only request.
        """
        fitting: dict[int, list[StoredSpan]] = {}
        around = self._enclosing(members, [span for span in self.tree.spans if span.span_id not in self.taken])
        for number in members:
            subject = self.subjects[number]
            free = around[number]
            found = {one.span_id: one for leaf in self.tree.innermost(free) for one in (self._carrying(leaf),) if one}
            if found:
                fitting[number] = list(found.values())
            elif self.tree.root is not None and not (subject.in_company and subject.wire.attempts):
                self.chosen[number] = self.tree.root
        for number, span in _forced(fitting).items():
            self._choose(number, span)
        open_to = {number: spans for number, spans in fitting.items() if number not in self.chosen}
        if any(len(spans) > 1 for spans in open_to.values()):
            names = ", ".join(sorted({span.span_id for spans in open_to.values() for span in spans}))
            self.notes.append(
                f"no model span, and the spans {names} fit {len(open_to)} request(s) in time in several ways: "
                "the way that agrees best with what was asked is judged"
            )
        if open_to:
            self._choose_best(open_to, {})
        for number, spans in open_to.items():
            self.chosen.setdefault(number, spans[0])

    def _carrying(self, leaf: StoredSpan) -> StoredSpan | None:
        return next((one for one in (leaf, *self.tree.above(leaf)) if _carries(one)), self.tree.root)


def _begins_with_call(span: StoredSpan, subject: Subject, tolerance_ns: int) -> bool:
    """Whether a span began no earlier than its call.

    Of calls that share a trace each runs in the process that makes the spans, so its span cannot have begun
    before it: that tells calls apart that ran at once.
    """
    return len(subject.flow) < 2 or span.start_unix_ns >= subject.call.start_unix_ns - tolerance_ns


def _in_call(span: StoredSpan, subject: Subject) -> bool:
    """Whether a span lies in a call's own time, within the tolerance."""
    begin = subject.call.start_unix_ns - TIME_TOLERANCE_NS
    end = call_end_unix_ns(subject.call) + TIME_TOLERANCE_NS
    return begin <= span.start_unix_ns and (span.end_unix_ns or end) <= end


def _may_fail(subject: Subject) -> bool:
    """Whether a request's own span may have ended in an error."""
    return subject.wire.error is not None or subject.call.outcome != "ok"


def _strain_ns(span: StoredSpan, subject: Subject) -> int:
    """By how much a span's times miss those that they should enclose, at its beginning and its end together."""
    begin, end = subject.wire.received_unix_ns or 0, end_bound_ns(subject)
    early = subject.call.start_unix_ns - span.start_unix_ns if len(subject.flow) > 1 else 0
    late = span.start_unix_ns - begin
    short = 0 if end is None or span.end_unix_ns is None else max(begin, end) - span.end_unix_ns
    return max(early, late, 0) + max(short, 0)


def _forced(fitting: dict[int, list[StoredSpan]]) -> dict[int, StoredSpan]:
    """What the times alone decide: a request with one span left that no other request has to have."""
    chosen: dict[int, StoredSpan] = {}
    open_to = {number: {span.span_id: span for span in spans} for number, spans in fitting.items()}
    while True:
        single = {number: next(iter(spans)) for number, spans in open_to.items() if len(spans) == 1}
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        for number, span_id in single.items():
            wanted[span_id].append(number)
        sure = {numbers[0]: span_id for span_id, numbers in wanted.items() if len(numbers) == 1}
        if not sure:
            return chosen
        for number, span_id in sure.items():
            chosen[number] = open_to.pop(number)[span_id]
        for spans in open_to.values():
            for span_id in sure.values():
                spans.pop(span_id, None)


def _is_apart(span: StoredSpan, subjects: Sequence[Subject]) -> bool:
    """Whether no exchange lies in a span's time."""
    end = span.end_unix_ns if span.end_unix_ns is not None else span.start_unix_ns
    return not any(
        span.start_unix_ns - TIME_TOLERANCE_NS <= received <= end + TIME_TOLERANCE_NS
        for one in subjects
        for received, _ in one.wire.attempt_times
    )


def _carries(span: StoredSpan) -> bool:
    return span.attributes.get(SPAN_INPUTS) is not None or span.attributes.get(SPAN_OUTPUTS) is not None


def _asked(wire: WireRequest) -> frozenset[str]:
    found: set[str] = set()
    _collect([wire.messages, wire.input, wire.instructions], found)
    return frozenset(found)


def _answered(wire: WireRequest) -> frozenset[str]:
    response = wire.response
    found: set[str] = set()
    if response is not None:
        _collect([response.response_id, [[one.content, list(one.tool_calls)] for one in response.choices]], found)
    return frozenset(found)


def _texts(span: StoredSpan, key: str) -> frozenset[str]:
    found: set[str] = set()
    _collect(span.attributes.get(key), found)
    if not found:  # what an OTLP collector received
        other = ("gen_ai.input.messages",) if key == SPAN_INPUTS else ("gen_ai.output.messages", "gen_ai.response.id")
        _collect([span.attributes.get(one) for one in other], found)
    return frozenset(found)


def _collect(value: Any, found: set[str]) -> None:
    if isinstance(value, str):
        inner = decoded(value)
        if inner is value:
            found.add(value)
        else:
            _collect(inner, found)
    elif isinstance(value, dict):
        for one in value.values():
            _collect(one, found)
    elif isinstance(value, list):
        for one in value:
            _collect(one, found)


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """The texts that two sets share over all of theirs, from 0 to 1."""
    return len(one & other) / len(one | other) if one or other else 0.0
