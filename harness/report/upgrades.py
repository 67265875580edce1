"""What other versions changed: cells that are alike but for what their workers ran in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import ABSENT, count, percent, quantity
from harness.report.quantities import COLUMNS, Shown

if TYPE_CHECKING:
    from harness.report.view import CellView, SweepView
    from harness.results import CellResult, CostChange

SDKS = ("openai", "mistralai", "langchain")
"""How the names of the SDKs' packages begin."""
COMPARED = {
    "recall": "",
    "fidelity": "",
    "traces": "",
    "baseline": "",
    "added": "p50_ms",
    "cpu": "cpu_ms_per_call",
    "drain": "drain_ms_per_trace",
}
"""Keys of the quantities that are shown side by side, with the cost whose change stands beside them."""


class Change(NamedTuple):
    """What an upgrade changed in one cost: after minus before with its interval, and the verdict in words."""

    amount: Shown
    verdict: str

    @property
    def text(self) -> str:
        """Both on one line."""
        return self.verdict if self.amount.absent else f"{self.amount.text}: {self.verdict}"


class Row(NamedTuple):
    """One quantity of both cells; ``change`` is ``None`` where none is estimated."""

    title: str
    before: Shown
    after: Shown
    change: Change | None

    @property
    def texts(self) -> tuple[str, str, str]:
        """Before, after and the change as plain text; the last is empty where there is none."""
        return self.before.text, self.after.text, self.change.text if self.change else ""


class FactChange(NamedTuple):
    """A fact whose share of right values differs, as text: ``12 of 24 (50%)``, or a dash where it did not apply."""

    fact: str
    before: str
    after: str


class UpgradeView(NamedTuple):
    """Two cells that differ in their runtime.

    Attributes:
        title: What both are, and what each ran in.
        before: The one that comes first in the sweep.
        after: The other.
        versions: Each measured package that differs: name, version before, version after; a dash where it
            was not there.
        rows: What they record and cost.
        facts: What became better or worse recorded, in MLflow's places.
    """

    title: str
    before: CellView
    after: CellView
    versions: tuple[tuple[str, str, str], ...]
    rows: tuple[Row, ...]
    facts: tuple[FactChange, ...]


def upgrades(view: SweepView) -> tuple[UpgradeView, ...]:
    """Each pair of cells of the sweep that differ in their runtime alone."""
    by_id = {cell.result.cell.cell_id: cell for cell in view.cells}
    found = []
    for pair in view.sweep.upgrades:
        before, after = by_id[pair.before], by_id[pair.after]
        changes = {change.quantity: _change(change) for change in pair.costs}
        rows = _pace(before, after) + tuple(
            Row(column.title, before.shown[column.key], after.shown[column.key], changes.get(COMPARED[column.key]))
            for column in COLUMNS
            if column.key in COMPARED
        )
        versions, facts = _versions(before, after), _facts(before.result, after.result)
        found.append(UpgradeView(_title(before, after), before, after, versions, rows, facts))
    return tuple(found)


def _pace(before: CellView, after: CellView) -> tuple[Row, ...]:
    """From one call's start to the next, where it is not the same in both cells."""
    old, new = before.result.cell.period_ms, after.result.cell.period_ms
    if old is None or new is None or old == new:
        return ()
    return (Row("Pace of the timed calls", Shown(quantity(old, "ms")), Shown(quantity(new, "ms")), None),)


def runtime_words(cell: CellView) -> str:
    """What a cell's workers ran in."""
    return cell.result.cell.runtime or "the harness's versions"


def _title(before: CellView, after: CellView) -> str:
    alike = before.name.replace(f" on {before.result.cell.runtime}", "")
    return f"{alike}: {runtime_words(before)} → {runtime_words(after)}"


def how_judged(view: SweepView) -> str:
    """How the changes of cost came about, in a few sentences."""
    comparisons = max((pair.comparisons for pair in view.sweep.upgrades), default=0)
    basis = "Each cell's cost is against its own untraced arm in the same versions."
    if not comparisons:
        return f"{basis} No change of a cost could be tested."
    return (
        f"{basis} A change is after minus before with the 95% interval of Welch's t over forks: worse or better where "
        f"it lies beyond the margin (Holm's correction at 5% for {count(comparisons, 'comparison')}), not worse where "
        "the whole interval lies below it, else inconclusive. It is inconclusive, too, where by the untraced arms the "
        "machine or the SDK itself may have changed a cost by more than the margin, and for latencies at another pace."
    )


def _change(change: CostChange) -> Change:
    amount = Shown(quantity(change.value, change.unit, change.low, change.high), change.reason)
    if amount.absent:
        return Change(amount, f"{change.verdict}: {change.reason}" if change.reason else change.verdict)
    margin = f"margin {change.margin:.3g} {change.unit}"
    return Change(amount, f"{change.verdict} ({margin}{'; ' + change.reason if change.reason else ''})")


def _versions(before: CellView, after: CellView) -> tuple[tuple[str, str, str], ...]:
    old, new = before.result.cell.versions, after.result.cell.versions
    one_sided = old.keys() ^ new.keys()
    return tuple(
        (name, old.get(name, ABSENT), new.get(name, ABSENT))
        for name in sorted({*old, *new})
        # The harness's environment has every SDK, a runtime's own those that its cells use: that is no change.
        if old.get(name) != new.get(name) and not (name in one_sided and name.startswith(SDKS))
    )


def _facts(before: CellResult, after: CellResult) -> tuple[FactChange, ...]:
    if before.completeness is None or after.completeness is None:
        return ()
    old, new = _counts(before), _counts(after)
    return tuple(
        FactChange(fact, _shown(old.get(fact)), _shown(new.get(fact)))
        for fact in dict.fromkeys([*old, *new])
        if _share(old.get(fact)) != _share(new.get(fact))
    )


def _counts(result: CellResult) -> dict[str, tuple[int, int]]:
    """Fact to how often it stands right where MLflow looks, and how often it applied; never 0 times."""
    counts = () if result.completeness is None else result.completeness.facts
    found = {
        one.fact: (one.recorded, one.recorded + one.elsewhere + one.wrong + one.missing)
        for one in counts
        if one.convention == "mlflow"
    }
    return {fact: (recorded, applied) for fact, (recorded, applied) in found.items() if applied}


def _share(counts: tuple[int, int] | None) -> float | None:
    return None if counts is None else counts[0] / counts[1]


def _shown(counts: tuple[int, int] | None) -> str:
    return ABSENT if counts is None else f"{counts[0]} of {counts[1]} ({percent(_share(counts))})"
