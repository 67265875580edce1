"""What a strategy adds to fast, usual and slow calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from harness.config import MeasureConfig
from harness.overhead import analyse, latencies
from harness.overhead.shift import PERCENTS, least_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords

    MakeRecords = Callable[..., CellRecords]

MS = 1_000_000


def slower_in_the_tail(fork: int, arm: Arm, repetition: int) -> int:
    """Calls that all cost 2 ms more with tracing, and the slow half of them another 3 ms."""
    base = MS + (repetition * 7919) % 1000 * 1700
    is_slow = (repetition * 7919) % 1000 >= 500
    return base if arm == "baseline" else base + 2 * MS + fork * 1000 + is_slow * 3 * MS


def test_slow_calls_are_told_from_fast_ones(make_records: MakeRecords) -> None:
    """Where tracing costs slow calls more, the upper quantiles show it and the lower ones do not."""
    shift = analyse(make_records(slower_in_the_tail, blocks=30), MeasureConfig()).shift
    added = {one.percent: one.added for one in shift}
    assert added[10].value == pytest.approx(2.0, abs=0.1)
    assert added[90].value == pytest.approx(5.0, abs=0.1)
    assert added[10].high is not None
    assert added[90].low is not None
    assert added[10].high < 3.0
    assert added[90].low > 4.0


def test_a_quantile_is_the_mean_of_the_forks_differences(make_records: MakeRecords) -> None:
    """Each point is numpy's linear quantile of both arms in each fork, and Student's t over the differences."""
    records = make_records(slower_in_the_tail, blocks=10, forks=5)
    arms = {(one.fork, one.arm): one.latency_ms for one in latencies(records)}
    (p30,) = (one.added for one in analyse(records, MeasureConfig()).shift if one.percent == 30)
    own = [np.quantile(arms[fork, "strategy"], 0.3) - np.quantile(arms[fork, "baseline"], 0.3) for fork in range(5)]
    assert p30.per_fork == pytest.approx(own)
    low, high = stats.t.interval(0.95, 4, np.mean(own), stats.sem(own))
    assert (p30.low, p30.high) == pytest.approx((low, high))


def test_it_agrees_with_the_ledger(make_records: MakeRecords) -> None:
    """The median and p95 are those of the ledger."""
    result = analyse(make_records(slower_in_the_tail, blocks=20), MeasureConfig())
    added = {one.percent: one.added for one in result.shift}
    assert added[50] == result.estimates["p50_ms"]
    assert added[95] == result.estimates["p95_ms"]


def test_quantiles_without_enough_calls_are_left_out(make_records: MakeRecords) -> None:
    """The tails go first, on both sides alike; with under ten calls nothing is left."""
    least = {percent: least_calls(percent) for percent in PERCENTS}
    assert (least[10], least[20], least[50], least[90], least[95], least[99]) == (30, 15, 10, 30, 60, 500)
    few = analyse(make_records(slower_in_the_tail, blocks=1, calls_per_block=16), MeasureConfig())
    assert [one.percent for one in few.shift] == [20, 30, 40, 50, 60, 70, 80]
    assert analyse(make_records(slower_in_the_tail, blocks=1), MeasureConfig()).shift == ()


def test_under_four_forks_there_are_no_intervals(make_records: MakeRecords) -> None:
    """The values stay, with the reason for what is not there."""
    shift = analyse(make_records(slower_in_the_tail, forks=3), MeasureConfig()).shift
    assert shift
    assert all(one.added.low is None and one.added.reason for one in shift)
