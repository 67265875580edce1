"""What tracing costs, from raw records alone: per-fork differences, intervals, verdicts.

The unit of replication is the fork, a fresh pair of processes. A strategy's cost is a ledger of
estimates, each the mean over forks of (strategy arm minus baseline arm) with its interval, and a
verdict on one of them, the added median latency. Nothing here reads a clock, a random number or
a setting of the machine: the same records give the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.overhead.comparisons import corrected, p_values
from harness.overhead.contrasts import smallest_found
from harness.overhead.disturbance import decides, disturbance
from harness.overhead.drift import drift
from harness.overhead.intervals import MIN_FORKS, quantile_level
from harness.overhead.ledger import (
    NS_PER_MS,
    drain_rate_per_s,
    estimates,
    expected_traces,
    load_rate_per_s,
    lost_by_fork,
    lost_traces,
)
from harness.overhead.samples import complete_forks
from harness.overhead.shift import shift
from harness.overhead.steady import steady_state, why_unsteady
from harness.overhead.steps import step_sums
from harness.overhead.stopping import asked_half_width_ms, ending, half_width_ms
from harness.overhead.swaps import without_swaps
from harness.overhead.upgrades import upgrades
from harness.overhead.verdicts import equivalence_margin_ms, objections, rule, verdict_of
from harness.results import Latencies, OverheadResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.config import MeasureConfig
    from harness.records import CellRecords
    from harness.results import Disturbance, SteadyState, VerdictName

__all__ = [
    "MIN_FORKS",
    "analyse",
    "corrected",
    "floor_ms",
    "floors",
    "latencies",
    "precision_reached",
    "step_sums",
    "upgrades",
]


def analyse(records: CellRecords, measure: MeasureConfig) -> OverheadResult:
    """What tracing costs in this cell, and the verdict on its added p50.

    Args:
        records: The cell's raw records; of them ``blocks``, ``arms`` and ``machine`` are used.
        measure: The margin, the load limit, and whether forks were added until a precision was
            reached.

    Raises:
        CellError: If the arms of a fork did not run the same calls, or records contradict each
            other.
        ConfigError: If the equivalence margin is negative or not a number.
    """
    forks = complete_forks(records)
    level = quantile_level(measure)
    sampled = 0 < records.cell.expected_share < 1
    ledger = without_swaps(estimates(forks, level=level, sampled=sampled), records.cell)
    p50 = ledger["p50_ms"]
    load = load_rate_per_s(forks)
    drain = drain_rate_per_s(forks)
    margin_ms = equivalence_margin_ms(p50, measure)
    is_floor = records.cell.tracing == "none" and not records.cell.expects_traces
    steady = steady_state(forks, margin_ms, level)
    plain = None if p50.low is None or p50.high is None else verdict_of(p50.low, p50.high, margin_ms)
    unsteady = None if plain is None else why_unsteady(steady, plain, margin_ms)
    objected = objections(forks, load, drain, measure)
    ruling = rule(p50, margin_ms, objected, is_floor=is_floor, unsteady=unsteady, level=level)
    # What the interval says by itself is held against what it says without the disturbed blocks.
    by_interval = "not judged" if plain is None or ruling.verdict == "not judged" else plain
    disturbed = disturbance(records, forks, by_interval, margin_ms, level)
    p, half = p_values(p50, margin_ms, level), half_width_ms(p50)
    return OverheadResult(
        forks=len(forks),
        calls_per_fork=min((fork.calls for fork in forks), default=0),
        estimates=ledger,
        verdict=ruling.verdict,
        sentence=ruling.sentence + ending(p50, measure, records.cell.stopped_by),
        smallest_effect_ms=half,
        smallest_found_ms=None if half is None else smallest_found(half, p50.forks, level),
        equivalence_margin_ms=margin_ms,
        traces_expected=expected_traces(forks),
        traces_lost=lost_traces(forks),
        expected_by_fork=tuple(fork.strategy.run.expected_traces for fork in forks),
        lost_by_fork=lost_by_fork(forks),
        # The load is held against calls a second; traces a second are not known where chance decides.
        drain_rate_per_s=None if sampled else drain,
        load_rate_per_s=load,
        flagged_calls=sum(fork.flagged_calls for fork in forks),
        failed_calls=sum(fork.failed_calls for fork in forks),
        is_floor=is_floor,
        p_no_difference=None if p is None else p.no_difference,
        p_no_equivalence=None if p is None else p.no_equivalence,
        steady=steady,
        drift=drift(forks, margin_ms, records.cell.against),
        disturbance=disturbed,
        warnings=tuple(_warnings(steady, disturbed, by_interval)),
        shift=shift(forks, level=level),
    )


def _warnings(steady: SteadyState, disturbed: Disturbance, verdict: VerdictName) -> Iterator[str]:
    if steady.steady is False:
        yield steady.sentence
    if decides(disturbed, verdict):
        yield disturbed.sentence


def latencies(records: CellRecords) -> tuple[Latencies, ...]:
    """The analysed latencies of each complete fork, strategy arm first, in the order of the calls.

    Entry ``i`` of a fork's two arms is the same sample and repetition.

    Raises:
        CellError: As ``analyse`` does.
    """
    return tuple(
        Latencies(fork=fork.number, arm=side.run.arm, latency_ms=tuple((side.latency_ns / NS_PER_MS).tolist()))
        for fork in complete_forks(records)
        for side in (fork.strategy, fork.baseline)
    )


def floor_ms(result: OverheadResult) -> float | None:
    """The A/A noise floor of added p50 in ms: the bound of the interval that is farther from zero.

    ``None`` if the cell is no A/A test or its result could not be judged.
    """
    return floors(result).get("p50_ms")


def floors(result: OverheadResult) -> dict[str, float]:
    """The A/A noise floor of each quantity of the ledger, in its own unit, by the quantity's name.

    Quantities without an interval have none; nor has a cell that is no A/A test or could not be judged.
    """
    if not result.is_floor or result.verdict == "not judged":
        return {}
    return {
        name: max(abs(estimate.low), abs(estimate.high))
        for name, estimate in result.estimates.items()
        if estimate.low is not None and estimate.high is not None
    }


def precision_reached(result: OverheadResult, measure: MeasureConfig) -> bool:
    """Whether no more forks are needed: the interval is narrow enough, wherever it lies.

    At least ``measure.forks`` forks are run in any case. If both precisions are 0, none is asked
    for, and that is enough. Otherwise the half-width of added p50 has to be at most the larger of
    ``precision_ms`` and ``precision_relative`` times the traced p50 (the mean over forks of the
    strategy arm's own p50). A result without an interval has not reached any precision.
    """
    if result.forks < measure.forks:
        return False
    if measure.precision_ms <= 0 and measure.precision_relative <= 0:
        return True
    asked_ms = asked_half_width_ms(result.estimates["p50_ms"], measure)
    return asked_ms is not None and result.smallest_effect_ms is not None and result.smallest_effect_ms <= asked_ms
