"""A long self-proof: how the resting arm rests must not change what the running one costs."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

import pytest

from harness.experiment.analysis import analyse_cell

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from harness.results import Estimate


def overlap(one: Estimate, other: Estimate) -> bool:
    """Whether two 95% intervals have a value in common."""
    assert one.low is not None
    assert one.high is not None
    assert other.low is not None
    assert other.high is not None
    return one.low <= other.high and other.low <= one.high


@pytest.mark.calibration
@pytest.mark.timeout(1200)
def test_cpu_and_drain_are_the_same_whether_the_resting_arm_is_stopped_or_has_drained(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """CPU per call and drain per trace agree within their intervals, CPU also within 20%."""
    from harness.tracking import Store

    done = harness(
        "-m", "measure.rest=stop,drain", "tracing=autolog", "measure.forks=6", "measure.max_forks=6", timeout_s=1000
    )
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", "tracing-harness")
    sweep = store.find_sweep(store.sweep_ids()[0])
    assert sweep is not None
    stopped, drained = (analyse_cell(store.read_records(run)).overhead for run in store.cell_runs(sweep.info.run_id))
    assert stopped is not None
    assert drained is not None
    for name in ("cpu_ms_per_call", "drain_ms_per_trace"):
        assert overlap(stopped.estimates[name], drained.estimates[name]), (stopped.estimates, drained.estimates)
    cpu = [mean(result.estimates["cpu_ms_per_call"].per_fork) for result in (stopped, drained)]
    assert abs(cpu[0] / cpu[1] - 1) < 0.2
