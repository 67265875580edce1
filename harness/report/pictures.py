"""Figures as SVG files of their own, for Markdown: GitHub shows them, light and dark."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.report.cost_figure import cost_against_completeness
from harness.report.format import listed
from harness.report.load_figures import load_figures
from harness.report.steps import step_tables
from harness.report.steps_figure import by_scale, steps_figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from harness.report.view import SweepView

FOLDER = "figures"
Section = Literal["cost", "steps", "loads"]


class Picture(NamedTuple):
    """A figure in a file.

    Attributes:
        section: The section of the report that it belongs to.
        file: Its path beside ``report.md``.
        alt: What it shows, in a sentence.
        text: The SVG.
    """

    section: Section
    file: str
    alt: str
    text: str


def pictures(view: SweepView) -> list[Picture]:
    """All figures of the sweep's Markdown, in the order of its sections."""
    return [*_cost(view), *_steps(view), *_loads(view)]


def _cost(view: SweepView) -> Iterator[Picture]:
    colours = {provider: index for index, provider in enumerate(dict.fromkeys(cell.provider for cell in view.cells))}
    for number, setting in enumerate(view.settings, start=1):
        members = [view.cells[cell - 1] for cell in setting.numbers]
        drawn = cost_against_completeness(members, colours, f"cost{number}")
        if drawn is not None:
            words = f" ({setting.words})" if setting.words else ""
            alt = f"Added median latency against recall, with their intervals{words}"
            yield Picture("cost", f"{FOLDER}/cost-{number}.svg", alt, standalone(drawn))


def _steps(view: SweepView) -> Iterator[Picture]:
    parts = [part for table in step_tables(view.sweep) for part in by_scale(table)]
    for number, table in enumerate(parts, start=1):
        drawn = steps_figure(table, f"steps{number}", legend=True)
        if drawn is not None:
            ways = listed([row.way for row in table.rows])
            alt = f"{table.label}: {table.title}, the steps stacked over the whole, {ways}"
            yield Picture("steps", f"{FOLDER}/steps-{number}.svg", alt, standalone(drawn))


def _loads(view: SweepView) -> Iterator[Picture]:
    for number, setting in enumerate(view.settings, start=1):
        members = [view.cells[cell - 1] for cell in setting.numbers]
        for index, one in enumerate(load_figures(members, f"load{number}"), start=1):
            words = f" ({setting.words})" if setting.words else ""
            alt = f"{one.title}, by the numbers of the cells{words}"
            yield Picture("loads", f"{FOLDER}/loads-{number}-{index}.svg", alt, standalone(one.drawing))


def standalone(drawn: Markup) -> str:
    """The SVG of a page as a file: with the page's colours for both schemes, a background, and its size in pixels."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    size = f' width="{found[1]}" height="{found[2]}"' if found else ""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    style = f"<style>{_colours()} svg {{ background: var(--paper); font-family: var(--sans); }}</style>"
    return re.sub(r"^<svg([^>]*)>", lambda opening: f"<svg {spaces}{size}{opening[1]}>{style}", str(drawn)) + "\n"


def _colours() -> str:
    """The variables of the page's style sheet, light and dark."""
    css = (files("harness.report") / "templates" / "report.css").read_text(encoding="utf-8")
    light = re.search(r"^:root \{.*?^\}", css, flags=re.DOTALL | re.MULTILINE)
    dark = re.search(r"^@media \(prefers-color-scheme: dark\) \{.*?^\}", css, flags=re.DOTALL | re.MULTILINE)
    return " ".join(" ".join(part[0].split()) for part in (light, dark) if part is not None)
