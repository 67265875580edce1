"""The interval of a mean over forks."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.config import MeasureConfig
from harness.overhead.intervals import Interval, quantile_level, t_interval


def test_equals_scipys_t_interval() -> None:
    """The bounds are those that scipy gives for the mean of the forks."""
    values = [3.9, 4.3, 4.0, 4.25, 4.6]
    centre, error = statistics.fmean(values), stats.sem(values)
    interval = t_interval(values)
    assert isinstance(interval, Interval)
    assert interval == pytest.approx(stats.t.interval(0.95, 4, loc=centre, scale=error), rel=1e-12)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0]])
def test_under_four_forks_there_is_none(values: list[float]) -> None:
    """Three forks give a reason that names the number needed, and no interval."""
    assert t_interval(values) == f"{len(values)} complete forks give no interval, at least 4 are needed"


def test_equal_forks_give_no_interval_of_no_width() -> None:
    """Forks that do not differ, or by less than the clock's step, claim no certainty."""
    assert "spread says nothing" in str(t_interval([0.1 + 0.2, 0.3, 0.3, 0.3], resolution=1e-6))
    assert "spread says nothing" in str(t_interval([5.0] * 8))


@given(st.lists(st.integers(-(10**12), 10**12), min_size=4, max_size=12, unique=True))
def test_encloses_the_mean_whatever_the_order(values: list[int]) -> None:
    """The interval is finite, has a width, encloses the mean, and does not depend on the order of forks."""
    numbers = [value / 1e6 for value in values]
    interval = t_interval(numbers)
    assert isinstance(interval, Interval)
    assert interval.low < statistics.fmean(numbers) < interval.high
    assert t_interval(sorted(numbers)) == interval


@pytest.mark.parametrize(
    ("measure", "level"),
    [
        (MeasureConfig(), 0.95),
        (MeasureConfig(forks=4, max_forks=12), 0.95),
        (MeasureConfig(precision_ms=0.1), 0.95),
        (MeasureConfig(forks=4, max_forks=12, precision_ms=0.1), 0.975),
        (MeasureConfig(forks=4, max_forks=12, precision_relative=0.02), 0.975),
    ],
)
def test_only_runs_that_may_stop_early_pay_for_it(measure: MeasureConfig, level: float) -> None:
    """The wider quantile is used where forks are added until a precision is reached, and nowhere else."""
    assert quantile_level(measure) == level
