"""Verdicts of many cells held together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.config import MeasureConfig
from harness.overhead import analyse, corrected
from harness.overhead.comparisons import holm, p_values
from harness.overhead.intervals import FIXED_LEVEL, STOPPED_LEVEL, Interval, t_interval
from harness.overhead.verdicts import verdict_of
from harness.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.records import Arm, CellRecords
    from harness.results import OverheadResult

    MakeRecords = Callable[..., CellRecords]

MARGIN_MS = 0.5


def estimate(values: Sequence[float], level: float = FIXED_LEVEL) -> Estimate:
    """Added p50 of these forks."""
    interval = t_interval(values, level=level)
    assert isinstance(interval, Interval)
    return Estimate(
        name="p50_ms",
        unit="ms",
        value=math.fsum(values) / len(values),
        low=interval.low,
        high=interval.high,
        forks=len(values),
        per_fork=tuple(values),
    )


def test_p_values_are_those_of_the_t_tests() -> None:
    """They equal SciPy's: two-sided against zero, and twice the larger of two one-sided against the margin's ends."""
    values = [0.31, 0.12, 0.25, 0.05, 0.22]
    found = p_values(estimate(values), MARGIN_MS, FIXED_LEVEL)
    assert found is not None
    assert found.no_difference == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
    ends = [
        stats.ttest_1samp(values, MARGIN_MS, alternative="less").pvalue,
        stats.ttest_1samp(values, -MARGIN_MS, alternative="greater").pvalue,
    ]
    assert found.no_equivalence == pytest.approx(2 * max(ends))


@given(
    values=st.lists(st.floats(-2, 2), min_size=4, max_size=8).filter(lambda some: max(some) - min(some) > 1e-3),
    margin_ms=st.floats(0, 1),
    level=st.sampled_from([FIXED_LEVEL, STOPPED_LEVEL]),
)
def test_p_values_say_what_the_interval_says(values: list[float], margin_ms: float, level: float) -> None:
    """At either level a p-value is below 0.05 just where the interval excludes zero, or lies within the margin."""
    p50 = estimate(values, level)
    assert p50.low is not None
    assert p50.high is not None
    found = p_values(p50, margin_ms, level)
    assert found is not None
    room = min(abs(p50.low), abs(p50.high), abs(p50.low + margin_ms), abs(p50.high - margin_ms))
    if room > 1e-9:
        assert (found.no_difference < 0.05) == (p50.low > 0 or p50.high < 0)
        assert (found.no_equivalence < 0.05) == (-margin_ms < p50.low and p50.high < margin_ms)


def test_holm_gives_the_textbook_values() -> None:
    """Known p-values give the values that R's ``p.adjust(method = "holm")`` gives."""
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_lies_between_nothing_and_bonferroni(p_by_name: dict[str, float]) -> None:
    """An adjusted p-value is at least the raw one, at most all comparisons times it, and keeps the order."""
    found = holm(p_by_name)
    assert found.keys() == p_by_name.keys()
    for name, value in p_by_name.items():
        assert value <= found[name] <= 1
    ordered = sorted(p_by_name, key=lambda name: p_by_name[name])
    assert [found[name] for name in ordered] == sorted(found.values())
    if ordered:
        assert found[ordered[0]] == min(1.0, len(ordered) * p_by_name[ordered[0]])


@pytest.fixture
def cell(make_records: MakeRecords) -> Callable[..., OverheadResult]:
    """Analyse a cell of four forks that adds so much, give or take a spread."""

    def result(added_us: float, spread_us: float = 100, tracing: str = "manual") -> OverheadResult:
        def latency_ns(fork: int, arm: Arm, _repetition: int) -> int:
            return 1_500_000 + (int((added_us + (-1) ** fork * spread_us) * 1000) if arm == "strategy" else 0)

        return analyse(make_records(latency_ns, tracing=tracing), MeasureConfig(margin_ms=MARGIN_MS))

    return result


def test_a_cell_alone_keeps_its_verdict(cell: Callable[..., OverheadResult]) -> None:
    """One comparison needs no correction: the p-values stay, whatever the verdict."""
    for added_us in (20, 450, 4000):
        own = cell(added_us)
        found = corrected({"one": own})["one"]
        assert (found.stands, found.verdict, found.comparisons) == (True, own.verdict, 1)
        assert (found.p_no_difference, found.p_no_equivalence) == (own.p_no_difference, own.p_no_equivalence)


def test_a_narrow_verdict_falls_among_many(cell: Callable[..., OverheadResult]) -> None:
    """A difference that is just there alone is undecided as one of six comparisons; a clear one stands."""
    results = {"narrow": cell(610, 250), "clear": cell(40_000)} | {f"none{one}": cell(300, 400) for one in range(4)}
    assert results["narrow"].verdict == "slower"
    found = corrected(results)
    assert (found["narrow"].verdict, found["narrow"].stands) == ("inconclusive", False)
    assert found["narrow"].sentence.startswith(
        "slower by itself, but inconclusive as one of 6 comparisons of the sweep (Holm): p 0.02"
    )
    assert (found["clear"].verdict, found["clear"].stands) == ("slower", True)
    assert found["clear"].sentence.startswith("slower also as one of 6 comparisons")
    assert found["none0"].sentence == "inconclusive by itself, and so among 6 comparisons of the sweep (Holm)"


def test_equivalence_that_falls_leaves_what_is_sure(cell: Callable[..., OverheadResult]) -> None:
    """A cell that is no longer equivalent may still be known to be above zero; else nothing is left."""
    results = {f"other{one}": cell(300, 400) for one in range(4)}
    above = corrected({"one": cell(450, 15), **results})["one"]
    assert (above.verdict, above.stands) == ("slower", False)
    level = corrected({"one": cell(20, 230), **results})["one"]
    assert (level.verdict, level.stands) == ("inconclusive", False)


def test_floors_and_unjudged_cells_are_no_comparisons(
    cell: Callable[..., OverheadResult], make_records: MakeRecords
) -> None:
    """A/A cells and cells without a verdict neither count nor get a corrected verdict."""
    three = analyse(make_records(lambda f, _a, _r: 10**6 + f, forks=3), MeasureConfig())
    found = corrected({"traced": cell(4000), "floor": cell(0, tracing="none"), "three": three})
    assert set(found) == {"traced"}
    assert found["traced"].comparisons == 1


def family_errors(rng: np.random.Generator, truths_ms: Sequence[float], forks: int) -> tuple[bool, bool, bool]:
    """Whether one simulated sweep has a wrong difference, a wrong equivalence, and any wrong one uncorrected."""
    raw, uncorrected = {}, False
    for number, truth in enumerate(truths_ms):
        p50 = estimate((truth + rng.normal(0, 0.1, forks)).tolist())
        assert p50.low is not None
        assert p50.high is not None
        found = p_values(p50, MARGIN_MS, FIXED_LEVEL)
        assert found is not None
        raw[str(number)] = found
        verdict = verdict_of(p50.low, p50.high, MARGIN_MS)
        wrong = ("slower", "faster") if truth == 0 else ("equivalent",)
        uncorrected |= verdict in wrong or (truth == 0 and found.no_difference < 0.05)
    differs = holm({name: pair.no_difference for name, pair in raw.items()})
    within = holm({name: pair.no_equivalence for name, pair in raw.items()})
    return (
        any(differs[str(number)] < 0.05 for number, truth in enumerate(truths_ms) if truth == 0),
        any(within[str(number)] < 0.05 for number, truth in enumerate(truths_ms) if abs(truth) >= MARGIN_MS),
        uncorrected,
    )


def test_a_sweep_errs_in_five_percent_not_in_a_quarter() -> None:
    """Over 1,500 sweeps of ten cells any wrong verdict of a kind is as rare as it should be; uncorrected it is not."""
    rng = np.random.default_rng(17)
    truths_ms = [0.0] * 6 + [MARGIN_MS] * 3 + [4.0]
    found = np.asarray([family_errors(rng, truths_ms, 5) for _ in range(1500)])
    for wrong in found[:, :2].T:
        low = stats.binomtest(int(wrong.sum()), len(wrong)).proportion_ci(0.95, method="exact").low
        assert low <= 0.05
    assert found[:, 2].mean() > 0.2


def test_runs_that_stop_by_precision_keep_their_p_values() -> None:
    """Of 4,000 runs without a difference that stop when narrow enough, p is small as often as it should at most."""
    rng = np.random.default_rng(19)
    found = []
    for row in rng.normal(0, 0.056, (4000, 12)).tolist():
        for forks in range(4, 13):
            p50 = estimate(row[:forks], STOPPED_LEVEL)
            assert p50.low is not None
            assert p50.high is not None
            if p50.high - p50.low <= 0.07 or forks == 12:
                break
        pair = p_values(p50, MARGIN_MS, STOPPED_LEVEL)
        assert pair is not None
        found.append(pair.no_difference)
    for alpha in (0.05, 0.01):
        wrong = sum(p < alpha for p in found)
        assert stats.binomtest(wrong, len(found)).proportion_ci(0.99, method="exact").low <= alpha


def test_equivalence_errs_as_documented() -> None:
    """A cell that lies on the margin is called equivalent in about 2.5% of runs: half of what a 90% interval allows."""
    rng = np.random.default_rng(18)
    wrong = 0
    for _ in range(4000):
        p50 = estimate((MARGIN_MS + rng.normal(0, 0.1, 5)).tolist())
        assert p50.low is not None
        assert p50.high is not None
        wrong += verdict_of(p50.low, p50.high, MARGIN_MS) == "equivalent"
    interval = stats.binomtest(wrong, 4000).proportion_ci(0.99, method="exact")
    assert interval.low <= 0.025 <= interval.high
