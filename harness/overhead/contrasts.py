"""Differences of groups of forks: Welch's t on the values of single forks, and Holm's correction for many of them.

A difference is a contrast of independent groups of forks, each with its own spread. Its standard
error and degrees of freedom are those of Welch, "The generalization of Student's problem when
several different population variances are involved", Biometrika 34 (1947), with Satterthwaite's
approximation (Biometrics Bulletin 2, 1946). Two groups give the usual Welch test.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import nctdtrinc, stdtr, stdtrit

from harness.overhead.intervals import FIXED_LEVEL, MIN_FORKS, STOPPED_LEVEL, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA = 1 - FIXED_LEVEL
"""Probability of at least one false finding among comparisons that are made together, at most."""

POWER = 0.8
"""Of the smallest effect that can be seen: so often it would be found."""


class Difference(NamedTuple):
    """A difference with its unadjusted 95% interval.

    Attributes:
        standard_error: Of the difference, above 0.
        freedom: Degrees of freedom.
        stopped_early: Whether a group was measured until it was precise enough, so that its spread is small by choice.
    """

    value: float
    standard_error: float
    freedom: float
    stopped_early: bool

    @property
    def half_width(self) -> float:
        """Of the interval; see ``harness.overhead.intervals`` for the level where groups were stopped early."""
        level = STOPPED_LEVEL if self.stopped_early else FIXED_LEVEL
        return float(stdtrit(self.freedom, (1 + level) / 2)) * self.standard_error

    def p_beyond(self, margin: float) -> float:
        """Two-sided p of a difference as large as this one, if the true one lies within the margin on either side.

        Where groups were stopped early it is raised as their intervals are widened.
        """
        excess = (abs(self.value) - margin) / self.standard_error
        return min(1.0, 2 * float(stdtr(self.freedom, -excess)) * self._raised)

    def p_not_within(self, margin: float) -> float:
        """P of "the true difference is the margin or more, to either side".

        The larger one of two one-sided tests, doubled, so that it is below 0.05 exactly where the interval lies
        within the margin; as in ``harness.overhead.comparisons``.
        """
        excess = (margin - abs(self.value)) / self.standard_error
        return min(1.0, 2 * float(stdtr(self.freedom, -excess)) * self._raised)

    def smallest_found(self, margin: float, tests: int) -> float:
        """The smallest true rise that is found in ``POWER`` of runs with this spread, by the noncentral t.

        Args:
            margin: What is tolerated.
            tests: Comparisons of the gate: Holm's method asks the first finding for ``ALPHA`` / ``tests``.
        """
        critical = float(stdtrit(self.freedom, 1 - ALPHA / (2 * tests * self._raised)))
        return margin + float(nctdtrinc(self.freedom, 1 - POWER, critical)) * self.standard_error

    @property
    def _raised(self) -> float:
        return ALPHA / (1 - STOPPED_LEVEL) if self.stopped_early else 1.0


def smallest_found(half_width: float, forks: int, level: float) -> float:
    """The smallest true effect that ``POWER`` of runs with this spread tell from none, by the noncentral t.

    Args:
        half_width: Of the Student's t interval of one mean.
        forks: Values that it rests on.
        level: Level of its t quantile.
    """
    critical = float(stdtrit(forks - 1, (1 + level) / 2))
    return float(nctdtrinc(forks - 1, 1 - POWER, critical)) * half_width / critical


def contrast(groups: Sequence[tuple[float, Sequence[float]]], *, stopped_early: bool) -> Difference | str:
    """The sum of the groups' means, each times its coefficient, or why nothing can be said of it.

    Args:
        groups: Coefficient and one value a fork of each group.
        stopped_early: See ``Difference``.
    """
    fewest = min(len(values) for _, values in groups)
    if fewest < MIN_FORKS:
        return f"{fewest} forks support no interval, at least {MIN_FORKS} are needed on both sides"
    parts = []
    for coefficient, values in groups:
        centre = mean(values)
        variance = math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
        parts.append((coefficient * centre, coefficient**2 * variance / len(values), len(values) - 1))
    squared = math.fsum(part for _, part, _ in parts)
    if squared <= 0:
        return "on both sides all forks gave one value, so their spread says nothing about its uncertainty"
    freedom = squared**2 / math.fsum(part**2 / degrees for _, part, degrees in parts)
    return Difference(math.fsum(value for value, _, _ in parts), math.sqrt(squared), freedom, stopped_early)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in their order; at most ``ALPHA`` is a finding.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979): valid however the comparisons depend on each other.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
