"""What the gate writes: Markdown for a pull request, JUnit XML, and what a person reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import yaml  # type: ignore[import-untyped]

from harness.cli import main
from harness.gate import Comparison, GateResult, Margins, gate_markdown, junit_xml
from harness.gate.keeping import baseline_name
from tests.gate.conftest import AUTOLOG, document, gate
from tests.report.conftest import machine

if TYPE_CHECKING:
    from tests.gate.conftest import Document

WORKFLOW = Path(__file__).parents[2] / ".github" / "workflows" / "benchmark.yml"
NASTY = 'a<b> & "c" | *d*\x00\x1b[31m ]]>'


def nasty() -> GateResult:
    """A finding whose every text is as unkind as it can be."""
    worse = Comparison(cell=NASTY, quantity=NASTY, outcome="worse", sentence=NASTY)
    return GateResult(baseline=NASTY, current="`x`", margins=Margins(), comparisons=(worse,), changes=(NASTY,))


def blinder() -> Document:
    made = document()
    rows = made["cells"][AUTOLOG]["completeness"]["judged"]["verdicts"]["mlflow"]
    rows["response.content"] = "m" * 40
    return made


def in_doubt() -> Document:
    made = document()
    del made["cells"][AUTOLOG]["overhead"]["estimates"]["p50_ms"]["per_fork"][3:]
    return made


def test_markdown_says_the_verdict_and_every_finding() -> None:
    """The heading has the verdict, the list the sentence, the folded table everything."""
    text = gate_markdown(gate(document(), blinder()), strict=False)
    assert text.startswith("## Tracing gate: failed\n")
    assert "### Worse" in text
    assert "response.content (40 times, now missing)" in text
    assert "Holm's method" in text
    assert "| openai / autolog (chat) | recall | worse |" in text
    assert gate_markdown(gate(document(), document()), strict=False).startswith("## Tracing gate: passed\n")


def test_markdown_says_what_the_data_do_not() -> None:
    """Inconclusive comparisons are listed, and fail the gate only where that is asked for."""
    result = gate(document(), in_doubt())
    assert "### Inconclusive: the data do not say" in gate_markdown(result, strict=False)
    assert gate_markdown(result, strict=False).startswith("## Tracing gate: passed\n")
    assert gate_markdown(result, strict=True).startswith("## Tracing gate: failed\n")


def test_markdown_says_why_nothing_was_compared() -> None:
    """A refusal is a text for a pull request, too."""
    text = gate_markdown(gate(document(), document(records={1: {"seed": 7}})), strict=False)
    assert text.startswith("## Tracing gate: not compared\n")
    assert "seed is 20240917 in the baseline and 7 in the current run" in text


def test_markdown_takes_texts_as_they_are() -> None:
    """Nothing from outside is markup there."""
    text = gate_markdown(nasty(), strict=False)
    assert "<b>" not in "\n".join(line for line in text.splitlines() if not line.startswith("Baseline"))


def test_junit_has_a_case_for_each_cell_and_quantity() -> None:
    """Findings are failures, what is open is skipped, or a failure with --strict; the counts agree."""
    for changed, strict, kind in (
        (blinder(), False, "failure"),
        (in_doubt(), False, "skipped"),
        (in_doubt(), True, "failure"),
    ):
        result = gate(document(), changed)
        (suite,) = ET.fromstring(junit_xml(result, strict=strict))  # noqa: S314  # written by ourselves
        assert len(suite) == int(suite.attrib["tests"]) == len(result.comparisons)
        (found,) = [case for case in suite if case.find(kind) is not None]
        assert found.get("classname") == "openai / autolog (chat)"
        assert found.get("name") == ("recall" if changed == blinder() else "added p50")
        counts = {"failure": "failures", "skipped": "skipped"}
        assert suite.attrib[counts[kind]] == "1"


def test_junit_is_well_formed_whatever_it_holds() -> None:
    """Markup is escaped and what XML cannot hold is replaced."""
    (suite,) = ET.fromstring(junit_xml(nasty(), strict=False))  # noqa: S314  # written by ourselves
    failure = suite[0].find("failure")
    assert failure is not None
    assert failure.get("message") == NASTY.replace("\x00", "\N{REPLACEMENT CHARACTER}").replace(
        "\x1b", "\N{REPLACEMENT CHARACTER}"
    )


def test_junit_of_a_refusal_is_an_error() -> None:
    """A CI server then shows the reason instead of an empty suite."""
    refused = gate(document(), document(records={1: {"seed": 7}}))
    (suite,) = ET.fromstring(junit_xml(refused, strict=False))  # noqa: S314  # written by ourselves
    assert suite.attrib["errors"] == suite.attrib["tests"] == "1"
    error = suite[0].find("error")
    assert error is not None
    assert "seed is 20240917" in error.attrib["message"]


def test_the_same_runs_give_the_same_texts() -> None:
    """Reports of CI can be compared byte by byte."""
    one, other = gate(document(), blinder()), gate(document(), blinder())
    assert gate_markdown(one, strict=False) == gate_markdown(other, strict=False)
    assert junit_xml(one, strict=True) == junit_xml(other, strict=True)


@pytest.mark.parametrize(
    ("changed", "flags", "status"),
    [("same", (), 0), ("blinder", (), 1), ("in_doubt", (), 0), ("in_doubt", ("--strict",), 1), ("seed", (), 2)],
)
def test_the_exit_status_says_how_it_went(
    changed: str, flags: tuple[str, ...], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0, 1 and 2 as the help promises; a refusal is one line on standard error."""
    made = {"same": document, "blinder": blinder, "in_doubt": in_doubt}.get(
        changed, lambda: document(records={1: {"seed": 7}})
    )
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "cells.json").write_text(json.dumps(document()), encoding="utf-8")
    (tmp_path / "new.json").write_text(json.dumps(made() | {"sweep_id": "8b4c"}), encoding="utf-8")
    outputs = ("--markdown", str(tmp_path / "out" / "gate.md"), "--junit", str(tmp_path / "out" / "gate.xml"))
    given = ("--baseline", str(tmp_path / "stored"), "--current", str(tmp_path / "new.json"), *outputs, *flags)
    assert main(["gate", *given]) == status
    printed = capsys.readouterr()
    assert printed.err.count("\n") == (status == 2)
    assert (tmp_path / "out" / "gate.md").exists()
    assert (tmp_path / "out" / "gate.xml").exists()


def test_a_run_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would pass and say nothing; a copy of its file is the same run."""
    for name in ("one.json", "copy.json"):
        (tmp_path / name).write_text(json.dumps(document()), encoding="utf-8")
    assert main(["gate", "--baseline", str(tmp_path / "one.json"), "--current", str(tmp_path / "copy.json")]) == 2
    assert "--baseline and --current are one run, sweep 7f3a; name two" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--baseline", "nowhere/cells.json"), "--baseline 'nowhere/cells.json': there is no such file or folder"),
        (("--baseline", "."), "--baseline '.' is a folder without cells.json"),
        (("--baseline", "x" * 300), "cannot be read: File name too long"),
        (("--baseline", "x.json", "--margin-ms", "-1"), "--margin-ms is -1"),
        (("--baseline", "x.json", "--recall-margin", "2"), "--recall-margin is 2, it must be a share from 0 to 1"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The offender is named, and the exit status is 2."""
    monkeypatch.chdir(tmp_path)
    assert main(["gate", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks learns what a run is, what can be set, and a line that works."""
    with pytest.raises(SystemExit) as stop:
        main(["gate", "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    for word in ("harness gate --baseline baseline/cells.json", "--margin-ms", "--strict", "exit status: 0"):
        assert word in said


def test_the_workflow_is_pinned_and_may_only_read() -> None:
    """Every action is a commit, no secret is asked for, and what runs on pull requests cannot write."""
    text = WORKFLOW.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert set(workflow["permissions"].values()) == {"read"}
    assert "secrets." not in text
    assert "pull_request_target" not in text
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    for action in used:
        commit = action.partition("@")[2]
        assert len(commit) == 40
        assert set(commit) <= set("0123456789abcdef")


def test_the_baseline_goes_by_the_class_of_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """The name is one that an artifact may have, the same each time, and another where costs are not compared."""
    said = set()
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            main(["gate", "--baseline-name"])
        assert stop.value.code == 0
        said.add(capsys.readouterr().out.strip())
    (name,) = said
    assert re.fullmatch(r"baseline-cells\d+-facts\d+-python3\.\d+-[a-z0-9.-]+", name)
    usual = baseline_name(machine())
    assert usual == baseline_name(machine(hostname="other", kernel="Linux 6.2", python="3.11.10", load_1min=9.0))
    for changes in ({"cpu_model": "Xeon"}, {"cpu_count": 4}, {"idle_polling": True}, {"python": "3.12.1"}):
        assert baseline_name(machine(**changes)) != usual


def test_a_baseline_can_be_checked_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether it can be read, before a sweep is run for it."""
    (tmp_path / "good.json").write_text(json.dumps(document()), encoding="utf-8")
    (tmp_path / "old.json").write_text(json.dumps(document() | {"schema_version": 1}), encoding="utf-8")
    assert main(["gate", "--check", "--baseline", str(tmp_path / "good.json")]) == 0
    assert "it is cells.json of a sweep, sweep 7f3a" in capsys.readouterr().out
    assert main(["gate", "--check", "--baseline", str(tmp_path / "old.json")]) == 2
    assert "has schema version 1" in capsys.readouterr().err


def test_costs_that_passed_are_shown_with_what_could_have_been_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the screen and in the table, with the margin."""
    (tmp_path / "stored.json").write_text(json.dumps(document()), encoding="utf-8")
    (tmp_path / "new.json").write_text(json.dumps(document() | {"sweep_id": "8b4c"}), encoding="utf-8")
    markdown = tmp_path / "gate.md"
    given = ("--baseline", str(tmp_path / "stored.json"), "--current", str(tmp_path / "new.json"))
    assert main(["gate", *given, "--markdown", str(markdown)]) == 0
    said = capsys.readouterr().out
    (line,) = [one for one in said.splitlines() if one.startswith("not worse: openai / autolog (chat): added p50")]
    assert "below the margin of " in line
    assert "this gate could have seen a rise of at least " in line
    table = markdown.read_text(encoding="utf-8")
    assert "smallest rise that it could see" in table
    (row,) = [one for one in table.splitlines() if one.startswith("| openai / autolog (chat) | added p50 |")]
    assert row.count(" ms") == 6


def test_the_baseline_is_kept_by_name_and_from_the_default_branch_alone() -> None:
    """What a pull request ran never becomes one, and what a fork named alike is never taken for one."""
    steps = {
        step.get("name"): step for step in yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]
    }
    kept = steps["Keep the baseline"]
    assert kept["with"]["name"] == "${{ steps.baseline.outputs.name }}"
    assert kept["with"]["path"] == "bench/next/"
    assert "pull_request" not in kept["if"]
    assert "schedule" in kept["if"]
    download = steps["Download the baseline"]["run"]
    assert "gate --baseline-name" in download
    assert ".workflow_run.head_repository_id == .workflow_run.repository_id" in download
