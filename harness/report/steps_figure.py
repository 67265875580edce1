"""The steps from level to level stacked, beside the bar of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.report.figures import INK, LABEL_PX, LINE, MUTED, SERIES, SETTINGS, canvas, say, svg
from harness.report.format import MINUS, quantity
from harness.report.steps import way_of

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.report.steps import StepTable
    from harness.results import Estimate, StepSum

_GROUP_PX = 66
_LEGEND_PX = 24
_APART = 5.0
"""Bars that are so many times as long as others get a figure of their own."""

_BAR = 0.24
"""Height of a bar, as a share of the room that one way out has."""


def by_scale(table: StepTable) -> list[StepTable]:
    """The table in parts that one scale can show: ways that wait for the export apart where they dwarf the others."""
    parts = [
        [index for index, one in enumerate(table.sums) if (one.asynchronous is False) is waits]
        for waits in (False, True)
    ]
    ends = [max((abs(end) for index in part for end in _bounds(table.sums[index])), default=0.0) for part in parts]
    if min(ends) <= 0 or max(ends) < _APART * min(ends):
        return [table]
    return [
        table._replace(
            rows=tuple(table.rows[index] for index in part),
            sums=tuple(table.sums[index] for index in part),
            sentences=tuple(table.sentences[index] for index in part),
        )
        for part in parts
    ]


def steps_figure(table: StepTable, name: str, width_px: int = 760, *, legend: bool = False) -> Markup | None:
    """For each way out the steps stacked, with the interval of their sum, over the whole with its own.

    Steps that came out below zero lie to the left of it. ``legend`` names the steps in the figure itself, for
    where no page does. ``None`` if nothing was measured.
    """
    drawn = [one for one in table.sums if _bounds(one)]
    if not drawn:
        return None
    room = _LEGEND_PX if legend else 0
    height = 34 + _GROUP_PX * len(drawn) + room
    figure, axes = canvas(width_px, height, (10, 10, 34, 2 + room))
    tips: dict[str, str] = {}
    with mpl.rc_context(SETTINGS):
        _scale(axes, [bound for one in drawn for bound in _bounds(one)], len(drawn))
        for index, one in enumerate(drawn):
            place = len(drawn) - 1 - index
            tips |= _draw(axes, one, place)
            top = 34 + _GROUP_PX * (place + 1) - 15
            say(figure, 10, top, way_of(one), color=INK)
            say(figure, width_px - 10, top, one.verdict, ha="right")
        say(figure, width_px - 10, 4, "ms a call", ha="right")
        if legend:
            _legend(figure, table.levels, height - 16)
        return svg(figure, name, f"{table.label}: {table.title}, step by step", " ".join(table.sentences), tips)


def _legend(figure: Figure, levels: tuple[str, ...], y: float) -> None:
    """The steps and the whole by name, each in its colour."""
    x = 10.0
    named = [(level, SERIES[index % len(SERIES)]) for index, level in enumerate(levels)]
    for word, colour in [*named, ("end to end", MUTED)]:
        say(figure, x, y, f"■ {word}", color=colour)
        x += (len(word) + 4) * LABEL_PX * 0.6


def _bounds(one: StepSum) -> list[float]:
    """All values and bounds of one way out."""
    steps = [step.estimate.value for step in one.steps if step.estimate is not None and step.estimate.value is not None]
    sides = [sum(value for value in steps if value > 0), sum(value for value in steps if value < 0)] if steps else []
    whole = one.whole.estimate
    ends = [end for estimate in (one.total, whole) if estimate is not None for end in (estimate.low, estimate.high)]
    values = [whole.value] if whole is not None else []
    return [bound for bound in (*sides, *ends, *values) if bound is not None]


def _scale(axes: Axes, bounds: list[float], groups: int) -> None:
    low, high = min([0.0, *bounds]), max([0.0, *bounds])
    room = 0.04 * (high - low) or 0.1
    axes.set_xlim(low - room * (low < 0), high + room)
    axes.set_ylim(0, groups)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 6):g}".replace("-", MINUS)))
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    axes.axvline(0, color=MUTED, linewidth=0.8)


def _draw(axes: Axes, one: StepSum, place: int) -> dict[str, str]:
    """The two bars of one way out; returns what a pointer shows over them."""
    tips: dict[str, str] = {}
    upper, lower = place + 0.52, place + 0.2
    reached = {True: 0.0, False: 0.0}
    for index, step in enumerate(one.steps):
        estimate = step.estimate
        if estimate is None or estimate.value is None:
            continue
        positive = estimate.value >= 0
        (bar,) = axes.barh(
            upper, estimate.value, _BAR, left=reached[positive], color=SERIES[index % len(SERIES)], linewidth=0
        )
        reached[positive] += estimate.value
        bar.set_gid(f"step{place}-{index}")
        tips[f"step{place}-{index}"] = f"{step.against} to {step.level}: {_text(estimate)}"
    _whisker(axes, one.total, upper)
    whole = one.whole.estimate
    if whole is not None and whole.value is not None:
        (bar,) = axes.barh(lower, whole.value, _BAR, color=MUTED, alpha=0.45, linewidth=0)
        bar.set_gid(f"whole{place}")
        tips[f"whole{place}"] = f"end to end: {_text(whole)}"
        _whisker(axes, whole, lower)
    return tips


def _whisker(axes: Axes, estimate: Estimate, y: float) -> None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return
    axes.plot([estimate.low, estimate.high], [y, y], color=INK, linewidth=1.4)
    axes.plot([estimate.value], [y], marker="|", markersize=9, color=INK)


def _text(estimate: Estimate) -> str:
    return quantity(estimate.value, estimate.unit, estimate.low, estimate.high)
