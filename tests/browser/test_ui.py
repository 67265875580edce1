"""What a person sees of a sweep in MLflow's UI, page by page.

Nothing here says what the numbers are, only that they are shown where the descriptions send people.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import FrameLocator, Locator, Page

    from tests.browser.conftest import Look, Shown

    Open = Callable[..., Page]

OVERFLOW = "root => root.scrollWidth - root.clientWidth"


def seen(place: Page | Locator | FrameLocator, text: str) -> None:
    """Wait until a text is shown."""
    place.get_by_text(text).filter(visible=True).first.wait_for()


def test_experiment_tells_a_newcomer_where_to_look(shown: Shown, open_page: Open, look: Look) -> None:
    """The page of runs has the sweep on top, its cells below it, and the description."""
    page = open_page(f"{shown.experiment}/runs")
    seen(page, str(shown.parent.info.run_name))
    look.shot(page, "experiment-runs")


def test_sweeps_run_begins_with_the_verdict(shown: Shown, open_page: Open, look: Look) -> None:
    """The description stands on the run's page as Markdown: the verdict, the table, and links to look closer."""
    page = open_page(shown.run(shown.parent))
    seen(page, "Look closer")
    assert page.get_by_role("table").first.is_visible()
    look.shot(page, "sweep-run")
    place = page.get_by_role("link", name="the whole report").get_attribute("href")
    assert place is not None
    assert place.endswith("/artifacts/report.html")


def test_report_renders_inside_the_sandboxed_frame(shown: Shown, open_page: Open, look: Look) -> None:
    """The artifact view shows the report in a frame that may run nothing of ours, whole and without a scroll bar."""
    page = open_page(shown.run(shown.parent, "/artifacts/report.html"))
    frame = page.frame_locator("iframe[sandbox]")
    frame.locator("h1").wait_for()
    frame.locator("svg[role=img]").filter(visible=True).first.wait_for()
    assert frame.locator("html").evaluate(OVERFLOW) <= 0
    look.shot(page, "sweep-report")


def test_cells_are_compared(shown: Shown, open_page: Open, look: Look) -> None:
    """MLflow's comparison has every cell and plots of their metrics: parallel coordinates, scatter, box."""
    runs = json.dumps([run.info.run_id for run in shown.cells])
    page = open_page(
        f"{shown.url}/#/compare-runs?runs={quote(runs)}&experiments={quote(json.dumps([shown.experiment_id]))}"
    )
    for run in shown.cells:
        seen(page, str(run.info.run_name))
    for plot in ("Parallel Coordinates Plot", "Scatter Plot", "Box Plot"):
        page.get_by_role("tab", name=plot).click()
        look.shot(page, f"compare-{plot.split()[0].lower()}")


def test_evaluation_table_compares_facts(shown: Shown, open_page: Open, look: Look) -> None:
    """The description's link opens the tables of the cells, which hold what each strategy records side by side."""
    page = open_page(shown.run(shown.parent))
    place = page.get_by_role("link", name="their tables").get_attribute("href")
    assert place is not None
    page.goto(f"{shown.url}/{place[place.index('#') :]}")
    seen(page, "facts.json")
    # The table's frame stands a while before its rows.
    seen(page, "response.content")
    seen(page, "recorded")
    look.shot(page, "evaluation-table")


def test_trace_table_shows_traces_of_every_strategy(shown: Shown, open_page: Open, look: Look) -> None:
    """The table has the traces of all cells, and a trace opens with its assessments."""
    page = open_page(f"{shown.experiment}/traces?startTimeLabel=ALL")
    close_greeting(page)
    seen(page, "17 + 25")
    look.shot(page, "traces")
    page.get_by_text("17 + 25").filter(visible=True).first.click()
    seen(page, "completeness")
    look.shot(page, "trace")


def test_cells_run_draws_its_latencies(shown: Shown, open_page: Open, look: Look) -> None:
    """The metrics of a cell's run have a line of each arm, block by block."""
    page = open_page(shown.run(shown.cell("autolog"), "/model-metrics"))
    # The page draws its charts anew once it has read them all, and then forgets what was typed before.
    seen(page, "completeness.recall")
    page.get_by_placeholder("Search metric charts").fill("block")
    seen(page, "block.strategy_p50_ms")
    look.shot(page, "cell-metrics")


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_stands_alone(width: int, scheme: str, shown: Shown, look: Look) -> None:
    """As a file it asks for nothing, is no wider than the window, and shows a prompt with a script in it as text."""
    page = look.page(width=width, height=1000, scheme=scheme)
    page.goto(shown.report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() != "hacked"
    assert look.watches()[-1].requests == [shown.report.as_uri()]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").rstrip(")").split(","))) > 3 * 128) == (scheme == "light")
    look.shot(page, f"report-{width}-{scheme}")


def close_greeting(page: Page) -> None:
    """MLflow greets who opens its traces for the first time."""
    greeting = page.get_by_role("button", name="Got it")
    try:
        greeting.click(timeout=10_000)
    except PlaywrightTimeout:
        return
