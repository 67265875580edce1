"""What else the machine did while loads ran: as for measured blocks, disturbed runs are flagged and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.overhead.disturbance import LIMIT_CORES, others_cores, others_ns, stolen_cores
from harness.overhead.intervals import FIXED_LEVEL
from harness.overhead.steady import estimate_of
from harness.overhead.verdicts import verdict_of
from harness.results import LoadDisturbance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.overhead.load_pairs import Pair
    from harness.records import MachineSample
    from harness.results import Estimate, VerdictName

ROUNDING_NS = 50_000_000
"""Five of the kernel's ticks, by which counters of a few processes may be off: some loads take but 100 ms."""
SHORT_NS = 500_000_000
"""A run shorter than this is at most half as sharply watched: the rounding alone is a tenth of a core of it."""


def load_disturbance(
    pairs: Sequence[Pair],
    samples: Iterable[MachineSample],
    p50: Estimate | None = None,
    by_interval: VerdictName | None = None,
    margin_ms: float = 0.0,
) -> LoadDisturbance:
    """What the machine's samples say about the runs of one load.

    Args:
        pairs: The forks that ran it.
        samples: All samples of the cell.
        p50: Added p50, one value a pair in their order; ``None`` where no verdict is given on it.
        by_interval: The verdict that its interval gives by itself; ``None`` likewise.
        margin_ms: The equivalence margin.
    """
    of_run = {(sample.fork, sample.position, sample.load): sample for sample in samples if sample.load}
    runs = [run for pair in pairs for run in pair]
    watched = [sample for run in runs if (sample := of_run.get((run.fork, run.position, run.load))) is not None]
    flagged = [sample for sample in watched if _is_disturbed(sample)]
    forks = tuple(sorted({sample.fork for sample in flagged}))
    without = None if by_interval is None or p50 is None else _without(forks, pairs, p50, margin_ms)
    found = LoadDisturbance(
        runs=len(runs),
        watched_runs=len(watched),
        flagged_runs=len(flagged),
        limit_cores=LIMIT_CORES,
        others_cores=others_cores(watched) if watched else None,
        stolen_cores=stolen_cores(watched) if watched else None,
        flagged_forks=forks,
        short_runs=sum(sample.wall_ns < SHORT_NS for sample in watched),
        without_verdict=without,
        decides=bool(flagged) and by_interval is not None and without != by_interval,
        sentence="",
    )
    return found.model_copy(update={"sentence": _sentence(found, by_interval)})


def _is_disturbed(sample: MachineSample) -> bool:
    return others_ns(sample) + sample.stolen_cpu_ns > LIMIT_CORES * sample.wall_ns + ROUNDING_NS


def _without(forks: tuple[int, ...], pairs: Sequence[Pair], p50: Estimate, margin_ms: float) -> VerdictName | None:
    """The verdict of the forks that were not disturbed; ``None`` if none was, or if too few are left."""
    left = [value for pair, value in zip(pairs, p50.per_fork, strict=True) if pair.fork not in forks]
    if not forks or not left:
        return None
    rest = estimate_of("p50_ms", left, level=FIXED_LEVEL)
    return None if rest.low is None or rest.high is None else verdict_of(rest.low, rest.high, margin_ms)


def _sentence(found: LoadDisturbance, verdict: VerdictName | None) -> str:
    if found.others_cores is None or found.stolen_cores is None:
        return "the machine was not watched"
    seen = f"others took {found.others_cores:.3f} cores, the hypervisor {found.stolen_cores:.3f}"
    if found.watched_runs < found.runs:
        seen += f"; {found.watched_runs} of {found.runs} runs were watched"
    limit = f"more than {found.limit_cores:g} cores and {ROUNDING_NS / 1e6:.0f} ms, the counters' rounding"
    if not found.flagged_runs:
        undisturbed = "undisturbed"
        if found.short_runs:
            short = f"{found.short_runs} of {found.watched_runs} runs took less than {SHORT_NS / 1e9:g} s"
            undisturbed = f"whether it was disturbed cannot be told ({short}, too short for the counters)"
        return f"{undisturbed}: in no run did others take {limit}; {seen}"
    flagged = (
        f"disturbed: in {found.flagged_runs} of {found.watched_runs} runs others took {limit} (flagged, not left out)"
    )
    if verdict is None:
        return f"{flagged}; {seen}"
    if found.without_verdict is None:
        return f"{flagged}; without their forks too little is left to tell whether the verdict hangs on them; {seen}"
    if found.without_verdict == verdict:
        return f"{flagged}; without their forks the verdict is the same; {seen}"
    return f"{flagged}; without their forks the verdict would be {found.without_verdict} instead of {verdict}; {seen}"
