"""Whether the cost is one number: from the first measured call to the last, and from fork to fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.config import MeasureConfig
from harness.overhead import analyse
from harness.overhead.drift import drift
from harness.overhead.intervals import FIXED_LEVEL
from harness.overhead.samples import complete_forks
from harness.overhead.steady import settled_after, steady_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.overhead.samples import Fork
    from harness.records import Arm, CellRecords
    from harness.results import OverheadResult

    MakeRecords = Callable[..., CellRecords]

WARMUP = 30
CALLS = 44
"""Measured calls of an arm: 4 blocks of 11, the first of each flagged."""

SPREAD_US = (-30, 30, -20, 20)


@pytest.fixture
def judge(make_records: MakeRecords) -> Callable[..., OverheadResult]:
    """Analyse a cell that adds one amount in the first half of its measured calls and another in the second."""

    def result(first_us: float, second_us: float, **parts: Any) -> OverheadResult:
        def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
            if arm == "baseline":
                return 1_500_000
            late = repetition - WARMUP >= CALLS / 2
            return 1_500_000 + int(1000 * (SPREAD_US[fork] * (1 + late) + (second_us if late else first_us)))

        shape = {"forks": 4, "blocks": 4, "calls_per_block": 11, "warmup_calls": WARMUP} | parts
        return analyse(make_records(latency_ns, **shape), MeasureConfig())

    return result


def test_a_level_cost_is_steady(judge: Callable[..., OverheadResult]) -> None:
    """Where both halves cost the same, the cell is steady, says so with the interval, and has no warning."""
    result = judge(4000, 4000)
    assert result.steady is not None
    assert (result.steady.steady, result.warnings) == (True, ())
    assert result.steady.sentence.startswith("steady within 0.5 ms: added p50 changed by ")
    assert result.steady.changes["added_p50_ms"].per_fork == pytest.approx([-0.03, 0.03, -0.02, 0.02])
    assert result.steady.later_verdict == result.verdict == "slower"


def test_a_change_that_does_not_touch_the_verdict_is_a_warning(judge: Callable[..., OverheadResult]) -> None:
    """A cost that falls from 4.4 to 3.6 ms is not one number, but slower all the same: the verdict is kept."""
    result = judge(4400, 3600)
    assert result.steady is not None
    assert (result.verdict, result.steady.steady) == ("slower", False)
    assert result.warnings == (result.steady.sentence,)
    assert result.steady.sentence.startswith("not steady: added p50 changed by -0.800 ms [")


def test_a_change_beyond_the_margin_that_decides_withdraws_the_verdict(judge: Callable[..., OverheadResult]) -> None:
    """A cost that is there at first and gone later is inconclusive, with the reason in the sentence."""
    result = judge(1400, 20)
    assert result.verdict == "inconclusive"
    assert result.sentence.startswith("inconclusive: added p50 is +0.")
    assert "more than the margin of 0.5 ms, and the later half alone would be equivalent, not slower" in result.sentence


def test_a_change_within_the_margin_never_withdraws(judge: Callable[..., OverheadResult]) -> None:
    """Below the margin a change counts as none, even where the later half says something else."""
    result = judge(750, 320)
    assert result.steady is not None
    assert (result.verdict, result.steady.later_verdict, result.steady.steady) == ("slower", "equivalent", True)
    assert result.warnings == ()


def test_noise_is_not_called_steady(make_records: MakeRecords) -> None:
    """A change that could be zero or more than the margin is neither steady nor unsteady, and the sentence says so."""

    def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
        late = repetition - WARMUP >= CALLS / 2
        return 1_500_000 + (4_000_000 + 900_000 * (-1) ** fork * late if arm == "strategy" else 0)

    records = make_records(latency_ns, blocks=4, calls_per_block=11, warmup_calls=WARMUP)
    found = analyse(records, MeasureConfig())
    assert found.steady is not None
    assert found.steady.steady is None
    assert found.steady.sentence.startswith(
        "no change seen, though one beyond the margin of 0.5 ms could be there: added p50 changed by +0.00 ms ["
    )
    assert found.warnings == ()


def test_a_change_of_both_arms_is_the_machines(make_records: MakeRecords) -> None:
    """Arms that become slower together are steady; the change of each arm stands in the result."""

    def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
        late = repetition - WARMUP >= CALLS / 2
        own_us = 4000 + SPREAD_US[fork] * (1 + late) if arm == "strategy" else 0
        return 1_500_000 + 900_000 * late + 1000 * own_us

    records = make_records(latency_ns, blocks=4, calls_per_block=11, warmup_calls=WARMUP)
    steady = analyse(records, MeasureConfig()).steady
    assert steady is not None
    assert steady.changes["baseline_p50_ms"].value == pytest.approx(0.9)
    assert steady.changes["strategy_p50_ms"].per_fork == pytest.approx([0.87, 0.93, 0.88, 0.92])
    assert steady.steady is True


def test_too_few_calls_leave_it_open(judge: Callable[..., OverheadResult]) -> None:
    """With under ten calls in a half nothing is said about the level, and the sentence names the number."""
    result = judge(4000, 4000, blocks=1, calls_per_block=18)
    assert result.steady is not None
    assert result.steady.steady is None
    assert "needs 20 analysed calls in each arm of each fork, and there are 17" in result.steady.sentence


def test_warm_up_is_cut_where_it_becomes_level() -> None:
    """A burst whose first six calls are slow is level after six; one slow call of one fork does not count."""
    rng = np.random.default_rng(1)
    bursts = [np.asarray([9000 - 1000 * i for i in range(6)] + [1000] * 24) + rng.integers(0, 60, 30) for _ in range(5)]
    bursts[2][20] = 50_000
    assert settled_after(bursts) == 6


def test_a_warm_up_that_keeps_falling_never_became_level() -> None:
    """Latencies that fall to the end have no level in the first half."""
    assert settled_after([np.asarray([100 * (30 - i) for i in range(30)])] * 4) is None


def test_a_short_warm_up_tells_nothing(judge: Callable[..., OverheadResult]) -> None:
    """Under ten warm-up calls, and without any fork, no call is named."""
    assert settled_after([np.arange(9)] * 4) is None
    assert settled_after([]) is None
    state = judge(4000, 4000, warmup_calls=5).steady
    assert state is not None
    assert state.sentence.endswith("5 warm-up calls are too few to see when they became level")


@given(level=st.integers(1, 10**9), length=st.integers(10, 60))
def test_a_level_burst_needs_no_cut(level: int, length: int) -> None:
    """Calls that all took the same were level from the first one on."""
    assert settled_after([np.full(length, level)] * 4) == 0


def simulated(rng: np.random.Generator, template: tuple[Fork, ...], trend_ms: float, rise_ms: float) -> list[Fork]:
    """Forks of 40 heavy-tailed calls, whose added p50 changes by a trend within and by a rise over the forks."""
    forks = []
    for number, fork in enumerate(template):
        sides = {}
        for name in ("strategy", "baseline"):
            noise = 30e3 * np.abs(rng.standard_t(3, 40)) + rng.normal(0, 40e3)
            own = np.arange(40) >= 20 if name == "strategy" else np.zeros(40)
            latency = 1.5e6 + noise + 1e6 * (trend_ms * own + rise_ms * number)
            sides[name] = getattr(fork, name)._replace(latency_ns=latency.astype(np.int64))
        forks.append(fork._replace(**sides))
    return forks


@pytest.fixture
def template(make_records: MakeRecords) -> tuple[Fork, ...]:
    """Six forks whose latencies are to be replaced."""
    return complete_forks(make_records(lambda _f, _a, _r: 10**6, forks=6))


def binomial(found: list[bool]) -> tuple[float, float]:
    """The exact 99% interval of how often it was found."""
    interval = stats.binomtest(sum(found), len(found)).proportion_ci(0.99, method="exact")
    return float(interval.low), float(interval.high)


def test_false_alarms_are_five_percent(template: tuple[Fork, ...]) -> None:
    """Of 1,000 level cells at most about 5% are called unsteady, with no margin at all, and as many said to drift."""
    rng = np.random.default_rng(31)
    unsteady, drifting = [], []
    for _ in range(1000):
        forks = simulated(rng, template, 0.0, 0.0)
        unsteady.append(steady_state(forks, 0.0, FIXED_LEVEL).steady is False)
        change = drift(forks, 0.0).changes["baseline_p50_ms"]
        assert change.low is not None
        assert change.high is not None
        drifting.append(not change.low <= 0 <= change.high)
    assert binomial(unsteady)[0] <= 0.05
    assert binomial(drifting)[0] <= 0.05


def test_planted_changes_are_found(template: tuple[Fork, ...]) -> None:
    """A change of 0.2 ms within the forks, and a drift of 0.1 ms a fork, are found in nearly all of 200 cells."""
    rng = np.random.default_rng(32)
    unsteady, drifting = [], []
    for _ in range(200):
        forks = simulated(rng, template, 0.2, 0.1)
        unsteady.append(steady_state(forks, 0.1, FIXED_LEVEL).steady is False)
        change = drift(forks, 0.0).changes["baseline_p50_ms"]
        drifting.append(change.low is not None and change.low > 0)
    assert min(sum(unsteady), sum(drifting)) >= 190


def test_drift_is_the_rise_of_the_fitted_line(make_records: MakeRecords) -> None:
    """Rise and bounds are those of SciPy's linear regression, from the first fork to the last, in ms."""
    base_us = (1500, 1620, 1680, 1830, 1890)
    records = make_records(lambda f, a, _r: 1000 * base_us[f] + (10_000 * f * f if a == "strategy" else 0), forks=5)
    found = analyse(records, MeasureConfig(margin_ms=0.1)).drift
    assert found is not None
    line = stats.linregress(range(5), [us / 1000 for us in base_us])
    half_width = 4 * line.stderr * stats.t.ppf(0.975, 3)
    change = found.changes["baseline_p50_ms"]
    assert change.value == pytest.approx(4 * line.slope)
    assert [change.low, change.high] == pytest.approx([4 * line.slope - half_width, 4 * line.slope + half_width])
    assert found.sentence.startswith("untraced p50 drifted: +0.396 ms [")
    assert found.seen == ("baseline_p50_ms", "added_p50_ms")
    within = analyse(records, MeasureConfig(margin_ms=0.5)).drift
    assert within is not None
    assert within.seen == ()
    assert within.sentence.startswith("untraced p50 held within 0.5 ms: +0.396 ms [")
    assert "added p50 held within 0.5 ms: +0.160 ms [" in within.sentence


def test_drift_that_may_be_there_is_not_denied(make_records: MakeRecords) -> None:
    """An interval that includes zero and leaves the margin cannot tell, and the sentence says so."""
    base_us = (1500, 3500, 1400, 3600, 1500)
    records = make_records(lambda f, a, _r: 1000 * base_us[f] + (1000 * f if a == "strategy" else 0), forks=5)
    found = analyse(records, MeasureConfig()).drift
    assert found is not None
    assert found.seen == ()
    said = "whether untraced p50 drifted cannot be told, and a drift beyond 0.5 ms could be there: "
    assert found.sentence.startswith(said)


def test_drift_that_cannot_be_seen_says_why(make_records: MakeRecords) -> None:
    """Three forks, forks that agree, and forks without a median give a reason instead of a number."""
    three = analyse(make_records(lambda f, _a, _r: 10**6 + f, forks=3), MeasureConfig()).drift
    level = analyse(make_records(lambda _f, _a, _r: 10**6), MeasureConfig()).drift
    empty = analyse(make_records(lambda _f, _a, _r: 10**6, blocks=0), MeasureConfig()).drift
    assert three is not None
    assert level is not None
    assert empty is not None
    assert "3 complete forks show no drift, at least 4 are needed" in three.sentence
    assert "all 4 forks gave the same" in level.sentence
    assert empty.sentence == "drift not known: a fork's p50 needs 10 analysed calls"
