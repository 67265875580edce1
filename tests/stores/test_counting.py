"""What counts as a stored trace: real MLflow, real stores, writes that are really dropped."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.experiment.loss import is_complete
from harness.processes import child_environment
from harness.stores.counting import TraceCount, count_traces, whole_calls
from harness.stores.throwaway import TEMPLATE_EXPERIMENT, copy_template, read_own_traces

SUBJECT = Path(__file__).parent / "losing_subject.py"
CALLS = 30
CASES: dict[str, dict[str, Any]] = {
    "both writes": {"style": "3of12"},
    "the trace": {"style": "log_trace-1in3"},
    "the spans": {"style": "log_spans-1in3", "export": {"asynchronous": False}},
    "spans that are then put into a file": {"style": "log_spans-1in3", "files": True},
    "every trace": {"style": "log_trace-1in1"},
}
FEW = ("both writes", "the trace")
"""The cases of the usual tests; each takes a process that imports MLflow."""
WEEKLY = pytest.mark.calibration


class Made(NamedTuple):
    """A store, and how many of its traces lost something."""

    store: Path
    dropped: int


class Stores:
    """Makes each case's store when it is first asked for, in a process of its own."""

    def __init__(self, template: Path, folders: pytest.TempPathFactory) -> None:
        self._template = template
        self._folders = folders
        self._made: dict[str, Made] = {}

    def __getitem__(self, case: str) -> Made:
        if case not in self._made:
            self._made[case] = self._make(CASES[case])
        return self._made[case]

    def _make(self, case: dict[str, Any]) -> Made:
        store = self._folders.mktemp("losing") / "store.db"
        copy_template(self._template, store)
        job = {"store": str(store), "files": False, "export": {}, "calls": CALLS, **case}
        done = subprocess.run(
            [sys.executable, str(SUBJECT), json.dumps(job)],
            check=False, cwd=store.parent, env=child_environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Made(store, int(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def made(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(migrated_store, tmp_path_factory)


@pytest.mark.parametrize("case", [pytest.param(one, marks=() if one in FEW else WEEKLY) for one in CASES])
def test_the_count_agrees_with_what_mlflow_reads(case: str, made: Stores) -> None:
    """A call has a whole trace by SQL if and only if the trace that MLflow reads back is complete and tied to it."""
    store = made[case].store
    read = [one.record for one in read_own_traces(store)]
    assert whole_calls(store) == {one.call_id for one in read if one.call_id is not None and is_complete(one)}


def test_a_trace_without_either_write_is_not_there(made: Stores) -> None:
    """What the exporter dropped as a whole left nothing."""
    assert made["both writes"] == (made["both writes"].store, 3)
    assert count_traces(made["both writes"].store) == (CALLS - 3, CALLS - 3)


@pytest.mark.parametrize("case", ["the trace", pytest.param("the spans", marks=WEEKLY)])
def test_half_a_trace_is_begun_and_not_whole(case: str, made: Stores) -> None:
    """Each trace has its row, whichever of the two writes it lost, and those that lost one do not count."""
    store, dropped = made[case]
    assert 0 < dropped < CALLS
    assert count_traces(store) == (CALLS, CALLS - dropped)


@WEEKLY
def test_spans_in_a_file_are_spans(made: Stores) -> None:
    """MLflow puts spans that the database did not take beside it; nothing is lost until that file is."""
    store, dropped = made["spans that are then put into a file"]
    assert dropped > 0
    assert count_traces(store) == (CALLS, CALLS)
    files = list((store.parent / "artifacts").rglob("traces.json"))
    assert len(files) >= dropped
    shutil.rmtree(store.parent / "artifacts")
    assert count_traces(store) == (CALLS, CALLS - dropped)


@WEEKLY
def test_spans_alone_are_whole_only_where_the_strategy_says_so(made: Stores) -> None:
    """That every trace lost its second write is a loss of all, unless there is none to lose, as over OTLP."""
    store, dropped = made["every trace"]
    assert dropped == CALLS
    assert count_traces(store) == (CALLS, 0)
    assert count_traces(store, spans_alone=True) == (CALLS, CALLS)
    assert whole_calls(store) == frozenset()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE spans SET end_time_unix_nano = NULL WHERE trace_id = :trace_id",
        "UPDATE spans SET parent_span_id = 'another' WHERE trace_id = :trace_id",
        "DELETE FROM spans WHERE trace_id = :trace_id",
        "UPDATE trace_info SET status = 'IN_PROGRESS' WHERE request_id = :trace_id",
        "DELETE FROM trace_request_metadata WHERE request_id = :trace_id",
    ],
)
def test_what_is_missing_makes_a_trace_half(damage: str, made: Stores, tmp_path: Path) -> None:
    """Without its root, the root's end, its own end or its metadata a trace is begun and not whole."""
    store = tmp_path / "store.db"
    shutil.copyfile(made["both writes"].store, store)
    before = count_traces(store)
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        (trace_id,) = database.execute("SELECT request_id FROM trace_info").fetchone()
        database.execute(damage, {"trace_id": trace_id})
    assert count_traces(store) == (before.begun, before.whole - 1)


def test_what_counts_depends_on_what_should_be_there() -> None:
    """A stray half is a stray; where chance decides which traces there are, what was begun should be whole."""
    count = TraceCount(5, 3)
    assert [count.against(expected) for expected in (0, 6, None)] == [(0, 5), (6, 3), (5, 3)]
    assert count.since(TraceCount(2, 1)) == (3, 2)


def test_a_copy_keeps_artifacts_beside_itself(migrated_store: Path, tmp_path: Path) -> None:
    """Two copies of one template share no folder, and the template stays as it was."""
    before = migrated_store.read_bytes()
    folders = set()
    for name in ("one", "two"):
        store = tmp_path / name / "store.db"
        store.parent.mkdir()
        artifacts = copy_template(migrated_store, store)
        with contextlib.closing(sqlite3.connect(store)) as database:
            query = "SELECT artifact_location FROM experiments WHERE name = ?"
            (location,) = database.execute(query, (TEMPLATE_EXPERIMENT,)).fetchone()
        assert location == artifacts.as_uri()
        assert artifacts.parent == store.parent
        folders.add(location)
    assert len(folders) == 2
    assert migrated_store.read_bytes() == before
