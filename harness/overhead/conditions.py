"""What else may have made a difference between two cells: another pace of the calls, or another machine.

The gate asks the same two questions of two runs (``harness.gate.costs``, ``harness.gate.machines``): at another pace
latencies are not compared; where the untraced arms changed, a finding has to hold both as it stands and against what
equal tracing would have cost on such a machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scipy.special import stdtrit

from harness.overhead.intervals import FIXED_LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.results import CellResult, Estimate

SAME_PACE = 0.1
"""Paces that differ by no more than this share are one."""
OF_MACHINE = {"p50_ms": "p50", "cpu_ms_per_call": "CPU per call"}
"""What untraced arms are compared by."""
_OF_LATENCY = "p50_ms"
_OF_CPU = "cpu_ms_per_call"


class Shift(NamedTuple):
    """What one quantity of the untraced arms was before and after.

    Attributes:
        quantity: Among ``OF_MACHINE``.
        factor: After / before.
        error: Standard error of the factor.
        told: The change in words.
    """

    quantity: str
    factor: float
    error: float
    told: str


class Between(NamedTuple):
    """What differs between two cells beside what they are compared for.

    Attributes:
        pace: Why latencies must not be compared, if the calls came at another pace; else empty.
        shifts: How the untraced arms changed; empty where nobody says.
    """

    pace: str
    shifts: tuple[Shift, ...]

    def withholds(self, quantity: str) -> str:
        """Why nothing can be said of a cost; empty if something can."""
        return self.pace if quantity == _OF_LATENCY else ""

    def touching(self, quantity: str) -> tuple[Shift, ...]:
        """The shifts that may be behind a change of a cost: a slower network takes no CPU time and stores nothing."""
        return tuple(one for one in self.shifts if quantity == _OF_LATENCY or one.quantity == _OF_CPU)


def between(before: CellResult, after: CellResult) -> Between:
    """What the records of two cells say of the conditions that both were timed under."""
    return Between(_pace(before, after), tuple(_shifts(before, after)))


def _pace(before: CellResult, after: CellResult) -> str:
    old, new = before.cell.period_ms, after.cell.period_ms
    if old is None or new is None or abs(new - old) <= SAME_PACE * min(old, new):
        return ""
    return f"calls began every {old:.3g} ms before and every {new:.3g} ms after"


def _shifts(before: CellResult, after: CellResult) -> Iterator[Shift]:
    # Tracing at a lower level is no measure of the machine.
    if before.overhead is None or after.overhead is None or before.cell.against != "untraced":
        return
    what = "the machine" if before.cell.versions == after.cell.versions else "the machine or the SDK itself"
    for name, words in OF_MACHINE.items():
        old, new = (one.estimates.get(name) for one in (before.overhead, after.overhead))
        if old and new and old.baseline and new.baseline and old.baseline > 0:
            factor = new.baseline / old.baseline
            told = (
                f"{what} is {abs(factor - 1):.1%} {'slower' if factor > 1 else 'faster'}: untraced, {words} is "
                f"{old.baseline:.3g} ms before and {new.baseline:.3g} ms after"
            )
            yield Shift(name, factor, factor * (_relative(old) ** 2 + _relative(new) ** 2) ** 0.5, told)


def _relative(estimate: Estimate) -> float:
    """Standard error of an untraced arm's mean, as a share of it; 0 where it has no interval."""
    if estimate.baseline_low is None or estimate.baseline_high is None or not estimate.baseline:
        return 0.0
    half_width = (estimate.baseline_high - estimate.baseline_low) / 2
    return half_width / float(stdtrit(estimate.forks - 1, (1 + FIXED_LEVEL) / 2)) / estimate.baseline
