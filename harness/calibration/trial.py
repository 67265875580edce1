"""One cell of the overhead calibration: what is planted in it, and what the harness found."""

from __future__ import annotations

import copy
import random
from statistics import fmean, median
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.config import measure_of
from harness.errors import CellError
from harness.experiment.analysis import analyse_cell
from harness.overhead import analyse, latencies
from harness.results import Latencies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.config import HarnessConfig
    from harness.records import Arm, CellRecords

NS_PER_MS = 1e6
LOSSES = ("1of12", "3of12", "7of12", "log_trace-1in3", "log_spans-1in3")
"""What the loss cells plant in turn: so many of each process's first calls leave no stored trace, or of any call one of
the two writes that make up a trace is dropped."""

Kind = Literal["aa", "delay", "loss"]


class Trial(NamedTuple):
    """What one cell is about.

    Attributes:
        kind: Two equal arms, a delay, or lost traces.
        planted: The delay such as ``200us``, or the loss such as ``3of12`` or ``log_trace-1in3``; empty where nothing
            is planted.
        number: Which of its kind, from 0.
    """

    kind: Kind
    planted: str
    number: int

    @property
    def name(self) -> str:
        """A name that is a file's name too."""
        return f"{'-'.join(filter(None, (self.kind, self.planted)))}-{self.number:03d}"

    def seed(self, first: int) -> int:
        """The cell's own seed."""
        return random.Random(f"{first}/{self.name}").randrange(2**31)  # noqa: S311  # reproducible


class Counts(NamedTuple):
    """How many cells of each kind: A/A, of each delay, with losses; and the delays in microseconds."""

    aa: int
    delay: int
    loss: int
    delays_us: tuple[int, ...]


def trials(counts: Counts, seed: int) -> list[Trial]:
    """All cells in the order in which they run: shuffled, so that a drift of the machine meets all kinds alike.

    With larger counts the order changes, but no cell does.
    """
    timed = [Trial("aa", "", number) for number in range(counts.aa)]
    timed += [Trial("delay", f"{us}us", number) for us in counts.delays_us for number in range(counts.delay)]
    lost = [Trial("loss", LOSSES[number % len(LOSSES)], number) for number in range(counts.loss)]
    return [*random.Random(f"{seed}/order").sample(timed, len(timed)), *lost]  # noqa: S311  # reproducible


class Configs(NamedTuple):
    """The configuration of each kind of cell, which a trial's seed and what it plants are put into."""

    aa: HarnessConfig
    delay: HarnessConfig
    loss: HarnessConfig

    def of(self, trial: Trial, seed: int) -> HarnessConfig:
        """A trial's configuration."""
        config: HarnessConfig = copy.deepcopy(getattr(self, trial.kind))
        config.seed = trial.seed(seed)
        config.tracing.style = trial.planted
        return config


class Found(NamedTuple):
    """What the harness says of a timed cell, beside the truth.

    Attributes:
        truth_ms: The added p50 that was realised: the median over the analysed calls of each fork of
            what its strategy arm spun, averaged over forks; 0 where nothing was planted.
        value_ms: The estimate of added p50.
        baseline_ms: The baseline's p50.
        verdict: The harness's own.
        samples: The analysed latencies of each fork and arm, for other tools.
        block_means: The same as one value a block, the mean of its analysed calls.
    """

    trial: Trial
    truth_ms: float
    value_ms: float
    low_ms: float
    high_ms: float
    baseline_ms: float
    verdict: str
    samples: tuple[Latencies, ...]
    block_means: tuple[Latencies, ...]

    @property
    def error_ms(self) -> float:
        """Estimate minus truth."""
        return self.value_ms - self.truth_ms

    @property
    def half_width_ms(self) -> float:
        """Half the width of the interval."""
        return (self.high_ms - self.low_ms) / 2

    @property
    def covers(self) -> bool:
        """Whether the interval contains the truth."""
        return self.low_ms <= self.truth_ms <= self.high_ms

    @property
    def differs(self) -> bool:
        """Whether the harness says that the arms differ."""
        return self.verdict in ("slower", "faster")


class Lost(NamedTuple):
    """What the harness says of a cell that lost traces, beside what was planted.

    Attributes:
        planted: Traces of which the strategy dropped something in the completeness pass, and in all forks together.
        found: What it says was lost in each.
        expected: Traces that should have been stored in each.
    """

    trial: Trial
    planted: tuple[int, int]
    found: tuple[int, int]
    expected: tuple[int, int]

    @property
    def exact(self) -> bool:
        """Whether both counts are right."""
        return self.planted == self.found


def found_in(trial: Trial, records: CellRecords) -> Found:
    """Estimate a timed cell as the harness does, and compute its truth.

    Raises:
        CellError: If the cell has no interval, or a call failed: the truth would be of other calls.
    """
    result = analyse(records, measure_of(records.cell.config))
    p50 = result.estimates["p50_ms"]
    if p50.value is None or p50.low is None or p50.high is None or p50.baseline is None or result.failed_calls:
        raise CellError(f"{trial.name}: {result.failed_calls} calls failed; {result.sentence}")
    return Found(
        trial=trial,
        truth_ms=truth_ms(records) if trial.kind == "delay" else 0.0,
        value_ms=p50.value,
        low_ms=p50.low,
        high_ms=p50.high,
        baseline_ms=p50.baseline,
        verdict=result.verdict,
        samples=latencies(records),
        block_means=block_means(records),
    )


def truth_ms(records: CellRecords) -> float:
    """The added p50 that a delay realised, over the calls that are analysed: all but the first of each block.

    Raises:
        CellError: If the strategy did not say how long each call was delayed.
    """
    by_fork: dict[int, list[int]] = {}
    for block in records.blocks:
        if block.kind != "measured" or block.arm != "strategy":
            continue
        if len(block.planted_ns) != len(block.latency_ns):
            raise CellError(f"fork {block.fork}, block {block.block}: not every call says how long it was delayed")
        by_fork.setdefault(block.fork, []).extend(block.planted_ns[1:])
    if not by_fork:
        raise CellError("no delay was planted")
    return fmean(median(values) for values in by_fork.values()) / NS_PER_MS


def block_means(records: CellRecords) -> tuple[Latencies, ...]:
    """The mean over the analysed calls of each measured block, in the blocks' order, by fork and arm."""
    means: dict[tuple[int, Arm], list[float]] = {}
    for block in sorted(records.blocks, key=lambda one: (one.fork, one.arm, one.first_repetition)):
        if block.kind == "measured":
            means.setdefault((block.fork, block.arm), []).append(fmean(block.latency_ns[1:]) / NS_PER_MS)
    return tuple(Latencies(fork=fork, arm=arm, latency_ms=tuple(values)) for (fork, arm), values in means.items())


def lost_in(trial: Trial, records: CellRecords) -> Lost:
    """Count a loss cell's traces as the harness does.

    Raises:
        CellError: If a pass left nothing to count, or does not say what was dropped.
    """
    result = analyse_cell(records)
    if result.completeness is None or result.overhead is None:
        raise CellError(f"{trial.name}: {result.cell.reason}")
    planted = _dropped(trial, records, result.overhead.forks)
    if 0 in planted:
        raise CellError(f"{trial.name}: a pass dropped nothing, and a cell without a loss shows nothing")
    return Lost(
        trial=trial,
        planted=planted,
        found=(result.completeness.traces_lost, result.overhead.traces_lost),
        expected=(result.completeness.traces_expected, result.overhead.traces_expected),
    )


def _dropped(trial: Trial, records: CellRecords, forks: int) -> tuple[int, int]:
    """Traces of which the strategy says that it dropped something, in the completeness pass and in all forks."""
    complete = records.cell.planted_losses
    timed = [run.planted_losses for run in records.arms if run.arm == "strategy"]
    if complete is not None and None not in timed:
        return complete, sum(one for one in timed if one is not None)
    whole, found, _ = trial.planted.partition("of")
    if not found:
        raise CellError(f"{trial.name}: not every process says what it dropped")
    # Cells of before a strategy said so: each process dropped as many as their name says.
    return int(whole), int(whole) * forks


def of_delay(found: Sequence[Found], planted: str) -> Iterator[Found]:
    """The timed cells in which this was planted; empty is A/A."""
    return (one for one in found if one.trial.planted == planted)
