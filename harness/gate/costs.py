"""Costs in both runs: differences of forks against a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.gate.machines import machine_changes, touching
from harness.gate.results import Comparison
from harness.gate.runs import BASELINE_AND_CURRENT, LATENCIES, Samples
from harness.overhead.contrasts import ALPHA, Difference, contrast
from harness.overhead.intervals import MIN_FORKS, mean
from harness.report.format import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.gate.machines import Change
    from harness.gate.results import Margins, Outcome
    from harness.gate.runs import GatedCell, Sides

NAMES = {
    "p50_ms": "added p50",
    "p95_ms": "added p95",
    "p99_ms": "added p99",
    "first_chunk_p50_ms": "added time to the first chunk",
    "cpu_ms_per_call": "CPU per call",
    "drain_ms_per_trace": "drain per trace",
}
_ALWAYS = "p50_ms"
_WHERE_BOTH = ("p95_ms", "p99_ms")
"""Quantiles for which many runs have too few calls, by design."""
_OF_LOADS = ("p50_ms", "cpu_ms_per_call")
RELATIVE_OF_ADDED = 3.0
"""The relative margin is a share of the whole cost, but of no more than so many times what tracing adds: before an
endpoint that takes half a second, a tenth of the whole would let tracing cost any multiple of what it did."""
UNTRACED = "untraced"
"""What a cell is usually timed against."""
SAME_PACE = 0.1
"""Paces that differ by no more than this share are one."""
_UNIT = "ms"


class Scaled(NamedTuple):
    """A cost held against what it was times a change of the machine.

    Attributes:
        difference: Current minus so many times the baseline.
        told: The change in words.
    """

    difference: Difference
    told: str


class CostPair(NamedTuple):
    """One cost of one cell in both runs, before it is known how many others there are.

    Attributes:
        name: Of the cost, among ``NAMES``.
        difference: Current minus baseline, or why nothing can be said of it.
        p_value: Of a difference beyond the margin, unadjusted: the largest one, of the difference as it stands and
            of those that allow for the machine; ``None`` where there is no difference.
        load: The further load that it was measured under; empty for the usual pace.
        scaled: The same for each change of the machine that may be behind it.
        is_one_value: Whether all forks of both runs gave one and the same value.
    """

    cell: str
    name: str
    baseline: Samples
    current: Samples
    margin_ms: float
    difference: Difference | str
    p_value: float | None
    load: str = ""
    scaled: tuple[Scaled, ...] = ()
    is_one_value: bool = False

    @property
    def quantity(self) -> str:
        """The cost in people's words."""
        return f"{NAMES[self.name]} under {self.load}" if self.load else NAMES[self.name]

    def judged(self, p_adjusted: float | None, tests: int) -> Comparison:
        """The comparison, once its p-value is corrected for all others.

        It is ``worse`` (or ``better``) where the difference lies beyond the margin by the adjusted
        p-value, ``not worse`` where the whole interval lies below the margin, else ``inconclusive``. What the
        machine's change may account for is neither of the first two, what it may hide not the third.
        """
        difference = self.difference
        if isinstance(difference, str) or p_adjusted is None:
            return self._untested(str(difference))
        low, high = difference.value - difference.half_width, difference.value + difference.half_width
        highest = max((high, *(one.difference.value + one.difference.half_width for one in self.scaled)))
        outcome = _outcome(difference.value, highest, self.margin_ms, p_adjusted)
        if self.current.looks_cheap is not None and outcome != "worse":
            outcome = "inconclusive"
        smallest = self._smallest_rise(difference, tests)
        return Comparison(
            cell=self.cell,
            quantity=self.quantity,
            outcome=outcome,
            sentence=_sentence(self, outcome, difference, p_adjusted, tests, smallest),
            baseline=_value(self.baseline),
            current=_value(self.current),
            low=low,
            high=high,
            margin=self.margin_ms,
            unit=_UNIT,
            p_adjusted=p_adjusted,
            smallest_rise=smallest,
        )

    def _untested(self, reason: str) -> Comparison:
        outcome: Outcome = "inconclusive"
        sentence = f"{self.cell}: {self.quantity} is inconclusive: {reason}."
        if self.is_one_value:
            value = number(_value(self.current))
            sentence = f"{self.cell}: {self.quantity} is {value} {_UNIT} in all forks of both runs."
            if self.current.looks_cheap is None:
                outcome = "not worse"
            else:
                sentence = f"{sentence.rstrip('.')}: inconclusive, in the current run {self.current.looks_cheap}."
        return Comparison(cell=self.cell, quantity=self.quantity, outcome=outcome, sentence=sentence)

    def _smallest_rise(self, difference: Difference, tests: int) -> float:
        """The smallest one that would be found whichever way the machine's change is counted."""
        found = [difference.smallest_found(self.margin_ms, tests)]
        for one in self.scaled:
            accounted = difference.value - one.difference.value
            found.append(accounted + one.difference.smallest_found(self.margin_ms, tests))
        return max(found)


class _Between(NamedTuple):
    """What else may have made a difference between the two runs of a cell.

    Attributes:
        pace: Why latencies must not be compared, if the calls came at another pace.
        machine: What the untraced arms say.
        sides: What sentences call the two runs.
    """

    stopped_early: bool
    pace: str | None
    machine: tuple[Change, ...]
    sides: Sides


def cost_pairs(
    before: GatedCell,
    after: GatedCell,
    margins: Margins,
    sides: Sides = BASELINE_AND_CURRENT,
    *,
    heeds_machine: bool = True,
) -> Iterator[CostPair]:
    """Every cost that either run has a value of, and added latency in any case: what a gate is for is not passed over.

    An A/A cell has none of its own. With ``heeds_machine`` a cost is also held against what it was times the
    change of the machine.
    """
    if before.is_baseline or after.is_baseline or not (before.costs or after.costs):
        return
    slower = what_is_slower(before, after) if heeds_machine else ""
    between = _Between(
        before.stopped_early or after.stopped_early,
        _other_pace(before, after, sides),
        machine_changes(before.costs, after.costs, slower, sides),
        sides,
    )
    for name in NAMES:
        old, new = _of(before.costs, name), _of(after.costs, name)
        wanted = (old.per_fork and new.per_fork) if name in _WHERE_BOTH else (old.per_fork or new.per_fork)
        if wanted or name == _ALWAYS:
            yield _pair(before.label, name, old, new, margins, between)
    for load, under in before.loads.items():
        now = after.loads[load].costs if load in after.loads else {}
        # A load comes at its own pace, in a number of forks that is fixed beforehand.
        own = _Between(False, None, machine_changes(under.costs, now, slower, sides), sides)
        for name in _OF_LOADS:
            old, new = _of(under.costs, name), _of(now, name)
            if old.per_fork or new.per_fork or name == _ALWAYS:
                yield _pair(before.label, name, old, new, margins, own)._replace(load=load)


def _of(costs: dict[str, Samples], name: str) -> Samples:
    return costs.get(name, Samples())


def _pair(cell: str, name: str, old: Samples, new: Samples, margins: Margins, between: _Between) -> CostPair:  # noqa: PLR0913, PLR0917  # as many as a pair has
    margin = margin_ms(old, margins)
    reason = _withheld(name, old, new, between)
    if reason is not None:
        return CostPair(cell, name, old, new, margin, reason, None)
    groups = [(1.0, new.per_fork), (-1.0, old.per_fork)]
    groups += [(sign, one.untraced) for sign, one in ((-1.0, new), (1.0, old)) if one.untraced]
    found = contrast(groups, stopped_early=between.stopped_early)
    if isinstance(found, str):
        return CostPair(cell, name, old, new, margin, found, None, is_one_value=_is_one_value(old, new))
    scaled = []
    for change in touching(name, between.machine):
        allowed = change.scaled(old, new, stopped_early=between.stopped_early)
        if isinstance(allowed, Difference):
            scaled.append(Scaled(allowed, change.told))
    p_value = _p_value((found, *(one.difference for one in scaled)), margin)
    return CostPair(cell, name, old, new, margin, found, p_value, scaled=tuple(scaled))


def _is_one_value(old: Samples, new: Samples) -> bool:
    """Whether all forks cost the same, to the last bit, and are enough to say so."""
    values, untraced = {*old.per_fork, *new.per_fork}, {*old.untraced, *new.untraced}
    fewest = min(len(old.per_fork), len(new.per_fork))
    return fewest >= MIN_FORKS and len(values) == 1 and len(untraced) <= 1 and bool(old.untraced) == bool(new.untraced)


def _p_value(differences: Sequence[Difference], margin: float) -> float:
    """Of a difference to one side in all of them, whichever of them is the right one."""
    if len({one.value > 0 for one in differences}) > 1:
        return 1.0
    return max(one.p_beyond(margin) for one in differences)


def margin_ms(old: Samples, margins: Margins) -> float:
    """What a cost that was so may rise by."""
    return max(margins.absolute_ms, margins.relative * min(old.whole, RELATIVE_OF_ADDED * old.added))


def _withheld(name: str, before: Samples, after: Samples, between: _Between) -> str | None:
    """Why nothing can be said of a cost, whatever its forks say."""
    for which, samples in ((between.sides.before, before), (between.sides.after, after)):
        if samples.reason is not None:
            judged = samples.reason.startswith("not judged")
            return (f"in {which} it is" if judged else f"{which} has none:") + f" {samples.reason}".rstrip(".")
        if not samples.per_fork:
            return f"{which} has no value of it"
    if before.looks_cheap is not None:
        # Whatever looks like a rise may be what the earlier run left out.
        return f"in {between.sides.before} {before.looks_cheap}"
    if between.pace is not None and name in LATENCIES:
        return between.pace
    return None


def _other_pace(before: GatedCell, after: GatedCell, sides: Sides) -> str | None:
    """Where the store drains slowly, calls are made to wait for it, and how long says something of latencies."""
    old, new = before.period_ms, after.period_ms
    if old is None or new is None or abs(new - old) <= SAME_PACE * min(old, new):
        return None
    return f"calls began every {number(old)} ms in {sides.before} and every {number(new)} ms in {sides.after}"


def what_is_slower(before: GatedCell, after: GatedCell) -> str:
    """Whose doing it may be that an untraced arm costs something else: other versions may be another SDK.

    Empty where the arm is not untraced: tracing at a lower level is no measure of the machine.
    """
    if before.key["against"] != UNTRACED:
        return ""
    return "the machine itself" if before.versions == after.versions else "the machine or the SDK itself"


def _outcome(value: float, high: float, margin: float, p_adjusted: float) -> Outcome:
    if p_adjusted <= ALPHA:
        return "worse" if value > 0 else "better"
    return "not worse" if high < margin else "inconclusive"


def _value(samples: Samples) -> float:
    return mean(samples.per_fork) - (mean(samples.untraced) if samples.untraced else 0.0)


def _sentence(  # noqa: PLR0913, PLR0917 - each is one thing that it tells
    pair: CostPair, outcome: Outcome, difference: Difference, p_adjusted: float, tests: int, smallest: float
) -> str:
    low, high = difference.value - difference.half_width, difference.value + difference.half_width
    verb = "rose" if difference.value >= 0 else "fell"
    went = (
        f"{pair.cell}: {pair.quantity} {verb} from {number(_value(pair.baseline))} to "
        f"{number(_value(pair.current))} {_UNIT}, by {number(abs(difference.value))} {_UNIT} "
        f"(95% interval of the rise [{number(low)}, {number(high)}]"
    )
    margin = f"margin {number(pair.margin_ms)} {_UNIT}"
    p_text = "p under 0.001" if p_adjusted < 0.001 else f"p {p_adjusted:.3f}"
    if outcome in ("worse", "better"):
        return f"{went}, {margin}, {p_text} after correction){_beyond_machine(pair, difference)}."
    seen = f"this gate could have seen a rise of at least {number(smallest)} {_UNIT}"
    if outcome == "not worse":
        return f"{went}, which is below the margin of {number(pair.margin_ms)} {_UNIT}); {seen}."
    if p_adjusted > ALPHA and (machine := _behind(pair, difference, tests)):
        return f"{went}, {margin}): inconclusive, {machine}; {seen}."
    if pair.current.looks_cheap is not None:
        return f"{went}, {margin}): inconclusive, in the current run {pair.current.looks_cheap}; {seen}."
    if low > pair.margin_ms:
        chance = f"but among so many comparisons chance gives such a one ({p_text})"
        return f"{went}, {margin}), {chance}: inconclusive; {seen}."
    return f"{went}, {margin}): inconclusive, the data allow less than the margin and more; {seen}."


def _beyond_machine(pair: CostPair, difference: Difference) -> str:
    """The change of the machine that would matter, had the cost changed less."""
    if not pair.scaled:
        return ""
    largest = max(pair.scaled, key=lambda one: abs(difference.value - one.difference.value))
    if abs(difference.value - largest.difference.value) <= pair.margin_ms:
        return ""
    return f"; {largest.told}, which does not account for it"


def _behind(pair: CostPair, difference: Difference, tests: int) -> str:
    """The change of the machine without which there would be a verdict; empty if there would be none either."""
    if not pair.scaled:
        return ""
    if difference.value + difference.half_width < pair.margin_ms and pair.current.looks_cheap is None:
        one = max(pair.scaled, key=lambda one: one.difference.value + one.difference.half_width)
        return f"{one.told}, which may hide a rise"
    # So small a p-value is a finding whatever the others are.
    if difference.p_beyond(pair.margin_ms) * tests <= ALPHA:
        one = max(pair.scaled, key=lambda one: _p_value((difference, one.difference), pair.margin_ms))
        return f"{one.told}, which may account for it"
    return ""
