"""A sweep as its reports show it: every quantity as a text, or as the reason why there is none.

HTML, Markdown and the console print these values and compute nothing of their own, so they
cannot disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import ABSENT, count, percent, quantity
from harness.report.settings import Setting, provider_label, settings

if TYPE_CHECKING:
    from harness.results import CellResult, Estimate, OverheadResult, SweepResult

REFERENCE_CALL_MS = 500.0
"""An ordinary answer of a hosted model: what added milliseconds are set against."""


class Shown(NamedTuple):
    """One quantity as a text; ``reason`` says why it, or its interval, is not there."""

    text: str
    reason: str | None = None

    @property
    def absent(self) -> bool:
        """Whether there is no value at all."""
        return self.text == ABSENT


class Column(NamedTuple):
    """One quantity of the table of cells: key, heading, what it means in a sentence."""

    key: str
    title: str
    meaning: str


COLUMNS = (
    Column("recall", "Recall", "Facts recorded right, in the place where MLflow looks, of all that the wire proves."),
    Column("otel_recall", "OTel recall", "The same in the places of OpenTelemetry's GenAI conventions."),
    Column("fidelity", "Fidelity", "Of the values that the trace holds, the share that is not wrong."),
    Column("traces", "Traces stored / expected", "In the completeness pass."),
    Column(
        "added", "Added p50 [95%]", "Median latency that the strategy adds to a call, against this cell's own baseline."
    ),
    Column(
        "baseline",
        "Untraced p50",
        "Median latency of the same calls without tracing, on the same machine at that time.",
    ),
    Column("share", "Of a 500 ms call", "Added p50 as a share of a call that takes 500 ms."),
    Column("p95", "Added p95 [95%]", "What the strategy adds to the 95th percentile."),
    Column("cpu", "CPU added / call", "CPU time of all threads, up to the end of the drain."),
    Column("drain", "Drain / trace", "Waiting at the end until everything is stored, per trace."),
    Column("bytes", "Stored / trace", "Growth of the store per trace."),
    Column("floor", "A/A floor", "What two untraced arms differ by: a smaller difference means nothing here."),
)

ESTIMATES = {
    "p50_ms": "Added latency, median",
    "p95_ms": "Added latency, 95th percentile",
    "p99_ms": "Added latency, 99th percentile",
    "first_chunk_p50_ms": "Added time to the first chunk of a stream, median",
    "cpu_ms_per_call": "Added CPU time per call",
    "drain_ms_per_trace": "Drain per trace",
    "stored_bytes_per_trace": "Stored per trace",
    "peak_memory_mib": "Added peak memory",
    "import_cpu_ms": "Added CPU time of the imports, once a process",
}
"""The ledger's lines in their order: an estimate's name and what it is in words."""

_NOTES_LISTED = 3
"""Notes of one cell's completeness that stand among the things not found out; the ledger has all."""
_PER_TRACE = ("drain_ms_per_trace", "stored_bytes_per_trace")


class CellView(NamedTuple):
    """One cell as the reports show it.

    Attributes:
        number: Its number in the sweep, from 1; figures and tables refer to it.
        name: Label, and what tells it from cells of the same label.
        provider: The provider's label.
        strategy: Tracing and style, such as ``manual decorator/plain``.
        setting: Index of its setting.
        status: ``ok``, ``failed`` or ``interrupted``.
        reason: Why it did not end well.
        shown: Its quantities by the keys of ``COLUMNS``.
        troubles: Traces lost, duplicated or orphaned, in words; empty if none.
        verdict: The word on added p50; ``floor`` for an A/A cell, empty without a timing pass.
        floor_ms: The noise floor that applies to it.
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
    result: CellResult

    @property
    def traced(self) -> bool:
        """Whether the cell's strategy should leave traces."""
        return self.result.cell.expects_traces


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


def why_no_completeness(result: CellResult) -> str:
    """One sentence for a cell whose completeness pass left no result."""
    return result.cell.reason or "The completeness pass left no result."


def why_no_overhead(result: CellResult) -> str:
    """One sentence for a cell whose timing pass left no result."""
    if result.cell.reason:
        return result.cell.reason
    measure = result.cell.config.get("measure")
    if isinstance(measure, dict) and measure.get("timing") is False:
        return "The timing pass was switched off (measure.timing=false)."
    return "The timing pass left no result."


def estimate_shown(estimate: Estimate) -> Shown:
    """An estimate with unit and interval; the reason says what is missing of it."""
    text = quantity(estimate.value, estimate.unit, estimate.low, estimate.high)
    if text == ABSENT:
        return Shown(ABSENT, estimate.reason or "No value could be estimated.")
    if estimate.low is None or estimate.high is None:
        return Shown(text, estimate.reason or f"No interval could be computed over {count(estimate.forks, 'fork')}.")
    return Shown(text)


def ordered_estimates(overhead: OverheadResult) -> list[Estimate]:
    """The known estimates in the ledger's order, then all others by name."""
    known = [overhead.estimates[name] for name in ESTIMATES if name in overhead.estimates]
    return known + [overhead.estimates[name] for name in sorted(set(overhead.estimates) - set(ESTIMATES))]


def _score(result: CellResult, name: str) -> Shown:
    completeness = result.completeness
    if completeness is None:
        return Shown(ABSENT, why_no_completeness(result))
    value: float | None = getattr(completeness, name)
    if value is None:
        return Shown(ABSENT, completeness.reasons.get(name, "No fact applies."))
    return Shown(percent(value))


def _traces(result: CellResult) -> tuple[Shown, str]:
    completeness = result.completeness
    if completeness is None:
        return Shown(ABSENT, why_no_completeness(result)), ""
    troubles = [
        f"{number} {word}"
        for number, word in (
            (completeness.traces_lost, "lost"),
            (completeness.traces_duplicated, "duplicated"),
            (completeness.traces_orphaned, "orphaned"),
        )
        if number
    ]
    return Shown(f"{completeness.traces_stored} / {completeness.traces_expected}"), ", ".join(troubles)


def _estimate(result: CellResult, name: str) -> Shown:
    if result.overhead is None:
        return Shown(ABSENT, why_no_overhead(result))
    estimate = result.overhead.estimates.get(name)
    if estimate is not None:
        return estimate_shown(estimate)
    if name in _PER_TRACE and not result.cell.expects_traces:
        return Shown(ABSENT, "The strategy leaves no traces.")
    return Shown(ABSENT, f"The timing pass made no estimate of {name}.")


def _baseline(result: CellResult) -> Shown:
    overhead = result.overhead
    if overhead is None:
        return Shown(ABSENT, why_no_overhead(result))
    estimate = overhead.estimates.get("p50_ms")
    if estimate is None or estimate.baseline is None:
        return Shown(ABSENT, (estimate and estimate.reason) or "The untraced arm has no median.")
    return Shown(quantity(estimate.baseline, estimate.unit))


def _share(result: CellResult) -> Shown:
    overhead = result.overhead
    if overhead is None:
        return Shown(ABSENT, why_no_overhead(result))
    estimate = overhead.estimates.get("p50_ms")
    if estimate is None or estimate.value is None:
        return Shown(ABSENT, (estimate and estimate.reason) or "There is no added p50 to take a share of.")
    return Shown(percent(estimate.value / REFERENCE_CALL_MS))


def _floor(result: CellResult, peers: list[CellResult], sweep: SweepResult) -> tuple[float | None, str | None]:
    """The floor of the cell's provider in its own setting, or why there is none.

    The larger absolute bound of the A/A cell's interval; a floor that was measured in another
    setting is refused.
    """
    provider = provider_label(result)
    floor_cells = [peer for peer in peers if peer.overhead is not None and peer.overhead.is_floor]
    bounds = [
        max(abs(estimate.low), abs(estimate.high))
        for peer in floor_cells
        if peer.overhead is not None
        and (estimate := peer.overhead.estimates.get("p50_ms")) is not None
        and estimate.low is not None
        and estimate.high is not None
    ]
    if bounds:
        return max(bounds), None
    if floor_cells:
        return None, f"The A/A cell of {provider} has no interval."
    if any(provider_label(other) == provider and not other.cell.expects_traces for other in sweep.cells):
        untraced = [peer for peer in peers if not peer.cell.expects_traces]
        if untraced:
            return None, f"The tracing=none cell of {provider} has no timing result."
        return None, f"The tracing=none cell of {provider} ran under other conditions."
    if provider in sweep.floors_ms:
        return sweep.floors_ms[provider], None
    return None, f"The sweep has no tracing=none cell of {provider}."


def _strategy(result: CellResult) -> str:
    return f"{result.cell.tracing} {result.cell.style}".strip()


def _names(sweep: SweepResult, words: list[str]) -> list[str]:
    names = [
        result.cell.label + (f" ({word})" if word else "") for result, word in zip(sweep.cells, words, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({result.cell.cell_id})"
        for name, result in zip(names, sweep.cells, strict=True)
    ]


def _cell_view(number: int, name: str, setting: int, peers: list[CellResult], sweep: SweepResult) -> CellView:
    result = sweep.cells[number - 1]
    traces, troubles = _traces(result)
    floor_ms, no_floor = _floor(result, peers, sweep)
    verdict = ""
    if result.overhead is not None:
        verdict = "A/A floor" if result.overhead.is_floor else result.overhead.verdict
    shown = {
        "recall": _score(result, "recall"),
        "otel_recall": _score(result, "otel_recall"),
        "fidelity": _score(result, "fidelity"),
        "traces": traces,
        "added": _estimate(result, "p50_ms"),
        "baseline": _baseline(result),
        "share": _share(result),
        "p95": _estimate(result, "p95_ms"),
        "cpu": _estimate(result, "cpu_ms_per_call"),
        "drain": _estimate(result, "drain_ms_per_trace"),
        "bytes": _estimate(result, "stored_bytes_per_trace"),
        "floor": Shown(quantity(floor_ms, "ms"), no_floor),
    }
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
