"""The shift function of a cell: what is added to fast, usual and slow calls, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from harness.report.figures import ACCENT, INK, LINE, MUTED, SETTINGS, canvas, say, svg
from harness.report.format import MINUS
from harness.report.quantities import estimate_shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markupsafe import Markup

    from harness.report.view import CellView
    from harness.results import QuantileShift

_WIDTH, _HEIGHT = 300, 150
_SIDES = (5, 102)
"""Ends of the axis of quantiles, in percent."""


def shift_figures(cells: Iterable[CellView], name: str) -> dict[int, Markup]:
    """By cell number the shift function of each cell that has intervals, all on one scale."""
    drawn = {cell.number: (cell, points) for cell in cells if (points := _points(cell))}
    bounds = [0.0]
    for _, points in drawn.values():
        for point in points:
            bounds += [bound for bound in (point.added.low, point.added.high) if bound is not None]
    span = (min(bounds), max(bounds))
    return {number: _figure(cell, points, span, f"{name}-{number}") for number, (cell, points) in drawn.items()}


def _points(cell: CellView) -> list[QuantileShift]:
    """The quantiles of which an interval is known."""
    overhead = cell.result.overhead
    return [] if overhead is None else [one for one in overhead.shift if one.added.low is not None]


def _figure(cell: CellView, points: list[QuantileShift], span: tuple[float, float], name: str) -> Markup:
    figure, axes = canvas(_WIDTH, _HEIGHT, (38, 10, 34, 22))
    low, high = span
    room = 0.06 * (high - low) or 0.1
    with mpl.rc_context(SETTINGS):
        axes.set_xlim(*_SIDES)
        axes.set_ylim(low - room * (low < 0), high + room)
        axes.xaxis.set_major_locator(FixedLocator([10, 30, 50, 70, max(80, points[-1].percent)]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"p{value:.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 6):g}".replace("-", MINUS)))
        axes.grid(color=LINE, linewidth=0.8)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        values = [(one.percent, one.added.value or 0.0) for one in points]
        axes.plot(*zip(*values, strict=True), color=ACCENT, linewidth=1.0, alpha=0.6)
        tips = {}
        for one, (percent, value) in zip(points, values, strict=True):
            ends = [bound for bound in (one.added.low, one.added.high) if bound is not None]
            axes.plot([percent] * len(ends), ends, color=ACCENT, linewidth=2.2, alpha=0.5)
            (mark,) = axes.plot([percent], [value], marker="o", markersize=4.5, color=ACCENT, linestyle="none")
            mark.set_gid(f"p{percent}")
            tips[f"p{percent}"] = f"p{percent}: {estimate_shown(one.added).text}"
        say(figure, 2, _HEIGHT - 12, "added, ms", color=INK, fontsize=10.5)
        title = f"Added latency at quantiles of {cell.name}"
        return svg(figure, name, title, "; ".join(tips.values()), tips)
