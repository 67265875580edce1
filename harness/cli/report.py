"""``harness report``: a sweep's report, made anew from its raw records."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.compose import compose_cells
from harness.cli.console import OUT
from harness.cli.output import make_folder, write_text
from harness.cli.sweep import read_sweep, show, show_place
from harness.errors import InputError
from harness.report import report_files
from harness.tracking import Store, absolute_uri

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(given: list[str]) -> int:
    """Write ``report.html``, ``report.md`` with its figures and ``cells.json`` of a sweep into a folder.

    Raises:
        InputError: If there is no such sweep.
    """
    parser = argparse.ArgumentParser(
        prog="harness report",
        description="Make a sweep's report anew from its raw records and write it into a folder.",
        epilog="example: harness report 3f2a91bc --output my-report",
    )
    parser.add_argument("sweep", help="latest, or id of the sweep as its run's name has it, or id of its MLflow run")
    parser.add_argument("--output", type=Path, default=Path(), help="folder to write to (default: the current one)")
    parser.add_argument("overrides", nargs="*", help="such as store.uri=sqlite:///other.db")
    arguments = parser.parse_args(given)
    store, run_id = find_sweep(arguments.sweep, arguments.overrides)
    sweep = read_sweep(store, run_id)
    make_folder("--output", arguments.output)
    texts = report_files(sweep)
    for name, text in texts.items():
        write_text("--output", arguments.output / name, text)
    show(sweep)
    show_place(sweep, store, run_id)
    OUT.print(f"Wrote {', '.join(texts)} to {arguments.output.absolute()} (sweep {sweep.sweep_id})", soft_wrap=True)
    return 0


def find_sweep(name: str, overrides: Sequence[str]) -> tuple[Store, str]:
    """The store that a command line names, and the MLflow run of a sweep in it.

    Args:
        name: ``latest``, or the id of the sweep or of its run.
        overrides: Such as ``store.uri=sqlite:///other.db``.

    Raises:
        InputError: If there is no such sweep.
    """
    config = compose_cells(overrides, multirun=False)[0]
    store = Store(absolute_uri(config.store.uri), config.store.experiment)
    run = store.find_sweep(name)
    if run is None:
        known = ", ".join(store.sweep_ids()[:8]) or "none"
        raise InputError(f"there is no sweep {name!r} in {store.uri}; the latest are: {known}")
    return store, str(run.info.run_id)
