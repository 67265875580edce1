"""Whether the overhead verdicts keep what they promise: counts with their exact intervals, and the bar.

A rate misses the bar where its whole exact 95% interval lies on the wrong side of the limit. So a harness that
is exactly as good as its limits misses each of them in at most 2.5% of calibrations, and few cells would show
nothing at all: under ``LEAST_AA`` and ``LEAST_OF_A_DELAY`` cells the bar is not met.
"""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from harness.calibration.beside import opinions
from harness.calibration.equivalence import equivalence
from harness.calibration.rates import Rate, rate
from harness.calibration.share import LIMIT_US
from harness.calibration.trial import of_delay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.calibration.equivalence import Equivalence
    from harness.calibration.meanwhile import Meanwhile
    from harness.calibration.share import Share
    from harness.calibration.trial import Found, Lost

FALSE_ALARMS = 0.05
"""More of the A/A cells must not be called different."""
COVERAGE = 0.95
"""Fewer of the planted cells' intervals must not contain the truth."""
LEAST_AA = 100
LEAST_OF_A_DELAY = 30
"""Fewer cells, A/A and of each delay, are too few to judge."""


class Row(NamedTuple):
    """How the cells fared in which one delay was planted; A/A is a delay of 0.

    Attributes:
        planted: The delay, empty for A/A.
        cells: How many cells.
        truth_us: The realised delay, mean over cells.
        bias_us: Mean of estimate minus truth.
        bias_error_us: Its standard error; ``None`` under two cells.
        half_width_us: Mean half-width of the intervals.
        slower: Cells that the harness calls slower: of a delay its power.
        differs: Cells that it calls slower or faster: of A/A its false alarms.
        covers: Cells whose interval contains the truth.
    """

    planted: str
    cells: int
    truth_us: float
    bias_us: float
    bias_error_us: float | None
    half_width_us: float
    slower: Rate
    differs: Rate
    covers: Rate


def row(planted: str, found: Sequence[Found]) -> Row:
    """The row of some cells with the same planted delay, at least one."""
    errors_us = [one.error_ms * 1e3 for one in found]
    bias_us = fmean(errors_us)
    spread = sum((error - bias_us) ** 2 for error in errors_us)
    n = len(errors_us)
    return Row(
        planted=planted,
        cells=n,
        truth_us=fmean(one.truth_ms * 1e3 for one in found),
        bias_us=bias_us,
        bias_error_us=None if n < 2 else (spread / (n - 1) / n) ** 0.5,
        half_width_us=fmean(one.half_width_ms * 1e3 for one in found),
        slower=rate(one.verdict == "slower" for one in found),
        differs=rate(one.differs for one in found),
        covers=rate(one.covers for one in found),
    )


class Opinion(NamedTuple):
    """What one way of judging says of the same cells.

    Attributes:
        way: The tool and its rule.
        false_alarms: A/A cells that it calls slower or faster.
        power: By planted delay, the cells that it calls slower.
    """

    way: str
    false_alarms: Rate
    power: dict[str, Rate]


class Proof(NamedTuple):
    """Everything that the calibration found.

    Attributes:
        found: The timed cells.
        lost: The cells that lost traces.
        rows: A/A first, then each delay.
        coverage: Over all planted cells.
        equivalences: A/A first, then each delay.
        opinions: The harness first, then what else judged the same samples.
        share: The harness's own share of a call, if it was measured.
        meanwhile: When the timed cells ran, and what the machine did besides.
        unfinished: Cells that were begun and did not finish (they failed or were broken off), so that they were
            run again; ``None`` if that was not kept.
    """

    found: tuple[Found, ...]
    lost: tuple[Lost, ...]
    rows: tuple[Row, ...]
    coverage: Rate
    equivalences: tuple[Equivalence, ...]
    opinions: tuple[Opinion, ...]
    share: Share | None
    meanwhile: Meanwhile | None = None
    unfinished: int | None = None

    @property
    def baseline_ms(self) -> float | None:
        """The median over cells of the baseline's p50."""
        return median(one.baseline_ms for one in self.found) if self.found else None

    @property
    def delays(self) -> tuple[Row, ...]:
        """The rows of the planted delays."""
        return tuple(row for row in self.rows if row.planted)

    def false_alarms(self) -> Rate:
        """A/A cells that are called different."""
        return rate(one.differs for one in of_delay(self.found, ""))

    def withdrawn(self) -> Rate:
        """Planted cells whose interval excludes zero and whose verdict was withdrawn because the cost changed."""
        return rate(
            one.verdict == "inconclusive" and not one.low_ms <= 0 <= one.high_ms
            for one in self.found
            if one.trial.planted
        )

    def summary(self) -> str:
        """The result in a few sentences."""
        alarms = self.false_alarms()
        exact = sum(one.exact for one in self.lost)
        share = "" if self.share is None else f" The harness's own share of a call is {_share_said(self.share)}."
        return (
            f"False alarms: {alarms}, {_alarms_said(alarms)}. "
            f"Coverage over all delays: {self.coverage}, {self._coverage_said()}. "
            f"Planted losses were found exactly in {exact} of {len(self.lost)} cells.{share}"
        )

    def _coverage_said(self) -> str:
        if any(one.high < COVERAGE for one in (self.coverage, *(row.covers for row in self.delays))):
            return f"shown to lie below {COVERAGE:.0%}"
        if not self.delays or any(row.cells < LEAST_OF_A_DELAY for row in self.delays):
            return "too few cells to judge"
        return f"not shown to lie below {COVERAGE:.0%}"

    def misses(self) -> list[str]:
        """What misses the bar, one sentence each; nothing was shown where nothing or too little was run."""
        return [*self._too_few(), *self._rate_misses(), *self._loss_misses(), *self._share_misses()]

    def _too_few(self) -> Iterator[str]:
        alarms = self.false_alarms()
        if not alarms.of:
            yield "no A/A cell was run, so nothing is known of false alarms"
        elif alarms.of < LEAST_AA:
            yield f"A/A: too few to judge, {alarms.of} of at least {LEAST_AA} cells"
        if not self.delays:
            yield "no delay was planted, so nothing is known of the coverage"
        for row in self.delays:
            if row.cells < LEAST_OF_A_DELAY:
                yield f"{row.planted}: too few to judge, {row.cells} of at least {LEAST_OF_A_DELAY} cells"

    def _rate_misses(self) -> Iterator[str]:
        alarms = self.false_alarms()
        if alarms.low > FALSE_ALARMS:
            yield f"false alarms: {alarms}, which lies above {FALSE_ALARMS:.0%}"
        if self.coverage.high < COVERAGE:
            yield f"coverage: {self.coverage}, which lies below {COVERAGE:.0%}"
        # Of one delay alone it is the same number.
        for row in self.delays if len(self.delays) > 1 else ():
            if row.covers.high < COVERAGE:
                yield f"coverage at {row.planted}: {row.covers}, which lies below {COVERAGE:.0%}"

    def _loss_misses(self) -> Iterator[str]:
        if not self.lost:
            yield "no loss was planted, so nothing is known of lost traces"
        for one in self.lost:
            if not one.exact:
                yield (
                    f"{one.trial.name}: {one.found[0]} and {one.found[1]} traces were called lost in the two passes, "
                    f"and {one.planted[0]} and {one.planted[1]} were planted"
                )

    def _share_misses(self) -> Iterator[str]:
        if self.share is None or self.share.high_us is None:
            yield "the harness's own share of a call has no interval, at least 4 forks are needed"
        elif self.share.high_us > LIMIT_US:
            yield f"the harness's own share of a call is {_share_said(self.share)}"


def prove(
    found: Sequence[Found],
    lost: Sequence[Lost],
    share: Share | None,
    *,
    meanwhile: Meanwhile | None = None,
    unfinished: int | None = None,
) -> Proof:
    """Put together what the cells show, and ask the other tools about the same samples."""
    planted = sorted({one.trial.planted for one in found}, key=lambda text: int(text.removesuffix("us") or 0))
    return Proof(
        found=tuple(found),
        lost=tuple(lost),
        rows=tuple(row(one, list(of_delay(found, one))) for one in planted),
        coverage=rate(one.covers for one in found if one.trial.kind == "delay"),
        equivalences=tuple(equivalence(one, list(of_delay(found, one))) for one in planted),
        opinions=tuple(_opinions(found, [one for one in planted if one])),
        share=share,
        meanwhile=meanwhile,
        unfinished=unfinished,
    )


def share_text(share: Share) -> str:
    """The own share with its interval."""
    bounds = "" if share.low_us is None or share.high_us is None else f" [{share.low_us:.1f}, {share.high_us:.1f}]"
    return f"{share.value_us:.1f} us{bounds}"


def _share_said(share: Share) -> str:
    shown = share.high_us is not None and share.high_us <= LIMIT_US
    return f"{share_text(share)}, {'' if shown else 'not '}shown to be at most {LIMIT_US:g} us"


def _alarms_said(alarms: Rate) -> str:
    if alarms.low > FALSE_ALARMS:
        return f"shown to exceed {FALSE_ALARMS:.0%}"
    return "too few cells to judge" if alarms.of < LEAST_AA else f"not shown to exceed {FALSE_ALARMS:.0%}"


def _opinions(found: Sequence[Found], delays: Sequence[str]) -> Iterable[Opinion]:
    yield _opinion("this harness", found, [one.verdict for one in found], delays)
    for way, judge in opinions().items():
        yield _opinion(way, found, judge(found), delays)


def _opinion(way: str, found: Sequence[Found], said: Sequence[str], delays: Sequence[str]) -> Opinion:
    pairs = list(zip(found, said, strict=True))
    return Opinion(
        way=way,
        false_alarms=rate(word in ("slower", "faster") for one, word in pairs if not one.trial.planted),
        power={delay: rate(word == "slower" for one, word in pairs if one.trial.planted == delay) for delay in delays},
    )
