"""``harness list``: the sweeps of a store, and the cells of one."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.cli.console import ERR, OUT
from harness.cli.report import open_store
from harness.errors import EXIT_OK
from harness.report.format import count, listed, percent, quantity, utc
from harness.tracking.listing import list_sweeps, other_experiments
from harness.tracking.named import find_named
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.tracking import Store
    from harness.tracking.listing import ListedCell, ListedSweep

_SWEEP_COLUMNS = ("id", "name", "when", "cells", "providers", "strategies", "prompts", "measure", "run id")
_CELL_COLUMNS = ("id", "cell", "status", "prompts", "measure", "recall", "added p50", "traces lost", "run id")
_STATUS_STYLES = {"ok": "green", "failed": "red"}


def main(given: list[str]) -> int:
    """Print the sweeps, or the cells of one; returns 0 also where there is none.

    Raises:
        InputError: If there is no such store or sweep.
    """
    parser = argparse.ArgumentParser(
        prog="harness list",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "List the sweeps of a store, the latest first; or the cells of one sweep. On a terminal it is a table,\n"
            "else lines of tab-separated values with a heading, or with --json a JSON list with more."
        ),
        epilog=(
            "examples\n"
            "  harness list\n"
            "  harness list latest\n"
            "  harness list --json store.uri=sqlite:///other.db store.experiment=published\n\n"
            "What stands under id is what `harness report` and `harness compare` take."
        ),
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="SWEEP or KEY=VALUE",
        help="the sweep whose cells to list; and what says where to look, such as store.uri=sqlite:///other.db",
    )
    arguments = parser.parse_intermixed_args(given)
    names = [one for one in arguments.overrides if "=" not in one]
    if len(names) > 1:
        parser.error(f"one sweep at a time, not {listed(names)}")
    store = open_store([one for one in arguments.overrides if "=" in one])
    sweeps = list_sweeps(store)
    if names:
        run_id = str(find_named(store, names[0], cells=False).sweep.info.run_id)
        (sweep,) = (one for one in sweeps if one.run_id == run_id)
        _print(
            _CELL_COLUMNS,
            [_cell_row(cell) for cell in sweep.cells],
            [_cell(cell) for cell in sweep.cells],
            arguments.json,
        )
        return EXIT_OK
    if sweeps or arguments.json:
        _print(
            _SWEEP_COLUMNS, [_sweep_row(sweep) for sweep in sweeps], [_sweep(sweep) for sweep in sweeps], arguments.json
        )
    for sentence in _hints(store, sweeps):
        # Standard output is the list alone.
        ERR.print(Text(sentence, style="dim"), soft_wrap=True)
    return EXIT_OK


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]], plain: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
        return
    if not OUT.is_terminal:
        for row in (columns, *rows):
            sys.stdout.write("\t".join(" ".join(value.split()) for value in row) + "\n")
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    kept = [at for at, column in enumerate(columns) if column != "name" or _tells(rows, at)]
    for column in (columns[at] for at in kept):
        # Ids are there to be copied whole.
        table.add_column(column, overflow="fold", no_wrap=column == "id", min_width=8 if column == "id" else None)
    for row in rows:
        table.add_row(*(Text(row[at], style=_STATUS_STYLES.get(row[at], "")) for at in kept))
    OUT.print(table)


def _tells(rows: Sequence[Sequence[str]], at: int) -> bool:
    """Whether a run's name says more than the id, which it is made of."""
    return any(row[at] != f"sweep {row[0]}" for row in rows)


def _sweep_row(sweep: ListedSweep) -> list[str]:
    return [
        sweep.sweep_id,
        sweep.name,
        utc(sweep.started_unix_ns),
        ", ".join(f"{number} {status}" for status, number in sweep.statuses.items()) or "none",
        *(", ".join(sweep.values(name)) for name in ("provider", "strategy", "prompts", "measure")),
        sweep.run_id,
    ]


def _sweep(sweep: ListedSweep) -> dict[str, Any]:
    return {
        "id": sweep.sweep_id,
        "name": sweep.name,
        "run_id": sweep.run_id,
        "started_unix_ns": sweep.started_unix_ns,
        "when": utc(sweep.started_unix_ns),
        "status": sweep.status,
        "cells_expected": sweep.cells_expected,
        "cells": sweep.statuses,
        "providers": sweep.values("provider"),
        "strategies": sweep.values("strategy"),
        "prompts": sweep.values("prompts"),
        "measures": sweep.values("measure"),
        "command": sweep.command,
    }


def _cell_row(cell: ListedCell) -> list[str]:
    found = cell.metrics
    bounds = (found.get("overhead.p50_ci_low_ms"), found.get("overhead.p50_ci_high_ms"))
    lost = [found[name] for name in ("traces.lost", "overhead.traces_lost") if name in found]
    return [
        cell.cell_id,
        cell.name,
        cell.status,
        cell.prompts,
        cell.measure,
        percent(found.get("completeness.recall")),
        quantity(found.get("overhead.p50_ms"), "ms", *bounds),
        f"{sum(lost):.0f}" if lost else "",
        cell.run_id,
    ]


def _cell(cell: ListedCell) -> dict[str, Any]:
    plain: dict[str, Any] = cell._asdict()
    return {"id": plain.pop("cell_id"), **plain}


def _hints(store: Store, sweeps: Sequence[ListedSweep]) -> Iterator[str]:
    """What to do where there is nothing, and where else something is."""
    place = f"experiment {store.experiment!r} of {without_secrets(store.uri)}"
    if not sweeps:
        yield f"There is no sweep in {place}. Run one: `make run`, or `harness -m tracing=none,manual,autolog`."
    others = other_experiments(store)
    if others:
        named = listed([f"{name!r} ({count(number, 'sweep')})" for name, number in others.items()])
        yield f"Other experiments of the store have sweeps, too: {named}; list them with store.experiment=NAME."
