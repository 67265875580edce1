"""Each quantity of a cell as a text, or as the reason why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import ABSENT, count, percent, percent_within, quantity
from harness.report.settings import provider_label

if TYPE_CHECKING:
    from harness.results import CellResult, Estimate, OverheadResult, SweepResult

QUANTILES_LEAD = (
    "What the strategy adds at quantiles of the latencies, from the fast calls to the slow ones: the mean over "
    "forks of traced minus untraced, with its 95% interval over forks, each for itself. Quantiles that too few "
    "calls support are left out."
)
"""What the shift function is, wherever a report shows it."""

REFERENCE_CALL_MS = 500.0
"""An ordinary answer of a hosted model: what added milliseconds are set against."""

FLOOR = "the farther bound of the 95% interval of an A/A cell, in which both arms are untraced"
"""What the A/A floor is, wherever a report says it."""


OTHER_ARM = "Both arms of an A/A cell are untraced, and the arm that this cell is timed against is not."
"""Why a step between two levels of tracing has no floor."""


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
    Column("otel_recall", "OTel recall", "Recall in the places of OpenTelemetry's GenAI conventions instead."),
    Column("fidelity", "Fidelity", "Of the values that the trace holds, the share that is not wrong."),
    Column("traces", "Traces stored / expected", "In the completeness pass."),
    Column(
        "transparency", "Calls changed", "Of the calls compared, those of which the application got something else."
    ),
    Column(
        "added", "Added p50 [95%]", "Median latency that the strategy adds to a call, against this cell's own baseline."
    ),
    Column(
        "baseline",
        "Untraced p50 [95%]",
        "Median latency of the same calls without tracing (or at the level that the cell is timed against), "
        "on the same machine at that time; the mean over forks with its 95% interval.",
    ),
    Column("share", "Of a 500 ms call [95%]", "Added p50 as a share of a call that takes 500 ms."),
    Column("p95", "Added p95 [95%]", "What the strategy adds to the 95th percentile."),
    Column("cpu", "CPU added / call", "CPU time of all threads, up to the end of the drain."),
    Column("drain", "Drain / trace", "Time from the last call of a burst to the store's last write, per trace."),
    Column("bytes", "Stored / trace", "Growth of the store per trace."),
    Column("floor", "A/A floor", f"{FLOOR[0].upper()}{FLOOR[1:]}: noise alone may look as large as that."),
)

ESTIMATES = {
    "p50_ms": "Added latency, median",
    "p95_ms": "Added latency, 95th percentile",
    "p99_ms": "Added latency, 99th percentile",
    "first_chunk_p50_ms": "Added time to the first chunk of a stream, median",
    "per_chunk_us": "Added time per further chunk of a stream, median",
    "stream_end_p50_ms": "Added time from the last chunk of a stream to its end, median",
    "cpu_ms_per_call": "Added CPU time per call",
    "drain_ms_per_trace": "Drain per trace",
    "stored_bytes_per_trace": "Stored per trace",
    "peak_memory_mib": "Added peak memory",
    "import_cpu_ms": "Added CPU time of the imports, once a process, taken while other processes import",
    "first_call_ms": "Added latency of a process's first call, taken while other processes import",
    "first_call_cpu_ms": "Added CPU time during a process's first call",
    "first_calls_cpu_ms": "Added CPU time of a process's first calls, to the end of their drain",
    "destination_cpu_ms_per_call": "CPU time per call of the server or collector, which is not the application's",
}
"""The ledger's lines in their order: an estimate's name and what it is in words."""

_PER_TRACE = ("drain_ms_per_trace", "stored_bytes_per_trace")


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


def why_no_shift(result: CellResult) -> str:
    """Why there is no interval at any quantile of the latencies."""
    if result.overhead is None:
        return why_no_overhead(result)
    shift = result.overhead.shift
    if shift:
        return shift[0].added.reason or "No interval could be computed."
    p50 = result.overhead.estimates.get("p50_ms")
    reason = None if p50 is None else estimate_shown(p50).reason
    return reason or "The calls are too few, or the result is of an older analysis."


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


def judged_elsewhere(result: CellResult) -> str:
    """Why the cell's completeness says nothing of the place that its timed traces go to; empty if it does."""
    into = result.cell.into
    if into == "sqlite":
        return ""
    judged = f"The completeness pass writes to your own store, and not into the {into} that the timed traces go to"
    if into == "collector":
        return f"{judged}: with tracing.into=collector MLflow itself holds no trace."
    return f"{judged}: what stands here was judged in that store."


def _score(result: CellResult, name: str) -> Shown:
    completeness = result.completeness
    if completeness is None:
        return Shown(ABSENT, why_no_completeness(result))
    value: float | None = getattr(completeness, name)
    if value is None:
        return Shown(ABSENT, completeness.reasons.get(name, "No fact applies."))
    elsewhere = judged_elsewhere(result)
    if elsewhere and result.cell.into == "collector":
        return Shown(ABSENT, elsewhere)
    return Shown(f"{percent(value)} in your own store", elsewhere) if elsewhere else Shown(percent(value))


def traces_shown(result: CellResult) -> tuple[Shown, str]:
    """Traces stored of those expected; and what is the matter with them in words, empty if nothing is."""
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
    counted = f"{completeness.traces_stored} / {completeness.traces_expected}"
    elsewhere = judged_elsewhere(result) if completeness.traces_expected else ""
    if elsewhere and result.cell.into == "collector":
        return Shown(ABSENT, elsewhere), ", ".join(troubles)
    return Shown(f"{counted} in your own store" if elsewhere else counted, elsewhere or None), ", ".join(troubles)


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
    text = quantity(estimate.baseline, estimate.unit, estimate.baseline_low, estimate.baseline_high)
    if result.cell.against != "untraced":
        # A step of `harness levels` has the level below it as its other arm.
        text = f"{text}, {result.cell.against}"
    return Shown(text, estimate.reason if estimate.baseline_low is None else None)


def _share(result: CellResult) -> Shown:
    overhead = result.overhead
    if overhead is None:
        return Shown(ABSENT, why_no_overhead(result))
    estimate = overhead.estimates.get("p50_ms")
    if estimate is None or estimate.value is None:
        return Shown(ABSENT, (estimate and estimate.reason) or "There is no added p50 to take a share of.")
    share, low, high = (
        None if part is None else part / REFERENCE_CALL_MS for part in (estimate.value, estimate.low, estimate.high)
    )
    return Shown(percent_within(share, low, high), None if low is not None else estimate.reason)


def floor_of_provider(
    result: CellResult, peers: list[CellResult], sweep: SweepResult, name: str = "p50_ms"
) -> tuple[float | None, str | None]:
    """The floor of one quantity for the cell's provider in its own setting, or why there is none.

    The farther bound of the A/A cell's interval; a floor that was measured in another
    setting, or in a cell that could not be judged, is refused, and so is any for a step between two levels of tracing.
    """
    if result.cell.against != "untraced":
        return None, OTHER_ARM
    provider = provider_label(result)
    floor_cells = [peer for peer in peers if peer.overhead is not None and peer.overhead.is_floor]
    bounds = [
        max(abs(estimate.low), abs(estimate.high))
        for peer in floor_cells
        if peer.overhead is not None
        and peer.overhead.verdict != "not judged"
        and (estimate := peer.overhead.estimates.get(name)) is not None
        and estimate.low is not None
        and estimate.high is not None
    ]
    if bounds:
        return max(bounds), None
    if floor_cells:
        return None, _no_floor(provider, floor_cells, name)
    if any(provider_label(other) == provider and other.cell.tracing == "none" for other in sweep.cells):
        untimed = any(peer.cell.tracing == "none" for peer in peers)
        why = "has no timing result" if untimed else "ran under other conditions"
        return None, f"The tracing=none cell of {provider} {why}."
    told = sweep.floors_ms.get(provider) if name == "p50_ms" else sweep.floors.get(provider, {}).get(name)
    if told is not None:
        return told, None
    return None, f"The sweep has no tracing=none cell of {provider}."


def _no_floor(provider: str, floor_cells: list[CellResult], name: str) -> str:
    if any(cell.overhead is not None and cell.overhead.verdict == "not judged" for cell in floor_cells):
        return f"The A/A cell of {provider} was not judged."
    return f"The A/A cell of {provider} has no interval{'' if name == 'p50_ms' else f' of {name}'}."


def _transparency(result: CellResult) -> Shown:
    completeness = result.completeness
    if completeness is None:
        return Shown(ABSENT, why_no_completeness(result))
    compared = completeness.transparency_compared
    if compared is None:
        reason = "The calls were not compared with those of an arm without tracing."
        if not result.cell.expects_traces:
            reason = "The strategy traces nothing, so there is nothing to compare."
        return Shown(ABSENT, completeness.reasons.get("transparency", reason))
    return Shown(f"{opaque_calls(result)} / {compared}")


def opaque_calls(result: CellResult) -> int:
    """Calls of which the application got something else than without tracing."""
    if result.completeness is None:
        return 0
    return len({finding.call_id for finding in result.completeness.transparency})


def quantities(result: CellResult) -> dict[str, Shown]:
    """A cell's quantities by the keys of ``COLUMNS``, but for the floor, which other cells decide."""
    return {
        "recall": _score(result, "recall"),
        "otel_recall": _score(result, "otel_recall"),
        "fidelity": _score(result, "fidelity"),
        "traces": traces_shown(result)[0],
        "transparency": _transparency(result),
        "added": _estimate(result, "p50_ms"),
        "baseline": _baseline(result),
        "share": _share(result),
        "p95": _estimate(result, "p95_ms"),
        "cpu": _estimate(result, "cpu_ms_per_call"),
        "drain": _estimate(result, "drain_ms_per_trace"),
        "bytes": _estimate(result, "stored_bytes_per_trace"),
    }
