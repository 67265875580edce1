"""Strategies that another one dominates, in sentences, in figures and in files of figures."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from harness.report import markdown_report, report_files
from harness.report.cost_figure import cost_against_completeness
from harness.report.dominance import dominance_sentences, dominances
from harness.report.pictures import standalone
from harness.report.view import sweep_view
from tests.report.conftest import Spec, transparency

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import SweepResult

    MakeSweep = Callable[..., SweepResult]

BETTER = (
    Spec("openai", "none"),
    Spec("openai", "manual", "wrapper/plain", added_ms=6.0),
    Spec("openai", "autolog", added_ms=3.0),
    Spec("mistralai", "autolog", added_ms=1.0),
)


def numbers(sweep: SweepResult) -> list[tuple[int, list[int]]]:
    """Each dominated cell with those that dominate it."""
    return [
        (cell.number, [other.number for other in by])
        for one in dominances(sweep_view(sweep).cells)
        for cell, by in one.dominated
    ]


def test_cheaper_and_more_complete_dominates(make_sweep: MakeSweep) -> None:
    """Of one provider, and of no other; the sentence has both shares and both costs with their intervals."""
    sweep = make_sweep(specs=BETTER)
    assert numbers(sweep) == [(2, [3])]
    first, second = dominance_sentences(sweep_view(sweep).cells)
    assert first.startswith("openai: autolog (cell 3) dominates manual wrapper/plain (cell 2): it records 80.5% of")
    assert re.search(r"adds 3\.\d+ ms \[.+\] a call against 6\.\d+ ms \[.+\]\.$", first)
    assert second == "openai: only autolog (cell 3) is left."


@pytest.mark.parametrize(
    ("manual", "autolog"), [(3.2, 3.0), (3.0, 6.0)], ids=["costs overlap", "the more complete one costs more"]
)
def test_what_is_not_sure_is_no_dominance(make_sweep: MakeSweep, manual: float, autolog: float) -> None:
    """Intervals that overlap, or a price for what is recorded more: there is a choice to make."""
    specs = (BETTER[0], BETTER[1]._replace(added_ms=manual), BETTER[2]._replace(added_ms=autolog))
    assert numbers(make_sweep(specs=specs)) == []


def test_a_choice_is_told_with_what_it_costs(make_sweep: MakeSweep) -> None:
    """Where none dominates, the most complete one stands first, and each other beside its cost."""
    cheap = make_sweep(specs=(BETTER[0], BETTER[1]._replace(added_ms=1.0), BETTER[2]))
    (said,) = dominance_sentences(sweep_view(cheap).cells)
    assert "autolog (cell 3) records most, 80.5% of the facts" in said
    assert said.endswith(", which is less.")
    near = make_sweep(specs=(BETTER[0], BETTER[1]._replace(added_ms=3.0), BETTER[2]))
    assert dominance_sentences(sweep_view(near).cells)[0].endswith("a cost that is not told apart from that.")


def test_a_strategy_that_changes_calls_dominates_none(make_sweep: MakeSweep) -> None:
    """However cheap and complete: the application gets something else with it."""
    sweep = make_sweep(specs=BETTER)
    autolog = sweep.cells[2]
    assert autolog.completeness is not None
    opaque = autolog.completeness.model_copy(update={"transparency": transparency(3), "transparency_compared": 38})
    cells = (*sweep.cells[:2], autolog.model_copy(update={"completeness": opaque}), sweep.cells[3])
    assert numbers(sweep.model_copy(update={"cells": cells})) == []


def test_unjudged_cells_take_no_part(sweep: SweepResult) -> None:
    """Where traces were lost, or there are too few forks, cost is not compared."""
    told = " ".join(dominance_sentences(sweep_view(sweep).cells))
    assert "cell 5" not in told
    assert "cell 6" not in told


def test_the_figure_shows_who_is_dominated_and_both_intervals(make_sweep: MakeSweep) -> None:
    """The mark's words say so, and recall stands with its interval over samples."""
    sweep = make_sweep(specs=BETTER)
    manual = sweep.cells[1]
    assert manual.completeness is not None
    spread = manual.completeness.model_copy(update={"recall_low": 0.4, "recall_high": 0.7})
    cells = (sweep.cells[0], manual.model_copy(update={"completeness": spread}), *sweep.cells[2:])
    view = sweep_view(sweep.model_copy(update={"cells": cells}))
    figure = cost_against_completeness(list(view.cells), {"openai": 0, "mistralai": 1}, "f")
    assert figure is not None
    assert re.search(
        r"2 openai / manual wrapper/plain: recall [\d.]+% \[40%, 70%\], added p50 [^<]+, dominated<", figure
    )
    assert re.search(r"3 openai / autolog: recall 80.5%, added p50 [^<,]+, [^<,]+\]<", figure)


def test_markdown_shows_its_figures_and_they_are_files(make_sweep: MakeSweep) -> None:
    """Every picture that the Markdown names is there, is well formed, and brings its own colours for both schemes."""
    files = report_files(make_sweep(specs=BETTER))
    named = re.findall(r"!\[[^]]+\]\(([^)]+)\)", files["report.md"])
    assert named == ["figures/cost-1.svg"]
    assert set(files) == {"report.html", "report.md", "cells.json", *named}
    text = files[named[0]]
    root = ET.fromstring(text)  # noqa: S314 - our own SVG
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(root.attrib["width"]) > 0
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert used <= set(re.findall(r"(--[\w-]+):", text))
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"(?:href|src)=\"(?!#)", text) == []


def test_markdown_without_files_names_none(make_sweep: MakeSweep) -> None:
    """The text alone has no broken pictures, and still says who is dominated."""
    report = markdown_report(make_sweep(specs=BETTER))
    assert "![" not in report
    assert "only autolog \\(cell 3\\) is left" in report or "only autolog (cell 3) is left" in report


def test_a_picture_is_the_same_each_time(make_sweep: MakeSweep) -> None:
    """Drawing twice gives the same bytes."""
    cells = list(sweep_view(make_sweep(specs=BETTER)).cells)
    one, other = (cost_against_completeness(cells, {"openai": 0, "mistralai": 1}, "f") for _ in range(2))
    assert one is not None
    assert other is not None
    assert standalone(one) == standalone(other)
