"""From raw blocks to the calls that may be compared: complete forks, equal calls in both arms.

A measured call is analysed unless it is the first of its block (the arm has just been woken, so
its caches and connections are cold) or it failed. Where a call failed in one arm only, its
partner (same repetition, same sample) in the other arm is left out as well, so that both arms
keep the same mix of samples. Outliers are kept.
"""

from __future__ import annotations

from itertools import chain, compress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.errors import CellError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.records import Arm, ArmRun, Block, CellRecords

IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

NO_CHUNK = -1
"""Stands in ``first_chunk_ns`` for a call that gave no chunk."""


class Side(NamedTuple):
    """One arm of a complete fork.

    Attributes:
        run: What the arm cost beyond the latency of its calls.
        latency_ns: Shape ``(analysed calls,)``, in the order of the repetitions.
        first_chunk_ns: The same calls' times to the first chunk; ``NO_CHUNK`` where there was none.
        warmup_ns: Latencies of the warm-up calls, in their order, failed ones included.
        last_chunk_ns: The calls' times to the last chunk; ``NO_CHUNK`` where there was none, and in older records.
        chunks: How many chunks they gave; ``NO_CHUNK`` likewise.
    """

    run: ArmRun
    latency_ns: IntArray
    first_chunk_ns: IntArray
    warmup_ns: IntArray
    last_chunk_ns: IntArray
    chunks: IntArray

    def only(self, keep: BoolArray) -> Side:
        """The same side with some of its analysed calls."""
        return self._replace(
            latency_ns=self.latency_ns[keep],
            first_chunk_ns=self.first_chunk_ns[keep],
            last_chunk_ns=self.last_chunk_ns[keep],
            chunks=self.chunks[keep],
        )


class Fork(NamedTuple):
    """A complete pair of arms; entry ``i`` of both sides' arrays is the same sample and repetition.

    Attributes:
        number: The fork's index in the records.
        repetition: Of each analysed call, shape ``(analysed calls,)``, rising.
        flagged_calls: Calls of both arms that are kept but not analysed: warm-up, first of a block.
        failed_calls: Measured calls of both arms that raised.
        one_sided_failures: Calls that were left out because their partner failed.
        load_rate_per_s: Calls a second within the strategy arm's measured blocks, from start to
            start; ``None`` if no block has two calls.
    """

    number: int
    repetition: IntArray
    strategy: Side
    baseline: Side
    flagged_calls: int
    failed_calls: int
    one_sided_failures: int
    load_rate_per_s: float | None

    @property
    def calls(self) -> int:
        """Analysed calls of each arm."""
        return int(self.strategy.latency_ns.size)

    def only(self, keep: BoolArray) -> Fork:
        """The same fork with some of its analysed calls."""
        return self._replace(
            repetition=self.repetition[keep], strategy=self.strategy.only(keep), baseline=self.baseline.only(keep)
        )


class _ArmCalls(NamedTuple):
    """All measured calls of one arm in one fork, in the order of the repetitions."""

    repetition: IntArray
    sample_ids: tuple[str, ...]
    latency_ns: IntArray
    first_chunk_ns: IntArray
    last_chunk_ns: IntArray
    chunks: IntArray
    failed: BoolArray
    leading: BoolArray

    def side(self, run: ArmRun, warmup_ns: IntArray, good: BoolArray) -> Side:
        """What of them is analysed: those that are good among the calls that do not lead a block."""
        whole = Side(run, self.latency_ns, self.first_chunk_ns, warmup_ns, self.last_chunk_ns, self.chunks)
        return whole.only(~self.leading).only(good)


def complete_forks(records: CellRecords) -> tuple[Fork, ...]:
    """The forks that both arms have finished, in order; a fork that was interrupted is left out.

    An arm's ``ArmRun`` is its last record, so an arm without one did not finish.

    Raises:
        CellError: If the two arms of a fork did not run the same calls, or records contradict
            each other; the message names the fork.
    """
    runs: dict[tuple[int, Arm], ArmRun] = {}
    for run in records.arms:
        if (run.fork, run.arm) in runs:
            raise CellError(f"fork {run.fork} of cell {records.cell.cell_id}: its {run.arm} arm was recorded twice")
        runs[run.fork, run.arm] = run
    blocks: dict[tuple[int, Arm], list[Block]] = {}
    for block in records.blocks:
        blocks.setdefault((block.fork, block.arm), []).append(block)
    return tuple(
        _fork(
            f"fork {index} of cell {records.cell.cell_id}",
            (runs[index, "strategy"], blocks.get((index, "strategy"), [])),
            (runs[index, "baseline"], blocks.get((index, "baseline"), [])),
        )
        for index in sorted({fork for fork, _ in runs})
        if (index, "strategy") in runs and (index, "baseline") in runs
    )


def _fork(place: str, strategy: tuple[ArmRun, list[Block]], baseline: tuple[ArmRun, list[Block]]) -> Fork:
    left = _arm_calls(place, *strategy)
    right = _arm_calls(place, *baseline)
    _refuse_different_calls(place, left, right)
    keep_left = ~left.leading
    keep_right = ~right.leading
    left_failed = left.failed[keep_left]
    right_failed = right.failed[keep_right]
    good = ~(left_failed | right_failed)
    warmups = _warmup_ns(strategy[1]), _warmup_ns(baseline[1])
    return Fork(
        number=strategy[0].fork,
        repetition=left.repetition[keep_left][good],
        strategy=left.side(strategy[0], warmups[0], good),
        baseline=right.side(baseline[0], warmups[1], good),
        flagged_calls=sum(warmup.size for warmup in warmups) + int(left.leading.sum() + right.leading.sum()),
        failed_calls=int(left.failed.sum() + right.failed.sum()),
        one_sided_failures=int((left_failed ^ right_failed).sum()),
        load_rate_per_s=_load_rate_per_s(strategy[1]),
    )


def _arm_calls(place: str, run: ArmRun, blocks: Sequence[Block]) -> _ArmCalls:
    """Join an arm's measured blocks.

    Raises:
        CellError: If blocks overlap, are damaged, or are not as many calls as the arm made.
    """
    measured = sorted((block for block in blocks if block.kind == "measured"), key=lambda block: block.first_repetition)
    sizes = [len(block.sample_ids) for block in measured]
    for block, size in zip(measured, sizes, strict=True):
        parts = (block.start_ns, block.latency_ns, block.first_chunk_ns, block.errors)
        if any(len(part) != size for part in parts) or any(len(part) not in (0, size) for part in _of_streams(block)):
            raise CellError(f"{place}: block {block.block} of the {run.arm} arm has tuples of different lengths")
    for (before, size), after in zip(zip(measured, sizes, strict=True), measured[1:], strict=False):
        if before.first_repetition + size > after.first_repetition:
            raise CellError(
                f"{place}: blocks {before.block} and {after.block} of the {run.arm} arm hold the same repetition"
            )
    total = sum(sizes)
    if total != run.measured_calls:
        raise CellError(
            f"{place}: the {run.arm} arm reports {run.measured_calls} measured calls, but its blocks hold {total}"
        )
    firsts = np.asarray([block.first_repetition for block in measured], dtype=np.int64)
    ends = np.cumsum(np.asarray(sizes, dtype=np.int64), dtype=np.int64)
    starts = ends - np.asarray(sizes, dtype=np.int64)
    within = np.arange(total, dtype=np.int64) - np.repeat(starts, sizes)
    return _ArmCalls(
        repetition=np.repeat(firsts, sizes) + within,
        sample_ids=tuple(chain.from_iterable(block.sample_ids for block in measured)),
        latency_ns=_column((block.latency_ns for block in measured), total),
        first_chunk_ns=_filled(((block.first_chunk_ns, len(block.first_chunk_ns)) for block in measured), total),
        last_chunk_ns=_filled(
            ((block.last_chunk_ns, size) for block, size in zip(measured, sizes, strict=True)), total
        ),
        chunks=_filled(((block.chunks, size) for block, size in zip(measured, sizes, strict=True)), total),
        failed=np.fromiter(
            (error is not None for block in measured for error in block.errors), dtype=np.bool_, count=total
        ),
        leading=within == 0,
    )


def _warmup_ns(blocks: Sequence[Block]) -> IntArray:
    warmups = sorted((block for block in blocks if block.kind == "warmup"), key=lambda block: block.first_repetition)
    return _column((block.latency_ns for block in warmups), sum(len(block.latency_ns) for block in warmups))


def _of_streams(block: Block) -> tuple[Sequence[int | None], Sequence[int | None]]:
    """What a block may leave out where none of its calls was a stream."""
    return block.last_chunk_ns, block.chunks


def _filled(parts: Iterable[tuple[Sequence[int | None], int]], total: int) -> IntArray:
    """Join parts of the given lengths; ``NO_CHUNK`` stands where there is nothing."""
    whole = (part or (None,) * size for part, size in parts)
    return _column(((NO_CHUNK if one is None else one for one in part) for part in whole), total)


def _column(parts: Iterable[Iterable[int]], total: int) -> IntArray:
    return np.fromiter(chain.from_iterable(parts), dtype=np.int64, count=total)


def _refuse_different_calls(place: str, strategy: _ArmCalls, baseline: _ArmCalls) -> None:
    """Refuse to compare arms that did not run the same samples in the same repetitions.

    Raises:
        CellError: With the first call that differs.
    """
    ours = _plan(strategy)
    theirs = _plan(baseline)
    if ours == theirs:
        return
    for left, right in zip(ours, theirs, strict=False):
        if left != right:
            raise CellError(
                f"{place}: its arms did not run the same calls, so they cannot be compared: "
                f"the strategy arm ran sample {left[1]!r} as repetition {left[0]}, "
                f"where the baseline arm ran sample {right[1]!r} as repetition {right[0]}"
            )
    raise CellError(
        f"{place}: its arms did not run the same calls, so they cannot be compared: "
        f"the strategy arm has {len(ours)} calls to analyse, the baseline arm {len(theirs)}"
    )


def _plan(calls: _ArmCalls) -> list[tuple[int, str]]:
    """What the calls to analyse were, before it is asked which of them failed."""
    keep = ~calls.leading
    return list(zip(calls.repetition[keep].tolist(), compress(calls.sample_ids, keep.tolist()), strict=True))


def _load_rate_per_s(blocks: Sequence[Block]) -> float | None:
    paced = [block.start_ns for block in blocks if block.kind == "measured" and len(block.start_ns) > 1]
    span_ns = sum(start_ns[-1] - start_ns[0] for start_ns in paced)
    steps = sum(len(start_ns) - 1 for start_ns in paced)
    return steps * 1e9 / span_ns if span_ns > 0 else None
