"""Where the cells' time went, and how much of it was not measuring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.format import ABSENT, number, percent

if TYPE_CHECKING:
    from harness.records import CellRecord

_LEAST_S = 0.05
"""What took less is not listed."""


def not_measuring(cell: CellRecord) -> str:
    """The share of a cell's time that was not measuring, such as ``55% of 40.1 s``."""
    share = cell.not_measuring_share
    if share is None:
        return ABSENT
    own_s = sum(cell.stages_s.values()) - cell.stages_s.get("waiting", 0.0)
    return f"{percent(share)} of {number(own_s, decimals=1)} s"


def stages_shown(cell: CellRecord) -> str:
    """A cell's stages with their seconds, the longest first."""
    longest = sorted(cell.stages_s.items(), key=lambda stage: -stage[1])
    shown = [
        f"{name.replace('_', ' ')} {number(spent_s, decimals=1)} s" for name, spent_s in longest if spent_s >= _LEAST_S
    ]
    return ", ".join(shown) or ABSENT
