"""A sweep as its reports show it: every quantity as a text, or as the reason why there is none.

HTML, Markdown and the console print these values and compute nothing of their own, so they
cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.records import levels_label
from harness.report.format import count, quantity
from harness.report.quantities import (
    COLUMNS,
    ESTIMATES,
    Shown,
    estimate_shown,
    floor_of_provider,
    opaque_calls,
    ordered_estimates,
    quantities,
    traces_shown,
)
from harness.report.settings import RUNTIME, Setting, provider_label, settings

if TYPE_CHECKING:
    from harness.results import CellResult, CorrectedVerdict, SweepResult

_NOTES_LISTED = 3
"""Notes of one cell's completeness that stand among the things not found out; the ledger has all."""


class CellView(NamedTuple):
    """One cell as the reports show it.

    Attributes:
        number: Its number in the sweep, from 1; figures and tables refer to it.
        name: Label, and what tells it from cells of the same label.
        provider: The provider's label.
        strategy: Tracing and style, such as ``manual decorator/plain``.
        setting: Index of its setting.
        status: ``ok``, ``failed``, ``interrupted`` or ``not applicable``.
        reason: Why it did not end well, or why it does not apply.
        shown: Its quantities by the keys of ``COLUMNS``.
        troubles: Traces lost, duplicated or orphaned, in words; empty if none.
        verdict: The word on added p50; ``floor`` for an A/A cell, empty without a timing pass.
        floor_ms: The noise floor of added p50 that applies to it.
        floors: The noise floor of each of its estimates, by the estimate's name.
        correction: Its verdict as one of the sweep's comparisons; ``None`` where it makes none.
        result: Everything else.
    """

    number: int
    name: str
    provider: str
    strategy: str
    setting: int
    status: str
    reason: str | None
    shown: dict[str, Shown]
    troubles: str
    verdict: str
    floor_ms: float | None
    floors: dict[str, Shown]
    correction: CorrectedVerdict | None
    result: CellResult

    @property
    def traced(self) -> bool:
        """Whether the cell's strategy should leave traces."""
        return self.result.cell.expects_traces

    @property
    def opaque(self) -> int:
        """Calls of which the application got something else than without tracing."""
        return opaque_calls(self.result)

    @property
    def broken(self) -> bool:
        """Whether the cell should have ended well and did not: what its provider cannot run is no failure."""
        return self.status in ("failed", "interrupted")

    @property
    def ended(self) -> str:
        """How it ended, as a verb: ``failed``, ``was interrupted``, ``does not apply``."""
        return {"interrupted": "was interrupted", "not applicable": "does not apply"}.get(self.status, self.status)


class Absence(NamedTuple):
    """Something that was not found out: what, why, and for which cells (by number; empty for the sweep)."""

    what: tuple[str, ...]
    reason: str
    numbers: tuple[int, ...]


class SweepView(NamedTuple):
    """The whole sweep as the reports show it."""

    sweep: SweepResult
    cells: tuple[CellView, ...]
    settings: tuple[Setting, ...]
    absences: tuple[Absence, ...]


def _strategy(result: CellResult) -> str:
    cell = result.cell
    turned = ", ".join(filter(None, (levels_label(cell.level, cell.against, cell.into), cell.switches)))
    return " ".join(filter(None, (cell.tracing, cell.style, f"[{turned}]" if turned else "")))


def _names(sweep: SweepResult, words: list[str]) -> list[str]:
    # The label itself says in which runtime a cell's workers ran.
    words = [
        word.replace(f"{RUNTIME} {result.cell.runtime or 'current'}", "").strip(", ")
        for result, word in zip(sweep.cells, words, strict=True)
    ]
    names = [
        result.cell.label + (f" ({word})" if word else "") for result, word in zip(sweep.cells, words, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({result.cell.cell_id})"
        for name, result in zip(names, sweep.cells, strict=True)
    ]


def _cell_view(number: int, name: str, setting: int, peers: list[CellResult], sweep: SweepResult) -> CellView:
    result = sweep.cells[number - 1]
    _, troubles = traces_shown(result)
    floor_ms, no_floor = floor_of_provider(result, peers, sweep)
    verdict = ""
    if result.overhead is not None:
        verdict = "A/A floor" if result.overhead.is_floor else result.overhead.verdict
    shown = {**quantities(result), "floor": Shown(quantity(floor_ms, "ms"), no_floor)}
    return CellView(
        number=number,
        name=name,
        provider=provider_label(result),
        strategy=_strategy(result),
        setting=setting,
        status=result.cell.status,
        reason=result.cell.reason if result.cell.status == "ok" else result.cell.reason or "No reason was recorded.",
        shown=shown,
        troubles=troubles,
        verdict=verdict,
        floor_ms=floor_ms,
        floors={
            name: Shown(quantity(floor, estimate.unit), why)
            for name, estimate in (result.overhead.estimates if result.overhead is not None else {}).items()
            for floor, why in [floor_of_provider(result, peers, sweep, name)]
        },
        correction=sweep.corrections.get(result.cell.cell_id),
        result=result,
    )


def _cell_absences(view: CellView) -> list[tuple[str, str]]:
    """What this cell leaves open, as pairs of what and why."""
    result = view.result
    if result.completeness is None and result.overhead is None:
        return [("Whole cell", f"{view.status}: {view.reason or 'neither pass left a result.'}")]
    found = [(column.title.removesuffix(" [95%]"), view.shown[column.key]) for column in COLUMNS]
    pairs = [(what, shown.reason) for what, shown in found if shown.reason]
    if result.overhead is not None:
        in_table = {"p50_ms", "p95_ms", "cpu_ms_per_call", "drain_ms_per_trace", "stored_bytes_per_trace"}
        others = [estimate for estimate in ordered_estimates(result.overhead) if estimate.name not in in_table]
        pairs += [
            (ESTIMATES.get(estimate.name, estimate.name), reason)
            for estimate in others
            if (reason := estimate_shown(estimate).reason)
        ]
        if result.overhead.verdict == "not judged":
            pairs.append(("Verdict on latency", result.overhead.sentence))
    if result.completeness is not None:
        notes = result.completeness.notes
        pairs += [("Completeness", note) for note in notes[:_NOTES_LISTED]]
        if len(notes) > _NOTES_LISTED:
            pairs.append(("Completeness", f"{len(notes) - _NOTES_LISTED} more notes stand in the cell's ledger."))
    if result.cell.status != "ok":
        pairs.append(("Whole cell", f"{view.status}: {view.reason}"))
    return [(what, reason) for what, reason in pairs if reason]


def _absences(sweep: SweepResult, cells: tuple[CellView, ...]) -> tuple[Absence, ...]:
    """Everything that was not found out, one entry a reason and its set of cells, in order of first mention."""
    by_reason: dict[str, dict[int, list[str]]] = {}
    for view in cells:
        for what, reason in _cell_absences(view):
            named = by_reason.setdefault(reason, {}).setdefault(view.number, [])
            if what not in named:
                named.append(what)
    absences = []
    missing = sweep.cells_expected - len(sweep.cells)
    if missing > 0:
        reason = f"{missing} of {count(sweep.cells_expected, 'cell')} left no result at all."
        absences.append(Absence(("Whole cells",), reason, ()))
    for reason, by_cell in by_reason.items():
        by_what: dict[tuple[str, ...], list[int]] = {}
        for number, named in by_cell.items():
            by_what.setdefault(tuple(named), []).append(number)
        absences += [Absence(whats, reason, tuple(numbers)) for whats, numbers in by_what.items()]
    return tuple(absences)


def sweep_view(sweep: SweepResult) -> SweepView:
    """Everything that the reports of a sweep print."""
    all_settings = settings(sweep)
    setting_of = {number: index for index, setting in enumerate(all_settings) for number in setting.numbers}
    names = _names(sweep, [all_settings[setting_of[number]].words for number in range(1, len(sweep.cells) + 1)])
    cells = []
    for number, name in enumerate(names, start=1):
        provider = provider_label(sweep.cells[number - 1])
        numbers = all_settings[setting_of[number]].numbers
        peers = [sweep.cells[other - 1] for other in numbers if provider_label(sweep.cells[other - 1]) == provider]
        cells.append(_cell_view(number, name, setting_of[number], peers, sweep))
    views = tuple(cells)
    return SweepView(sweep, views, all_settings, _absences(sweep, views))
