"""Judges one request: every fact that applies, in both conventions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from harness.completeness.facts import Fact, facts_for
from harness.completeness.proofs import NOTHING
from harness.results import Convention, Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.completeness.join import CallTrace, Case
    from harness.completeness.places import Place
    from harness.results import Verdict

CONVENTIONS: tuple[Convention, ...] = get_args(Convention)


def judge_case(case: Case) -> list[Judgement]:
    """Hold the facts of one request against its trace.

    Args:
        case: The request with its traces; where there is none, every fact that applies is ``missing``.

    Returns:
        The judgements, first those in MLflow's places and then those in OpenTelemetry's, in the
        order of the table.
    """
    judgements: list[Judgement] = []
    proven: list[tuple[Fact, Any]] = []
    shared: frozenset[str] = frozenset()
    for convention, seen in zip(CONVENTIONS, (case.store, case.otel), strict=True):
        view = _View(case, seen, convention)
        if convention == CONVENTIONS[0] or seen is not case.store:
            proven = [(fact, value) for fact in facts_for(case.subject) if (value := _proven(fact, view)) is not None]
            shared = _shared_texts(value for _, value in proven)
        for fact, value in proven:
            places = fact.places(convention)
            if fact.picks:
                places = tuple(one for one in places if one.is_for(case.subject, value))
            if value is NOTHING and seen is not None:
                # It contradicts what is stated; where nothing is, there is nothing to judge.
                places = tuple(one for one in places if one.read(case.subject, seen) is not None)
            if places:
                judgements.append(_judge(view, fact, value, places, shared))
    return judgements


class _View(NamedTuple):
    case: Case
    seen: CallTrace | None
    convention: Convention


class _Finding(NamedTuple):
    verdict: Verdict
    traced: Any
    place: str
    level: Any
    span_id: str | None


def _proven(fact: Fact, view: _View) -> Any:
    # What a request proves is the same in both conventions, and so is which of its facts apply: the store's trace
    # says so also where a collector received nothing.
    return fact.value(view.case.subject, view.seen or view.case.store)


def _judge(view: _View, fact: Fact, value: Any, places: tuple[Place, ...], shared: frozenset[str]) -> Judgement:
    subject, seen = view.case.subject, view.seen
    found = _look(view, fact, value, places, shared)
    call = subject.call
    return Judgement(
        call_id=call.call_id,
        sample_id=call.sample_id,
        scenario=call.scenario,
        request=subject.number,
        fact=fact.name,
        convention=view.convention,
        level=found.level,
        verdict=found.verdict,
        wire=_shown(fact, value),
        traced=_shown(fact, found.traced),
        place=found.place,
        trace_id=seen.trace.trace_id if seen else None,
        span_id=found.span_id,
    )


def _look(view: _View, fact: Fact, value: Any, places: tuple[Place, ...], shared: frozenset[str]) -> _Finding:
    subject, seen = view.case.subject, view.seen
    first = places[0]
    if seen is None:
        return _Finding("missing", None, first.name, first.level, None)
    span_id = seen.span.span_id if seen.span else None
    right: _Finding | None = None
    for place in places:
        traced = place.read(subject, seen)
        if traced is None:
            continue
        if not place.equal(subject, place.expect(value), traced):
            if seen.stands_for_several and fact.group != "structure":
                continue
            return _Finding("wrong", traced, place.name, place.level, span_id)
        if right is None and not place.witness:
            right = _Finding("recorded", traced, place.name, place.level, span_id)
    if right:
        return right
    if hit := fact.seek(subject, value, seen, shared):
        return _Finding("elsewhere", hit.value, hit.place, first.level, hit.span_id)
    return _Finding("missing", None, first.name, first.level, span_id)


def _shown(fact: Fact, value: Any) -> Any:
    """A value with one entry a choice shows a single choice's entry alone."""
    return value[0] if fact.per_choice and isinstance(value, list) and len(value) == 1 else value


def _shared_texts(values: Iterable[Any]) -> frozenset[str]:
    """Texts that more than one fact of a request has for a value."""
    texts = [one for value in values for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return frozenset(text for text, count in Counter(texts).items() if count > 1)
