"""One benchmark a strategy, grouped by provider and scenario: what an application waits for a call.

Each drives worker processes of its own, because autologging patches SDK classes for the life of a
process; see ``workers.py``. Completeness comes from a pass of its own, never from timed calls. The
stored file is what ``harness gate`` compares.

A strategy and the ``none`` that its cost is counted from are benchmarks of their own, so they are timed
minutes apart: what the machine did in between is in their difference. A sweep's cells are better there,
for each has an untraced arm that takes turns with the traced one.

``BENCH_FORKS`` and ``BENCH_CALLS`` in the environment say how many workers and how many calls of each.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from harness.cli.compose import compose_cells
from harness.experiment import record_cell
from harness.experiment.analysis import analyse_cell, summarise
from harness.experiment.progress import Silent
from harness.gate.benchmarks import EXTRA_INFO_KEY
from harness.processes import timing_lock
from harness.report import cells_json
from harness.tracking import Store
from tests.benchmarks.workers import TimedWorkers, Timing, seconds_in_calls

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

PROVIDERS = ("openai", "mistralai", "langchain")
SCENARIOS = {"single": ("prompts=chat", "prompts.limit=12"), "stream": ("prompts=stream", "prompts.limit=12")}
STRATEGIES = ("none", "manual", "autolog")


@pytest.fixture(scope="module")
def store(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Where traces of the completeness passes go."""
    path = tmp_path_factory.mktemp("completeness") / "mlflow.db"
    shutil.copyfile(migrated_store, path)
    return Store(f"sqlite:///{path}", "benchmarks")


def judged_cell(overrides: tuple[str, ...], store: Store) -> dict[str, Any]:
    """The cell as ``cells.json`` has it, from a completeness pass in processes of its own."""
    (config,) = compose_cells([*overrides, "measure.timing=false", f"store.uri={store.uri}"], multirun=False)
    result = analyse_cell(record_cell(config, store, Silent()))
    assert result.cell.status == "ok", result.cell.reason
    sweep = summarise(sweep_id="", command="", cells=[result], cells_expected=1, started_unix_ns=0, ended_unix_ns=0)
    cell: dict[str, Any] = json.loads(cells_json(sweep))["cells"][0]
    return cell


@pytest.mark.timeout(1200)
@pytest.mark.benchmark(timer=seconds_in_calls)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_strategy(  # noqa: PLR0913, PLR0917  # three parameters and what they need
    benchmark: BenchmarkFixture,
    provider: str,
    scenario: str,
    strategy: str,
    store: Store,
    migrated_store: Path,
    tmp_path: Path,
) -> None:
    """Every call of every worker is timed and answered, and what the traces hold stands beside it."""
    if benchmark.disabled:
        pytest.skip("a benchmark of processes of its own; make bench runs it")
    benchmark.group = f"{provider}: {scenario}"
    overrides = (f"provider={provider}", f"tracing={strategy}", *SCENARIOS[scenario])
    cell = judged_cell(overrides, store)
    timing = Timing()
    (config,) = compose_cells(overrides, multirun=False)
    with timing_lock(), TimedWorkers(config, timing, tmp_path, migrated_store) as workers:
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            workers.call, setup=workers.next_call, rounds=timing.forks * timing.calls
        )
        workers.end_fork()
        workers.check_exchanges()
        workers.check_modules()
    completeness = cell["completeness"]
    names = ("recall", "otel_recall", "fidelity", "calls", "traces_expected", "traces_stored", "traces_lost")
    benchmark.extra_info.update({name: completeness[name] for name in names})
    benchmark.extra_info["versions"] = cell["versions"]
    benchmark.extra_info[EXTRA_INFO_KEY] = {
        "forks": timing.forks,
        "timing": workers.described(),
        "costs": workers.costs,
        "traces_expected": workers.traces_expected,
        "traces_lost": workers.traces_lost,
        "expected_by_fork": workers.expected_by_fork,
        "lost_by_fork": workers.lost_by_fork,
        "drain_rates_per_s": workers.drain_rates_per_s,
        "max_load": config.measure.max_load,
        "mlflow_imported": workers.mlflow_imported,
        "cell": cell,
    }
    assert benchmark.stats is not None
    assert len(benchmark.stats.stats.data) == timing.forks * timing.calls
