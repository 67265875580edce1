"""Where a store's queue overflows: traces lost against the rate of calls.

Rates double from step to step, so that all that is known of the rate at which loss begins is between which two
steps of each fork it lies. What is told is that bracket over forks; an interval of the rates' mean would be
narrow because all forks try the same rates, and not because the threshold is known.

A rate is held for some seconds, so one without loss is a matter of the queue: it takes up what the store does
not for so long. What lasts is what the store takes, which is told beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from harness.loads import SATURATION
from harness.overhead.intervals import mean
from harness.overhead.load_disturbance import load_disturbance
from harness.overhead.load_pairs import (
    STORES_NOTHING,
    Pair,
    Quantity,
    estimate,
    expected,
    failed,
    lost,
    rate_per_s,
    withheld,
)
from harness.results import Estimate, LoadResult, LoadStep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.config import MeasureConfig
    from harness.records import CellRecords, LoadRun

BRACKET = "one end of a bracket over forks: rates double from step to step, so there is no interval"


RANGE = "shares of a few forks, most of them 0 or none, follow no t distribution: the range over forks is told"


class _Threshold(NamedTuple):
    """What one fork says of where loss begins, in calls a second that were made; ``None``: it did not see that end."""

    fork: int
    clean_per_s: float | None
    clean_s: float
    lossy_per_s: float | None
    most_per_s: float
    least_per_s: float


def saturation(steps: Mapping[float | None, list[Pair]], records: CellRecords, measure: MeasureConfig) -> LoadResult:
    """The loss at each rate, and between which rates it begins in every fork.

    Args:
        steps: Forks by offered rate; ``None`` is back to back.
        records: The cell's records.
        measure: What the cell was measured with.
    """
    rates = sorted(steps, key=lambda offered: float("inf") if offered is None else offered)
    by_fork: dict[int, list[Pair]] = {}
    for offered in rates:
        for pair in steps[offered]:
            by_fork.setdefault(pair.fork, []).append(pair)
    everything = [pair for pairs in steps.values() for pair in pairs]
    thresholds = [_threshold(by_fork[fork]) for fork in sorted(by_fork)]
    stores = bool(expected(everything))
    highest, begins = _highest(thresholds, stores=stores), _begins(thresholds, stores=stores)
    stored = _stored_per_s(steps.get(None, []))
    clauses = [f"not judged: {STORES_NOTHING}"]
    if stores:
        clauses = [
            *_bracket_clauses(thresholds, highest, begins),
            *_queue_clauses(records.cell.config, stored),
            *_end_clauses(everything, measure),
        ]
    return LoadResult(
        load=SATURATION,
        forks=len(by_fork),
        calls_per_fork=min(sum(pair.strategy.calls for pair in pairs) for pairs in by_fork.values()),
        estimates={entry.name: entry for entry in (highest, begins, stored)},
        verdict=None,
        sentence="; ".join(clauses),
        traces_expected=expected(everything),
        traces_lost=lost(everything),
        failed_calls=failed(everything),
        is_floor=records.cell.tracing == "none" and not records.cell.expects_traces,
        steps=tuple(_step(offered, steps[offered]) for offered in rates),
        disturbance=load_disturbance(everything, records.machine),
    )


def _step(offered_per_s: float | None, pairs: Sequence[Pair]) -> LoadStep:
    lost_share = Quantity("lost_share", "")
    if not all(pair.strategy.expected_traces for pair in pairs):
        share = withheld(lost_share, pairs, STORES_NOTHING)
    else:
        shares = [pair.lost / pair.strategy.expected_traces for pair in pairs]
        share = estimate(lost_share, shares, []).model_copy(update={"low": None, "high": None, "reason": RANGE})
    rates = [[rate_per_s(pair.strategy) for pair in pairs], [rate_per_s(pair.baseline) for pair in pairs]]
    return LoadStep(
        offered_per_s=offered_per_s,
        forks=len(pairs),
        calls_per_fork=min(pair.strategy.calls for pair in pairs),
        achieved_per_s=estimate(Quantity("achieved_per_s", "calls/s"), *rates),
        lost_share=share,
        traces_expected=expected(pairs),
        traces_lost=lost(pairs),
        held_s=mean([pair.strategy.wall_ns / 1e9 for pair in pairs]),
        stored_per_s=_stored_per_s(pairs),
    )


def _stored_per_s(pairs: Sequence[Pair]) -> Estimate:
    """Whole traces a second that reached the store, from the first call to its last write."""
    quantity = Quantity("stored_per_s", "traces/s")
    if not expected(pairs):
        return withheld(quantity, pairs, STORES_NOTHING if pairs else "no fork made calls back to back")
    return estimate(quantity, [_stored_of(pair.strategy) for pair in pairs], [])


def _stored_of(run: LoadRun) -> float:
    return run.stored_traces * 1e9 / (run.wall_ns + run.drain_ns)


def _threshold(pairs: Sequence[Pair]) -> _Threshold:
    """The rates of one fork below and from its first loss on, in the order of what was achieved."""
    rising = sorted(pairs, key=lambda pair: rate_per_s(pair.strategy))
    first = next((place for place, pair in enumerate(rising) if pair.lost), len(rising))
    clean = rising[first - 1].strategy if first else None
    return _Threshold(
        fork=rising[0].fork,
        clean_per_s=None if clean is None else rate_per_s(clean),
        clean_s=0.0 if clean is None else clean.wall_ns / 1e9,
        lossy_per_s=rate_per_s(rising[first].strategy) if first < len(rising) else None,
        most_per_s=rate_per_s(rising[-1].strategy),
        least_per_s=rate_per_s(rising[0].strategy),
    )


def _highest(forks: Sequence[_Threshold], *, stores: bool) -> Estimate:
    """The lower end: up to this rate no fork lost traces."""
    quantity = Quantity("highest_without_loss_per_s", "calls/s")
    if not stores:
        return withheld(quantity, forks, STORES_NOTHING)
    if at_once := [one for one in forks if one.clean_per_s is None]:
        least_per_s = min(one.least_per_s for one in at_once)
        reason = f"{_of(at_once, forks)} lost traces at every rate, from {least_per_s:.0f} calls a second on"
        return withheld(quantity, forks, reason)
    return _end(quantity, min, [one.clean_per_s for one in forks if one.clean_per_s is not None])


def _begins(forks: Sequence[_Threshold], *, stores: bool) -> Estimate:
    """The upper end: at this rate every fork had lost traces."""
    quantity = Quantity("loss_begins_per_s", "calls/s")
    if not stores:
        return withheld(quantity, forks, STORES_NOTHING)
    if never := [one for one in forks if one.lossy_per_s is None]:
        most_per_s = max(one.most_per_s for one in never)
        reason = f"{_of(never, forks)} lost no trace, at up to {most_per_s:.0f} calls a second"
        return withheld(quantity, forks, reason)
    return _end(quantity, max, [one.lossy_per_s for one in forks if one.lossy_per_s is not None])


def _end(quantity: Quantity, farthest: Callable[[Sequence[float]], float], rates_per_s: Sequence[float]) -> Estimate:
    return Estimate(
        name=quantity.name,
        unit=quantity.unit,
        value=farthest(rates_per_s),
        low=None,
        high=None,
        forks=len(rates_per_s),
        per_fork=tuple(rates_per_s),
        reason=BRACKET,
    )


def _of(some: Sequence[_Threshold], forks: Sequence[_Threshold]) -> str:
    if len(some) == len(forks):
        return "every fork" if len(forks) > 1 else f"fork {forks[0].fork}"
    return f"{len(some)} of {len(forks)} forks"


def _bracket_clauses(forks: Sequence[_Threshold], highest: Estimate, begins: Estimate) -> list[str]:
    """Between which rates loss begins, with how long the lower one was held."""
    if highest.value is None:
        clauses = [highest.reason or ""]
    else:
        held_s = min(one.clean_s for one in forks)
        clauses = [f"no fork lost a trace at up to {highest.value:.0f} calls a second, held for {held_s:.1f} s"]
    if begins.value is None:
        return [*clauses, begins.reason or ""]
    clauses.append(f"at {begins.value:.0f} every fork had lost some")
    if highest.value is None:
        return clauses
    counted = f"{len(forks)} forks" if len(forks) > 1 else "one fork"
    return [*clauses, f"loss begins somewhere between the two (a bracket over {counted}, no confidence interval)"]


def _queue_clauses(config: Mapping[str, Any], stored: Estimate) -> list[str]:
    """What the queue is, and what lasts."""
    clauses = [_queue(config)]
    if stored.value is not None:
        interval = "" if stored.low is None else f" [{stored.low:.0f}, {stored.high:.0f}]"
        clauses.append(
            f"of calls back to back the store took {stored.value:.0f}{interval} traces a second: a higher rate fills "
            "any queue in time, so the rate without loss is what the queue takes up for so long, not one that lasts"
        )
    return clauses


def _queue(config: Mapping[str, Any]) -> str:
    export = (config.get("tracing") or {}).get("export") or {}
    if export.get("asynchronous") is False:
        return "traces were written synchronously, without a queue"
    # MLflow 3.10, for one, exports in the background only where it is told to.
    by_itself = " (if this version of MLflow has one by itself)" if export.get("asynchronous") is None else ""
    size = export.get("queue_size")
    if size is None:
        return f"the queue had MLflow's own size{by_itself}"
    return (f"the queue took {size} writes" if size else "the queue was without bound") + by_itself


def _end_clauses(pairs: Sequence[Pair], measure: MeasureConfig) -> list[str]:
    """Why no higher rates were offered, where that was not for the loss."""
    ends = {pair.strategy.ladder_ended_by for pair in pairs}
    if "time" in ends:
        over = f"{measure.saturation_max_s:g} s of calls were over (measure.saturation_max_s)"
        return [f"higher rates were not offered, because {over}"]
    return ["higher rates could not be offered: calls did not keep up"] if "pace" in ends else []
