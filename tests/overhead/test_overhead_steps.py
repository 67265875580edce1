"""The steps from level to level: added as independent means are, and held against the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from harness.config import HarnessConfig
from harness.experiment import public_config
from harness.overhead import analyse, step_sums
from harness.overhead.steps import sum_of
from harness.results import CellResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import CellRecords
    from harness.results import StepSum

MS = 1_000_000
BASE_MS = 1.5
LEVEL_MS = {"untraced": 0.0, "disabled": 0.1, "sampled_out": 0.3, "dropped": 1.0, "exported": 4.0}
STEPS = [("untraced", "disabled"), ("disabled", "sampled_out"), ("sampled_out", "dropped"), ("dropped", "exported")]
WHOLE = ("untraced", "exported")


@pytest.fixture
def cell(make_records: Callable[..., CellRecords]) -> Callable[..., CellResult]:
    """Makes the cell that times one level against another: each level costs what it costs, forks vary by some us."""

    def make(  # noqa: PLR0913 - each is one thing that a cell may differ in
        against: str,
        level: str,
        *,
        more_ms: float = 0.0,
        spread_ms: float = 0.0,
        forks: int = 5,
        asynchronous: bool | None = None,
        **record: Any,
    ) -> CellResult:
        def latency_ns(fork: int, arm: str, repetition: int) -> int:
            reached = level if arm == "strategy" else against
            wobble_us = ((fork * 7 + len(level) * 3 + len(against)) % 5 - 2) * 4 * (arm == "strategy")
            extra_ms = more_ms + spread_ms * (fork % 3 - 1) if arm == "strategy" else 0.0
            return int((BASE_MS + LEVEL_MS[reached] + extra_ms) * MS) + wobble_us * 1000 + repetition % 3

        config = HarnessConfig()
        config.tracing.name = "autolog"
        config.tracing.level, config.tracing.against = level, against
        config.tracing.into = record.get("into", "sqlite")
        config.tracing.export.asynchronous = asynchronous
        quiet: dict[str, Any] = {} if level == "exported" else {"expected_traces": 0, "stored_traces": 0}
        records = make_records(
            latency_ns, forks=forks, tracing="autolog", arm_run=lambda _fork, arm: quiet if arm == "strategy" else {}
        )
        named = {"cell_id": f"{against}-{level}", "level": level, "against": against, "config": public_config(config)}
        switches = "" if asynchronous is None else f"asynchronous={str(asynchronous).lower()}"
        one = records.cell.model_copy(update={**named, "switches": switches, **record})
        overhead = analyse(records._replace(cell=one), config.measure)
        return CellResult(cell=one, run_id=None, completeness=None, overhead=overhead)

    return make


def p50(sums: tuple[StepSum, ...]) -> StepSum:
    """The only sum of latencies."""
    (found,) = [one for one in sums if one.quantity == "p50_ms"]
    return found


def test_means_and_variances_are_added() -> None:
    """Two means sum to Welch's interval of their difference, as SciPy has it, when one counts negatively."""
    ours, theirs = [1.0, 1.4, 0.9, 1.3], [0.2, 0.7, 0.4, 0.5, 0.1, 0.6]
    found = sum_of([(1, ours), (-1, theirs)], 0.95)
    wanted = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_one_mean_has_its_own_interval() -> None:
    """The sum of a single mean is Student's interval."""
    values = [1.0, 1.4, 0.9, 1.3]
    found = sum_of([(1, values)], 0.95)
    wanted = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_the_intervals_of_sums_cover() -> None:
    """Five steps of four forks each, of unlike spread, hold the truth in at least 94% of 4000 runs."""
    draw = np.random.default_rng(7)
    spreads = np.array([0.02, 0.02, 0.05, 0.3, 0.3])
    samples = draw.normal(0.0, spreads[:, None], size=(4000, 5, 4))
    runs = [sum_of([(1, values.tolist()) for values in one], 0.95) for one in samples]
    assert sum(run.low <= 0 <= run.high for run in runs) / len(runs) >= 0.94


def test_steps_that_sum_to_the_whole_agree(cell: Callable[..., CellResult]) -> None:
    """Every step is there from the lowest, and the sum of 4 ms is the whole's."""
    found = p50(step_sums([cell(*edge) for edge in [WHOLE, *reversed(STEPS)]]))
    assert [(step.against, step.level) for step in found.steps] == STEPS
    assert found.verdict == "agree"
    assert found.total.value == pytest.approx(4.0, abs=0.05)
    assert found.whole.estimate is not None
    assert found.margin_ms == 0.5
    assert "they agree within 0.5 ms (sum minus whole: " in found.sentence
    # MLflow 3.10 does not export in the background by itself, so a cell that says nothing is not said to.
    told = "openai / autolog into sqlite, exported as MLflow has it: the steps of added p50 sum to 4.0"
    assert found.sentence.startswith(told)


def test_a_step_that_costs_more_in_the_chain_disagrees(cell: Callable[..., CellResult]) -> None:
    """A step that is 0.5 ms too dear leaves the sum above the whole by as much, and the sentence says so."""
    cells = [cell(*edge, more_ms=0.5 * (edge == STEPS[2])) for edge in [*STEPS, WHOLE]]
    found = p50(step_sums(cells))
    assert found.verdict == "disagree"
    assert found.difference.value == pytest.approx(0.5, abs=0.05)
    assert "they disagree" in found.sentence


def test_a_wide_interval_is_no_agreement(cell: Callable[..., CellResult]) -> None:
    """A difference whose interval includes zero and leaves the margin is undecided: how large it could be is said."""
    found = p50(step_sums([cell(*edge, spread_ms=2.0 * (edge == WHOLE)) for edge in [*STEPS, WHOLE]]))
    assert found.verdict == "inconclusive"
    assert found.difference.low is not None
    assert found.difference.high is not None
    assert found.difference.low < 0 < found.difference.high
    most = max(-found.difference.low, found.difference.high)
    assert f"whether they agree within 0.5 ms cannot be told: they may differ by up to {most:.2g} ms" in found.sentence
    assert ": they agree" not in found.sentence


def test_a_disagreement_is_one_of_many_sums(cell: Callable[..., CellResult]) -> None:
    """What alone is a disagreement is none among sums enough for chance to give it; the sentence says why."""
    spread = {STEPS[2]: 1.1, WHOLE: 0.01}

    def chain(seed: int) -> list[CellResult]:
        parts = {STEPS[2]: 1.4} if seed == 1 else {}
        return [
            cell(*edge, more_ms=parts.get(edge, 0.0), spread_ms=spread.get(edge, 0.0), seed=seed)
            for edge in [*STEPS, WHOLE]
        ]

    alone = step_sums(chain(1))
    among = step_sums([one for seed in range(1, 21) for one in chain(seed)])
    one, same = (next(one for one in found if one.quantity == "p50_ms") for found in (alone, among))
    assert (one.verdict, same.verdict) == ("disagree", "inconclusive")
    assert one.difference == same.difference
    assert one.difference.low is not None
    assert one.difference.low > 0
    assert one.p_adjusted is not None
    assert same.p_adjusted is not None
    assert one.p_adjusted < 0.05 < same.p_adjusted
    assert f"chance gives one among {same.comparisons} such sums" in same.sentence
    assert "chance" not in one.sentence


def test_the_p_value_is_welchs() -> None:
    """That of a true sum of zero is SciPy's for two means, and below 0.05 where the interval excludes zero."""
    ours, theirs = [1.0, 1.4, 0.9, 1.3], [0.2, 0.7, 0.4, 0.5, 0.1, 0.6]
    found = sum_of([(1, ours), (-1, theirs)], 0.95)
    assert found.p_zero == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    for shift in (0.0, 0.3, 0.4, 0.5, 0.6):
        one = sum_of([(1, [value - shift for value in ours]), (-1, theirs)], 0.99)
        assert (one.p_zero < 0.05) == (not one.low <= 0 <= one.high)


@pytest.mark.parametrize(
    ("edge", "into", "withheld"), [(STEPS[3], "server", True), (STEPS[3], "sqlite", False), (WHOLE, "server", False)]
)
def test_a_step_into_another_destination_has_no_costs_of_the_process(
    cell: Callable[..., CellResult], edge: tuple[str, str], into: str, withheld: bool
) -> None:
    """Where the step swaps SQLite for a server, memory, imports and first calls are withheld with the reason."""
    overhead = cell(*edge, into=into).overhead
    assert overhead is not None
    assert (overhead.estimates["peak_memory_mib"].value is None) is withheld
    assert (overhead.estimates["import_cpu_ms"].value is None) is withheld
    assert overhead.estimates["cpu_ms_per_call"].value is not None
    if withheld:
        assert "opens a SQLite store, and this one has a server" in (overhead.estimates["import_cpu_ms"].reason or "")


def test_drift_names_the_other_arm(cell: Callable[..., CellResult]) -> None:
    """A level below is not called untraced."""
    overhead = cell(*STEPS[3]).overhead
    assert overhead is not None
    assert overhead.drift is not None
    assert "dropped p50" in overhead.drift.sentence
    assert "untraced" not in overhead.drift.sentence


def test_a_small_difference_that_is_known_well_agrees(cell: Callable[..., CellResult]) -> None:
    """A step that is 0.2 ms too dear leaves sum and whole apart by less than the margin, and known to be."""
    found = p50(step_sums([cell(*edge, more_ms=0.2 * (edge == STEPS[2])) for edge in [*STEPS, WHOLE]]))
    assert found.difference.low is not None
    assert found.difference.low > 0
    assert found.verdict == "agree"


def test_the_margin_of_a_large_whole_is_a_tenth_of_it(cell: Callable[..., CellResult]) -> None:
    """A whole of 24 ms and a sum that lies 0.8 ms below it agree within 2.4 ms."""
    more_ms = {STEPS[3]: 19.2, WHOLE: 20.0}
    found = p50(step_sums([cell(*edge, more_ms=more_ms.get(edge, 0.0)) for edge in [*STEPS, WHOLE]]))
    assert found.margin_ms == pytest.approx(2.4, abs=0.01)
    assert found.verdict == "agree"
    assert "they agree within 2.4 ms" in found.sentence


@pytest.mark.parametrize("left_out", [STEPS[1], WHOLE])
def test_without_a_part_nothing_can_be_said(cell: Callable[..., CellResult], left_out: tuple[str, str]) -> None:
    """The cell that is not there is named."""
    found = p50(step_sums([cell(*edge) for edge in [*STEPS, WHOLE] if edge != left_out]))
    assert found.verdict == "can't say"
    assert found.difference.value is None
    assert f"no cell that times {left_out[1]} against {left_out[0]}" in found.sentence


def test_too_few_forks_say_nothing(cell: Callable[..., CellResult]) -> None:
    """Where one step has three forks the sum has a value and no interval, and there is no verdict."""
    found = p50(step_sums([cell(*edge, forks=3 if edge == STEPS[0] else 5) for edge in [*STEPS, WHOLE]]))
    assert found.verdict == "can't say"
    assert found.total.value is not None
    assert found.total.low is None
    assert "3 complete forks give no interval" in found.sentence


def test_latencies_that_are_not_judged_are_not_added(cell: Callable[..., CellResult]) -> None:
    """A saturated step has no latency to add; its CPU time stands."""
    cells = [cell(*edge) for edge in [*STEPS, WHOLE]]
    assert cells[3].overhead is not None
    objected = {"verdict": "not judged", "sentence": "not judged: the load saturated the store"}
    cells[3] = cells[3].model_copy(update={"overhead": cells[3].overhead.model_copy(update=objected)})
    by_quantity = {one.quantity: one for one in step_sums(cells)}
    assert by_quantity["p50_ms"].verdict == "can't say"
    assert "the load saturated the store" in by_quantity["p50_ms"].sentence
    assert by_quantity["cpu_ms_per_call"].total.value is not None


def test_lower_steps_serve_every_way_out(cell: Callable[..., CellResult]) -> None:
    """Each destination and branch has a sum of its own over the same lower steps; others are not mixed in."""
    ways: list[dict[str, Any]] = [
        {"asynchronous": True},
        {"asynchronous": False},
        {"into": "server", "asynchronous": True},
        {"into": "collector"},
        {},
    ]
    cells = [cell(*edge) for edge in STEPS[:3]]
    cells += [cell(*edge, cell_id=f"{way}-{edge}", **way) for way in ways for edge in (STEPS[3], WHOLE)]
    found = [one for one in step_sums(cells) if one.quantity == "p50_ms"]
    assert [(one.into, one.asynchronous) for one in found] == [
        ("sqlite", True), ("sqlite", False), ("server", True), ("collector", True), ("sqlite", None)
    ]  # fmt: skip
    assert {one.steps[0].cell_id for one in found} == {"untraced-disabled"}
    assert len({one.steps[3].cell_id for one in found} | {one.whole.cell_id for one in found}) == 10


def test_other_conditions_are_not_added(cell: Callable[..., CellResult]) -> None:
    """A step of another seed is none of the chain's."""
    cells = [cell(*edge, seed=2 if edge == STEPS[0] else 1) for edge in [*STEPS, WHOLE]]
    assert p50(step_sums(cells)).verdict == "can't say"


def test_a_sweep_without_levels_has_no_steps(cell: Callable[..., CellResult]) -> None:
    """Cells from end to end alone are no sum."""
    assert step_sums([cell(*WHOLE)]) == ()


def test_cells_of_another_pace_are_named(cell: Callable[..., CellResult]) -> None:
    """A destination that slowed its cells down is said beside the verdict."""
    cells = [cell(*edge, period_ms=120.0 if edge == STEPS[3] else 80.0) for edge in [*STEPS, WHOLE]]
    assert p50(step_sums(cells)).sentence.endswith("80 to 120 ms apart, and what a call costs may depend on that")
    assert "apart" not in p50(step_sums([cell(*edge, period_ms=80.0) for edge in [*STEPS, WHOLE]])).sentence
