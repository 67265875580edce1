"""Strategies that one should not choose: another of the same provider records no less and surely costs less."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.report.view import CellView
    from harness.results import Estimate


class Dominance(NamedTuple):
    """Cells of one provider and setting whose cost was judged, by whether another dominates them.

    Attributes:
        provider: The provider's label.
        dominated: Each dominated cell with those that dominate it, the most complete first.
        free: The others: among them one has to weigh cost against completeness.
    """

    provider: str
    dominated: tuple[tuple[CellView, tuple[CellView, ...]], ...]
    free: tuple[CellView, ...]


def dominances(cells: Iterable[CellView]) -> list[Dominance]:
    """For each provider among these cells of one setting which of its judged cells are dominated.

    One cell dominates another if it records at least as many of the facts, its whole interval of added p50 lies
    below the other's, and it changes and loses no more of the application's calls.
    Recall is compared as a count: both cells were judged on the same prompts.
    """
    judged: dict[str, list[CellView]] = {}
    for cell in cells:
        if comparable(cell):
            judged.setdefault(cell.provider, []).append(cell)
    found = []
    for provider, members in judged.items():
        by = {cell.number: _dominators(cell, members) for cell in members}
        found.append(
            Dominance(
                provider,
                tuple((cell, by[cell.number]) for cell in members if by[cell.number]),
                tuple(cell for cell in members if not by[cell.number]),
            )
        )
    return found


def comparable(cell: CellView) -> bool:
    """Whether a cell has a recall, and a cost with an interval that was judged against no tracing at all."""
    overhead = cell.result.overhead
    return (
        cell.traced
        and cell.result.cell.against == "untraced"
        and _recall(cell) is not None
        and overhead is not None
        and overhead.verdict != "not judged"
        and _bounds(overhead.estimates.get("p50_ms")) is not None
    )


def dominance_sentences(cells: Iterable[CellView]) -> list[str]:
    """One sentence for each dominated cell, and for each provider what is left to choose from."""
    lines = []
    for one in dominances(cells):
        for cell, by in one.dominated:
            best = by[0]
            also = f"; so do {listed([_called(other) for other in by[1:]])}" if len(by) > 1 else ""
            lines.append(
                f"{one.provider}: {_called(best)} dominates {_called(cell)}: it records {_against(best, cell)}, and "
                f"adds {_cost(best)} a call against {_cost(cell)}{also}."
            )
        if len(one.free) > 1:
            lines.append(_choice(one))
        elif one.dominated:
            lines.append(f"{one.provider}: only {_called(one.free[0])} is left.")
    return lines


def _choice(one: Dominance) -> str:
    """What there is to choose from: the most complete one, and what the others record and cost beside it."""
    best = max(one.free, key=lambda cell: (_recall(cell) or 0.0, -cell.number))
    others = [
        f"{_called(cell)} records {_share(cell)} and adds {_cost(cell)}, {_beside(cell, best)}"
        for cell in one.free
        if cell is not best
    ]
    most = (
        "no less than any" if any(_recall(cell) == _recall(best) for cell in one.free if cell is not best) else "most"
    )
    return (
        f"{one.provider}: of {len(one.free)} strategies that none dominates {_called(best)} records {most}, "
        f"{_share(best)} of the facts, and adds {_cost(best)} a call; {'; '.join(others)}."
    )


def _against(best: CellView, cell: CellView) -> str:
    if _recall(best) == _recall(cell):
        return f"as many of the facts ({_share(best)})"
    return f"{_share(best)} of the facts against {_share(cell)}"


def _beside(cell: CellView, best: CellView) -> str:
    own, its = _bounds_of(cell), _bounds_of(best)
    if own is None or its is None or (own[0] <= its[1] and its[0] <= own[1]):
        return "a cost that is not told apart from that"
    return "which is less" if own[1] < its[0] else "which is more"


def _dominators(cell: CellView, members: list[CellView]) -> tuple[CellView, ...]:
    found = [other for other in members if other is not cell and _dominates(other, cell)]
    return tuple(sorted(found, key=lambda other: (-(_recall(other) or 0.0), other.number)))


def _dominates(one: CellView, other: CellView) -> bool:
    own, its = _bounds_of(one), _bounds_of(other)
    if own is None or its is None or own[1] >= its[0]:
        return False
    as_complete = (_recall(one) or 0.0) >= (_recall(other) or 0.0)
    return as_complete and one.opaque <= other.opaque and _lost(one) <= _lost(other)


def _recall(cell: CellView) -> float | None:
    return None if cell.result.completeness is None else cell.result.completeness.recall


def _lost(cell: CellView) -> int:
    return 0 if cell.result.completeness is None else cell.result.completeness.traces_lost


def _bounds_of(cell: CellView) -> tuple[float, float] | None:
    return None if cell.result.overhead is None else _bounds(cell.result.overhead.estimates.get("p50_ms"))


def _bounds(estimate: Estimate | None) -> tuple[float, float] | None:
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high


def _called(cell: CellView) -> str:
    return f"{cell.strategy} (cell {cell.number})"


def _share(cell: CellView) -> str:
    return percent(_recall(cell))


def _cost(cell: CellView) -> str:
    return cell.shown["added"].text
