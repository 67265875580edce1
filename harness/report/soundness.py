"""How far the costs can be trusted: beside their baselines and floors, as one of many, steady, undisturbed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import count, listed, quantity, series
from harness.report.quantities import ESTIMATES, Shown, estimate_shown, ordered_estimates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.report.view import CellView, SweepView
    from harness.results import Estimate

NOT_CHECKED = "not checked"


class CostRow(NamedTuple):
    """One entry of a cell's ledger: the amount, what it is set against, and what it rests on.

    Attributes:
        name: The estimate's name.
        words: What it is.
        added: The difference with its interval.
        untraced: The same quantity of the other arm, with its interval; that arm's level, where it is not untraced.
        ratio: Traced / untraced with its interval; it stands only beside ``untraced``.
        floor: The A/A noise floor of this quantity.
        forks: How many forks it rests on.
        by_fork: Their differences.
    """

    name: str
    words: str
    added: Shown
    untraced: str
    ratio: str
    floor: Shown
    forks: int
    by_fork: str


class SoundRow(NamedTuple):
    """What stands beside one cell's verdict, each in a sentence.

    Attributes:
        verdict: The cell's own verdict, with the margin that it is held against.
        among_many: Whether it stands as one of the sweep's comparisons.
        steady: Whether the cost held from the first calls to the last, and how long the warm-up took.
        drift: Whether the machine and the cost held from fork to fork.
        machine: What else the machine did.
        doubtful: Whether one of them puts the verdict in doubt.
    """

    cell: CellView
    verdict: str
    among_many: str
    steady: str
    drift: str
    machine: str
    doubtful: bool


def cost_rows(cell: CellView) -> list[CostRow]:
    """The ledger of a cell in its order; none without a timing pass."""
    if cell.result.overhead is None:
        return []
    return [
        CostRow(
            name=estimate.name,
            words=ESTIMATES.get(estimate.name, estimate.name),
            added=estimate_shown(estimate),
            untraced=_untraced(cell, estimate),
            ratio=ratio_shown(estimate),
            floor=cell.floors[estimate.name],
            forks=estimate.forks,
            by_fork=series(estimate.per_fork, estimate.unit),
        )
        for estimate in ordered_estimates(cell.result.overhead)
    ]


def _untraced(cell: CellView, estimate: Estimate) -> str:
    text = quantity(estimate.baseline, estimate.unit, estimate.baseline_low, estimate.baseline_high)
    against = cell.result.cell.against
    return text if estimate.baseline is None or against == "untraced" else f"{text}, {against}"


def ratio_shown(estimate: Estimate) -> str:
    """How many times the untraced amount, with the interval where there is one."""
    return quantity(estimate.ratio, "", estimate.ratio_low, estimate.ratio_high)


def sound_rows(view: SweepView) -> list[SoundRow]:
    """One row a cell that has a timing result."""
    return [row for cell in view.cells if (row := _sound_row(cell)) is not None]


def _sound_row(cell: CellView) -> SoundRow | None:
    overhead = cell.result.overhead
    if overhead is None:
        return None
    correction, steady, drift, machine = cell.correction, overhead.steady, overhead.drift, overhead.disturbance
    margin = quantity(overhead.equivalence_margin_ms, "ms")
    return SoundRow(
        cell=cell,
        verdict=f"{cell.verdict} (margin {margin})",
        among_many=_no_comparison(cell) if correction is None else correction.sentence,
        steady=NOT_CHECKED if steady is None else steady.sentence,
        drift=NOT_CHECKED if drift is None else drift.sentence,
        machine=NOT_CHECKED if machine is None else machine.sentence,
        doubtful=bool(list(doubts(cell))),
    )


def _no_comparison(cell: CellView) -> str:
    overhead = cell.result.overhead
    if overhead is not None and overhead.is_floor:
        return "no comparison: both arms are untraced"
    return "not judged, so no comparison" if overhead is not None and overhead.verdict == "not judged" else NOT_CHECKED


def doubts(cell: CellView) -> Iterator[str]:
    """What puts a cell's verdict in doubt, in a few words each."""
    overhead, correction = cell.result.overhead, cell.correction
    if overhead is None:
        return
    if correction is not None and not correction.stands:
        of = count(correction.comparisons, "comparison")
        yield f"{overhead.verdict} by itself, {correction.verdict} as one of {of}"
    p50 = overhead.estimates.get("p50_ms")
    if p50 is not None and p50.ratio_contradicts and overhead.verdict in ("slower", "faster"):
        yield "its ratio to the untraced p50 shows no difference"
    steady, machine = overhead.steady, overhead.disturbance
    if steady is not None and steady.steady is False:
        yield "not steady from its first calls to its last"
    drifted = {"baseline_p50_ms": f"{cell.result.cell.against} p50", "added_p50_ms": "added p50"}
    for name in overhead.drift.seen if overhead.drift is not None else ():
        yield f"{drifted.get(name, name)} drifted from fork to fork"
    if machine is not None and machine.sentence in overhead.warnings:
        hangs = "may hang" if machine.without_verdict is None else "hangs"
        yield f"{hangs} on blocks in which others used the machine"


def comparisons_sentence(view: SweepView) -> str:
    """How the sweep's verdicts fared as many comparisons, in one sentence; empty where none was made."""
    corrected = [(f"{cell.number} {cell.name}", cell.correction) for cell in view.cells if cell.correction is not None]
    corrected += [
        (f"{cell.number} {cell.name} under {load}", one)
        for cell in view.cells
        for load, one in view.sweep.load_corrections.get(cell.result.cell.cell_id, {}).items()
    ]
    if not corrected:
        return ""
    if len(corrected) == 1:
        return "One verdict, so there are no comparisons to correct for."
    fallen = [f"{name} ({one.verdict})" for name, one in corrected if not one.stands]
    verdicts = f"{len(corrected)} verdicts, held together by Holm's procedure"
    return f"{verdicts}: {f'not standing are {listed(fallen)}' if fallen else 'all of them stand'}."
