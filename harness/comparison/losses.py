"""Shares of traces that were lost while calls were timed, under loads, and by endings; in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.comparison.family import Candidate, unsaid
from harness.comparison.results import A_AND_B, Line
from harness.gate.losses import p_not_within, rise
from harness.gate.results import SHARE
from harness.gate.runs import differing
from harness.gate.shares import share_difference
from harness.overhead.intervals import FIXED_LEVEL
from harness.report.format import ABSENT, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.gate.results import Margins
    from harness.gate.runs import GatedCell, Lost


def timed_lines(a: GatedCell, b: GatedCell, margins: Margins) -> Iterator[Line | Candidate]:
    """Traces lost while calls were timed, paced and under further loads."""
    yield from _lost(
        "traces lost while timed", a.timed, b.timed, margins, stopped_early=a.stopped_early or b.stopped_early
    )
    for load in dict.fromkeys((*a.loads, *b.loads)):
        old, new = (one.loads[load].timed if load in one.loads else None for one in (a, b))
        yield from _lost(f"traces lost under {load}", old, new, margins, stopped_early=False)


def ending_lines(a: GatedCell, b: GatedCell, margins: Margins) -> Iterator[Line | Candidate]:
    """Traces lost by the way in which processes ended; where the conditions of that differ, nothing can be said."""
    names = differing(a.ending_conditions, b.ending_conditions, both=True) + differing(a.environment, b.environment)
    other = "; ".join(f"{name} is {old or 'not set'} in A and {new or 'not set'} in B" for name, old, new in names)
    for ending in dict.fromkeys((*a.endings, *b.endings)):
        old, new = a.endings.get(ending), b.endings.get(ending)
        name = f"traces lost by {ending}"
        if other and old is not None and new is not None:
            yield unsaid(name, other, _shown(old), _shown(new))
        else:
            yield from _lost(name, old, new, margins, stopped_early=False)


def _lost(
    name: str, old: Lost | None, new: Lost | None, margins: Margins, *, stopped_early: bool
) -> Iterator[Line | Candidate]:
    if not ((old and old.expected) or (new and new.expected)):
        return
    shown = (_shown(old), _shown(new))
    for which, one in zip(A_AND_B, (old, new), strict=True):
        if one is None or not one.expected:
            yield unsaid(name, f"{which} expected no trace", *shown)
            return
    assert old is not None  # noqa: S101  # both were looked at
    assert new is not None  # noqa: S101
    if not old.lost and not new.lost:
        low, high = share_difference((0, old.expected), (0, new.expected), level=FIXED_LEVEL)
        unseen = percent(max(-low, high))
        sentence = f"{name}: none in either, {shown[0]} and {shown[1]}; a difference under {unseen} could go unseen"
        yield Line(quantity=name, verdict="same", a=shown[0], b=shown[1], sentence=sentence)
        return
    found = rise(old, new, 0.0, stopped_early=stopped_early, sides=A_AND_B)
    if isinstance(found, str):
        yield unsaid(name, found, *shown)
        return
    p_no_equivalence = p_not_within(old, new, margins.loss, stopped_early=stopped_early)
    yield Candidate(
        name, *shown, found.value, found.low, found.high, margins.loss, SHARE, found.p_value, p_no_equivalence
    )


def _shown(lost: Lost | None) -> str:
    return ABSENT if lost is None else f"{lost.lost} of {lost.expected}"
