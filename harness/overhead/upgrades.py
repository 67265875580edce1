"""What other versions changed in cost: cells that are alike but for their runtime, held against each other.

Each cell's cost is against its own untraced arm in the same versions, fork by fork. Two cells have forks of
their own, so the difference of their costs is a contrast of independent groups (see
``harness.overhead.contrasts``), held against the measure's margin, and corrected for all the comparisons of this
kind that the sweep has. As at the gate, nothing is said of a cost that another machine may have changed, or another
pace of the calls (see ``harness.overhead.conditions``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from harness.config import measure_of
from harness.overhead.conditions import between
from harness.overhead.contrasts import ALPHA, Difference, contrast, holm
from harness.overhead.intervals import STOPPED_LEVEL, quantile_level
from harness.results import CostChange, Upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    """

    quantity: str
    margin_ms: float
    difference: Difference | str


def upgrades(cells: Sequence[CellResult]) -> tuple[Upgrade, ...]:
    """Pairs of a sweep's cells that differ in what their workers ran in, with what that changed in cost.

    Each cell of another runtime is paired with the one in the harness's own versions, or with the first
    where no cell has those; the cell that comes first in the sweep is the one before. A/A cells are left out:
    neither of their arms is traced.
    """
    pairs = list(_pairs(cells))
    raws = [list(_raws(before, after)) for before, after in pairs]
    tested = [raw for of_pair in raws for raw in of_pair if not isinstance(raw.difference, str)]
    p_values = [raw.difference.p_beyond(raw.margin_ms) for raw in tested if isinstance(raw.difference, Difference)]
    adjusted = dict(zip(map(id, tested), holm(p_values), strict=True))
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
        added_ms = 0.0 if estimate is None else estimate.value or 0.0
        withheld = machines or conditions.withholds(quantity, added_ms, margin_ms)
        yield _Raw(quantity, margin_ms, _difference(old, new, quantity, stopped_early=stopped_early, withheld=withheld))


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
    verdict = _verdict(difference.value, high, raw.margin_ms, p_adjusted)
    by_chance = verdict == "inconclusive" and low > raw.margin_ms
    return CostChange(
        quantity=raw.quantity,
        value=difference.value,
        low=low,
        high=high,
        margin=raw.margin_ms,
        p_adjusted=p_adjusted,
        verdict=verdict,
        reason="among so many comparisons chance gives such a one" if by_chance else None,
    )


def _verdict(value: float, high: float, margin_ms: float, p_adjusted: float) -> ChangeVerdict:
    """As the gate has it: beyond the margin by the adjusted p-value, below it by the whole interval, or neither."""
    if p_adjusted <= ALPHA:
        return "worse" if value > 0 else "better"
    return "not worse" if high < margin_ms else "inconclusive"
