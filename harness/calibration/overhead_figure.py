"""The overhead calibration's figure: every estimate with its interval against what was realised."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from harness.calibration.trial import of_delay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from harness.calibration.bar import Proof
    from harness.calibration.trial import Found

COVERS, MISSES, TRUTH, MUTED = "#2f6f9f", "#c0392b", "#111111", "#666666"


def figure(proof: Proof) -> str:
    """An SVG file with one panel for A/A and one for each delay, cells in the order of their estimates.

    It has a background of its own, because a page shows it as a picture. The same proof gives the same bytes.
    """
    settings: Any = {"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "overhead"}
    with mpl.rc_context(settings):
        panels = [row.planted for row in proof.rows]
        drawn = Figure(figsize=(3.2 * max(len(panels), 1), 3.4), layout="constrained")
        for index, planted in enumerate(panels):
            axes = drawn.add_subplot(1, len(panels), index + 1)
            _panel(axes, planted, sorted(of_delay(proof.found, planted), key=lambda one: one.value_ms))
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _panel(axes: Axes, planted: str, found: Sequence[Found]) -> None:
    for place, one in enumerate(found):
        colour = COVERS if one.covers else MISSES
        axes.plot([place, place], [one.low_ms * 1e3, one.high_ms * 1e3], color=colour, linewidth=1)
        axes.plot([place], [one.value_ms * 1e3], color=colour, marker="o", markersize=2.5)
    places = range(len(found))
    axes.plot(places, [one.truth_ms * 1e3 for one in found], color=TRUTH, linewidth=1)
    axes.axhline(0, color=MUTED, linewidth=0.8, linestyle=":")
    covered = sum(one.covers for one in found)
    axes.set_title(f"{planted or 'nothing (A/A)'}: {covered} of {len(found)} contain the truth", fontsize=9)
    axes.set_xlabel("cells by estimate; line: realised")
    axes.set_ylabel("added p50, us")
    axes.set_xticks([])
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
