"""Verdicts in both directions on what chance may touch, corrected for the number of comparisons.

The rules are those of a sweep's own verdicts (``harness.overhead.comparisons``): "there is no difference" and "the
difference is the margin or more" are rejected by p-values that are below 0.05 exactly where the 95% interval
excludes zero, or lies within the margin; each hypothesis is corrected by itself by Holm's procedure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.comparison.results import WORDS, Line
from harness.gate.results import SHARE
from harness.overhead.contrasts import ALPHA, holm
from harness.overhead.verdicts import verdict_of
from harness.report.format import count, number, percent, percent_within, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.comparison.results import LineVerdict


class Candidate(NamedTuple):
    """A quantity with a difference, before it is known how many others there are.

    Attributes:
        a: The value of the first as it is printed.
        b: The value of the second.
        value: Second minus first, in ``unit``; more is worse.
        low: Lower bound of its unadjusted 95% interval.
        high: Upper bound.
        margin: Differences below it, to either side, count as none.
        beside: What has to be told beside it; may be empty.
        doubt: What else may have made such a difference, which the p-values heed; may be empty.
    """

    quantity: str
    a: str
    b: str
    value: float
    low: float
    high: float
    margin: float
    unit: str
    p_no_difference: float
    p_no_equivalence: float
    beside: str = ""
    doubt: str = ""

    @property
    def difference(self) -> str:
        """With its interval, as it is printed."""
        sign = "+" if self.value > 0 else ""
        if self.unit == SHARE:
            return sign + percent_within(self.value, self.low, self.high)
        return sign + quantity(self.value, self.unit, self.low, self.high)

    def judged(self, p_no_difference: float, p_no_equivalence: float, tests: int) -> Line:
        """The verdict by corrected p-values, and the sentence that says it."""
        verdict: LineVerdict = "inconclusive"
        if p_no_equivalence < ALPHA:
            verdict = "equivalent"
        elif p_no_difference < ALPHA:
            verdict = _direction(self.value)
        return Line(
            quantity=self.quantity,
            verdict=verdict,
            a=self.a,
            b=self.b,
            difference=self.difference,
            sentence=self._sentence(verdict, tests) + self.beside,
            p_no_difference=p_no_difference,
            p_no_equivalence=p_no_equivalence,
        )

    def _sentence(self, verdict: LineVerdict, tests: int) -> str:
        values = f"{self.a} in A and {self.b} in B, B minus A {self.difference}"
        if verdict == "equivalent":
            side = ", small, but not zero" if self.low > 0 or self.high < 0 else ""
            return f"{self.quantity} is equivalent within {self._margin}: {values}{side}"
        if verdict in ("worse", "better"):
            verb = "rose" if self.value > 0 else "fell"
            doubt = f"; {self.doubt}" if self.doubt else ""
            return f"{self.quantity} {verb} from {self.a} to {self.b}, B minus A {self.difference}{doubt}"
        if self.doubt:
            return f"{self.quantity} can't be said: {values}; {self.doubt}"
        own = verdict_of(self.low, self.high, self.margin)
        if own == "inconclusive":
            half = (self.high - self.low) / 2
            return (
                f"{self.quantity} can't be said: {values}; the interval includes zero and reaches to the margin of "
                f"{self._margin} or beyond, and a difference under {self._amount(half)} could not have been seen"
            )
        alone = WORDS["equivalent"] if own == "equivalent" else WORDS[_direction(self.value)]
        return (
            f"{self.quantity} can't be said: {values}; it would be {alone} by itself, but among "
            f"{count(tests, 'comparison')} chance would give such a one"
        )

    @property
    def _margin(self) -> str:
        return percent(self.margin) if self.unit == SHARE else quantity(self.margin, self.unit)

    def _amount(self, value: float) -> str:
        return percent(value) if self.unit == SHARE else quantity(value, self.unit)


def judge(found: Sequence[Line | Candidate]) -> tuple[list[Line], int]:
    """All lines in their order, and how many of them were corrected together."""
    tested = [one for one in found if isinstance(one, Candidate)]
    differences = iter(holm([one.p_no_difference for one in tested]))
    equivalences = iter(holm([one.p_no_equivalence for one in tested]))
    lines = [
        one.judged(next(differences), next(equivalences), len(tested)) if isinstance(one, Candidate) else one
        for one in found
    ]
    return lines, len(tested)


def unsaid(name: str, reason: str, a: str, b: str) -> Line:
    """A line of which nothing can be said."""
    sentence = f"{name} can't be said: {reason.rstrip('.')}"
    return Line(quantity=name, verdict="inconclusive", a=a, b=b, sentence=sentence)


def counted(value: float) -> str:
    """A count as it is printed."""
    return number(value, decimals=0)


def _direction(value: float) -> LineVerdict:
    return "worse" if value > 0 else "better"
