"""Judges one request: every fact that applies, in both conventions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from harness.completeness.facts import facts_for
from harness.completeness.proofs import NOTHING, states_some
from harness.completeness.search import Hit
from harness.results import Convention, Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.completeness.facts import Fact
    from harness.completeness.join import CallTrace, Case
    from harness.completeness.places import Place
    from harness.results import Level, Verdict

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
    judge: _Judge | None = None
    for convention, seen in zip(CONVENTIONS, (case.store, case.otel), strict=True):
        if judge is None or seen is not case.store:
            judge = _Judge(case, seen)
        judgements += judge.judgements(convention)
    return judgements


class _Finding(NamedTuple):
    verdict: Verdict
    traced: Any
    place: str
    level: Level | None
    span_id: str | None


class _Judge:
    """Judges one request against one trace, in any convention.

    What a request proves is the same in both conventions, and so is which of its facts apply: the store's trace
    says so also where a collector received nothing.
    """

    def __init__(self, case: Case, seen: CallTrace | None) -> None:
        self.subject, self.seen = case.subject, seen
        about = seen or case.store
        self._proven = [
            (fact, value) for fact in facts_for(case.subject) if (value := fact.value(case.subject, about)) is not None
        ]
        self._shared = _shared_texts(value for _, value in self._proven)
        self._trace_id = seen.trace.trace_id if seen else None
        self._span_id = seen.span.span_id if seen and seen.span else None
        self._stands: dict[str, Hit | None] = {}
        """By fact where its value was found: what stands in one convention's place stands elsewhere for the other."""

    def judgements(self, convention: Convention) -> Iterator[Judgement]:
        """All facts in one convention's places."""
        subject, seen = self.subject, self.seen
        call = subject.call
        for fact, value in self._proven:
            places = fact.places(convention)
            if fact.picks:
                places = tuple(one for one in places if one.is_for(subject, value))
            if value is NOTHING:
                # It contradicts what is stated; where nothing is, there is nothing to judge.
                places = tuple(one for one in places if seen and states_some(one.read(subject, seen)))
            if places:
                found = self._look(fact, value, places)
                yield Judgement(
                    call.call_id,
                    call.sample_id,
                    fact.name,
                    convention,
                    found.verdict,
                    found.place,
                    call.scenario,
                    subject.number,
                    found.level,
                    _alone(value) if fact.per_choice else value,
                    _alone(found.traced) if fact.per_choice else found.traced,
                    self._trace_id,
                    found.span_id,
                )

    def _look(self, fact: Fact, value: Any, places: tuple[Place, ...]) -> _Finding:
        """What the trace says of one fact."""
        seen, first = self.seen, places[0]
        if seen is None:
            return _Finding("missing", None, first.name, first.level, None)
        if found := self._in_places(seen, fact, value, places):
            return found
        if fact.name not in self._stands:
            self._stands[fact.name] = fact.seek(self.subject, value, seen, self._shared)
        if hit := self._stands[fact.name]:
            return _Finding("elsewhere", hit.value, hit.place, first.level, hit.span_id)
        return _Finding("missing", None, first.name, first.level, self._span_id)

    def _in_places(self, seen: CallTrace, fact: Fact, value: Any, places: tuple[Place, ...]) -> _Finding | None:
        """What stands in a fact's places; ``None`` if nothing does that counts."""
        right: _Finding | None = None
        for place in places:
            traced = place.read(self.subject, seen)
            if traced is None:
                continue
            if not place.equal(self.subject, place.expect(value), traced):
                if seen.stands_for_several and fact.group != "structure":
                    continue
                return _Finding("wrong", traced, place.name, place.level, self._span_id)
            if right is None and not place.witness:
                right = _Finding("recorded", traced, place.name, place.level, self._span_id)
                if not place.derived:
                    self._stands.setdefault(fact.name, Hit(traced, place.name, self._span_id))
        return right


def _alone(value: Any) -> Any:
    """Of a value with one entry a choice the entry itself, where there is one choice."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _shared_texts(values: Iterable[Any]) -> frozenset[str]:
    """Texts that more than one fact of a request has for a value."""
    texts = [one for value in values for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return frozenset(text for text, count in Counter(texts).items() if count > 1)
