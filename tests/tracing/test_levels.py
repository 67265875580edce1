"""Levels of tracing: how much MLflow does at each, and that what is dropped leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.config import ExportConfig, TracingConfig
from harness.processes import child_environment
from harness.stores.throwaway import TEMPLATE_EXPERIMENT
from harness.tracing.levels import level_environment, traces_share
from harness.tracing.switches import switch_environment, without_switches

TRACES = {"disabled": 50, "sampled_out": 50, "dropped": 10_000, "dropped after batches": 50, "exported": 50}


@pytest.fixture(scope="module")
def seen(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a fresh process saw at each level, and how many traces its store then has."""
    folder = tmp_path_factory.mktemp("levels")

    def run(case: str) -> dict[str, Any]:
        level, _, batched = case.partition(" after ")
        store = folder / f"{case}.db"
        shutil.copyfile(migrated_store, store)
        asked = ExportConfig(asynchronous=True, batch_processor=True) if batched else ExportConfig()
        job = {
            "tracking_uri": f"sqlite:///{store}",
            "experiment": TEMPLATE_EXPERIMENT,
            "level": level,
            "traces": TRACES[case],
            "environment": switch_environment(asked) | level_environment(level),
        }
        done = subprocess.run(
            [sys.executable, str(Path(__file__).parent / "level_subject.py"), json.dumps(job)],
            check=False,
            cwd=folder,
            env=without_switches(child_environment()),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        with sqlite3.connect(store) as database:
            (stored,) = database.execute("SELECT count(*) FROM trace_info").fetchone()
        database.close()
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result | {"stored": stored}

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(TRACES, pool.map(run, TRACES), strict=True))


@pytest.mark.parametrize("level", ["disabled", "sampled_out"])
def test_below_dropped_no_span_is_made(seen: dict[str, Any], level: str) -> None:
    """The application's spans are MLflow's no-op ones, and the store stays empty."""
    assert seen[level]["recorded"] == 0
    assert seen[level]["stored"] == 0


@pytest.mark.parametrize("case", ["dropped", "dropped after batches"])
def test_dropped_spans_are_made_and_go_nowhere(seen: dict[str, Any], case: str) -> None:
    """Every span is a recorded one, whatever the export's switches say, and the store stays empty."""
    assert seen[case]["recorded"] == TRACES[case]
    assert seen[case]["stored"] == 0


def test_dropped_traces_leave_nothing_in_memory(seen: dict[str, Any]) -> None:
    """After 10,000 calls MLflow holds no trace, not even one whose child ended late, and 8,000 cost no 8 MiB."""
    assert seen["dropped"]["left"] == 0
    assert seen["dropped"]["grown_bytes"] < 8 * 2**20


def test_exported_is_as_ever(seen: dict[str, Any]) -> None:
    """At the highest level everything is stored."""
    assert seen["exported"]["recorded"] == TRACES["exported"]
    assert seen["exported"]["stored"] == TRACES["exported"] + 1


@pytest.mark.parametrize(
    ("level", "share"), [("disabled", 0.0), ("sampled_out", 0.0), ("dropped", 0.0), ("exported", 0.5)]
)
def test_only_the_highest_level_leaves_traces(level: str, share: float) -> None:
    """Below it none is expected; there the switches say how many are."""
    assert traces_share(TracingConfig(level=level, export=ExportConfig(sampling_ratio=0.5))) == share
