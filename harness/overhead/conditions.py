"""What else may have made a difference between two cells: another pace of the calls, or another machine.

The gate asks the same two questions of two runs, at the same pace limit, and goes on to ask what a changed machine
cannot explain (``harness.gate.machines``); here such a change is left open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from harness.results import CellResult

SAME_PACE = 0.1
"""Paces that differ by no more than this share are one."""
OF_MACHINE = {"p50_ms": "p50", "cpu_ms_per_call": "CPU per call"}
"""What untraced arms are compared by."""
_OF_LATENCY = "p50_ms"


class Between(NamedTuple):
    """What differs between two cells beside what they are compared for.

    Attributes:
        pace: Why latencies must not be compared, if the calls came at another pace; else empty.
        machine: Rise of the untraced arms' costs, as a share: of that one among ``OF_MACHINE`` that changed most.
        machine_told: The same in words.
    """

    pace: str
    machine: float
    machine_told: str

    def withholds(self, quantity: str, added_ms: float, margin_ms: float) -> str:
        """Why nothing can be said of a cost that was ``added_ms`` before; empty if something can."""
        if self.pace and quantity == _OF_LATENCY:
            return self.pace
        # What equal tracing would have cost more, or less, on such a machine.
        return self.machine_told if abs(self.machine) * abs(added_ms) > margin_ms else ""


def between(before: CellResult, after: CellResult) -> Between:
    """What the records of two cells say of the conditions that both were timed under."""
    rise, told = _machine(before, after)
    return Between(_pace(before, after), rise, told)


def _pace(before: CellResult, after: CellResult) -> str:
    old, new = before.cell.period_ms, after.cell.period_ms
    if old is None or new is None or abs(new - old) <= SAME_PACE * min(old, new):
        return ""
    return f"calls began every {old:.3g} ms before and every {new:.3g} ms after"


def _machine(before: CellResult, after: CellResult) -> tuple[float, str]:
    """How much slower the machine was, by the untraced arms: 0.2 is by a fifth; 0 where nobody says."""
    found = [(0.0, "")]
    # Tracing at a lower level is no measure of the machine.
    if before.overhead is None or after.overhead is None or before.cell.against != "untraced":
        return found[0]
    what = "the machine" if before.cell.versions == after.cell.versions else "the machine or the SDK itself"
    for name, words in OF_MACHINE.items():
        old, new = (one.estimates.get(name) for one in (before.overhead, after.overhead))
        if old and new and old.baseline and new.baseline and old.baseline > 0:
            rise = new.baseline / old.baseline - 1
            told = (
                f"{what} is {abs(rise):.1%} {'slower' if rise > 0 else 'faster'}: untraced, {words} is "
                f"{old.baseline:.3g} ms before and {new.baseline:.3g} ms after"
            )
            found.append((rise, told))
    return max(found, key=lambda one: abs(one[0]))
