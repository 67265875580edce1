"""Figures as inline SVG that takes its colours and its font from the page.

Matplotlib draws with fixed stand-in colours, which become CSS variables afterwards, so that one
figure serves the light and the dark page. Texts stay texts. The same input gives the same bytes.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from harness.report.format import ABSENT, count, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.report.view import CellView

ECDF_POINTS = 200
"""Points to which a distribution's line is thinned; its ends are always kept."""

INK, MUTED, LINE, BAND, PAPER, ACCENT = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f", "#101112"
SERIES = tuple(f"#2021{index:02x}" for index in range(8))
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    BAND: "--band",
    PAPER: "--paper",
    ACCENT: "--accent",
} | {colour: f"--s{index}" for index, colour in enumerate(SERIES)}
LABEL_PX = 11.5
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": LABEL_PX,
    "svg.fonttype": "none",
    "path.simplify": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.unicode_minus": True,
}


class Box(NamedTuple):
    """A rectangle in pixels, to keep labels off each other."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )


def svg(figure: Figure, name: str, title: str, desc: str, tips: dict[str, str]) -> Markup:
    """The figure's SVG for inlining: no prolog, no metadata, ids of its own, CSS colours, title and description.

    ``tips`` maps ids of marks to the text that a pointer shows over them.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # A hundredth of a pixel is finer than any screen; matplotlib writes a millionth.
    text = re.sub(
        r' d="[^"]+"', lambda path: re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", path[0]), text
    )
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    for mark, tip in tips.items():
        text = text.replace(f'<g id="{mark}">', f"<g><title>{escape(tip)}</title>")
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", text)
    text = re.sub(r"(font: [^;\"]*?[\d.]+px) [^;\"]+", r"\1 var(--sans)", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    box = re.search(r'viewBox="[^"]+"', text)
    opening = (
        f'<svg {box[0] if box else ""} role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(desc)}</desc>'
    )
    return Markup(re.sub(r"^<svg[^>]*>", lambda _: opening, text))  # noqa: S704 - our own SVG, every text escaped


def canvas(width_px: int, height_px: int, margins_px: tuple[int, int, int, int]) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; margins are left, right, bottom, top."""
    left, right, bottom, top = margins_px
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width_px / 72, height_px / 72), dpi=72)
        axes = figure.add_axes(
            (
                left / width_px,
                bottom / height_px,
                1 - (left + right) / width_px,
                1 - (bottom + top) / height_px,
            )
        )
    for side in ("left", "top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def say(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Put a text at a pixel of the figure, from its lower left; a dollar sign starts no formula."""
    look = {"fontsize": LABEL_PX, "color": MUTED, **style}
    figure.text(x / (figure.get_figwidth() * 72), y / (figure.get_figheight() * 72), text, parse_math=False, **look)


# Distributions ------------------------------------------------------------------------------


def thin(values: list[float], points: int = ECDF_POINTS) -> list[tuple[float, float]]:
    """An empirical distribution as (value, share at or below it), thinned to so many points."""
    ordered = sorted(values)
    last = len(ordered) - 1
    ranks = range(last + 1) if last < points else sorted({round(step * last / (points - 1)) for step in range(points)})
    return [(ordered[rank], (rank + 1) / len(ordered)) for rank in ranks]


def _arm(cell: CellView, arm: str) -> list[float]:
    return [value for part in cell.result.latencies if part.arm == arm for value in part.latency_ms]


def _latency_range(cells: list[CellView]) -> tuple[float, float] | None:
    """Least and greatest latency of all cells, so that they can share a scale."""
    values = [value for cell in cells for arm in ("baseline", "strategy") for value in _arm(cell, arm)]
    return (min(values), max(values)) if values else None


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    every = [digit * 10.0**power for power in range(-4, 7) for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
    for keep in (every, [tick for tick in every if f"{tick:e}"[0] != "2"], [t for t in every if f"{t:e}"[0] == "1"]):
        if len(keep) <= most:
            return keep
    return every[:: len(every) // most + 1]


def _latency_axis(axes: Axes, span: tuple[float, float]) -> str:
    """Scale the axis of latencies; it is logarithmic where a line could not show both ends."""
    low, high = span
    if low > 0 and high / low > 8:
        axes.set_xscale("log")
        axes.set_xlim(low * 0.9, high * 1.1)
        axes.xaxis.set_major_locator(FixedLocator(_log_ticks(low * 0.9, high * 1.1, 6)))
        axes.xaxis.set_minor_locator(NullLocator())
        scale = "logarithmic"
    else:
        room = (high - low) * 0.04 or 0.5
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        scale = "linear"
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 6):g}"))
    return scale


def latency_distribution(cell: CellView, span: tuple[float, float], name: str) -> Markup | None:
    """The share of calls at or below a latency, strategy (solid) and baseline (dashed); ``None`` without latencies."""
    arms = {arm: _arm(cell, arm) for arm in ("baseline", "strategy")}
    if not any(arms.values()):
        return None
    width, height = 300, 184
    figure, axes = canvas(width, height, (38, 10, 34, 12))
    looks = {"baseline": (MUTED, (0, (4, 2.5)), 1.5), "strategy": (ACCENT, "-", 2.0)}
    with mpl.rc_context(SETTINGS):
        scale = _latency_axis(axes, span)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.grid(color=LINE, linewidth=0.8)
        told = []
        for arm, values in arms.items():
            if not values:
                told.append(f"{arm}: {ABSENT}")
                continue
            line = thin(values)
            colour, dashes, thickness = looks[arm]
            xs, shares = [line[0][0], *(x for x, _ in line)], [0.0, *(share for _, share in line)]
            axes.plot(xs, shares, color=colour, linestyle=dashes, linewidth=thickness, drawstyle="steps-post")
            middle = next(x for x, share in line if share >= 0.5)
            told.append(f"{arm}: {count(len(values), 'call')}, half of them within {quantity(middle, 'ms')}")
        say(figure, width - 10, 4, f"ms, {scale}", ha="right", fontsize=10.5)
        return svg(figure, name, f"Latencies of {cell.name}", f"{'; '.join(told)}.", {})


def distributions(cells: list[CellView], name: str) -> list[tuple[CellView, Markup]]:
    """One small figure for each of the cells that has latencies, all on one scale."""
    span = _latency_range(cells)
    if span is None:
        return []
    drawn = [(cell, latency_distribution(cell, span, f"{name}-{cell.number}")) for cell in cells]
    return [(cell, figure) for cell, figure in drawn if figure is not None]
