"""What a comparison says of two sweeps: both directions, what is the same, and what can't be said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.comparison import compare
from harness.comparison.results import KEPT
from harness.gate import Margins
from harness.gate.losses import p_not_within, rise
from harness.gate.runs import Lost
from harness.gate.shares import share_difference
from harness.overhead.contrasts import contrast
from tests.comparison.conftest import AUTOLOG, SPECS, compared, line_of, made, pair_of, side, with_forks

if TYPE_CHECKING:
    from harness.results import CellResult, Judgement, SweepResult, Verdict

CALM = (-0.03, -0.02, -0.01, 0.0, 0.0, 0.01, 0.02, 0.03)
MIRRORED = {"worse": "better", "better": "worse"}


def forks(centre: float, spread: float = 1.0) -> tuple[float, ...]:
    return tuple(centre + spread * one for one in CALM)


def turned(sweep: SweepResult, fact: str, verdict: Verdict, calls: int, place: int = AUTOLOG) -> SweepResult:
    """A sweep in which a fact of a cell's first calls has another verdict."""
    cell = sweep.cells[place]
    found = cell.completeness
    assert found is not None
    left = calls
    judgements: list[Judgement] = []
    for one in found.judgements:
        is_turned = one.fact == fact and left > 0
        left -= is_turned
        judgements.append(one._replace(verdict=verdict, traced="another") if is_turned else one)
    recorded = sum(one.verdict == "recorded" for one in judgements)
    update = {"judgements": tuple(judgements), "recall": recorded / len(judgements)}
    changed = cell.model_copy(update={"completeness": found.model_copy(update=update)})
    return with_cell(sweep, changed, place)


def with_cell(sweep: SweepResult, cell: CellResult, place: int = AUTOLOG) -> SweepResult:
    return sweep.model_copy(update={"cells": (*sweep.cells[:place], cell, *sweep.cells[place + 1 :])})


def test_the_same_sweep_twice_has_no_change() -> None:
    """Nothing is worse or better, what traces hold is the same, and nothing differs besides."""
    result = compared(made(), made())
    assert result.count_of(("worse", "better", "mixed")) == 0
    assert result.harmless == ()
    assert {line.verdict for line in pair_of(result).lines if line.quantity in ("recall", "fidelity")} == {"same"}
    assert [pair.title for pair in result.pairs] == [
        "openai / manual decorator/plain (chat)",
        "openai / autolog (chat)",
    ]


@pytest.mark.parametrize("name", ["p50_ms", "cpu_ms_per_call", "drain_ms_per_trace", "stored_bytes_per_trace"])
def test_a_cost_is_told_in_both_directions(name: str) -> None:
    """A rise is worse, the way back is better, with the same bounds turned round."""
    words = {
        "p50_ms": "added p50",
        "cpu_ms_per_call": "CPU per call",
        "drain_ms_per_trace": "drain per trace",
        "stored_bytes_per_trace": "stored bytes per trace",
    }
    low, high = with_forks(made(), name, forks(20.0)), with_forks(made(), name, forks(40.0))
    rose, fell = line_of(compared(low, high), words[name]), line_of(compared(high, low), words[name])
    assert (rose.verdict, fell.verdict) == ("worse", "better")
    assert rose.sentence.startswith(f"{words[name]} rose from 20.00")
    assert "B minus A +20.000" in rose.sentence
    assert "fell from 40.00" in fell.sentence
    assert (rose.a, rose.b) == (fell.b, fell.a)
    assert rose.p_no_difference == pytest.approx(fell.p_no_difference)


def test_the_way_back_mirrors_every_verdict() -> None:
    """Whatever is said of A and B is said of B and A, with worse and better exchanged."""
    a = with_forks(made(), "p50_ms", forks(4.0, 5.0))
    b = turned(with_forks(made(), "p50_ms", forks(4.7, 5.0)), "usage.input_tokens", "missing", 7)
    there, back = compared(a, b), compared(b, a)
    assert {line.verdict for pair in there.pairs for line in pair.lines} >= {"worse", "same"}
    for one, other in zip(there.pairs, back.pairs, strict=True):
        mirrored = [(line.quantity, MIRRORED.get(line.verdict, line.verdict)) for line in one.lines]
        assert mirrored == [(line.quantity, line.verdict) for line in other.lines]


def test_a_small_difference_is_equivalent_and_no_more() -> None:
    """It lies within the margin, which the sentence names; a difference that is known to be above zero is told."""
    a, b = with_forks(made(), "p50_ms", forks(4.0)), with_forks(made(), "p50_ms", forks(4.1))
    line = line_of(compared(a, b), "added p50")
    assert line.verdict == "equivalent"
    assert line.sentence.startswith("added p50 is equivalent within 0.552 ms: ")
    assert "small, but not zero" in line.sentence
    assert line_of(compared(a, b, absolute_ms=0.01, relative=0.0), "added p50").verdict == "worse"


def test_noise_is_not_called_equal() -> None:
    """An interval over zero that leaves the margin says nothing, and the sentence says what could not be seen."""
    a, b = with_forks(made(), "p50_ms", forks(4.0, 60.0)), with_forks(made(), "p50_ms", forks(4.2, 60.0))
    line = line_of(compared(a, b), "added p50")
    assert line.verdict == "inconclusive"
    assert "could not have been seen" in line.sentence


def test_few_forks_say_nothing() -> None:
    """Three forks support no interval; the values stand there all the same."""
    few = with_forks(made(), "p50_ms", (4.0, 4.1, 4.2))
    line = line_of(compared(few, made()), "added p50")
    assert line.verdict == "inconclusive"
    assert "3 forks support no interval" in line.sentence
    assert line.a != "—"


def test_one_of_many_is_corrected() -> None:
    """A difference that would stand alone does not among enough comparisons that are none."""
    a = with_forks(made(), "p50_ms", forks(4.0, 30.0))
    b = with_forks(made(), "p50_ms", forks(5.4, 30.0))
    alone = compare(side(a, "one", AUTOLOG), side(b, "two", AUTOLOG), Margins(), "cost")
    line = line_of(alone, "added p50")
    assert line.p_no_difference is not None
    assert alone.tests > 1
    difference = contrast([(1.0, forks(5.4, 30.0)), (-1.0, forks(4.0, 30.0))], stopped_early=False)
    assert not isinstance(difference, str)
    assert line.p_no_difference >= difference.p_beyond(0.0)
    many = compared(a, b)
    assert many.tests > alone.tests
    later = line_of(many, "added p50").p_no_difference
    assert later is not None
    assert later >= line.p_no_difference


def test_lost_traces_forbid_a_verdict_on_costs() -> None:
    """Dropping makes tracing look cheap, so no cost is compared, and the loss itself is."""
    lossy = (SPECS[0], SPECS[1], SPECS[2]._replace(lost=30))
    result = compared(made(), made(lossy))
    assert line_of(result, "added p50").verdict == "inconclusive"
    back = compared(made(lossy), made())
    for quantity in ("CPU per call", "stored bytes per trace"):
        for found, which, shown in ((result, "B", "b"), (back, "A", "a")):
            line = line_of(found, quantity)
            assert line.verdict == "inconclusive"
            assert f"in {which} 30 traces were lost, and dropping traces makes tracing look cheap" in line.sentence
            assert getattr(line, shown) == "—"
    assert line_of(result, "traces lost while timed").verdict == "worse"
    assert line_of(back, "traces lost while timed").verdict == "better"
    none = line_of(compared(made(), made()), "traces lost while timed")
    assert (none.verdict, none.a) == ("same", "0 of 480")
    assert "could go unseen" in none.sentence


def test_facts_are_counted_with_an_example() -> None:
    """A fact that is recorded no more is named with how often, the sample, and wire beside both traces."""
    result = compared(made(), turned(made(), "usage.input_tokens", "missing", 7))
    line = line_of(result, "recall")
    assert line.verdict == "worse"
    assert "7 facts recorded no more: usage.input_tokens (recorded → missing, 7 times)" in line.sentence
    (move,) = pair_of(result).moves
    assert (move.fact, move.was, move.now, move.times) == ("usage.input_tokens", "recorded", "missing", 7)
    assert (move.sample, move.wire, move.a, move.b) == ("geo-00", "27", "27", "—")
    assert move.a_trace_id.startswith("tr-")


def test_gains_do_not_make_up_for_losses() -> None:
    """Where some facts became better and others worse, both are told."""
    better = turned(turned(made(), "usage.cached_tokens", "recorded", 12), "request.model", "wrong", 3)
    line = line_of(compared(made(), better), "recall")
    assert line.verdict == "mixed"
    assert "recorded that were not: usage.cached_tokens (missing → recorded, 12 times)" in line.sentence
    assert "request.model (recorded → wrong, 3 times)" in line.sentence
    assert line_of(compared(made(), better), "fidelity").verdict == "worse"


def test_two_cells_of_one_sweep_are_compared_by_strategy() -> None:
    """Manual against autolog: the title has both, what differs is named, and facts and costs are told."""
    sweep = made()
    result = compare(side(sweep, "one", 1), side(sweep, "two", AUTOLOG), Margins())
    (pair,) = result.pairs
    assert pair.title == "openai / manual decorator/plain (chat) → openai / autolog (chat)"
    assert pair.differs == (("tracing", "manual", "autolog"), ("style", "decorator/plain", "as usual"))
    assert line_of(result, "recall").verdict == "better"
    assert line_of(result, "added p50").a.startswith("3.")


def test_another_runtime_is_what_differs() -> None:
    """Cells in other versions are held against each other, and the versions are listed."""
    old = made(records={3: {"runtime": "mlflow==3.10.1", "versions": {"python": "3.11.9", "mlflow": "3.10.1"}}})
    result = compared(old, made())
    pair = pair_of(result)
    assert pair.differs == (("runtime", "mlflow==3.10.1", "as usual"),)
    assert ("mlflow", "3.10.1", "3.17.2", 1) in result.harmless


def test_what_has_no_partner_is_told() -> None:
    """Cells of one side alone and cells that failed are left out with a note."""
    failing = (SPECS[0], SPECS[1]._replace(failed=True), SPECS[2])
    result = compared(made(failing), made(SPECS[1:]))
    assert [pair.title for pair in result.pairs] == ["openai / autolog (chat)"]
    told = " ".join(result.notes)
    assert "1 cell of A is not in B, and not compared: openai / none (chat)." in told
    assert "openai / manual decorator/plain (chat) was not compared: it is failed in A" in told


def test_a_scope_leaves_the_other_out() -> None:
    """Completeness alone has no costs, costs alone have no recall."""
    completeness = {line.quantity for line in pair_of(compared(made(), made(), "completeness")).lines}
    cost = {line.quantity for line in pair_of(compared(made(), made(), "cost")).lines}
    assert "recall" in completeness
    assert "added p50" in cost
    assert not completeness & cost


def test_what_did_not_change_is_counted_with_the_rest() -> None:
    """The summary's numbers add up to all quantities."""
    result = compared(made(), turned(made(), "usage.input_tokens", "missing", 7))
    lines = [line for pair in result.pairs for line in pair.lines]
    assert f"of {len(lines)} quantities in 2 pairs of cells" in result.summary()
    assert f"{result.count_of(KEPT)} the same or equivalent" in result.summary()


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0])
def test_p_of_no_equivalence_agrees_with_the_interval(margin: float) -> None:
    """It is below 0.05 exactly where the 95% interval lies within the margin, of costs and of shares."""
    for centre in (4.0, 4.1, 4.4, 5.2):
        found = contrast([(1.0, forks(centre, 9.0)), (-1.0, forks(4.0, 9.0))], stopped_early=False)
        assert not isinstance(found, str)
        within = abs(found.value) + found.half_width < margin
        assert (found.p_not_within(margin) < 0.05) == within
    for lost in (0, 3, 20, 60):
        old, new = Lost(480, 3), Lost(480, lost)
        low, high = share_difference((3, 480), (lost, 480), level=0.95)
        assert (p_not_within(old, new, margin / 10, stopped_early=False) < 0.05) == (max(-low, high) < margin / 10)
        assert not isinstance(rise(old, new, 0.0, stopped_early=False), str)


def with_untraced(sweep: SweepResult, p50_ms: float, half_width_ms: float | None = None) -> SweepResult:
    """A sweep whose autolog cell's untraced arm takes so long."""
    cell = sweep.cells[AUTOLOG]
    assert cell.overhead is not None
    update: dict[str, float] = {"baseline": p50_ms}
    if half_width_ms is not None:
        update |= {"baseline_low": p50_ms - half_width_ms, "baseline_high": p50_ms + half_width_ms}
    p50 = cell.overhead.estimates["p50_ms"].model_copy(update=update)
    overhead = cell.overhead.model_copy(update={"estimates": cell.overhead.estimates | {"p50_ms": p50}})
    return with_cell(sweep, cell.model_copy(update={"overhead": overhead}))


@pytest.mark.parametrize(("risen_ms", "verdict"), [(4.0, "inconclusive"), (4.9, "inconclusive"), (40.0, "worse")])
def test_what_a_slower_machine_explains_is_no_change(risen_ms: float, verdict: str) -> None:
    """Beyond that it is one; equivalent it is not called, and the sentence says what the machine may have done."""
    a = with_untraced(with_forks(made(), "p50_ms", forks(4.0)), 1.5)
    b = with_untraced(with_forks(made(), "p50_ms", forks(risen_ms)), 2.0)
    there, back = line_of(compared(a, b), "added p50"), line_of(compared(b, a), "added p50")
    assert (there.verdict, back.verdict) == (verdict, MIRRORED.get(verdict, verdict))
    assert "the machine itself is 33.3% slower: untraced, p50 is 1.50 ms in A and 2.00 ms in B" in there.sentence
    assert "which alone may make a difference of " in there.sentence


def test_the_change_of_the_machine_is_told_with_its_interval() -> None:
    """Where it may as well be none, no direction is told; and it is A and B of which it is told."""
    a = with_untraced(with_forks(made(), "p50_ms", forks(4.0)), 1.5, 0.6)
    b = with_untraced(with_forks(made(), "p50_ms", forks(4.9)), 2.0, 0.6)
    line = line_of(compared(a, b), "added p50")
    assert line.verdict == "inconclusive"
    assert "the machine itself may have changed: untraced, p50 is 1.50 ms in A and 2.00 ms in B (95%" in line.sentence
    known = line_of(compared(with_untraced(a, 1.5, 0.1), with_untraced(b, 2.0, 0.1)), "added p50")
    assert "the machine itself is 33.3% slower: untraced, p50 is 1.50 ms in A and 2.00 ms in B (95%" in known.sentence


def test_a_slower_way_to_the_endpoint_explains_no_cpu() -> None:
    """Only the CPU of untraced calls tells of what tracing computes and stores."""
    a = with_untraced(with_forks(made(), "cpu_ms_per_call", forks(22.0)), 1.5)
    b = with_untraced(with_forks(made(), "cpu_ms_per_call", forks(25.0)), 2.0)
    line = line_of(compared(a, b), "CPU per call")
    assert line.verdict == "worse"
    assert "the machine itself" not in line.sentence
