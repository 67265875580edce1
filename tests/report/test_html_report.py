from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from harness.report import description, html_report, markdown_report, verdict_sentences
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import SweepResult

VOID = {"meta", "wbr", "br", "use", "path"}


class Page(HTMLParser):
    """What a browser would see: tags, ids, text, and whether tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.misnested: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the innermost open tag."""
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)

    def handle_data(self, data: str) -> None:
        """Note the text, but not the style sheet."""
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text with single spaces."""
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="session")
def html(sweep: SweepResult) -> str:
    """The report of the nine cells."""
    return html_report(sweep)


@pytest.fixture(scope="session")
def page(html: str) -> Page:
    """The same, parsed."""
    return Page(html)


def test_verdict_comes_first(page: Page, sweep: SweepResult) -> None:
    """The verdict sentences stand before the table of cells and everything else."""
    first = verdict_sentences(sweep)[0]
    assert 0 <= page.text.index(first) < page.text.index("All cells")


def test_all_tags_are_nested_and_closed(page: Page) -> None:
    """The page is well formed, so a browser has nothing to guess."""
    assert page.misnested == []
    assert page.open == []


def test_ids_are_unique_and_references_resolve(page: Page) -> None:
    """No two figures share an id, and each link and label points at something on the page."""
    ids = [value for _, attrs in page.tags if (value := attrs.get("id"))]
    links = [value[1:] for _, attrs in page.tags for key in ("href", "xlink:href") if (value := attrs.get(key))]
    labels = [part for _, attrs in page.tags for part in (attrs.get("aria-labelledby") or "").split()]
    assert len(ids) == len(set(ids))
    assert links
    assert set(links + labels) <= set(ids)


def test_every_cell_has_a_row(page: Page, sweep: SweepResult) -> None:
    """Each cell stands in the table, the failed one included."""
    table = page.text[page.text.index("All cells") : page.text.index("What was not found out")]
    assert all(result.cell.label in table for result in sweep.cells)


def test_failed_cell_shows_its_reason(html: str, sweep: SweepResult) -> None:
    """The reason of a failed cell stands in its row."""
    failed = next(result.cell for result in sweep.cells if result.cell.status == "failed")
    table = html[html.index('<table class="cells">') : html.index("</table>")]
    assert escape(failed.reason or "", quote=False) in table.replace("&#39;", "'")


def test_texts_from_outside_are_escaped(html: str, page: Page) -> None:
    """A script tag in a prompt is shown as text and never becomes an element."""
    assert "alert(" in page.text
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<killed>" not in html


def test_nothing_is_loaded(page: Page, html: str) -> None:
    """No attribute or style refers to anything outside of the page."""
    loading = [
        value
        for _, attrs in page.tags
        for key in ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
        if (value := attrs.get(key)) is not None and not value.startswith("#")
    ]
    assert loading == []
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert "@import" not in html
    assert {"link", "script", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)


def test_same_sweep_gives_the_same_bytes(html: str, sweep: SweepResult) -> None:
    """A report holds no clock, no random id and no order of chance."""
    assert html_report(sweep.model_copy(deep=True)) == html


def test_absent_value_tells_its_reason(page: Page) -> None:
    """A dash in the table carries its reason, and the list below repeats it."""
    titles = [attrs["title"] for tag, attrs in page.tags if tag == "abbr"]
    assert "The strategy traces nothing, so no fact applies." in titles
    assert "Recall, OTel recall, Fidelity (cells 1, 4 and 7): The strategy traces nothing" in page.text


def test_value_without_interval_tells_its_reason(page: Page) -> None:
    """Under four forks there is a value without an interval, and the page says why."""
    assert "Under 4 forks there is no interval; there were 3." in page.text


def test_lost_traces_are_the_first_finding(page: Page) -> None:
    """Findings begin with the gravest kind: lost traces, with how many of how many."""
    findings = page.text[page.text.index("Gravest first") :]
    assert findings.index("Traces lost") < findings.index("Wrong values") < findings.index("Missing values")
    assert "3 of 40" in findings[: findings.index("Wrong values")]


def test_finding_shows_its_evidence(page: Page) -> None:
    """A wrong value stands beside the wire's, with the sample, the place and the trace."""
    findings = page.text[page.text.index("Wrong values") : page.text.index("Missing values")]
    for evidence in ("112", '"not 112"', "geo-17", "span.attributes[mlflow.usage.output_tokens]", "tr-03"):
        assert evidence in findings


def test_strategy_source_is_printed(page: Page) -> None:
    """The source of each strategy is on the page as text."""
    assert "# autolog <for> openai" in page.text


def test_figures_describe_themselves(page: Page) -> None:
    """Each figure has a role, and a title and a description for screen readers."""
    figures = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(figures) == 2 + 8
    assert all(attrs.get("role") == "img" and attrs.get("aria-labelledby") for attrs in figures)
    assert [tag for tag, _ in page.tags].count("desc") == len(figures)


def test_figures_take_their_colours_from_the_page(html: str) -> None:
    """No figure has a colour of its own, so all of them follow the dark scheme."""
    figures = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "var(--s0)" in figures
    assert re.findall(r"#[0-9a-f]{6}\b", figures) == []


def test_differing_machines_are_named(make_sweep: Callable[..., SweepResult], other_machine: dict[str, object]) -> None:
    """Cells of two machines get no shared sentence, and the page names what differs."""
    text = Page(html_report(make_sweep(records={3: other_machine}))).text
    assert "are not compared with one another: bench-1" in text
    assert "bench-2" in text


def test_thirty_cells_stay_small(make_sweep: Callable[..., SweepResult]) -> None:
    """A sweep of thirty cells with all distributions is a file under 5 MB."""
    nine = make_sweep().cells
    many = tuple(
        result.model_copy(update={"cell": result.cell.model_copy(update={"cell_id": f"{copy}{result.cell.cell_id}"})})
        for copy in range(4)
        for result in nine
    )[:30]
    stored = {"cells": many, "experiment_id": "7", "ui_address": "http://127.0.0.1:5000"}
    assert len(html_report(make_sweep().model_copy(update=stored)).encode()) < 5_000_000


def test_empty_sweep_has_a_report(make_sweep: Callable[..., SweepResult]) -> None:
    """A sweep of which nothing is left still tells so."""
    text = Page(html_report(make_sweep(specs=(), cells_expected=2))).text
    assert "2 of 2 cells left no result at all." in text


def test_names_may_hold_anything(make_sweep: Callable[..., SweepResult]) -> None:
    """A strategy of one's own may be called what it likes: markup, formulas, letters of any script."""
    name = "<b>$x_{1}$</b> 追跡"
    sweep = make_sweep(records={3: {"tracing": name}})
    html = html_report(sweep)
    assert name in Page(html).text
    assert "<b>$x" not in html


def test_every_column_has_a_value_or_a_reason(sweep: SweepResult) -> None:
    """No quantity of any cell is a bare dash."""
    bare = [
        (cell.name, key)
        for cell in sweep_view(sweep).cells
        for key, shown in cell.shown.items()
        if shown.absent and not shown.reason
    ]
    assert bare == []


def test_findings_are_escaped_and_well_formed(scenario_sweep: SweepResult) -> None:
    """What scenarios found is shown as text too, in a page that is well formed and loads nothing."""
    html = html_report(scenario_sweep)
    page = Page(html)
    assert page.misnested == []
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert "TimeoutError <script>alert" in page.text
    ids = [value for _, attrs in page.tags if (value := attrs.get("id"))]
    links = {value[1:] for _, attrs in page.tags if (value := attrs.get("href"))}
    assert len(ids) == len(set(ids))
    assert {"findings", "defects", "losses"} <= links <= set(ids)
    assert html_report(scenario_sweep.model_copy(deep=True)) == html


def test_mended_defect_is_announced_as_such(scenario_sweep: SweepResult) -> None:
    """Its heading begins with the word."""
    text = Page(html_report(scenario_sweep)).text
    assert "mended: The usage of embeddings is not lifted to the trace" in text


def test_every_text_of_a_cell_is_escaped(make_sweep: Callable[..., SweepResult]) -> None:
    """A script in a model's name, a version, an error or a strategy's source is text, in the page and in Markdown."""
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    changes: dict[str, object] = {
        "style": script,
        "endpoint": script,
        "prompts": script,
        "versions": {"openai": script},
        "strategy_source": script,
        "status": "failed",
        "reason": script,
    }
    sweep = make_sweep(records={3: changes}, command=f"harness {script}")
    page = Page(html_report(sweep))
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.tags)
    assert page.text.count("alert(1)") > 8
    outside, inside = markdown_report(sweep).split("\n```\n", 1)
    assert re.findall(r"(?<!\\)<(?:script|img)", outside) == []
    assert inside.startswith(f"harness {script}")
    assert re.findall(r"(?<!\\)<(?:script|img)", description(sweep)) == []


def test_everything_that_scrolls_or_opens_is_reached_by_keyboard(scenario_sweep: SweepResult) -> None:
    """Regions that scroll take the focus and have a name, and what opens is a button, a summary or a link."""
    page = Page(html_report(scenario_sweep))
    regions = [attrs for _, attrs in page.tags if "scroll" in (attrs.get("class") or "").split()]
    assert regions
    assert all(attrs.get("tabindex") == "0" and attrs.get("role") == "region" for attrs in regions)
    assert all(attrs.get("aria-label") or attrs.get("aria-labelledby") for attrs in regions)
    assert {tag for tag, attrs in page.tags if "popovertarget" in attrs} == {"button"}
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
