"""The report's figures as SVG files of their own, which MLflow's UI shows as pictures."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness import report
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from harness.results import SweepResult

LATENCIES_FILE = "figures/latencies.svg"
COST_FILE = "figures/cost_against_completeness{}.svg"
_STYLESHEET = Path(report.__file__).parent / "templates" / "report.css"
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_SCALE = 1.5
"""The report's figures are small, because a page has many."""


def sweep_figures(sweep: SweepResult) -> dict[str, str]:
    """By file name: added p50 against recall, one figure for each setting of the sweep that has both."""
    # Matplotlib takes half a second to import, which most commands of the command line do without.
    from harness.report.figures import cost_against_completeness  # noqa: PLC0415 - see above

    view = sweep_view(sweep)
    colours = {provider: index for index, provider in enumerate(dict.fromkeys(cell.provider for cell in view.cells))}
    found = {}
    for index, setting in enumerate(view.settings):
        members = [view.cells[number - 1] for number in setting.numbers]
        if (drawn := cost_against_completeness(members, colours, f"cost{index}")) is not None:
            found[COST_FILE.format(f"_{index + 1}" if index else "")] = standalone(drawn)
    return found


def cell_figures(sweep: SweepResult) -> dict[str, dict[str, str]]:
    """By run, then by file name: the latencies of a cell's two arms. All cells have one scale, so that they compare."""
    from harness.report.figures import distributions  # noqa: PLC0415 - as above

    drawn = distributions(list(sweep_view(sweep).cells), "latencies")
    return {
        cell.result.run_id: {LATENCIES_FILE: standalone(figure)}
        for cell, figure in drawn
        if cell.result.run_id is not None
    }


def standalone(inline: str) -> str:
    """An inline SVG as a file: with its namespaces, its size, and the page's colours in both colour schemes."""
    opening = re.match(r'<svg[^>]*viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"[^>]*>', inline)
    if opening is None:
        raise ValueError("the figure has no viewBox")
    width, height = (round(_SCALE * float(side)) for side in opening.groups())
    start = opening[0].replace("<svg", f'<svg {_NAMESPACES} width="{width}" height="{height}"', 1)
    return f"{start}<style>{_colours()}</style>{inline[opening.end() :]}"


@cache
def _colours() -> str:
    """What the page's style sheet says of colours and fonts; without a background a figure could not be read."""
    light, dark = re.findall(r":root \{[^}]*\}", _STYLESHEET.read_text(encoding="utf-8"))[:2]
    return f"{light} @media (prefers-color-scheme: dark) {{ {dark} }} svg {{ background: var(--paper); }}"
