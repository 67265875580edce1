"""What other versions changed, as both reports show it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.overhead import upgrades as cost_upgrades
from harness.report.data import cells_json
from harness.report.html import html_report
from harness.report.markdown import markdown_report
from harness.report.upgrades import FactChange, how_judged, upgrades
from harness.report.view import sweep_view
from harness.results import FactCount

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import CellResult, SweepResult

OLD = {"python": "3.11.9", "mlflow": "3.10.1", "openai": "2.47.0", "httpx": "0.28.1"}
NEW = {"python": "3.11.9", "mlflow": "3.17.2", "openai": "3.54.0", "httpx2": "2.0.0", "langchain-core": "1.7.2"}
WOBBLE_MS = (-0.1, 0.0, 0.1, 0.02)


@pytest.fixture
def upgraded(make_sweep: Callable[..., SweepResult]) -> SweepResult:
    """Autolog in two runtimes: the later one adds 2 ms to a call, takes as much CPU and records one fact less."""
    nine = make_sweep()
    autolog = nine.cells[2]

    def cell(cell_id: str, added_ms: float, counts: tuple[int, int], **fields: Any) -> CellResult:
        assert autolog.overhead is not None
        assert autolog.completeness is not None
        values = {"p50_ms": added_ms, "cpu_ms_per_call": 6.0, "drain_ms_per_trace": 20.0}
        estimates = autolog.overhead.estimates | {
            name: autolog.overhead.estimates[name].model_copy(
                update={"value": value, "per_fork": tuple(value + part for part in WOBBLE_MS)}
            )
            for name, value in values.items()
        }
        # OpenTelemetry's counts of the same fact have another total.
        facts = (
            FactCount(
                fact="usage.input_tokens",
                convention="mlflow",
                recorded=counts[0],
                elsewhere=0,
                wrong=0,
                missing=counts[1] - counts[0],
            ),
            FactCount(fact="usage.input_tokens", convention="otel", recorded=0, elsewhere=0, wrong=0, missing=7),
        )
        return autolog.model_copy(
            update={
                "cell": autolog.cell.model_copy(update={"cell_id": cell_id, **fields}),
                "overhead": autolog.overhead.model_copy(update={"estimates": estimates}),
                "completeness": autolog.completeness.model_copy(update={"facts": facts}),
            }
        )

    cells = (
        cell("old", 4.0, (24, 24), runtime="mlflow==3.10.1 openai==2.47.0", versions=OLD),
        cell("new", 6.0, (12, 24), versions=NEW),
    )
    return nine.model_copy(update={"cells": cells, "cells_expected": 2, "upgrades": cost_upgrades(cells)})


def test_paces_that_differ_stand_side_by_side(upgraded: SweepResult) -> None:
    """Cells of two runtimes are in no caution together, so the table has the pace where it is not the same."""
    periods = (65.4, 60.0)
    cells = tuple(
        cell.model_copy(update={"cell": cell.cell.model_copy(update={"period_ms": period})})
        for cell, period in zip(upgraded.cells, periods, strict=True)
    )
    assert "| Pace of the timed calls | 65.4 ms | 60.0 ms |  |" in markdown_report(
        upgraded.model_copy(update={"cells": cells})
    )
    assert "Pace of the timed calls" not in markdown_report(upgraded)


def test_a_change_of_cost_has_its_interval_and_verdict(upgraded: SweepResult) -> None:
    """What is above the margin is worse, what is known to be below it is not."""
    (one,) = upgrades(sweep_view(upgraded))
    changes = {row.title: row.change for row in one.rows}
    added = changes["Added p50 [95%]"]
    assert added is not None
    assert added.amount.text.startswith("2.00 ms [1.")
    assert added.verdict == "worse (margin 0.5 ms)"
    cpu = changes["CPU added / call"]
    assert cpu is not None
    assert cpu.verdict.startswith("not worse")
    assert changes["Recall"] is None


def test_a_package_that_only_one_side_has_is_shown_with_a_dash(upgraded: SweepResult) -> None:
    """An SDK that moved to another HTTP client shows both; one that neither cell used is left out."""
    (one,) = upgrades(sweep_view(upgraded))
    assert one.versions == (
        ("httpx", "0.28.1", "—"),
        ("httpx2", "—", "2.0.0"),
        ("mlflow", "3.10.1", "3.17.2"),
        ("openai", "2.47.0", "3.54.0"),
    )


def test_shares_of_facts_stand_with_their_counts(upgraded: SweepResult) -> None:
    """The counts are those of MLflow's places, whatever other conventions count."""
    (one,) = upgrades(sweep_view(upgraded))
    assert one.facts == (FactChange("usage.input_tokens", "24 of 24 (100%)", "12 of 24 (50%)"),)


def test_why_nothing_can_be_said_stands_in_the_place_of_a_change(upgraded: SweepResult) -> None:
    """Where a cell was not judged the verdict is inconclusive, with its reason, and no number."""
    old, new = upgraded.cells
    assert new.overhead is not None
    sentence = "not judged: 3 of 480 traces were lost"
    unjudged = {"verdict": "not judged", "sentence": sentence, "traces_lost": 3}
    lost = new.model_copy(update={"overhead": new.overhead.model_copy(update=unjudged)})
    sweep = upgraded.model_copy(update={"cells": (old, lost), "upgrades": cost_upgrades((old, lost))})
    (one,) = upgrades(sweep_view(sweep))
    assert {row.change.text for row in one.rows if row.change} == {f"inconclusive: after it was {sentence}"}
    assert "No change of a cost could be tested" in how_judged(sweep_view(sweep))


def test_all_reports_have_it(upgraded: SweepResult) -> None:
    """HTML and Markdown have the row with its verdict, and the cells for programs the numbers."""
    page, text = html_report(upgraded), markdown_report(upgraded)
    for report in (page, text):
        assert "worse (margin 0.5 ms)" in report
        assert "Holm's correction at 5% for 3 comparisons" in report.replace("&#39;", "'")
    assert "| httpx | 0.28.1 | — |  |" in text
    (pair,) = json.loads(cells_json(upgraded))["upgrades"]
    assert (pair["before"], pair["after"]) == ("old", "new")
    assert [one["verdict"] for one in pair["costs"]] == ["worse", "not worse", "not worse"]
