"""Cost against completeness: one mark a cell, uncertain both ways, dominated strategies crossed out."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from harness.report.dominance import dominances
from harness.report.figures import (
    BAND,
    INK,
    LABEL_PX,
    LINE,
    MUTED,
    PAPER,
    SERIES,
    SETTINGS,
    Box,
    canvas,
    say,
    svg,
)
from harness.report.format import MINUS, percent

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.report.view import CellView

MARKERS = {"autolog": "o", "manual": "s"}
MARKER_OTHER = "^"
_FROM_ZERO_BELOW = 40.0
"""Where a recall is below this, in percent, the axis begins at zero."""


class _Point(NamedTuple):
    """Added p50 in ms and recall in percent, each with its interval where it has one."""

    cell: CellView
    x: float
    y: float
    low: float | None
    high: float | None
    lower: float | None
    upper: float | None


def _points(cells: list[CellView]) -> list[_Point]:
    points = []
    for cell in cells:
        completeness, overhead = cell.result.completeness, cell.result.overhead
        if completeness is None or overhead is None or completeness.recall is None:
            continue
        estimate = overhead.estimates.get("p50_ms")
        if estimate is None or estimate.value is None or cell.result.cell.against != "untraced":
            continue
        lower, upper = (
            None if bound is None else 100 * bound for bound in (completeness.recall_low, completeness.recall_high)
        )
        points.append(
            _Point(cell, estimate.value, 100 * completeness.recall, estimate.low, estimate.high, lower, upper)
        )
    return points


def cost_against_completeness(
    cells: list[CellView], colours: dict[str, int], name: str, width_px: int = 760
) -> Markup | None:
    """Added p50 with its interval (x) against recall with its own (y); ``None`` if no cell has both.

    ``colours`` gives each provider its colour's index. A hollow mark is a cell whose latency
    got no verdict, a crossed one is dominated; the band is the largest A/A floor of these cells.
    """
    points = _points(cells)
    if not points:
        return None
    narrow = width_px < 500
    height = 300 if narrow else 400
    floors = [cell.floor_ms for cell in cells if cell.floor_ms is not None]
    shades = {provider: SERIES[index % len(SERIES)] for provider, index in colours.items()}
    crossed = {cell.number for one in dominances(cells) for cell, _ in one.dominated}
    figure, axes = canvas(width_px, height, (44, 8, 46, 30))
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # Names may use letters that the font for measuring lacks; the page's fonts have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        _scale(axes, points, max(floors, default=None))
        tips = {}
        for point in points:
            is_crossed = point.cell.number in crossed
            _draw(axes, point, shades[point.cell.provider], crossed=is_crossed)
            tips[_mark_id(point)] = _told(point) + (", dominated" if is_crossed else "")
        _place_labels(figure, axes, points, shades, names=not narrow)
        say(figure, 2, height - 14, "recall", color=INK)
        say(figure, width_px - 8, 8, "added p50 a call, ms", ha="right", color=INK)
        desc = "; ".join(tips.values())
        return svg(figure, name, "Added median latency against recall", desc, tips)


def _told(point: _Point) -> str:
    cell = point.cell
    recall = cell.shown["recall"].text
    if point.lower is not None and point.upper is not None:
        recall += f" [{percent(point.lower / 100)}, {percent(point.upper / 100)}]"
    return f"{cell.number} {cell.name}: recall {recall}, added p50 {cell.shown['added'].text}"


def _mark_id(point: _Point) -> str:
    return f"mark{point.cell.number}"


def _scale(axes: Axes, points: list[_Point], floor_ms: float | None) -> None:
    bounds = [bound for point in points for bound in (point.x, point.low, point.high) if bound is not None]
    bounds += [0.0, *([floor_ms] if floor_ms is not None else [])]
    span = (max(bounds) - min(bounds)) or 1.0
    axes.set_xlim(min(bounds) - 0.06 * span, max(bounds) + 0.12 * span)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 6):g}".replace("-", MINUS)))
    _scale_recall(axes, min(bound for point in points for bound in (point.y, point.lower) if bound is not None))
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    if floor_ms is not None:
        axes.axvspan(-floor_ms, floor_ms, color=BAND, linewidth=0)


def _scale_recall(axes: Axes, least: float) -> None:
    """The axis of recall ends at 100% and begins at zero, or at a round share where all marks lie far above zero."""
    start = 0 if least < _FROM_ZERO_BELOW else 10 * math.floor((least - 4) / 10)
    step = 25 if start == 0 else 10 if start < 70 else 5
    axes.set_ylim(start, 100 + 0.04 * (100 - start))
    axes.yaxis.set_major_locator(FixedLocator(list(range(start, 101, step))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))


def _draw(axes: Axes, point: _Point, colour: str, *, crossed: bool) -> None:
    """The intervals as bars and the cell as a mark, hollow if its latency got no verdict, crossed if dominated."""
    overhead = point.cell.result.overhead
    is_judged = overhead is not None and overhead.verdict != "not judged"
    if point.low is not None and point.high is not None:
        axes.plot([point.low, point.high], [point.y, point.y], color=colour, linewidth=2, alpha=0.55)
    if point.lower is not None and point.upper is not None:
        axes.plot([point.x, point.x], [point.lower, point.upper], color=colour, linewidth=1.2, alpha=0.55)
    (mark,) = axes.plot(
        [point.x],
        [point.y],
        marker=MARKERS.get(point.cell.result.cell.tracing, MARKER_OTHER),
        markersize=9,
        markerfacecolor=colour if is_judged else PAPER,
        markeredgecolor=colour,
        markeredgewidth=1.8,
        linestyle="none",
        clip_on=False,
        zorder=3,
    )
    mark.set_gid(_mark_id(point))
    if crossed:
        axes.plot([point.x], [point.y], marker="x", markersize=7, markeredgecolor=PAPER, markeredgewidth=1.8, zorder=4)


def _candidates(x: float, y: float, width: float, rises: tuple[int, ...]) -> list[tuple[Box, str]]:
    """Places for a label around a point, the best first, each with its horizontal alignment."""
    places = []
    for rise in rises:
        for align, left in (("left", x + 9), ("right", x - 9 - width), ("center", x - width / 2)):
            if align == "center" and not rise:
                continue
            places.append((Box(left - 3, y + rise - 6, left + width + 3, y + rise + 7), align))
    return places


def _taken(axes: Axes, points: list[_Point]) -> list[Box]:
    """What marks and intervals cover."""
    boxes = []
    for point in points:
        x, y = axes.transData.transform((point.x, point.y))
        boxes.append(Box(x - 7, y - 7, x + 7, y + 7))
        if point.low is not None and point.high is not None:
            (left, _), (right, _) = axes.transData.transform([(point.low, point.y), (point.high, point.y)])
            boxes.append(Box(left, y - 2, right, y + 2))
        if point.lower is not None and point.upper is not None:
            (_, bottom), (_, top) = axes.transData.transform([(point.x, point.lower), (point.x, point.upper)])
            boxes.append(Box(x - 2, bottom, x + 2, top))
    return boxes


def _place_labels(figure: Figure, axes: Axes, points: list[_Point], colours: dict[str, str], *, names: bool) -> None:
    """Label each point where it covers no other label or mark: number and name, else the number, else nothing."""
    frame = axes.get_window_extent()
    spots = [axes.transData.transform((point.x, point.y)) for point in points]
    taken = _taken(axes, points)
    width_px = figure.get_figwidth() * 72
    for point, (x, y) in zip(points, spots, strict=True):
        near = (0, 14, -14)
        texts = [(f"{point.cell.number} {point.cell.strategy}", near)] if names else []
        for text, rises in [*texts, (str(point.cell.number), (*near, 26, -26))]:
            free = [
                (box, align)
                for box, align in _candidates(x, y, len(text) * LABEL_PX * 0.58, rises)
                if box.left > frame.x0 - 4
                and box.right < width_px - 2
                and frame.y0 < box.bottom
                and box.top < frame.y1 + 8
                and not any(box.meets(other) for other in taken)
            ]
            if free:
                box, align = free[0]
                anchor = {"left": box.left + 3, "right": box.right - 3, "center": (box.left + box.right) / 2}[align]
                say(figure, anchor, box.bottom + 2, text, ha=align, color=colours[point.cell.provider])
                taken.append(box)
                break
