"""The A/A floor under a load: what two untraced arms differ by, in the same setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.report.view import CellView, SweepView
    from harness.results import Estimate


def load_floor_ms(cell: CellView, load: str, view: SweepView) -> tuple[float | None, str | None]:
    """The noise floor of added p50 under a load, or why there is none: that of the same load untraced."""
    entries = [
        other.estimates["p50_ms"]
        for peer in _peers(cell, view)
        for other in peer.result.loads
        if other.load == load and other.is_floor
    ]
    floor = _largest(entries)
    if floor is not None:
        return floor, None
    return None, f"The sweep has no tracing=none cell of {cell.provider} with an interval under {load}."


def _peers(cell: CellView, view: SweepView) -> list[CellView]:
    """Cells of the same provider that were measured under the same conditions."""
    return [peer for peer in view.cells if (peer.setting, peer.provider) == (cell.setting, cell.provider)]


def _largest(estimates: Iterable[Estimate]) -> float | None:
    """The bound of the intervals that is farthest from zero; ``None`` without an interval."""
    bounds = [
        max(abs(estimate.low), abs(estimate.high))
        for estimate in estimates
        if estimate.low is not None and estimate.high is not None
    ]
    return max(bounds, default=None)
