"""A flush without MLflow's sleep loses nothing, hangs nowhere, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.processes import child_environment
from harness.tracing.switches import without_switches


@pytest.fixture(scope="module")
def seen(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process saw."""
    folder = tmp_path_factory.mktemp("flushes")
    path = folder / "store.db"
    shutil.copyfile(migrated_store, path)
    job = {"tracking_uri": f"sqlite:///{path}", "path": str(path)}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "flush_subject.py"), json.dumps(job)],
        check=False,
        cwd=folder,
        env=without_switches(child_environment()),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_ends_without_the_sleep(seen: dict[str, Any]) -> None:
    """Three together take less than one plain drain, which sleeps for at least a second."""
    assert sum(seen["prompt_s"]) < seen["plain_s"]


def test_no_trace_is_lost(seen: dict[str, Any]) -> None:
    """Every trace that threads make during a hundred drains is in the store after the last one."""
    assert seen["traces"]["flushes"] >= 100
    assert seen["traces"]["stored"] == seen["traces"]["expected"]


def test_no_task_is_lost_or_waited_for_in_vain(seen: dict[str, Any]) -> None:
    """Every task that threads put during hundreds of flushes is done once, and every flush has ended."""
    assert seen["tasks"]["flushes"] >= 300
    assert seen["tasks"]["done"] == seen["tasks"]["expected"]


def test_a_forked_child_does_not_wait_for_a_thread_that_it_has_not(seen: dict[str, Any]) -> None:
    """The queue of a child has no consumer, so no task is put there."""
    assert seen["fork"] == 0


def test_it_leaves_mlflow_as_it_was(seen: dict[str, Any]) -> None:
    """MLflow is not imported by it, and its stop event is its own again."""
    assert not seen["loaded"]
    assert seen["left"] == []
