"""A cell's latencies as steps of metrics, so that the line charts of MLflow's UI show how its timing pass went."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from mlflow.entities import Metric

from harness.tracking.cells import hides_latency

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records import Arm, Block, CellRecords
    from harness.results import OverheadResult

BLOCK_POINTS_AT_MOST = 800
"""Points of both arms' lines together: with those of the forks they fit into one or two of MLflow's
batches. Its UI draws 320 of a line."""

FORK_METRICS = {"p50_ms": "fork.added_p50_ms", "cpu_ms_per_call": "fork.added_cpu_ms_per_call"}
"""Estimates whose difference in each fork is a step, and under which name."""

_NS_PER_MS = 1_000_000


class Series(NamedTuple):
    """Metrics with steps.

    Attributes:
        metrics: To be logged, in the order of their steps.
        blocks_per_point: How many consecutive blocks of an arm one point stands for.
    """

    metrics: list[Metric]
    blocks_per_point: int


def latency_series(records: CellRecords, overhead: OverheadResult | None) -> Series:
    """The median latency of each measured block, and what each fork says that tracing adds.

    ``block.strategy_p50_ms`` and ``block.baseline_p50_ms`` have one point a block; the step is the block's place among
    all measured blocks of the cell in the order in which they ran, so the two lines interleave as the arms did. As in
    the analysis a block's first call and failed calls are left out; a block that has no other has no point. Beyond
    ``BLOCK_POINTS_AT_MOST`` blocks a point stands for several consecutive blocks of its arm, at the first one's step.
    ``fork.*`` has one point for each complete fork, in their order.

    A latency that is not judged is not logged here either.

    Args:
        records: The cell's records.
        overhead: What was found of them.
    """
    if overhead is None or hides_latency(overhead):
        return Series([], 1)
    measured = sorted((one for one in records.blocks if one.kind == "measured" and one.start_ns), key=_begun_ns)
    to_unix_ns = _clock_offset_ns(records, measured)
    each = max(1, math.ceil(len(measured) / BLOCK_POINTS_AT_MOST))
    metrics = [
        *_block_points(measured, "strategy", each, to_unix_ns),
        *_block_points(measured, "baseline", each, to_unix_ns),
    ]
    for name, key in FORK_METRICS.items():
        if (estimate := overhead.estimates.get(name)) is not None:
            ended_ms = records.cell.ended_unix_ns // _NS_PER_MS
            metrics += [Metric(key, value, ended_ms, step) for step, value in enumerate(estimate.per_fork)]
    return Series(metrics, each)


def _block_points(measured: Sequence[Block], arm: Arm, each: int, to_unix_ns: int) -> Iterator[Metric]:
    """One point for so many consecutive blocks of an arm."""
    own = [(step, block) for step, block in enumerate(measured) if block.arm == arm]
    for start in range(0, len(own), each):
        group = own[start : start + each]
        latencies_ns = [latency for _, block in group for latency in _analysed_ns(block)]
        if latencies_ns:
            step, first = group[0]
            when_ms = (_begun_ns(first) + to_unix_ns) // _NS_PER_MS
            yield Metric(f"block.{arm}_p50_ms", median(latencies_ns) / _NS_PER_MS, when_ms, step)


def _analysed_ns(block: Block) -> list[int]:
    """The latencies of the calls that may be compared."""
    calls = zip(block.latency_ns, block.errors, strict=True)
    return [latency for place, (latency, error) in enumerate(calls) if place and error is None]


def _begun_ns(block: Block) -> int:
    return block.start_ns[0]


def _clock_offset_ns(records: CellRecords, measured: Sequence[Block]) -> int:
    """What turns the clock of latencies into the time of day.

    A call of the completeness pass was stamped by both. Without one the first block stands at the cell's start: then
    only the distances between points are right.
    """
    if records.calls:
        return records.calls[0].start_unix_ns - records.calls[0].start_ns
    return records.cell.started_unix_ns - (_begun_ns(measured[0]) if measured else 0)
