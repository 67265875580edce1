"""What tracing costs under further loads: one row a load and cell, and what was not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.loads import SATURATION, in_order, parse_load
from harness.report.floors import load_floor_ms
from harness.report.format import ABSENT, number, percent, quantity
from harness.report.quantities import Shown, estimate_shown

if TYPE_CHECKING:
    from harness.report.view import CellView, SweepView
    from harness.results import Estimate, LoadResult, LoadStep

HOW_TO = "measure=loads, or measure.loads=all beside another measure, measures them"

COLUMNS = {
    "calls": "Calls, forks",
    "baseline": "Untraced p50",
    "added": "Added p50 [95%]",
    "floor": "A/A floor",
    "untraced_rate": "Untraced calls/s",
    "ratio": "Throughput, of that [95%]",
    "cpu": "CPU added / call",
    "first": "First chunk, added",
    "chunk": "Each further chunk, added",
    "bytes": "Stored / trace",
    "lost": "Traces lost",
}
"""Key to heading of the table of steady loads."""

MEANINGS = {
    "threads": "threads that call one after the other, back to back",
    "asyncio": "tasks of one event loop that await one call after the other",
    "payload": "bytes of prompt and of answer, one call after the other",
    "chunks": "pieces of text in a stream, one stream after the other",
}
"""Kind of a load to what its number counts."""


class LoadRow(NamedTuple):
    """One load of one cell by the keys of ``COLUMNS``; the verdict is a word, the sentence says it in full."""

    load: str
    cell: CellView
    shown: dict[str, Shown]
    verdict: str
    sentence: str
    lost: bool


class SaturationRow(NamedTuple):
    """One step of a cell's saturation, as texts."""

    cell: CellView
    offered: str
    achieved: str
    untraced: str
    share: str
    counted: str
    forks: str
    lost: bool


class NotMeasured(NamedTuple):
    """Loads that some cells (by number) do not have, and why."""

    loads: tuple[str, ...]
    reason: str
    numbers: tuple[int, ...]


class Loads(NamedTuple):
    """All that reports print of loads.

    Attributes:
        rows: Steady loads, by load and then by cell.
        saturation: The steps, by cell.
        sentences: For each cell with a saturation, where loss begins, in words.
        missing: What was not measured.
    """

    rows: tuple[LoadRow, ...]
    saturation: tuple[SaturationRow, ...]
    sentences: tuple[tuple[CellView, str], ...]
    missing: tuple[NotMeasured, ...]


def load_results(view: SweepView) -> Loads:
    """The loads of a sweep as its reports print them."""
    steady = [(cell, load) for cell in view.cells for load in cell.result.loads if load.load != SATURATION]
    steady.sort(key=lambda pair: (in_order(parse_load(pair[1].load)), pair[0].number))
    saturated = [(cell, load) for cell in view.cells for load in cell.result.loads if load.load == SATURATION]
    return Loads(
        rows=tuple(_row(cell, load, view) for cell, load in steady),
        saturation=tuple(_step(cell, step) for cell, load in saturated for step in load.steps),
        sentences=tuple((cell, f"{load.sentence}.") for cell, load in saturated if load.traces_expected),
        missing=tuple(_missing(view)),
    )


def _row(cell: CellView, load: LoadResult, view: SweepView) -> LoadRow:
    estimates = load.estimates
    floor_ms, no_floor = load_floor_ms(cell, load.load, view)
    p50, rate, ratio = estimates["p50_ms"], estimates["throughput_per_s"], estimates["throughput_ratio"]
    shown = {
        "calls": Shown(f"{load.calls_per_fork} in each of {load.forks}"),
        "baseline": Shown(quantity(p50.baseline, "ms"), p50.reason if p50.baseline is None else None),
        "added": estimate_shown(p50),
        "floor": Shown(quantity(floor_ms, "ms"), no_floor),
        "untraced_rate": Shown(number(rate.baseline)),
        "ratio": Shown(_times(ratio), ratio.reason),
        "cpu": estimate_shown(estimates["cpu_ms_per_call"]),
        "first": _optional(estimates.get("first_chunk_p50_ms"), "Nothing was streamed."),
        "chunk": _optional(estimates.get("per_chunk_us"), "Not every call was a stream."),
        "bytes": _optional(estimates.get("stored_bytes_per_trace"), "The strategy stores no traces."),
        "lost": Shown(f"{load.traces_lost} of {load.traces_expected}" if load.traces_expected else ABSENT),
    }
    verdict = "A/A floor" if load.is_floor else load.verdict or ""
    return LoadRow(load.load, cell, shown, verdict, load.sentence, bool(load.traces_lost))


def _optional(estimate: Estimate | None, otherwise: str) -> Shown:
    return Shown(ABSENT, otherwise) if estimate is None else estimate_shown(estimate)


def _times(ratio: Estimate) -> str:
    """A ratio of throughputs in percent, with its interval: ``41% [39, 43]``."""
    if ratio.value is None:
        return ABSENT
    if ratio.low is None or ratio.high is None:
        return percent(ratio.value)
    return quantity(100 * ratio.value, "%", 100 * ratio.low, 100 * ratio.high).replace(" %", "%")


def _step(cell: CellView, step: LoadStep) -> SaturationRow:
    achieved, share = step.achieved_per_s, step.lost_share
    return SaturationRow(
        cell=cell,
        offered="back to back" if step.offered_per_s is None else number(step.offered_per_s),
        achieved=quantity(achieved.value, "", achieved.low, achieved.high),
        untraced=number(achieved.baseline),
        share=_times(share),
        counted=f"{step.traces_lost} of {step.traces_expected}" if step.traces_expected else ABSENT,
        forks=str(step.forks),
        lost=bool(step.traces_lost),
    )


def _missing(view: SweepView) -> list[NotMeasured]:
    """Cells that were timed without loads, and loads that a cell could not run."""
    found: dict[tuple[str, str], list[int]] = {}
    for cell in view.cells:
        record = cell.result.cell
        asked = (record.config.get("measure") or {}).get("loads") or []
        if not asked and cell.result.overhead is not None:
            found.setdefault(("", f"Loads were not measured; {HOW_TO}."), []).append(cell.number)
        for skipped in record.skipped_loads:
            found.setdefault((skipped.load, f"{skipped.reason[:1].upper()}{skipped.reason[1:]}."), []).append(
                cell.number
            )
    by_reason: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (load, reason), numbers in found.items():
        by_reason.setdefault((reason, tuple(numbers)), []).append(load)
    return [NotMeasured(tuple(filter(None, loads)), reason, numbers) for (reason, numbers), loads in by_reason.items()]
