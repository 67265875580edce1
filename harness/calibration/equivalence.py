"""How often a cost is called equivalent: the cells' own intervals, held against a margin that they were not given."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from harness.calibration.rates import Rate, rate
from harness.config import MeasureConfig
from harness.overhead.verdicts import verdict_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.calibration.trial import Found

USUAL_MARGIN_MS = MeasureConfig().margin_ms


class Equivalence(NamedTuple):
    """Cells with the same planted delay.

    Attributes:
        planted: The delay, empty for A/A.
        truth_us: The realised delay, mean over cells.
        within: Cells whose interval is equivalent within ``USUAL_MARGIN_MS``.
        wrong: Whether that is wrong, because in every cell the delay was at least as large; ``None`` where it was in
            some only.
        at_truth: Cells that are called equivalent with their own realised delay as the margin, where that is always
            wrong and hardest to see; of none for A/A.
    """

    planted: str
    truth_us: float
    within: Rate
    wrong: bool | None
    at_truth: Rate


def equivalence(planted: str, found: Sequence[Found]) -> Equivalence:
    """The row of some cells with the same planted delay, at least one."""
    reached = [one.truth_ms >= USUAL_MARGIN_MS for one in found]
    return Equivalence(
        planted=planted,
        truth_us=fmean(one.truth_ms * 1e3 for one in found),
        within=rate(_equivalent(one, USUAL_MARGIN_MS) for one in found),
        wrong=reached[0] if len(set(reached)) == 1 else None,
        at_truth=rate(_equivalent(one, one.truth_ms) for one in found if one.truth_ms > 0),
    )


def _equivalent(one: Found, margin_ms: float) -> bool:
    return verdict_of(one.low_ms, one.high_ms, margin_ms) == "equivalent"
