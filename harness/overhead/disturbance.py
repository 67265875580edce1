"""What else the machine did while blocks were measured, and whether the verdict hangs on it.

Disturbed blocks are flagged and kept: to leave out what looks bad is to choose a result. Instead the
verdict is made again without them, and the reader is told if it would be another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.overhead.ledger import NS_PER_MS, QUANTILES
from harness.overhead.steady import estimate_of
from harness.overhead.verdicts import span_ms, verdict_of
from harness.results import Disturbance, ForkDisturbance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.overhead.samples import Fork
    from harness.records import Block, CellRecords, MachineSample
    from harness.results import Estimate, VerdictName

LIMIT_CORES = 0.10
"""A block is flagged if others (stolen time included) took more than this share of one core. The kernel's own
work for the arms, such as writing their stores to disk, is nobody's process and stays well below it."""


class _Watched(NamedTuple):
    """A measured block with what the machine did meanwhile."""

    block: Block
    sample: MachineSample

    @property
    def flagged(self) -> bool:
        return is_disturbed(self.sample)


def others_ns(sample: MachineSample) -> int:
    """CPU time that was not the cell's; ticks of 10 ms can make the own time the longer one, by chance."""
    return max(0, sample.busy_cpu_ns - sample.own_cpu_ns)


def is_disturbed(sample: MachineSample) -> bool:
    """Whether others took more than the limit."""
    return others_ns(sample) + sample.stolen_cpu_ns > LIMIT_CORES * sample.wall_ns


def others_cores(samples: Sequence[MachineSample]) -> float:
    """Cores' worth of CPU time that was not the cell's."""
    return _per_wall(samples, sum(map(others_ns, samples)))


def stolen_cores(samples: Sequence[MachineSample]) -> float:
    """Cores' worth of time that the hypervisor gave to others."""
    return _per_wall(samples, sum(sample.stolen_cpu_ns for sample in samples))


def disturbance(
    records: CellRecords, forks: Sequence[Fork], verdict: VerdictName, margin_ms: float, level: float
) -> Disturbance:
    """What the machine's samples say about a cell's measured blocks.

    Args:
        records: The cell's records; its ``machine`` samples may be missing.
        forks: The complete forks.
        verdict: The verdict that rests on all blocks.
        margin_ms: The equivalence margin.
        level: Level of the t quantile of the verdict.
    """
    load_1min = records.cell.machine.load_1min
    complete = {fork.number for fork in forks}
    measured = [block for block in records.blocks if block.kind == "measured" and block.fork in complete]
    watched = list(_watched(measured, records.machine))
    flagged = [one for one in watched if one.flagged]
    without = _without([one.block for one in flagged], forks, level) if flagged else None
    without_verdict = (
        None
        if without is None or without.low is None or without.high is None
        else verdict_of(without.low, without.high, margin_ms)
    )
    clocks_mhz = [one.sample.frequency_mhz for one in watched if one.sample.frequency_mhz is not None]
    found = Disturbance(
        load_1min=load_1min,
        blocks=len(measured),
        watched_blocks=len(watched),
        flagged_blocks=len(flagged),
        limit_cores=LIMIT_CORES,
        others_cores=others_cores([one.sample for one in watched]) if watched else None,
        stolen_cores=stolen_cores([one.sample for one in watched]) if watched else None,
        lowest_mhz=min(clocks_mhz, default=None),
        highest_mhz=max(clocks_mhz, default=None),
        forks=tuple(_fork(fork.number, [one for one in watched if one.block.fork == fork.number]) for fork in forks)
        if watched
        else (),
        without=without,
        without_verdict=without_verdict,
        sentence="",
    )
    return found.model_copy(update={"sentence": _sentence(found, verdict)})


def decides(found: Disturbance, verdict: VerdictName) -> bool:
    """Whether the disturbed blocks decide the verdict: without them it is another, or cannot be told."""
    return bool(found.flagged_blocks) and verdict not in ("not judged", found.without_verdict)


def _watched(measured: Iterable[Block], samples: Sequence[MachineSample]) -> Iterable[_Watched]:
    """Each measured block with its sample; a sample of a warm-up may bear the same position, but not the same time."""
    of_place: dict[tuple[int, int], list[MachineSample]] = {}
    for sample in samples:
        if sample.load:
            continue
        of_place.setdefault((sample.fork, sample.position), []).append(sample)
    for block in measured:
        for sample in of_place.get((block.fork, block.position), []):
            if sample.wall_ns > 0 and _overlap(block, sample):
                yield _Watched(block, sample)
                break


def _overlap(block: Block, sample: MachineSample) -> bool:
    if not block.start_ns:
        return False
    ended_ns = block.start_ns[-1] + block.latency_ns[-1]
    return sample.begin_ns <= ended_ns and block.start_ns[0] <= sample.begin_ns + sample.wall_ns


def _per_wall(samples: Sequence[MachineSample], taken_ns: int) -> float:
    wall_ns = sum(sample.wall_ns for sample in samples)
    return taken_ns / wall_ns if wall_ns else 0.0


def _fork(number: int, watched: Sequence[_Watched]) -> ForkDisturbance:
    samples = [one.sample for one in watched]
    return ForkDisturbance(
        fork=number,
        blocks=len(watched),
        flagged_blocks=sum(one.flagged for one in watched),
        others_cores=others_cores(samples),
        stolen_cores=stolen_cores(samples),
    )


def _without(flagged: Sequence[Block], forks: Sequence[Fork], level: float) -> Estimate | None:
    """Added p50 without these blocks' calls, in both arms alike; a fork that has too few calls left is left out."""
    added_ms = []
    for fork in forks:
        keep = np.ones(fork.calls, dtype=np.bool_)
        for block in flagged:
            if block.fork == fork.number:
                last = block.first_repetition + len(block.sample_ids)
                keep &= (fork.repetition < block.first_repetition) | (fork.repetition >= last)
        left = fork.only(keep)
        if left.calls >= QUANTILES["p50_ms"][1]:
            medians = (float(np.median(side.latency_ns)) for side in (left.strategy, left.baseline))
            ours, theirs = medians
            added_ms.append((ours - theirs) / NS_PER_MS)
    return estimate_of("p50_ms", added_ms, level=level) if added_ms else None


def _sentence(found: Disturbance, verdict: VerdictName) -> str:
    load = f"load average {found.load_1min:.2f} when the cell began, in a sweep mostly of the cell before it"
    if found.others_cores is None or found.stolen_cores is None:
        return f"the machine was not watched; {load}"
    seen = (
        f"while it was measured others took {found.others_cores:.3f} cores, "
        f"the hypervisor {found.stolen_cores:.3f}; {load}"
    )
    if found.lowest_mhz is not None and found.highest_mhz is not None:
        seen += f"; clock {found.lowest_mhz:.0f} to {found.highest_mhz:.0f} MHz"
    if found.watched_blocks < found.blocks:
        seen += f"; {found.watched_blocks} of {found.blocks} blocks were watched"
    if not found.flagged_blocks:
        return f"undisturbed: in no block did others take more than {found.limit_cores:g} cores; {seen}"
    flagged = (
        f"in {found.flagged_blocks} of {found.watched_blocks} blocks others took more than {found.limit_cores:g} cores "
        "(flagged, not left out)"
    )
    return f"disturbed: {flagged}; {_changed(found, verdict)}; {seen}"


def _changed(found: Disturbance, verdict: VerdictName) -> str:
    if verdict == "not judged":
        return "there is no verdict that they could have changed"
    if found.without_verdict is None or found.without is None:
        return "without those blocks too little is left to tell whether the verdict hangs on them"
    low, high = found.without.low or 0.0, found.without.high or 0.0
    added = f"added p50 {span_ms(found.without.value or 0.0, low, high, sign=True)}"
    if found.without_verdict == verdict:
        return f"without those blocks the verdict is the same ({added})"
    return f"without those blocks the verdict would be {found.without_verdict} instead of {verdict} ({added})"
