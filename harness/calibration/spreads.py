"""How far forks spread under one way of measuring: pure statistics of trials.

The interval of a standard deviation comes from the chi-square distribution (NIST/SEMATECH e-Handbook of Statistical
Methods, section 1.3.5.8) and holds for normal values. Forks have longer tails, so the degrees of freedom are lowered
by what the tails cost, after Shoemaker, "Fixing the F test for equal variances", The American Statistician 57 (2003):
``2 n / (kurtosis - (n - 3) / (n - 1))``, which is ``n - 1`` for normal values.

His kurtosis is that of the two samples put together. Here it is that of all settings of a strategy, each value in
units of the median distance within its setting: a standard deviation would grow with the very values that make the
tail, and the kurtosis of few values come out too small.

Standard deviations are shown and not compared: one fork far out among twenty leaves so few degrees of freedom that
no ratio could be told from 1. What is compared stands in ``deviations``.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from scipy.special import chdtri, ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.95
MIN_TAILS = 5
"""Under so many values a group says little of its tails."""
NORMAL = 3.0
"""The kurtosis of the normal distribution."""
_MAD_TO_SD = 1 / float(ndtri(0.75))
"""The standard deviation of normal values over the median of their distances from the median."""

Interval = tuple[float, float, float]
"""A value with its lower and upper bound."""


def degrees_of_freedom(n: int, kurtosis: float = NORMAL) -> float:
    """Those of the variance of ``n`` values, see the module."""
    return 2 * n / (kurtosis - (n - 3) / (n - 1))


def kurtosis_of(groups: Sequence[Sequence[float]]) -> float:
    """The kurtosis of some groups together, see the module; at least the normal one.

    Groups of under ``MIN_TAILS`` values are left out if there are larger ones: their median distance may be next to
    nothing, and they alone would make the tail.
    """
    squares = []
    for values in [one for one in groups if len(one) >= MIN_TAILS] or groups:
        centre = math.fsum(values) / len(values)
        unit = robust_sd(values) or _sd(values)
        squares += [((value - centre) / unit) ** 2 for value in values]
    if not squares:
        return NORMAL
    return max(NORMAL, len(squares) * math.fsum(square**2 for square in squares) / math.fsum(squares) ** 2)


def sd_interval(values: Sequence[float], kurtosis: float = NORMAL) -> Interval:
    """Standard deviation and its two-sided interval from the chi-square distribution."""
    degrees = degrees_of_freedom(len(values), kurtosis)
    sd = _sd(values)
    tail = (1 - LEVEL) / 2
    # chdtri is the inverse of the upper tail.
    low, high = (sd * math.sqrt(degrees / float(chdtri(degrees, p))) for p in (tail, 1 - tail))
    return sd, low, high


def robust_sd(values: Sequence[float]) -> float:
    """What the standard deviation would be if all values lay as the middle half of them does."""
    centre = median(values)
    return _MAD_TO_SD * median(abs(value - centre) for value in values)


def _sd(values: Sequence[float]) -> float:
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))
