"""A sweep: its run in MLflow, its cells through Hydra, its report, and how it ended."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
import time
import uuid
from typing import TYPE_CHECKING

import hydra
from pydantic import ValidationError
from rich.text import Text

from harness.cli.compose import register_schema, to_config
from harness.cli.console import ERR, OUT, LiveProgress, PlainProgress, make_progress
from harness.config import data_folder
from harness.errors import (
    EXIT_BAD_INPUT,
    EXIT_CELL_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    HarnessError,
    InputError,
    ReportError,
    StoreError,
)
from harness.experiment import run_cell
from harness.experiment.analysis import analyse_cell, floors_of, summarise
from harness.experiment.progress import Progress, Silent
from harness.processes import WorkFolder
from harness.report import (
    console_table,
    description,
    finding_sentences,
    report_files,
    verdict_sentences,
)
from harness.runtimes import prepare_runtimes
from harness.tracking import (
    COMMAND_TAG,
    COUNT_TAG,
    ENDED_TAG,
    KIND_TAG,
    STARTED_TAG,
    SWEEP_TAG,
    Store,
    absolute_uri,
)
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from omegaconf import DictConfig

    from harness.config import HarnessConfig
    from harness.results import SweepResult


LOCAL_UI = "http://127.0.0.1:5000"
"""Where ``make ui`` shows a local store, unless told otherwise."""


class _Shared:
    """What jobs share with the command line where they run in its process, as Hydra's basic launcher has it.

    A job that runs elsewhere finds the defaults.
    """

    progress: Progress = Silent()
    store: Store | None = None
    errors: list[HarnessError] = []  # noqa: RUF012  # one list for the process, emptied by each sweep


def _job(composed: DictConfig) -> None:
    """One Hydra job: one cell."""
    config = to_config(composed)
    try:
        store = _Shared.store or Store(config.store.uri, config.store.experiment)
        run_cell(config, store, _Shared.progress)
    except HarnessError as error:
        # Remembered, not raised: Hydra would end the sweep and with it the other cells.
        _Shared.errors.append(error)
    except Exception as error:  # noqa: BLE001  # a store may fail in ways of its own
        _Shared.errors.append(store_failed(config.store.uri, error))


def run_sweep(cells: Sequence[HarnessConfig], overrides: Sequence[str], *, multirun: bool) -> int:
    """Run all cells that the command line asks for; returns the exit status.

    Args:
        cells: The configuration of every cell, composed and checked.
        overrides: What they were composed from, for Hydra to compose again.
        multirun: Whether it is a sweep.

    Raises:
        InputError: If anything about the input is wrong; nothing was run then.
    """
    command = shlex.join(["harness", *(["-m"] if multirun else []), *overrides])
    return run_batches(cells, [(overrides, multirun)], command)


def run_batches(cells: Sequence[HarnessConfig], batches: Sequence[tuple[Sequence[str], bool]], command: str) -> int:
    """Run several of Hydra's runs as one sweep, for cells that are no product of values; returns the exit status.

    Args:
        cells: The configuration of every cell of all batches, composed and checked.
        batches: For each run of Hydra the overrides, and whether it is a multirun.
        command: The command line, as a report prints it.

    Raises:
        InputError: If anything about the input is wrong; nothing was run then.
    """
    command = without_secrets(command)
    first = cells[0]
    uri = absolute_uri(first.store.uri)
    if {(absolute_uri(cell.store.uri), cell.store.experiment) for cell in cells} != {(uri, first.store.experiment)}:
        raise InputError("a sweep writes to one store and one experiment; sweep over something else")
    # A requirement that cannot be installed is refused before anything is measured.
    prepare_runtimes(cells, lambda text: ERR.print(Text(text, style="dim"), soft_wrap=True))
    store = Store(uri, first.store.experiment)
    store.end_orphans()
    sweep_id = uuid.uuid4().hex[:8]
    tags = {
        KIND_TAG: "sweep",
        SWEEP_TAG: sweep_id,
        COUNT_TAG: str(len(cells)),
        COMMAND_TAG: command,
        STARTED_TAG: str(time.time_ns()),
    }
    with WorkFolder() as folder, temporary_files_in(folder.path):
        run_id = store.start_run(f"sweep {sweep_id}", tags)
        interrupted = False
        try:
            with _shared(store, make_progress(len(cells))):
                passed = {
                    "sweep.sweep_id": sweep_id,
                    "sweep.run_id": run_id,
                    "sweep.work_dir": str(folder.path),
                    "sweep.command": command,
                    "sweep.count": str(len(cells)),
                    "store.uri": uri,
                    "hydra.run.dir": str(folder.path / "hydra"),
                    "hydra.sweep.dir": str(folder.path / "hydra"),
                }
                for overrides, multirun in batches:
                    _run_hydra(overrides, passed, multirun=multirun)
        except KeyboardInterrupt:
            interrupted = True
        except Exception:
            store.end_run(run_id, "FAILED")
            raise
        return _conclude(store, run_id, interrupted=interrupted)


def _conclude(store: Store, run_id: str, *, interrupted: bool) -> int:
    """Make the report from what is in the store, end the sweep's run, and say how it went."""
    try:
        store.set_tag(run_id, ENDED_TAG, str(time.time_ns()))
        with _told_as_ours(store, run_id):
            sweep = read_sweep(store, run_id)
            show(sweep)
            write_report(store, run_id, sweep)
        status = _exit_status(sweep, interrupted=interrupted)
        store.end_run(run_id, "KILLED" if interrupted else "FINISHED" if status == EXIT_OK else "FAILED")
    except ReportError:
        store.end_run(run_id, "FAILED")
        raise
    except Exception as error:
        for lost in _Shared.errors:
            OUT.print(Text(f"not written: {lost}", style="red"), soft_wrap=True)
        raise store_failed(store.uri, error) from error
    show_place(sweep, store, run_id)
    return status


@contextlib.contextmanager
def _told_as_ours(store: Store, run_id: str) -> Iterator[None]:
    """Tell a mistake of the report's from trouble with the store: nothing that was measured is lost by it."""
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValidationError) as error:
        sweep_id = store.client.get_run(run_id).data.tags.get(SWEEP_TAG, run_id)
        said = (str(error).splitlines() or [""])[0]
        raise ReportError(
            without_secrets(
                f"the report could not be made ({type(error).__name__}: {said}), which is a mistake in the harness; "
                f"the records are in the store {store.uri}, and `harness report {sweep_id}` makes the report of them"
            )
        ) from error


def store_failed(uri: str, error: Exception) -> StoreError:
    """Whatever a store raised, in one sentence."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(without_secrets(f"the store {uri} failed: {said}"))


def read_sweep(store: Store, run_id: str, only: str | None = None) -> SweepResult:
    """A sweep's result, made anew from the raw records of its cells, or of the one whose run is ``only``."""
    tags = store.client.get_run(run_id).data.tags
    cells = []
    for cell_run in store.cell_runs(run_id) if only is None else (only,):
        # A cell that was killed before it could write has a run without records: it left no result.
        with contextlib.suppress(StoreError):
            cells.append(analyse_cell(store.read_records(cell_run, timed_exchanges=False), cell_run))
    sweep = summarise(
        sweep_id=tags[SWEEP_TAG],
        command=tags[COMMAND_TAG],
        cells=cells,
        cells_expected=int(tags[COUNT_TAG]),
        started_unix_ns=int(tags[STARTED_TAG]),
        # A sweep whose parent was killed has no end of its own.
        ended_unix_ns=int(tags.get(ENDED_TAG, tags[STARTED_TAG])),
    )
    return sweep.model_copy(update={"experiment_id": store.experiment_id, "ui_address": ui_address(store)})


def ui_address(store: Store) -> str:
    """Where MLflow's UI of the store is to be found: the server itself, or where ``make ui`` starts one."""
    return without_secrets(store.uri.rstrip("/")) if store.uri.startswith("http") else LOCAL_UI


def write_report(store: Store, run_id: str, sweep: SweepResult) -> None:
    """Log the report, the table and the figures to the sweep's run, and the noise floors to each cell's."""
    store.log_texts(run_id, report_files(sweep))
    store.log_sweep(run_id, sweep, description(sweep))
    for cell in sweep.cells:
        own = floors_of(cell, sweep.cells)
        if own and cell.run_id is not None:
            store.log_metrics(cell.run_id, {f"floor.{name}": floor for name, floor in own.items()})


def show(sweep: SweepResult) -> None:
    """Print the table, the verdict, and what went wrong."""
    OUT.print()
    OUT.print(console_table(sweep))
    for sentence in verdict_sentences(sweep):
        OUT.print(Text(sentence.replace("**", "")), soft_wrap=True)
    for sentence in finding_sentences(sweep):
        OUT.print(Text(f"- {sentence}"), soft_wrap=True)
    for cell in sweep.cells:
        if cell.cell.reason:
            style = "" if cell.cell.status == "not applicable" else "red"
            OUT.print(Text(f"{cell.cell.label} {cell.cell.status}: {cell.cell.reason}", style=style), soft_wrap=True)
    for error in _Shared.errors:
        OUT.print(Text(f"not run or not written: {error}", style="red"), soft_wrap=True)
    missing = sweep.cells_expected - len(sweep.cells)
    if missing:
        OUT.print(Text(f"{missing} of {sweep.cells_expected} cells left no result", style="red"))


def show_place(sweep: SweepResult, store: Store, run_id: str) -> None:
    """Print where to read on."""
    minutes = (sweep.ended_unix_ns - sweep.started_unix_ns) / 60e9
    where = f"experiment {store.experiment!r}, run 'sweep {sweep.sweep_id}' ({run_id})"
    OUT.print()
    OUT.print(Text(f"Took {minutes:.1f} minutes. Report: artifact report.html of {where}"), soft_wrap=True)
    url = f"{ui_address(store)}/#/experiments/{store.experiment_id}/runs/{run_id}"
    if store.uri.startswith("http"):
        OUT.print(Text(f"Open it: {url}"), soft_wrap=True)
    else:
        ui = f"mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri {shlex.quote(store.uri)}"
        OUT.print(Text(f"Open it: make ui, or {ui}"), soft_wrap=True)
        OUT.print(Text(f"then {url}"), soft_wrap=True)


def _exit_status(sweep: SweepResult, *, interrupted: bool) -> int:
    if interrupted:
        return EXIT_INTERRUPTED
    if any(isinstance(error, InputError) for error in _Shared.errors) or any(
        cell.cell.input_error for cell in sweep.cells
    ):
        return EXIT_BAD_INPUT
    if _Shared.errors:
        return EXIT_CELL_FAILED
    if len(sweep.cells) < sweep.cells_expected or any(
        cell.cell.status in ("failed", "interrupted") for cell in sweep.cells
    ):
        return EXIT_CELL_FAILED
    return EXIT_OK


@contextlib.contextmanager
def _shared(store: Store, progress: LiveProgress | PlainProgress) -> Iterator[None]:
    _Shared.store, _Shared.progress = store, progress
    _Shared.errors.clear()
    progress.start()
    try:
        yield
    finally:
        progress.stop()
        _Shared.store, _Shared.progress = None, Silent()


def _run_hydra(overrides: Sequence[str], passed: dict[str, str], *, multirun: bool) -> None:
    """Hand over to Hydra as its own command line would be called, so that any launcher works."""
    own = {override.partition("=")[0] for override in overrides}
    extra = [f"{key}={_quoted(value)}" for key, value in passed.items() if key == "store.uri" or key not in own]
    kept = [override for override in overrides if override.partition("=")[0] != "store.uri"]
    with _arguments(["harness", *(["-m"] if multirun else []), *kept, *extra]):
        try:
            hydra_main()
        except SystemExit as stop:
            if stop.code not in (None, 0):
                OUT.print(Text("Hydra ended the sweep early; the cells that had finished are kept", style="red"))


def _quoted(value: str) -> str:
    """A value as Hydra's grammar takes any text."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Have every temporary file of this process, MLflow's included, go away with the folder."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def hydra_main() -> None:
    """Hydra's own entry point, reading ``sys.argv``."""
    register_schema()
    decorate = hydra.main(version_base="1.3", config_path=str(data_folder("conf")), config_name="config")
    decorate(_job)()


@contextlib.contextmanager
def _arguments(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = before
