"""What else the machine did, and whether the verdict hangs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.config import MeasureConfig
from harness.overhead import analyse
from harness.records import MachineSample

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, Block, CellRecords
    from harness.results import Disturbance, OverheadResult

    MakeRecords = Callable[..., CellRecords]

WALL_NS = 800_000_000
SPREAD_US = (-30, 30, -20, 20)
DISTURBED_US = 900
LOAD = "load average 0.10 when the cell began, in a sweep mostly of the cell before it"


def sample_of(block: Block, *, others: float = 0.02, stolen: float = 0.0) -> MachineSample:
    """What the machine did while a block ran; others' and stolen time in cores."""
    own_ns = WALL_NS // 3
    return MachineSample(
        fork=block.fork,
        position=block.position,
        begin_ns=block.start_ns[0] - 1000,
        wall_ns=WALL_NS,
        busy_cpu_ns=own_ns + int(others * WALL_NS),
        own_cpu_ns=own_ns,
        stolen_cpu_ns=int(stolen * WALL_NS),
    )


def records_of(
    make_records: MakeRecords, added_us: float, disturbed: Callable[[Block], dict[str, float]], **parts: Any
) -> CellRecords:
    """A watched cell; in blocks 2 and 3 the strategy arm takes longer by what the disturbance costs."""

    def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
        late = (repetition - 5) // 8 >= 2
        own = added_us + SPREAD_US[fork] + DISTURBED_US * late
        return 1_500_000 + (int(1000 * own) if arm == "strategy" else 0)

    records = make_records(latency_ns, **({"blocks": 5} | parts))
    samples = tuple(sample_of(block, **disturbed(block)) for block in records.blocks if block.kind == "measured")
    return records._replace(machine=samples)


def is_late(block: Block) -> dict[str, float]:
    """Others take half a core in the slow blocks of the strategy arm."""
    return {"others": 0.5} if block.arm == "strategy" and block.block > 2 else {}


def of(result: OverheadResult) -> Disturbance:
    """What was found, which is there in every result."""
    assert result.disturbance is not None
    return result.disturbance


def test_an_unwatched_cell_says_so(make_records: MakeRecords) -> None:
    """Records without samples of the machine give no share, only the load when the cell began."""
    found = of(analyse(make_records(lambda f, _a, _r: 10**6 + f), MeasureConfig()))
    assert (found.watched_blocks, found.others_cores, found.forks) == (0, None, ())
    assert found.sentence == f"the machine was not watched; {LOAD}"


def test_a_quiet_machine_is_undisturbed(make_records: MakeRecords) -> None:
    """Shares are sums over blocks, in cores, for the cell and for each fork; below the limit nothing is flagged."""
    result = analyse(records_of(make_records, 0, lambda _block: {"others": 0.05, "stolen": 0.01}), MeasureConfig())
    found = of(result)
    assert (found.blocks, found.watched_blocks, found.flagged_blocks) == (40, 40, 0)
    assert [found.others_cores, found.stolen_cores] == pytest.approx([0.05, 0.01])
    assert [(fork.fork, fork.blocks) for fork in found.forks] == [(0, 10), (1, 10), (2, 10), (3, 10)]
    assert found.sentence == (
        "undisturbed: in no block did others take more than 0.1 cores; "
        f"while it was measured others took 0.050 cores, the hypervisor 0.010; {LOAD}"
    )


def test_blocks_that_decide_the_verdict_are_named_and_kept(make_records: MakeRecords) -> None:
    """A cell that is slower only because of its disturbed blocks stays slower, beside a warning that says so."""
    disturbed = analyse(records_of(make_records, 20, is_late), MeasureConfig())
    quiet = analyse(records_of(make_records, 20, lambda _block: {}), MeasureConfig())
    found = of(disturbed)
    assert (found.flagged_blocks, found.without_verdict) == (12, "equivalent")
    assert disturbed.estimates == quiet.estimates
    assert disturbed.verdict == quiet.verdict == "slower"
    assert found.without is not None
    assert found.without.per_fork == pytest.approx([-0.01, 0.05, 0.0, 0.04])
    assert found.sentence in disturbed.warnings
    assert "without those blocks the verdict would be equivalent instead of slower" in found.sentence
    assert found.sentence.startswith("disturbed: in 12 of 40 blocks others took more than 0.1 cores (flagged, not left")


def test_blocks_that_change_nothing_are_no_warning(make_records: MakeRecords) -> None:
    """A cell that is slower without its disturbed blocks too is told of them, and not warned."""
    result = analyse(records_of(make_records, 4000, is_late), MeasureConfig())
    assert "without those blocks the verdict is the same (added p50 +4.0" in of(result).sentence
    assert of(result).sentence not in result.warnings


def test_stolen_time_counts_as_others(make_records: MakeRecords) -> None:
    """Time that the hypervisor took flags a block just as other processes do."""
    found = of(analyse(records_of(make_records, 20, lambda _block: {"others": 0.06, "stolen": 0.06}), MeasureConfig()))
    assert found.flagged_blocks == 40
    assert "too little is left to tell whether the verdict hangs on them" in found.sentence


def test_own_time_beyond_the_busy_one_is_no_negative_share(make_records: MakeRecords) -> None:
    """Ticks can make a block's own time longer than what was busy; others then took nothing."""
    records = records_of(make_records, 20, lambda _block: {"others": -0.02})
    assert of(analyse(records, MeasureConfig())).others_cores == 0


def test_a_sample_of_the_warm_up_is_no_blocks(make_records: MakeRecords) -> None:
    """A sample with the same place but another time, such as the warm-up's, is not taken for the block's."""
    records = records_of(make_records, 20, lambda _block: {})
    strangers = tuple(one.model_copy(update={"begin_ns": one.begin_ns + 10**15}) for one in records.machine)
    assert of(analyse(records._replace(machine=strangers + records.machine), MeasureConfig())).watched_blocks == 40
    assert of(analyse(records._replace(machine=strangers), MeasureConfig())).watched_blocks == 0


def test_blocks_that_were_not_watched_are_counted(make_records: MakeRecords) -> None:
    """Where samples are missing, the sentence says of how many blocks something is known."""
    records = records_of(make_records, 20, lambda _block: {})
    found = of(analyse(records._replace(machine=records.machine[:30]), MeasureConfig()))
    assert "30 of 40 blocks were watched" in found.sentence


def test_a_withdrawn_verdict_is_not_held_against_its_blocks(make_records: MakeRecords) -> None:
    """A cell that was not steady is inconclusive for that; its blocks are asked what its interval says."""

    def latency_ns(fork: int, arm: Arm, repetition: int) -> int:
        late = repetition >= 5 + 22
        own_us = SPREAD_US[fork] * (1 + late) + (20 if late else 1400)
        return 1_500_000 + (1000 * own_us if arm == "strategy" else 0)

    records = make_records(latency_ns, blocks=4, calls_per_block=11)
    samples = tuple(sample_of(block, others=0.5 * (block.block == 4)) for block in records.blocks)
    result = analyse(records._replace(machine=samples), MeasureConfig())
    assert result.verdict == "inconclusive"
    assert of(result).flagged_blocks == 8
    assert "without those blocks the verdict is the same (added p50 +1.40" in of(result).sentence
    assert of(result).sentence not in result.warnings


def test_the_clock_is_told_where_it_is_known(make_records: MakeRecords) -> None:
    """The lowest and the highest clock of all blocks stand in the result and in the sentence."""
    records = records_of(make_records, 20, lambda _block: {})
    clocked = tuple(
        one.model_copy(update={"frequency_mhz": 2400.0 + one.position}) if one.position % 2 else one
        for one in records.machine
    )
    found = of(analyse(records._replace(machine=clocked), MeasureConfig()))
    assert (found.lowest_mhz, found.highest_mhz) == (2403.0, 2411.0)
    assert "clock 2403 to 2411 MHz" in found.sentence


def test_without_a_verdict_none_can_change(make_records: MakeRecords) -> None:
    """A cell that is not judged is told of its disturbed blocks without a claim about a verdict."""
    records = records_of(make_records, 20, is_late, forks=3)
    assert "there is no verdict that they could have changed" in of(analyse(records, MeasureConfig())).sentence
