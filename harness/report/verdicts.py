"""The verdict in sentences: one or two for each provider and setting, never across settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import count, listed, percent, quantity
from harness.report.quantities import FLOOR, estimate_shown, judged_elsewhere
from harness.report.settings import refused_differences
from harness.report.soundness import doubts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.report.view import CellView, SweepView
    from harness.results import Estimate

MANY_STRATEGIES = 4
"""Beyond so many traced cells of one provider a sentence names the range and the best only."""

SAME_PACE = 1.05
"""Calls whose paces differ by no more than this factor are paced alike."""


class VerdictSentence(NamedTuple):
    """A verdict.

    Attributes:
        provider: Whose it is.
        subject: The provider in words, with what sets its cells apart.
        text: What there is to say.
        points: More sentences, each for itself.
    """

    provider: str
    subject: str
    text: str
    points: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((f"{self.subject}: {self.text}", *self.points))


def _recording(cell: CellView) -> str:
    completeness = cell.result.completeness
    if completeness is None:
        return "left no judged traces"
    if judged_elsewhere(cell.result):
        return f"sends its timed traces into a {cell.result.cell.into}, where completeness was not judged,"
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


def _added(cell: CellView) -> Estimate | None:
    """Added p50 where it may be compared: judged, and no trace lost."""
    overhead = cell.result.overhead
    if overhead is None or overhead.verdict == "not judged":
        return None
    estimate = overhead.estimates.get("p50_ms")
    return estimate if estimate is not None and estimate.value is not None else None


def _range(values: list[float]) -> str:
    low, high = quantity(min(values), "ms"), quantity(max(values), "ms")
    return low if low == high else f"{low} to {high}"


class _Best(NamedTuple):
    """A cell that is best in something: in what, and which others may be as good."""

    word: str
    cell: CellView
    beside: str


def _most_complete(cells: list[CellView], recalls: dict[int, float]) -> _Best | None:
    if not recalls:
        return None
    first, *equal = [cell for cell in cells if recalls.get(cell.number) == max(recalls.values())]
    return _Best("most complete", first, f"as complete: {listed([cell.strategy for cell in equal])}" if equal else "")


def _cheapest(cells: list[CellView], costs: dict[int, Estimate]) -> _Best | None:
    """The cell whose added p50 has the smallest estimate; called the cheapest only if no other interval reaches it."""
    if not costs:
        return None
    smallest = min((cell for cell in cells if cell.number in costs), key=lambda cell: costs[cell.number].value or 0.0)
    own, others = costs[smallest.number], [cell for cell in cells if cell.number in costs and cell is not smallest]
    alike = [cell for cell in others if _overlap(own, costs[cell.number])]
    if not alike:
        return _Best("cheapest", smallest, "")
    names = listed([cell.strategy for cell in alike])
    return _Best("smallest cost estimate", smallest, f"its cost is not told apart (the intervals overlap) from {names}")


def _overlap(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals have a value in common; what has no interval reaches everywhere."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _overview(cells: list[CellView]) -> list[str]:
    """Many strategies in few sentences: the ranges, the most complete, the cheapest, the troubled.

    What a cell records is that of the person's store; one that sends timed traces elsewhere is not recommended for it.
    """
    recalls = {
        cell.number: completeness.recall
        for cell in cells
        if (completeness := cell.result.completeness) is not None
        and completeness.recall is not None
        and not judged_elsewhere(cell.result)
    }
    costs = {cell.number: added for cell in cells if (added := _added(cell)) is not None}
    recommended = {number: cost for number, cost in costs.items() if number in recalls}
    ranges = [f"{len(recalls)} of {len(cells)} {_what(cells)} have a recall{_recalls(list(recalls.values()))}"]
    if costs:
        ranges.append(
            f"{len(costs)} have a judged cost, estimates {_range([one.value or 0.0 for one in costs.values()])} a call"
        )
    sentences = ["; ".join(ranges)]
    best: dict[int, list[_Best]] = {}
    for one in (_most_complete(cells, recalls), _cheapest(cells, recommended)):
        if one is not None:
            best.setdefault(one.cell.number, []).append(one)
    for told in best.values():
        words = listed([one.word for one in told]).capitalize()
        sentences.append("; ".join([f"{words}: {_clause(told[0].cell)}", *(one.beside for one in told if one.beside)]))
    troubled = [f"{cell.strategy} ({cell.troubles or cell.status})" for cell in cells if _is_troubled(cell)]
    sentences += [f"In trouble: {listed(troubled)}"] if troubled else []
    away = [cell.strategy for cell in cells if judged_elsewhere(cell.result)]
    sentences += (
        [f"Not compared, because completeness was not judged where they send their timed traces: {listed(away)}"]
        if away
        else []
    )
    inapplicable = [cell.strategy for cell in cells if cell.status == "not applicable"]
    return sentences + ([f"Not applicable: {listed(inapplicable)}"] if inapplicable else [])


def _what(cells: list[CellView]) -> str:
    """Strategies, or cells where one strategy has several."""
    names = {(cell.result.cell.tracing, cell.result.cell.style) for cell in cells}
    return "strategies" if len(names) == len(cells) else "cells"


def _recalls(recalls: list[float]) -> str:
    if not recalls:
        return ""
    low, high = percent(min(recalls)), percent(max(recalls))
    return f", {'each ' if len(recalls) > 1 else ''}{low}" if low == high else f", from {low} to {high}"


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
        sentences.append(f"The A/A floor here is {quantity(max(floors), 'ms')}, {FLOOR}")
    elif not traced or any(cell.result.overhead is not None for cell in traced):
        sentences.append("The A/A floor was not found out")
    sentences += [
        f"{'The tracing=none cell' if cell.strategy == 'none' else cell.strategy} {cell.ended} "
        f"({(cell.reason or '').rstrip('.')})"
        for cell in untraced
        if cell.status != "ok"
    ]
    return VerdictSentence(provider, subject, ". ".join(sentences) + ".")


def _groups(view: SweepView) -> list[tuple[str, str, list[CellView]]]:
    """The cells by provider and setting, in their order: the provider, both in words, and the cells."""
    groups: dict[tuple[str, int], list[CellView]] = {}
    for cell in view.cells:
        groups.setdefault((cell.provider, cell.setting), []).append(cell)
    found = []
    for (provider, setting), cells in groups.items():
        words = view.settings[setting].words
        found.append((provider, f"{provider} ({words})" if words else provider, cells))
    return found


def verdicts(view: SweepView) -> list[VerdictSentence]:
    """One sentence a provider and setting, in the order of the cells; before them where a cost taken apart goes."""
    apart: dict[str, list[str]] = {}
    for step in view.sweep.steps:
        if step.quantity == "p50_ms":
            apart.setdefault(step.label, []).append(step.sentence.removeprefix(f"{step.label} "))
    found = [
        VerdictSentence(
            label.split(" / ")[0],
            f"Where the cost of {label} goes",
            "the steps on each way out are summed, and held against the whole way measured by itself.",
            tuple(f"{_capital(sentence)}." for sentence in sentences),
        )
        for label, sentences in apart.items()
    ]
    for provider, subject, cells in _groups(view):
        one = _provider_sentence(provider, subject, cells)
        # What the floor is need be said but once.
        if any(FLOOR in before.text for before in found):
            one = one._replace(text=one.text.replace(f", {FLOOR}", ""))
        found.append(one)
    return found


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _paces(view: SweepView) -> Iterator[str]:
    """What has to be said where cells that stand side by side were not loaded alike."""
    for _, subject, cells in _groups(view):
        paces: dict[str, list[int]] = {}
        periods_ms = []
        for cell in cells:
            period_ms = cell.result.cell.period_ms
            if cell.result.overhead is not None and period_ms:
                paces.setdefault(quantity(period_ms, "ms"), []).append(cell.number)
                periods_ms.append(period_ms)
        if periods_ms and max(periods_ms) > SAME_PACE * min(periods_ms):
            told = listed([f"{pace} apart in {cell_numbers(tuple(numbers))}" for pace, numbers in paces.items()])
            yield (
                f"Timed calls of {subject} started {told}: a store that drains slowly is spared. What a call costs, "
                "and the A/A floor that it is held against, may depend on the pace."
            )


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
    return found + list(_paces(view))


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
