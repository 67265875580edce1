"""What the gate finds in two sweeps: each kind of finding, and what it does not take for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.gate.conftest import AUTOLOG, SPECS, Document, document, forks_of, gate

if TYPE_CHECKING:
    from harness.gate import GateResult
    from tests.gate.conftest import Find

COSTS = {
    "p50_ms": "added p50",
    "first_chunk_p50_ms": "added time to the first chunk",
    "cpu_ms_per_call": "CPU per call",
    "drain_ms_per_trace": "drain per trace",
}


def outcomes(result: GateResult) -> set[str]:
    return {one.outcome for one in result.comparisons}


def with_forks(name: str, centre: float, spread: float, seed: int = 0) -> Document:
    made = document()
    forks_of(made["cells"][AUTOLOG], name, centre, spread, seed)
    return made


def turned(fact: str, letter: str, calls: int, convention: str = "mlflow") -> Document:
    """A document in which the first calls have another verdict on a fact."""
    made = document()
    rows = made["cells"][AUTOLOG]["completeness"]["judged"]["verdicts"].setdefault(convention, {})
    rows[fact] = letter * calls + rows.get(fact, "r" * 40)[calls:]
    return made


def test_the_same_sweep_twice_passes() -> None:
    """Nothing is worse, better or in doubt, and nothing has changed."""
    result = gate(document(), document())
    assert outcomes(result) == {"not worse"}
    assert (result.refusals, result.changes, result.notes) == ((), (), ())
    assert not result.fails(strict=True)


@pytest.mark.parametrize("name", COSTS)
def test_a_cost_that_rose_is_found_and_named(name: str, find: Find) -> None:
    """A rise far beyond margin and noise fails the gate, with both values; the fall back is an improvement."""
    before, after = with_forks(name, 5.0, 0.1), with_forks(name, 25.0, 0.1, seed=1)
    found = find(result := gate(before, after), COSTS[name])
    assert found.outcome == "worse"
    assert result.fails(strict=False)
    assert found.sentence.startswith(f"openai / autolog (chat): {COSTS[name]} rose from ")
    assert found.baseline == pytest.approx(5.0, abs=0.3)
    assert found.current == pytest.approx(25.0, abs=0.3)
    assert len(result.of("worse")) == 1
    back = find(result := gate(after, before), COSTS[name])
    assert back.outcome == "better"
    assert not result.fails(strict=True)


def test_a_rise_within_the_margin_is_none(find: Find) -> None:
    """A rise that is known well and lies below the margin passes, and fails under a smaller margin."""
    before, after = with_forks("p50_ms", 5.0, 0.01), with_forks("p50_ms", 5.3, 0.01, seed=1)
    assert find(gate(before, after), "added p50").outcome == "not worse"
    strict = gate(before, after, absolute_ms=0.1, relative=0.0)
    assert find(strict, "added p50").outcome == "worse"


def test_the_larger_margin_counts(find: Find) -> None:
    """The relative margin is a share of the whole cost, what it is without tracing included."""
    before, after = with_forks("p50_ms", 5.0, 0.01), with_forks("p50_ms", 7.0, 0.01, seed=1)
    found = find(gate(before, after, absolute_ms=0.1, relative=0.5), "added p50")
    assert found.outcome == "not worse"
    assert found.margin == pytest.approx(0.5 * (5.0 + 1.5), abs=0.1)


def test_noise_is_inconclusive_and_fails_only_strictly(find: Find) -> None:
    """A rise that the spread between forks can explain is said, and the exit follows --strict."""
    result = gate(with_forks("p50_ms", 5.0, 4.0), with_forks("p50_ms", 6.0, 4.0, seed=1))
    found = find(result, "added p50")
    assert found.outcome == "inconclusive"
    assert "inconclusive" in found.sentence
    assert not result.fails(strict=False)
    assert result.fails(strict=True)


def test_too_few_forks_are_inconclusive(find: Find) -> None:
    """Under four forks nothing is claimed, however far the values lie apart."""
    before, after = with_forks("p50_ms", 5.0, 0.1), with_forks("p50_ms", 50.0, 0.1, seed=1)
    del after["cells"][AUTOLOG]["overhead"]["estimates"]["p50_ms"]["per_fork"][3:]
    found = find(gate(before, after), "added p50")
    assert found.outcome == "inconclusive"
    assert "3 forks support no interval" in found.sentence


def not_judged(p50_ms: float, *clauses: str, lost: int = 0) -> Document:
    made = with_forks("p50_ms", p50_ms, 0.1, seed=1)
    sentence = f"not judged: {'; '.join(clauses)}"
    made["cells"][AUTOLOG]["overhead"] |= {"verdict": "not judged", "sentence": sentence, "traces_lost": lost}
    return made


LOST = "3 of 480 traces were lost, and dropping traces makes tracing look cheap"
SATURATED = "the load of 25.0 calls a second saturated the store"


@pytest.mark.parametrize("p50_ms", [1.0, 4.0, 50.0])
@pytest.mark.parametrize("lost", [0, 3])
def test_a_latency_that_was_not_judged_is_not_compared(p50_ms: float, lost: int, find: Find) -> None:
    """Where the store was saturated, latency says nothing, neither way; its reason is passed on."""
    after = not_judged(p50_ms, *([LOST] if lost else []), SATURATED, lost=lost)
    found = find(gate(with_forks("p50_ms", 4.0, 0.1), after), "added p50")
    assert found.outcome == "inconclusive"
    assert "in the current run it is not judged: " in found.sentence
    assert SATURATED in found.sentence


@pytest.mark.parametrize(("p50_ms", "outcome"), [(1.0, "inconclusive"), (4.0, "inconclusive"), (50.0, "worse")])
def test_a_rise_is_found_although_the_current_run_lost_traces(p50_ms: float, outcome: str, find: Find) -> None:
    """What was dropped makes tracing look cheap: a rise is all the surer, a fall and a calm say nothing."""
    before, after = with_forks("p50_ms", 4.0, 0.1), not_judged(p50_ms, LOST, lost=3)
    result = gate(before, after)
    found = find(result, "added p50")
    assert found.outcome == outcome, found.sentence
    if outcome == "inconclusive":
        assert "in the current run 3 traces were lost, and dropping traces makes tracing look cheap" in found.sentence
    assert result.fails(strict=False) == (outcome == "worse")
    assert find(result, "traces lost while timed").outcome == "inconclusive"


def test_nothing_is_said_where_the_baseline_lost_traces(find: Find) -> None:
    """Its cost looks smaller than it was, so what seems a rise may be none."""
    before, after = not_judged(4.0, LOST, lost=3), with_forks("p50_ms", 50.0, 0.1)
    found = find(gate(before, after), "added p50")
    assert found.outcome == "inconclusive"
    assert "in the baseline 3 traces were lost" in found.sentence


def failing(calls: int) -> Document:
    """A document of which so many timed calls failed, of eight forks of 60 analysed calls in each arm."""
    made = document()
    overhead = made["cells"][AUTOLOG]["overhead"]
    overhead |= {"failed_calls": calls, "calls_per_fork": 60 - calls // 16}
    return made


@pytest.mark.parametrize(
    ("before", "after", "outcome"), [(0, 160, "worse"), (160, 0, "better"), (0, 9, "inconclusive"), (4, 400, "worse")]
)
def test_timed_calls_that_fail_are_compared(before: int, after: int, outcome: str, find: Find) -> None:
    """As a share of all timed calls: what fails costs little, and must not pass for that."""
    found = find(gate(failing(before), failing(after)), "timed calls that failed")
    assert found.outcome == outcome, found.sentence
    assert f"timed calls that failed went from {before} of " in found.sentence


def test_calls_that_never_fail_are_no_comparison() -> None:
    """They would only make the correction stricter."""
    assert not any("failed" in one.quantity for one in gate(failing(0), failing(0)).comparisons)


@pytest.mark.parametrize(("after", "outcome"), [(0.0, "not worse"), (2.0, "inconclusive")])
def test_a_cost_that_is_one_value_in_all_forks(after: float, outcome: str, find: Find) -> None:
    """Nothing is drained where the export is synchronous: equal to the last bit is not worse, strictly, too."""
    documents = [document(), document()]
    for made, value in zip(documents, (0.0, after), strict=True):
        estimate = made["cells"][AUTOLOG]["overhead"]["estimates"]["drain_ms_per_trace"]
        estimate |= {"value": value, "per_fork": [value] * 8, "baseline": 0.0}
    result = gate(documents[0], documents[1])
    found = find(result, "drain per trace")
    assert found.outcome == outcome, found.sentence
    assert result.fails(strict=True) == (outcome == "inconclusive")
    assert (
        "in all forks of both runs" if outcome == "not worse" else "on both sides all forks gave one value"
    ) in found.sentence


def test_a_latency_that_neither_run_has_is_told(find: Find) -> None:
    """Too few calls for a median in both runs: nothing is compared, and that is said with the reason."""
    before, after = document(), document()
    for one in (before, after):
        one["cells"][AUTOLOG]["overhead"]["estimates"]["p50_ms"] |= {
            "value": None,
            "low": None,
            "high": None,
            "per_fork": [],
            "reason": "p50 needs 10 analysed calls in each arm of each fork, and fork 0 has 8",
        }
    found = find(gate(before, after), "added p50")
    assert found.outcome == "inconclusive"
    assert "the baseline has none: p50 needs 10 analysed calls" in found.sentence


def test_equal_arms_have_no_cost_to_compare() -> None:
    """The A/A cell's difference is noise by design."""
    after = document()
    forks_of(after["cells"][0], "p50_ms", 30.0, 0.1)
    assert not any(one.quantity in COSTS.values() and "none" in one.cell for one in gate(document(), after).comparisons)


@pytest.mark.parametrize(("letter", "said"), [("m", "missing"), ("e", "elsewhere"), ("w", "wrong")])
def test_a_fact_that_is_recorded_no_more_is_named(letter: str, said: str, find: Find) -> None:
    """One call is enough: fact, number of times and new verdict are in the sentence."""
    found = find(gate(document(), turned("usage.input_tokens", letter, 1)), "recall")
    assert found.outcome == "worse"
    assert f"1 fact is recorded no more: usage.input_tokens (1 time, now {said})" in found.sentence


def test_a_gain_elsewhere_does_not_hide_a_lost_fact(find: Find) -> None:
    """Twelve facts won do not make up for one lost: the score rose, and the gate fails."""
    after = turned("usage.input_tokens", "m", 1)
    after["cells"][AUTOLOG]["completeness"]["judged"]["verdicts"]["mlflow"]["usage.cached_tokens"] = "r" * 12 + "-" * 28
    after["cells"][AUTOLOG]["completeness"]["recall"] = 0.99
    assert find(gate(document(), after), "recall").outcome == "worse"


def test_a_fact_that_is_recorded_now_is_an_improvement(find: Find) -> None:
    """What was missing and is there now is said."""
    after = turned("usage.input_tokens", "m", 3)
    found = find(gate(after, document()), "recall")
    assert found.outcome == "better"
    assert "3 facts are missed no more" in found.sentence


def test_opentelemetrys_places_are_compared_by_themselves(find: Find) -> None:
    """A fact that left its gen_ai place alone lowers otel recall and nothing else."""
    before = turned("usage.input_tokens", "r", 1, "otel")
    result = gate(before, turned("usage.input_tokens", "m", 1, "otel"))
    assert find(result, "otel recall").outcome == "worse"
    assert find(result, "recall").outcome == "not worse"
    assert len(result.of("worse")) == 1


def test_a_fact_that_turned_wrong_lowers_fidelity(find: Find) -> None:
    """Also where it was missing before, which recall does not see."""
    result = gate(turned("usage.input_tokens", "m", 2), turned("usage.input_tokens", "w", 2))
    found = find(result, "fidelity")
    assert found.outcome == "worse"
    assert "2 facts are wrong that were not: usage.input_tokens (2 times, now wrong)" in found.sentence
    assert find(result, "recall").outcome == "not worse"


def test_the_recall_margin_tolerates_a_share_of_the_facts(find: Find) -> None:
    """What is lost within it is told all the same."""
    found = find(gate(document(), turned("usage.input_tokens", "m", 1), recall=0.01), "recall")
    assert found.outcome == "not worse"
    assert "within the margin of 1%: usage.input_tokens" in found.sentence


@pytest.mark.parametrize(
    ("key", "quantity"),
    [
        ("traces_lost", "lost traces"),
        ("traces_duplicated", "duplicated traces"),
        ("traces_orphaned", "orphaned traces"),
        ("transparency_differences", "differences that the application saw"),
    ],
)
def test_counts_of_what_should_not_be_are_exact(key: str, quantity: str, find: Find) -> None:
    """One more is a finding, one less an improvement."""
    before, after = document(), document()
    before["cells"][AUTOLOG]["completeness"][key] = 1
    after["cells"][AUTOLOG]["completeness"][key] = 2
    assert find(gate(before, after), quantity).sentence.endswith("went from 1 to 2.")
    assert find(gate(before, after), quantity).outcome == "worse"
    assert find(gate(after, before), quantity).outcome == "better"


def test_a_cell_that_is_gone_is_a_finding() -> None:
    """The baseline had it, so its absence is told; a cell that is new is only noted."""
    after = document()
    gone = after["cells"].pop(AUTOLOG)
    (found,) = gate(document(), after).of("worse")
    assert found.sentence == "openai / autolog (chat): the cell is missing in the current run."
    before = document()
    before["cells"].pop(AUTOLOG)
    result = gate(before, after | {"cells": [*after["cells"], gone]})
    assert result.notes == ("openai / autolog (chat) is new: the baseline has nothing to hold it against.",)
    assert not result.fails(strict=True)


def test_a_cell_that_fails_now_is_a_finding() -> None:
    """Its reason is told, and nothing of it is compared."""
    failed = (*SPECS[:AUTOLOG], SPECS[AUTOLOG]._replace(failed=True))
    result = gate(document(), document(failed))
    (found,) = result.of("worse")
    assert "is failed now: The worker ended with signal 9" in found.sentence
    assert [one.quantity for one in result.comparisons if "autolog" in one.cell] == ["status"]
    assert gate(document(failed), document()).of("worse") == ()


def test_samples_that_are_not_judged_any_more_are_a_finding(find: Find) -> None:
    """Facts of a sample that was not run cannot be missing, so its absence is told by itself."""
    after = document()
    judged = after["cells"][AUTOLOG]["completeness"]["judged"]
    judged["flows"] = judged["flows"][1:]
    for rows in judged["verdicts"].values():
        rows.update({fact: row[1:] for fact, row in rows.items()})
    found = find(gate(document(), after), "samples")
    assert found.outcome == "worse"
    assert "1 sample of the baseline was not judged now: geo-00" in found.sentence


def test_sampled_traces_say_nothing_of_recall(find: Find) -> None:
    """Where chance decides which calls are traced, facts are not compared one by one."""
    after = turned("usage.input_tokens", "m", 3)
    after["cells"][AUTOLOG]["expected_share"] = 0.5
    assert find(gate(document(), after), "recall").outcome == "inconclusive"


@pytest.mark.parametrize(
    ("scope", "kept"), [("cost", {"added p50", "CPU per call"}), ("completeness", {"recall", "fidelity"})]
)
def test_one_half_may_be_compared_alone(scope: Any, kept: set[str]) -> None:
    """The other half is then not among the comparisons."""
    names = {one.quantity for one in gate(document(), document(), scope).comparisons}
    assert kept <= names
    assert not names & ({"recall", "added p50", "CPU per call"} - kept)


def test_versions_may_differ_and_are_told() -> None:
    """That is what the gate is for."""
    versions = {"python": "3.11.9", "mlflow": "3.18.0", "openai": "3.54.0"}
    result = gate(document(), document(records={number: {"versions": versions} for number in (1, 2, 3)}))
    assert result.refusals == ()
    assert "mlflow: 3.17.2 in the baseline, 3.18.0 now." in result.changes
    assert "httpx: 0.28.1 in the baseline, not set now." in result.changes


def test_cells_of_a_sweep_over_seeds_are_told_apart() -> None:
    """Where a run has several cells of one key, what else they differ in belongs to the key, and to the label."""
    two = (SPECS[AUTOLOG], SPECS[AUTOLOG])
    seeds = {1: {"seed": 1}, 2: {"seed": 2}}
    result = gate(document(two, records=seeds), document(two, records=seeds))
    assert {one.cell for one in result.comparisons} == {
        f"openai / autolog (chat), measure quick, runtime as usual, seed {seed}" for seed in (1, 2)
    }
