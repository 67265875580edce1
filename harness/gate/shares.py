"""Differences of shares: Fisher's exact test, and an interval.

The test: "The logic of inductive inference", Journal of the Royal Statistical Society 98 (1935). The
interval is method 10 of Newcombe, "Interval estimation for the difference between independent
proportions", Statistics in Medicine 17 (1998).
"""

from __future__ import annotations

import math

from scipy.special import ndtri

from harness.overhead.intervals import Interval


def fisher_p(few: int, of_few: int, many: int, of_many: int) -> float:
    """One-sided p of Fisher's exact test: so many or more of ``of_many``, if both shares are one.

    Args:
        few: Cases of the first group.
        of_few: Its size.
        many: Cases of the group whose share is asked to be the larger one.
        of_many: Its size.
    """
    cases = few + many
    both = _log_choose(of_few + of_many, cases)
    most = min(cases, of_many)
    terms = (_log_choose(of_many, one) + _log_choose(of_few, cases - one) - both for one in range(many, most + 1))
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _log_choose(of: int, chosen: int) -> float:
    if not 0 <= chosen <= of:
        return -math.inf
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)


def share_difference(before: tuple[int, int], after: tuple[int, int], *, level: float) -> Interval:
    """Newcombe's interval of the share after minus the share before, each as cases and size."""
    z = float(ndtri((1 + level) / 2))
    old, new = before[0] / before[1], after[0] / after[1]
    old_low, old_high = _wilson(*before, z)
    new_low, new_high = _wilson(*after, z)
    value = new - old
    return Interval(
        value - math.hypot(new - new_low, old_high - old), value + math.hypot(new_high - new, old - old_low)
    )


def _wilson(cases: int, of: int, z: float) -> Interval:
    centre = (cases + z**2 / 2) / (of + z**2)
    half = z * math.sqrt(cases * (of - cases) / of + z**2 / 4) / (of + z**2)
    return Interval(centre - half, centre + half)
