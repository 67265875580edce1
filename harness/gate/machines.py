"""The machine in both runs, by what the untraced arms cost: how much of a rise may be its doing.

A machine that is slower by a fifth lets equal tracing cost a fifth more, or less than that, if what tracing does
is not what became slower. So a cost is held against its margin twice: as it stands, and against what it was
times the change of the untraced arms, which has an uncertainty of its own. A finding has to hold in both (an
intersection-union test: the larger p-value counts and needs no further correction; Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24, 1982). It then holds for every share of the change in
between, too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import stdtrit

from harness.gate.runs import BASELINE_AND_CURRENT, Base, Samples, Sides
from harness.overhead.contrasts import Difference, contrast
from harness.overhead.intervals import FIXED_LEVEL, Interval, mean
from harness.report.format import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WORDS = {"p50_ms": "p50", "cpu_ms_per_call": "CPU per call"}
"""What untraced arms are compared by."""
_OF_CPU = ("cpu_ms_per_call", "drain_ms_per_trace")
"""Costs that only the untraced CPU says something of: a slower network does not touch them."""


class Change(NamedTuple):
    """What one quantity of the untraced arms was before and is now.

    Attributes:
        name: Of the quantity, among the costs.
        what: Whose doing a change may be, in words.
        sides: What sentences call the two runs.
    """

    name: str
    what: str
    before: Base
    after: Base
    sides: Sides = BASELINE_AND_CURRENT

    @property
    def factor(self) -> float:
        """After / before."""
        return self.after.value / self.before.value

    @property
    def rise(self) -> Interval | None:
        """95% interval of the change as a share; ``None`` where a run does not say how uncertain its value is."""
        if not (self.before.variance and self.after.variance):
            return None
        parts = [
            (one.variance / one.value**2, one.freedom) for one in (self.before, self.after) if one.freedom is not None
        ]
        squared = math.fsum(part for part, _ in parts)
        freedom = squared**2 / math.fsum(part**2 / degrees for part, degrees in parts)
        half_width = float(stdtrit(freedom, (1 + FIXED_LEVEL) / 2)) * math.sqrt(squared) * self.factor
        return Interval(self.factor - half_width - 1, self.factor + half_width - 1)

    @property
    def told(self) -> str:
        """The change in words, with its interval."""
        rise, by = self.rise, self.factor - 1
        is_seen = rise is None or not rise.low <= 0 <= rise.high
        changed = f"is {percent(abs(by))} {'slower' if by > 0 else 'faster'}" if is_seen else "may have changed"
        interval = f" (95% interval of the change [{percent(rise.low)}, {percent(rise.high)}])" if rise else ""
        return (
            f"{self.what} {changed}: untraced, {_WORDS[self.name]} is {number(self.before.value)} ms in "
            f"{self.sides.before} and {number(self.after.value)} ms in {self.sides.after}{interval}"
        )

    def scaled(self, before: Samples, after: Samples, *, stopped_early: bool) -> Difference | str:
        """A cost now minus what it was times the change, or why nothing can be said of it.

        An untraced arm enters twice, where it is taken off and in the factor, each time to the same side, so its
        two parts are added up before they are squared. (That arms of one fork are slow together would lower
        the result.)
        """
        factor = self.factor
        groups = [(1.0, after.per_fork), (-factor, before.per_fork)]
        groups += [(sign, one.untraced) for sign, one in ((-1.0, after), (factor, before)) if one.untraced]
        found = contrast(groups, stopped_early=stopped_early)
        if isinstance(found, str):
            return found
        added = mean(before.per_fork) - (mean(before.untraced) if before.untraced else 0.0)
        times = abs(added) / self.before.value
        weight = 2 * times + times**2
        parts = [(found.standard_error**2, found.freedom)]
        for scale, base in ((1.0, self.after), (factor, self.before)):
            if base.variance and base.freedom:
                parts.append((scale**2 * weight * base.variance, base.freedom))
        squared = math.fsum(part for part, _ in parts)
        freedom = squared**2 / math.fsum(part**2 / degrees for part, degrees in parts)
        return Difference(found.value, math.sqrt(squared), freedom, stopped_early)


def machine_changes(
    before: Mapping[str, Samples], after: Mapping[str, Samples], what: str, sides: Sides = BASELINE_AND_CURRENT
) -> tuple[Change, ...]:
    """What the untraced arms of both runs say; nothing where ``what`` is empty."""
    return tuple(_changes(before, after, what, sides)) if what else ()


def _changes(before: Mapping[str, Samples], after: Mapping[str, Samples], what: str, sides: Sides) -> Iterator[Change]:
    for name in _WORDS:
        old, new = before.get(name, Samples()).base, after.get(name, Samples()).base
        if old is not None and new is not None and old.value > 0 and new.value > 0:
            yield Change(name, what, old, new, sides)


def touching(name: str, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes that may be behind a change of this cost."""
    return tuple(one for one in changes if name not in _OF_CPU or one.name in _OF_CPU)
