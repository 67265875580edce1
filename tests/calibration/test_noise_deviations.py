from __future__ import annotations

import math
import random
from statistics import NormalDist, fmean, median, pvariance
from typing import TYPE_CHECKING

import pytest
from scipy import stats

from harness.calibration import deviations
from harness.calibration.deviations import (
    NORMAL,
    POWER,
    Pair,
    bonferroni,
    deviation,
    geometric_mean,
    ratio_of,
    scatter_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = 9
"""The default and eight that are held against it."""


def normal(draw: random.Random) -> float:
    return draw.gauss(0, 1)


def laplace(draw: random.Random) -> float:
    return draw.expovariate(1) - draw.expovariate(1)


def student(degrees: int) -> Callable[[random.Random], float]:
    def value(draw: random.Random) -> float:
        return draw.gauss(0, 1) / math.sqrt(draw.gammavariate(degrees / 2, 2) / degrees)

    return value


def lognormals(draw: random.Random) -> float:
    return draw.lognormvariate(0, 1) - draw.lognormvariate(0, 1)


def contaminated(draw: random.Random) -> float:
    """Of a hundred forks three are ten times as wide."""
    return draw.gauss(0, 10 if draw.random() < 0.03 else 1)


SHAPES = {
    "normal": normal,
    "laplace": laplace,
    "t5": student(5),
    "t3": student(3),
    "lognormals": lognormals,
    "contaminated": contaminated,
}


def experiment(draw: random.Random, value: Callable[[random.Random], float], forks: int) -> list[list[float]]:
    return [[value(draw) for _ in range(forks)] for _ in range(SETTINGS)]


def pairs_of(groups: list[list[float]]) -> list[Pair]:
    default, *others = groups
    scatter = scatter_of(groups)
    return [Pair(one, default, scatter) for one in others]


@pytest.mark.parametrize("forks", [5, 25])
@pytest.mark.parametrize("shape", SHAPES)
def test_equal_settings_are_seldom_told_apart(shape: str, forks: int) -> None:
    """With nine settings of equal spread, not more than 5% of experiments name any, whatever the tails."""
    draw = random.Random(f"{shape}/{forks}")
    level = bonferroni(SETTINGS - 1)
    experiments = 120
    alarms = sum(
        any(ratio_of(pair, level).told_apart for pair in pairs_of(experiment(draw, SHAPES[shape], forks)))
        for _ in range(experiments)
    )
    assert alarms <= stats.binom.ppf(0.999, experiments, 0.05)


@pytest.mark.calibration
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [0, 1])
def test_what_could_be_seen_is_seen_four_times_in_five(shape: str, side: int) -> None:
    """At the true ratio that the page names, about 80% of simulated experiments tell the setting apart."""
    draw = random.Random(f"{shape}/{side}")
    level = bonferroni(SETTINGS - 1)
    experiments, told = 120, 0
    for _ in range(experiments):
        default, one, *others = experiment(draw, SHAPES[shape], 20)
        scatter = scatter_of([default, one, *others])
        true = ratio_of(Pair(one, default, scatter), level).seen[side]
        wide = Pair([true * value for value in one], default, scatter)
        told += ratio_of(wide, level).told_apart == ("lower", "higher")[side]
    assert POWER - 0.12 <= told / experiments <= POWER + 0.12


def test_one_fork_far_out_does_not_hide_a_ratio_of_four() -> None:
    """Twenty forks each, one of the default fourteen standard deviations off: the wide setting is told apart."""
    draw = random.Random(2)
    level = bonferroni(SETTINGS - 1)
    told = 0
    for _ in range(100):
        groups = experiment(draw, normal, 20)
        groups[0][7] = -14.0
        groups[1] = [4 * value for value in groups[1]]
        told += ratio_of(pairs_of(groups)[0], level).told_apart == "higher"
    assert told >= 90


def test_under_ten_forks_the_ratio_is_the_one_of_bonett_and_seier() -> None:
    """Nothing is trimmed then, and the ratio and its standard error are those of their formula."""
    ours, theirs = [32.0, 39, 26, 35, 43, 27, 40, 37, 34], [36.0, 44, 47, 42, 49, 39, 46, 31, 33]
    # By hand: the distances from 35 add up to 40, those from 42 to 47.
    assert ratio_of(Pair(ours, theirs, 1.0), 0.95).value[0] == pytest.approx(40 / 47)
    for values in (ours, theirs):
        centre, n = median(values), len(values)
        tau = fmean(abs(value - centre) for value in values)
        of_the_logarithm = ((fmean(values) - centre) ** 2 + pvariance(values)) / tau**2 - 1
        assert deviations._scatter(values) == pytest.approx(of_the_logarithm * n / (n - 1))


def test_the_farthest_tenth_is_left_out() -> None:
    """Of eleven distances one, however far out it lies; of nine none."""
    values = [float(number) for number in range(11)]
    assert deviation(values) == pytest.approx(fmean([0, 1, 1, 2, 2, 3, 3, 4, 4, 5]))
    assert deviation([*values[:-1], 400.0]) == deviation(values)
    assert deviation(values[:9]) == pytest.approx(20 / 9)


def test_scatter_has_no_unit_and_is_that_of_the_normal_distribution_at_least() -> None:
    """It is the same of groups ten times as wide, higher with tails, and groups of few values say nothing."""
    draw = random.Random(4)
    many = [[normal(draw) for _ in range(2000)] for _ in range(20)]
    wide = [[10 * value for value in values] for values in many]
    # What it is of many normal values, from their quantiles.
    values = [NormalDist().inv_cdf((number + 0.5) / 20_000) for number in range(20_000)]
    assert deviations._scatter(values) == pytest.approx(NORMAL, abs=2e-3)
    assert scatter_of(many) == pytest.approx(NORMAL, rel=0.03)
    assert scatter_of(wide) == pytest.approx(scatter_of(many))
    tails = [[laplace(draw) for _ in range(200)] for _ in range(20)]
    assert scatter_of(tails) > 1.2 * NORMAL
    assert scatter_of([*tails, [0.0, 1e-9, 1.0]]) == scatter_of(tails)
    assert scatter_of([]) == NORMAL
    assert scatter_of([[0.0, 1.0] * 10]) == NORMAL


@pytest.mark.calibration
def test_the_mean_over_strategies_covers_the_truth_and_sees_more() -> None:
    """Ratios of 2 and 0.5 have the geometric mean 1; its interval contains it, and is narrower than either's."""
    draw = random.Random(14)
    inside = 0
    for _ in range(500):
        pairs = [
            Pair([draw.gauss(0, sd * ratio) for _ in range(12)], [draw.gauss(0, sd) for _ in range(12)], NORMAL)
            for sd, ratio in ((0.1, 2.0), (3.0, 0.5))
        ]
        both = geometric_mean(pairs, 0.95)
        assert both is not None
        inside += both.value[1] <= 1.0 <= both.value[2]
    assert inside / 500 >= 0.92
    alone = ratio_of(pairs[0], 0.95)
    assert both is not None
    assert both.value[2] / both.value[1] < alone.value[2] / alone.value[1]
    assert both.seen[1] < alone.seen[1]
