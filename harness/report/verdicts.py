"""The verdict in sentences: one or two for each provider and setting, never across settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import count, listed, percent, quantity
from harness.report.quantities import estimate_shown
from harness.report.settings import refused_differences
from harness.report.soundness import doubts

if TYPE_CHECKING:
    from harness.report.view import CellView, SweepView

MANY_STRATEGIES = 4
"""Beyond so many traced cells of one provider a sentence names the range and the best only."""


class VerdictSentence(NamedTuple):
    """A verdict: the provider, the provider in words with what sets its cells apart, and what there is to say."""

    provider: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


def _recording(cell: CellView) -> str:
    completeness = cell.result.completeness
    if completeness is None:
        return "left no judged traces"
    scores = []
    if completeness.recall is None:
        said = "has no recall"
    elif completeness.wire_recall is None:
        said = f"records {percent(completeness.recall)} of the facts"
    else:
        said = f"records {percent(completeness.wire_recall)} of what the wire shows"
        scores.append(f"recall {percent(completeness.recall)}")
    if completeness.fidelity is not None:
        scores.append(f"fidelity {percent(completeness.fidelity)}")
    if scores:
        said += f" ({', '.join(scores)})"
    if cell.troubles:
        said += f", with {cell.troubles} of {count(completeness.traces_expected, 'expected trace')},"
    return said


def _within_floor(cell: CellView, value: float) -> str:
    if cell.floor_ms is None or abs(value) > cell.floor_ms:
        return ""
    return f", within the A/A floor of {quantity(cell.floor_ms, 'ms')}"


def _cost(cell: CellView) -> str:
    """The cost as the end of a clause, with the word that joins it to what is recorded."""
    overhead = cell.result.overhead
    if overhead is None:
        return "but its cost was not measured"
    estimate = overhead.estimates.get("p50_ms")
    if overhead.traces_lost:
        lost = f"{overhead.traces_lost} of {count(overhead.traces_expected, 'trace')}"
        return f"but its cost is not judged, because the timing pass lost {lost}"
    if estimate is None or estimate.value is None:
        return "but its cost has no estimate"
    amount = estimate_shown(estimate).text
    hedge = _within_floor(cell, estimate.value)
    margin = quantity(overhead.equivalence_margin_ms, "ms")
    lacks = "no interval" if estimate.low is None else "no verdict"
    return {
        "slower": f"and adds {amount} a call{hedge}",
        "faster": f"and measures {amount} a call, which is faster than untraced{hedge}",
        "equivalent": f"and costs less than the margin of {margin} a call either way ({amount})",
        "inconclusive": f"but its cost is undecided ({amount} a call)",
        "not judged": f"but its cost is not judged ({amount} a call, {lacks})",
    }[overhead.verdict]


def _doubts(cell: CellView) -> str:
    """What puts the verdict in doubt, where there is one."""
    overhead = cell.result.overhead
    found = list(doubts(cell)) if overhead is not None and overhead.verdict != "not judged" else []
    return f" ({'; '.join(found)})" if found else ""


def _clause(cell: CellView) -> str:
    if cell.result.completeness is None and cell.result.overhead is None:
        return f"{cell.strategy} {cell.ended} ({(cell.reason or 'no result').rstrip('.')})"
    ended = "" if cell.status == "ok" else f" (the cell {cell.ended}: {(cell.reason or '').rstrip('.')})"
    return f"{cell.strategy} {_recording(cell)} {_cost(cell)}{_doubts(cell)}{ended}"


def _added(cell: CellView) -> float | None:
    """Added p50 where it may be compared: judged, and no trace lost."""
    overhead = cell.result.overhead
    if overhead is None or overhead.verdict == "not judged":
        return None
    estimate = overhead.estimates.get("p50_ms")
    return estimate.value if estimate else None


def _range(values: list[float]) -> str:
    low, high = quantity(min(values), "ms"), quantity(max(values), "ms")
    return low if low == high else f"{low} to {high}"


def _overview(cells: list[CellView]) -> list[str]:
    """Many strategies in few sentences: the ranges, the most complete, the cheapest, the troubled."""
    recalls = {
        cell.number: completeness.recall
        for cell in cells
        if (completeness := cell.result.completeness) is not None and completeness.recall is not None
    }
    costs = {cell.number: added for cell in cells if (added := _added(cell)) is not None}
    by_number = {cell.number: cell for cell in cells}
    ranges = [f"{len(recalls)} of {len(cells)} strategies have a recall"]
    if recalls:
        ranges[0] += f", from {percent(min(recalls.values()))} to {percent(max(recalls.values()))}"
    if costs:
        ranges.append(f"{len(costs)} have a judged cost, {_range(list(costs.values()))} a call")
    sentences = ["; ".join(ranges)]
    best = {
        "most complete": by_number[max(recalls, key=recalls.__getitem__)] if recalls else None,
        "cheapest": by_number[min(costs, key=costs.__getitem__)] if costs else None,
    }
    words: dict[int, list[str]] = {}
    for word, cell in best.items():
        if cell is not None:
            words.setdefault(cell.number, []).append(word)
    sentences += [
        f"{listed(said).capitalize()}: {_clause(by_number[cell_number])}" for cell_number, said in words.items()
    ]
    troubled = [f"{cell.strategy} ({cell.troubles or cell.status})" for cell in cells if _is_troubled(cell)]
    sentences += [f"In trouble: {listed(troubled)}"] if troubled else []
    inapplicable = [cell.strategy for cell in cells if cell.status == "not applicable"]
    return sentences + ([f"Not applicable: {listed(inapplicable)}"] if inapplicable else [])


def _is_troubled(cell: CellView) -> bool:
    return cell.broken or bool(cell.troubles)


def _changed(cells: list[CellView]) -> list[str]:
    """What the application got differently: the gravest finding, so it comes before any score."""
    changed = [
        f"{cell.strategy} in {cell.opaque} of {count(completeness.transparency_compared or 0, 'compared call')}"
        for cell in cells
        if cell.opaque and (completeness := cell.result.completeness) is not None
    ]
    return [f"The application gets something else than without tracing: {listed(changed)}"] if changed else []


def _provider_sentence(provider: str, subject: str, cells: list[CellView]) -> VerdictSentence:
    # A step from another level is no strategy's cost; it has a section of its own.
    traced = [cell for cell in cells if cell.traced and cell.result.cell.against == "untraced"]
    untraced = [cell for cell in cells if not cell.traced]
    sentences = _changed(traced)
    if len(traced) > MANY_STRATEGIES:
        sentences += _overview(traced)
    elif traced:
        sentences.append("; ".join(_clause(cell) for cell in traced))
    floors = [cell.floor_ms for cell in untraced if cell.floor_ms is not None]
    if floors:
        sentences.append(f"Two untraced arms differ by at most {quantity(max(floors), 'ms')} here (A/A floor)")
    elif not traced or any(cell.result.overhead is not None for cell in traced):
        sentences.append("The A/A floor was not found out")
    sentences += [
        f"{'The tracing=none cell' if cell.strategy == 'none' else cell.strategy} {cell.ended} "
        f"({(cell.reason or '').rstrip('.')})"
        for cell in untraced
        if cell.status != "ok"
    ]
    return VerdictSentence(provider, subject, ". ".join(sentences) + ".")


def verdicts(view: SweepView) -> list[VerdictSentence]:
    """One sentence a provider and setting, in the order of the cells."""
    groups: dict[tuple[str, int], list[CellView]] = {}
    for cell in view.cells:
        groups.setdefault((cell.provider, cell.setting), []).append(cell)
    found = []
    for (provider, setting), cells in groups.items():
        words = view.settings[setting].words
        found.append(_provider_sentence(provider, f"{provider} ({words})" if words else provider, cells))
    return found


def cautions(view: SweepView) -> list[str]:
    """What a reader has to know before any verdict: cells missing, failed, or not comparable."""
    found = []
    missing = view.sweep.cells_expected - len(view.cells)
    if missing > 0:
        found.append(f"{missing} of {count(view.sweep.cells_expected, 'cell')} left no result at all.")
    broken = [cell for cell in view.cells if cell.broken]
    if broken:
        names = listed([f"{cell.name} ({cell.status})" for cell in broken])
        found.append(f"{len(broken)} of {count(len(view.cells), 'cell')} did not end well: {names}.")
    inapplicable = [cell.name for cell in view.cells if cell.status == "not applicable"]
    if inapplicable:
        total = count(len(view.cells), "cell")
        found.append(f"{len(inapplicable)} of {total} could not be run, which is no failure: {listed(inapplicable)}.")
    for difference in refused_differences(view.sweep):
        aspects = listed([str(aspect) for aspect in difference.aspects])
        values = "; ".join(f"{', '.join(values)} in {cell_numbers(numbers)}" for values, numbers in difference.values)
        found.append(f"Cells that differ in {aspects} are not compared with one another: {values}.")
    return found


def cell_numbers(numbers: tuple[int, ...]) -> str:
    """Cells by their numbers, runs of three and more joined: ``cells 1 to 3 and 7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = []
    for run in runs:
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(number) for number in run]
    return ("cell " if len(numbers) == 1 else "cells ") + listed(parts)
