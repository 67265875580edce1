"""What tracing costs under further loads: one row a load and cell, and what was not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.loads import SATURATION, in_order, parse_load
from harness.report.floors import NEUTRAL, load_floor
from harness.report.format import ABSENT, count, number, percent, quantity
from harness.report.quantities import Shown, estimate_shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.report.view import CellView, SweepView
    from harness.results import CorrectedVerdict, Estimate, LoadResult, LoadStep

HOW_TO = "measure=loads, or measure.loads=all beside another measure, measures them"

COLUMNS = {
    "calls": "Calls, forks",
    "baseline": "Untraced p50",
    "added": "Added p50 [95%]",
    "p95": "Added p95 [95%]",
    "untraced_rate": "Untraced calls/s",
    "ratio": "Throughput, of that [95%]",
    "sustained": "With the drain, of that [95%]",
    "cpu": "CPU added / call",
    "memory": "Peak memory added",
    "first": "First chunk, added",
    "chunk": "Each further chunk, added",
    "end": "End of a stream, added",
    "drain": "Drain / trace",
    "bytes": "Stored / trace",
    "lost": "Traces lost",
    "checks": "Checked",
}
"""Key to heading of the table of steady loads."""

_ESTIMATES = {
    "added": "p50_ms",
    "p95": "p95_ms",
    "ratio": "throughput_ratio",
    "sustained": "sustained_ratio",
    "cpu": "cpu_ms_per_call",
    "memory": "peak_memory_mib",
    "first": "first_chunk_p50_ms",
    "chunk": "per_chunk_us",
    "end": "stream_end_p50_ms",
    "drain": "drain_ms_per_trace",
    "bytes": "stored_bytes_per_trace",
}
"""Key to the name of the estimate that stands there, with its floor."""

_NOT_THERE = {
    "sustained": "The records do not say.",
    "memory": "The records do not say, or the kernel did not let the peak begin anew.",
    "first": "Nothing was streamed.",
    "chunk": "Nothing was streamed.",
    "end": "Not every call was a stream.",
    "drain": "The strategy stores no traces.",
    "bytes": "The strategy stores no traces.",
}
"""Key to why a load may not have the estimate at all."""

CHECKS = (
    "Of each verdict under a load it is checked whether it stands as one of all the sweep's, whether the later half "
    "of each fork's calls gives the same, in which runs others used the machine (the kernel's own writing to disk "
    "counts as others), and whether calls came faster than the store took their traces. Not checked is whether the "
    "cost drifts from fork to fork. A saturation gets no verdict."
)
"""What the column ``checks`` is about, and what it is not."""

STEP_COLUMNS = {
    "offered": "Offered /s",
    "held": "For",
    "achieved": "Achieved /s",
    "untraced": "Untraced /s",
    "share": "Lost (range over forks)",
    "counted": "Traces lost",
    "stored": "Stored /s",
    "forks": "Forks",
}
"""Key to heading of the table of a saturation's steps."""

MEANINGS = {
    "threads": "threads that call one after the other, back to back",
    "asyncio": "tasks of one event loop that await one call after the other",
    "payload": "bytes of prompt and of answer, one call after the other",
    "chunks": "pieces of text in a stream, one stream after the other",
}
"""Kind of a load to what its number counts."""


class LoadRow(NamedTuple):
    """One load of one cell by the keys of ``COLUMNS``; the verdict is a word, the sentence says it in full.

    Attributes:
        floors: A/A floors of its estimates by the keys of ``COLUMNS``; none of what is not there.
        doubts: What puts the verdict in doubt, in sentences.
    """

    load: str
    cell: CellView
    shown: dict[str, Shown]
    floors: dict[str, Shown]
    verdict: str
    sentence: str
    lost: bool
    doubts: tuple[str, ...]

    def text(self, key: str) -> str:
        """What stands under a key with its floor, for reports without mark-up."""
        floor = self.floors.get(key)
        return self.shown[key].text + ("" if floor is None or floor.absent else f" (floor {floor.text})")


class SaturationRow(NamedTuple):
    """One step of a cell's saturation, as texts by the keys of ``STEP_COLUMNS``."""

    cell: CellView
    offered: str
    held: str
    achieved: str
    untraced: str
    share: str
    counted: str
    stored: str
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
        saturation=tuple(_step(cell, step, load) for cell, load in saturated for step in load.steps),
        sentences=tuple((cell, _sentence(load)) for cell, load in saturated if load.traces_expected),
        missing=tuple(_missing(view)),
    )


def _row(cell: CellView, load: LoadResult, view: SweepView) -> LoadRow:
    estimates = load.estimates
    p50, rate = estimates["p50_ms"], estimates["throughput_per_s"]
    correction = view.sweep.load_corrections.get(cell.result.cell.cell_id, {}).get(load.load)
    shown = {key: _shown(key, estimates.get(name)) for key, name in _ESTIMATES.items()}
    shown |= {
        "calls": Shown(f"{load.calls_per_fork} in each of {load.forks}"),
        "baseline": Shown(quantity(p50.baseline, "ms"), p50.reason if p50.baseline is None else None),
        "untraced_rate": Shown(number(rate.baseline)),
        "lost": Shown(f"{load.traces_lost} of {load.traces_expected}" if load.traces_expected else ABSENT),
        "checks": _checks(load, correction),
    }
    return LoadRow(
        load=load.load,
        cell=cell,
        shown=shown,
        floors={
            key: _floor(cell, load.load, estimates[name], view)
            for key, name in _ESTIMATES.items()
            if not shown[key].absent
        },
        verdict="A/A floor" if load.is_floor else load.verdict or "",
        sentence=load.sentence,
        lost=bool(load.traces_lost),
        doubts=tuple(_doubts(load, correction)),
    )


def _shown(key: str, estimate: Estimate | None) -> Shown:
    if estimate is None:
        return Shown(ABSENT, _NOT_THERE.get(key))
    return Shown(_times(estimate), estimate.reason) if estimate.name in NEUTRAL else estimate_shown(estimate)


def _floor(cell: CellView, load: str, estimate: Estimate, view: SweepView) -> Shown:
    floor, reason = load_floor(cell, load, estimate.name, view)
    if estimate.name in NEUTRAL and floor is not None:
        return Shown(f"±{percent(floor)}")
    return Shown(quantity(floor, estimate.unit), reason)


def _checks(load: LoadResult, correction: CorrectedVerdict | None) -> Shown:
    """What was checked of a verdict: in a few words, and as the reason behind them in sentences."""
    words, told = [], []
    if correction is not None:
        of = count(correction.comparisons, "verdict")
        words.append(f"stands among {of}" if correction.stands else f"{correction.verdict} among {of}")
        told.append(correction.sentence)
    if load.exceeds_drain:
        words.append("faster than drained")
    if load.steady is None:
        words.append("steadiness not checked")
    else:
        words.append({True: "steady", False: "not steady", None: "steadiness not known"}[load.steady.steady])
        told.append(load.steady.sentence)
    machine = load.disturbance
    if machine is None or not machine.watched_runs:
        words.append("machine not watched")
    else:
        flagged = f"disturbed in {machine.flagged_runs} of {count(machine.watched_runs, 'run')}"
        words.append(flagged if machine.flagged_runs else "too short to tell" if machine.short_runs else "undisturbed")
        told.append(machine.sentence)
    return Shown(", ".join(words), ". ".join(told) or None)


def _doubts(load: LoadResult, correction: CorrectedVerdict | None) -> Iterator[str]:
    if correction is not None and not correction.stands:
        yield correction.sentence
    if load.exceeds_drain:
        yield load.sentence
    if load.steady is not None and load.steady.steady is False:
        yield load.steady.sentence
    if load.disturbance is not None and load.disturbance.decides:
        yield load.disturbance.sentence


def _sentence(saturated: LoadResult) -> str:
    machine = saturated.disturbance
    return f"{saturated.sentence}; {'the machine was not watched' if machine is None else machine.sentence}."


def _times(ratio: Estimate) -> str:
    """A ratio of throughputs in percent, with its interval: ``41% [39, 43]``."""
    if ratio.value is None:
        return ABSENT
    if ratio.low is None or ratio.high is None:
        return percent(ratio.value)
    return quantity(100 * ratio.value, "%", 100 * ratio.low, 100 * ratio.high).replace(" %", "%")


def _with_range(share: Estimate) -> str:
    """A share in percent with its least and greatest over forks, where they differ: ``1.2% (0% to 5%)``."""
    if share.value is None or not share.per_fork or min(share.per_fork) == max(share.per_fork):
        return percent(share.value)
    return f"{percent(share.value)} ({percent(min(share.per_fork))} to {percent(max(share.per_fork))})"


def _step(cell: CellView, step: LoadStep, load: LoadResult) -> SaturationRow:
    achieved, share, stored = step.achieved_per_s, step.lost_share, step.stored_per_s
    return SaturationRow(
        cell=cell,
        offered="back to back" if step.offered_per_s is None else number(step.offered_per_s),
        held=quantity(step.held_s, "s"),
        achieved=quantity(achieved.value, "", achieved.low, achieved.high),
        untraced=number(achieved.baseline),
        share=_with_range(share),
        counted=f"{step.traces_lost} of {step.traces_expected}" if step.traces_expected else ABSENT,
        stored=ABSENT if stored is None else quantity(stored.value, "", stored.low, stored.high),
        forks=f"{step.forks} of {load.forks}",
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
