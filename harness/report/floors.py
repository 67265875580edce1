"""The A/A floor under a load: what two untraced arms differ by, in the same setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.quantities import OTHER_ARM

if TYPE_CHECKING:
    from harness.report.view import CellView, SweepView

NEUTRAL = {"throughput_ratio": 1.0, "sustained_ratio": 1.0}
"""Estimates that are not 0 where both arms are alike, and what they are then."""


def load_floor(cell: CellView, load: str, name: str, view: SweepView) -> tuple[float | None, str | None]:
    """The noise floor of a quantity under a load in its own unit, or why there is none.

    It is the bound of the A/A cell's interval that is farthest from no difference. A cell of other conditions
    gives none, nor does one that could not be judged under this load. A step between two levels of tracing has none.
    """
    if cell.result.cell.against != "untraced":
        return None, OTHER_ARM
    floors = [
        other
        for peer in view.cells
        if (peer.setting, peer.provider) == (cell.setting, cell.provider)
        for other in peer.result.loads
        if other.load == load and other.is_floor
    ]
    if not floors:
        return None, f"The sweep has no tracing=none cell of {cell.provider} under {load}."
    judged = [floor for floor in floors if floor.verdict != "not judged"]
    if not judged:
        return None, f"The A/A cell of {cell.provider} was not judged under {load}."
    neutral = NEUTRAL.get(name, 0.0)
    bounds = [
        max(abs(estimate.low - neutral), abs(estimate.high - neutral))
        for floor in judged
        if (estimate := floor.estimates.get(name)) is not None
        and estimate.low is not None
        and estimate.high is not None
    ]
    if bounds:
        return max(bounds), None
    return None, f"The A/A cell of {cell.provider} has no interval of {name} under {load}."
