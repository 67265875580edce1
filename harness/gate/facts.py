"""Scores in both runs, by the facts that they are made of: request by request, exactly.

Whether a fact applies can depend on the trace (chunk events, a cost, counts that are invented), so a
fact that stopped applying is not passed over, and one that only the new run has is looked at, too.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from harness.gate.results import SHARE, Comparison
from harness.report.format import count, listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.gate.results import Margins, Outcome
    from harness.gate.runs import Completeness, Verdicts

SCORE_NAMES = {"recall": "recall", "otel_recall": "otel recall", "fidelity": "fidelity"}
CONVENTION = {"recall": "mlflow", "otel_recall": "otel", "fidelity": "mlflow"}
_FACTS_NAMED = 12
ABSENT = ""
"""The verdict on a fact that does not apply."""
NOT_RECORDED = ("wrong", "elsewhere", "missing")
_RIGHT = ("recorded", "elsewhere")
_GRAVITY = ("wrong", "missing", "elsewhere", ABSENT, "recorded")
"""From the gravest change of a recorded fact to none."""
_ROUNDING = 1e-9

Tally = dict[str, Counter[str]]
"""Facts, each with its verdicts in the new run and how often."""


class _Changes:
    """The facts of one convention whose verdict changed.

    Attributes:
        recorded_no_more: Recorded before; they apply, and have another verdict.
        gone: Recorded before; they do not apply any more.
        came: They did not apply before; they do, and are not recorded.
        found: Not recorded before; they are now.
        turned_wrong: Anything else before, and wrong now.
        wrong_no_more: Wrong before.
        right_no_more: A right value stood somewhere before, and stands nowhere now.
    """

    def __init__(self, before: dict[str, Verdicts], after: dict[str, Verdicts], flows: frozenset[str]) -> None:
        self.recorded_no_more: Tally = {}
        self.gone: Tally = {}
        self.came: Tally = {}
        self.found: Tally = {}
        self.turned_wrong: Tally = {}
        self.wrong_no_more: Tally = {}
        self.right_no_more: Tally = {}
        for fact in sorted({*before, *after}):
            for flow in flows:
                old = before[fact].by_flow.get(flow, ()) if fact in before else ()
                new = after[fact].by_flow.get(flow, ()) if fact in after else ()
                for was, now in paired(old, new):
                    for tally in self._kinds(was, now):
                        tally.setdefault(fact, Counter())[now] += 1

    def _kinds(self, was: str, now: str) -> Iterator[Tally]:
        if was == "recorded" and now in NOT_RECORDED:
            yield self.recorded_no_more
        if was == "recorded" and now == ABSENT:
            yield self.gone
        if was == ABSENT and now in NOT_RECORDED:
            yield self.came
        if was in NOT_RECORDED and now == "recorded":
            yield self.found
        if was != "wrong" and now == "wrong":
            yield self.turned_wrong
        if was == "wrong" and now != "wrong":
            yield self.wrong_no_more
        if was in _RIGHT and now in ("missing", ABSENT):
            yield self.right_no_more


def paired(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The verdicts on a flow's requests before and after.

    Request by request where there are as many; else nobody can say which is which, so equal verdicts
    belong together, and of the others those recorded before with the gravest after.
    """
    if len(before) == len(after):
        yield from zip(before, after, strict=True)
        return
    same = Counter(before) & Counter(after)
    old = sorted((Counter(before) - same).elements(), key=_GRAVITY.index, reverse=True)
    new = sorted((Counter(after) - same).elements(), key=_GRAVITY.index)
    yield from ((verdict, verdict) for verdict in same.elements())
    yield from itertools.zip_longest(old, new, fillvalue=ABSENT)


def score_comparison(label: str, score: str, old: Completeness, new: Completeness, margins: Margins) -> Comparison:
    """One score of a cell.

    ``worse`` where more facts than the margin's share got worse; ``inconclusive`` where facts that were
    recorded do not apply any more, or the score fell without a fact that got worse.
    """
    convention, is_fidelity = CONVENTION[score], score == "fidelity"
    before, after = old.verdicts.get(convention, {}), new.verdicts.get(convention, {})
    changes = _Changes(before, after, old.flows & new.flows)
    worse = changes.turned_wrong if is_fidelity else changes.recorded_no_more
    better = changes.wrong_no_more if is_fidelity else changes.found
    unexplained = _fell(old.scores[score], new.scores[score]) and not worse
    doubts = list(_doubts(changes, is_fidelity=is_fidelity, unexplained=unexplained))
    outcome: Outcome = "better" if better and not worse else "not worse"
    told = []
    if worse:
        is_tolerated = _times(worse) / max(1, _applicable(before)) <= margins.recall
        outcome = "not worse" if is_tolerated else "worse"
        tolerated = f", within the margin of {percent(margins.recall)}" if is_tolerated else ""
        told.append(
            f"{_are(worse)} {'wrong that were not' if is_fidelity else 'recorded no more'}{tolerated}: {_named(worse)}"
        )
    if doubts and outcome != "worse":
        outcome = "inconclusive"
        doubts[-1] += ": inconclusive"
    told += doubts
    if not told:
        told.append(f"{_are(better)} {'wrong' if is_fidelity else 'missed'} no more" if better else "no fact got worse")
    went = f"{label}: {SCORE_NAMES[score]} went from {percent(old.scores[score])} to {percent(new.scores[score])}"
    return Comparison(
        cell=label,
        quantity=SCORE_NAMES[score],
        outcome=outcome,
        sentence=f"{went}: {'; '.join(told)}.",
        baseline=old.scores[score],
        current=new.scores[score],
        unit=SHARE,
    )


def _doubts(changes: _Changes, *, is_fidelity: bool, unexplained: bool) -> Iterator[str]:
    """What else may have lowered a score, in clauses."""
    gone, came = ({}, {}) if is_fidelity else (changes.gone, changes.came)
    if gone:
        verb = "was recorded and does" if _times(gone) == 1 else "were recorded and do"
        yield f"{_facts(gone)} {verb} not apply any more: {_named(gone)}"
    if came:
        verb = "applies now that did not, and is" if _times(came) == 1 else "apply now that did not, and are"
        yield f"{_facts(came)} {verb} not recorded: {_named(came)}"
    if not unexplained or gone or came:
        return
    if is_fidelity and (right := changes.right_no_more):
        yield f"no fact turned wrong, but of the right ones {_facts(right)} can be found no more: {_named(right)}"
    else:
        yield "no fact of a sample that both runs judged explains that"


def _fell(old: float | None, new: float | None) -> bool:
    """Whether a score is lower than it was, or there is none any more."""
    return old is not None and (new is None or new < old - _ROUNDING)


def _applicable(verdicts: dict[str, Verdicts]) -> int:
    return sum(bool(one) for fact in verdicts.values() for requests in fact.by_flow.values() for one in requests)


def _times(tally: Tally) -> int:
    return sum(now.total() for now in tally.values())


def _facts(tally: Tally) -> str:
    return count(_times(tally), "fact")


def _are(tally: Tally) -> str:
    return f"{_facts(tally)} {'is' if _times(tally) == 1 else 'are'}"


def _named(tally: Tally) -> str:
    """The facts with how often and what they are now: ``usage.input_tokens (12 times, now missing)``."""
    named = []
    for fact, now in sorted(tally.items(), key=lambda item: (-item[1].total(), item[0]))[:_FACTS_NAMED]:
        verdicts = [verdict for verdict in NOT_RECORDED if now[verdict]]
        told = f", now {listed(verdicts, 'or')}" if verdicts else ""
        named.append(f"{fact} ({count(now.total(), 'time')}{told})")
    more = len(tally) - len(named)
    return ", ".join(named) + (f", and {count(more, 'more fact')}" if more else "")
