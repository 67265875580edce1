"""Verdicts, their order, what forbids them, and what their sentences say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from harness.config import MeasureConfig
from harness.errors import ConfigError
from harness.overhead import analyse, floor_ms, precision_reached
from harness.overhead.contrasts import smallest_found
from harness.overhead.verdicts import rule
from harness.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.records import Arm, CellRecords
    from harness.results import OverheadResult

    MakeRecords = Callable[..., CellRecords]
    Judge = Callable[..., OverheadResult]

SPREAD_US = (-100, 100, -100, 100)
"""Fork effects whose interval has a half-width of 183.7 us."""

HALF_WIDTH_MS = 0.18374


@pytest.fixture
def judge(make_records: MakeRecords) -> Judge:
    """Analyse a cell whose added p50 in each fork is known, over a baseline of 1.5 ms."""

    def result(
        added_us: float, *, spread_us: Sequence[int] = SPREAD_US, measure: MeasureConfig | None = None, **parts: Any
    ) -> OverheadResult:
        def latency_ns(fork: int, arm: Arm, _repetition: int) -> int:
            return 1_500_000 + (int((added_us + spread_us[fork]) * 1000) if arm == "strategy" else 0)

        return analyse(make_records(latency_ns, forks=len(spread_us), **parts), measure or MeasureConfig(max_load=0.8))

    return result


def test_slower_names_the_interval_the_share_and_the_baseline(judge: Judge) -> None:
    """An interval above zero and the margin is slower, with all that is needed to weigh it."""
    result = judge(4120)
    assert result.verdict == "slower"
    assert result.sentence == (
        "slower by 4.12 ms [3.94, 4.30] a call (95% interval, 4 forks), 0.8% of a 500 ms call, "
        "baseline p50 1.50 ms (traced 3.75 [3.63, 3.87] times that)"
    )
    assert result.smallest_effect_ms == pytest.approx(HALF_WIDTH_MS, rel=1e-4)


def test_faster_turns_the_interval_round(judge: Judge) -> None:
    """A difference below zero is told as a gain, its bounds in rising order."""
    result = judge(-900)
    assert result.verdict == "faster"
    assert result.sentence.startswith("faster by 0.90 ms [0.72, 1.08] a call (95% interval, 4 forks), 0.2% of a 500 ms")


def test_equivalent_lies_within_the_margin(judge: Judge) -> None:
    """An interval within the margin that includes zero is equivalent within it."""
    result = judge(20)
    assert (result.verdict, result.equivalence_margin_ms) == ("equivalent", 0.5)
    assert result.sentence == (
        "equivalent within 0.5 ms: added p50 is +0.02 ms [-0.16, +0.20] a call (95% interval, 4 forks), "
        "baseline p50 1.50 ms (traced 1.01 [0.90, 1.14] times that)"
    )


@pytest.mark.parametrize(("added_us", "side"), [(250, "above"), (-250, "below")])
def test_equivalent_comes_before_slower(judge: Judge, added_us: int, side: str) -> None:
    """An interval within the margin that excludes zero is equivalent, and the sentence names its side."""
    result = judge(added_us)
    assert result.verdict == "equivalent"
    assert result.sentence.endswith(f"; small, but {side} zero")


def test_including_zero_is_not_no_overhead(judge: Judge) -> None:
    """An interval that includes zero and leaves the margin is inconclusive, and names the smallest effect."""
    result = judge(20, measure=MeasureConfig(margin_ms=0.1))
    assert result.verdict == "inconclusive"
    assert result.sentence.endswith(
        'the interval includes zero, which is not "no overhead": only an effect from 0.25 ms on would be seen in '
        "80% of such runs"
    )


def test_the_smallest_effect_is_found_in_four_of_five_runs() -> None:
    """Of 20,000 simulated runs with four forks, 80% tell such an effect from none; of the half-width's, hardly 60%."""
    draw = np.random.default_rng(5)
    half_width = float(stats.t.ppf(0.975, 3)) * 0.5
    for effect, power in ((smallest_found(half_width, 4, 0.95), 0.8), (half_width, 0.58)):
        values = draw.normal(effect, 1.0, size=(20_000, 4))
        found = stats.ttest_1samp(values, 0.0, axis=1).pvalue < 0.05
        assert np.mean(found) == pytest.approx(power, abs=0.02)


def test_leaving_the_margin_but_not_zero_is_slower(judge: Judge) -> None:
    """An interval that crosses the margin and excludes zero is slower."""
    assert judge(450).verdict == "slower"


def test_relative_margin_counts_where_it_is_larger(judge: Judge) -> None:
    """The margin is the larger of the absolute one and the share of the baseline's p50."""
    result = judge(250, measure=MeasureConfig(margin_ms=0.1, margin_relative=0.4))
    assert result.verdict == "equivalent"
    assert result.equivalence_margin_ms == pytest.approx(0.6)
    assert judge(250, measure=MeasureConfig(margin_ms=0.7, margin_relative=0.4)).equivalence_margin_ms == 0.7


@pytest.mark.parametrize(
    ("measure", "named"),
    [
        (MeasureConfig(margin_ms=-1.0), "margin_ms is -1.0"),
        (MeasureConfig(margin_relative=math.nan), "margin_relative is nan"),
    ],
    ids=["negative", "nan"],
)
def test_impossible_margin_is_refused(judge: Judge, measure: MeasureConfig, named: str) -> None:
    """A margin that is negative or not a number is named, not compared with."""
    with pytest.raises(ConfigError, match=rf"measure\.{named}; it must be a number from 0 upwards"):
        judge(0, measure=measure)


def test_three_forks_are_not_judged(judge: Judge) -> None:
    """Under four forks there is a value, but neither interval nor verdict nor smallest effect."""
    result = judge(4120, spread_us=(-100, 100, 0))
    p50 = result.estimates["p50_ms"]
    assert (result.verdict, result.smallest_effect_ms) == ("not judged", None)
    assert p50.value == pytest.approx(4.12)
    assert (p50.low, p50.high) == (None, None)
    assert result.sentence == (
        "not judged: 3 complete forks give no interval, at least 4 are needed; "
        "the mean difference is +4.12 ms a call, baseline p50 1.50 ms (traced 3.75 times that)"
    )


def test_equal_forks_are_not_judged(judge: Judge) -> None:
    """Forks without any spread give no verdict, however large the difference."""
    result = judge(4120, spread_us=(0, 0, 0, 0))
    assert result.verdict == "not judged"
    assert "all 4 forks gave the same difference" in result.sentence


def test_too_few_calls_are_not_judged(judge: Judge) -> None:
    """Without a p50 there is no verdict, and the sentence says how many calls it needs."""
    result = judge(4120, blocks=1)
    assert result.sentence == ("not judged: p50 needs 10 analysed calls in each arm of each fork, and fork 0 has 7")


def test_lost_traces_forbid_a_verdict(judge: Judge) -> None:
    """Traces lost in one fork forbid a verdict, though the interval is there, and a surplus elsewhere does not help."""
    stored = {1: 26, 2: 32}
    result = judge(4120, arm_run=lambda f, a: {"stored_traces": stored[f]} if a == "strategy" and f in stored else {})
    assert result.verdict == "not judged"
    assert (result.traces_expected, result.traces_lost) == (4 * 29, 3)
    assert result.estimates["p50_ms"].low is not None
    assert "3 of 116 traces were lost, and dropping traces makes tracing look cheap" in result.sentence
    assert "3 traces more than expected were stored" in result.sentence
    assert "4.12" not in result.sentence


def test_traces_that_went_astray_forbid_a_verdict(judge: Judge) -> None:
    """Though the collector received all, what came to the store as well was work that should not have been done."""
    result = judge(4120, arm_run=lambda f, a: {"astray_traces": 2} if (f, a) == (1, "strategy") else {})
    assert result.sentence == ("not judged: 2 traces came to the store, although all were to go to the collector")
    assert result.traces_lost == 0


def test_traced_baseline_forbids_a_verdict(judge: Judge) -> None:
    """A baseline arm that left traces is no baseline."""
    result = judge(4120, arm_run=lambda f, a: {"stored_traces": 2} if (f, a) == (0, "baseline") else {})
    assert result.sentence == "not judged: the baseline arm stored 2 traces, so it is no baseline"


def test_saturated_store_forbids_a_verdict(judge: Judge) -> None:
    """A load above its share of the drain rate forbids a verdict: the queue, not the strategy, is timed."""
    result = judge(4120, period_ns=21_000_000)
    assert result.verdict == "not judged"
    assert result.sentence == (
        "not judged: the load of 47.6 calls a second saturated the store, "
        "which drains the traces of 50.0 calls a second and may be given 40.0"
    )


def test_load_a_little_above_its_limit_is_tolerated(judge: Judge) -> None:
    """Both rates are measured, so a load 5% above its limit is judged."""
    assert judge(4120, period_ns=23_800_000).verdict == "slower"


def test_failures_in_one_arm_forbid_a_verdict(judge: Judge) -> None:
    """Where one arm fails more than 1% of the calls, those that are left are not a fair sample."""
    result = judge(4120, error=lambda _f, a, r: "boom" if a == "strategy" and r == 8 else None)
    assert (result.verdict, result.failed_calls) == ("not judged", 4)
    assert "4 of 84 calls failed in one arm only" in result.sentence


def test_failures_in_both_arms_do_not(judge: Judge) -> None:
    """Calls that fail in both arms are left out of both, and the rest is judged."""
    result = judge(4120, error=lambda _f, _a, r: "boom" if r == 8 else None)
    assert (result.verdict, result.failed_calls, result.calls_per_fork) == ("slower", 8, 20)


def test_floor_that_includes_zero(judge: Judge) -> None:
    """An A/A cell's sentence says that it is the noise floor and that its interval includes zero."""
    result = judge(20, tracing="none")
    assert result.is_floor
    assert result.sentence == (
        "noise floor: two equal arms differ by +0.02 ms [-0.16, +0.20] a call (95% interval, 4 forks), "
        "baseline p50 1.50 ms; the interval includes zero, as it should"
    )
    assert floor_ms(result) == pytest.approx(0.02 + HALF_WIDTH_MS, rel=1e-4)


def test_floor_that_excludes_zero_is_called_a_false_alarm(judge: Judge) -> None:
    """An A/A cell may come out slower; the sentence then says that nothing was traced."""
    result = judge(-600, tracing="none")
    assert result.verdict == "faster"
    assert result.sentence.endswith(
        "the interval excludes zero although neither arm was traced: a false alarm, "
        "and the floor is its farther bound, 0.78 ms"
    )
    assert floor_ms(result) == pytest.approx(0.6 + HALF_WIDTH_MS, rel=1e-4)


def test_only_a_judged_floor_has_a_floor(judge: Judge) -> None:
    """A traced cell, an A/A cell without an interval and one that left traces give no noise floor."""
    assert floor_ms(judge(20)) is None
    assert floor_ms(judge(20, tracing="none", arm_run=lambda _f, _a: {"stored_traces": 1})) is None
    assert floor_ms(judge(20, tracing="none", spread_us=(0, 10, 20))) is None


def test_silent_strategy_is_no_floor(make_records: MakeRecords) -> None:
    """A strategy of one's own that stores no traces is not ``none``: its cost is no noise."""
    records = make_records(lambda f, a, _r: 1_000_000 + (f * 1000 if a == "strategy" else 0), tracing="none")
    own = records.cell.model_copy(update={"tracing": "my-logger"})
    assert not analyse(records._replace(cell=own), MeasureConfig()).is_floor


def test_sentence_shows_enough_digits(judge: Judge) -> None:
    """A bound that is not zero does not read as zero."""
    assert "slower by 0.5100 ms [0.5082, 0.5118]" in judge(510, spread_us=(-1, 1, -1, 1)).sentence
    assert "slower by 0.1840 ms [0.0003, 0.3677]" in judge(184, measure=MeasureConfig(margin_ms=0.0)).sentence


def test_precision_is_the_half_width_alone(judge: Judge) -> None:
    """The precision is reached by a narrow interval, wherever it lies, in ms or as a share of the traced p50."""

    def reached(added_us: int, **precision: float) -> bool:
        measure = MeasureConfig(forks=4, max_forks=4, **precision)  # type: ignore[arg-type]  # all are floats
        return precision_reached(judge(added_us, measure=measure), measure)

    assert [reached(added, precision_ms=0.19) for added in (0, 4000)] == [True, True]
    assert [reached(added, precision_ms=0.18) for added in (0, 4000)] == [False, False]
    assert [reached(added, precision_relative=0.05) for added in (0, 4000)] == [False, True]
    assert reached(0, precision_ms=0.19, precision_relative=0.01)


def test_no_precision_asked_means_the_planned_forks(judge: Judge) -> None:
    """With both precisions 0 the planned number of forks is enough, and fewer are not."""
    assert precision_reached(judge(0), MeasureConfig(forks=4, max_forks=12))
    assert not precision_reached(judge(0), MeasureConfig(forks=5, max_forks=12))


def test_precision_needs_an_interval_and_the_planned_forks(judge: Judge) -> None:
    """Neither three forks nor fewer than planned reach a precision, however wide it is."""
    assert not precision_reached(judge(0, spread_us=(0, 1, 2)), MeasureConfig(forks=3, precision_ms=100.0))
    assert not precision_reached(judge(0), MeasureConfig(forks=6, precision_ms=100.0))


def p50_with_ratio(low: float, high: float, ratio_low: float, ratio_high: float) -> Estimate:
    """Added p50 whose difference and ratio have these intervals."""
    return Estimate(
        name="p50_ms",
        unit="ms",
        value=(low + high) / 2,
        low=low,
        high=high,
        forks=4,
        baseline=11.6,
        ratio=math.sqrt(ratio_low * ratio_high),
        ratio_low=ratio_low,
        ratio_high=ratio_high,
    )


def test_a_ratio_that_includes_one_is_told_beside_a_difference_that_excludes_zero() -> None:
    """Who reads "slower" also reads that the ratio shows no difference."""
    ruling = rule(p50_with_ratio(0.5, 3.9, 0.99, 1.49), 0.5, (), is_floor=False)
    assert ruling.verdict == "slower"
    assert ruling.sentence.endswith(
        "(traced 1.21 [0.99, 1.49] times that; this interval includes 1, so the ratio shows no difference)"
    )


def test_a_ratio_that_excludes_one_is_told_beside_a_difference_that_includes_zero() -> None:
    """Nor is the other contradiction passed over; where both say the same there is nothing to add."""
    ruling = rule(p50_with_ratio(-0.1, 3.9, 1.01, 1.49), 0.5, (), is_floor=False)
    assert ruling.verdict == "inconclusive"
    assert "this interval excludes 1, though that of the difference includes zero" in ruling.sentence
    for bounds in ((0.5, 3.9, 1.01, 1.49), (-0.1, 3.9, 0.99, 1.49)):
        assert "this interval" not in rule(p50_with_ratio(*bounds), 0.5, (), is_floor=False).sentence
