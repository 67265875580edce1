"""Traces that were lost, in both runs: shares, their chance, and what must not be compared."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from harness.gate.family import judge
from harness.gate.losses import LossPair, rise
from harness.gate.runs import Lost
from tests.gate.conftest import AUTOLOG, Document, document, gate
from tests.report.conftest import machine

if TYPE_CHECKING:
    from tests.gate.conftest import Find

TIMED = "traces lost while timed"
ENDED = "traces lost by os._exit"


def timed(*lost: int, each: int = 120) -> Document:
    """A document whose forks lost so many traces each."""
    made = document()
    made["cells"][AUTOLOG]["overhead"] |= {
        "traces_expected": each * len(lost),
        "traces_lost": sum(lost),
        "expected_by_fork": [each] * len(lost),
        "lost_by_fork": list(lost),
    }
    return made


def pooled(lost: int, expected: int = 480) -> Document:
    """The same where only sums are known, as in older documents."""
    made = document()
    made["cells"][AUTOLOG]["overhead"] |= {"traces_expected": expected, "traces_lost": lost}
    return made


def ended(lost: int, halves: int = 0, **measure: Any) -> Document:
    made = document()
    cell = made["cells"][AUTOLOG]
    stored = {"stored_traces": 23 - lost, "complete_traces": 23 - lost - halves}
    cell["losses"] = [{"ending": "os._exit", "expected_traces": 23, **stored}]
    cell["config"]["measure"] |= measure
    return made


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), "not worse"),
        ((0, 0, 0, 0), (0, 0, 0, 1), "inconclusive"),
        ((0, 0, 0, 1), (120, 120, 120, 119), "worse"),
        ((0, 0, 0, 0), (120, 120, 120, 120), "worse"),
        ((0, 0, 0, 0), (0, 0, 0, 120), "inconclusive"),
        ((0, 0, 0, 1), (0, 0, 0, 0), "not worse"),
        ((110, 112, 111, 113), (0, 1, 0, 0), "better"),
        ((120, 120, 120, 120), (120, 120, 120, 120), "not worse"),
        ((10, 11, 12, 11), (11, 10, 12, 11), "inconclusive"),
    ],
)
def test_forks_decide_whether_more_was_lost(
    before: tuple[int, ...], after: tuple[int, ...], outcome: str, find: Find
) -> None:
    """A trace more is chance, one fork that lost everything is one fork, and more of what was lost before is found."""
    found = find(gate(timed(*before), timed(*after)), TIMED)
    assert found.outcome == outcome, found.sentence
    assert f"went from {sum(before)} of 480 to {sum(after)} of 480" in found.sentence


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [(1, 479, "worse"), (0, 1, "inconclusive"), (0, 60, "worse"), (60, 0, "better"), (20, 24, "inconclusive")],
)
def test_sums_are_tested_where_no_forks_are_known(before: int, after: int, outcome: str, find: Find) -> None:
    """As in documents of older versions: more loss is found although the baseline had lost some."""
    found = find(gate(pooled(before), pooled(after)), TIMED)
    assert found.outcome == outcome, found.sentence
    assert found.low is not None
    assert found.high is not None
    assert found.low <= (after - before) / 480 <= found.high
    assert "95% interval of the rise" in found.sentence


def test_half_a_trace_is_a_lost_one(find: Find) -> None:
    """A trace of which one of MLflow's two writes arrived is no trace, when a process ends as when calls are timed."""
    found = find(gate(ended(0), ended(0, halves=20)), ENDED)
    assert found.outcome == "worse", found.sentence
    assert "from 0 of 23 to 20 of 23" in found.sentence


def test_a_rise_within_the_margin_is_none(find: Find) -> None:
    """Two in a hundred thousand more are known well, and tolerated; a margin of nothing tolerates no rise."""
    before, after = pooled(100, 100_000), pooled(400, 100_000)
    assert find(gate(before, after), TIMED).outcome == "not worse"
    assert find(gate(before, after, loss=0.0), TIMED).outcome == "worse"


def test_three_forks_support_no_verdict_on_losses(find: Find) -> None:
    """But a run that lost nothing did not get worse."""
    assert find(gate(timed(0, 0, 0), timed(9, 8, 7)), TIMED).outcome == "inconclusive"
    assert find(gate(timed(9, 8, 7), timed(0, 0, 0)), TIMED).outcome == "not worse"


def test_costs_are_withheld_where_traces_were_lost(find: Find) -> None:
    """What is dropped costs no CPU either."""
    found = find(gate(document(), timed(30, 31, 32, 33)), "CPU per call")
    assert found.outcome == "inconclusive"
    assert "126 traces were lost, and dropping traces makes tracing look cheap" in found.sentence


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (0, 0, "not worse"),
        (0, 3, "inconclusive"),
        (0, 23, "worse"),
        (3, 0, "not worse"),
        (23, 0, "better"),
        (3, 9, "inconclusive"),
        (3, 3, "inconclusive"),
        (9, 3, "not worse"),
        (23, 23, "not worse"),
    ],
)
def test_traces_lost_at_the_end_of_a_process(before: int, after: int, outcome: str, find: Find) -> None:
    """One process each: a few more are chance, all of them are not."""
    found = find(gate(ended(before), ended(after)), ENDED)
    assert found.outcome == outcome, found.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ending_calls": 40}, "measure.ending_calls is 23 in the baseline and 40 now"),
        ({"burst_calls": 9}, "measure.burst_calls is 2000 in the baseline and 9 now"),
    ],
)
def test_endings_after_other_calls_are_not_compared(change: dict[str, int], said: str, find: Find) -> None:
    """What an ending loses depends on how much came before it; the rest of the cell is compared all the same."""
    usual = {"ending_calls": 23, "burst_calls": 2000}
    result = gate(ended(0, **usual), ended(23, **usual | change))
    assert result.refusals == ()
    found = find(result, ENDED)
    assert found.outcome == "inconclusive"
    assert said in found.sentence
    assert find(result, "added p50").outcome == "not worse"


def test_endings_on_another_machine_are_not_compared(find: Find) -> None:
    """``--only completeness`` compares across machines, but how much is lost depends on them."""
    other = ended(23)
    other["cells"][AUTOLOG]["machine"] = machine(cpu_model="Xeon").model_dump(mode="json")
    found = find(gate(ended(0), other, "completeness"), ENDED)
    assert found.outcome == "inconclusive"
    assert "CPU model is AMD EPYC 7B13 in the baseline and Xeon now" in found.sentence


def test_an_ending_that_was_not_tried_is_told(find: Find) -> None:
    """It is not passed over."""
    found = find(gate(ended(0), document()), ENDED)
    assert found.outcome == "inconclusive"
    assert found.sentence.endswith("are inconclusive: the current run did not try it.")


def test_equal_runs_seldom_differ_in_losses() -> None:
    """Forks that lose by a chance of their own, more alike within a fork than between: under 5% are findings."""
    dice = random.Random(11)

    def run() -> Lost:
        forks = []
        for _ in range(6):
            share = dice.betavariate(0.5, 4.0)
            forks.append((60, sum(dice.random() < share for _ in range(60))))
        return Lost(sum(expected for expected, _ in forks), sum(lost for _, lost in forks), tuple(forks))

    gates, alarms = 400, 0
    for _ in range(gates):
        before, after = run(), run()
        pair = LossPair("cell", TIMED, before, after, 0.0, rise(before, after, 0.0, stopped_early=False))
        alarms += judge([pair])[0].outcome in ("worse", "better")
    assert alarms <= 0.05 * gates + 2 * (0.05 * 0.95 * gates) ** 0.5
