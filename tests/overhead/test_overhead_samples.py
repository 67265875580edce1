"""Which calls are compared, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.config import MeasureConfig
from harness.errors import CellError
from harness.overhead import analyse, latencies
from harness.overhead.samples import complete_forks

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords

    MakeRecords = Callable[..., CellRecords]

MS = 1_000_000


def steady(fork: int, arm: Arm, repetition: int) -> int:
    """Latencies that differ between forks, arms and calls."""
    return (5 * MS if arm == "strategy" else MS) + fork * 1000 + repetition * 17


def test_first_of_block_and_warmup_are_flagged_and_kept_out(make_records: MakeRecords) -> None:
    """Huge latencies in the warm-up and in each block's first call leave the result as it is."""

    def spoilt(fork: int, arm: Arm, repetition: int) -> int:
        cold = repetition < 5 or (repetition - 5) % 8 == 0
        return 10**10 if cold and arm == "strategy" else steady(fork, arm, repetition)

    clean = analyse(make_records(steady), MeasureConfig())
    assert analyse(make_records(spoilt), MeasureConfig()) == clean
    assert clean.calls_per_fork == 3 * 7
    assert clean.flagged_calls == 4 * 2 * (5 + 3)


def test_outliers_are_kept(make_records: MakeRecords) -> None:
    """A slow call that is neither warm-up nor first of its block stands among the analysed latencies."""
    records = make_records(lambda f, a, r: 10**10 if r == 8 else steady(f, a, r))
    assert all(max(arm.latency_ms) == 10_000 for arm in latencies(records))


def test_latencies_are_milliseconds_by_fork_and_arm(make_records: MakeRecords) -> None:
    """The latencies for figures are those that were analysed, strategy arm first, in the order of the calls."""
    found = latencies(make_records(steady, forks=2))
    assert [(arm.fork, arm.arm) for arm in found] == [
        (0, "strategy"),
        (0, "baseline"),
        (1, "strategy"),
        (1, "baseline"),
    ]
    analysed = [r for r in range(5, 29) if (r - 5) % 8]
    assert found[3].latency_ms == tuple(steady(1, "baseline", r) / MS for r in analysed)


def test_interrupted_fork_is_ignored(make_records: MakeRecords) -> None:
    """A fork with an arm that did not finish changes nothing, even if its calls are wild."""
    whole = make_records(lambda f, a, r: steady(f, a, r) if f < 4 else 10**11, forks=5)
    interrupted = whole._replace(arms=tuple(run for run in whole.arms if (run.fork, run.arm) != (4, "baseline")))
    assert analyse(interrupted, MeasureConfig()) == analyse(make_records(steady, forks=4), MeasureConfig())


@pytest.mark.parametrize(
    "sample_id",
    [
        pytest.param(lambda f, a, r: "other" if (f, a, r) == (2, "strategy", 14) else "s", id="one-sample"),
        pytest.param(lambda f, a, r: f"s{(r + (f == 2 and a == 'baseline')) % 7}", id="shifted"),
    ],
)
def test_arms_with_other_samples_are_refused(make_records: MakeRecords, sample_id: Callable[..., str]) -> None:
    """Arms of a fork that did not send the same samples are not compared, and the fork is named."""
    records = make_records(steady, sample_id=sample_id)
    for read in (lambda: analyse(records, MeasureConfig()), lambda: latencies(records)):
        with pytest.raises(CellError, match="fork 2 of cell cell: its arms did not run the same calls"):
            read()


def test_arms_with_other_repetitions_are_refused(make_records: MakeRecords) -> None:
    """The same samples in other repetitions have other planned latencies, so they are not compared."""
    records = make_records(steady, sample_id=lambda _f, _a, _r: "s")
    shifted = tuple(
        block.model_copy(update={"first_repetition": block.first_repetition + 1})
        if (block.fork, block.arm) == (1, "baseline")
        else block
        for block in records.blocks
    )
    with pytest.raises(CellError, match=r"fork 1 .* as repetition 6, .* as repetition 7"):
        analyse(records._replace(blocks=shifted), MeasureConfig())


def test_arms_of_unequal_length_are_refused(make_records: MakeRecords) -> None:
    """An arm that made fewer blocks is not compared with one that made them all."""
    short: dict[str, Any] = {"measured_calls": 16}
    records = make_records(steady, arm_run=lambda f, a: short if (f, a) == (3, "baseline") else {})
    blocks = tuple(b for b in records.blocks if (b.fork, b.arm, b.block) != (3, "baseline", 3))
    with pytest.raises(CellError, match=r"fork 3 .* has 21 calls to analyse, the baseline arm 14"):
        analyse(records._replace(blocks=blocks), MeasureConfig())


def test_lost_blocks_are_noticed(make_records: MakeRecords) -> None:
    """Fewer calls in the blocks than the arm reports means that records are missing."""
    records = make_records(steady)
    with pytest.raises(CellError, match=r"fork 3 .* reports 24 measured calls, but its blocks hold 16"):
        analyse(records._replace(blocks=records.blocks[:-1]), MeasureConfig())


def test_doubled_records_are_refused(make_records: MakeRecords) -> None:
    """An arm or a block that stands twice in the records is an error, not twice the evidence."""
    records = make_records(steady)
    with pytest.raises(CellError, match="fork 3 of cell cell: its baseline arm was recorded twice"):
        complete_forks(records._replace(arms=(*records.arms, records.arms[-1])))
    with pytest.raises(CellError, match=r"fork 3 .* blocks 3 and 3 of the baseline arm hold the same repetition"):
        complete_forks(records._replace(blocks=(*records.blocks, records.blocks[-1])))


def test_damaged_block_is_refused(make_records: MakeRecords) -> None:
    """A block whose tuples have different lengths cannot be read call by call."""
    records = make_records(steady)
    damaged = records.blocks[-1].model_copy(update={"errors": ()})
    with pytest.raises(CellError, match="block 3 of the baseline arm has tuples of different lengths"):
        complete_forks(records._replace(blocks=(*records.blocks[:-1], damaged)))


@pytest.mark.parametrize("failing", ["strategy", "baseline"])
def test_partner_of_a_failed_call_is_left_out(make_records: MakeRecords, failing: Arm) -> None:
    """A call that failed in one arm is left out of both, so that both keep the same samples."""
    records = make_records(steady, error=lambda f, a, r: "boom" if (f, a, r) == (1, failing, 9) else None)
    found = {(arm.fork, arm.arm): arm.latency_ms for arm in latencies(records)}
    assert len(found[1, "strategy"]) == len(found[1, "baseline"]) == 20
    assert steady(1, "strategy", 9) / MS not in found[1, "strategy"]
    assert steady(1, "baseline", 9) / MS not in found[1, "baseline"]
    result = analyse(records, MeasureConfig())
    assert (result.failed_calls, result.calls_per_fork) == (1, 20)
    assert len(found[0, "strategy"]) == 21


def test_block_order_in_the_records_does_not_matter(make_records: MakeRecords) -> None:
    """Records that were appended in another order give the same result."""
    records = make_records(steady)
    turned = records._replace(blocks=records.blocks[::-1], arms=records.arms[::-1])
    assert analyse(turned, MeasureConfig()) == analyse(records, MeasureConfig())
    assert latencies(turned) == latencies(records)


def test_load_is_taken_within_the_strategys_blocks(make_records: MakeRecords) -> None:
    """The pause between blocks is no load: the rate is that of the starts within the blocks."""
    assert analyse(make_records(steady, period_ns=25 * MS), MeasureConfig()).load_rate_per_s == pytest.approx(40.0)
    assert analyse(make_records(steady, calls_per_block=1), MeasureConfig()).load_rate_per_s is None
