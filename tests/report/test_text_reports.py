from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from harness.report import cells_json, console_table, description, html_report, markdown_report, verdict_sentences
from harness.report.markdown import DESCRIPTION_LIMIT
from harness.report.marking import escape
from harness.report.quantities import COLUMNS
from harness.report.reading import terms
from harness.report.view import sweep_view
from harness.results import LoadResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import SweepResult


def printed(sweep: SweepResult, width: int) -> str:
    """The console table as a terminal of this width shows it."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(console_table(sweep))
    return capture.get()


def table_rows(markdown: str, heading: str) -> list[str]:
    """The lines of the first table whose heading begins so, without heading and rule."""
    lines = markdown[markdown.index(heading) :].splitlines()
    return [line for line in lines[2 : lines.index("")] if line]


def unescaped_bars(line: str) -> int:
    """Bars that part columns."""
    return line.replace("\\|", "").count("|")


def test_description_begins_with_the_verdict(sweep: SweepResult) -> None:
    """The first line of a description is the first provider's verdict."""
    first = verdict_sentences(sweep)[0].removeprefix("openai: ")
    assert description(sweep).startswith(f"**openai**: {first}")


def test_description_ends_with_what_was_not_found_out(sweep: SweepResult) -> None:
    """After verdict and table comes what is open."""
    text = description(sweep)
    assert text.index("| # | Cell |") < text.index("**What was not found out**") < text.index("Under 4 forks")


def test_description_fits_a_tag(make_sweep: Callable[..., SweepResult], many_specs: tuple[Any, ...]) -> None:
    """MLflow cuts long descriptions silently, so a long one is cut here, at whole lines and with a count."""
    long = description(make_sweep(specs=many_specs * 12))
    assert len(long) <= DESCRIPTION_LIMIT
    assert "more rows in report.md" in long


def test_markdown_has_a_row_for_each_cell(sweep: SweepResult) -> None:
    """Each cell has one row of the table, the failed one with its reason."""
    rows = table_rows(markdown_report(sweep), "| # | Cell | Status")
    assert len(rows) == len(sweep.cells)
    assert "**failed**: The worker ended with signal 9" in rows[7]


def test_markdown_cells_cannot_break_the_table(sweep: SweepResult) -> None:
    """Bars, line breaks and tags inside a cell are escaped, so every row has the same columns."""
    report = markdown_report(sweep)
    for heading in ("| # | Cell | Status", "| Fact | Cell"):
        rows = table_rows(report, heading)
        assert len({unescaped_bars(row) for row in rows}) == 1
    assert "<script>" not in report
    assert "\\<killed\\>" in report


def test_markdown_fence_holds_any_command(make_sweep: Callable[..., SweepResult]) -> None:
    """A command with backticks does not end its own block."""
    assert "````\nharness '```'\n````" in markdown_report(make_sweep(command="harness '```'"))


def test_escape_leaves_plain_text_alone() -> None:
    """Words and numbers are not changed; markup is."""
    assert escape("autolog 4.1 ms") == "autolog 4.1 ms"
    assert escape("a|b\n<i>*") == "a\\|b \\<i\\>\\*"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_console_table_fits(sweep: SweepResult, width: int) -> None:
    """The table keeps within usual terminals and shows each added p50 with its whole interval."""
    text = printed(sweep, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for fragment in ("[3.76, 4.46]", "37/40", "80.5%", "failed"):
        assert fragment in text


def test_console_table_has_one_row_a_cell(sweep: SweepResult) -> None:
    """Rows are cells, in their order; failures are explained below."""
    assert console_table(sweep).row_count == len(sweep.cells)
    assert "The worker ended with signal 9 | after 12 of 40 calls <killed>." in " ".join(printed(sweep, 120).split())


def test_console_table_takes_brackets_as_text(make_sweep: Callable[..., SweepResult]) -> None:
    """A name in brackets is no colour command."""
    assert "[red]mine" in printed(make_sweep(records={3: {"tracing": "[red]mine"}}), 120)


def test_cells_json_keeps_numbers_and_drops_judgements(sweep: SweepResult) -> None:
    """Programs find identity, scores, estimates and reasons, but no judgement and no prompt."""
    text = cells_json(sweep)
    cells = json.loads(text)["cells"]
    assert [cell["label"] for cell in cells] == [result.cell.label for result in sweep.cells]
    assert cells[2]["completeness"]["recall"] == pytest.approx(0.805, abs=0.001)
    assert {"value", "low", "high", "forks", "per_fork"} <= cells[2]["overhead"]["estimates"]["p50_ms"].keys()
    assert cells[7]["overhead"] is None
    assert cells[7]["reason"].startswith("The worker ended")
    assert "judgements" not in text
    assert "alert(" not in text


def test_cells_json_has_no_places(sweep: SweepResult) -> None:
    """Where a sweep was kept is not part of what was measured."""
    assert all("sweep" not in cell["config"] for cell in json.loads(cells_json(sweep))["cells"])


def test_cells_json_is_valid_where_numbers_are_not(make_sweep: Callable[..., SweepResult]) -> None:
    """JSON has no NaN, so it becomes null."""
    text = cells_json(make_sweep(floors_ms={"openai": float("nan")}))
    assert json.loads(text, parse_constant=pytest.fail)["floors_ms"] == {"openai": None}


def test_text_reports_are_deterministic(sweep: SweepResult) -> None:
    """The same sweep gives the same bytes in every form."""
    again = sweep.model_copy(deep=True)
    for report in (cells_json, description, markdown_report):
        assert report(sweep) == report(again)
    assert printed(sweep, 100) == printed(again, 100)


def test_console_table_gives_half_widths(sweep: SweepResult) -> None:
    """CPU and drain stand with half the width of their intervals, and no quantity is cut off after its number."""
    text = printed(sweep, 80)
    assert text.count("±1.1") == 7
    assert text.count("±1.7") == 4


def test_markdown_says_how_to_read_it(sweep: SweepResult) -> None:
    """The headings of the timing tables and of the table of cells are explained, in the HTML's own words."""
    report = markdown_report(sweep)
    section = report[report.index("## How to read this") : report.index("## Where it was measured")]
    for heading in ("Smallest effect", "Flagged", "Load /s", "Drain /s", "Pace", "Level after N", "From fork to fork"):
        assert f"- **{heading}**: " in section
    for column in COLUMNS:
        assert f"- **{column.title.removesuffix(' [95%]')}**: " in section
    html = html_report(sweep).replace("&#39;", "'")
    for term in terms(sweep_view(sweep)):
        assert f"<dt>{term.name}</dt>" in html
        assert term.meaning in html
    assert "Saturation" not in section
    assert "Sum and whole" not in section


def test_every_heading_of_loads_is_explained(sweep: SweepResult) -> None:
    """Where loads were measured, the words of their tables are among the terms."""
    cell = sweep.cells[0].model_copy(update={"loads": (load_result(),)})
    told = terms(sweep_view(sweep.model_copy(update={"cells": (cell,)})))
    explained = " ".join(f"{term.name} {term.meaning}" for term in told)
    for heading in ("Untraced calls/s", "Throughput, of that", "Each further chunk", "Offered /s", "Achieved /s"):
        assert heading in explained
    assert {"threads", "asyncio", "payload", "chunks"} <= {term.name for term in told}


def load_result() -> LoadResult:
    """A load of which only its presence counts."""
    return LoadResult(
        load="threads:8",
        forks=0,
        calls_per_fork=0,
        estimates={},
        verdict=None,
        sentence="",
        traces_expected=0,
        traces_lost=0,
        failed_calls=0,
        is_floor=False,
    )


def test_markdown_has_each_verdict_in_full(sweep: SweepResult) -> None:
    """What a cell's verdict rests on, and what ended its forks, stands in its own sentence."""
    own = sweep.cells[1].overhead
    assert own is not None
    said = "slower by 3.1 ms [2.8, 3.4] a call; precision reached after 9 forks"
    cell = sweep.cells[1].model_copy(update={"overhead": own.model_copy(update={"sentence": said})})
    report = markdown_report(sweep.model_copy(update={"cells": (sweep.cells[0], cell)}))
    assert f"- 2 openai / manual decorator/plain: {said}" in report
