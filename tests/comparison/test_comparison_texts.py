"""What a comparison looks like: Markdown and a page, both with everything escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from harness.comparison import ComparisonResult, compare, compare_html, compare_markdown
from harness.gate import Margins
from tests.comparison.conftest import AUTOLOG, compared, made, side
from tests.report.conftest import SCRIPT

VOID = {"meta", "link", "br", "img", "wbr"}


class Page(HTMLParser):
    """Tags that do not match, what is loaded, ids and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.mismatched: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.loads += [tag] if tag in ("script", "img", "iframe", "link") or "src" in given else []
        self.ids |= {given["id"] or ""} if "id" in given else set()
        self.links |= {given["href"] or ""} if "href" in given else set()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def with_a_script() -> ComparisonResult:
    """Manual against autolog, where a prompt with a script in it is recorded in both, and wrong in one."""
    sweep = made()
    cell = sweep.cells[AUTOLOG]
    assert cell.completeness is not None
    judgements = tuple(
        one._replace(verdict="wrong", traced=f"no {SCRIPT}") if one.fact == "request.messages" else one
        for one in cell.completeness.judgements
    )
    found = cell.completeness.model_copy(update={"judgements": judgements})
    changed = cell.model_copy(update={"completeness": found})
    other = sweep.model_copy(update={"cells": (*sweep.cells[:AUTOLOG], changed)})
    return compare(side(sweep, "one", 1), side(other, "two", AUTOLOG), Margins())


def page_of(result: ComparisonResult) -> Page:
    page = Page()
    page.feed(compare_html(result))
    page.close()
    return page


def test_markdown_has_what_changed_what_did_not_and_what_is_unsaid() -> None:
    """In this order, then the tables, then how it was judged."""
    text = compare_markdown(compared(made(), made()))
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## What changed",
        "## What did not change",
        "## What can't be said",
        "## Side by side",
        "## How it was judged",
    ]
    assert text.startswith("# What changed from A to B\n\nA is sweep one and B is sweep two.\n")
    assert re.search(r"\| recall \| [\d.]+% \| [\d.]+% \|  \| the same \|", text)
    assert "Holm's procedure" in text


def test_every_table_row_has_as_many_squares_as_its_heading() -> None:
    """Bars from values are escaped."""
    for line_before, line in zip((lines := compare_markdown(with_a_script()).splitlines()), lines[1:], strict=False):
        if line.startswith("|") and line_before.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", line_before)), line


def test_a_prompt_with_a_script_shows_as_text() -> None:
    """In Markdown nothing of it is markup; the page has no script, and shows the prompt's own."""
    result = with_a_script()
    assert re.search(r"(?<!\\)<script", compare_markdown(result)) is None
    assert r"\<script\>alert('from a prompt')" in compare_markdown(result)
    html = compare_html(result)
    assert "<script" not in html
    assert "<script>alert('from a prompt')</script>" in page_of(result).text


def test_the_page_is_whole_and_loads_nothing() -> None:
    """Every tag is closed, every link leads to a place of the page, and nothing comes from elsewhere."""
    for result in (with_a_script(), compared(made(), made())):
        page = page_of(result)
        assert (page.open, page.mismatched, page.loads) == ([], [], [])
        assert {link.removeprefix("#") for link in page.links} <= page.ids
        assert "http" not in compare_html(result)


def test_the_page_says_what_markdown_says() -> None:
    """The same sentences stand in both."""
    result = with_a_script()
    text = " ".join(page_of(result).text.split())
    for pair in result.pairs:
        for line in pair.lines:
            assert " ".join(line.sentence.split()) in text


def test_the_same_result_gives_the_same_bytes() -> None:
    """Nothing reads a clock or depends on the order of a set."""
    assert compare_html(with_a_script()) == compare_html(with_a_script())
    assert compare_markdown(with_a_script()) == compare_markdown(with_a_script())
