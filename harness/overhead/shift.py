"""The shift function: what a strategy adds to fast, to usual and to slow calls.

At each of some quantiles the traced quantile minus the untraced one, in each fork, averaged over
forks, with Student's t interval over them. After Doksum, "Empirical probability plots and
statistical inference for nonlinear models in the two-sample case", Annals of Statistics 2 (1974),
and Rousselet, Pernet and Wilcox, "Beyond differences in means: robust graphical methods to compare
two groups in neuroscience", European Journal of Neuroscience 46 (2017), who take deciles. Their
intervals resample observations; here the fork is what varies, as everywhere in this package.

Each interval holds for its own quantile alone, not for all of them together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.overhead.ledger import QUANTILES, added_quantile
from harness.results import QuantileShift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.overhead.samples import Fork

PERCENTS = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)
"""The quantiles, in percent."""

_BEYOND = 3
"""Calls that have to lie beyond a quantile on its thinner side."""

_LEAST = 10


def least_calls(percent: int) -> int:
    """The analysed calls that an arm needs in each fork for this quantile, by the rule of the ledger."""
    named = QUANTILES.get(f"p{percent}_ms")
    return named[1] if named else max(_LEAST, math.ceil(100 * _BEYOND / min(percent, 100 - percent)))


def shift(forks: Sequence[Fork], *, level: float) -> tuple[QuantileShift, ...]:
    """What is added at each quantile that enough calls of every fork support, in ascending order.

    Args:
        forks: The complete forks.
        level: Level of the t quantile, see ``harness.overhead.intervals.quantile_level``.
    """
    fewest = min((fork.calls for fork in forks), default=0)
    return tuple(
        QuantileShift(percent=percent, added=added_quantile(f"p{percent}_ms", percent / 100, forks, level))
        for percent in PERCENTS
        if fewest >= least_calls(percent)
    )
