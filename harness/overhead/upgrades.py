"""What other versions changed in cost: cells that are alike but for their runtime, held against each other.

Each cell's cost is against its own untraced arm in the same versions, fork by fork. Two cells have forks of
their own, so the difference of their costs is a contrast of independent groups (see
``harness.overhead.contrasts``), held against the measure's margin, and corrected for all the comparisons of this
kind that the sweep has. As at the gate, nothing is said of latencies at another pace of the calls, and where the
untraced arms changed a finding has to hold twice: as it stands, and against what the cost was times that change (an
intersection-union test: the larger p-value counts; Berger, "Multiparameter hypothesis testing and acceptance
sampling", Technometrics 24, 1982). See ``harness.overhead.conditions``.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

from harness.config import measure_of
from harness.overhead.conditions import between
from harness.overhead.contrasts import ALPHA, Difference, contrast, holm
from harness.overhead.intervals import STOPPED_LEVEL, mean, quantile_level
from harness.results import CostChange, Upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.overhead.conditions import Shift
    from harness.results import CellResult, ChangeVerdict, OverheadResult

_LATENCY = "p50_ms"
COSTS = (_LATENCY, "cpu_ms_per_call", "drain_ms_per_trace")
"""The estimates that are compared; all are in ms."""

ALIKE = (
    "provider", "backend", "prompts", "prompt_set_digest", "tracing", "style", "switches", "endpoint", "measure",
    "seed", "level", "against", "into",
)  # fmt: skip
_FREE = ("runtime", "sweep", "store")
"""Groups of the configuration that two such cells may differ in."""


class _Raw(NamedTuple):
    """One cost of both cells, before it is known how many others there are.

    Attributes:
        difference: After minus before, or why nothing can be said of it.
        scaled: After minus before times what the untraced arms changed by, and that change in words.
    """

    quantity: str
    margin_ms: float
    difference: Difference | str
    scaled: tuple[tuple[Difference, str], ...] = ()

    @property
    def p(self) -> float:
        """Of a change beyond the margin that the machine does not explain; 1 where it may be of either sign."""
        assert isinstance(self.difference, Difference)  # noqa: S101  # only such are tested
        each = [self.difference, *(one for one, _ in self.scaled)]
        if min(one.value for one in each) * max(one.value for one in each) <= 0:
            return 1.0
        return max(one.p_beyond(self.margin_ms) for one in each)


def upgrades(cells: Sequence[CellResult]) -> tuple[Upgrade, ...]:
    """Pairs of a sweep's cells that differ in what their workers ran in, with what that changed in cost.

    Each cell of another runtime is paired with the one in the harness's own versions, or with the first
    where no cell has those; the cell that comes first in the sweep is the one before. A/A cells are left out:
    neither of their arms is traced.
    """
    pairs = list(_pairs(cells))
    raws = [list(_raws(before, after)) for before, after in pairs]
    tested = [raw for of_pair in raws for raw in of_pair if not isinstance(raw.difference, str)]
    adjusted = dict(zip(map(id, tested), holm([raw.p for raw in tested]), strict=True))
    return tuple(
        Upgrade(
            before=before.cell.cell_id,
            after=after.cell.cell_id,
            costs=tuple(_judged(raw, adjusted.get(id(raw))) for raw in of_pair),
            comparisons=len(tested),
        )
        for (before, after), of_pair in zip(pairs, raws, strict=True)
    )


def _pairs(cells: Sequence[CellResult]) -> Iterator[tuple[CellResult, CellResult]]:
    by_key: dict[tuple[str, ...], dict[str, CellResult]] = {}
    for cell in filter(_is_of_tracing, cells):
        by_key.setdefault(_key(cell), {}).setdefault(cell.cell.runtime, cell)
    for by_runtime in by_key.values():
        alike = list(by_runtime.values())
        reference = by_runtime.get("", alike[0])
        place = alike.index(reference)
        yield from ((cell, reference) for cell in alike[:place])
        yield from ((reference, cell) for cell in alike[place + 1 :])


def _is_of_tracing(result: CellResult) -> bool:
    return result.cell.expects_traces or (result.overhead is not None and not result.overhead.is_floor)


def _key(result: CellResult) -> tuple[str, ...]:
    config = {name: value for name, value in result.cell.config.items() if name not in _FREE}
    named = (str(getattr(result.cell, name)) for name in ALIKE)
    return (*named, json.dumps(config, sort_keys=True, default=str))


def _raws(before: CellResult, after: CellResult) -> Iterator[_Raw]:
    old, new = before.overhead, after.overhead
    if old is None or new is None:
        return
    measure = measure_of(before.cell.config)
    stopped_early = quantile_level(measure) == STOPPED_LEVEL
    machines, conditions = _other_machine(before, after), between(before, after)
    for quantity in COSTS:
        estimate = old.estimates.get(quantity)
        baseline = 0.0 if estimate is None else estimate.baseline or 0.0
        margin_ms = max(measure.margin_ms, measure.margin_relative * baseline)
        withheld = machines or conditions.withholds(quantity)
        difference = _difference(old, new, quantity, stopped_early=stopped_early, withheld=withheld)
        if isinstance(difference, str):
            yield _Raw(quantity, margin_ms, difference)
        else:
            groups = new.estimates[quantity].per_fork, old.estimates[quantity].per_fork
            scaled = [(_scaled(*groups, shift, difference), shift.told) for shift in conditions.touching(quantity)]
            yield _Raw(quantity, margin_ms, difference, tuple(scaled))


def _scaled(after: Sequence[float], before: Sequence[float], shift: Shift, plain: Difference) -> Difference:
    """A cost after minus what it was before times a change of the untraced arms, which is uncertain itself."""
    found = contrast(((1.0, after), (-shift.factor, before)), stopped_early=plain.stopped_early)
    assert isinstance(found, Difference)  # noqa: S101  # the plain one of the same forks is one
    error = math.hypot(found.standard_error, mean(before) * shift.error)
    return found._replace(standard_error=error, freedom=min(found.freedom, plain.freedom))


def _other_machine(before: CellResult, after: CellResult) -> str:
    """Why costs of these cells are no costs of one machine; empty if they are."""
    old, new = (one.cell.machine.model_dump(exclude={"load_1min"}) for one in (before, after))
    differing = [name.replace("_", " ") for name in old if old[name] != new[name]]
    return f"the cells ran on machines that differ in {', '.join(differing)}" if differing else ""


def _difference(
    before: OverheadResult, after: OverheadResult, quantity: str, *, stopped_early: bool, withheld: str
) -> Difference | str:
    for when, overhead in (("before", before), ("after", after)):
        estimate = overhead.estimates.get(quantity)
        # Lost traces make every cost look smaller; what else forbids a verdict is about latency.
        if overhead.verdict == "not judged" and (quantity == _LATENCY or overhead.traces_lost):
            return f"{when} it was {overhead.sentence}"
        if estimate is None or not estimate.per_fork or estimate.value is None:
            return f"{when} there is no value of it" + (f": {estimate.reason}" if estimate and estimate.reason else "")
    if withheld:
        return withheld
    groups = ((1.0, after.estimates[quantity].per_fork), (-1.0, before.estimates[quantity].per_fork))
    return contrast(groups, stopped_early=stopped_early)


def _judged(raw: _Raw, p_adjusted: float | None) -> CostChange:
    difference = raw.difference
    if isinstance(difference, str) or p_adjusted is None:
        return CostChange(
            quantity=raw.quantity, margin=raw.margin_ms, verdict="inconclusive", reason=str(difference).rstrip(".")
        )
    low, high = difference.value - difference.half_width, difference.value + difference.half_width
    highs = [high, *(one.value + one.half_width for one, _ in raw.scaled)]
    verdict = _verdict(difference.value, max(highs), raw.margin_ms, p_adjusted)
    return CostChange(
        quantity=raw.quantity,
        value=difference.value,
        low=low,
        high=high,
        margin=raw.margin_ms,
        p_adjusted=p_adjusted,
        verdict=verdict,
        reason=_why_open(raw, difference, verdict),
    )


def _why_open(raw: _Raw, difference: Difference, verdict: ChangeVerdict) -> str | None:
    """Why a change has another verdict than its own interval alone would give it; ``None`` if it has not."""
    low, high = difference.value - difference.half_width, difference.value + difference.half_width
    margin_ms = raw.margin_ms
    own = (
        "worse" if low > margin_ms else "better" if high < -margin_ms else "not worse" if high < margin_ms else verdict
    )
    if own == verdict:
        return None
    plain = difference.p_beyond(margin_ms)
    told = [told for one, told in raw.scaled if one.p_beyond(margin_ms) > plain or one.value * difference.value <= 0]
    return (
        told[0]
        if told and (raw.p > ALPHA or own == "not worse")
        else "among so many comparisons chance gives such a one"
    )


def _verdict(value: float, high: float, margin_ms: float, p_adjusted: float) -> ChangeVerdict:
    """As the gate has it: beyond the margin by the adjusted p-value, below it by the whole interval, or neither."""
    if p_adjusted <= ALPHA:
        return "worse" if value > 0 else "better"
    return "not worse" if high < margin_ms else "inconclusive"
