"""Counts of events with their exact intervals, and what so many events could show at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scipy.special import bdtrc, betaincinv
from scipy.stats import binomtest

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVEL = 0.95
"""Level of the intervals."""
POWER = 0.8
"""How probable it is to be that a true rate is shown to exceed its limit, for the limit to count as watched."""


class Rate(NamedTuple):
    """So many of so many, with the exact 95% interval of the share.

    The interval is that of Clopper and Pearson, "The use of confidence or fiducial limits illustrated in
    the case of the binomial", Biometrika 26 (1934).
    """

    happened: int
    of: int
    low: float
    high: float

    def __str__(self) -> str:
        if not self.of:
            return "-"
        return f"{self.happened} / {self.of} = {self.happened / self.of:.1%} [{self.low:.1%}, {self.high:.1%}]"


def rate(events: Iterable[bool]) -> Rate:
    """Count events; of none at all nothing is known, so the interval is everything."""
    seen = list(events)
    if not seen:
        return Rate(0, 0, 0.0, 1.0)
    interval = binomtest(sum(seen), len(seen)).proportion_ci(LEVEL, method="exact")
    return Rate(sum(seen), len(seen), float(interval.low), float(interval.high))


def caught_from(limit: float, of: int) -> float | None:
    """The smallest true rate that so many events would have shown to exceed a limit, in ``POWER`` of such runs.

    A rate is shown to exceed it where its whole interval lies above: with ``k`` or more of ``n`` events,
    ``k`` being the smallest number that has a probability under 2.5% at the limit itself. The true rate ``p``
    at which ``P(X >= k) = POWER`` is a quantile of the beta distribution (NIST Digital Library of Mathematical
    Functions, 8.17.5).

    Args:
        limit: The rate that is to be exceeded, between 0 and 1.
        of: How many events there are.

    Returns:
        ``None`` if so few cannot show it at all.
    """
    for least in range(1, of + 1):
        if float(bdtrc(least - 1, of, limit)) < (1 - LEVEL) / 2:
            return float(betaincinv(least, of - least + 1, POWER))
    return None
