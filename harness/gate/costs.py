"""Costs in both runs: differences of forks against a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.gate.results import Comparison
from harness.overhead.contrasts import ALPHA, Difference, contrast, holm
from harness.overhead.intervals import mean
from harness.report.format import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.gate.results import Margins, Outcome
    from harness.gate.runs import GatedCell, Samples

NAMES = {
    "p50_ms": "added p50",
    "first_chunk_p50_ms": "added time to the first chunk",
    "cpu_ms_per_call": "CPU per call",
    "drain_ms_per_trace": "drain per trace",
}
_ALWAYS = "p50_ms"
_UNIT = "ms"


class CostPair(NamedTuple):
    """One cost of one cell in both runs, before it is known how many others there are.

    Attributes:
        difference: Current minus baseline, or why nothing can be said of it.
        p_value: Of a difference beyond the margin, unadjusted; ``None`` where there is no difference.
    """

    cell: str
    name: str
    baseline: Samples
    current: Samples
    margin_ms: float
    difference: Difference | str
    p_value: float | None


def cost_pairs(before: GatedCell, after: GatedCell, margins: Margins) -> Iterator[CostPair]:
    """Every cost that either run has a value of, and added latency in any case: what a gate is for is not passed over.

    An A/A cell has none of its own.
    """
    if before.is_baseline or after.is_baseline:
        return
    for name in NAMES:
        old, new = before.costs.get(name), after.costs.get(name)
        if old is None or new is None or not (old.per_fork or new.per_fork or name == _ALWAYS):
            continue
        margin_ms = max(margins.absolute_ms, margins.relative * old.whole)
        difference = _difference(old, new, stopped_early=before.stopped_early or after.stopped_early)
        p_value = None if isinstance(difference, str) else difference.p_beyond(margin_ms)
        yield CostPair(before.label, name, old, new, margin_ms, difference, p_value)


def _difference(before: Samples, after: Samples, *, stopped_early: bool) -> Difference | str:
    for which, samples in (("baseline", before), ("current run", after)):
        if samples.reason is not None:
            judged = samples.reason.startswith("not judged")
            return (
                f"{'in the' if judged else 'the'} {which} {'it is' if judged else 'has none:'} {samples.reason}".rstrip(
                    "."
                )
            )
        if not samples.per_fork:
            return f"the {which} has no value of it"
    groups = [(1.0, after.per_fork), (-1.0, before.per_fork)]
    groups += [(sign, one.untraced) for sign, one in ((-1.0, after), (1.0, before)) if one.untraced]
    return contrast(groups, stopped_early=stopped_early)


def judge_costs(pairs: Sequence[CostPair]) -> list[Comparison]:
    """Judge all costs of a gate, corrected for how many there are.

    A cost is ``worse`` (or ``better``) where the difference lies beyond the margin by the adjusted
    p-value, ``not worse`` where the whole interval lies below the margin, else ``inconclusive``.
    """
    tested = [pair for pair in pairs if pair.p_value is not None]
    adjusted = holm([pair.p_value for pair in tested if pair.p_value is not None])
    by_pair = dict(zip(map(id, tested), adjusted, strict=True))
    return [_judged(pair, by_pair.get(id(pair))) for pair in pairs]


def _judged(pair: CostPair, p_adjusted: float | None) -> Comparison:
    label = f"{pair.cell}: {NAMES[pair.name]}"
    difference = pair.difference
    if isinstance(difference, str) or p_adjusted is None:
        sentence = f"{label} is inconclusive: {difference}."
        return Comparison(cell=pair.cell, quantity=NAMES[pair.name], outcome="inconclusive", sentence=sentence)
    low, high = difference.value - difference.half_width, difference.value + difference.half_width
    outcome = _outcome(difference.value, high, pair.margin_ms, p_adjusted)
    return Comparison(
        cell=pair.cell,
        quantity=NAMES[pair.name],
        outcome=outcome,
        sentence=_sentence(label, outcome, pair, difference, p_adjusted),
        baseline=_value(pair.baseline),
        current=_value(pair.current),
        low=low,
        high=high,
        margin=pair.margin_ms,
        unit=_UNIT,
        p_adjusted=p_adjusted,
    )


def _outcome(value: float, high: float, margin: float, p_adjusted: float) -> Outcome:
    if p_adjusted <= ALPHA:
        return "worse" if value > 0 else "better"
    return "not worse" if high < margin else "inconclusive"


def _value(samples: Samples) -> float:
    return mean(samples.per_fork) - (mean(samples.untraced) if samples.untraced else 0.0)


def _sentence(label: str, outcome: Outcome, pair: CostPair, difference: Difference, p_adjusted: float) -> str:
    low, high = difference.value - difference.half_width, difference.value + difference.half_width
    verb = "rose" if difference.value >= 0 else "fell"
    went = (
        f"{label} {verb} from {number(_value(pair.baseline))} to {number(_value(pair.current))} {_UNIT}, "
        f"by {number(abs(difference.value))} {_UNIT} (95% interval of the rise [{number(low)}, {number(high)}]"
    )
    margin = f"margin {number(pair.margin_ms)} {_UNIT}"
    p_text = "p under 0.001" if p_adjusted < 0.001 else f"p {p_adjusted:.3f}"
    if outcome in ("worse", "better"):
        return f"{went}, {margin}, {p_text} after correction)."
    if outcome == "not worse":
        return f"{went}, which is below the margin of {number(pair.margin_ms)} {_UNIT})."
    if low > pair.margin_ms:
        return f"{went}, {margin}), but among so many comparisons chance gives such a one ({p_text}): inconclusive."
    return f"{went}, {margin}): inconclusive, the data allow less than the margin and more."
