"""How much of a quick cell's time goes into anything but measuring: the price of fresh processes and of a store."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.processes import child_environment, python_module

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

CELL = ("provider=openai", "prompts=chat", "measure=quick")
ONE_FORK = ("measure.forks=1", "measure.max_forks=1")
MOST = 0.8
"""Share of a cell's time. A quick cell has so few calls that starting eight processes outweighs them."""


@pytest.mark.benchmark(group="quick cell")
@pytest.mark.parametrize("strategy", ["none", "autolog"])
def test_quick_cell(strategy: str, benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """A quick cell says where its time went, and most of what is no measuring is the starting of its processes."""
    from mlflow.tracking import MlflowClient

    # Without the clock a fork is enough to see that it runs; its share would be that of another cell.
    size = () if benchmark.enabled else ONE_FORK
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        subprocess.run,
        args=(python_module("harness", *CELL, f"tracing={strategy}", *size),),
        kwargs={"cwd": tmp_path, "env": child_environment(), "capture_output": True, "text": True, "check": True},
        rounds=1,
    )
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tracing-harness")
    assert experiment is not None
    (cell,) = client.search_runs([experiment.experiment_id], "params.tracing != ''")
    share = cell.data.metrics["stages.not_measuring_share"]
    spent_s = {
        name.removeprefix("stages.").removesuffix("_s"): spent_s
        for name, spent_s in cell.data.metrics.items()
        if name.startswith("stages.") and name.endswith("_s")
    }
    assert 0 < spent_s["measuring"] < sum(spent_s.values())
    if benchmark.enabled:
        benchmark.extra_info["not_measuring_share"] = share
        benchmark.extra_info["stages_s"] = spent_s
        assert share < MOST
