"""What completeness found, as the reports show it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console

from harness.cli.sweep import _exit_status
from harness.errors import EXIT_CELL_FAILED, EXIT_OK
from harness.report import (
    cells_json,
    console_table,
    description,
    finding_sentences,
    html_report,
    markdown_report,
    verdict_sentences,
)
from harness.report.defects import known_defects
from harness.report.differences import ROWS_AT_MOST, difference_table
from harness.report.findings import findings
from harness.report.judged import trace_verdicts
from harness.report.losses import loss_table, not_run
from harness.report.markdown import DESCRIPTION_LIMIT
from harness.report.matrix import by_scenario, matrix, recall_by_level
from harness.report.verdicts import cautions
from harness.report.view import sweep_view
from harness.results import FactCount

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import CellResult, CompletenessResult, SweepResult


def with_completeness(sweep: SweepResult, number: int, **changes: Any) -> SweepResult:
    """The sweep with another completeness result in one cell."""
    cell = sweep.cells[number - 1]
    found = cell.completeness
    assert found is not None
    changed: CellResult = cell.model_copy(update={"completeness": found.model_copy(update=changes)})
    return sweep.model_copy(update={"cells": (*sweep.cells[: number - 1], changed, *sweep.cells[number:])})


def completeness_of(sweep: SweepResult, number: int) -> CompletenessResult:
    """What was found in one cell."""
    found = sweep.cells[number - 1].completeness
    assert found is not None
    return found


def printed(sweep: SweepResult, width: int) -> str:
    """The console table as a terminal of this width shows it."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(console_table(sweep))
    return capture.get()


def test_changed_calls_are_the_gravest_finding(scenario_sweep: SweepResult) -> None:
    """What tracing changed for the application comes before every lost trace and wrong value."""
    kinds = [finding.kind for finding in findings(sweep_view(scenario_sweep))]
    assert kinds[:3] == ["different"] * 3
    order = ("different", "lost", "orphaned", "wrong", "missing", "elsewhere")
    assert [kind for kind in order if kind in kinds] == list(dict.fromkeys(kinds))


def test_changed_calls_come_with_their_evidence(scenario_sweep: SweepResult) -> None:
    """Such a finding has what the application got either way, the place, the scenario and the trace."""
    found = {finding.fact: finding for finding in findings(sweep_view(scenario_sweep)) if finding.kind == "different"}
    example = found["chunks"].examples[0]
    assert (example.wire, example.traced) == ('{"delta": "Par"}', '{"delta": "P"}')
    assert (example.place, example.trace_id, example.scenarios) == ("chunks[3]", "tr-chunks", "stream")
    assert (example.found, example.of) == (1, 38)
    assert found["exception"].examples[0].untraced == 1


def test_verdict_begins_with_changed_calls(scenario_sweep: SweepResult) -> None:
    """A call that differs in two ways counts once, and stands before any score."""
    assert verdict_sentences(scenario_sweep)[0].startswith(
        "openai: The application gets something else than without tracing: autolog in 2 of 38 compared calls. "
    )


def test_finding_names_its_scenarios(scenario_sweep: SweepResult) -> None:
    """Wrong values tell in which scenarios they were seen."""
    wrong = next(finding for finding in findings(sweep_view(scenario_sweep)) if finding.kind == "wrong")
    assert set(wrong.examples[0].scenarios.replace(" and ", ", ").split(", ")) == {"tool turn", "plain", "stream"}


def test_every_report_has_the_findings(scenario_sweep: SweepResult) -> None:
    """HTML, Markdown, the description and the console sentences tell of the change, the defects and the losses."""
    for text in (
        html_report(scenario_sweep),
        markdown_report(scenario_sweep).replace("\\", ""),
        description(scenario_sweep).replace("\\", ""),
        "\n".join(finding_sentences(scenario_sweep)),
    ):
        for told in ("Calls that tracing changed", "tr-chunks", "os._exit()", "The usage of embeddings"):
            assert told in text.replace("<wbr>", "")


def test_description_of_many_findings_keeps_the_table(
    make_sweep: Callable[..., SweepResult], many_specs: tuple[Any, ...], scenario_sweep: SweepResult
) -> None:
    """Findings may not push the table of cells out of a description."""
    found = completeness_of(scenario_sweep, 3)
    sweep = make_sweep(specs=many_specs * 4)
    for number, cell in enumerate(sweep.cells, start=1):
        if cell.cell.expects_traces:
            sweep = with_completeness(
                sweep, number, transparency=found.transparency, transparency_compared=38, defects=found.defects
            )
    text = description(sweep)
    assert len(text) <= DESCRIPTION_LIMIT
    assert "| # | Cell |" in text
    assert "**Gravest findings**" in text


def test_known_defects_are_found_or_mended(scenario_sweep: SweepResult) -> None:
    """Each known defect has its status and evidence for each cell, the ones that are there first."""
    known = known_defects(sweep_view(scenario_sweep))
    assert [(defect.defect, defect.status) for defect in known] == [
        ("openai_finish_reason", "found"),
        ("embeddings_usage", "mended"),
    ]
    entry = known[0].entries[0]
    assert (entry.calls, entry.applicable, entry.wire, entry.traced) == (3, 4, '"length"', '"stop"')
    assert entry.trace_id == "tr-finish"
    assert len(known[0].entries) == 2


def test_mended_defect_says_so(scenario_sweep: SweepResult) -> None:
    """A defect that was not met again reads as mended, with the calls that could have met it."""
    assert "| mended | mended: The usage of embeddings is not lifted to the trace |" in markdown_report(scenario_sweep)
    assert "Known defect mended: The usage of embeddings is not lifted to the trace." in finding_sentences(
        scenario_sweep
    )


def test_defect_that_one_cell_met_and_another_did_not_stands_twice(scenario_sweep: SweepResult) -> None:
    """Two providers may disagree about one defect."""
    (found, mended) = completeness_of(scenario_sweep, 3).defects
    other = found.model_copy(update={"status": "mended", "calls": 0})
    known = known_defects(sweep_view(with_completeness(scenario_sweep, 6, defects=(other, mended))))
    assert [(defect.defect, defect.status, len(defect.entries)) for defect in known] == [
        ("openai_finish_reason", "found", 1),
        ("embeddings_usage", "mended", 2),
        ("openai_finish_reason", "mended", 1),
    ]


def test_losses_are_told_by_ending_and_strategy(scenario_sweep: SweepResult) -> None:
    """The table has lost of expected for each ending; a strategy that expects no traces loses none."""
    table = loss_table(sweep_view(scenario_sweep))
    assert [cell.number for cell in table.cells] == [1, 3, 6]
    by_ending = dict(table.rows)
    assert list(by_ending) == ["at the end of the script", "os._exit()"]
    untraced, traced, _ = by_ending["os._exit()"]
    assert untraced is None
    assert traced is not None
    assert (traced.lost, traced.incomplete, traced.expected) == (6, 1, 10)
    assert traced.text == "6 of 10, 1 more incomplete"
    assert (
        "4 of 10 stored after 10 calls, 1 of them without an end or their metadata, exit status 0, 512 calls/s"
        in traced.note
    )


def test_endings_without_expectations_have_no_table(make_sweep: Callable[..., SweepResult]) -> None:
    """A sweep in which no ending was tried says that."""
    assert loss_table(sweep_view(make_sweep())).rows == ()
    assert "No cell tried how a process may end." in html_report(make_sweep())


def test_samples_that_could_not_be_run_have_their_reason(scenario_sweep: SweepResult) -> None:
    """They are grouped by reason, with their scenarios and the cells, and are escaped."""
    (part,) = not_run(sweep_view(scenario_sweep))
    assert (part.scenarios, part.samples, part.numbers) == (("embeddings",), 2, (5,))
    assert "langchain has no embeddings &lt;here&gt;" in html_report(scenario_sweep)
    assert "2 samples not applicable" in " ".join(printed(scenario_sweep, 120).split())


def test_not_applicable_cell_is_no_failure(scenario_sweep: SweepResult) -> None:
    """It is shown as what it is, with the reason, and is not counted among those that did not end well."""
    told = cautions(sweep_view(scenario_sweep))
    assert any(
        "1 of 9 cells could not be run, which is no failure: langchain (openai) / autolog." in text for text in told
    )
    assert all("autolog" not in text for text in told if "did not end well" in text)
    assert "autolog does not apply (the mistralai SDK has no Responses API)" in verdict_sentences(scenario_sweep)[2]
    html = html_report(scenario_sweep)
    assert '<span class="status not-applicable">' in html
    assert "| not applicable: the mistralai SDK has no Responses API |" in markdown_report(scenario_sweep)
    assert "not applicable" in printed(scenario_sweep, 80)


def test_not_applicable_cell_leaves_the_exit_status_alone(scenario_sweep: SweepResult) -> None:
    """A sweep in which all ran that can run ends with 0; a failed cell still makes it 1."""
    well = tuple(cell for cell in scenario_sweep.cells if cell.cell.status != "failed")
    assert [cell.cell.status for cell in well].count("not applicable") == 1
    update = {"cells": well, "cells_expected": len(well)}
    assert _exit_status(scenario_sweep.model_copy(update=update), interrupted=False) == EXIT_OK
    assert _exit_status(scenario_sweep, interrupted=False) == EXIT_CELL_FAILED


def test_recall_by_level_is_shown_where_it_is_known(scenario_sweep: SweepResult) -> None:
    """OpenTelemetry's levels are columns; one that did not apply is a dash."""
    rows = recall_by_level(sweep_view(scenario_sweep))
    assert [(row.cell.number, row.shares) for row in rows] == [
        (3, ("100%", "—", "25%", "—")),
        (6, ("100%", "—", "25%", "—")),
    ]


def test_facts_of_several_levels_are_one_row(scenario_sweep: SweepResult) -> None:
    """Counts of one fact at two levels are added up in the matrix."""
    facts = tuple(
        FactCount(fact="usage", convention="otel", level=level, recorded=1, elsewhere=0, wrong=0, missing=1)
        for level in ("required", "opt_in")
    )
    shown = matrix(sweep_view(with_completeness(scenario_sweep, 3, facts=facts)), "otel")
    entry = dict(shown.rows)["usage"][[cell.number for cell in shown.cells].index(3)]
    assert entry is not None
    assert entry.applicable == 4


def test_scenarios_of_a_cell_are_told_apart(scenario_sweep: SweepResult) -> None:
    """A cell with several scenarios has a row for each, with what is not recorded there."""
    groups = by_scenario(sweep_view(scenario_sweep))
    assert [group.cell.number for group in groups] == [3, 6]
    rows = {row.scenario: row for row in groups[0].rows}
    assert set(rows) == {"plain", "stream", "tool turn"}
    faults = dict(rows["stream"].faults)
    assert "usage.output_tokens" in faults["wrong"]
    assert rows["stream"].calls == 40


def test_cells_json_counts_changes_and_keeps_no_answer(scenario_sweep: SweepResult) -> None:
    """Programs get the number of changes, the defects and the losses, and nothing that was said in a call."""
    text = cells_json(scenario_sweep)
    cells = json.loads(text)["cells"]
    assert cells[2]["completeness"]["transparency_differences"] == 3
    assert cells[1]["completeness"]["transparency_differences"] is None
    assert [defect["status"] for defect in cells[2]["completeness"]["defects"]] == ["found", "mended"]
    assert cells[2]["losses"][1]["ending"] == "os._exit"
    assert cells[8]["status"] == "not applicable"
    assert '"delta' not in text.replace('\\"', '"')


def test_lost_call_is_one_row_of_the_differences(sweep: SweepResult) -> None:
    """A call without a trace is told once, not with each of its facts."""
    table = difference_table(completeness_of(sweep, 5))
    assert table is not None
    lost = [number for number, verdict in enumerate(table["verdict"]) if verdict == "lost"]
    calls = {one.call_id for one in completeness_of(sweep, 5).judgements if one.trace_id is None}
    assert len(lost) == len(calls)
    assert all(table["trace_id"][number] == "" for number in lost)


def test_long_values_are_cut_with_a_mark(sweep: SweepResult) -> None:
    """A value of any length takes a bounded part of the table."""
    judged = completeness_of(sweep, 3).judgements
    wrong = next(one for one in judged if one.verdict == "wrong")._replace(wire="x" * 10_000)
    table = difference_table(completeness_of(with_completeness(sweep, 3, judgements=(wrong,)), 3))
    assert table is not None
    assert len(table["wire_value"][0]) == 200
    assert table["wire_value"][0].endswith("…")


def test_table_of_differences_ends_with_a_note(sweep: SweepResult) -> None:
    """Beyond its limit the table says how many rows it leaves out."""
    wrong = next(one for one in completeness_of(sweep, 3).judgements if one.verdict == "wrong")
    many = completeness_of(with_completeness(sweep, 3, judgements=(wrong,) * (ROWS_AT_MOST + 7)), 3)
    table = difference_table(many)
    assert table is not None
    assert {len(column) for column in table.values()} == {ROWS_AT_MOST + 1}
    assert table["fact"][-1] == "7 more differences are not listed; the cell's records hold them"


def test_rationale_is_bounded(sweep: SweepResult) -> None:
    """A trace with many faults names the first of them, and how many more there are."""
    wrong = next(one for one in completeness_of(sweep, 3).judgements if one.verdict == "wrong")
    many = tuple(wrong._replace(wire="`x`" * 999, request=number) for number in range(50))
    (verdict,) = trace_verdicts(completeness_of(with_completeness(sweep, 3, judgements=many), 3))
    assert verdict.differences.endswith("- and 30 more")
    assert len(verdict.differences) < 8_000
    assert "(request 2)" in verdict.differences
    assert "```" not in verdict.differences


def test_flow_of_several_calls_is_one_verdict(sweep: SweepResult) -> None:
    """Calls that share a trace, as those of an agent do, are judged together."""
    judged = [one._replace(trace_id="tr-flow") for one in completeness_of(sweep, 3).judgements[:4]]
    (verdict,) = trace_verdicts(completeness_of(with_completeness(sweep, 3, judgements=tuple(judged)), 3))
    assert verdict.trace_id == "tr-flow"
    assert verdict.completeness == sum(one.verdict == "recorded" for one in judged) / 4


def test_trace_without_any_value_has_no_fidelity(sweep: SweepResult) -> None:
    """Where nothing was found nothing can be true or false."""
    missing = next(one for one in completeness_of(sweep, 3).judgements if one.verdict == "missing")
    (verdict,) = trace_verdicts(completeness_of(with_completeness(sweep, 3, judgements=(missing,)), 3))
    assert verdict.fidelity is None
    assert verdict.completeness == 0.0
