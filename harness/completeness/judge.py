"""Judges one call: every fact that applies, in both conventions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from harness.completeness.facts import Fact, facts_for
from harness.completeness.join import look_at
from harness.results import Convention, Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.completeness.join import CallTrace, Subject
    from harness.completeness.places import Place
    from harness.records import StoredTrace
    from harness.results import Verdict

CONVENTIONS: tuple[Convention, ...] = get_args(Convention)


def judge_call(subject: Subject, traces: Sequence[StoredTrace]) -> tuple[list[Judgement], tuple[str, ...]]:
    """Hold the facts of one call against its first trace.

    Args:
        subject: The call and what its exchanges prove.
        traces: The call's traces, the first one first; none if it was lost, and then every fact
            that applies is ``missing``.

    Returns:
        The judgements, first those in MLflow's places and then those in OpenTelemetry's, in the
        order of the table; and what was ambiguous.
    """
    seen = look_at(subject, traces) if traces else None
    proven = [(fact, value) for fact in facts_for(subject) if (value := fact.read(subject)) is not None]
    case = _Case(subject, seen, _shared_texts(value for _, value in proven))
    judgements = [
        _judge(case, fact, value, convention, places)
        for convention in CONVENTIONS
        for fact, value in proven
        if (places := [one for one in fact.places(convention) if one.applies is None or one.applies(value)])
    ]
    return judgements, seen.notes if seen else ()


class _Case(NamedTuple):
    """A call with its trace, and the texts that several of its facts have in common."""

    subject: Subject
    seen: CallTrace | None
    shared: frozenset[str]


class _Finding(NamedTuple):
    verdict: Verdict
    traced: Any
    place: str
    span_id: str | None


def _judge(case: _Case, fact: Fact, value: Any, convention: Convention, places: list[Place]) -> Judgement:
    found = _look(case, fact, value, places)
    return Judgement(
        call_id=case.subject.call.call_id,
        sample_id=case.subject.call.sample_id,
        fact=fact.name,
        convention=convention,
        verdict=found.verdict,
        wire=_shown(fact, value),
        traced=_shown(fact, found.traced),
        place=found.place,
        trace_id=case.seen.trace.trace_id if case.seen else None,
        span_id=found.span_id,
    )


def _look(case: _Case, fact: Fact, value: Any, places: list[Place]) -> _Finding:
    subject, seen, shared = case
    if seen is None:
        return _Finding("missing", None, places[0].name, None)
    span_id = seen.span.span_id if seen.span else None
    right: _Finding | None = None
    for place in places:
        traced = place.read(subject, seen)
        if traced is None:
            continue
        if not place.equal(subject, place.expect(value), traced):
            return _Finding("wrong", traced, place.name, span_id)
        right = right or _Finding("recorded", traced, place.name, span_id)
    if right:
        return right
    if hit := fact.seek(subject, value, seen, shared):
        return _Finding("elsewhere", hit.value, hit.place, hit.span_id)
    return _Finding("missing", None, places[0].name, span_id)


def _shown(fact: Fact, value: Any) -> Any:
    """A value with one entry a choice shows a single choice's entry alone."""
    return value[0] if fact.per_choice and isinstance(value, list) and len(value) == 1 else value


def _shared_texts(values: Iterable[Any]) -> frozenset[str]:
    """Texts that more than one fact of a call has for a value."""
    texts = [one for value in values for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return frozenset(text for text, count in Counter(texts).items() if count > 1)
