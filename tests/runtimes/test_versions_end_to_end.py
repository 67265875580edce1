"""Real cells in environments of other versions: long, because each has to be installed first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.cli.sweep import read_sweep
from harness.tracking import Store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from harness.results import CellResult

CASES = {
    "mlflow 3.10 and openai 2": ("openai", ("mlflow==3.10.1", "openai==2.47.0")),
    "mlflow 3.10 under today's openai": ("openai", ("mlflow==3.10.1",)),
    "openai 2 under today's mlflow": ("openai", ("openai==2.47.0",)),
    "mistralai 1": ("mistralai", ("mistralai==1.12.4",)),
    "mistralai 2": ("mistralai", ("mistralai==2.4.13",)),
    "langchain 1.0": ("langchain", ("langchain==1.0.8", "langchain-openai==1.0.3", "openai==2.47.0")),
}


def cells_of(folder: Path) -> tuple[CellResult, ...]:
    store = Store(f"sqlite:///{folder / 'mlflow.db'}", "tracing-harness")
    run = store.find_sweep("latest")
    assert run is not None
    return read_sweep(store, run.info.run_id).cells


@pytest.mark.calibration
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CASES)
def test_a_cell_runs_in_other_versions(
    name: str, harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Autolog and manual tracing leave a trace of each call, and the versions are those that were there."""
    provider, packages = CASES[name]
    ran = harness(
        "-m",
        f"provider={provider}",
        "prompts=short",
        "tracing=autolog,manual",
        f"runtime.packages=[{','.join(packages)}]",
        "measure.forks=1",
        "measure.max_forks=1",
        "measure.blocks=1",
        timeout_s=1700.0,
    )
    assert ran.returncode == 0, ran.stderr
    for cell in cells_of(tmp_path):
        assert cell.completeness is not None
        assert cell.cell.runtime == " ".join(packages)
        asked = dict(package.split("==") for package in packages)
        assert {name: cell.cell.versions[name] for name in asked} == asked
        assert cell.overhead is not None
        if cell.cell.tracing == "manual":
            assert cell.completeness.traces_stored == cell.completeness.traces_expected
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", "tracing-harness")
    stored = {trace.info.trace_id for trace in store.client.search_traces(locations=[store.experiment_id])}
    judged = {
        one.trace_id for cell in cells_of(tmp_path) if cell.completeness for one in cell.completeness.judgements
    } - {None}
    assert judged <= stored
