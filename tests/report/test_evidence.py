"""What each square of the matrix opens, and where its links lead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.report import description, html_report
from harness.report.evidence import witnesses
from harness.report.format import clip_pair, evidence_pair
from harness.report.links import run_link, trace_link
from harness.report.view import sweep_view
from tests.report.test_html_report import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import SweepResult

UI = {"experiment_id": "7", "ui_address": "http://127.0.0.1:5000"}


def test_each_square_opens_its_own_card(sweep: SweepResult) -> None:
    """Every square is a button that names a popover there is, so that it works by keyboard and without a script."""
    page = Page(html_report(sweep))
    opened = [attrs["popovertarget"] for _, attrs in page.tags if attrs.get("popovertarget")]
    cards = [attrs["id"] for _, attrs in page.tags if "popover" in attrs]
    assert cards
    assert len(cards) == len(set(cards))
    assert set(opened) == set(cards)
    squares = [attrs for tag, attrs in page.tags if tag == "td" and "square" in (attrs.get("class") or "").split()]
    assert len(squares) == len(cards)


def test_a_card_has_an_example_of_each_verdict(sweep: SweepResult) -> None:
    """The gravest verdict comes first, with the wire's value beside the trace's, the place and the trace."""
    cell = sweep_view(sweep).cells[2]
    wrong, recorded = witnesses(cell, "mlflow")["usage.output_tokens"]
    assert (wrong.verdict, wrong.times, wrong.wire, wrong.traced) == ("wrong", 3, "112", '"not 112"')
    assert (recorded.verdict, recorded.times, recorded.same) == ("recorded", 37, True)
    assert (wrong.trace_id or "").startswith("tr-03")


def test_an_example_has_a_trace_where_one_has(sweep: SweepResult) -> None:
    """A fact that is missing in a trace is better evidence than one whose call has none."""
    cell = sweep_view(sweep).cells[4]
    (missing,) = witnesses(cell, "mlflow")["usage.input_tokens"]
    assert missing.times == 40
    assert missing.trace_id is not None
    lost = witnesses(cell, "mlflow")["request.model"][0]
    assert (lost.verdict, lost.trace_id) == ("missing", None)


def test_long_values_are_cut_where_their_difference_shows() -> None:
    """Two values that differ only beyond the cut do not look alike; those that fit are not cut."""
    wire, traced = evidence_pair("a" * 500 + "yes", "a" * 500 + "no", 100)
    assert wire != traced
    assert max(len(wire), len(traced)) <= 100
    assert wire.startswith("…")
    assert clip_pair("same text 1", "same text 2", 11) == ("same text 1", "same text 2")
    assert clip_pair("x" * 30, "x" * 30, 10) == ("x" * 9 + "…",) * 2


def test_links_lead_to_the_trace_in_the_stores_ui(scenario_sweep: SweepResult) -> None:
    """Each link leads to a page of the experiment, opens a tab of its own, and tells nobody where it came from."""
    page = Page(html_report(scenario_sweep.model_copy(update=UI)))
    links = [attrs for tag, attrs in page.tags if tag == "a" and not (attrs.get("href") or "").startswith("#")]
    traces = [link["href"] for link in links if "/traces/" in (link["href"] or "")]
    assert "http://127.0.0.1:5000/#/experiments/7/traces/tr-finish" in traces
    assert all((link["href"] or "").startswith("http://127.0.0.1:5000/#/experiments/7/") for link in links)
    assert all((link["target"], link["rel"]) == ("_blank", "noreferrer") for link in links)
    assert page.text.count("in a frame that lets no plain click out") == 1


def test_without_a_store_there_are_ids_and_no_links(sweep: SweepResult) -> None:
    """A sweep that nobody says the experiment of shows ids, and links to nothing."""
    assert trace_link(sweep, "tr-1") is None
    assert run_link(sweep, "r") is None
    assert "_blank" not in html_report(sweep)


def test_a_trace_id_cannot_leave_its_link(sweep: SweepResult) -> None:
    """Whatever a trace is called, its link stays one of this UI."""
    stored = sweep.model_copy(update=UI)
    link = trace_link(stored, 'tr-1"><script>/../..?x#y')
    assert link is not None
    assert re.fullmatch(r"http://127\.0\.0\.1:5000/#/experiments/7/traces/[\w%.-]+", link)
    assert trace_link(sweep.model_copy(update=UI | {"ui_address": "javascript:alert(1)//"}), "tr-1") is None


def test_a_description_leads_to_its_traces(make_sweep: Callable[..., SweepResult]) -> None:
    """Ids of traces are links of the UI that shows the description, wherever that runs."""
    text = description(make_sweep(**UI))
    assert re.search(r"\[(tr-[0-9a-f]+)\]\(#/experiments/7/traces/\1\)", text)
    assert "](#" not in description(make_sweep())
    assert text.rstrip().endswith("artifact report.html of this run.")
