"""The table of cells for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.report.format import ABSENT, count, give_or_take
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from harness.report.quantities import Shown
    from harness.report.view import CellView
    from harness.results import SweepResult

_STATUS_STYLES = {"ok": "green", "failed": "bold red", "interrupted": "yellow", "not applicable": "dim"}


def _amount(cell: CellView, name: str) -> str:
    """An estimate without its unit, which the heading has, and below it half the width of its interval."""
    overhead = cell.result.overhead
    estimate = overhead.estimates.get(name) if overhead is not None else None
    if estimate is None:
        return ABSENT
    return "\n".join(filter(None, give_or_take(estimate.value, estimate.low, estimate.high)))


def _without_unit(shown: Shown) -> str:
    return shown.text.replace(" ms", "")


def console_table(sweep: SweepResult) -> Table:
    """One row a cell: status, scores, traces, added latency with its interval, CPU and drain.

    It fits a terminal of 80 columns; ± is half the width of a 95% interval, a dash is what could not be measured, and
    cells that did not end well stand below the table with their reasons.
    """
    view = sweep_view(sweep)
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        header_style="bold",
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption_justify="left",
    )
    table.add_column("cell", overflow="fold")
    table.add_column("status", overflow="fold", min_width=6)
    for heading in (
        "recall",
        "fidel-\nity",
        "traces\nstored",
        "added p50\nms [95%]",
        "CPU ms\n/call ±",
        "drain\nms/t ±",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in view.cells:
        added = _without_unit(cell.shown["added"]).replace(" [", "\n[")
        traces = cell.shown["traces"].text.replace(" / ", "/")
        table.add_row(
            Text(cell.name),
            Text(cell.status, style=_STATUS_STYLES[cell.status]),
            Text(cell.shown["recall"].text),
            Text(cell.shown["fidelity"].text),
            Text(traces, style="bold red" if cell.troubles else ""),
            Text(added),
            Text(_amount(cell, "cpu_ms_per_call")),
            Text(_amount(cell, "drain_ms_per_trace")),
        )
    notes = [f"{cell.name} {cell.status}: {cell.reason}" for cell in view.cells if cell.status != "ok"]
    notes += [f"{cell.name}: {cell.troubles}" for cell in view.cells if cell.troubles]
    notes += [
        f"{cell.name}: {count(len(samples), 'sample')} not applicable"
        for cell in view.cells
        if (samples := cell.result.cell.not_applicable) and cell.status != "not applicable"
    ]
    missing = sweep.cells_expected - len(sweep.cells)
    if missing > 0:
        notes.append(f"{missing} of {sweep.cells_expected} cells left no result at all")
    if notes:
        table.caption = Text("\n".join(notes), style="default")
    return table
