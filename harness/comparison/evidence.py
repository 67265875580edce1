"""Wire beside traces for facts that fared otherwise, from the judgements of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.comparison.results import FactMove
from harness.records import CallId
from harness.report.format import ABSENT, evidence

if TYPE_CHECKING:
    from collections.abc import Collection

    from harness.comparison.facts import Move
    from harness.results import CellResult, Judgement


class _Place(NamedTuple):
    """Which fact of which request."""

    convention: str
    fact: str
    flow: str
    place: int


def with_evidence(moves: list[Move], a: CellResult | None, b: CellResult | None) -> tuple[FactMove, ...]:
    """Each with its first example: what the wire shows, what the traces hold.

    Args:
        moves: In their order.
        a: Everything that is known of the first cell, if it is.
        b: Likewise.
    """
    wanted = {_place(move) for move in moves if move.place is not None}
    old, new = _judged(a, wanted), _judged(b, wanted)
    return tuple(_example(move, old.get(_place(move)), new.get(_place(move))) for move in moves)


def _place(move: Move) -> _Place:
    return _Place(move.convention, move.fact, move.flow, -1 if move.place is None else move.place)


def _judged(result: CellResult | None, wanted: Collection[_Place]) -> dict[_Place, Judgement]:
    """The judgements on these facts; requests are numbered as ``harness.report.letters`` has them."""
    if result is None or result.completeness is None or not wanted:
        return {}
    places: dict[tuple[str, int], tuple[str, int]] = {}
    requests: dict[str, int] = {}
    found: dict[_Place, Judgement] = {}
    for one in result.completeness.judgements:
        at = places.get((one.call_id, one.request))
        if at is None:
            call = CallId.parse(one.call_id)
            flow = f"{call.repetition}/{call.sample}"
            at = places[one.call_id, one.request] = flow, requests.get(flow, 0)
            requests[flow] = at[1] + 1
        place = _Place(one.convention, one.fact, *at)
        if place in wanted:
            found[place] = one
    return found


def _example(move: Move, a: Judgement | None, b: Judgement | None) -> FactMove:
    judged = a or b
    return FactMove(
        convention=move.convention,
        fact=move.fact,
        was=move.was,
        now=move.now,
        times=move.times,
        sample=move.flow.partition("/")[2],
        wire="" if judged is None else evidence(judged.wire),
        a=_traced(a),
        b=_traced(b),
        a_trace_id="" if a is None else a.trace_id or "",
        b_trace_id="" if b is None else b.trace_id or "",
    )


def _traced(judgement: Judgement | None) -> str:
    if judgement is None:
        return ""
    return ABSENT if judgement.verdict == "missing" else evidence(judgement.traced)
