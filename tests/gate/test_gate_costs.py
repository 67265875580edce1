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


def on_machine(
    untraced_ms: float, costs_ms: dict[str, float] | None = None, *, seed: int = 0, half_width_ms: float | None = 0.02
) -> Document:
    """A document whose untraced arms cost so much in p50 and in CPU, each with its interval; and the autolog cell."""
    made = document()
    for name, centre in (
        {"p50_ms": 4.1, "cpu_ms_per_call": 22.0, "drain_ms_per_trace": 23.0} | (costs_ms or {})
    ).items():
        forks_of(made["cells"][AUTOLOG], name, centre, 0.01, seed)
        estimate = made["cells"][AUTOLOG]["overhead"]["estimates"][name]
        estimate["baseline"] = 0.0 if name.startswith("drain") else untraced_ms
        if half_width_ms is not None:
            estimate |= {"baseline_low": untraced_ms - half_width_ms, "baseline_high": untraced_ms + half_width_ms}
    return made


@pytest.mark.parametrize("half_width_ms", [0.02, None])
@pytest.mark.parametrize("name", ["p50_ms", "cpu_ms_per_call", "drain_ms_per_trace"])
def test_a_rise_that_a_slower_machine_may_account_for_is_inconclusive(
    name: str, half_width_ms: float | None, find: Find
) -> None:
    """Equal tracing costs a quarter more on a machine that is slower by a quarter."""
    centre = {"p50_ms": 12.0, "cpu_ms_per_call": 22.0, "drain_ms_per_trace": 23.0}[name]
    before = on_machine(2.0, {name: centre}, half_width_ms=half_width_ms)
    after = on_machine(2.5, {name: 1.25 * centre}, half_width_ms=half_width_ms, seed=1)
    quantity = {"p50_ms": "added p50", "cpu_ms_per_call": "CPU per call", "drain_ms_per_trace": "drain per trace"}[name]
    found = find(gate(before, after), quantity)
    assert found.outcome == "inconclusive", found.sentence
    assert "the machine itself is 25% slower: untraced, " in found.sentence
    assert ("95% interval of the change [" in found.sentence) == (half_width_ms is not None)
    assert "which may account for it" in found.sentence


@pytest.mark.parametrize("untraced_ms", [1.6, 2.0, 2.5])
@pytest.mark.parametrize("times", [2.0, 100.0])
def test_a_rise_that_no_machine_accounts_for_is_found(times: float, untraced_ms: float, find: Find) -> None:
    """Twice the cost is not the doing of a machine that is a quarter slower, and of a faster one still less."""
    before = on_machine(2.0)
    after = on_machine(
        untraced_ms,
        {"p50_ms": times * 4.1, "cpu_ms_per_call": times * 22.0, "drain_ms_per_trace": times * 23.0},
        seed=1,
    )
    result = gate(before, after)
    for quantity in ("added p50", "CPU per call", "drain per trace"):
        found = find(result, quantity)
        assert found.outcome == "worse", found.sentence
        assert ("which does not account for it" in found.sentence) == (untraced_ms != 2.0)


def test_a_calm_on_a_faster_machine_is_inconclusive(find: Find) -> None:
    """Equal tracing would have cost a fifth less there."""
    found = find(gate(on_machine(2.0), on_machine(1.6, seed=1)), "CPU per call")
    assert found.outcome == "inconclusive"
    assert "the machine itself is 20% faster" in found.sentence
    assert "which may hide a rise" in found.sentence


def test_a_change_that_nobody_knows_well_accounts_for_more(find: Find) -> None:
    """Untraced arms with a wide interval allow a faster and a slower machine; that is said, and no direction."""
    before = on_machine(2.0, half_width_ms=0.4)
    after = on_machine(2.1, {"cpu_ms_per_call": 26.5}, seed=1, half_width_ms=0.4)
    found = find(gate(before, after), "CPU per call")
    assert found.outcome == "inconclusive"
    assert "the machine itself may have changed: untraced, CPU per call is 2.00 ms" in found.sentence
    known = on_machine(2.1, {"cpu_ms_per_call": 26.5}, seed=1)
    assert find(gate(on_machine(2.0), known), "CPU per call").outcome == "worse"


def test_the_cpu_of_untraced_calls_alone_tells_of_cpu_and_drain(find: Find) -> None:
    """A slower way to the endpoint does not excuse what tracing computes and stores."""
    before, after = on_machine(2.0), on_machine(2.0, {"cpu_ms_per_call": 26.0, "drain_ms_per_trace": 27.0}, seed=1)
    p50 = after["cells"][AUTOLOG]["overhead"]["estimates"]["p50_ms"]
    p50 |= {"baseline": 3.0, "baseline_low": 2.9, "baseline_high": 3.1}
    result = gate(before, after)
    assert find(result, "CPU per call").outcome == "worse"
    assert find(result, "drain per trace").outcome == "worse"
    assert find(result, "added p50").outcome == "not worse"


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
    """And withhold a calm in its costs; a load that one run lacks is told; a saturation is no comparison."""
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
