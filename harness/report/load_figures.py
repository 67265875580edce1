"""Figures of loads: cost and throughput against concurrency, size and length, and loss against rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from harness.loads import SATURATION, parse_load
from harness.report.figures import INK, LINE, MUTED, SERIES, SETTINGS, canvas, say, svg
from harness.report.format import MINUS, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markupsafe import Markup
    from matplotlib.axes import Axes

    from harness.report.view import CellView
    from harness.results import Estimate, LoadResult

_WIDTH, _HEIGHT = 340, 230


class Line(NamedTuple):
    """One cell's line: points are x, y and the interval of y, if it has one; of losses their range over forks."""

    cell: CellView
    words: str
    dashed: bool
    points: tuple[tuple[float, float, float | None, float | None], ...]


class LoadFigure(NamedTuple):
    """A figure and what it shows, in a sentence."""

    title: str
    drawing: Markup


class _Kind(NamedTuple):
    title: str
    kinds: tuple[str, ...]
    estimate: str
    x: str
    y: str


_STEADY = (
    _Kind("Throughput against concurrency", ("threads", "asyncio"), "throughput_ratio", "calls at once", "of untraced"),
    _Kind("Added p50 against concurrency", ("threads", "asyncio"), "p50_ms", "calls at once", "ms"),
    _Kind("Added p50 against payload", ("payload",), "p50_ms", "bytes each way", "ms"),
    _Kind("Added to each further chunk", ("chunks",), "per_chunk_us", "chunks", "µs"),
    _Kind("Added at the end of a stream", ("chunks",), "stream_end_p50_ms", "chunks", "ms"),
)


def load_figures(cells: Iterable[CellView], name: str) -> list[LoadFigure]:
    """The figures that these cells of one setting have data for; cells without tracing are drawn too."""
    members = [cell for cell in cells if cell.result.loads]
    drawn = []
    for index, kind in enumerate(_STEADY):
        lines = [line for cell in members for which in kind.kinds if (line := _steady(cell, which, kind.estimate))]
        if any(len(line.points) > 1 for line in lines):
            drawn.append(_drawn(kind.title, lines, f"{name}-{index}", kind.x, kind.y))
    lines = [line for cell in members if (line := _loss(cell)) is not None]
    if lines:
        drawn.append(_drawn("Loss against rate", lines, f"{name}-loss", "calls/s", "% lost, range over forks"))
    return drawn


def colour_index(cell: CellView) -> int:
    """Which of the page's colours a cell has in these figures: cells of one provider differ here."""
    return (cell.number - 1) % len(SERIES)


def _steady(cell: CellView, kind: str, name: str) -> Line | None:
    points = []
    for load in cell.result.loads:
        parsed = parse_load(load.load)
        estimate = load.estimates.get(name)
        if parsed.kind == kind and estimate is not None and _drawable(load) and estimate.value is not None:
            points.append((float(parsed.size), estimate.value, estimate.low, estimate.high))
    return Line(cell, kind, kind == "asyncio", tuple(sorted(points))) if points else None


def _drawable(load: LoadResult) -> bool:
    """A latency that is not judged because traces were lost would look cheap."""
    return not load.traces_lost


def _loss(cell: CellView) -> Line | None:
    points = []
    for load in cell.result.loads:
        if load.load != SATURATION:
            continue
        for step in load.steps:
            share: Estimate = step.lost_share
            if share.value is not None and step.achieved_per_s.value is not None:
                over_forks = [100 * one for one in share.per_fork or (share.value,)]
                points.append((step.achieved_per_s.value, 100 * share.value, min(over_forks), max(over_forks)))
    return Line(cell, SATURATION, dashed=False, points=tuple(sorted(points))) if points else None


def _drawn(title: str, lines: list[Line], name: str, x: str, y: str) -> LoadFigure:
    figure, axes = canvas(_WIDTH, _HEIGHT, (46, 22, 38, 26))
    with mpl.rc_context(SETTINGS):
        _scale(axes, lines)
        axes.grid(color=LINE, linewidth=0.8)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        tips = {}
        for index, line in enumerate(lines):
            mark = f"line{index}"
            tips[mark] = _told(line, y)
            _draw(axes, line, mark)
        say(figure, 2, _HEIGHT - 14, y, color=INK)
        say(figure, _WIDTH - 8, 6, x, ha="right", color=INK)
        return LoadFigure(title, svg(figure, name, title, "; ".join(tips.values()), tips))


def _draw(axes: Axes, line: Line, mark: str) -> None:
    colour = SERIES[colour_index(line.cell)]
    xs = [point[0] for point in line.points]
    (drawn,) = axes.plot(
        xs,
        [point[1] for point in line.points],
        color=colour,
        linestyle=(0, (4, 2.5)) if line.dashed else "-",
        linewidth=1.8,
        marker="o",
        markersize=4.5,
    )
    drawn.set_gid(mark)
    for x, _, low, high in line.points:
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=1.8, alpha=0.45)
    last = line.points[-1]
    axes.annotate(
        str(line.cell.number),
        (last[0], last[1]),
        xytext=(6, -4),
        textcoords="offset points",
        color=colour,
        annotation_clip=False,
    )


def _scale(axes: Axes, lines: list[Line]) -> None:
    xs = sorted({point[0] for line in lines for point in line.points})
    if xs[0] > 0 and xs[-1] / xs[0] >= 8:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(FixedLocator(xs if len(xs) < 7 else xs[:: len(xs) // 5]))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(_signed))


def _signed(value: float, _: object) -> str:
    return f"{round(value, 6):g}".replace("-", MINUS)


def _short(value: float, _: object) -> str:
    """A number that fits under a narrow axis: ``1000000`` is ``1M``."""
    for step, letter in ((1e6, "M"), (1e3, "k")):
        if value >= step and value % (step / 10) == 0:
            return f"{value / step:g}{letter}"
    return f"{round(value, 1):g}"


def _told(line: Line, unit: str) -> str:
    points = ", ".join(f"{number(value)} at {_short(x, None)}" for x, value, _, _ in line.points)
    return f"{line.cell.number} {line.cell.name}, {line.words}: {points} ({unit})"
