"""Shares of traces that were lost and of calls that failed, in both runs: tested, for chance has a hand in them.

The fork is the unit of replication here, too: where the counts of single forks are known, the forks'
shares are compared by Welch's t, and beside it stands Fisher's exact test on all traces, for forks
that happen to agree show less spread than any share has. The larger p-value and the wider interval
count. Where only sums are known, and where no share differs from fork to fork, Fisher's test stands
alone. A margin is tested for as if the run with fewer losses had lost that share more.

So one fork of four that lost everything is inconclusive, however many traces that are: it may be one accident to
one process, and four forks cannot tell that from a fault which strikes one process in four. The sentence says how
many forks lost any.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from harness.gate.results import SHARE, Comparison
from harness.gate.runs import BASELINE_AND_CURRENT, differing
from harness.gate.shares import fisher_p, share_difference
from harness.overhead.contrasts import ALPHA, Difference, contrast
from harness.overhead.intervals import FIXED_LEVEL, MIN_FORKS, STOPPED_LEVEL
from harness.report.format import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.gate.results import Margins, Outcome
    from harness.gate.runs import GatedCell, Lost, Sides


_HALVINGS = 50
"""Of the levels from 0 to 1: more than a p-value has digits."""


class Shares(NamedTuple):
    """The rise of a share with its unadjusted 95% interval.

    Attributes:
        p_value: Of a difference beyond the margin.
    """

    value: float
    low: float
    high: float
    p_value: float


class LossPair(NamedTuple):
    """The traces lost, or calls failed, in both runs, before it is known how many other comparisons there are.

    Attributes:
        current: ``None`` where the current run has none.
        margin: Share of the traces by which the loss may rise.
        rise: Or why nothing can be said of it.
    """

    cell: str
    name: str
    baseline: Lost
    current: Lost | None
    margin: float
    rise: Shares | str

    @property
    def p_value(self) -> float | None:
        """Of a difference beyond the margin, unadjusted; ``None`` where nothing can be said."""
        return None if isinstance(self.rise, str) else self.rise.p_value

    def judged(self, p_adjusted: float | None, tests: int) -> Comparison:
        """The comparison, once its p-value is corrected for all others."""
        del tests  # what a gate can see is told of costs alone
        if self.current is None or isinstance(self.rise, str) or p_adjusted is None:
            return self._untested(str(self.rise))
        new, rise = self.current, self.rise
        outcome = _outcome(self.baseline, new, rise, self.margin, p_adjusted)
        return Comparison(
            cell=self.cell,
            quantity=self.name,
            outcome=outcome,
            sentence=self._sentence(new, rise, outcome, p_adjusted),
            baseline=self.baseline.share,
            current=new.share,
            low=rise.low,
            high=rise.high,
            margin=self.margin,
            unit=SHARE,
            p_adjusted=p_adjusted,
        )

    def _untested(self, reason: str) -> Comparison:
        """Nothing can be said of a rise; but a run that lost nothing did not get worse."""
        outcome: Outcome = "inconclusive"
        if self.current is None:
            sentence = f"{self.cell}: {self.name} are inconclusive: {reason}."
        elif self.current.expected and not self.current.lost:
            outcome = "not worse"
            sentence = f"{self.cell}: {self.name} went from {_of(self.baseline)} to {_of(self.current)}."
        else:
            went = f"went from {_of(self.baseline)} to {_of(self.current)}"
            sentence = f"{self.cell}: {self.name} {went}: inconclusive, {reason}."
        return Comparison(cell=self.cell, quantity=self.name, outcome=outcome, sentence=sentence)

    def _sentence(self, new: Lost, rise: Shares, outcome: Outcome, p_adjusted: float) -> str:
        p_text = "p under 0.001" if p_adjusted < 0.001 else f"p {p_adjusted:.3f}"
        tail = ": inconclusive, the data allow less than the margin and more" if outcome == "inconclusive" else ""
        if tail and new.by_fork:
            forks = sum(lost > 0 for _, lost in new.by_fork)
            tail += f", for they were lost in {forks} of {len(new.by_fork)} forks"
        return (
            f"{self.cell}: {self.name} went from {_of(self.baseline)} to {_of(new)} (95% interval of the rise "
            f"[{percent(rise.low)}, {percent(rise.high)}], margin {percent(self.margin)}, {p_text} after "
            f"correction){tail}."
        )


def loss_pairs(before: GatedCell, after: GatedCell, margins: Margins) -> Iterator[LossPair]:
    """Traces that were lost while calls were timed, paced and under further loads."""
    timed = [("traces lost while timed", before.timed, after.timed, before.stopped_early or after.stopped_early)]
    for load, old in before.loads.items():
        new = after.loads.get(load)
        timed.append((f"traces lost under {load}", old.timed, None if new is None else new.timed, False))
    for name, was, now, stopped_early in timed:
        if was is None or not (was.expected or (now is not None and now.expected)):
            continue
        found = "the current run has none" if now is None else rise(was, now, margins.loss, stopped_early=stopped_early)
        yield LossPair(before.label, name, was, now, margins.loss, found)


def failure_pairs(before: GatedCell, after: GatedCell, margins: Margins) -> Iterator[LossPair]:
    """Timed calls that failed, paced and under further loads; nothing where none failed in either run.

    That no call failed is no test that chance could have decided otherwise, so the correction need not count it.
    """
    failed = [("timed calls that failed", before.failed, after.failed)]
    for load, old in before.loads.items():
        if load in after.loads:
            failed.append((f"calls that failed under {load}", old.failed, after.loads[load].failed))
    for name, was, now in failed:
        if was is not None and now is not None and (was.lost or now.lost):
            found = rise(was, now, margins.loss, stopped_early=False)
            yield LossPair(before.label, name, was, now, margins.loss, found)


def ending_pairs(before: GatedCell, after: GatedCell, margins: Margins) -> Iterator[LossPair]:
    """Traces that were lost by the way in which processes ended: one process each, under the same conditions."""
    names = differing(before.ending_conditions, after.ending_conditions, both=True)
    names += differing(before.environment, after.environment)
    other = "; ".join(
        f"{name} is {old or 'not set'} in the baseline and {new or 'not set'} now" for name, old, new in names
    )
    for ending, old in before.endings.items():
        new = after.endings.get(ending)
        if not (old.expected or (new is not None and new.expected)):
            continue
        found: Shares | str
        if new is None:
            found = "the current run did not try it"
        elif other:
            found = other
        else:
            found = rise(old, new, margins.loss, stopped_early=False)
        # What was measured otherwise is no comparison, whatever it lost.
        kept = None if other else new
        yield LossPair(before.label, f"traces lost by {ending}", old, kept, margins.loss, found)


def rise(
    old: Lost, new: Lost, margin: float, *, stopped_early: bool, sides: Sides = BASELINE_AND_CURRENT
) -> Shares | str:
    """The rise of the share, or why nothing can be said of it."""
    if not old.expected or not new.expected:
        return f"{sides.after if old.expected else sides.before} had none to lose"
    by_forks = _by_forks(old, new, stopped_early=stopped_early)
    if isinstance(by_forks, str):
        return by_forks
    level = STOPPED_LEVEL if stopped_early else FIXED_LEVEL
    pooled = share_difference((old.lost, old.expected), (new.lost, new.expected), level=level)
    p_value = _fisher_beyond(old, new, margin)
    value, low, high = new.share - old.share, *pooled
    if by_forks is not None:
        value = by_forks.value
        low = min(low, value - by_forks.half_width)
        high = max(high, value + by_forks.half_width)
        p_value = max(p_value, by_forks.p_beyond(margin))
    return Shares(value, max(-1.0, low), min(1.0, high), p_value)


def p_not_within(old: Lost, new: Lost, margin: float, *, stopped_early: bool) -> float:
    """P of "the shares differ by the margin or more", to either side; below 0.05 where the interval lies within it.

    Newcombe's interval is turned round: the p-value is one minus the largest level at which it lies within the
    margin. Where the forks' shares differ among themselves, their own p-value counts if it is the larger one.
    """
    shares = (old.lost, old.expected), (new.lost, new.expected)
    inside, outside = 0.0, 1.0
    for _ in range(_HALVINGS):
        level = (inside + outside) / 2
        low, high = share_difference(*shares, level=level)
        inside, outside = (level, outside) if -margin < low and high < margin else (inside, level)
    p_value = min(1.0, (1 - inside) * (ALPHA / (1 - STOPPED_LEVEL) if stopped_early else 1.0))
    by_forks = _by_forks(old, new, stopped_early=stopped_early)
    if by_forks is None:
        return p_value
    return 1.0 if isinstance(by_forks, str) else max(p_value, by_forks.p_not_within(margin))


def _by_forks(old: Lost, new: Lost, *, stopped_early: bool) -> Difference | str | None:
    """The difference of the forks' shares; ``None`` where no single forks are known, or their shares do not differ."""
    if not (old.by_fork and new.by_fork):
        return None
    groups = []
    for sign, one in ((1.0, new), (-1.0, old)):
        groups.append((sign, [lost / expected for expected, lost in one.by_fork if expected]))
    fewest = min(len(shares) for _, shares in groups)
    found = contrast(groups, stopped_early=stopped_early)
    return None if fewest >= MIN_FORKS and isinstance(found, str) else found


def _fisher_beyond(old: Lost, new: Lost, margin: float) -> float:
    """Two-sided p, as if the run with the smaller share had lost the margin's share more."""
    few, many = (old, new) if new.share >= old.share else (new, old)
    tolerated = min(few.expected, few.lost + math.ceil(margin * few.expected))
    return min(1.0, 2 * fisher_p(tolerated, few.expected, many.lost, many.expected))


def _outcome(old: Lost, new: Lost, rise: Shares, margin: float, p_adjusted: float) -> Outcome:
    if p_adjusted <= ALPHA:
        return "worse" if rise.value > 0 else "better"
    # What lost none cannot have got worse, nor what had lost all.
    return "not worse" if not new.lost or old.lost == old.expected or rise.high <= margin else "inconclusive"


def _of(one: Lost) -> str:
    return f"{one.lost} of {one.expected}"
