"""A store that fails when the cell is written: what was measured is kept beside it, and where is said."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from harness import experiment
from harness.cli.compose import compose_cells
from harness.errors import StoreError
from harness.experiment import run_cell
from harness.experiment.progress import Silent
from harness.records import read_cell
from harness.tracking import Store


class LosingItsStore(Silent):
    """The store's tables are gone by the time at which the cell is to be written."""

    def __init__(self, store_uri: str) -> None:
        self.path = store_uri.removeprefix("sqlite:///")

    def stage(self, text: str, total: int | None = None) -> None:
        del total
        if text == "writing to MLflow":
            with sqlite3.connect(self.path) as database:
                database.execute("ALTER TABLE runs RENAME TO gone")


def lose(store_uri: str) -> str:
    """Run a small cell whose store fails at the end; gives what is said of it."""
    overrides = ("provider=openai", "tracing=none", "prompts=short", "measure.timing=false", f"store.uri={store_uri}")
    (config,) = compose_cells(list(overrides), multirun=False)
    with pytest.raises(StoreError) as raised:
        run_cell(config, Store(store_uri, "unsaved"), LosingItsStore(store_uri))
    return str(raised.value)


def kept_in(folder: Path) -> Path:
    """The one folder of kept records there."""
    (kept,) = folder.glob("harness-unsaved-*")
    return kept


def test_records_are_kept_in_the_current_folder(
    store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the folder, and the records in it are whole."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    said = lose(store_uri)
    kept = kept_in(here)
    assert f"its records are kept in {kept}" in said
    records = read_cell(kept)
    assert records.cell.completeness_done
    assert len(records.calls) == 2 * records.cell.sample_count


def test_records_are_kept_elsewhere_if_the_current_folder_cannot_take_them(
    store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can write into /proc, not even root; where neither takes them, that is said."""
    monkeypatch.setattr(experiment, "KEPT_ELSEWHERE", tmp_path)
    monkeypatch.chdir("/proc")
    said = lose(store_uri)
    assert f"its records are kept in {kept_in(tmp_path)}" in said
    assert read_cell(kept_in(tmp_path)).calls


def test_it_is_said_that_no_folder_takes_them(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then they are lost, and the sentence does not claim otherwise."""
    monkeypatch.setattr(experiment, "KEPT_ELSEWHERE", Path("/proc/self"))
    monkeypatch.chdir("/proc")
    assert "its records could not be kept in /proc/self/harness-unsaved-" in lose(store_uri)
