"""The ledger of a strategy's cost: each entry a per-fork difference, averaged over forks.

Quantiles are numpy's default ``linear``, type 7 of Hyndman and Fan, "Sample quantiles in
statistical packages", The American Statistician 50 (1996). For p50 it is the ordinary sample
median; it interpolates between neighbours and so has no steps, and it follows a shift or a
change of unit exactly. In the tails it lies below the truth, the more so the fewer calls there are:
where latency beyond some point is exponential, p95 of 60 calls is some 4% too near to that point, p95
of 120 and p99 of 500 some 2%. Both arms have the same number of calls, but a bias that goes with the
spread cancels only where they spread alike: where tracing widens the tail, its added p95 and p99 are
too small by that share of the widening.

Beside each difference stands the ratio traced / untraced: the geometric mean of the forks' ratios,
after Fleming and Wallace, "How not to lie with statistics: the correct way to summarize benchmark
results", Communications of the ACM 29 (1986). Its interval is Student's t on the logarithms of those
ratios, taken back by the exponential, as is usual for ratios of positive amounts (US Food and Drug
Administration, "Statistical approaches to establishing bioequivalence", 2001, section VI.A).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.overhead.intervals import mean, t_interval
from harness.overhead.samples import NO_CHUNK
from harness.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.overhead.samples import Fork, IntArray, Side
    from harness.records import ArmRun

NS_PER_MS = 1e6
NS_PER_US = 1e3
BYTES_PER_MIB = 2**20
CLOCK_STEP_MS = 1 / NS_PER_MS
"""``perf_counter_ns`` counts whole nanoseconds."""

FILE_CLOCK_STEP_MS = 4.0
"""When a file was last written, from which drains are taken, is known to a tick of the kernel: 4 ms at 250 Hz."""

QUANTILES: dict[str, tuple[float, int]] = {"p50_ms": (0.50, 10), "p95_ms": (0.95, 60), "p99_ms": (0.99, 500)}
"""Name to the quantile and the analysed calls that an arm needs in each fork: at least three
calls lie beyond p95, and at least five beyond p99."""

MAX_LOG_RATIO = math.log(1e12)

MIN_STREAMS = QUANTILES["p50_ms"][1]


class _Quantity(NamedTuple):
    name: str
    unit: str
    resolution: float


def estimates(forks: Sequence[Fork], *, level: float, sampled: bool = False) -> dict[str, Estimate]:
    """All entries of the ledger by name.

    Args:
        forks: The complete forks.
        level: Level of the t quantile, see ``harness.overhead.intervals.quantile_level``.
        sampled: Whether chance decides which calls leave a trace.
    """
    entries = [_latency(name, forks, level) for name in QUANTILES]
    entries += [
        _first_chunk(forks, level),
        *_chunks(forks, level),
        _cpu(forks, level),
        _drain(forks, level, sampled=sampled),
        _stored_bytes(forks, level),
        _plain(_Quantity("peak_memory_mib", "MiB", 0.0), forks, level, _peak_memory_mib),
        _plain(_Quantity("import_cpu_ms", "ms", CLOCK_STEP_MS), forks, level, _import_cpu_ms),
        *_first_calls(forks, level),
        *_destination_cpu(forks, level),
    ]
    return {entry.name: entry for entry in entries}


def expected_traces(forks: Sequence[Fork]) -> int:
    """Traces that the strategy's arms should have stored."""
    return sum(fork.strategy.run.expected_traces for fork in forks)


def lost_traces(forks: Sequence[Fork]) -> int:
    """Traces that were not there after the drain; a surplus in one fork does not make up for another's loss."""
    return sum(lost_by_fork(forks))


def lost_by_fork(forks: Sequence[Fork]) -> tuple[int, ...]:
    """Traces that were not there after the drain, fork by fork."""
    return tuple(max(0, fork.strategy.run.expected_traces - fork.strategy.run.stored_traces) for fork in forks)


def drain_rate_per_s(forks: Sequence[Fork]) -> float | None:
    """Calls a second whose traces reach the store in the back-to-back burst, mean over forks.

    Where each call leaves a trace, that is traces a second. ``None`` where nothing is to be stored, where
    nothing was timed, and where traces were lost: a burst that drops traces is over early.
    """
    runs = [fork.strategy.run for fork in forks]
    if (
        not expected_traces(forks)
        or lost_traces(forks)
        or any(not run.warmup_calls or not run.warmup_ns for run in runs)
    ):
        return None
    return mean([run.warmup_calls * 1e9 / run.warmup_ns for run in runs])


def load_rate_per_s(forks: Sequence[Fork]) -> float | None:
    """Calls a second within the strategy's measured blocks, mean over forks; ``None`` where no block has two calls."""
    rates = [fork.load_rate_per_s for fork in forks if fork.load_rate_per_s is not None]
    return mean(rates) if rates else None


def _latency(name: str, forks: Sequence[Fork], level: float) -> Estimate:
    q, least = QUANTILES[name]
    quantity = _Quantity(name, "ms", CLOCK_STEP_MS)
    if reason := _too_few([fork.calls for fork in forks], forks, name.removesuffix("_ms"), least, "analysed calls"):
        return _withheld(quantity, forks, reason)
    return added_quantile(name, q, forks, level)


def added_quantile(name: str, q: float, forks: Sequence[Fork], level: float) -> Estimate:
    """Traced minus untraced quantile of the latencies in ms, whether or not enough calls support it."""
    pairs = [(fork.strategy.latency_ns, fork.baseline.latency_ns) for fork in forks]
    return _quantile(_Quantity(name, "ms", CLOCK_STEP_MS), forks, q, level, pairs)


def _first_chunk(forks: Sequence[Fork], level: float) -> Estimate:
    """Added time to the first chunk, over those analysed calls that were streams."""
    quantity = _Quantity("first_chunk_p50_ms", "ms", CLOCK_STEP_MS)
    pairs: list[tuple[IntArray, IntArray]] = []
    for fork in forks:
        streamed = fork.strategy.first_chunk_ns != NO_CHUNK
        one_sided = int((streamed != (fork.baseline.first_chunk_ns != NO_CHUNK)).sum())
        if one_sided:
            return _withheld(
                quantity,
                forks,
                f"{one_sided} calls of fork {fork.number} gave chunks in one arm only, so they differ in kind",
            )
        pairs.append((fork.strategy.first_chunk_ns[streamed], fork.baseline.first_chunk_ns[streamed]))
    if reason := _too_few([pair[0].size for pair in pairs], forks, "first_chunk_p50", MIN_STREAMS, "analysed streams"):
        return _withheld(quantity, forks, reason)
    return _quantile(quantity, forks, 0.5, level, pairs)


def _chunks(forks: Sequence[Fork], level: float) -> list[Estimate]:
    """What each chunk of a stream takes after the first, and what follows once after the last.

    There are no entries where the records do not say when the last chunks came, or have too few streams of
    more than one chunk: whether there were any streams is said of the first chunk.
    """
    per_chunk: list[tuple[float, float]] = []
    end: list[tuple[float, float]] = []
    for fork in forks:
        several = (fork.strategy.chunks > 1) & (fork.baseline.chunks > 1)
        if int(several.sum()) < MIN_STREAMS:
            return []
        left = fork.only(several)
        per_chunk.append((_per_chunk_us(left.strategy), _per_chunk_us(left.baseline)))
        end.append((_stream_end_ms(left.strategy), _stream_end_ms(left.baseline)))
    quantities = (_Quantity("per_chunk_us", "us", CLOCK_STEP_MS), _Quantity("stream_end_p50_ms", "ms", CLOCK_STEP_MS))
    return [
        _estimate(
            quantity,
            forks,
            level,
            differences=[ours - theirs for ours, theirs in pairs],
            baselines=[theirs for _, theirs in pairs],
        )
        for quantity, pairs in zip(quantities, (per_chunk, end), strict=True)
        if pairs
    ]


def _per_chunk_us(side: Side) -> float:
    """Median over streams of the time from the first chunk to the last, for each chunk after the first."""
    return float(np.median((side.last_chunk_ns - side.first_chunk_ns) / (side.chunks - 1))) / NS_PER_US


def _stream_end_ms(side: Side) -> float:
    """Median over streams of the time from the last chunk to the end of the call."""
    return float(np.median(side.latency_ns - side.last_chunk_ns)) / NS_PER_MS


def _too_few(counts: Sequence[int], forks: Sequence[Fork], what: str, least: int, of_what: str) -> str | None:
    if not forks:
        return _NO_FORK
    fewest = min(counts)
    if fewest >= least:
        return None
    fork = forks[counts.index(fewest)]
    return f"{what} needs {least} {of_what} in each arm of each fork, and fork {fork.number} has {fewest}"


def _quantile(
    quantity: _Quantity, forks: Sequence[Fork], q: float, level: float, pairs: Sequence[tuple[IntArray, IntArray]]
) -> Estimate:
    values_ns = [(float(np.quantile(ours, q)), float(np.quantile(theirs, q))) for ours, theirs in pairs]
    return _estimate(
        quantity,
        forks,
        level,
        differences=[(ours - theirs) / NS_PER_MS for ours, theirs in values_ns],
        baselines=[theirs / NS_PER_MS for _, theirs in values_ns],
    )


def _cpu(forks: Sequence[Fork], level: float) -> Estimate:
    quantity = _Quantity("cpu_ms_per_call", "ms", CLOCK_STEP_MS)
    if any(run.measured_calls == 0 for fork in forks for run in (fork.strategy.run, fork.baseline.run)):
        return _withheld(quantity, forks, "an arm made no measured call")
    return _plain(quantity, forks, level, lambda run: run.measured_cpu_ns / run.measured_calls / NS_PER_MS)


def _drain(forks: Sequence[Fork], level: float, *, sampled: bool) -> Estimate:
    quantity = _Quantity("drain_ms_per_trace", "ms", CLOCK_STEP_MS)
    lost = lost_traces(forks)
    if forks and not expected_traces(forks):
        return _withheld(quantity, forks, _STORES_NOTHING)
    if lost:
        return _withheld(quantity, forks, f"{lost} traces were lost, and what is dropped need not be drained")
    if sampled:
        return _withheld(quantity, forks, SAMPLED)
    calls = [run.warmup_calls for fork in forks for run in (fork.strategy.run, fork.baseline.run)]
    if any(made == 0 for made in calls):
        return _withheld(quantity, forks, "an arm made no warm-up call, and the drain is timed on the warm-up burst")
    quantity = quantity._replace(resolution=FILE_CLOCK_STEP_MS / min(calls, default=1))
    return _plain(quantity, forks, level, lambda run: run.warmup_drain_ns / run.warmup_calls / NS_PER_MS)


def _stored_bytes(forks: Sequence[Fork], level: float) -> Estimate:
    """Growth of the store for each stored trace; the baseline arm stores nothing to compare with."""
    quantity = _Quantity("stored_bytes_per_trace", "B", 0.0)
    runs = [fork.strategy.run for fork in forks]
    if forks and not expected_traces(forks):
        return _withheld(quantity, forks, _STORES_NOTHING)
    if any(run.stored_traces == 0 for run in runs):
        return _withheld(quantity, forks, "no trace was stored in at least one fork")
    sizes = [run.stored_bytes for run in runs if run.stored_bytes is not None]
    if len(sizes) < len(runs):
        if any(run.destination == "collector" for run in runs):
            return _withheld(quantity, forks, "a collector hands traces on and stores none")
        return _withheld(quantity, forks, "the growth of the store is not known in at least one fork")
    if lost := lost_traces(forks):
        return _withheld(quantity, forks, f"{lost} traces were lost, and half a trace takes up room as well")
    per_trace = [size / run.stored_traces for size, run in zip(sizes, runs, strict=True)]
    return _estimate(quantity, forks, level, differences=per_trace, baselines=[])


def _destination_cpu(forks: Sequence[Fork], level: float) -> list[Estimate]:
    """What the server or the collector spends on a call's trace; no entry where nothing runs beside the arms."""
    runs = [fork.strategy.run for fork in forks]
    spent = [run.destination_cpu_ns for run in runs if run.destination_cpu_ns is not None]
    if not spent or len(spent) < len(runs) or any(run.measured_calls == 0 for run in runs):
        return []
    per_call = [cpu_ns / run.measured_calls / NS_PER_MS for cpu_ns, run in zip(spent, runs, strict=True)]
    # One tick more or less of a clock that counts in ticks is no difference between forks.
    step_ms = max(run.destination_cpu_step_ns / run.measured_calls for run in runs) / NS_PER_MS
    quantity = _Quantity("destination_cpu_ms_per_call", "ms", step_ms)
    return [_estimate(quantity, forks, level, differences=per_call, baselines=[])]


def _first_calls(forks: Sequence[Fork], level: float) -> list[Estimate]:
    """What a process pays at its first calls; no entries where the records do not have it."""
    runs = [run for fork in forks for run in (fork.strategy.run, fork.baseline.run)]
    if not runs or any(getattr(run, field) is None for run in runs for field in _FIRST_CALLS.values()):
        return []
    return [
        _plain(_Quantity(name, "ms", CLOCK_STEP_MS), forks, level, partial(_field_ms, field=field))
        for name, field in _FIRST_CALLS.items()
    ]


def _field_ms(run: ArmRun, field: str) -> float:
    return float(getattr(run, field)) / NS_PER_MS


def _peak_memory_mib(run: ArmRun) -> float:
    return run.peak_memory_bytes / BYTES_PER_MIB


def _import_cpu_ms(run: ArmRun) -> float:
    return run.import_cpu_ns / NS_PER_MS


def _plain(quantity: _Quantity, forks: Sequence[Fork], level: float, value: Callable[[ArmRun], float]) -> Estimate:
    """The difference of one number of the arms."""
    pairs = [(value(fork.strategy.run), value(fork.baseline.run)) for fork in forks]
    return _estimate(
        quantity,
        forks,
        level,
        differences=[ours - theirs for ours, theirs in pairs],
        baselines=[theirs for _, theirs in pairs],
    )


def _estimate(
    quantity: _Quantity, forks: Sequence[Fork], level: float, *, differences: list[float], baselines: list[float]
) -> Estimate:
    if not differences:
        return _withheld(quantity, forks, _NO_FORK)
    interval = t_interval(differences, level=level, resolution=quantity.resolution)
    bounds = (None, None) if isinstance(interval, str) else interval
    own = t_interval(baselines, level=level, resolution=quantity.resolution) if baselines else ""
    baseline_bounds = (None, None) if isinstance(own, str) else own
    ratio, ratio_low, ratio_high = _ratio(differences, baselines, level, quantity.resolution)
    return Estimate(
        name=quantity.name,
        unit=quantity.unit,
        value=mean(differences),
        low=bounds[0],
        high=bounds[1],
        forks=len(forks),
        per_fork=tuple(differences),
        baseline=mean(baselines) if baselines else None,
        baseline_low=baseline_bounds[0],
        baseline_high=baseline_bounds[1],
        reason=interval if isinstance(interval, str) else None,
        ratio=ratio,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
    )


def _ratio(
    differences: Sequence[float], baselines: Sequence[float], level: float, resolution: float
) -> tuple[float | None, float | None, float | None]:
    """Traced / untraced with its bounds; nothing where a fork has an amount that is not above zero."""
    pairs = [(difference + base, base) for difference, base in zip(differences, baselines, strict=bool(baselines))]
    if not pairs or any(min(pair) <= 0 for pair in pairs):
        return None, None, None
    logs = [math.log(traced / base) for traced, base in pairs]
    interval = t_interval(logs, level=level, resolution=resolution / min(baselines))
    centre = math.exp(mean(logs))
    # Two forks that lie many powers of ten apart have bounds beyond what a float holds, and those say nothing.
    if isinstance(interval, str) or max(abs(bound) for bound in interval) > MAX_LOG_RATIO:
        return centre, None, None
    return centre, math.exp(interval.low), math.exp(interval.high)


def _withheld(quantity: _Quantity, forks: Sequence[Fork], reason: str) -> Estimate:
    return Estimate(
        name=quantity.name, unit=quantity.unit, value=None, low=None, high=None, forks=len(forks), reason=reason
    )


_FIRST_CALLS = {
    "first_call_ms": "first_call_ns",
    "first_call_cpu_ms": "first_call_cpu_ns",
    "first_calls_cpu_ms": "first_calls_cpu_ns",
}
"""Entry to the field of an arm that it is the difference of."""

SAMPLED = "chance decides which calls leave a trace, and how many of the calls drained had left one was not counted"
_NO_FORK = "no fork was completed in both arms"
_STORES_NOTHING = "the strategy stores no traces"
