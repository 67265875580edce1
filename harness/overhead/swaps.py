"""Costs that are no step's: where two levels of a strategy also have other places for their traces.

A level below ``exported`` always has a SQLite store, so that it costs the same wherever the traces of the next
one go. The step from it to a server or a collector puts that in SQLite's place: what SQLite takes once a process
(its driver, its migrations, its memory) is taken off, and would stand there as savings of tracing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config import LEVELS

if TYPE_CHECKING:
    from harness.records import CellRecord
    from harness.results import Estimate

ONCE_A_PROCESS = (
    "peak_memory_mib",
    "import_cpu_ms",
    "first_call_ms",
    "first_call_cpu_ms",
    "first_calls_cpu_ms",
)
"""Entries of the ledger that a store takes part in whether or not traces reach it."""


def without_swaps(ledger: dict[str, Estimate], cell: CellRecord) -> dict[str, Estimate]:
    """The ledger, of a step into another destination without what the two destinations differ in themselves."""
    if cell.against == LEVELS[0] or cell.into == "sqlite":
        return ledger
    reason = (
        f"the other arm ({cell.against}) opens a SQLite store, and this one has a {cell.into} in its place: their "
        "difference is that of two destinations, and no step's"
    )
    nothing = {"value": None, "low": None, "high": None, "per_fork": (), "reason": reason}
    nothing |= dict.fromkeys(("baseline", "baseline_low", "baseline_high", "ratio", "ratio_low", "ratio_high"))
    return {
        name: estimate.model_copy(update=nothing) if name in ONCE_A_PROCESS else estimate
        for name, estimate in ledger.items()
    }
