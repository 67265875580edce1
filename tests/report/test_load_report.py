"""What the reports say of loads: rows, floors, figures, saturation, and what was not measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.records import SkippedLoad
from harness.report.data import cells_json
from harness.report.floors import load_floor
from harness.report.html import html_report
from harness.report.load_figures import load_figures
from harness.report.loads import load_results
from harness.report.markdown import markdown_report
from harness.report.soundness import comparisons_sentence
from harness.report.view import sweep_view
from harness.results import CorrectedVerdict, Estimate, LoadDisturbance, LoadResult, LoadStep, SteadyState
from harness.tracking import cell_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import SweepResult


def estimate(name: str, unit: str, value: float, baseline: float | None = None, **changes: Any) -> Estimate:
    """An estimate over four forks."""
    values: dict[str, Any] = {
        "name": name,
        "unit": unit,
        "value": value,
        "low": value * 0.9,
        "high": value * 1.1,
        "forks": 4,
        "per_fork": (value,) * 4,
        "baseline": baseline,
    }
    return Estimate(**(values | changes))


def load_result(load: str, added_ms: float, *, floor: bool = False, **changes: Any) -> LoadResult:
    """A steady load whose throughput falls to 40%."""
    estimates = [
        estimate("p50_ms", "ms", added_ms, 2.0),
        estimate("p95_ms", "ms", added_ms, 3.0),
        estimate("throughput_per_s", "calls/s", -300.0, 500.0),
        estimate("throughput_ratio", "", 1.0 if floor else 0.4),
        estimate("sustained_per_s", "calls/s", -450.0, 500.0),
        estimate("sustained_ratio", "", 1.0 if floor else 0.1),
        estimate("cpu_ms_per_call", "ms", 20.0, 1.0),
    ]
    if load.startswith("chunks"):
        estimates += [
            estimate("first_chunk_p50_ms", "ms", 1.5, 1.0),
            estimate("per_chunk_us", "us", 33.0, 60.0),
            estimate("stream_end_p50_ms", "ms", 6.0, 0.5),
        ]
    if not floor:
        estimates.append(estimate("drain_ms_per_trace", "ms", 12.0, 0.0))
    values: dict[str, Any] = {
        "load": load,
        "forks": 4,
        "calls_per_fork": 40,
        "estimates": {one.name: one for one in estimates},
        "verdict": "equivalent" if floor else "slower",
        "sentence": "noise floor" if floor else "slower by something",
        "traces_expected": 0 if floor else 160,
        "traces_lost": 0,
        "failed_calls": 0,
        "is_floor": floor,
    }
    return LoadResult(**(values | changes))


def step(offered: float | None, achieved: float, share: float) -> LoadStep:
    return LoadStep(
        offered_per_s=offered,
        forks=4,
        calls_per_fork=500,
        achieved_per_s=estimate("achieved_per_s", "calls/s", achieved, 700.0),
        lost_share=estimate("lost_share", "", share),
        traces_expected=2000,
        traces_lost=round(2000 * share),
        held_s=15.0,
        stored_per_s=estimate("stored_per_s", "traces/s", 40.0),
    )


SATURATED = LoadResult(
    load="saturation",
    forks=4,
    calls_per_fork=1000,
    estimates={
        "highest_without_loss_per_s": estimate("highest_without_loss_per_s", "calls/s", 80.0, low=None, high=None),
        "loss_begins_per_s": estimate("loss_begins_per_s", "calls/s", 110.0, low=None, high=None),
    },
    verdict=None,
    sentence="no trace was lost at 80 calls a second; traces were lost at 110 calls a second",
    traces_expected=4000,
    traces_lost=500,
    failed_calls=0,
    is_floor=False,
    steps=(step(80.0, 79.9, 0.0), step(None, 110.0, 0.25)),
)


@pytest.fixture
def loaded(sweep: SweepResult) -> SweepResult:
    """The sweep whose first three cells (openai's none, manual and autolog) have loads."""
    floor = tuple(load_result(load, 0.01, floor=True) for load in ("threads:1", "threads:8", "chunks:100"))
    traced = tuple(load_result(load, 3.0) for load in ("threads:1", "threads:8", "chunks:100", "payload:1000"))
    lossy = load_result("threads:8", 1.0, verdict="not judged", traces_lost=9)
    changed = ((0, floor), (1, (*traced, SATURATED)), (2, (lossy,)))
    cells = list(sweep.cells)
    for index, loads in changed:
        cell = cells[index].cell
        config = {**cell.config, "measure": {**cell.config["measure"], "loads": ["all"]}}
        cells[index] = cells[index].model_copy(
            update={"loads": loads, "cell": cell.model_copy(update={"config": config})}
        )
    return sweep.model_copy(update={"cells": tuple(cells)})


def test_each_load_of_each_cell_is_a_row_beside_its_floor(loaded: SweepResult) -> None:
    """Rows are by load and cell; the floor is that of the none cell under the same load, or a reason."""
    rows = load_results(sweep_view(loaded)).rows
    assert [(row.load, row.cell.number) for row in rows] == [
        ("threads:1", 1), ("threads:1", 2), ("threads:8", 1), ("threads:8", 2), ("threads:8", 3),
        ("payload:1000", 2), ("chunks:100", 1), ("chunks:100", 2),
    ]  # fmt: skip
    traced = rows[1]
    assert traced.verdict == "slower"
    assert traced.shown["added"].text == "3.00 ms [2.70, 3.30]"
    assert traced.shown["ratio"].text == "40.0% [36.0, 44.0]"
    assert traced.shown["untraced_rate"].text == "500"
    assert traced.floors["added"].text == "0.011 ms"
    assert rows[0].verdict == "A/A floor"
    payload = next(row for row in rows if row.load == "payload:1000")
    assert payload.floors["added"].absent
    assert payload.floors["added"].reason == "The sweep has no tracing=none cell of openai under payload:1000."
    assert rows[4].lost
    assert rows[4].shown["lost"].text == "9 of 160"


def test_a_floor_is_of_the_same_provider(loaded: SweepResult) -> None:
    """Another provider's A/A cell says nothing."""
    view = sweep_view(loaded)
    assert load_floor(view.cells[3], "threads:8", "p50_ms", view)[0] is None
    assert load_floor(view.cells[2], "threads:8", "p50_ms", view)[0] == pytest.approx(0.011)


def test_every_quantity_under_a_load_stands_beside_its_own_floor(loaded: SweepResult) -> None:
    """p95, CPU, throughput and streams have floors, too; a ratio's is how far it lies from one."""
    rows = {(row.load, row.cell.number): row for row in load_results(sweep_view(loaded)).rows}
    traced, streamed = rows["threads:8", 2], rows["chunks:100", 2]
    assert traced.floors["p95"].text == "0.011 ms"
    assert traced.floors["cpu"].text == "22.0 ms"
    assert traced.floors["ratio"].text == traced.floors["sustained"].text == "±10%"
    assert streamed.floors["chunk"].text == "36.3 us"
    assert streamed.floors["end"].text == "6.60 ms"
    assert traced.floors["drain"].reason == (
        "The A/A cell of openai has no interval of drain_ms_per_trace under threads:8."
    )
    assert "end" not in traced.floors
    for text in (html_report(loaded), markdown_report(loaded)):
        assert "floor 0.011 ms" in text
        assert "floor ±10%" in text
        assert "Added p95 [95%]" in text
        assert "Drain / trace" in text


def test_a_floor_that_was_not_judged_is_none(loaded: SweepResult) -> None:
    """An A/A cell whose calls failed under a load says nothing about noise under it."""
    cells = list(loaded.cells)
    loads = [one.model_copy(update={"verdict": "not judged"}) for one in cells[0].loads]
    cells[0] = cells[0].model_copy(update={"loads": tuple(loads)})
    view = sweep_view(loaded.model_copy(update={"cells": tuple(cells)}))
    floor, reason = load_floor(view.cells[1], "threads:8", "p50_ms", view)
    assert (floor, reason) == (None, "The A/A cell of openai was not judged under threads:8.")


def test_both_reports_tell_loads_saturation_and_what_is_missing(loaded: SweepResult) -> None:
    """HTML and Markdown print rows, steps and sentence, and how to measure what was not."""
    html, markdown = html_report(loaded), markdown_report(loaded)
    for text in (html, markdown):
        assert "threads:8" in text
        assert "no trace was lost at 80 calls a second; traces were lost at 110 calls a second; the machine was" in text
        assert "back to back" in text
        assert "500 of 2000" in text
        assert "measure=loads, or measure.loads=all beside another measure, measures them" in text.replace("\\", "")
    assert "Loads were not measured" in markdown
    assert "cells 4 to 7 and 9" in markdown
    assert "Loss against rate" in html
    assert html_report(loaded) == html


def doubtful(loaded: SweepResult) -> SweepResult:
    """The sweep in which all that can be is the matter with one load's verdict."""
    cells = list(loaded.cells)
    machine = LoadDisturbance(
        runs=8,
        watched_runs=8,
        flagged_runs=2,
        limit_cores=0.1,
        flagged_forks=(1,),
        decides=True,
        sentence="disturbed: x",
    )
    update = {
        "steady": SteadyState(steady=False, changes={}, sentence="not steady: y | <b>"),
        "disturbance": machine,
        "exceeds_drain": True,
        "sentence": "slower by z; 90 calls came a second",
    }
    loads = [one.model_copy(update=update if one.load == "threads:8" else {}) for one in cells[1].loads]
    cells[1] = cells[1].model_copy(update={"loads": tuple(loads)})
    fallen = CorrectedVerdict(
        comparisons=7,
        verdict="inconclusive",
        stands=False,
        p_no_difference=0.1,
        p_no_equivalence=1.0,
        sentence="fallen",
    )
    standing = fallen.model_copy(update={"verdict": "slower", "stands": True, "sentence": "stands"})
    corrections = {cells[1].cell.cell_id: {"threads:8": fallen, "threads:1": standing}}
    return loaded.model_copy(update={"cells": tuple(cells), "load_corrections": corrections})


def test_what_was_checked_of_a_load_stands_beside_its_verdict(loaded: SweepResult) -> None:
    """In words in its row, in sentences where it puts the verdict in doubt; what was not checked is said, too."""
    sweep = doubtful(loaded)
    rows = {(row.load, row.cell.number): row for row in load_results(sweep_view(sweep)).rows}
    assert rows["threads:8", 2].shown["checks"].text == (
        "inconclusive among 7 verdicts, faster than drained, not steady, disturbed in 2 of 8 runs"
    )
    assert rows["threads:8", 2].doubts == (
        "fallen",
        "slower by z; 90 calls came a second",
        "not steady: y | <b>",
        "disturbed: x",
    )
    assert rows["threads:1", 2].shown["checks"].text == (
        "stands among 7 verdicts, steadiness not checked, machine not watched"
    )
    assert rows["threads:1", 2].doubts == ()
    markdown, html = markdown_report(sweep), html_report(sweep)
    assert r"not steady: y \| \<b\>" in markdown
    assert "not steady: y | &lt;b&gt;" in html
    for text in (markdown, html):
        assert "90 calls came a second" in text
        assert "Not checked is whether the cost drifts from fork to fork." in text


def test_the_sentence_on_comparisons_counts_loads(loaded: SweepResult) -> None:
    """Verdicts under loads are of the same family, and cells.json has them."""
    sweep = doubtful(loaded)
    name = sweep_view(sweep).cells[1].name
    assert comparisons_sentence(sweep_view(sweep)) == (
        f"2 verdicts, held together by Holm's procedure: not standing are 2 {name} under threads:8 (inconclusive)."
    )
    document = json.loads(cells_json(sweep))
    assert document["load_corrections"][sweep.cells[1].cell.cell_id]["threads:8"]["stands"] is False


def test_a_rate_that_few_forks_tried_shows_how_many(loaded: SweepResult) -> None:
    """A step's forks stand beside those of the whole saturation, with how long it was held and what was stored."""
    cells = list(loaded.cells)
    few = SATURATED.model_copy(
        update={"steps": (SATURATED.steps[0], SATURATED.steps[1].model_copy(update={"forks": 3}))}
    )
    cells[1] = cells[1].model_copy(update={"loads": (few,)})
    steps = load_results(sweep_view(loaded.model_copy(update={"cells": tuple(cells)}))).saturation
    assert [step.forks for step in steps] == ["4 of 4", "3 of 4"]
    assert (steps[0].held, steps[0].stored) == ("15.0 s", "40.0 [36.0, 44.0]")


def test_lost_shares_stand_with_their_range_over_forks(loaded: SweepResult) -> None:
    """Three forks that lost nothing and one that did have a range, and no interval that reaches below zero."""
    cells = list(loaded.cells)
    share = SATURATED.steps[1].lost_share.model_copy(update={"value": 0.0125, "per_fork": (0.0, 0.0, 0.0, 0.05)})
    changed = SATURATED.steps[1].model_copy(update={"lost_share": share})
    cells[1] = cells[1].model_copy(
        update={"loads": (SATURATED.model_copy(update={"steps": (SATURATED.steps[0], changed)}),)}
    )
    sweep = loaded.model_copy(update={"cells": tuple(cells)})
    assert [step.share for step in load_results(sweep_view(sweep)).saturation] == ["0%", "1.2% (0% to 5%)"]
    for text in (html_report(sweep), markdown_report(sweep)):
        assert "Lost (range over forks)" in text
        assert "1.2% (0% to 5%)" in text


def test_skipped_loads_stand_with_their_reason(make_sweep: Callable[..., SweepResult]) -> None:
    """Loads that were skipped for one reason are one entry."""
    skipped = tuple(SkippedLoad(load=load, reason="no answer of that size") for load in ("payload:1", "chunks:1"))
    view = sweep_view(make_sweep(records={2: {"skipped_loads": skipped, "config": {"measure": {"loads": ["all"]}}}}))
    (entry,) = [gap for gap in load_results(view).missing if gap.loads]
    assert entry.loads == ("payload:1", "chunks:1")
    assert list(entry.numbers) == [2]
    assert entry.reason == "No answer of that size."


def test_figures_leave_out_what_lost_traces(loaded: SweepResult) -> None:
    """A load under which traces were lost would look cheap; a line needs two sizes."""
    drawn = {figure.title: figure.drawing for figure in load_figures(sweep_view(loaded).cells, "f")}
    assert set(drawn) == {"Throughput against concurrency", "Added p50 against concurrency", "Loss against rate"}
    concurrency = drawn["Added p50 against concurrency"]
    assert "2 openai / manual decorator/plain, threads: 3.00 at 1, 3.00 at 8 (ms)" in concurrency
    assert "openai / autolog" not in concurrency
    assert "25.0 at 110" in drawn["Loss against rate"]


def test_metrics_have_units_and_hide_what_is_not_judged(loaded: SweepResult) -> None:
    """Each load's numbers stand under its name; latencies without a verdict are left out, counts are not."""
    metrics = cell_metrics(loaded.cells[1])
    assert metrics["load.threads_8.p50_ms"] == 3.0
    assert metrics["load.threads_8.p50_ci_low_ms"] == pytest.approx(2.7)
    assert metrics["load.threads_8.baseline.p50_ms"] == 2.0
    assert metrics["load.threads_8.throughput_ratio"] == 0.4
    assert metrics["load.chunks_100.per_chunk_us"] == 33.0
    assert metrics["load.chunks_100.stream_end_p50_ms"] == 6.0
    assert metrics["load.threads_8.sustained_ratio"] == 0.1
    assert not any("ci" in name for name in metrics if name.startswith("load.saturation.") and "stored" not in name)
    assert metrics["load.saturation.loss_begins_per_s"] == 110.0
    assert metrics["load.saturation.back_to_back.lost_share"] == 0.25
    assert metrics["load.saturation.80_per_s.achieved_per_s"] == 79.9
    lossy = cell_metrics(loaded.cells[2])
    assert lossy["load.threads_8.traces_lost"] == 9
    assert lossy["load.threads_8.cpu_ms_per_call"] == 20.0
    hidden = ("p50", "p95", "throughput", "sustained", "stream_end")
    assert not any(word in name for name in lossy if name.startswith("load.") for word in hidden)
