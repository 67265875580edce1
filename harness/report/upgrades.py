"""What other versions changed: cells that are alike but for what their workers ran in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import ABSENT, percent

if TYPE_CHECKING:
    from harness.report.view import CellView, SweepView
    from harness.results import CellResult

ALIKE = (
    "provider", "backend", "prompts", "prompt_set_digest", "tracing", "style", "switches", "endpoint", "measure",
    "seed", "level", "against", "into",
)  # fmt: skip
COMPARED = ("recall", "fidelity", "traces", "added", "cpu")
"""Keys of the quantities that are shown side by side."""


class FactChange(NamedTuple):
    """A fact whose share of right values differs, as text: ``50%``, or a dash where it did not apply."""

    fact: str
    before: str
    after: str


class Upgrade(NamedTuple):
    """Two cells that differ in their runtime.

    Attributes:
        before: The first of such cells in the sweep.
        after: A later one.
        versions: Each measured package that both have in different versions: name, version before, version after.
        facts: What became better or worse recorded, in MLflow's places.
    """

    before: CellView
    after: CellView
    versions: tuple[tuple[str, str, str], ...]
    facts: tuple[FactChange, ...]


def upgrades(view: SweepView) -> tuple[Upgrade, ...]:
    """Each cell of another runtime beside the first cell that is otherwise the same."""
    first: dict[tuple[str, ...], CellView] = {}
    found = []
    for cell in view.cells:
        record = cell.result.cell
        key = tuple(str(getattr(record, name)) for name in ALIKE)
        before = first.setdefault(key, cell)
        if before.result.cell.runtime != record.runtime:
            found.append(Upgrade(before, cell, _versions(before, cell), _facts(before.result, cell.result)))
    return tuple(found)


def runtime_words(cell: CellView) -> str:
    """What a cell's workers ran in."""
    return cell.result.cell.runtime or "the harness's versions"


def _versions(before: CellView, after: CellView) -> tuple[tuple[str, str, str], ...]:
    old, new = before.result.cell.versions, after.result.cell.versions
    return tuple((name, old[name], new[name]) for name in sorted({*old} & {*new}) if old[name] != new[name])


def _facts(before: CellResult, after: CellResult) -> tuple[FactChange, ...]:
    if before.completeness is None or after.completeness is None:
        return ()
    old, new = _shares(before), _shares(after)
    return tuple(
        FactChange(fact, _shown(old.get(fact)), _shown(new.get(fact)))
        for fact in dict.fromkeys([*old, *new])
        if old.get(fact) != new.get(fact)
    )


def _shares(result: CellResult) -> dict[str, float]:
    """Fact to the share of it that stands right where MLflow looks; facts that never applied are left out."""
    counts = () if result.completeness is None else result.completeness.facts
    totals = {one.fact: one.recorded + one.elsewhere + one.wrong + one.missing for one in counts}
    return {
        one.fact: one.recorded / totals[one.fact] for one in counts if one.convention == "mlflow" and totals[one.fact]
    }


def _shown(share: float | None) -> str:
    return ABSENT if share is None else percent(share)
