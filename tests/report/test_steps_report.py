"""The cost taken apart, as reports show it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from harness.config import LEVELS
from harness.overhead import step_sums
from harness.report import html_report, markdown_report, verdict_sentences
from harness.report.floors import load_floor
from harness.report.format import ABSENT
from harness.report.quantities import OTHER_ARM, quantities
from harness.report.soundness import cost_rows, doubts
from harness.report.steps import step_tables, way_of
from harness.report.steps_figure import by_scale, steps_figure
from harness.report.view import sweep_view
from harness.results import Drift

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import CellResult, SweepResult

EDGES = [*pairwise(LEVELS), ("untraced", "exported")]
ADDED_MS = {"disabled": 0.2, "sampled_out": -0.1, "dropped": 1.0, "exported": 4.0}


@pytest.fixture
def levels_sweep(make_sweep: Callable[..., SweepResult]) -> SweepResult:
    """One strategy's steps and its whole, in a sweep of nine cells of which the first five are these."""
    nine = make_sweep()
    autolog = nine.cells[2]

    def cell(number: int, against: str, level: str) -> CellResult:
        named: dict[str, Any] = {"cell_id": f"step{number}", "against": against, "level": level}
        assert autolog.overhead is not None
        added = ADDED_MS[level]
        estimates = {
            name: one.model_copy(update={"value": added, "per_fork": tuple(added + part for part in (-0.1, 0, 0.1, 0))})
            for name, one in autolog.overhead.estimates.items()
        }
        overhead = autolog.overhead.model_copy(update={"estimates": estimates})
        return autolog.model_copy(update={"cell": autolog.cell.model_copy(update=named), "overhead": overhead})

    cells = tuple(cell(number, *edge) for number, edge in enumerate(EDGES))
    return nine.model_copy(update={"cells": cells, "cells_expected": len(cells), "steps": step_sums(cells)})


def test_the_table_has_each_step_and_the_verdict(levels_sweep: SweepResult) -> None:
    """A table a quantity, a column a step, and the sum of the steps beside the whole."""
    latency, cpu = step_tables(levels_sweep)
    assert (latency.label, latency.levels) == ("openai / autolog", tuple(LEVELS[1:]))
    assert cpu.title == "added CPU time per call"
    (row,) = latency.rows
    assert row.way == "into SQLite, as MLflow has it"
    ways = {True: "in the background", False: "synchronously"}
    for asynchronous, words in ways.items():
        told = latency.sums[0].model_copy(update={"asynchronous": asynchronous})
        assert way_of(told) == f"into SQLite, {words}"
    assert row.total.startswith("5.1")
    assert row.whole.startswith("4.0")
    assert row.verdict == "disagree"


def test_both_reports_say_where_the_cost_goes(levels_sweep: SweepResult) -> None:
    """HTML and Markdown have the sentences; HTML has a figure of each table."""
    html, markdown = html_report(levels_sweep), markdown_report(levels_sweep)
    assert 'id="steps"' in html
    assert html.count("step by step</title>") == 4
    for text in (html, markdown):
        assert "Where the cost goes" in text
        assert "end to end it is 4.00 ms" in text
    assert "level=dropped, against=sampled_out" in html


def test_the_other_arm_is_named_where_it_is_not_untraced(levels_sweep: SweepResult) -> None:
    """A level below stands in the column of the untraced median, and says so."""
    shown = {cell.cell.against: quantities(cell)["baseline"].text for cell in levels_sweep.cells}
    assert shown["sampled_out"].endswith(", sampled_out")
    assert not any(level in shown["untraced"] for level in LEVELS)


def test_ledger_and_doubts_name_the_other_arm(levels_sweep: SweepResult) -> None:
    """Beside a step's cost stands the level below, by its name, and a drift of it is not one of an untraced arm."""
    view = sweep_view(levels_sweep)
    step = next(cell for cell in view.cells if cell.result.cell.against == "sampled_out")
    row = next(row for row in cost_rows(step) if row.name == "p50_ms")
    assert row.untraced.endswith(", sampled_out")
    assert step.result.overhead is not None
    seen = Drift(changes={}, sentence="", seen=("baseline_p50_ms",))
    drifted = step.result.model_copy(update={"overhead": step.result.overhead.model_copy(update={"drift": seen})})
    assert "sampled_out p50 drifted from fork to fork" in list(doubts(step._replace(result=drifted)))


def test_a_levels_page_opens_with_its_steps(levels_sweep: SweepResult) -> None:
    """Where the cost goes is the first that a reader is told, and the terminal tells it once."""
    opening, _, *points = markdown_report(levels_sweep).split("\n")[2:]
    assert opening.startswith("**Where the cost of openai / autolog goes**: ")
    assert points[0].startswith("- Into sqlite, ")
    assert ": the steps of added p50 sum to " in points[0]
    assert any(" disagree" in point for point in points if point.startswith("- Into "))
    told = verdict_sentences(levels_sweep)
    assert sum("steps of added p50" in sentence for sentence in told) == 1
    assert sum("steps of CPU added" in sentence for sentence in told) == 1


def test_the_figure_stacks_the_steps(levels_sweep: SweepResult) -> None:
    """Each step and the whole is a bar that says what it is; a step below zero is drawn, too."""
    figure = steps_figure(step_tables(levels_sweep)[0], "f")
    assert figure is not None
    titles = re.findall(r"<title[^>]*>([^<]*)</title>", figure)
    assert sum("untraced to disabled" in title for title in titles) == 1
    assert any(title.startswith("disabled to sampled_out: −0.1") for title in titles)  # noqa: RUF001 - our minus
    assert any(title.startswith("end to end: 4.0") for title in titles)


def test_nothing_measured_is_nothing_drawn(levels_sweep: SweepResult) -> None:
    """Cells that were not timed leave a table of dashes, the reason, and no figure."""
    cells = tuple(cell.model_copy(update={"overhead": None}) for cell in levels_sweep.cells)
    bare = levels_sweep.model_copy(update={"cells": cells, "steps": step_sums(cells)})
    table = step_tables(bare)[0]
    assert steps_figure(table, "f") is None
    assert table.rows[0].verdict == "can't say"
    assert "cannot be said" in html_report(bare)


def test_other_sweeps_have_no_such_section(sweep: SweepResult) -> None:
    """A sweep without levels says nothing of steps."""
    assert "Where the cost goes" not in html_report(sweep)
    assert "Where the cost goes" not in markdown_report(sweep)


def test_reports_say_how_sum_and_whole_are_held(levels_sweep: SweepResult) -> None:
    """Both name the levels, the margin, and that no spans go synchronously into a collector."""
    html, markdown = html_report(levels_sweep).replace("&#39;", "'"), markdown_report(levels_sweep)
    for text in (html, markdown.replace("\\_", "_")):
        assert "There is no synchronous way into a collector: MLflow exports over OTLP in batches only." in text
        assert "if nothing but forks differs between the cells" in text
        assert "sampled_out: every trace sampled out" in text


def test_a_step_has_no_floor(levels_sweep: SweepResult, make_sweep: Callable[..., SweepResult]) -> None:
    """Both arms of an A/A cell are untraced: it does not say how far apart two arms are that both import MLflow."""
    floor_cell = make_sweep().cells[0]
    view = sweep_view(levels_sweep.model_copy(update={"cells": (floor_cell, *levels_sweep.cells)}))
    by_edge = {(one.result.cell.against, one.result.cell.level): one for one in view.cells[1:]}
    step, whole = by_edge["dropped", "exported"], by_edge["untraced", "exported"]
    assert whole.shown["floor"].text != ABSENT
    assert (step.shown["floor"].text, step.floor_ms) == (ABSENT, None)
    assert step.shown["floor"].reason == OTHER_ARM
    assert {floor.text for floor in step.floors.values()} == {ABSENT}
    assert load_floor(step, "threads:8", "p50_ms", view) == (None, OTHER_ARM)


def test_ways_that_dwarf_the_others_get_a_scale_of_their_own(levels_sweep: SweepResult) -> None:
    """Waiting for each export costs many times as much, and beside it no step in the background could be seen."""
    table = step_tables(levels_sweep)[0]
    (fast,) = table.sums

    def scaled(factor: float) -> list[int]:
        assert fast.whole.estimate is not None
        whole = fast.whole.estimate.model_copy(
            update={"value": (fast.whole.estimate.value or 0.0) * factor, "low": None, "high": None}
        )
        slow = fast.model_copy(
            update={"asynchronous": False, "whole": fast.whole.model_copy(update={"estimate": whole})}
        )
        both = table._replace(rows=table.rows * 2, sums=(fast, slow), sentences=table.sentences * 2)
        return [len(part.sums) for part in by_scale(both)]

    assert scaled(50.0) == [1, 1]
    assert scaled(1.0) == [2]
    assert by_scale(table) == [table]
