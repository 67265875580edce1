"""Whether the overhead verdicts keep what they promise: counts with their exact intervals, and the bar."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from scipy.stats import binomtest

from harness.calibration.beside import opinions
from harness.calibration.share import LIMIT_US
from harness.calibration.trial import of_delay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.calibration.share import Share
    from harness.calibration.trial import Found, Lost

FALSE_ALARMS = 0.05
"""More of the A/A cells must not be called different."""
COVERAGE = 0.95
"""Fewer of the planted cells' intervals must not contain the truth."""


class Rate(NamedTuple):
    """So many of so many, with the exact 95% interval of the share.

    The interval is that of Clopper and Pearson, "The use of confidence or fiducial limits illustrated in
    the case of the binomial", Biometrika 26 (1934).
    """

    happened: int
    of: int
    low: float
    high: float

    def __str__(self) -> str:
        if not self.of:
            return "-"
        return f"{self.happened} / {self.of} = {self.happened / self.of:.1%} [{self.low:.1%}, {self.high:.1%}]"


def rate(events: Iterable[bool]) -> Rate:
    """Count events; of none at all nothing is known, so the interval is everything."""
    seen = list(events)
    if not seen:
        return Rate(0, 0, 0.0, 1.0)
    interval = binomtest(sum(seen), len(seen)).proportion_ci(0.95, method="exact")
    return Rate(sum(seen), len(seen), float(interval.low), float(interval.high))


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
        opinions: The harness first, then what else judged the same samples.
        share: The harness's own share of a call, if it was measured.
    """

    found: tuple[Found, ...]
    lost: tuple[Lost, ...]
    rows: tuple[Row, ...]
    coverage: Rate
    opinions: tuple[Opinion, ...]
    share: Share | None

    @property
    def baseline_ms(self) -> float | None:
        """The median over cells of the baseline's p50."""
        return median(one.baseline_ms for one in self.found) if self.found else None

    def false_alarms(self) -> Rate:
        """A/A cells that are called different."""
        return rate(one.differs for one in of_delay(self.found, ""))

    def misses(self) -> list[str]:
        """What misses the bar, one sentence each; nothing was shown where nothing was run."""
        alarms = self.false_alarms()
        said = []
        if not alarms.of:
            said.append("no A/A cell was run, so nothing is known of false alarms")
        if alarms.low > FALSE_ALARMS:
            said.append(f"false alarms: {alarms}, which lies above {FALSE_ALARMS:.0%}")
        if not self.coverage.of:
            said.append("no delay was planted, so nothing is known of the coverage")
        if self.coverage.high < COVERAGE:
            said.append(f"coverage: {self.coverage}, which lies below {COVERAGE:.0%}")
        if not self.lost:
            said.append("no loss was planted, so nothing is known of lost traces")
        said += [
            f"{one.trial.name}: {one.found[0]} and {one.found[1]} traces were called lost in the two passes, "
            f"and {one.planted[0]} and {one.planted[1]} were planted"
            for one in self.lost
            if not one.exact
        ]
        return [*said, *self._share_misses()]

    def _share_misses(self) -> list[str]:
        if self.share is None or self.share.high_us is None:
            return ["the harness's own share of a call has no interval, at least 4 forks are needed"]
        if self.share.high_us <= LIMIT_US:
            return []
        return [f"the harness's own share of a call is {share_text(self.share)}, not at most {LIMIT_US:g} us"]


def prove(found: Sequence[Found], lost: Sequence[Lost], share: Share | None) -> Proof:
    """Put together what the cells show, and ask the other tools about the same samples."""
    planted = sorted({one.trial.planted for one in found}, key=lambda text: int(text.removesuffix("us") or 0))
    return Proof(
        found=tuple(found),
        lost=tuple(lost),
        rows=tuple(row(one, list(of_delay(found, one))) for one in planted),
        coverage=rate(one.covers for one in found if one.trial.kind == "delay"),
        opinions=tuple(_opinions(found, [one for one in planted if one])),
        share=share,
    )


def share_text(share: Share) -> str:
    """The own share with its interval."""
    bounds = "" if share.low_us is None or share.high_us is None else f" [{share.low_us:.1f}, {share.high_us:.1f}]"
    return f"{share.value_us:.1f} us{bounds}"


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
