"""What CI keeps as its baseline: the scripts run for real, on documents made by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.gate.conftest import AUTOLOG, Document, document
from tests.report.conftest import machine

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


class Held(NamedTuple):
    """What came of it.

    Attributes:
        kept: Id of the sweep that is the next baseline; empty if there is none.
    """

    status: int
    kept: str
    report: str
    told: str


def blinder() -> Document:
    made = document()
    made["cells"][AUTOLOG]["completeness"]["judged"]["verdicts"]["mlflow"]["response.content"] = "m" * 40
    return made


def in_doubt() -> Document:
    made = document()
    del made["cells"][AUTOLOG]["overhead"]["estimates"]["p50_ms"]["per_fork"][3:]
    return made


def elsewhere(made: Document) -> Document:
    for cell in made["cells"]:
        cell["machine"] = machine(cpu_model="Xeon").model_dump(mode="json")
    return made


@pytest.fixture
def hold(tmp_path: Path) -> Callable[..., Held]:
    """Runs ``.ci/hold`` on documents by folder."""

    def run(*flags: str, accept: bool = False, harness: str = "", **documents: Document) -> Held:
        for folder, made in documents.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            text = json.dumps(made | {"sweep_id": folder})
            (tmp_path / folder / "cells.json").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [str(ROOT / ".ci" / "hold"), str(tmp_path), "cells.json", *flags],
            env={**os.environ, "HARNESS": harness or f"{sys.executable} -m harness", "ACCEPT": str(accept).lower()},
            capture_output=True,
            text=True,
            check=False,
        )
        kept, report = tmp_path / "next" / "cells.json", tmp_path / "gate.md"
        return Held(
            done.returncode,
            json.loads(kept.read_text(encoding="utf-8"))["sweep_id"] if kept.exists() else "",
            report.read_text(encoding="utf-8") if report.exists() else "",
            done.stdout + done.stderr,
        )

    return run


def test_a_run_that_passes_does_not_shift_the_baseline(hold: Callable[..., Held]) -> None:
    """Else small rises would add up, each within the margin of the one before."""
    held = hold(baseline=document(), current=document())
    assert (held.status, held.kept) == (0, "baseline"), held.told
    assert "## Tracing gate: passed" in held.report


def test_a_run_that_got_worse_fails_and_is_no_baseline(hold: Callable[..., Held]) -> None:
    """The old one stays."""
    held = hold(baseline=document(), current=blinder())
    assert (held.status, held.kept) == (1, "baseline"), held.told
    assert "## Tracing gate: failed" in held.report


def test_what_is_inconclusive_is_seen_and_proves_nothing(hold: Callable[..., Held]) -> None:
    """It passes, with a warning that CI shows."""
    held = hold(baseline=document(), current=in_doubt())
    assert (held.status, held.kept) == (0, "baseline"), held.told
    assert "\n::warning::inconclusive: openai / autolog (chat): added p50" in held.told


def test_costs_of_another_class_of_machine_are_not_compared(hold: Callable[..., Held]) -> None:
    """What traces hold is, and the baseline stays until a person accepts another."""
    held = hold(baseline=document(), current=elsewhere(document()))
    assert (held.status, held.kept) == (0, "baseline"), held.told
    assert "::warning::Costs of cells.json were not compared" in held.told
    assert "CPU model is AMD EPYC 7B13 in the baseline and Xeon in the current run" in held.report
    assert hold(baseline=document(), current=elsewhere(blinder())).status == 1


def of_other_prompts(made: Document) -> Document:
    for cell in made["cells"]:
        cell["prompt_set_digest"] = "9c" * 32
    return made


def test_what_must_not_be_compared_at_all_fails(hold: Callable[..., Held], tmp_path: Path) -> None:
    """Other prompts forbid every comparison: the job is not green, and says so; both refusals are kept."""
    held = hold(baseline=document(), current=of_other_prompts(blinder()))
    assert (held.status, held.kept) == (2, "baseline"), held.told
    assert "::warning::Nothing of cells.json was compared" in held.told
    assert "Costs of cells.json were not compared" not in held.told
    for name in ("cells.json.xml", "cells.json.completeness.xml"):
        assert "must not be compared" in (tmp_path / name).read_text(encoding="utf-8")


def test_both_gates_leave_their_findings(hold: Callable[..., Held], tmp_path: Path) -> None:
    """The one of completeness does not write over the other's refusal."""
    hold(baseline=document(), current=elsewhere(blinder()))
    assert "must not be compared" in (tmp_path / "cells.json.xml").read_text(encoding="utf-8")
    assert "recorded no more" in (tmp_path / "cells.json.completeness.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["baseline", "other"])
@pytest.mark.parametrize("status", [1, 137])
def test_a_check_that_went_wrong_is_no_missing_baseline(
    status: int, folder: str, hold: Callable[..., Held], tmp_path: Path
) -> None:
    """Killed, say: nothing is known of the stored one, so it stays and this run does not take its place."""
    harness = tmp_path / "harness"
    harness.write_text(
        f'#!/bin/sh\nfor one; do [ "$one" = --check ] && exit {status}; done\nexec {sys.executable} -m harness "$@"\n',
        encoding="utf-8",
    )
    harness.chmod(0o755)
    held = hold(harness=str(harness), current=blinder(), **{folder: document()})
    assert (held.status, held.kept) == (status, "baseline" if folder == "baseline" else ""), held.told
    assert f"could not be checked (status {status}), so nothing was compared" in held.report


def test_the_first_run_of_a_class_is_its_baseline(hold: Callable[..., Held]) -> None:
    """If what its traces hold is no worse than elsewhere, and no cell of it failed."""
    held = hold(current=elsewhere(document()), other=document())
    assert (held.status, held.kept) == (0, "current"), held.told
    assert "no baseline to compare the costs of cells.json with" in held.report
    assert "::warning::There was no baseline for cells.json on this class of machine, or it has expired" in held.told


@pytest.mark.parametrize(("flags", "current", "status"), [(("failed",), document, 0), ((), blinder, 1)])
def test_a_first_run_that_failed_is_none(
    flags: tuple[str, ...], current: Callable[[], Document], status: int, hold: Callable[..., Held]
) -> None:
    """Whatever comes next would be held against it."""
    held = hold(*flags, current=elsewhere(current()), other=document())
    assert (held.status, held.kept) == (status, ""), held.told


def test_a_baseline_of_another_schema_counts_as_none(hold: Callable[..., Held]) -> None:
    """It is said, and the next run has one that can be read."""
    held = hold(baseline=document() | {"schema_version": 1}, current=document())
    assert (held.status, held.kept) == (0, "current"), held.told
    assert "::warning::The stored baseline counts as none: " in held.told
    assert "has schema version 1" in held.report


def test_a_run_is_accepted_without_a_comparison(hold: Callable[..., Held]) -> None:
    """On purpose only."""
    held = hold(baseline=document(), current=blinder(), accept=True)
    assert (held.status, held.kept) == (0, "current"), held.told
    assert "accepted without a comparison" in held.report
