"""The interval of a mean over forks: Student's t, and when it is withheld.

``mean ± t(df = n - 1) * s / sqrt(n)``, after Student, "The probable error of a mean",
Biometrika 6 (1908); as in the NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.2.
Its ``n`` is the number of forks. The calls of one fork share a process, its memory layout and its
place on the machine, so their errors move together, and pooling them would count one accident
many times over.

What simulation says about it (``tests/overhead/test_overhead_coverage.py`` repeats it):

- With normal fork effects it covers the truth in 95% of runs from 4 forks on. With skewed ones
  (lognormal) of the same kind in both arms it covers at least as often: the skew cancels in the
  difference.
- Where forks are added until the interval is narrow enough, forks whose spread is small by luck
  stop early, and the plain interval covers as little as 92%. Such runs therefore use the t quantile of a
  97.5% interval, which covers at least 95% (first check at 4 forks, at most 8 to 20 of them; and as
  `measure=standard` and `rigorous` stop, from 8 to 40 and from 16 to 160).
- Its limit: a strongly skewed effect that only one arm has. With one lognormal shift of
  sigma 0.25, 0.5 and 1.0 it covers 94%, 92% and 82% at 4 forks. A few forks cannot show that
  they are skewed, so look at the per-fork differences before trusting a narrow interval.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config import MeasureConfig

MIN_FORKS = 4
"""Under so many forks there is no interval and no verdict."""

FIXED_LEVEL = 0.95
"""Level of the t quantile where the number of forks was fixed beforehand."""

STOPPED_LEVEL = 0.975
"""Level of the t quantile where forks are added until the precision is reached; it covers 95%."""


class Interval(NamedTuple):
    """A two-sided interval of a mean."""

    low: float
    high: float


def quantile_level(measure: MeasureConfig) -> float:
    """The level whose t quantile gives intervals that cover the truth in 95% of runs."""
    asks_precision = measure.precision_ms > 0 or measure.precision_relative > 0
    return STOPPED_LEVEL if asks_precision and measure.max_forks > measure.forks else FIXED_LEVEL


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value, exactly summed, so that the order of forks does not matter."""
    return math.fsum(values) / len(values)


def t_interval(values: Sequence[float], *, level: float = FIXED_LEVEL, resolution: float = 0.0) -> Interval | str:
    """The interval of the mean of per-fork values, or the reason why there is none.

    Args:
        values: One value a fork, finite.
        level: Level of the t quantile, see ``quantile_level``.
        resolution: Values that differ by no more than this count as equal. Equal values have no
            spread, and an interval of no width would claim a certainty that the data do not have.
    """
    n = len(values)
    if n < MIN_FORKS:
        return f"{n} complete forks give no interval, at least {MIN_FORKS} are needed"
    if max(values) - min(values) <= resolution:
        alike = ", as far as the clock can tell" if max(values) > min(values) else ""
        return f"all {n} forks gave the same difference{alike}, so their spread says nothing about its uncertainty"
    centre = mean(values)
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    half_width = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(variance / n)
    return Interval(centre - half_width, centre + half_width)
