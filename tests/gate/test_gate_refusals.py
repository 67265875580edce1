"""What the gate must not compare, and documents that it cannot read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.errors import ConfigError, InputError
from harness.gate import Margins, read_document
from tests.gate.conftest import AUTOLOG, SPECS, document, gate
from tests.report.conftest import machine


def everywhere(**changes: Any) -> dict[int, dict[str, Any]]:
    return dict.fromkeys(range(1, len(SPECS) + 1), changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_set_digest": "9c" * 32}, "prompt-set digest of chat is 3b1f3b1f"),
        ({"seed": 7}, "seed is 20240917 in the baseline and 7 in the current run"),
        ({"measure": "standard"}, "measure is quick in the baseline and standard in the current run"),
        (
            {"machine": machine(cpu_model="Xeon")},
            "CPU model is AMD EPYC 7B13 in the baseline and Xeon in the current run",
        ),
        ({"machine": machine(cpu_count=4)}, "CPU count is 2 in the baseline and 4 in the current run"),
        ({"machine": machine(memory_bytes=16 * 2**30)}, "memory is 8 GiB in the baseline and 16 GiB"),
        ({"versions": {"python": "3.12.1"}}, "minor version of Python is 3.11 in the baseline and 3.12"),
        ({"machine": machine(idle_polling=True)}, "sleep of idle cores is allowed in the baseline and kept off"),
        ({"machine": machine(arm_cpus=())}, "cores of the arms is 1 in the baseline and 0"),
        (
            {"machine": machine(work_filesystem="tmpfs")},
            "file system of the stores is not set in the baseline and tmpfs",
        ),
        ({"config": {"measure": {"period_ms": 80.0}}}, "measure.period_ms is 40.0 in the baseline and 80.0"),
        ({"config": {"environment": {"OTEL_X": "1"}}}, "environment.OTEL_X is not set in the baseline and 1"),
    ],
)
def test_what_must_not_be_compared_is_named_with_both_values(changes: dict[str, Any], said: str) -> None:
    """Nothing is compared then, and no cell is blamed."""
    result = gate(document(), document(records=everywhere(**changes)))
    assert said in result.summary()
    assert "must not be compared" in result.summary()
    assert result.comparisons == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": machine(hostname="bench-2", kernel="Linux 6.2", python="3.11.10", memory_bytes=8_341_000_000)},
        {"config": {"measure": {"period_ms": 40.0, "forks": 16, "max_forks": 40, "margin_ms": 1.0}}},
        {"config": {"measure": {"period_ms": 40.0, "drain_timeout_s": 9.0, "budget_s": 1800.0}}},
        {"versions": {"mlflow": "4.0.0"}},
    ],
)
def test_what_says_nothing_of_the_measurement_is_no_obstacle(changes: dict[str, Any]) -> None:
    """Another machine of the same class, more forks, more time for them, other versions."""
    assert gate(document(), document(records=everywhere(**changes))).refusals == ()


def test_a_key_that_a_document_lacks_was_as_usual() -> None:
    """An older run, which knew no such key, is not held against one that was measured otherwise."""
    with_key = document(records=everywhere(config={"measure": {"period_ms": 40.0, "gc": "off"}}))
    said = "measure.gc is on in the baseline and off in the current run"
    assert said in gate(document(), with_key).summary()
    assert "measure.gc is off in the baseline and on" in gate(with_key, document()).summary()
    usual = document(records=everywhere(config={"measure": {"period_ms": 40.0, "gc": "on"}}))
    assert gate(document(), usual).refusals == ()


def test_another_machine_does_not_matter_to_completeness() -> None:
    """Only the prompts and what answers them do."""
    other = document(records=everywhere(machine=machine(cpu_model="Xeon")))
    assert gate(document(), other, "completeness").refusals == ()
    prompts = document(records=everywhere(prompt_set_digest="9c" * 32))
    assert gate(document(), prompts, "completeness").refusals != ()


def test_the_python_of_the_workers_counts() -> None:
    """Where a runtime brings its own, the harness's says nothing."""
    other = document(records=everywhere(machine=machine(python="3.12.1")))
    assert gate(document(), other).refusals == ()


def test_another_environment_is_told_where_only_completeness_is_compared() -> None:
    """MLflow's switches may change what a trace holds: they forbid nothing there, and are no secret."""
    other = document(records=everywhere(config={"environment": {"MLFLOW_X": "1"}}))
    result = gate(document(), other, "completeness")
    assert result.refusals == ()
    assert "environment.MLFLOW_X: not set in the baseline, 1 now." in result.changes


def test_a_baseline_that_ran_nothing_is_refused() -> None:
    """It would pass whatever the current run did."""
    nothing = document(tuple(spec._replace(failed=True) for spec in SPECS))
    assert "stored has no cost or completeness that new could be held against" in gate(nothing, document()).summary()
    only_none = document(SPECS[:1])
    assert "stored has no cost that new" in gate(only_none, only_none, "cost").summary()
    assert gate(only_none, only_none).refusals == ()


@pytest.mark.parametrize(
    ("place", "value"), [(("endpoint",), None), (("measure", "precision_ms"), None), (("measure",), 3)]
)
def test_a_damaged_configuration_is_refused(place: tuple[str, ...], value: object) -> None:
    """In one sentence that says where, and without a traceback."""
    damaged = document()
    *above, last = place
    part = damaged["cells"][AUTOLOG]["config"]
    for key in above:
        part = part[key]
    part[last] = value
    with pytest.raises(InputError) as refused:
        read_document("x.json", json.dumps(damaged))
    assert f"x.json is damaged: cells.{AUTOLOG}.config.{'.'.join(place)}: " in str(refused.value)


def test_a_difference_of_some_cells_says_of_how_many() -> None:
    """Whoever reads it learns where to look."""
    result = gate(document(), document(records={2: {"seed": 7}}))
    assert "7 in the current run (1 of 3 cells)" in result.summary()


def test_facts_of_another_version_are_not_compared() -> None:
    """Recall is then another number."""
    other = document()
    other["cells"][AUTOLOG]["completeness"]["facts_version"] = 99
    assert "version of the facts is 0 in the baseline and 99" in gate(document(), other).summary()


def test_runs_without_a_common_cell_are_not_compared() -> None:
    """Both are named with what they have."""
    before, after = document(), document()
    before["cells"], after["cells"] = before["cells"][:1], after["cells"][1:2]
    said = gate(before, after).summary()
    assert "no cell is in both: stored has openai / none (chat), new has openai / manual" in said


def test_cells_that_nothing_tells_apart_are_refused() -> None:
    """Which one is meant cannot be known."""
    twice = document((SPECS[AUTOLOG], SPECS[AUTOLOG]))
    with pytest.raises(
        InputError, match="stored has several cells openai / autolog \\(chat\\) that nothing tells apart"
    ):
        gate(twice, document())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is neither; it has to be cells.json of a sweep, or a file of pytest-benchmark"),
        ('{"cells": []}', "is neither"),
        ('{"schema_version": 1, "cells": []}', "has schema version 1, this harness compares version 2"),
        ('{"schema_version": 2, "sweep_id": "s", "cells": [{"label": 3}]}', "is damaged: cells.0."),
        ('{"benchmarks": [], "machine_info": {}, "datetime": "today"}', "holds no benchmark of a tracing strategy"),
    ],
)
def test_a_document_that_is_none_is_refused(text: str, said: str) -> None:
    """In one sentence that names it."""
    with pytest.raises(InputError) as refused:
        read_document("x.json", text)
    assert str(refused.value).startswith("x.json ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"traces_lost": 999}, "999 traces are lost of 480"),
        ({"traces_lost": -5}, "traces_lost: Input should be greater than or equal to 0"),
        ({"expected_by_fork": [9, 9], "lost_by_fork": [1]}, "expected_by_fork has 2 forks and lost_by_fork 1"),
        ({"expected_by_fork": [9, 9], "lost_by_fork": [0, 10]}, "10 traces are lost of 9"),
        ({"failed_calls": -1}, "failed_calls: Input should be"),
    ],
)
def test_counts_that_cannot_be_are_refused(change: dict[str, Any], said: str) -> None:
    """In one sentence, and not as an error of the arithmetic that comes later."""
    damaged = document()
    damaged["cells"][AUTOLOG]["overhead"] |= change
    with pytest.raises(InputError) as refused:
        read_document("x.json", json.dumps(damaged))
    assert str(refused.value).startswith(f"x.json is damaged: cells.{AUTOLOG}.overhead")
    assert said in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e308])
def test_costs_that_nobody_measured_are_refused(value: float) -> None:
    """One such fork would make the whole cost inconclusive, or break the arithmetic."""
    damaged = document()
    damaged["cells"][AUTOLOG]["overhead"]["estimates"]["p50_ms"]["per_fork"][0] = value
    with pytest.raises(InputError, match=r"overhead\.estimates\.p50_ms\.per_fork\.0: Input should be"):
        read_document("x.json", json.dumps(damaged))


def test_a_document_of_a_hundred_thousand_brackets_is_refused() -> None:
    """Not as a traceback, whose status would read as "worse"."""
    with pytest.raises(InputError, match="is nested too deeply to be read"):
        read_document("x.json", "[" * 100_000)


def test_a_letter_that_nobody_knows_is_refused() -> None:
    """A verdict that cannot be read is not passed over."""
    damaged = document()
    damaged["cells"][AUTOLOG]["completeness"]["judged"]["verdicts"]["mlflow"]["usage.input_tokens"] = "?" * 40
    with pytest.raises(InputError, match="written as '\\?'"):
        read_document("x.json", json.dumps(damaged))


@pytest.mark.parametrize(
    ("margins", "flag"),
    [
        ({"absolute_ms": -1.0}, "--margin-ms"),
        ({"relative": float("nan")}, "--margin-relative"),
        ({"recall": 2.0}, "--recall-margin"),
        ({"loss": -0.1}, "--loss-margin"),
    ],
)
def test_what_is_no_margin_is_refused(margins: dict[str, float], flag: str) -> None:
    """By the name of its flag."""
    with pytest.raises(ConfigError, match=f"{flag} is "):
        Margins(**margins).check()
