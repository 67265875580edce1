"""Traced / untraced, beside the difference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.config import MeasureConfig
from harness.overhead import analyse

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords
    from harness.results import Estimate

    MakeRecords = Callable[..., CellRecords]

RATIOS = (2.0, 2.1, 1.9, 2.2)


def p50_of(make_records: MakeRecords, ratios: tuple[float, ...], base_ns: int = 1_000_000) -> Estimate:
    """Added p50 of forks with these ratios over a baseline that differs between forks."""

    def latency_ns(fork: int, arm: Arm, _repetition: int) -> int:
        return round(base_ns * (1 + fork) * (ratios[fork] if arm == "strategy" else 1))

    return analyse(make_records(latency_ns, forks=len(ratios)), MeasureConfig()).estimates["p50_ms"]


def test_ratio_is_the_geometric_mean_with_its_interval(make_records: MakeRecords) -> None:
    """Value and bounds are the exponentials of the mean and the t interval of the forks' log ratios."""
    found = p50_of(make_records, RATIOS)
    logs = np.log(RATIOS)
    low, high = stats.t.interval(0.95, 3, logs.mean(), stats.sem(logs))
    assert found.ratio == pytest.approx(stats.gmean(RATIOS))
    assert [found.ratio_low, found.ratio_high] == pytest.approx([math.exp(low), math.exp(high)])


def test_ratio_needs_something_to_divide_by(make_records: MakeRecords) -> None:
    """An amount that the baseline does not have (drain, stored bytes) has no ratio; CPU and memory have one."""
    entries = analyse(make_records(lambda f, _a, _r: 10**6 + f), MeasureConfig()).estimates
    assert entries["drain_ms_per_trace"].value is not None
    assert entries["drain_ms_per_trace"].ratio is None
    assert entries["stored_bytes_per_trace"].ratio is None
    assert entries["cpu_ms_per_call"].ratio == pytest.approx(stats.gmean([1.2, 1.3, 1.4, 1.5]))
    assert entries["peak_memory_mib"].ratio == pytest.approx(stats.gmean([1.50, 1.51, 1.52, 1.53]))
    assert entries["import_cpu_ms"].ratio_low is not None


def test_three_forks_and_equal_ratios_give_no_bounds(make_records: MakeRecords) -> None:
    """Where the spread says nothing, the ratio stands without an interval, as the difference does."""
    for ratios in (RATIOS[:3], (2.0,) * 4):
        found = p50_of(make_records, ratios)
        assert found.ratio == pytest.approx(stats.gmean(ratios))
        assert (found.ratio_low, found.ratio_high) == (None, None)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ratios=st.tuples(*[st.floats(0.2, 50)] * 4), factor=st.integers(2, 50))
def test_a_change_of_unit_leaves_the_ratio(make_records: MakeRecords, ratios: tuple[float, ...], factor: int) -> None:
    """Latencies that are all k times as long have the same ratio, within its bounds."""
    small, large = p50_of(make_records, ratios), p50_of(make_records, ratios, factor * 1_000_000)
    assert small.ratio == pytest.approx(large.ratio, rel=1e-4)
    if small.ratio_low is not None and small.ratio_high is not None:
        assert small.ratio is not None
        assert 0 < small.ratio_low <= small.ratio <= small.ratio_high


def test_ratio_interval_covers_the_truth(make_records: MakeRecords) -> None:
    """At 4 forks whose arms vary by 3% each, at least 94% of 400 runs enclose the planted ratio."""
    rng = np.random.default_rng(21)
    calls, planted = 24, 1.4
    found = []
    for _ in range(400):
        shift = np.exp(rng.normal(0, 0.03, (4, 2)))
        noise = np.exp(0.05 * rng.standard_t(3, (4, 2, calls)))
        latency = (1.5e6 * shift[..., None] * noise * np.asarray([planted, 1.0])[None, :, None]).astype(int).tolist()

        def latency_ns(fork: int, arm: Arm, repetition: int, latency: list[list[list[int]]] = latency) -> int:
            return latency[fork][int(arm == "baseline")][repetition]

        p50 = analyse(
            make_records(latency_ns, forks=4, blocks=2, calls_per_block=calls // 2, warmup_calls=0), MeasureConfig()
        ).estimates["p50_ms"]
        assert p50.ratio_low is not None
        assert p50.ratio_high is not None
        found.append(p50.ratio_low <= planted <= p50.ratio_high)
    assert sum(found) >= 0.94 * len(found)
