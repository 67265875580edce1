"""Costs in both runs: differences of forks against a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.gate.results import Comparison
from harness.gate.runs import BASELINE_AND_CURRENT, LATENCIES, Samples
from harness.overhead.contrasts import ALPHA, Difference, contrast
from harness.overhead.intervals import mean
from harness.report.format import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_OF_MACHINE = {"p50_ms": "p50", "cpu_ms_per_call": "CPU per call"}
"""What untraced arms are compared by."""
RELATIVE_OF_ADDED = 3.0
"""The relative margin is a share of the whole cost, but of no more than so many times what tracing adds: before an
endpoint that takes half a second, a tenth of the whole would let tracing cost any multiple of what it did."""
UNTRACED = "untraced"
"""What a cell is usually timed against."""
SAME_PACE = 0.1
"""Paces that differ by no more than this share are one."""
_UNIT = "ms"


class CostPair(NamedTuple):
    """One cost of one cell in both runs, before it is known how many others there are.

    Attributes:
        name: Of the cost, among ``NAMES``.
        difference: Current minus baseline, or why nothing can be said of it.
        p_value: Of a difference beyond the margin, unadjusted; ``None`` where there is no difference.
        load: The further load that it was measured under; empty for the usual pace.
    """

    cell: str
    name: str
    baseline: Samples
    current: Samples
    margin_ms: float
    difference: Difference | str
    p_value: float | None
    load: str = ""

    @property
    def quantity(self) -> str:
        """The cost in people's words."""
        return f"{NAMES[self.name]} under {self.load}" if self.load else NAMES[self.name]

    def judged(self, p_adjusted: float | None, tests: int) -> Comparison:
        """The comparison, once its p-value is corrected for all others.

        It is ``worse`` (or ``better``) where the difference lies beyond the margin by the adjusted
        p-value, ``not worse`` where the whole interval lies below the margin, else ``inconclusive``.
        """
        difference = self.difference
        if isinstance(difference, str) or p_adjusted is None:
            sentence = f"{self.cell}: {self.quantity} is inconclusive: {difference}."
            return Comparison(cell=self.cell, quantity=self.quantity, outcome="inconclusive", sentence=sentence)
        low, high = difference.value - difference.half_width, difference.value + difference.half_width
        outcome = _outcome(difference.value, high, self.margin_ms, p_adjusted)
        smallest = difference.smallest_found(self.margin_ms, tests)
        return Comparison(
            cell=self.cell,
            quantity=self.quantity,
            outcome=outcome,
            sentence=_sentence(self, outcome, difference, p_adjusted, smallest),
            baseline=_value(self.baseline),
            current=_value(self.current),
            low=low,
            high=high,
            margin=self.margin_ms,
            unit=_UNIT,
            p_adjusted=p_adjusted,
            smallest_rise=smallest,
        )


class _Between(NamedTuple):
    """What else may have made a difference between the two runs of a cell.

    Attributes:
        pace: Why latencies must not be compared, if the calls came at another pace.
        machine: Rise of the untraced arms' costs, as a share: of that one among ``_OF_MACHINE`` that changed most.
        machine_told: The same in words.
    """

    stopped_early: bool
    pace: str | None
    machine: float
    machine_told: str
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

    An A/A cell has none of its own. With ``heeds_machine`` nothing is said of a cost that a slower or faster
    machine may have changed by more than the margin.
    """
    if before.is_baseline or after.is_baseline or not (before.costs or after.costs):
        return
    slower = what_is_slower(before, after) if heeds_machine else ""
    between = _Between(
        before.stopped_early or after.stopped_early,
        _other_pace(before, after, sides),
        *machine_rise(before.costs, after.costs, slower, sides),
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
        own = _Between(False, None, *machine_rise(under.costs, now, slower, sides), sides)
        for name in _OF_LOADS:
            old, new = _of(under.costs, name), _of(now, name)
            if old.per_fork or new.per_fork or name == _ALWAYS:
                yield _pair(before.label, name, old, new, margins, own)._replace(load=load)


def _of(costs: dict[str, Samples], name: str) -> Samples:
    return costs.get(name, Samples())


def _pair(cell: str, name: str, old: Samples, new: Samples, margins: Margins, between: _Between) -> CostPair:  # noqa: PLR0913, PLR0917  # as many as a pair has
    margin = margin_ms(old, margins)
    difference = _withheld(name, old, new, margin, between)
    if difference is None:
        groups = [(1.0, new.per_fork), (-1.0, old.per_fork)]
        groups += [(sign, one.untraced) for sign, one in ((-1.0, new), (1.0, old)) if one.untraced]
        found: Difference | str = contrast(groups, stopped_early=between.stopped_early)
    else:
        found = difference
    p_value = None if isinstance(found, str) else found.p_beyond(margin)
    return CostPair(cell, name, old, new, margin, found, p_value)


def margin_ms(old: Samples, margins: Margins) -> float:
    """What a cost that was so may rise by."""
    return max(margins.absolute_ms, margins.relative * min(old.whole, RELATIVE_OF_ADDED * old.added))


def _withheld(name: str, before: Samples, after: Samples, margin_ms: float, between: _Between) -> str | None:
    """Why nothing can be said of a cost, whatever its forks say."""
    for which, samples in ((between.sides.before, before), (between.sides.after, after)):
        if samples.reason is not None:
            judged = samples.reason.startswith("not judged")
            return (f"in {which} it is" if judged else f"{which} has none:") + f" {samples.reason}".rstrip(".")
        if not samples.per_fork:
            return f"{which} has no value of it"
    if between.pace is not None and name in LATENCIES:
        return between.pace
    # What equal tracing would have cost more, or less, on such a machine.
    if abs(between.machine) * before.added > margin_ms:
        return between.machine_told
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


def machine_rise(before: dict[str, Samples], after: dict[str, Samples], what: str, sides: Sides) -> tuple[float, str]:
    """How much slower the machine was, by the untraced arms of both runs: 0.2 is by a fifth; 0 where nobody says."""
    found = [(0.0, "")]
    if not what:
        return found[0]
    for name, words in _OF_MACHINE.items():
        old, new = _of(before, name).base, _of(after, name).base
        if old and new and old > 0:
            rise = new / old - 1
            told = (
                f"{what} is {percent(abs(rise))} {'slower' if rise > 0 else 'faster'}: untraced, "
                f"{words} is {number(old)} ms in {sides.before} and {number(new)} ms in {sides.after}"
            )
            found.append((rise, told))
    return max(found, key=lambda one: abs(one[0]))


def _outcome(value: float, high: float, margin: float, p_adjusted: float) -> Outcome:
    if p_adjusted <= ALPHA:
        return "worse" if value > 0 else "better"
    return "not worse" if high < margin else "inconclusive"


def _value(samples: Samples) -> float:
    return mean(samples.per_fork) - (mean(samples.untraced) if samples.untraced else 0.0)


def _sentence(pair: CostPair, outcome: Outcome, difference: Difference, p_adjusted: float, smallest: float) -> str:
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
        return f"{went}, {margin}, {p_text} after correction)."
    seen = f"this gate could have seen a rise of at least {number(smallest)} {_UNIT}"
    if outcome == "not worse":
        return f"{went}, which is below the margin of {number(pair.margin_ms)} {_UNIT}); {seen}."
    if low > pair.margin_ms:
        chance = f"but among so many comparisons chance gives such a one ({p_text})"
        return f"{went}, {margin}), {chance}: inconclusive; {seen}."
    return f"{went}, {margin}): inconclusive, the data allow less than the margin and more; {seen}."
