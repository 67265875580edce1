from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import matplotlib as mpl
from hypothesis import given
from hypothesis import strategies as st

from harness.report import html_report, markdown_report
from harness.report.cost_figure import cost_against_completeness
from harness.report.figures import ECDF_POINTS, distributions, thin
from harness.report.findings import findings
from harness.report.matrix import matrix
from harness.report.shift_figure import shift_figures
from harness.report.view import sweep_view
from harness.results import Estimate, QuantileShift

if TYPE_CHECKING:
    from harness.results import SweepResult

LATENCIES = st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1, max_size=2000)


@given(LATENCIES)
def test_thinned_distribution_keeps_its_ends(values: list[float]) -> None:
    """The least and the greatest value are always drawn, and the line ends at all calls."""
    line = thin(values)
    assert len(line) <= ECDF_POINTS
    assert (line[0][0], line[-1]) == (min(values), (max(values), 1.0))


@given(LATENCIES)
def test_thinned_distribution_tells_true_shares(values: list[float]) -> None:
    """Each drawn share is reached: no fewer values lie at or below, and the line never falls."""
    line = thin(values)
    assert all(sum(value <= x for value in values) >= round(share * len(values)) for x, share in line[:5])
    assert all(before <= after for before, after in pairwise(line))


def test_untraced_cells_are_not_points(sweep: SweepResult) -> None:
    """Cells without recall or without cost are left out; without any there is no figure."""
    cells = list(sweep_view(sweep).cells)
    colours = {cell.provider: index for index, cell in enumerate(cells)}
    figure = cost_against_completeness(cells, colours, "f")
    assert figure is not None
    assert "<title>3 openai / autolog: recall 80.5%, added p50 4.11 ms [3.76, 4.46]</title>" in figure
    assert "openai / none" not in figure
    assert cost_against_completeness([cell for cell in cells if not cell.traced], colours, "f") is None


def test_every_timed_cell_has_a_distribution(sweep: SweepResult) -> None:
    """Cells with latencies get a figure, the failed one gets none."""
    drawn = distributions(list(sweep_view(sweep).cells), "d")
    assert [cell.number for cell, _ in drawn] == [1, 2, 3, 4, 5, 6, 7, 9]


def test_drawing_leaves_global_settings_alone(sweep: SweepResult) -> None:
    """Whoever draws after a report finds matplotlib as it was."""
    before = dict(mpl.rcParams)
    distributions(list(sweep_view(sweep).cells)[:1], "d")
    assert dict(mpl.rcParams) == before


def test_matrix_shows_the_gravest_verdict_and_the_share(sweep: SweepResult) -> None:
    """A fact that is wrong in few calls is marked wrong, beside the share that is right."""
    facts = matrix(sweep_view(sweep), "mlflow")
    assert [cell.number for cell in facts.cells] == [2, 3, 5, 6, 9]
    entry = dict(facts.rows)["usage.output_tokens"][1]
    assert entry is not None
    assert (entry.gravest, entry.share) == ("wrong", "92.5%")
    assert entry.parts == (("recorded", 92.5), ("wrong", 7.5))


def test_findings_tell_lost_traces_from_missing_values(sweep: SweepResult) -> None:
    """A fact that is missing because its call has no trace is counted apart and is no example."""
    found = {(finding.kind, finding.fact): finding for finding in findings(sweep_view(sweep))}
    example = next(part for part in found["missing", "usage.input_tokens"].examples if part.cell.number == 5)
    assert (example.found, example.untraced) == (40, 3)
    assert example.trace_id.startswith("tr-")


def test_lost_trace_is_not_told_again_for_each_fact(sweep: SweepResult) -> None:
    """A fact that is missing only where the trace is lost is no finding of its own."""
    missing = {finding.fact for finding in findings(sweep_view(sweep)) if finding.kind == "missing"}
    assert "request.model" not in missing
    assert "usage.input_tokens" in missing


def test_findings_count_lost_traces_of_both_passes(sweep: SweepResult) -> None:
    """Lost traces of the completeness and of the timing pass both stand first."""
    first = findings(sweep_view(sweep))[0]
    assert first.kind == "lost"
    assert [(example.found, example.of, example.note) for example in first.examples] == [
        (3, 40, "completeness pass"),
        (3, 480, "timing pass"),
    ]


def with_shift(sweep: SweepResult, *, forks: int = 8) -> SweepResult:
    """The sweep with a shift function in its third cell: slow calls pay more."""
    shift = tuple(
        QuantileShift(
            percent=percent,
            added=Estimate(
                name=f"p{percent}_ms",
                unit="ms",
                value=3 + percent / 100,
                low=2.8 + percent / 100 if forks >= 4 else None,
                high=3.2 + percent / 100 if forks >= 4 else None,
                forks=forks,
                reason=None if forks >= 4 else "3 complete forks give no interval, at least 4 are needed",
            ),
        )
        for percent in (10, 50, 90)
    )
    cell = sweep.cells[2]
    assert cell.overhead is not None
    changed = cell.model_copy(update={"overhead": cell.overhead.model_copy(update={"shift": shift})})
    return sweep.model_copy(update={"cells": (*sweep.cells[:2], changed, *sweep.cells[3:])})


def test_each_quantile_is_drawn_with_its_interval(sweep: SweepResult) -> None:
    """Every point tells its value and bounds, in the figure, in Markdown and in the page."""
    changed = with_shift(sweep)
    drawn = shift_figures(sweep_view(changed).cells, "s")
    assert list(drawn) == [3]
    for text in ("p10: 3.10 ms [2.90, 3.30]", "p90: 3.90 ms [3.70, 4.10]"):
        assert f"<title>{text}</title>" in drawn[3]
    assert "| 3.10 ms [2.90, 3.30] | — | 3.50 ms [3.30, 3.70] | — | 3.90 ms [3.70, 4.10] | — | — |" in markdown_report(
        changed
    )
    assert "Added latency at quantiles of openai / autolog" in html_report(changed)


def test_without_intervals_no_shift_is_drawn(sweep: SweepResult) -> None:
    """Under four forks the page says why there is none."""
    changed = with_shift(sweep, forks=3)
    assert shift_figures(sweep_view(changed).cells, "s") == {}
    assert "What is added to fast and to slow calls" not in markdown_report(changed)
    assert "No interval at any quantile: 3 complete forks give no interval" in html_report(changed)
