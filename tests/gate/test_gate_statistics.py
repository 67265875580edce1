"""Welch's interval and Holm's correction against what is known of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from harness.gate.costs import CostPair
from harness.gate.family import judge
from harness.gate.machines import machine_changes
from harness.gate.runs import Base, Samples
from harness.gate.shares import fisher_p, share_difference
from harness.overhead.contrasts import ALPHA, Difference, contrast, holm

GATES = 400
COSTS_A_GATE = 12
FORKS = 4


def groups(dice: random.Random, sizes: tuple[int, int]) -> tuple[list[float], list[float]]:
    return [dice.gauss(3, 1) for _ in range(sizes[0])], [dice.gauss(2, 4) for _ in range(sizes[1])]


@pytest.mark.parametrize("sizes", [(4, 4), (5, 9), (20, 6)])
def test_two_groups_give_welchs_test(sizes: tuple[int, int]) -> None:
    """Interval and p-value are those of scipy."""
    now, before = groups(random.Random(1), sizes)
    found = contrast([(1.0, now), (-1.0, before)], stopped_early=False)
    known = stats.ttest_ind(now, before, equal_var=False)
    assert isinstance(found, Difference)
    assert found.p_beyond(0.0) == pytest.approx(known.pvalue)
    low, high = known.confidence_interval()
    assert found.value - found.half_width == pytest.approx(low)
    assert found.value + found.half_width == pytest.approx(high)


def test_four_groups_add_their_variances() -> None:
    """The spread of each group counts by itself."""
    dice = random.Random(2)
    values = [[dice.gauss(0, spread) for _ in range(6)] for spread in (1, 2, 3, 4)]
    found = contrast(list(zip((1.0, -1.0, -1.0, 1.0), values, strict=True)), stopped_early=False)
    assert isinstance(found, Difference)
    assert found.standard_error**2 == pytest.approx(
        sum(stats.variation(one, ddof=1) ** 2 * stats.tmean(one) ** 2 / 6 for one in values)
    )


def test_groups_that_were_stopped_early_are_held_to_more() -> None:
    """Their interval is wider and their p-value larger; at 5% both still agree."""
    now, before = groups(random.Random(3), (6, 6))
    fixed = contrast([(1.0, now), (-1.0, before)], stopped_early=False)
    stopped = contrast([(1.0, now), (-1.0, before)], stopped_early=True)
    assert isinstance(fixed, Difference)
    assert isinstance(stopped, Difference)
    assert stopped.half_width > fixed.half_width
    edge = abs(stopped.value) - stopped.half_width
    if edge > 0:
        assert stopped.p_beyond(edge) == pytest.approx(0.05)
    assert stopped.p_beyond(0.0) == pytest.approx(min(1.0, 2 * fixed.p_beyond(0.0)))


def test_equal_values_have_no_interval() -> None:
    """No spread is no certainty."""
    assert "on both sides all forks gave one value" in str(
        contrast([(1.0, [1.0] * 4), (-1.0, [2.0] * 4)], stopped_early=False)
    )


@pytest.mark.parametrize(("factor", "outcome"), [(1.4, "worse"), (1.0, "better")])
def test_a_machine_that_changed_is_no_finding(factor: float, outcome: str) -> None:
    """Equal tracing on a slower machine: at most 5% are findings, at both ends of what the machine may account for.

    Untraced arms are as noisy as what is added, and are taken off in the same forks.
    """
    dice = random.Random(19)
    cells, alarms = 400, 0

    def run(speed: float, added: float) -> dict[str, Samples]:
        untraced = [speed * dice.gauss(3, 0.15) for _ in range(6)]
        cost = [added + speed * dice.gauss(3, 0.15) - one for one in untraced]
        base = Base(stats.tmean(untraced), stats.sem(untraced) ** 2, 5)
        return {"p50_ms": Samples(per_fork=tuple(cost), base=base)}

    for _ in range(cells):
        before, after = run(1.0, 6.0), run(1.4, 6.0 * factor)
        (change,) = machine_changes(before, after, "the machine itself")
        one = change.scaled(before["p50_ms"], after["p50_ms"], stopped_early=False)
        raw = contrast([(1.0, after["p50_ms"].per_fork), (-1.0, before["p50_ms"].per_fork)], stopped_early=False)
        assert isinstance(one, Difference)
        assert isinstance(raw, Difference)
        right, wrong = (one, raw) if outcome == "worse" else (raw, one)
        alarms += right.p_beyond(0.0) <= ALPHA
        assert (wrong.value > 0) == (outcome == "worse")
    assert stats.binomtest(alarms, cells).proportion_ci(0.99).low <= 0.05


def test_holm_steps_down() -> None:
    """The smallest counts for all, the next for the others; none falls below one that is smaller."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_gate_over_equal_runs_seldom_finds_anything() -> None:
    """With no margin at all, one gate in twenty at most finds something: the binomial bound of 5% is kept."""
    dice = random.Random(20240917)

    def samples() -> Samples:
        return Samples(per_fork=tuple(dice.gauss(5, 1) for _ in range(FORKS)))

    alarms = 0
    for _ in range(GATES):
        pairs = []
        for number in range(COSTS_A_GATE):
            before, after = samples(), samples()
            difference = contrast([(1.0, after.per_fork), (-1.0, before.per_fork)], stopped_early=False)
            assert isinstance(difference, Difference)
            pairs.append(CostPair(str(number), "p50_ms", before, after, 0.0, difference, difference.p_beyond(0.0)))
        alarms += any(one.outcome in ("worse", "better") for one in judge(pairs))
    assert stats.binomtest(alarms, GATES).proportion_ci(0.99).low <= 0.05
    assert alarms > 0, "the correction is so strict that it can find nothing"


def test_without_the_correction_chance_would_find_something() -> None:
    """The same difference is a finding alone and none among many, and the sentence says so."""
    before = Samples(per_fork=(5.0, 5.1, 5.2, 5.3))
    after = Samples(per_fork=(5.4, 5.5, 5.6, 5.7))
    difference = contrast([(1.0, after.per_fork), (-1.0, before.per_fork)], stopped_early=False)
    assert isinstance(difference, Difference)
    pair = CostPair("cell", "p50_ms", before, after, 0.0, difference, difference.p_beyond(0.0))
    assert judge([pair])[0].outcome == "worse"
    (first, *_) = judge([pair, *(pair._replace(cell=str(number), p_value=0.9) for number in range(30))])
    assert first.outcome == "inconclusive"
    assert "among so many comparisons" in first.sentence


@pytest.mark.parametrize("counts", [(1, 480, 479, 480), (0, 480, 1, 480), (3, 23, 9, 23), (0, 5, 0, 7), (7, 7, 9, 9)])
def test_fishers_p_is_scipys(counts: tuple[int, int, int, int]) -> None:
    """One-sided, for the share of the second group being the larger one."""
    few, of_few, many, of_many = counts
    known = stats.fisher_exact(np.array([[many, of_many - many], [few, of_few - few]]), alternative="greater")
    assert fisher_p(*counts) == pytest.approx(known.pvalue)


@pytest.mark.parametrize(
    ("after", "before", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_the_interval_of_shares_is_newcombes(
    after: tuple[int, int], before: tuple[int, int], low: float, high: float
) -> None:
    """Examples a, b and h of the paper's table II, method 10."""
    assert share_difference(before, after, level=0.95) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("forks", "tests", "stopped_early"), [(4, 18, False), (12, 24, False), (12, 1, True)])
def test_a_rise_that_a_gate_can_see_is_found_in_four_of_five(forks: int, tests: int, *, stopped_early: bool) -> None:
    """At that very rise, and with the first finding held to its share of 5%: simulated."""
    dice = random.Random(7)
    margin, runs, found, said = 0.5, 2000, 0, []
    for _ in range(runs):
        before = [dice.gauss(4, 0.3) for _ in range(forks)]
        equal = [dice.gauss(4, 0.3) for _ in range(forks)]
        difference = contrast([(1.0, equal), (-1.0, before)], stopped_early=stopped_early)
        assert isinstance(difference, Difference)
        said.append(difference.smallest_found(margin, tests))
    rise = sum(said) / runs
    for _ in range(runs):
        before = [dice.gauss(4, 0.3) for _ in range(forks)]
        after = [dice.gauss(4 + rise, 0.3) for _ in range(forks)]
        difference = contrast([(1.0, after), (-1.0, before)], stopped_early=stopped_early)
        assert isinstance(difference, Difference)
        found += tests * difference.p_beyond(margin) <= ALPHA
    assert found / runs == pytest.approx(0.8, abs=0.06)
