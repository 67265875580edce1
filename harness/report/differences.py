"""One row for each difference between a cell's calls and their traces, as a table for MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import clip, evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.results import CompletenessResult, Judgement, TransparencyFinding

ROWS_AT_MOST = 5000
"""Rows of the table: the viewer loads all of it, and the raw records hold everything anyway."""

_TEXT_LENGTH = 200
_GRAVITY = ("different", "lost", "wrong", "missing", "elsewhere")
_CONVENTIONS = ("", "mlflow", "otel")


class Row(NamedTuple):
    """One difference; the names are the table's headings."""

    verdict: str
    fact: str
    wire_value: str
    traced_value: str
    place: str
    sample: str
    scenario: str
    trace_id: str
    call: str
    request: str
    convention: str


def difference_table(completeness: CompletenessResult) -> dict[str, list[str]] | None:
    """Every difference of a cell, gravest first, by column; ``None`` if there is none.

    What the application got differently comes first (``different``), then calls without a trace
    (``lost``), then facts in MLflow's places, then those in OpenTelemetry's. Long values are cut
    with an ellipsis. Beyond ``ROWS_AT_MOST`` rows a last one says how many were left out.
    """
    rows = [*map(_transparency_row, completeness.transparency), *_fact_rows(completeness)]
    rows.sort(key=lambda row: (_CONVENTIONS.index(row.convention), _GRAVITY.index(row.verdict)))
    if not rows:
        return None
    shown = rows[:ROWS_AT_MOST]
    if len(rows) > len(shown):
        left = f"{len(rows) - len(shown)} more differences are not listed; the cell's records hold them"
        shown.append(Row("…", left, *("…" for _ in Row._fields[2:])))
    return {name: [getattr(row, name) for row in shown] for name in Row._fields}


def _fact_rows(completeness: CompletenessResult) -> Iterator[Row]:
    lost: dict[str, list[Judgement]] = {}
    for judgement in completeness.judgements:
        if judgement.trace_id is None:
            # Where no trace is, every fact is missing: that is told once.
            lost.setdefault(judgement.call_id, []).append(judgement)
        elif judgement.verdict != "recorded":
            yield _fact_row(judgement)
    for call_id, judged in lost.items():
        facts = len({(one.fact, one.request) for one in judged})
        yield Row(
            verdict="lost",
            fact="trace",
            wire_value=f"{facts} facts of this call are nowhere",
            traced_value="",
            place="",
            sample=judged[0].sample_id,
            scenario=judged[0].scenario,
            trace_id="",
            call=call_id,
            request="",
            convention="",
        )


def _fact_row(judgement: Judgement) -> Row:
    return Row(
        verdict=judgement.verdict,
        fact=judgement.fact,
        wire_value=evidence(judgement.wire, _TEXT_LENGTH),
        traced_value="" if judgement.verdict == "missing" else evidence(judgement.traced, _TEXT_LENGTH),
        place=clip(judgement.place, _TEXT_LENGTH),
        sample=judgement.sample_id,
        scenario=judgement.scenario,
        trace_id=judgement.trace_id or "",
        call=judgement.call_id,
        request=str(judgement.request),
        convention=judgement.convention,
    )


def _transparency_row(finding: TransparencyFinding) -> Row:
    """What the application got without tracing stands where facts have the wire's value."""
    return Row(
        verdict="different",
        fact=f"transparency.{finding.aspect}",
        wire_value="" if finding.without is None else clip(finding.without, _TEXT_LENGTH),
        traced_value="" if finding.with_tracing is None else clip(finding.with_tracing, _TEXT_LENGTH),
        place=clip(finding.place, _TEXT_LENGTH),
        sample=finding.sample_id,
        scenario=finding.scenario,
        trace_id=finding.trace_id or "",
        call=finding.call_id,
        request="",
        convention="",
    )
