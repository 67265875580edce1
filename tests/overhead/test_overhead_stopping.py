from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from harness.config import MeasureConfig
from harness.overhead import analyse, precision_reached
from harness.overhead.stopping import asked_half_width_ms, ending, so_far
from harness.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords, StoppedBy


def p50(value: float | None = 2.0, half: float | None = 0.3, *, forks: int = 9) -> Estimate:
    low, high = (None, None) if value is None or half is None else (value - half, value + half)
    return Estimate(name="p50_ms", unit="ms", value=value, low=low, high=high, forks=forks, baseline=1.0)


@pytest.mark.parametrize("spread_us", [5, 200])
def test_no_fork_is_added_or_spared_for_the_sake_of_significance(
    make_records: Callable[..., CellRecords], spread_us: int
) -> None:
    """After every fork the decision is the same for no difference, a plain one and a huge one of equal spread."""
    measure = MeasureConfig(forks=4, max_forks=30, precision_ms=0.05)
    draw = random.Random(4)
    of_fork = [draw.gauss(0, spread_us) for _ in range(12)]

    def decisions(added_us: int) -> list[bool]:
        def latency_ns(fork: int, arm: Arm, _repetition: int) -> int:
            return 1_500_000 + (round(1000 * (added_us + of_fork[fork])) if arm == "strategy" else 0)

        return [
            precision_reached(analyse(make_records(latency_ns, forks=forks), measure), measure)
            for forks in range(4, 13)
        ]

    same = decisions(0)
    assert decisions(40) == decisions(-40) == decisions(5_000) == same
    assert any(same) == (spread_us == 5)


def test_the_asked_half_width_is_the_larger_of_both() -> None:
    """The absolute one, or the share of the traced p50 (baseline and difference); none where none is asked for."""
    assert asked_half_width_ms(p50(), MeasureConfig(precision_ms=0.05, precision_relative=0.03)) == pytest.approx(0.09)
    assert asked_half_width_ms(p50(), MeasureConfig(precision_ms=0.2, precision_relative=0.03)) == pytest.approx(0.2)
    assert asked_half_width_ms(p50(None), MeasureConfig(precision_ms=0.2)) == pytest.approx(0.2)
    assert asked_half_width_ms(p50(None), MeasureConfig(precision_relative=0.03)) is None
    assert asked_half_width_ms(p50(), MeasureConfig()) is None


@pytest.mark.parametrize(
    ("estimate", "precision_ms", "said"),
    [
        (p50(), 0.05, "added p50 +2 ms ± 0.3, asked ± 0.05"),
        (p50(), 0.0, "added p50 +2 ms ± 0.3"),
        (p50(half=None, forks=2), 0.05, "added p50 +2 ms, no interval yet, asked ± 0.05"),
        (p50(None), 0.05, ""),
    ],
)
def test_the_interval_so_far_is_told_beside_the_asked_one(estimate: Estimate, precision_ms: float, said: str) -> None:
    """In few words, with the unit; nothing before there is a fork."""
    assert so_far(estimate, MeasureConfig(precision_ms=precision_ms)) == said


@pytest.mark.parametrize(
    ("stopped_by", "forks", "said"),
    [
        ("budget", 9, "; stopped by budget after 9 forks, half-width 0.3 ms above the asked 0.1 ms"),
        ("max_forks", 9, "; stopped by measure.max_forks after 9 forks, half-width 0.3 ms above the asked 0.1 ms"),
        (
            "budget",
            5,
            "; stopped by budget after 5 forks of the 8 asked for, half-width 0.3 ms above the asked 0.1 ms",
        ),
        ("", 9, ""),
    ],
)
def test_a_run_that_stopped_says_by_what(stopped_by: StoppedBy, forks: int, said: str) -> None:
    """Budget and number of forks are named with the half-width beside the asked one; none where all were planned."""
    assert ending(p50(forks=forks), MeasureConfig(forks=8, precision_ms=0.1), stopped_by) == said


def test_a_precision_that_was_reached_is_told() -> None:
    """With the half-width within the asked one."""
    said = ending(p50(half=0.09), MeasureConfig(forks=8, precision_ms=0.1), "precision")
    assert said == "; precision reached after 9 forks, half-width 0.09 ms within the asked 0.1 ms"


def test_the_verdict_ends_with_what_stopped_it(make_records: Callable[..., CellRecords]) -> None:
    """The cell's record says what stopped it, and the verdict's sentence has it."""
    records = make_records(lambda fork, arm, _: 1_500_000 + (fork * 10_000 if arm == "strategy" else 0), forks=6)
    records = records._replace(cell=records.cell.model_copy(update={"stopped_by": "budget"}))
    sentence = analyse(records, MeasureConfig(forks=4, max_forks=40, precision_ms=0.001)).sentence
    assert "; stopped by budget after 6 forks, half-width " in sentence
    assert sentence.endswith("above the asked 0.001 ms")
