"""Facts that stop applying, that only the new run has, and flows of several requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.gate.facts import score_comparison
from harness.gate.results import Margins
from harness.gate.runs import Completeness, Verdicts
from tests.gate.conftest import AUTOLOG, Document, document, gate

if TYPE_CHECKING:
    from tests.gate.conftest import Find

LETTERS = {"r": "recorded", "e": "elsewhere", "w": "wrong", "m": "missing", "-": ""}
FACT = "usage.input_tokens"


def with_rows(scores: dict[str, float] | None = None, **rows: str) -> Document:
    """A document with these facts of the autolog cell, by name with dots as underscores."""
    made = document()
    completeness = made["cells"][AUTOLOG]["completeness"]
    completeness |= scores or {}
    verdicts = completeness["judged"]["verdicts"]["mlflow"]
    for fact, row in rows.items():
        verdicts[fact.replace("__", ".")] = row
    return made


def completeness(rows: dict[str, dict[str, str]], **scores: float) -> Completeness:
    """Completeness of facts by flow, one letter a request."""
    return Completeness(
        scores={"recall": None, "otel_recall": None, "fidelity": None} | scores,
        counts={},
        flows=frozenset(flow for flows in rows.values() for flow in flows),
        verdicts={
            "mlflow": {
                fact: Verdicts(by_flow={flow: tuple(LETTERS[one] for one in row) for flow, row in flows.items()})
                for fact, flows in rows.items()
            }
        },
    )


def compared(score: str, before: str, after: str, **scores: float) -> Any:
    """One score of a cell with one fact of one flow, which has a request a letter."""
    old = completeness({FACT: {"0/a": before}}, recall=0.9, fidelity=0.9)
    new = completeness({FACT: {"0/a": after}}, **{"recall": 0.9, "fidelity": 0.9} | scores)
    return score_comparison("cell", score, old, new, Margins())


def test_a_recorded_fact_that_stops_applying_is_named(find: Find) -> None:
    """A version that drops chunk events takes the facts about them away: that is no pass, and not unsaid."""
    before, after = with_rows(response__chunks="r" * 40), with_rows(response__chunks="-" * 40)
    found = find(gate(before, after), "recall")
    assert found.outcome == "inconclusive"
    assert "40 facts were recorded and do not apply any more: response.chunks (40 times)" in found.sentence
    del after["cells"][AUTOLOG]["completeness"]["judged"]["verdicts"]["mlflow"]["response.chunks"]
    assert find(gate(before, after), "recall") == found


def test_a_fact_that_only_the_new_run_has_counts(find: Find) -> None:
    """Invented counts are facts that did not apply before: each is wrong now, whether or not the row was there."""
    result = gate(document(), with_rows(usage__reasoning_tokens="w" * 5 + "-" * 35, scores={"fidelity": 0.9}))
    found = find(result, "fidelity")
    assert found.outcome == "worse"
    assert "5 facts are wrong that were not: usage.reasoning_tokens (5 times, now wrong)" in found.sentence
    recall = find(result, "recall")
    assert recall.outcome == "inconclusive"
    assert "5 facts apply now that did not, and are not recorded: usage.reasoning_tokens" in recall.sentence


def test_an_invention_that_is_gone_is_an_improvement(find: Find) -> None:
    """The other way round nothing is lost."""
    result = gate(with_rows(usage__reasoning_tokens="w" * 5 + "-" * 35), document())
    assert find(result, "fidelity").outcome == "better"
    assert find(result, "recall").outcome == "not worse"


def test_a_score_that_fell_is_never_said_to_have_lost_nothing(find: Find) -> None:
    """Right values that are found no more lower fidelity, too; where no fact explains a fall, that is said."""
    before, after = with_rows(response__id="e" * 40), with_rows(response__id="m" * 40, scores={"fidelity": 0.5})
    found = find(gate(before, after), "fidelity")
    assert found.outcome == "inconclusive"
    assert "of the right ones 40 facts can be found no more: response.id (40 times, now missing)" in found.sentence
    for score in ("recall", "fidelity"):
        found = find(gate(document(), with_rows({score: 0.1})), score)
        assert found.outcome == "inconclusive"
        assert "no fact of a sample that both runs judged explains that" in found.sentence


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ("rm", "mr", "worse"),
        ("rm", "rm", "not worse"),
        ("mm", "mr", "better"),
        ("r-", "-r", "inconclusive"),
        ("rrr", "rr", "inconclusive"),
        ("rr", "rrr", "not worse"),
        ("rr", "rrm", "inconclusive"),
        ("rrr", "rm", "worse"),
    ],
)
def test_requests_of_a_flow_are_compared_one_by_one(before: str, after: str, outcome: str) -> None:
    """Opposite changes of two requests do not cancel; of other numbers of requests, equal ones belong together."""
    assert compared("recall", before, after).outcome == outcome


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ("rw", "wr", "worse"),
        ("ww", "wr", "better"),
        ("-r", "wr", "worse"),
        ("rr", "rrw", "worse"),
        ("mw", "mw", "not worse"),
    ],
)
def test_so_are_those_that_turned_wrong(before: str, after: str, outcome: str) -> None:
    """A request that turned right does not make up for one that turned wrong."""
    assert compared("fidelity", before, after).outcome == outcome


def test_a_score_that_is_gone_has_fallen() -> None:
    """Nothing applies any more: that is no pass."""
    old = completeness({FACT: {"0/a": "r"}}, recall=1.0)
    new = completeness({FACT: {"0/a": "-"}})
    found = score_comparison("cell", "recall", old, new, Margins())
    assert found.outcome == "inconclusive"
    assert "1 fact was recorded and does not apply any more" in found.sentence
