"""Files of the benchmark suite made by hand: what the gate reads from them beside the times."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import InputError
from harness.gate import Margins, compare, read_document
from tests.gate.conftest import AUTOLOG, Document, document

if TYPE_CHECKING:
    from harness.gate import GateResult
    from tests.gate.conftest import Find

FORKS, CALLS = 8, 10


def benchmark(place: int, p50_ms: float, extra: dict[str, Any], seed: int) -> dict[str, Any]:
    """One benchmark of a cell of the hand-made sweep."""
    cell = document()["cells"][place] | {"overhead": None}
    dice = random.Random(f"{place}{seed}")
    forks = [p50_ms * (1 + dice.gauss(0, 0.01)) for _ in range(FORKS)]
    known: dict[str, Any] = {
        "forks": FORKS,
        "timing": {"warmup_calls": 20, "period_ms": 80.0, "idle_polling": True},
        "costs": {"cpu_ms_per_call": [p50_ms * (1 + dice.gauss(0, 0.01)) for _ in range(FORKS)]},
        "traces_expected": 0 if place == 0 else 33 * FORKS,
        "traces_lost": 0,
        "cell": cell,
    }
    return {
        "fullname": f"test_strategy[{place}]",
        "group": "openai: single",
        "extra_info": {"harness": known | extra},
        "stats": {"data": [value / 1e3 for value in forks for _ in range(CALLS)]},
    }


def suite(
    traced_ms: float = 6.0, untraced_ms: float = 1.5, seed: int = 0, extra: dict[str, Any] | None = None
) -> Document:
    """A file with ``none`` and ``autolog``; what is extra goes to the latter."""
    benchmarks = [benchmark(0, untraced_ms, {}, seed), benchmark(AUTOLOG, traced_ms, extra or {}, seed)]
    return {"datetime": f"day {seed}", "machine_info": {}, "benchmarks": benchmarks}


def gate(before: Document, after: Document) -> GateResult:
    return compare(read_document("a", json.dumps(before)), read_document("b", json.dumps(after)), Margins())


def test_a_slower_strategy_is_found(find: Find) -> None:
    """By what it adds to the benchmark of none."""
    found = find(gate(suite(), suite(9.0, seed=1)), "added p50")
    assert found.outcome == "worse"
    assert found.baseline == pytest.approx(4.5, abs=0.1)
    assert found.margin == pytest.approx(0.6, abs=0.05)


def test_a_load_that_its_store_could_not_drain_says_nothing_of_latency(find: Find) -> None:
    """12.5 calls a second against 15 traces a second, of which 0.7 may be used; CPU is compared."""
    slow = {"drain_rates_per_s": [15.0] * FORKS, "max_load": 0.7}
    fast = {"drain_rates_per_s": [40.0] * FORKS, "max_load": 0.7}
    assert find(gate(suite(extra=fast), suite(extra=fast, seed=1)), "added p50").outcome == "not worse"
    result = gate(suite(extra=fast), suite(extra=slow, seed=1))
    found = find(result, "added p50")
    assert found.outcome == "inconclusive"
    assert "it is not judged: the load of 12.5 calls a second saturated the store" in found.sentence
    assert "may be given 10.5" in found.sentence
    assert find(result, "CPU per call").outcome == "not worse"


@pytest.mark.parametrize(("traced_ms", "outcome"), [(9.6, "inconclusive"), (24.0, "worse")])
def test_a_rise_is_held_against_the_change_of_the_machine(traced_ms: float, outcome: str, find: Find) -> None:
    """The group's own none tells: it is slower by three fifths, which accounts for as much and no more."""
    found = find(gate(suite(), suite(traced_ms, untraced_ms=2.4, seed=1)), "added p50")
    assert found.outcome == outcome, found.sentence
    assert "the machine itself is " in found.sentence


def test_a_cost_without_a_value_is_refused() -> None:
    """It has no mean; the place is named."""
    damaged = suite(extra={"costs": {"cpu_ms_per_call": []}})
    with pytest.raises(InputError, match=r"is damaged: costs\.cpu_ms_per_call: List should have at least 1 item"):
        read_document("a", json.dumps(damaged))


@pytest.mark.parametrize(("traced_ms", "outcome"), [(6.0, "inconclusive"), (30.0, "worse")])
def test_a_rise_is_found_although_a_trace_was_lost(traced_ms: float, outcome: str, find: Find) -> None:
    """As in sweeps."""
    found = find(gate(suite(), suite(traced_ms, seed=1, extra={"traces_lost": 1})), "added p50")
    assert found.outcome == outcome
    assert ("dropping traces makes tracing look cheap" in found.sentence) == (outcome == "inconclusive")


def test_losses_are_compared_fork_by_fork(find: Find) -> None:
    """One worker that lost everything is one worker."""
    one = {"traces_lost": 33, "expected_by_fork": [33] * FORKS, "lost_by_fork": [33] + [0] * (FORKS - 1)}
    all_of_them = {"traces_lost": 33 * FORKS, "expected_by_fork": [33] * FORKS, "lost_by_fork": [33] * FORKS}
    none = {"expected_by_fork": [33] * FORKS, "lost_by_fork": [0] * FORKS}
    assert find(gate(suite(extra=none), suite(extra=one, seed=1)), "traces lost while timed").outcome == "inconclusive"
    assert find(gate(suite(extra=none), suite(extra=all_of_them, seed=1)), "traces lost while timed").outcome == "worse"
