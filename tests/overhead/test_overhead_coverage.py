"""How often the interval encloses the truth, under fork effects, drift and heavy-tailed calls.

The simulated cell: latency = 1.5 ms + planted 0.2 ms in the strategy arm + a shift of each arm in
each fork + a drift over the fork's blocks, which run in random order + noise of each call with a
heavy tail (Student's t with 3 degrees of freedom, folded). Scales are those of the prototypes:
fork means that vary by 40 us, calls that vary by about 50 us. The truth is the planted difference
plus the difference of the shifts' means; noise and drift are alike in both arms and cancel in
expectation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from scipy import stats

from harness.cli.compose import compose_cells
from harness.config import MeasureConfig
from harness.overhead import analyse, precision_reached
from harness.overhead.intervals import FIXED_LEVEL, STOPPED_LEVEL, Interval, t_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from harness.records import Arm, CellRecords

    MakeRecords = Callable[..., CellRecords]
    Array = NDArray[np.float64]
    Shifts = Callable[[np.random.Generator, tuple[int, ...]], Array]

LEAST = 0.94
BLOCKS = 3
CALLS = 7
"""Analysed calls in a block."""

PLANTED_US = 200.0
FORK_US = 40.0


class Scenario(NamedTuple):
    """Shifts of each arm in us, and the mean of (strategy minus baseline)."""

    strategy: Shifts
    baseline: Shifts
    mean_us: float


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Forks that vary by 40 us either way."""
    return rng.normal(0, FORK_US, shape)


def skewed(scale: float, sigma: float) -> Shifts:
    """Forks that are slowed down, a few of them much."""
    return lambda rng, shape: scale * FORK_US * rng.lognormal(0, sigma, shape)


SCENARIOS = {
    "normal": Scenario(normal, normal, 0.0),
    "skewed": Scenario(skewed(1, 0.5), skewed(1, 0.5), 0.0),
    "very-skewed": Scenario(skewed(1, 1.0), skewed(1, 1.0), 0.0),
    "more-skewed-strategy": Scenario(skewed(2, 0.5), skewed(1, 0.5), FORK_US * math.exp(0.125)),
}


def latencies_us(rng: np.random.Generator, scenario: Scenario, runs: int, forks: int) -> Array:
    """Latencies of shape (runs, forks, 2 arms, blocks, calls), strategy arm first."""
    shape = (runs, forks)
    shift = np.stack([PLANTED_US + scenario.strategy(rng, shape), scenario.baseline(rng, shape)], axis=-1)
    strategy_first = rng.integers(0, 2, (*shape, BLOCKS))
    place = 2 * np.arange(BLOCKS) + np.stack([1 - strategy_first, strategy_first], axis=2)
    drift = rng.normal(0, 10, shape)[:, :, None, None] * place
    noise = 30 * np.abs(rng.standard_t(3, (*shape, 2, BLOCKS, CALLS)))
    return np.asarray(1500 + shift[..., None, None] + drift[..., None] + noise, dtype=np.float64)


def p50_differences_us(latency_us: Array) -> Array:
    """Added p50 of shape (runs, forks)."""
    medians = np.median(latency_us.reshape(*latency_us.shape[:3], -1), axis=-1)
    return np.asarray(medians[..., 0] - medians[..., 1])


def hits(intervals: Iterable[Interval | str], truth: float) -> list[bool]:
    """Which intervals enclose the truth; one that is withheld here is a fault."""
    return [isinstance(found, Interval) and found.low <= truth <= found.high for found in intervals]


def coverage_interval(found: Sequence[bool]) -> tuple[float, float]:
    """The exact 95% binomial interval of the coverage (Clopper and Pearson)."""
    ci = stats.binomtest(sum(found), len(found)).proportion_ci(0.95, method="exact")
    return float(ci.low), float(ci.high)


def assert_covers(found: Sequence[bool]) -> None:
    """The observed coverage reaches 94%, so its binomial interval cannot lie below."""
    low, high = coverage_interval(found)
    assert sum(found) >= LEAST * len(found), f"coverage is between {low:.3f} and {high:.3f}"


@pytest.mark.parametrize("forks", [4, 8])
@pytest.mark.parametrize("name", SCENARIOS)
def test_interval_covers_the_truth(name: str, forks: int) -> None:
    """With the fewest forks in use and with twice as many, at least 94% of 8,000 runs enclose the truth."""
    scenario = SCENARIOS[name]
    rng = np.random.default_rng([20240917, forks])
    differences = p50_differences_us(latencies_us(rng, scenario, 8000, forks))
    assert_covers(hits(map(t_interval, differences.tolist()), PLANTED_US + scenario.mean_us))


def stopped(
    differences: Sequence[float], half_width: float | Callable[[float], float], level: float, first: int = 4
) -> Interval | str:
    """The interval of a run that adds forks, from the first look up to all of them, until it is narrow enough.

    The half-width to reach may depend on the estimate.
    """
    found: Interval | str = ""
    for forks in range(first, len(differences) + 1):
        found = t_interval(differences[:forks], level=level)
        if isinstance(found, Interval):
            asked = half_width((found.low + found.high) / 2) if callable(half_width) else half_width
            if found.high - found.low <= 2 * asked:
                break
    return found


@pytest.mark.parametrize("half_width_us", [25, 35, 60])
def test_stopping_by_precision_keeps_the_coverage(half_width_us: float) -> None:
    """A run that stops as soon as its interval is narrow enough still covers, at the level that it uses."""
    rng = np.random.default_rng(4)
    differences = p50_differences_us(latencies_us(rng, SCENARIOS["normal"], 4000, 12)).tolist()
    assert_covers(hits((stopped(row, half_width_us, STOPPED_LEVEL) for row in differences), PLANTED_US))


@pytest.mark.parametrize(
    ("name", "spread_ms"),
    [("standard", 0.12), ("standard", 0.2), ("standard", 0.3), ("rigorous", 0.1), ("rigorous", 0.17)],
)
def test_the_presets_that_stop_by_precision_keep_the_coverage(name: str, spread_ms: float) -> None:
    """With their own first look, most forks and precision; forks differ so much that runs stop in between."""
    (cell,) = compose_cells([f"measure={name}"], multirun=False)
    measure, untraced_ms, added_ms = cell.measure, 3.0, 1.0
    rng = np.random.default_rng([11, round(spread_ms * 1000)])
    rows = rng.normal(added_ms, spread_ms, (2000 if name == "standard" else 1000, measure.max_forks)).tolist()

    def asked_ms(value_ms: float) -> float:
        return max(measure.precision_ms, measure.precision_relative * (untraced_ms + value_ms))

    intervals = [stopped(row, asked_ms, STOPPED_LEVEL, measure.forks) for row in rows]
    assert_covers(hits(intervals, added_ms))
    reached = [
        isinstance(found, Interval) and found.high - found.low <= 2.4 * asked_ms(added_ms) for found in intervals
    ]
    assert sum(reached) > len(rows) / 2


def test_stopping_by_precision_needs_the_wider_level() -> None:
    """At the plain level such runs stop on a spread that is small by luck, and cover less than 94%."""
    rng = np.random.default_rng(4)
    differences = p50_differences_us(latencies_us(rng, SCENARIOS["normal"], 4000, 12)).tolist()
    _, high = coverage_interval(hits((stopped(row, 35, FIXED_LEVEL) for row in differences), PLANTED_US))
    assert high < LEAST


def test_pooled_calls_would_not_cover() -> None:
    """An interval that takes each pair of calls for a replication misses the truth in most runs."""
    latency_us = latencies_us(np.random.default_rng(3), SCENARIOS["normal"], 2000, 4)
    pairs = (latency_us[:, :, 0] - latency_us[:, :, 1]).reshape(len(latency_us), -1)
    _, high = coverage_interval(hits(map(t_interval, pairs.tolist()), PLANTED_US))
    assert high < 0.5


@pytest.mark.parametrize(("sigma", "documented"), [(0.25, 0.94), (0.5, 0.92), (1.0, 0.82)])
def test_known_limit_is_as_documented(sigma: float, documented: float) -> None:
    """Where only one arm has a skewed shift and nothing else varies, coverage falls as the module's text says."""
    values = np.random.default_rng(5).lognormal(0, sigma, (8000, 4)).tolist()
    found = hits(map(t_interval, values), math.exp(sigma**2 / 2))
    assert sum(found) / len(found) == pytest.approx(documented, abs=0.01)


def records_of(make_records: MakeRecords, latency_us: Array) -> CellRecords:
    """The records of one run's latencies of shape (forks, arms, blocks, calls), with slow first calls."""

    def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
        block, call = divmod(repetition, CALLS + 1)
        return 10**8 if call == 0 else int(1000 * latency_us[fork, int(arm == "baseline"), block, call - 1])

    return make_records(latency_ns, forks=len(latency_us), blocks=BLOCKS, calls_per_block=CALLS + 1, warmup_calls=0)


@pytest.mark.parametrize("name", ["normal", "skewed"])
def test_coverage_through_the_whole_analysis(make_records: MakeRecords, name: str) -> None:
    """From raw records to the estimate, at 4 forks, at least 94% of 400 runs enclose the planted difference."""
    runs = latencies_us(np.random.default_rng(6), SCENARIOS[name], 400, 4)
    found = []
    for run in runs:
        p50 = analyse(records_of(make_records, run), MeasureConfig()).estimates["p50_ms"]
        assert p50.low is not None
        assert p50.high is not None
        found.append(p50.low <= PLANTED_US / 1000 <= p50.high)
    assert_covers(found)


@pytest.mark.calibration
def test_coverage_of_whole_runs_that_stop(make_records: MakeRecords) -> None:
    """Runs that add forks until ``precision_reached`` says so enclose the planted difference in 94% of 120."""
    measure = MeasureConfig(forks=4, max_forks=8, precision_ms=0.045)
    found, forks = [], []
    for run in latencies_us(np.random.default_rng(7), SCENARIOS["normal"], 120, measure.max_forks):
        for count in range(measure.forks, measure.max_forks + 1):
            result = analyse(records_of(make_records, run[:count]), measure)
            if precision_reached(result, measure):
                break
        p50 = result.estimates["p50_ms"]
        assert p50.low is not None
        assert p50.high is not None
        found.append(p50.low <= PLANTED_US / 1000 <= p50.high)
        forks.append(result.forks)
    assert min(forks) < max(forks)
    assert_covers(found)
