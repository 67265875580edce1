"""The counts and rates that a cell's estimates rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.format import ABSENT, duration, listed, number, percent_within, quantity
from harness.report.stages import not_measuring, stages_shown

if TYPE_CHECKING:
    from harness.report.view import CellView
    from harness.results import CompletenessResult, OverheadResult


def _answers(cell: CellView) -> str:
    """How the answers of the completeness pass fared against the expected ones, in words."""
    exact = [row.exact_match for row in cell.result.rows if row.exact_match is not None]
    overlap = [row.token_overlap for row in cell.result.rows if row.token_overlap is not None]
    if not exact and not overlap:
        return ""
    parts = []
    if exact:
        parts.append(f"{sum(value == 1.0 for value in exact)} of {len(exact)} match the expected answer exactly")
    if overlap:
        parts.append(f"mean token overlap {number(sum(overlap) / len(overlap), decimals=2)}")
    return listed(parts)


def _or_why(text: str, why: str) -> str:
    return f"{ABSENT} ({why})" if text == ABSENT else text


def _recall(completeness: CompletenessResult) -> list[tuple[str, str]]:
    """Recall with its interval over samples, where the cell has a recall."""
    if completeness.recall is None:
        return []
    text = percent_within(completeness.recall, completeness.recall_low, completeness.recall_high)
    if completeness.recall_low is None:
        text += f" ({completeness.reasons.get('recall_interval', 'without an interval')})"
    return [("Recall, its interval over samples, for other prompts like these", text)]


def _timing_ledger(cell: CellView, overhead: OverheadResult) -> list[tuple[str, str]]:
    load, drain = overhead.load_rate_per_s, overhead.drain_rate_per_s
    smallest = quantity(overhead.smallest_found_ms, "ms")
    floor = cell.shown["floor"]
    period = quantity(cell.result.cell.period_ms, "ms")
    return [
        ("Forks", str(overhead.forks)),
        ("Analysed calls a fork and arm", str(overhead.calls_per_fork)),
        ("Smallest effect seen in 80% of such runs", _or_why(smallest, "added p50 has no interval")),
        ("Equivalence margin", quantity(overhead.equivalence_margin_ms, "ms")),
        ("A/A floor of the provider", _or_why(floor.text, (floor.reason or "").rstrip("."))),
        ("Load", _or_why(f"{number(load)} calls/s" if load is not None else ABSENT, "not measured")),
        ("Drain rate", _or_why(f"{number(drain)} traces/s" if drain is not None else ABSENT, "nothing was drained")),
        ("Pace, least time from start to start", _or_why(period, "not recorded")),
        ("Calls kept but not analysed", str(overhead.flagged_calls)),
        ("Timed calls that failed", str(overhead.failed_calls)),
        ("Traces lost while timing", f"{overhead.traces_lost} of {overhead.traces_expected}"),
    ]


def ledger(cell: CellView) -> list[tuple[str, str]]:
    """The counts and rates that a cell's estimates rest on; the verdict in words comes first."""
    record, completeness, overhead = cell.result.cell, cell.result.completeness, cell.result.overhead
    facts = [("Verdict", overhead.sentence)] if overhead is not None else []
    facts += [
        ("Cell", record.cell_id),
        ("MLflow run", _or_why(cell.result.run_id or ABSENT, "it never got one")),
        ("Time taken", duration(record.ended_unix_ns - record.started_unix_ns)),
    ]
    if record.stages_s:
        facts.append(("Time by stage", stages_shown(record)))
        facts.append(("Time that was not measuring", _or_why(not_measuring(record), "nothing was timed")))
    if completeness is not None:
        facts += [("Calls of the completeness pass", str(completeness.calls)), *_recall(completeness)]
    if overhead is not None:
        facts += _timing_ledger(cell, overhead)
    answers = _answers(cell)
    return [*facts, *([("Answers", answers)] if answers else [])]
