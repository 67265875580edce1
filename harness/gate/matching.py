"""Which cell of one run belongs to which of the other, and whether the two may be compared."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import InputError
from harness.gate.runs import BASELINE_AND_CURRENT, FURTHER_KEY, KEY, differing
from harness.report.format import clip, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.gate.results import Scope
    from harness.gate.runs import GatedCell, Run, Sides

_VALUE_LENGTH = 60


class Match(NamedTuple):
    """A cell of the baseline with its partner; ``None`` on a side that has none."""

    baseline: GatedCell | None
    current: GatedCell | None


def match_cells(baseline: Run, current: Run) -> list[Match]:
    """Pair the cells of two runs, in the baseline's order; the current run's own cells come last.

    They are matched by ``KEY``, and by as much of ``FURTHER_KEY`` as tells the cells of either run apart.

    Raises:
        InputError: If two cells of one run cannot be told apart.
    """
    names: tuple[str, ...] = KEY
    for name in FURTHER_KEY:
        if _repeated(baseline, names) is None and _repeated(current, names) is None:
            break
        names = (*names, name)
    for run in (baseline, current):
        if (label := _repeated(run, names)) is not None:
            raise InputError(f"{run.name} has several cells {label} that nothing tells apart, so none can be compared")
    further = names[len(KEY) :]
    before = {_key(cell, names): _told_apart(cell, further) for cell in baseline.cells}
    after = {_key(cell, names): _told_apart(cell, further) for cell in current.cells}
    matches = [Match(cell, after.get(key)) for key, cell in before.items()]
    return matches + [Match(None, cell) for key, cell in after.items() if key not in before]


def _key(cell: GatedCell, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(cell.key[name] for name in names)


def _told_apart(cell: GatedCell, names: Sequence[str]) -> GatedCell:
    """The cell, its label with what tells it apart from others of its key."""
    words = ", ".join(f"{name} {cell.key[name] or 'as usual'}" for name in names)
    return cell.model_copy(update={"label": f"{cell.label}, {words}"}) if words else cell


def _repeated(run: Run, names: Sequence[str]) -> str | None:
    """Label of a cell whose key another cell has as well."""
    seen = Counter(_key(cell, names) for cell in run.cells)
    return next((cell.label for cell in run.cells if seen[_key(cell, names)] > 1), None)


def refusals(
    baseline: Run, current: Run, matches: Sequence[Match], scope: Scope, sides: Sides = BASELINE_AND_CURRENT
) -> tuple[str, ...]:
    """Why the runs must not be compared, one clause a difference, each with both values."""
    if baseline.form != current.form:
        return (f"{baseline.name} is {baseline.form}, {current.name} is {current.form}",)
    pairs = [(one.baseline, one.current) for one in matches if one.baseline is not None and one.current is not None]
    if not pairs:
        return (f"no cell is in both: {baseline.name} has {_labels(baseline)}, {current.name} has {_labels(current)}",)
    found: Counter[tuple[str, str, str]] = Counter()
    for before, after in pairs:
        found.update(differing(before.conditions, after.conditions, both=True))
        if scope != "completeness":
            found.update(differing(before.cost_conditions, after.cost_conditions, both=True))
            found.update(differing(before.environment, after.environment))
    return tuple(
        f"{name} is {_value(old)} in {sides.before} and {_value(new)} in {sides.after}{_where(cells, len(pairs))}"
        for (name, old, new), cells in found.items()
    )


def changes(matches: Iterable[Match], scope: Scope) -> tuple[str, ...]:
    """What differs and may: versions, kernel, strategy; one sentence each."""
    pairs = [(one.baseline, one.current) for one in matches if one.baseline is not None and one.current is not None]
    found: Counter[tuple[str, str, str]] = Counter()
    for before, after in pairs:
        found.update(differing(before.versions, after.versions))
        if scope == "completeness":
            # It forbids a comparison of costs; what a trace holds is compared, and may be its doing.
            found.update(differing(before.environment, after.environment))
    return tuple(
        f"{name}: {_value(old)} in the baseline, {_value(new)} now{_where(cells, len(pairs))}."
        for (name, old, new), cells in sorted(found.items())
    )


def _value(text: str) -> str:
    """A value as it is printed; two digests differ in their beginnings already."""
    return clip(text, _VALUE_LENGTH) if text else "not set"


def _where(cells: int, of: int) -> str:
    return "" if cells == of else f" ({cells} of {count(of, 'cell')})"


def _labels(run: Run) -> str:
    return clip(", ".join(cell.label for cell in run.cells), 3 * _VALUE_LENGTH) or "no cell"
