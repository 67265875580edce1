"""Noise floors of every quantity, and the verdicts of a whole sweep, from records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.config import MeasureConfig
from harness.experiment.analysis import analyse_cell, floors_of, summarise
from harness.overhead import analyse, floor_ms, floors

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords
    from harness.results import CellResult, SweepResult

    MakeRecords = Callable[..., CellRecords]


def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
    """Arms that differ a little from fork to fork."""
    return 1_500_000 + repetition * 100 + (fork * 10_000 if arm == "strategy" else 0)


def arm_run(fork: int, arm: Arm) -> dict[str, Any]:
    """CPU and memory that differ a little, too; the imports cost the same in all."""
    more = fork if arm == "strategy" else 0
    return {"measured_cpu_ns": 240_000_000 + more * 24_000_000, "peak_memory_bytes": (100 + more) * 2**20}


@pytest.fixture
def cell(make_records: MakeRecords) -> Callable[..., CellResult]:
    """Analyse a cell; A/A without tracing."""

    def result(cell_id: str, tracing: str, **changes: Any) -> CellResult:
        records = make_records(latency_ns, tracing=tracing, arm_run=arm_run if tracing == "none" else lambda _f, _a: {})
        own = records.cell.model_copy(update={"cell_id": cell_id, **changes})
        return analyse_cell(records._replace(cell=own))

    return result


def sweep_of(*cells: CellResult) -> SweepResult:
    """These cells as a sweep."""
    return summarise(
        sweep_id="s", command="", cells=cells, cells_expected=len(cells), started_unix_ns=0, ended_unix_ns=1
    )


def test_every_quantity_with_an_interval_has_a_floor(make_records: MakeRecords) -> None:
    """The floor is the bound farther from zero, in the quantity's unit; no interval gives no floor."""
    result = analyse(make_records(latency_ns, tracing="none", arm_run=arm_run), MeasureConfig())
    found = floors(result)
    assert set(found) == {"p50_ms", "cpu_ms_per_call", "peak_memory_mib"}
    for name, floor in found.items():
        low, high = result.estimates[name].low, result.estimates[name].high
        assert low is not None
        assert high is not None
        assert floor == max(abs(low), abs(high)) > 0
    assert found["p50_ms"] == floor_ms(result)
    assert found["cpu_ms_per_call"] == pytest.approx(1.5 + 3.18245 * 1.29099 / 2, rel=1e-4)


def test_a_sweep_has_the_floors_of_each_provider(cell: Callable[..., CellResult]) -> None:
    """Floors stand by provider and quantity; the one of the median stays where it was."""
    sweep = sweep_of(cell("a", "none"), cell("b", "manual"), cell("c", "none", provider="mistralai", backend=""))
    assert set(sweep.floors) == {"openai", "mistralai"}
    assert set(sweep.floors["openai"]) == {"p50_ms", "cpu_ms_per_call", "peak_memory_mib"}
    assert sweep.floors_ms == {name: own["p50_ms"] for name, own in sweep.floors.items()}
    assert floors_of(sweep.cells[1], sweep.cells) == sweep.floors["openai"]


def test_floors_of_other_conditions_do_not_apply(cell: Callable[..., CellResult]) -> None:
    """A cell with another seed has no floor, and a provider with floors of two conditions has none in the sweep."""
    first, second = cell("a", "none"), cell("b", "none", seed=2)
    other = second.model_copy(
        update={"overhead": second.overhead and second.overhead.model_copy(update={"estimates": {}})}
    )
    assert floors_of(other, (first,)) == {}
    narrower = cell("b", "none", seed=2)
    assert narrower.overhead is not None
    p50 = narrower.overhead.estimates["p50_ms"].model_copy(update={"high": 1.0})
    estimates = narrower.overhead.estimates | {"p50_ms": p50}
    narrower = narrower.model_copy(update={"overhead": narrower.overhead.model_copy(update={"estimates": estimates})})
    assert sweep_of(first, narrower).floors == {}


def test_a_sweeps_verdicts_are_corrected(cell: Callable[..., CellResult]) -> None:
    """Traced cells are corrected for each other by their ids; the A/A cell makes no comparison."""
    sweep = sweep_of(cell("a", "none"), cell("b", "manual"), cell("c", "autolog"))
    assert set(sweep.corrections) == {"b", "c"}
    assert {one.comparisons for one in sweep.corrections.values()} == {2}
    alone = sweep.cells[1].overhead
    assert alone is not None
    assert alone.p_no_equivalence is not None
    assert sweep.corrections["b"].p_no_equivalence == pytest.approx(2 * alone.p_no_equivalence)
