"""What must not be compared: nothing is said of it but why."""

from __future__ import annotations

from typing import Any

import pytest

from harness.comparison import compare
from harness.errors import ConfigError, InputError
from harness.gate import Margins
from tests.comparison.conftest import AUTOLOG, SPECS, compared, made, side
from tests.report.conftest import Spec, machine


def everywhere(**changes: Any) -> dict[int, dict[str, Any]]:
    return dict.fromkeys(range(1, len(SPECS) + 1), changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_set_digest": "9c" * 32}, "prompt-set digest of chat is 3b1f3b1f"),
        ({"seed": 7}, "seed is 20240917 in A and 7 in B"),
        ({"measure": "standard"}, "measure is quick in A and standard in B"),
        ({"machine": machine(cpu_model="Xeon")}, "CPU model is AMD EPYC 7B13 in A and Xeon in B"),
        ({"machine": machine(idle_polling=True)}, "sleep of idle cores is allowed in A and kept off in B"),
        ({"config": {"measure": {"period_ms": 80.0}}}, "measure.period_ms is 40.0 in A and 80.0 in B"),
        ({"config": {"environment": {"OTEL_X": "1"}}}, "environment.OTEL_X is not set in A and 1 in B"),
        ({"versions": {"python": "3.12.1"}}, "minor version of Python is 3.11 in A and 3.12 in B"),
    ],
)
def test_what_must_not_be_compared_is_named_with_both_values(changes: dict[str, Any], said: str) -> None:
    """Nothing is compared then, in neither direction."""
    result = compared(made(), made(records=everywhere(**changes)))
    assert said in result.refusal()
    assert "sweep one (A) and sweep two (B) must not be compared" in result.refusal()
    assert result.pairs == ()
    assert compared(made(records=everywhere(**changes)), made()).refusals != ()


def test_what_forbids_costs_alone_leaves_completeness() -> None:
    """The refusal says so, and that scope is compared, with the difference listed."""
    other = made(records=everywhere(machine=machine(cpu_model="Xeon")))
    refused = compared(made(), other)
    assert "`--only completeness` compares what traces hold all the same" in refused.refusal()
    result = compared(made(), other, "completeness")
    assert result.refusals == ()
    assert ("CPU model", "AMD EPYC 7B13", "Xeon", 3) in result.harmless
    prompts = compared(made(), made(records=everywhere(prompt_set_digest="9c" * 32)))
    assert "--only completeness" not in prompts.refusal()


def test_another_pace_says_nothing_of_latency() -> None:
    """Calls that came faster or slower than the others leave latency unsaid, and CPU time said."""
    result = compared(made(), made(records=everywhere(period_ms=80.0)))
    (pair,) = [pair for pair in result.pairs if "autolog" in pair.title]
    by_name = {line.quantity: line for line in pair.lines}
    assert "calls began every 40.0 ms in A and every 80.0 ms in B" in by_name["added p50"].sentence
    assert "calls began" not in by_name["CPU per call"].sentence


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Spec("mistralai", "autolog", added_ms=4.1), "provider is openai in A and mistralai in B"),
        (Spec("openai", "none", added_ms=0.01), "B is untraced"),
    ],
)
def test_cells_that_make_other_calls_are_refused(other: Spec, said: str) -> None:
    """Another provider, or no tracing at all: there is nothing to hold against each other."""
    result = compare(side(made(), "one", AUTOLOG), side(made((other,)), "two"), Margins())
    assert said in result.refusal()


def test_sweeps_without_a_common_cell_are_refused() -> None:
    """Both are listed."""
    others = (Spec("mistralai", "none"), Spec("mistralai", "autolog", added_ms=4.1))
    result = compared(made(SPECS[1:]), made(others))
    assert "no cell is in both" in result.refusal()
    assert "mistralai / autolog" in result.refusal()


def test_cells_that_all_failed_leave_nothing() -> None:
    """The refusal says why there is nothing to compare."""
    failed = made(tuple(spec._replace(failed=True) for spec in SPECS))
    result = compared(failed, made())
    assert "there is nothing to compare" in result.refusal()
    assert "it is failed in A" in result.refusal()


def test_cells_that_nothing_tells_apart_are_bad_input() -> None:
    """One sentence names them."""
    twice = made((SPECS[AUTOLOG], SPECS[AUTOLOG]))
    with pytest.raises(InputError, match="several cells openai / autolog"):
        compared(twice, made())


def test_a_margin_that_is_none_is_refused() -> None:
    """By its flag."""
    with pytest.raises(ConfigError, match="--margin-ms"):
        compared(made(), made(), absolute_ms=-1.0)
