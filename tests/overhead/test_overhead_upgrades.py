"""Cells of other versions, held against each other."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from harness.config import measure_of
from harness.gate import costs, machines
from harness.overhead import analyse, conditions, upgrades
from harness.overhead.contrasts import contrast
from harness.results import CellResult, CostChange, Upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.records import Arm, CellRecords

    MakeRecords = Callable[..., CellRecords]

FORKS = 6
OLD = "mlflow==3.10.1"


@pytest.fixture
def cell(make_records: MakeRecords) -> Callable[..., CellResult]:
    """Makes a cell whose calls take so much longer under its strategy."""

    def make(cell_id: str, added_ms: float = 4.0, *, chance: int = 1, lost: int = 0, **fields: Any) -> CellResult:
        dice = random.Random(chance)
        shifts = [dice.gauss(0, 0.1) for _ in range(FORKS)]

        def latency_ns(fork: int, arm: Arm, _: int) -> int:
            return round(1e6 * (2 + (added_ms + shifts[fork] if arm == "strategy" else 0)))

        records = make_records(latency_ns, forks=FORKS)
        measure = measure_of(fields.get("config", {}))
        result = analyse(records, measure)
        if lost:
            result = result.model_copy(
                update={
                    "verdict": "not judged",
                    "traces_lost": lost,
                    "sentence": f"not judged: {lost} traces were lost",
                }
            )
        record = records.cell.model_copy(update={"cell_id": cell_id, **fields})
        return CellResult(cell=record, run_id=None, completeness=None, overhead=result)

    return make


def added(found: Sequence[Upgrade]) -> CostChange:
    (pair,) = found
    return next(one for one in pair.costs if one.quantity == "p50_ms")


def test_the_difference_of_added_latency_is_welchs(cell: Callable[..., CellResult]) -> None:
    """Value and interval are those of Welch's test on the forks' differences; a rise above the margin is worse."""
    old, new = cell("a", 4.0, chance=1, runtime=OLD), cell("b", 6.0, chance=2)
    found = added(upgrades([old, new]))
    assert old.overhead is not None
    assert new.overhead is not None
    known = stats.ttest_ind(
        new.overhead.estimates["p50_ms"].per_fork, old.overhead.estimates["p50_ms"].per_fork, equal_var=False
    ).confidence_interval()
    assert found.low == pytest.approx(known.low)
    assert found.high == pytest.approx(known.high)
    assert found.value == pytest.approx(2.0, abs=0.3)
    assert found.verdict == "worse"


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "verdict"),
    [(4.0, 4.0, "not worse"), (6.0, 4.0, "better"), (4.0, 6.0, "worse"), (4.0, 4.5, "inconclusive")],
)
def test_verdicts_are_against_the_margin(
    cell: Callable[..., CellResult], before_ms: float, after_ms: float, verdict: str
) -> None:
    """The margin is 0.5 ms: within it a cost is not worse, beyond it better or worse, on it undecided."""
    config = {"measure": {"margin_ms": 0.5, "margin_relative": 0.0}}
    cells = [
        cell("a", before_ms, chance=1, runtime=OLD, config=config),
        cell("b", after_ms, chance=1, config=config),
    ]
    found = added(upgrades(cells))
    assert (found.verdict, found.margin) == (verdict, 0.5)


@pytest.mark.parametrize(("factor", "verdict"), [(0.7, "not worse"), (0.95, "better"), (1.4, "better")])
def test_a_finding_holds_on_the_other_machine_too(cell: Callable[..., CellResult], factor: float, verdict: str) -> None:
    """What the change of the untraced arms may explain is inconclusive, and says why; what is beyond that stands."""
    config = {"measure": {"margin_ms": 0.5, "margin_relative": 0.0}}
    old, new = cell("a", 6.0, chance=1, runtime=OLD, config=config), cell("b", 4.0, chance=2, config=config)
    assert added(upgrades([old, new])).verdict == "better"
    assert new.overhead is not None
    faster = new.overhead.estimates["p50_ms"].model_copy(update={"baseline": 2.0 * factor})
    overhead = new.overhead.model_copy(update={"estimates": new.overhead.estimates | {"p50_ms": faster}})
    found = added(upgrades([old, new.model_copy(update={"overhead": overhead})]))
    assert found.verdict == verdict, found
    assert found.value == pytest.approx(-2.0, abs=0.5)
    if verdict == "not worse":
        assert found.reason == "the machine is 30.0% faster: untraced, p50 is 2 ms before and 1.4 ms after"


@pytest.mark.parametrize(("period_ms", "verdict"), [(64.0, "better"), (80.0, "inconclusive")])
def test_another_pace_says_nothing_of_latency(cell: Callable[..., CellResult], period_ms: float, verdict: str) -> None:
    """Latencies are compared at paces that differ by a tenth at most; CPU time is compared at any."""
    cells = [cell("a", 6.0, runtime=OLD, period_ms=60.0), cell("b", 4.0, chance=2, period_ms=period_ms)]
    found = upgrades(cells)
    assert added(found).verdict == verdict
    if verdict == "inconclusive":
        assert added(found).reason == "calls began every 60 ms before and every 80 ms after"
    cpu = next(one for one in found[0].costs if one.quantity == "cpu_ms_per_call")
    assert "calls began" not in (cpu.reason or "")


def test_the_gate_and_upgrades_have_the_same_limits() -> None:
    """What is another pace, and what machines are compared by, is one thing wherever it is asked."""
    assert (conditions.SAME_PACE, conditions.OF_MACHINE) == (costs.SAME_PACE, machines._WORDS)


def test_all_comparisons_of_the_sweep_are_corrected_together(cell: Callable[..., CellResult]) -> None:
    """With a second pair of cells the adjusted p-value of the first one's change rises."""
    pair = [cell("a", 4.0, chance=1, runtime=OLD), cell("b", 4.7, chance=2)]
    alone = added(upgrades(pair))
    others = [cell("c", 4.0, chance=3, runtime=OLD, prompts="long"), cell("d", 4.0, chance=4, prompts="long")]
    both = upgrades([*pair, *others])
    assert [one.comparisons for one in both] == [2 * upgrades(pair)[0].comparisons] * 2
    together = next(one for one in both[0].costs if one.quantity == "p50_ms")
    assert alone.p_adjusted is not None
    assert together.p_adjusted is not None
    assert alone.p_adjusted < together.p_adjusted


def test_each_runtime_is_paired_with_the_harnesss_own(cell: Callable[..., CellResult]) -> None:
    """So that a pair differs in what one runtime names; the earlier cell of the sweep is the one before."""
    cells = [cell("a", runtime=OLD), cell("b", runtime="openai==2.47.0"), cell("c"), cell("d", runtime="openai==4")]
    assert [(one.before, one.after) for one in upgrades(cells)] == [("a", "c"), ("b", "c"), ("c", "d")]
    without_own = [one for one in cells if one.cell.runtime]
    assert [(one.before, one.after) for one in upgrades(without_own)] == [("a", "b"), ("a", "d")]


@pytest.mark.parametrize(
    "other",
    [
        {"prompts": "long"},
        {"tracing": "autolog"},
        {"seed": 2},
        {"config": {"measure": {"period_ms": 90.0}}},
        {"runtime": OLD},
    ],
)
def test_what_differs_in_more_is_no_upgrade(cell: Callable[..., CellResult], other: dict[str, Any]) -> None:
    """Cells under other conditions are not paired, nor are two of the same runtime."""
    assert upgrades([cell("a", runtime=OLD), cell("b", **other)]) == ()


def test_a_cell_that_was_not_judged_gives_no_verdict(cell: Callable[..., CellResult]) -> None:
    """Dropping traces makes every cost look small, so nothing is compared."""
    (pair,) = upgrades([cell("a", runtime=OLD, lost=3), cell("b")])
    assert pair.comparisons == 0
    assert {one.verdict for one in pair.costs} == {"inconclusive"}
    assert {one.reason for one in pair.costs} == {"before it was not judged: 3 traces were lost"}
    assert all(one.value is None for one in pair.costs)


def test_costs_of_two_machines_are_not_compared(cell: Callable[..., CellResult]) -> None:
    """The reason names what differs."""
    old, new = cell("a", runtime=OLD), cell("b")
    other = new.cell.machine.model_copy(update={"cpu_model": "another", "load_1min": 9.0})
    moved = new.model_copy(update={"cell": new.cell.model_copy(update={"machine": other})})
    found = added(upgrades([old, moved]))
    assert found.reason == "the cells ran on machines that differ in cpu model"


def test_untraced_cells_have_no_cost_to_compare(cell: Callable[..., CellResult]) -> None:
    """A/A cells are no pair: nothing of them is traced."""
    cells = []
    for one in (cell("a", runtime=OLD), cell("b")):
        assert one.overhead is not None
        untraced = one.cell.model_copy(update={"expects_traces": False})
        floor = one.overhead.model_copy(update={"is_floor": True})
        cells.append(one.model_copy(update={"cell": untraced, "overhead": floor}))
    assert upgrades(cells) == ()


def test_cells_that_were_not_timed_are_paired_without_costs(cell: Callable[..., CellResult]) -> None:
    """What their traces hold can be compared all the same."""
    old, new = (one.model_copy(update={"overhead": None}) for one in (cell("a", runtime=OLD), cell("b")))
    assert upgrades([old, new]) == (Upgrade(before="a", after="b"),)


def test_forks_without_a_spread_support_no_interval() -> None:
    """Equal values would claim a certainty that they do not have."""
    assert "spread" in str(contrast([(1.0, [1.0] * 4), (-1.0, [2.0] * 4)], stopped_early=False))
