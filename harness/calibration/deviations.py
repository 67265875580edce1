"""Whether forks lie farther from their median under one setting than under another: pure statistics of trials.

What is compared is the trimmed mean absolute deviation from the median: the mean distance from the group's median,
without the tenth of the forks that lies farthest out (rounded down). Trimming the far end of these distances for a
comparison of spreads is from Keselman, Wilcox, Algina, Othman and Fradette, "A comparative study of robust tests for
spread: asymmetric trimming strategies", British Journal of Mathematical and Statistical Psychology 61 (2008). The
variance of a trimmed mean is that of Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61
(1974), and that of the logarithm follows from it as in Bonett and Seier, "Confidence intervals for mean absolute
deviations", The American Statistician 57 (2003). Forks are few, so three things differ from theirs: the variance is
that of all settings of a strategy together, at least that of normal values; the square of the ratio is held against
the F distribution; and the median costs a degree of freedom.

Simulated with the default and eight settings, for normal values, Laplace's, Student's with 5 and with 3 degrees, the
difference of two lognormals, and normal values of which 3% are ten times as wide. Experiments (%) in which any of
eight equal settings is told apart, 1,500 each; theirs, by the formulas of 2003, in 500 each::

    forks                5     8    12    20    40    60    theirs: 5     8    12    20    60
    normal             0.2   0.3   0.8   1.2   1.7   2.5          5.0   6.6   7.4   5.4   3.6
    Laplace            0.2   0.9   1.1   1.3   3.1   3.7         10.2  17.0  10.4   9.2   3.4
    Student, 5         0.1   0.9   0.8   1.7   2.6   3.5         10.0   9.6   6.2   7.6   6.6
    Student, 3         0.0   1.0   1.0   1.5   2.4   3.3          9.6  10.6   7.4   6.8   6.8
    lognormals         0.3   1.9   0.9   1.5   3.3   2.6         21.8  18.8  15.6  11.0   5.8
    contaminated       0.4   1.9   0.9   1.5   1.9   2.9          9.8  13.0   8.0   5.8   5.6

With a single comparison it is 0.5 to 4.8%, once 5.8%. Experiments (%) in which a true ratio of 1.5, 2, 3 or 4 is told
apart, 600 each; and beside it the same without trimming, which has more power for normal values, and little where
some forks lie far out::

    forks                       20                  40                  60    untrimmed: 20                  60
    normal          5  24  77  96      19  72  99 100      35  92 100 100      7  40  90 100      52  98 100 100
    Laplace         3  13  50  79      10  46  94 100      22  72 100 100      4  20  64  92      28  85 100 100
    Student, 5      3  19  64  89      12  61  99 100      31  89 100 100      6  28  78  93      34  90 100 100
    Student, 3      4  16  59  82      13  53  98 100      25  82 100 100      5  14  56  82      21  68  98 100
    lognormals      2   7  32  58       7  30  80  96      13  54  95 100      3  10  32  56      14  49  92  99
    contaminated    4  20  71  93      19  67  99 100      34  89 100 100      4  13  39  59       8  39  82  97

With eight forks a ratio of 4 is told apart in 12 to 32%. At the ratio that is said to be seen it is 74 to 84%.
"""

from __future__ import annotations

import math
from statistics import fmean, median, variance
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import fdtri, ndtri, polygamma

from harness.calibration.spreads import LEVEL, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

POWER = 0.8
"""How probable it is to be that a true ratio is told apart, for it to count as one that could have been seen."""
TRIMMED_PERCENT = 10
"""Of the distances from the median so many are left out, the farthest ones, rounded down: of under ten none is."""
NORMAL = 0.742
"""The ``scatter_of`` many normal values."""
MIN_COMPARED = 5
"""Under so many forks of a setting nothing is compared: fewer were not simulated."""
MIN_TOGETHER = 8
"""Under so many a ratio is not put together with another strategy's: its logarithm is far from normal."""


class Ratio(NamedTuple):
    """A spread over that of the default.

    Attributes:
        value: With its interval, at a level that holds for all comparisons of a table.
        seen: The largest true ratio below 1 and the smallest above 1 that would be told apart, in ``POWER`` of such
            experiments.
    """

    value: Interval
    seen: tuple[float, float]

    @property
    def told_apart(self) -> str:
        """What the interval says: ``lower``, ``higher``, or nothing."""
        return "lower" if self.value[2] < 1 else "higher" if self.value[1] > 1 else ""


class Pair(NamedTuple):
    """One strategy's values under a setting and under the default, as many of each, with the strategy's ``scatter``."""

    ours: Sequence[float]
    theirs: Sequence[float]
    scatter: float


def deviation(values: Sequence[float]) -> float:
    """The trimmed mean absolute deviation from the median, in the unit of the values."""
    return fmean(_distances(values)[: _kept(len(values))])


def scatter_of(groups: Sequence[Sequence[float]]) -> float:
    """How uncertain the logarithm of a deviation is: its variance times the number of values, mean over all values.

    It has no unit and does not depend on how wide a group is, only on the shape of its distribution; so the groups of
    a strategy say it together, and a group of few values does not have to say it for itself. It is at least that of
    the normal distribution. Groups of under ``MIN_COMPARED`` values are left out, and ones whose deviation is 0.
    """
    found = [(len(values), _scatter(values)) for values in groups if len(values) >= MIN_COMPARED and deviation(values)]
    if not found:
        return NORMAL
    return max(NORMAL, math.fsum(n * scatter for n, scatter in found) / sum(n for n, _ in found))


def degrees_of_freedom(n: int, scatter: float) -> float:
    """Those of a chi-square value whose root's logarithm is as uncertain as that of a deviation of ``n`` values.

    The logarithm of the root of a chi-square value with ``d`` degrees of freedom has a variance of about
    ``1 / (2 d)``. The median, which distances are taken from, costs one value of ``n``.
    """
    return (n - 1) / (2 * scatter)


def ratio_of(pair: Pair, level: float) -> Ratio:
    """Ratio of two deviations, its two-sided interval, and what could be seen.

    The square of the ratio is held against the F distribution with the degrees of freedom of both. The groups are
    taken for independent; what a round does to both of them alike makes the interval wider than it had to be.
    """
    ratio = deviation(pair.ours) / deviation(pair.theirs)
    above, below = (degrees_of_freedom(len(values), pair.scatter) for values in (pair.ours, pair.theirs))

    def f(p: float) -> float:
        return float(fdtri(above, below, p))

    tail = (1 - level) / 2
    low, high = (ratio / math.sqrt(f(p)) for p in (1 - tail, tail))
    # The true ratio at which what is seen lies beyond the critical value with that probability.
    seen = math.sqrt(f(tail) / f(POWER)), math.sqrt(f(1 - tail) / f(1 - POWER))
    return Ratio((ratio, low, high), seen)


def geometric_mean(pairs: Sequence[Pair], level: float) -> Ratio | None:
    """The geometric mean over strategies of the ratios, ``None`` if one of them has under ``MIN_TOGETHER`` values.

    The logarithm of the root of a chi-square value with ``d`` degrees of freedom has the variance ``trigamma(d/2)/4``
    (Bartlett and Kendall, "The statistical analysis of variance-heterogeneity and the logarithmic transformation",
    Supplement to the JRSS 8, 1946). Its bias is the same in both halves of a pair, for they have as many values. The
    sum over strategies is taken for normal. Simulated for two strategies with eight equal settings each, of 8 to 50
    forks and of all the shapes above, one is told apart in 0.5 to 4.9% of experiments.
    """
    if any(min(len(pair.ours), len(pair.theirs)) < MIN_TOGETHER for pair in pairs):
        return None
    logarithm = fmean(math.log(deviation(pair.ours) / deviation(pair.theirs)) for pair in pairs)
    of_halves = math.fsum(
        float(polygamma(1, degrees_of_freedom(len(values), pair.scatter) / 2)) / 4
        for pair in pairs
        for values in (pair.ours, pair.theirs)
    )
    error = math.sqrt(of_halves) / len(pairs)
    critical = float(ndtri((1 + level) / 2))
    away = (critical + float(ndtri(POWER))) * error
    low, high = (math.exp(logarithm + side * critical * error) for side in (-1, 1))
    return Ratio((math.exp(logarithm), low, high), (math.exp(-away), math.exp(away)))


def bonferroni(comparisons: int) -> float:
    """The level of each of so many comparisons at which all hold together at ``LEVEL``."""
    return 1 - (1 - LEVEL) / max(1, comparisons)


def _scatter(values: Sequence[float]) -> float:
    """``scatter_of`` of one group: Yuen's variance of a trimmed mean over the mean's square, times ``n``."""
    n, kept = len(values), _kept(len(values))
    distances = _distances(values)
    winsorised = [min(distance, distances[kept - 1]) for distance in distances]
    return n * (n - 1) * variance(winsorised) / (kept * (kept - 1) * fmean(distances[:kept]) ** 2)


def _distances(values: Sequence[float]) -> list[float]:
    """From the median, the nearest first."""
    centre = median(values)
    return sorted(abs(value - centre) for value in values)


def _kept(n: int) -> int:
    return n - n * TRIMMED_PERCENT // 100
