"""What else may have made a difference between two runs, and what a gate could have seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.gate.conftest import AUTOLOG, Document, document, forks_of, gate

if TYPE_CHECKING:
    from tests.gate.conftest import Find


def costing(name: str, centre: float, spread: float = 0.01, seed: int = 0, **changes: Any) -> Document:
    """A document whose autolog cell costs so much; ``changes`` go to that estimate."""
    made = document()
    forks_of(made["cells"][AUTOLOG], name, centre, spread, seed)
    made["cells"][AUTOLOG]["overhead"]["estimates"][name] |= changes
    return made


def paced(period_ms: float) -> Document:
    made = costing("p50_ms", 9.0)
    made["cells"][AUTOLOG]["period_ms"] = period_ms
    return made


def loaded(p50_ms: float, cpu_ms: float = 20.0, lost: int = 0, verdict: str | None = "slower") -> Document:
    """A document whose autolog cell was also timed with eight threads; keys that nobody knows yet among it."""
    made = document()
    cell = made["cells"][AUTOLOG]
    under: dict[str, Any] = {"overhead": {"estimates": {}}}
    forks_of(under, "p50_ms", p50_ms, 0.01)
    forks_of(under, "cpu_ms_per_call", cpu_ms, 0.01)
    cell["loads"] = [
        {
            **under["overhead"],
            "load": "threads:8",
            "forks": 8,
            "calls_per_fork": 40,
            "verdict": verdict,
            "sentence": "Slower.",
            "traces_expected": 384,
            "traces_lost": lost,
            "failed_calls": 0,
            "is_floor": False,
            "steps": [],
            "exceeds_drain": True,
        }
    ]
    return made


@pytest.mark.parametrize(("untraced_ms", "changed"), [(2.1, "40% slower"), (0.9, "40% faster")])
@pytest.mark.parametrize("named", ["p50_ms", "cpu_ms_per_call"])
def test_a_machine_that_changed_makes_costs_inconclusive(
    named: str, untraced_ms: float, changed: str, find: Find
) -> None:
    """Untraced arms differ by more than the margin allows for: nobody can say whose doing a rise is, or a calm."""
    before, after = costing(named, 9.0), costing(named, 12.0, baseline=untraced_ms)
    for quantity in ("added p50", "CPU per call", "added p95"):
        found = find(gate(before, after), quantity)
        assert found.outcome == "inconclusive"
        assert f"the machine itself is {changed}: untraced, " in found.sentence


def test_a_machine_that_changed_a_little_is_no_obstacle(find: Find) -> None:
    """What equal tracing would have cost more there lies within the margin."""
    before, after = costing("p50_ms", 5.0), costing("p50_ms", 9.0, baseline=1.6)
    assert find(gate(before, after), "added p50").outcome == "worse"


@pytest.mark.parametrize(("period_ms", "outcome"), [(104.0, "worse"), (240.0, "inconclusive"), (60.0, "inconclusive")])
def test_latencies_at_another_pace_are_not_compared(period_ms: float, outcome: str, find: Find) -> None:
    """Calls that come more slowly meet less of the export; CPU does not care."""
    before, after = costing("p50_ms", 4.0), paced(period_ms)
    before["cells"][AUTOLOG]["period_ms"] = 100.0
    result = gate(before, after)
    found = find(result, "added p50")
    assert found.outcome == outcome
    assert find(result, "CPU per call").outcome == "not worse"
    if outcome == "inconclusive":
        assert f"calls began every 100 ms in the baseline and every {period_ms:.0f}" in found.sentence.replace(".0", "")


@pytest.mark.parametrize("name", ["p95_ms", "p99_ms"])
def test_tails_are_compared_where_both_runs_have_them(name: str, find: Find) -> None:
    """A rise in the tail alone is found; a run with too few calls for it says nothing of it."""
    quantity = f"added {name.removesuffix('_ms')}"
    assert find(gate(costing(name, 5.0), costing(name, 9.0)), quantity).outcome == "worse"
    without = costing(name, 5.0, value=None, per_fork=[], reason="too few calls")
    quantities = {one.quantity for one in gate(without, costing(name, 9.0)).comparisons if "autolog" in one.cell}
    assert quantity not in quantities


def test_loads_are_compared_by_themselves(find: Find) -> None:
    """A rise under one load is found and named; what is usual is not touched by it."""
    result = gate(loaded(5.0), loaded(9.0, cpu_ms=40.0))
    assert find(result, "added p50 under threads:8").outcome == "worse"
    assert find(result, "CPU per call under threads:8").outcome == "worse"
    assert find(result, "added p50").outcome == "not worse"
    assert find(result, "traces lost under threads:8").outcome == "not worse"
    assert len(result.of("worse")) == 2


def test_traces_lost_under_a_load_are_compared(find: Find) -> None:
    """And withhold its costs; a load that one run has not is told, a saturation goes on until traces are lost."""
    result = gate(loaded(5.0), loaded(5.0, lost=200))
    assert find(result, "traces lost under threads:8").outcome == "worse"
    assert find(result, "CPU per call under threads:8").outcome == "inconclusive"
    missing = gate(loaded(5.0), document())
    assert find(missing, "added p50 under threads:8").outcome == "inconclusive"
    assert find(missing, "traces lost under threads:8").outcome == "inconclusive"
    saturated = gate(loaded(5.0, verdict=None), loaded(5.0, lost=300, verdict=None))
    assert not any("threads:8" in one.quantity for one in saturated.comparisons)


@pytest.mark.parametrize("which", [0, 1])
def test_a_timing_that_one_run_lacks_is_told(which: int, find: Find) -> None:
    """Nothing passes because it was not measured."""
    documents = [document(), document()]
    documents[which]["cells"][AUTOLOG]["overhead"] = None
    result = gate(documents[0], documents[1])
    for quantity in ("added p50", "CPU per call", "drain per trace"):
        found = find(result, quantity)
        assert found.outcome == "inconclusive"
        assert f"the {('baseline', 'current run')[which]} has no value of it" in found.sentence


def test_a_slow_endpoint_does_not_widen_the_margin(find: Find) -> None:
    """A tenth of a call of half a second is many times what tracing costs: the margin is a share of that at most."""
    before, after = costing("p50_ms", 2.0, baseline=500.0), costing("p50_ms", 10.0, baseline=500.0)
    found = find(gate(before, after), "added p50")
    assert found.outcome == "worse"
    assert found.margin == pytest.approx(0.6, abs=0.01)
    assert "margin 0.6" in found.sentence


def test_what_a_gate_could_have_seen_is_told(find: Find) -> None:
    """Beside each cost that passed or is open: no finding is worth as much as the rise that would have been one."""
    result = gate(document(), document())
    found = find(result, "added p50")
    assert found.smallest_rise is not None
    assert found.margin is not None
    assert found.high is not None
    assert found.smallest_rise > max(found.margin, found.high)
    assert "this gate could have seen a rise of at least " in found.sentence
    few = document()
    del few["cells"][AUTOLOG]["overhead"]["estimates"]["p50_ms"]["per_fork"][4:]
    fewer = find(gate(few, few), "added p50").smallest_rise
    assert fewer is not None
    assert fewer > found.smallest_rise
