"""Properties that hold for any latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.config import MeasureConfig
from harness.overhead import analyse

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords
    from harness.results import Estimate

    MakeRecords = Callable[..., CellRecords]
    Latencies = list[list[int]]

CALLS = 12
STEP_MS = 1e-6

arms = st.lists(st.integers(0, 10**10), min_size=CALLS, max_size=CALLS)
forks = st.lists(arms, min_size=4, max_size=5)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def p50_of(make_records: MakeRecords, strategy: Latencies, baseline: Latencies) -> Estimate:
    """Added p50 of one block a fork; the warm-up is none, so that repetition is index."""

    def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
        return (strategy if arm == "strategy" else baseline)[fork][repetition]

    records = make_records(
        latency_ns, forks=len(strategy), blocks=1, calls_per_block=CALLS, warmup_calls=0, tracing="none"
    )
    return analyse(records, MeasureConfig()).estimates["p50_ms"]


def assert_bounds(found: Estimate, low: float | None, high: float | None) -> None:
    """Compare bounds, which may be withheld in both."""
    expected = (pytest.approx(low, rel=1e-9, abs=1e-9), pytest.approx(high, rel=1e-9, abs=1e-9))
    assert (found.low, found.high) == (expected if low is not None else (None, None))


@quick
@given(strategy=forks, shift_ns=st.integers(0, 10**10), data=st.data())
def test_a_constant_moves_p50_by_itself(
    make_records: MakeRecords, strategy: Latencies, shift_ns: int, data: st.DataObject
) -> None:
    """Adding a constant to all latencies of the strategy arm moves value and bounds by exactly that."""
    baseline = data.draw(st.lists(arms, min_size=len(strategy), max_size=len(strategy)))
    before = p50_of(make_records, strategy, baseline)
    after = p50_of(make_records, [[ns + shift_ns for ns in fork] for fork in strategy], baseline)
    shift_ms = shift_ns / 1e6
    assert before.value is not None
    assert after.value == pytest.approx(before.value + shift_ms, rel=1e-12, abs=STEP_MS / 100)
    if before.low is not None and before.high is not None:
        assert_bounds(after, before.low + shift_ms, before.high + shift_ms)


@quick
@given(strategy=forks, data=st.data())
def test_swapping_the_arms_negates(make_records: MakeRecords, strategy: Latencies, data: st.DataObject) -> None:
    """With the arms swapped, value and interval change their sign and nothing else."""
    baseline = data.draw(st.lists(arms, min_size=len(strategy), max_size=len(strategy)))
    there = p50_of(make_records, strategy, baseline)
    back = p50_of(make_records, baseline, strategy)
    assert there.value is not None
    assert back.value == -there.value
    assert back.per_fork == tuple(-value for value in there.per_fork)
    if there.low is not None and there.high is not None:
        assert_bounds(back, -there.high, -there.low)


@quick
@given(strategy=forks, factor=st.integers(2, 1000), data=st.data())
def test_a_factor_scales_everything(
    make_records: MakeRecords, strategy: Latencies, factor: int, data: st.DataObject
) -> None:
    """Latencies that are all k times as long give k times the value, the baseline and the bounds."""
    baseline = data.draw(st.lists(arms, min_size=len(strategy), max_size=len(strategy)))
    small = p50_of(make_records, strategy, baseline)
    large = p50_of(
        make_records,
        [[ns * factor for ns in fork] for fork in strategy],
        [[ns * factor for ns in fork] for fork in baseline],
    )
    assert small.value is not None
    assert small.baseline is not None
    assert large.value == pytest.approx(small.value * factor, rel=1e-9, abs=STEP_MS / 100)
    assert large.baseline == pytest.approx(small.baseline * factor)
    if small.low is not None and small.high is not None:
        assert large.low == pytest.approx(small.low * factor, rel=1e-6, abs=1e-6)
        assert large.high == pytest.approx(small.high * factor, rel=1e-6, abs=1e-6)


@quick
@given(strategy=forks)
def test_equal_arms_differ_by_nothing(make_records: MakeRecords, strategy: Latencies) -> None:
    """Identical latencies in both arms give a value of zero and no claim of certainty."""
    same = p50_of(make_records, strategy, strategy)
    assert (same.value, same.low, same.high) == (0, None, None)
