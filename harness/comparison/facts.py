"""Scores of a pair, fact by fact and request by request: the same prompts give the same facts, so this is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.comparison.family import counted, unsaid
from harness.comparison.results import Line
from harness.gate.exact import COUNTS
from harness.gate.facts import ABSENT, CONVENTION, NOT_RECORDED, SCORE_NAMES, paired
from harness.report.format import ABSENT as DASH
from harness.report.format import count, listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.comparison.results import LineVerdict
    from harness.gate.runs import Completeness, GatedCell

_NAMED = 4
_ROUNDING = 1e-9
_CONVENTIONS = ("mlflow", "otel")
_TRACES_LOST = "traces_lost"
_APPLICATION = "transparency_differences"


class Move(NamedTuple):
    """One way in which a fact has another verdict in the second than in the first.

    Attributes:
        was: In the first; empty where the fact did not apply.
        now: In the second.
        times: Of so many requests.
        flow: The first that shows it, as ``repetition/sample``.
        place: Which of the flow's requests, from 0; ``None`` where the two made different numbers of requests.
    """

    convention: str
    fact: str
    was: str
    now: str
    times: int
    flow: str
    place: int | None


def moves(a: Completeness, b: Completeness) -> list[Move]:
    """All of them, in MLflow's places first; those that turned from or to recorded come before the others."""
    found: dict[tuple[str, str, str, str], Move] = {}
    flows = sorted(a.flows & b.flows, key=_in_order)
    for convention in _CONVENTIONS:
        old, new = a.verdicts.get(convention, {}), b.verdicts.get(convention, {})
        for fact in sorted({*old, *new}):
            for flow in flows:
                before = old[fact].by_flow.get(flow, ()) if fact in old else ()
                after = new[fact].by_flow.get(flow, ()) if fact in new else ()
                _padded = max(len(before), len(after))
                before, after = before or (ABSENT,) * _padded, after or (ABSENT,) * _padded
                aligned = len(before) == len(after)
                for place, (was, now) in enumerate(paired(before, after)):
                    if was == now:
                        continue
                    key = (convention, fact, was, now)
                    first = found.get(key) or Move(*key, 0, flow, place if aligned else None)
                    found[key] = first._replace(times=first.times + 1)
    return sorted(found.values(), key=_gravity)


def _in_order(flow: str) -> tuple[int, str]:
    """Repetitions as numbers, then samples by name."""
    repetition, _, sample = flow.partition("/")
    return int(repetition) if repetition.isdigit() else 0, sample


def _gravity(move: Move) -> tuple[int, int, int, str]:
    """MLflow's first; then what is recorded no more, what is recorded now, everything else."""
    kind = 0 if move.was == "recorded" else 1 if move.now == "recorded" else 2
    return (_CONVENTIONS.index(move.convention), kind, -move.times, move.fact)


def score_lines(a: GatedCell, b: GatedCell, found: list[Move]) -> Iterator[Line]:
    """Recall, otel recall and fidelity, and what the samples say of them."""
    old, new = a.completeness, b.completeness
    if old is None or new is None:
        if old is not None or new is not None:
            yield unsaid("completeness", f"{'A' if old is None else 'B'} has none", DASH, DASH)
        return
    sampled = old.sampled or new.sampled
    if not sampled:
        yield from _samples(old, new)
    for score, name in SCORE_NAMES.items():
        before, after = old.scores[score], new.scores[score]
        if before is None and after is None:
            continue
        shown = (percent(before), percent(after))
        if sampled:
            yield unsaid(name, "chance decides which calls are traced", *shown)
            continue
        own = [move for move in found if move.convention == CONVENTION[score]]
        yield _score(name, before, after, own, is_fidelity=score == "fidelity")


def _samples(a: Completeness, b: Completeness) -> Iterator[Line]:
    only = {"A": a.flows - b.flows, "B": b.flows - a.flows}
    parts = []
    for which, flows in only.items():
        if flows:
            names = [flow.partition("/")[2] for flow in sorted(flows, key=_in_order)]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            parts.append(f"{count(len(names), 'sample')} in {which} alone ({', '.join(names[:_NAMED])}{more})")
    if parts:
        shown = (counted(len(a.flows)), counted(len(b.flows)))
        yield unsaid("samples", f"{listed(parts)}; facts are compared where both have them", *shown)


def _score(name: str, before: float | None, after: float | None, own: list[Move], *, is_fidelity: bool) -> Line:
    if is_fidelity:
        lost = [move for move in own if move.now == "wrong"]
        gained = [move for move in own if move.was == "wrong"]
        words = ("turned wrong", "wrong no more")
    else:
        lost = [move for move in own if move.was == "recorded" and move.now in NOT_RECORDED]
        gained = [move for move in own if move.was in NOT_RECORDED and move.now == "recorded"]
        words = ("recorded no more", "recorded that were not")
    elsewhere = [move for move in own if ABSENT in (move.was, move.now)]
    shown = (percent(before), percent(after))
    parts = [f"{_facts(some)} {word}: {_named(some)}" for some, word in ((lost, words[0]), (gained, words[1])) if some]
    is_equal = before is not None and after is not None and abs(before - after) <= _ROUNDING
    if not parts and not is_equal:
        other = (
            f"{_facts(elsewhere)} in one of the two alone" if elsewhere else "no fact of a common sample explains it"
        )
        return unsaid(
            name, f"it is {shown[0]} in A and {shown[1]} in B, but the facts are not the same: {other}", *shown
        )
    if elsewhere and parts:
        parts.append(f"{_facts(elsewhere)} in one of the two alone")
    verdict: LineVerdict = "mixed" if lost and gained else "worse" if lost else "better" if gained else "same"
    went = f"{name} is the same, {shown[0]}" if is_equal else f"{name} went from {shown[0]} to {shown[1]}"
    sentence = f"{went}: {'; '.join(parts)}" if parts else went
    return Line(quantity=name, verdict=verdict, a=shown[0], b=shown[1], sentence=sentence)


def _facts(found: list[Move]) -> str:
    return count(sum(move.times for move in found), "fact")


def _named(found: list[Move]) -> str:
    """The most frequent ones, with how often and what became of them."""
    by_times = sorted(found, key=lambda move: (-move.times, move.fact))
    named = [
        f"{move.fact} ({move.was or 'absent'} → {move.now or 'absent'}, {count(move.times, 'time')})"
        for move in by_times
    ]
    more = len(named) - _NAMED
    return ", ".join(named[:_NAMED]) + (f" and {count(more, 'more kind')}" if more > 0 else "")


def count_lines(a: GatedCell, b: GatedCell) -> Iterator[Line]:
    """What should not be: lost, duplicated and orphaned traces, and calls that tracing changed."""
    if a.completeness is None or b.completeness is None:
        return
    for key, name in COUNTS.items():
        old, new = a.completeness.counts[key], b.completeness.counts[key]
        shown = tuple(DASH if one is None else counted(one) for one in (old, new))
        if old is None or new is None:
            if old is not None or new is not None:
                yield unsaid(name, f"{'A' if old is None else 'B'} did not count them", *shown)
        # What is usually not there is told of where it is; these two are what everybody asks for.
        elif old or new or key in (_TRACES_LOST, _APPLICATION):
            verdict: LineVerdict = "worse" if new > old else "better" if new < old else "same"
            went = f"went from {old} to {new}" if new != old else f"are {old} in both" if old else "are none in both"
            yield Line(quantity=name, verdict=verdict, a=shown[0], b=shown[1], sentence=f"{name} {went}")
