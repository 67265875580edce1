"""What tracing costs under further loads: many calls at once, large ones, long streams, and more than is drained.

As in the ledger the unit of replication is the fork, and each entry is the mean over forks of a
difference between the two arms (or of their ratio), with Student's interval. Loads run in a number
of forks that is fixed beforehand, so the interval is the plain one.

Verdicts are given as on paced calls: the later half of each fork's calls has to give the same one, runs
in which others used the machine are flagged, and a sweep corrects them together with those of its cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.loads import SATURATION, in_order, parse_load
from harness.overhead.comparisons import p_values
from harness.overhead.intervals import FIXED_LEVEL, mean
from harness.overhead.ledger import BYTES_PER_MIB, FILE_CLOCK_STEP_MS, NS_PER_MS, QUANTILES, SAMPLED
from harness.overhead.load_disturbance import load_disturbance
from harness.overhead.load_pairs import (
    Pair,
    Quantity,
    difference,
    expected,
    failed,
    lost,
    pairs_of,
    rate_per_s,
    ratio,
    sustained_per_s,
    withheld,
)
from harness.overhead.saturation import saturation
from harness.overhead.steady import held_level, why_unsteady
from harness.overhead.verdicts import (
    LOAD_TOLERANCE,
    MAX_ONE_SIDED_FAILURES,
    equivalence_margin_ms,
    rule,
    verdict_of,
)
from harness.results import Estimate, LoadResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config import MeasureConfig
    from harness.records import CellRecords, LoadRun

MIN_CALLS = {"p50": 3, "p95": QUANTILES["p95_ms"][1]}
"""Calls that went well which each arm needs in each fork. Long streams are few: the fork, not the call, is counted."""


def analyse_loads(records: CellRecords, measure: MeasureConfig) -> tuple[LoadResult, ...]:
    """What tracing costs under each load that both arms of a fork ran, in the order of reports.

    Raises:
        CellError: If an arm ran a load twice, or the arms did not make the same calls.
    """
    pairs = pairs_of(records.loads)
    names = sorted({load for load, _ in pairs}, key=lambda name: in_order(parse_load(name)))
    found = []
    for name in names:
        steps = {offered: of_load for (load, offered), of_load in pairs.items() if load == name}
        if name == SATURATION:
            found.append(saturation(steps, records, measure))
        else:
            found.append(_steady(name, steps[None], records, measure))
    return tuple(found)


def _steady(name: str, pairs: Sequence[Pair], records: CellRecords, measure: MeasureConfig) -> LoadResult:
    sampled = 0 < records.cell.expected_share < 1
    estimates = {entry.name: entry for entry in _entries(pairs, sampled=sampled)}
    is_floor = records.cell.tracing == "none" and not records.cell.expects_traces
    p50 = estimates["p50_ms"]
    margin_ms = equivalence_margin_ms(p50, measure)
    plain = None if p50.low is None or p50.high is None else verdict_of(p50.low, p50.high, margin_ms)
    steady = held_level(
        [np.asarray(pair.strategy.latency_ns, dtype=np.int64) for pair in pairs],
        [np.asarray(pair.baseline.latency_ns, dtype=np.int64) for pair in pairs],
        margin_ms,
        FIXED_LEVEL,
    )
    unsteady = None if plain is None else why_unsteady(steady, plain, margin_ms)
    ruling = rule(p50, margin_ms, _objections(pairs), is_floor=is_floor, unsteady=unsteady)
    by_interval = None if ruling.verdict == "not judged" else plain
    p = p_values(p50, margin_ms, FIXED_LEVEL)
    burst = _beyond_drain(pairs)
    return LoadResult(
        load=name,
        forks=len(pairs),
        calls_per_fork=min(pair.strategy.calls for pair in pairs),
        estimates=estimates,
        verdict=ruling.verdict,
        sentence=ruling.sentence + burst,
        traces_expected=expected(pairs),
        traces_lost=lost(pairs),
        failed_calls=failed(pairs),
        is_floor=is_floor,
        p_no_difference=None if p is None else p.no_difference,
        p_no_equivalence=None if p is None else p.no_equivalence,
        steady=steady,
        disturbance=load_disturbance(pairs, records.machine, p50, by_interval, margin_ms),
        exceeds_drain=bool(burst),
    )


def _objections(pairs: Sequence[Pair]) -> list[str]:
    """Why latency under a load must not be judged; one clause each."""
    found = []
    if gone := lost(pairs):
        found.append(f"{gone} of {expected(pairs)} traces were lost, and dropping traces makes tracing look cheap")
    surplus = sum(max(0, run.stored_traces - run.expected_traces) for pair in pairs for run in pair)
    if surplus:
        found.append(f"{surplus} traces more than expected were stored")
    # As on paced calls the share is of one arm's; which of them failed in the other arm as well is not recorded.
    calls = sum(pair.strategy.calls for pair in pairs)
    if failed(pairs) > MAX_ONE_SIDED_FAILURES * calls:
        first = next(run.first_error for pair in pairs for run in pair if run.errors)
        found.append(f"{failed(pairs)} calls failed where each arm made {calls}, the first with {first}")
    return found


def _beyond_drain(pairs: Sequence[Pair]) -> str:
    """What a reader has to know where calls came faster than the store took their traces; else nothing."""
    if not expected(pairs) or lost(pairs):
        return ""
    made = mean([rate_per_s(pair.strategy) for pair in pairs])
    stored = mean([sustained_per_s(pair.strategy) for pair in pairs])
    if made <= (1 + LOAD_TOLERANCE) * stored:
        return ""
    return (
        f"; {made:.0f} calls came a second, and the store took the traces of {stored:.0f}: the rest waited in "
        "the queue, so this is the cost of a burst, and not of a load that lasts"
    )


def _entries(pairs: Sequence[Pair], *, sampled: bool) -> list[Estimate]:
    return [
        _latency("p50_ms", 0.50, MIN_CALLS["p50"], pairs),
        _latency("p95_ms", 0.95, MIN_CALLS["p95"], pairs),
        difference(Quantity("throughput_per_s", "calls/s"), pairs, rate_per_s),
        ratio(Quantity("throughput_ratio", ""), pairs, rate_per_s),
        *_sustained(pairs),
        difference(Quantity("cpu_ms_per_call", "ms"), pairs, lambda run: run.cpu_ns / run.calls / NS_PER_MS),
        *_peak_memory(pairs),
        *_of_streams(pairs),
        *_of_traces(pairs, sampled=sampled),
    ]


def _latency(name: str, q: float, least: int, pairs: Sequence[Pair]) -> Estimate:
    quantity = Quantity(name, "ms")
    if reason := _too_few([len(run.latency_ns) for pair in pairs for run in pair], least, "calls that went well"):
        return withheld(quantity, pairs, reason)
    return difference(quantity, pairs, lambda run: float(np.quantile(run.latency_ns, q)) / NS_PER_MS)


def _too_few(counts: Sequence[int], least: int, what: str) -> str | None:
    fewest = min(counts)
    return None if fewest >= least else f"it needs {least} {what} in each arm of each fork, and one has {fewest}"


def _sustained(pairs: Sequence[Pair]) -> list[Estimate]:
    """Throughput to the end of the drain: what is deferred has to be done as well."""
    rate, share = Quantity("sustained_per_s", "calls/s"), Quantity("sustained_ratio", "")
    if gone := lost(pairs):
        reason = f"{gone} traces were lost, and what is dropped need not be drained"
        return [withheld(rate, pairs, reason), withheld(share, pairs, reason)]
    return [difference(rate, pairs, sustained_per_s), ratio(share, pairs, sustained_per_s)]


def _peak_memory(pairs: Sequence[Pair]) -> list[Estimate]:
    """Peak resident memory of the processes; nothing where the kernel did not let it be reset."""
    if any(run.peak_memory_bytes is None for pair in pairs for run in pair):
        return []
    quantity = Quantity("peak_memory_mib", "MiB")
    return [difference(quantity, pairs, lambda run: (run.peak_memory_bytes or 0) / BYTES_PER_MIB)]


def _of_streams(pairs: Sequence[Pair]) -> list[Estimate]:
    """Time to the first chunk, from there on for each further one, and from the last one to the end of the call.

    What ends a stream (its trace is put together and handed over, or stored there and then) comes once, however
    many chunks there were. There are no entries where nothing was streamed.
    """
    if not any(run.first_chunk_ns for pair in pairs for run in pair):
        return []
    first = Quantity("first_chunk_p50_ms", "ms")
    further, end = Quantity("per_chunk_us", "us"), Quantity("stream_end_p50_ms", "ms")
    counts = [len(run.first_chunk_ns) for pair in pairs for run in pair]
    if reason := _too_few(counts, MIN_CALLS["p50"], "streams"):
        return [withheld(quantity, pairs, reason) for quantity in (first, further, end)]
    entries = [difference(first, pairs, lambda run: float(np.median(run.first_chunk_ns)) / NS_PER_MS)]
    if any(len(run.last_chunk_ns) != len(run.first_chunk_ns) for pair in pairs for run in pair):
        reason = "the records do not say when the last chunk came"
        return [*entries, withheld(further, pairs, reason), withheld(end, pairs, reason)]
    if min(chunks for pair in pairs for run in pair for chunks in run.chunks) < 2:
        entries.append(withheld(further, pairs, "a stream had one chunk only"))
    else:
        entries.append(difference(further, pairs, _per_chunk_us))
    # Of a mixed prompt set nothing says which calls were the streams, and so when they ended.
    if all(len(run.first_chunk_ns) == len(run.latency_ns) for pair in pairs for run in pair):
        entries.append(difference(end, pairs, _stream_end_ms))
    return entries


def _per_chunk_us(run: LoadRun) -> float:
    """Median over an arm's streams of the time from the first chunk to the last, for each chunk after the first."""
    spans = np.asarray(run.last_chunk_ns) - np.asarray(run.first_chunk_ns)
    return float(np.median(spans / (np.asarray(run.chunks) - 1))) / 1e3


def _stream_end_ms(run: LoadRun) -> float:
    """Median over an arm's streams of the time from the last chunk to the end of the call."""
    return float(np.median(np.asarray(run.latency_ns) - np.asarray(run.last_chunk_ns))) / NS_PER_MS


def _of_traces(pairs: Sequence[Pair], *, sampled: bool) -> list[Estimate]:
    """What a trace takes to drain and to store; nothing where none is to be stored."""
    if not expected(pairs):
        return []
    drain = Quantity("drain_ms_per_trace", "ms", FILE_CLOCK_STEP_MS / min(run.calls for pair in pairs for run in pair))
    stored = Quantity("stored_bytes_per_trace", "bytes")
    if gone := lost(pairs):
        reason = f"{gone} traces were lost, and what is dropped need not be drained or stored"
        return [withheld(drain, pairs, reason), withheld(stored, pairs, reason)]
    # The traces counted are those of the warm-up's calls as well, the drain is not.
    entries = [
        withheld(drain, pairs, SAMPLED)
        if sampled
        else difference(drain, pairs, lambda run: run.drain_ns / run.calls / NS_PER_MS)
    ]
    if all(pair.strategy.stored_bytes is not None for pair in pairs):
        entries.append(difference(stored, pairs, lambda run: (run.stored_bytes or 0) / max(1, run.stored_traces)))
    return entries
