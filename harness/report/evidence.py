"""The evidence behind each square of the matrix: for each verdict on a fact in a cell one example."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import ABSENT, evidence_pair

if TYPE_CHECKING:
    from harness.report.view import CellView
    from harness.results import Convention, Judgement, Verdict

_GRAVEST_FIRST: tuple[Verdict, ...] = ("wrong", "missing", "elsewhere", "recorded")

_VALUE_LENGTH = 120


class Witness(NamedTuple):
    """One judgement as evidence: what the wire shows, what the trace shows, and where to look.

    Attributes:
        times: How often this verdict fell on the fact in the cell.
        sample: The sample's id, with its scenario where it has one.
        wire: What the wire shows, as compact JSON.
        traced: What the trace shows; a dash where it shows nothing.
        same: Whether that is the same value, so that it need not be shown twice.
        trace_id: The trace; ``None`` where the call has none.
    """

    verdict: Verdict
    times: int
    sample: str
    wire: str
    traced: str
    same: bool
    place: str
    trace_id: str | None


def witnesses(cell: CellView, convention: Convention) -> dict[str, tuple[Witness, ...]]:
    """By fact the evidence of this cell, the gravest verdict first; each example has a trace where one has."""
    found: dict[tuple[str, Verdict], Judgement] = {}
    times: dict[tuple[str, Verdict], int] = {}
    for one in cell.result.completeness.judgements if cell.result.completeness else ():
        if one.convention != convention:
            continue
        key = (one.fact, one.verdict)
        times[key] = times.get(key, 0) + 1
        kept = found.get(key)
        if kept is None or (kept.trace_id is None and one.trace_id is not None):
            found[key] = one
    return {
        fact: tuple(
            _witness(found[fact, verdict], times[fact, verdict])
            for verdict in _GRAVEST_FIRST
            if (fact, verdict) in found
        )
        for fact in dict.fromkeys(fact for fact, _ in found)
    }


def _witness(one: Judgement, times: int) -> Witness:
    wire, traced = evidence_pair(one.wire, one.traced, _VALUE_LENGTH)
    return Witness(
        verdict=one.verdict,
        times=times,
        sample=f"{one.sample_id}, {one.scenario}" if one.scenario else one.sample_id,
        wire=wire,
        traced=ABSENT if one.verdict == "missing" else traced,
        same=one.verdict in ("recorded", "elsewhere") and wire == traced,
        place=one.place,
        trace_id=one.trace_id,
    )
