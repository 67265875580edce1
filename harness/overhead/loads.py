"""What tracing costs under further loads: many calls at once, large ones, long streams, and more than is drained.

As in the ledger the unit of replication is the fork, and each entry is the mean over forks of a
difference between the two arms (or of their ratio), with Student's interval. Loads run in a number
of forks that is fixed beforehand, so the interval is the plain one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.errors import CellError
from harness.loads import SATURATION, in_order, parse_load
from harness.overhead.intervals import mean, t_interval
from harness.overhead.verdicts import equivalence_margin_ms, rule
from harness.results import Estimate, LoadResult, LoadStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harness.config import MeasureConfig
    from harness.records import CellRecords, LoadRun

MIN_CALLS = {"p50": 3, "p95": 60}
"""Calls that went well which each arm needs in each fork. Long streams are few: the fork, not the call, is counted."""
MAX_FAILED = 0.01
"""Above this share of failed calls, what is left is no fair sample."""

STORES_NOTHING = "the strategy stores no traces"


class _Pair(NamedTuple):
    """Both arms of one fork under one load."""

    strategy: LoadRun
    baseline: LoadRun


class _Quantity(NamedTuple):
    name: str
    unit: str


def analyse_loads(records: CellRecords, measure: MeasureConfig) -> tuple[LoadResult, ...]:
    """What tracing costs under each load that both arms of a fork ran, in the order of reports.

    Raises:
        CellError: If an arm ran a load twice, or the arms did not make the same calls.
    """
    pairs = _pairs(records.loads)
    is_floor = records.cell.tracing == "none" and not records.cell.expects_traces
    names = sorted({load for load, _ in pairs}, key=lambda name: in_order(parse_load(name)))
    found = []
    for name in names:
        steps = {offered: of_load for (load, offered), of_load in pairs.items() if load == name}
        if name == SATURATION:
            found.append(_saturation(steps, is_floor=is_floor))
        else:
            found.append(_steady(name, steps[None], measure, is_floor=is_floor))
    return tuple(found)


def _pairs(runs: Iterable[LoadRun]) -> dict[tuple[str, float | None], list[_Pair]]:
    """Forks in order by load and offered rate; a load that only one arm has finished is left out."""
    by_side: dict[tuple[str, float | None, int], dict[str, LoadRun]] = {}
    for run in runs:
        sides = by_side.setdefault((run.load, run.offered_per_s, run.fork), {})
        if run.arm in sides:
            raise CellError(f"fork {run.fork}: its {run.arm} arm ran the load {run.load} twice")
        sides[run.arm] = run
    pairs: dict[tuple[str, float | None], list[_Pair]] = {}
    for (load, offered, fork), sides in sorted(by_side.items(), key=lambda item: item[0][2]):
        if len(sides) < 2:
            continue
        pair = _Pair(sides["strategy"], sides["baseline"])
        if pair.strategy.calls != pair.baseline.calls:
            raise CellError(
                f"fork {fork}: under the load {load} its arms made {pair.strategy.calls} and {pair.baseline.calls} "
                "calls, so they cannot be compared"
            )
        pairs.setdefault((load, offered), []).append(pair)
    return pairs


def _steady(name: str, pairs: Sequence[_Pair], measure: MeasureConfig, *, is_floor: bool) -> LoadResult:
    entries = [
        _latency("p50_ms", 0.50, MIN_CALLS["p50"], pairs),
        _latency("p95_ms", 0.95, MIN_CALLS["p95"], pairs),
        _difference(_Quantity("throughput_per_s", "calls/s"), pairs, _rate_per_s),
        _ratio(pairs),
        _difference(_Quantity("cpu_ms_per_call", "ms"), pairs, lambda run: run.cpu_ns / run.calls / 1e6),
        *_of_streams(pairs),
        *_of_traces(pairs),
    ]
    estimates = {entry.name: entry for entry in entries}
    p50 = estimates["p50_ms"]
    ruling = rule(p50, equivalence_margin_ms(p50, measure), _objections(pairs), is_floor=is_floor)
    return LoadResult(
        load=name,
        forks=len(pairs),
        calls_per_fork=min(pair.strategy.calls for pair in pairs),
        estimates=estimates,
        verdict=ruling.verdict,
        sentence=ruling.sentence,
        traces_expected=_expected(pairs),
        traces_lost=_lost(pairs),
        failed_calls=_failed(pairs),
        is_floor=is_floor,
    )


def _objections(pairs: Sequence[_Pair]) -> list[str]:
    """Why latency under a load must not be judged; one clause each."""
    found = []
    if lost := _lost(pairs):
        found.append(f"{lost} of {_expected(pairs)} traces were lost, and dropping traces makes tracing look cheap")
    surplus = sum(max(0, run.stored_traces - run.expected_traces) for pair in pairs for run in pair)
    if surplus:
        found.append(f"{surplus} traces more than expected were stored")
    calls = sum(run.calls for pair in pairs for run in pair)
    if _failed(pairs) > MAX_FAILED * calls:
        first = next(run.first_error for pair in pairs for run in pair if run.errors)
        found.append(f"{_failed(pairs)} of {calls} calls failed, the first with {first}")
    return found


def _expected(pairs: Iterable[_Pair]) -> int:
    return sum(pair.strategy.expected_traces for pair in pairs)


def _lost(pairs: Iterable[_Pair]) -> int:
    return sum(_lost_of(pair.strategy) for pair in pairs)


def _lost_of(run: LoadRun) -> int:
    return max(0, run.expected_traces - run.stored_traces)


def _failed(pairs: Iterable[_Pair]) -> int:
    return sum(run.errors for pair in pairs for run in pair)


def _rate_per_s(run: LoadRun) -> float:
    return run.calls * 1e9 / run.wall_ns


def _latency(name: str, q: float, least: int, pairs: Sequence[_Pair]) -> Estimate:
    quantity = _Quantity(name, "ms")
    if reason := _too_few([len(run.latency_ns) for pair in pairs for run in pair], least, "calls that went well"):
        return _withheld(quantity, pairs, reason)
    return _difference(quantity, pairs, lambda run: float(np.quantile(run.latency_ns, q)) / 1e6)


def _too_few(counts: Sequence[int], least: int, what: str) -> str | None:
    fewest = min(counts)
    return None if fewest >= least else f"it needs {least} {what} in each arm of each fork, and one has {fewest}"


def _of_streams(pairs: Sequence[_Pair]) -> list[Estimate]:
    """Time to the first chunk, and from there on for each further one; none where nothing was streamed."""
    if not any(run.first_chunk_ns for pair in pairs for run in pair):
        return []
    first = _Quantity("first_chunk_p50_ms", "ms")
    further = _Quantity("per_chunk_us", "us")
    counts = [len(run.first_chunk_ns) for pair in pairs for run in pair]
    if reason := _too_few(counts, MIN_CALLS["p50"], "streams"):
        return [_withheld(first, pairs, reason), _withheld(further, pairs, reason)]
    entries = [_difference(first, pairs, lambda run: float(np.median(run.first_chunk_ns)) / 1e6)]
    # Of a mixed prompt set nothing says which calls were the streams.
    if all(len(run.first_chunk_ns) == len(run.latency_ns) for pair in pairs for run in pair):
        if min(chunks for pair in pairs for run in pair for chunks in run.chunks) < 2:
            entries.append(_withheld(further, pairs, "a stream had one chunk only"))
        else:
            entries.append(_difference(further, pairs, _per_chunk_us))
    return entries


def _per_chunk_us(run: LoadRun) -> float:
    """Median over an arm's streams of the time from the first chunk to the end, for each chunk after the first."""
    spans = np.asarray(run.latency_ns) - np.asarray(run.first_chunk_ns)
    return float(np.median(spans / (np.asarray(run.chunks) - 1))) / 1e3


def _of_traces(pairs: Sequence[_Pair]) -> list[Estimate]:
    """What a trace takes to drain and to store; nothing where none is to be stored."""
    if not _expected(pairs):
        return []
    drain, stored = _Quantity("drain_ms_per_trace", "ms"), _Quantity("stored_bytes_per_trace", "bytes")
    if lost := _lost(pairs):
        reason = f"{lost} traces were lost, and what is dropped need not be drained or stored"
        return [_withheld(drain, pairs, reason), _withheld(stored, pairs, reason)]
    entries = [_difference(drain, pairs, lambda run: run.drain_ns / run.calls / 1e6)]
    if all(pair.strategy.stored_bytes is not None for pair in pairs):
        entries.append(_difference(stored, pairs, lambda run: (run.stored_bytes or 0) / max(1, run.stored_traces)))
    return entries


def _saturation(steps: dict[float | None, list[_Pair]], *, is_floor: bool) -> LoadResult:
    """The loss at each step, and in each fork the rates on both sides of where it begins."""
    rates = sorted(steps, key=lambda offered: float("inf") if offered is None else offered)
    by_fork: dict[int, list[_Pair]] = {}
    for offered in rates:
        for pair in steps[offered]:
            by_fork.setdefault(pair.strategy.fork, []).append(pair)
    everything = [pair for pairs in steps.values() for pair in pairs]
    forks = [by_fork[fork] for fork in sorted(by_fork)]
    highest, begins = _highest_without_loss(forks), _loss_begins(forks)
    return LoadResult(
        load=SATURATION,
        forks=len(forks),
        calls_per_fork=min(sum(pair.strategy.calls for pair in pairs) for pairs in forks),
        estimates={entry.name: entry for entry in (highest, begins)},
        verdict=None,
        sentence=_saturation_sentence(highest, begins, everything),
        traces_expected=_expected(everything),
        traces_lost=_lost(everything),
        failed_calls=_failed(everything),
        is_floor=is_floor,
        steps=tuple(_step(offered, steps[offered]) for offered in rates),
    )


def _step(offered_per_s: float | None, pairs: Sequence[_Pair]) -> LoadStep:
    lost = _Quantity("lost_share", "")
    if not all(pair.strategy.expected_traces for pair in pairs):
        share = _withheld(lost, pairs, STORES_NOTHING)
    else:
        share = _estimate(lost, [_lost_of(pair.strategy) / pair.strategy.expected_traces for pair in pairs], [])
    rates = [[_rate_per_s(pair.strategy) for pair in pairs], [_rate_per_s(pair.baseline) for pair in pairs]]
    return LoadStep(
        offered_per_s=offered_per_s,
        forks=len(pairs),
        calls_per_fork=min(pair.strategy.calls for pair in pairs),
        achieved_per_s=_estimate(_Quantity("achieved_per_s", "calls/s"), *rates),
        lost_share=share,
        traces_expected=_expected(pairs),
        traces_lost=_lost(pairs),
    )


def _highest_without_loss(forks: Sequence[Sequence[_Pair]]) -> Estimate:
    """The highest rate at which a fork's strategy arm lost nothing."""
    quantity = _Quantity("highest_without_loss_per_s", "calls/s")
    every = [pair for pairs in forks for pair in pairs]
    if not _expected(every):
        return _withheld(quantity, forks, STORES_NOTHING)
    rates = []
    for pairs in forks:
        clean = [_rate_per_s(pair.strategy) for pair in pairs if not _lost_of(pair.strategy)]
        if not clean:
            least = _rate_per_s(pairs[0].strategy)
            reason = f"fork {pairs[0].strategy.fork} lost traces at every rate, from {least:.0f} calls a second on"
            return _withheld(quantity, forks, reason)
        rates.append(max(clean))
    return _estimate(quantity, rates, [])


def _loss_begins(forks: Sequence[Sequence[_Pair]]) -> Estimate:
    """The lowest rate at which a fork's strategy arm lost traces."""
    quantity = _Quantity("loss_begins_per_s", "calls/s")
    every = [pair for pairs in forks for pair in pairs]
    if not _expected(every):
        return _withheld(quantity, forks, STORES_NOTHING)
    rates = []
    for pairs in forks:
        lossy = [_rate_per_s(pair.strategy) for pair in pairs if _lost_of(pair.strategy)]
        if not lossy:
            most = max(_rate_per_s(pair.strategy) for pair in pairs)
            reason = f"fork {pairs[0].strategy.fork} lost no trace, at up to {most:.0f} calls a second"
            return _withheld(quantity, forks, reason)
        rates.append(min(lossy))
    return _estimate(quantity, rates, [])


def _saturation_sentence(highest: Estimate, begins: Estimate, pairs: Sequence[_Pair]) -> str:
    if not _expected(pairs):
        return f"not judged: {STORES_NOTHING}"
    clauses = [
        highest.reason if highest.value is None else f"no trace was lost at {_rate(highest)}",
        begins.reason if begins.value is None else f"traces were lost at {_rate(begins)}",
    ]
    return "; ".join(clause for clause in clauses if clause)


def _rate(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" [{estimate.low:.0f}, {estimate.high:.0f}]"
    return f"{estimate.value:.0f}{interval} calls a second"


def _difference(quantity: _Quantity, pairs: Sequence[_Pair], value: Callable[[LoadRun], float]) -> Estimate:
    sides = [(value(pair.strategy), value(pair.baseline)) for pair in pairs]
    return _estimate(quantity, [ours - theirs for ours, theirs in sides], [theirs for _, theirs in sides])


def _ratio(pairs: Sequence[_Pair]) -> Estimate:
    """The strategy's throughput as a share of the baseline's; it stands beside both."""
    ratios = [_rate_per_s(pair.strategy) / _rate_per_s(pair.baseline) for pair in pairs]
    return _estimate(_Quantity("throughput_ratio", ""), ratios, [])


def _estimate(quantity: _Quantity, values: Sequence[float], baselines: Sequence[float]) -> Estimate:
    interval = t_interval(values)
    low, high = (None, None) if isinstance(interval, str) else interval
    return Estimate(
        name=quantity.name,
        unit=quantity.unit,
        value=mean(values),
        low=low,
        high=high,
        forks=len(values),
        per_fork=tuple(values),
        baseline=mean(baselines) if baselines else None,
        reason=interval if isinstance(interval, str) else None,
    )


def _withheld(quantity: _Quantity, forks: Sequence[object], reason: str) -> Estimate:
    return Estimate(
        name=quantity.name, unit=quantity.unit, value=None, low=None, high=None, forks=len(forks), reason=reason
    )
