"""What stands beside a verdict: ratio and floor, the correction, steadiness, drift and disturbance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.report import cells_json, html_report, markdown_report, verdict_sentences
from harness.report.soundness import comparisons_sentence, cost_rows, doubts, sound_rows
from harness.report.view import sweep_view
from harness.results import CorrectedVerdict, Disturbance, Drift, SteadyState

if TYPE_CHECKING:
    from harness.results import SweepResult, VerdictName

HOSTILE = "steady | [link](x) <script>"


def correction(verdict: VerdictName, *, stands: bool, comparisons: int = 5) -> CorrectedVerdict:
    """A verdict as one of many."""
    return CorrectedVerdict(
        comparisons=comparisons,
        verdict=verdict,
        stands=stands,
        p_no_difference=0.08,
        p_no_equivalence=1.0,
        sentence=f"{verdict} as one of {comparisons}",
    )


def with_overhead(sweep: SweepResult, number: int, **update: Any) -> SweepResult:
    """The sweep with changes to what one cell's timing found."""
    cells = list(sweep.cells)
    found = cells[number - 1].overhead
    assert found is not None
    cells[number - 1] = cells[number - 1].model_copy(update={"overhead": found.model_copy(update=update)})
    return sweep.model_copy(update={"cells": tuple(cells)})


def disturbed() -> Disturbance:
    """A machine that others used."""
    return Disturbance(
        load_1min=0.5,
        blocks=8,
        watched_blocks=8,
        flagged_blocks=2,
        limit_cores=0.1,
        without_verdict="equivalent",
        sentence="disturbed: in 2 of 8",
    )


@pytest.fixture
def doubtful(sweep: SweepResult) -> SweepResult:
    """The second cell falls as one of many, is not steady, and hangs on disturbed blocks; the third stands."""
    update = {
        "steady": SteadyState(steady=False, changes={}, sentence=HOSTILE),
        "drift": Drift(changes={}, sentence="no drift seen: +0.10 ms [-0.10, +0.30]"),
        "disturbance": disturbed(),
        "warnings": (HOSTILE, disturbed().sentence),
    }
    first, second = (sweep.cells[place].cell.cell_id for place in (1, 2))
    corrections = {first: correction("inconclusive", stands=False), second: correction("slower", stands=True)}
    return with_overhead(sweep, 2, **update).model_copy(update={"corrections": corrections})


def test_each_cost_stands_beside_baseline_ratio_and_floor(sweep: SweepResult) -> None:
    """A ledger's row has the ratio with its interval beside the untraced amount, and the floor of its own quantity."""
    own = sweep.cells[1].overhead
    assert own is not None
    update = {"ratio": 3.75, "ratio_low": 3.5, "ratio_high": 4.0}
    p50 = own.estimates["p50_ms"].model_copy(update=update)
    view = sweep_view(with_overhead(sweep, 2, estimates=own.estimates | {"p50_ms": p50}))
    rows = {row.name: row for row in cost_rows(view.cells[1])}
    assert (rows["p50_ms"].untraced, rows["p50_ms"].ratio) == ("1.52 ms", "3.75 [3.50, 4.00]")
    assert rows["p50_ms"].floor.text == view.cells[1].shown["floor"].text
    floor = view.cells[0].result.overhead
    assert floor is not None
    cpu = floor.estimates["cpu_ms_per_call"]
    assert cpu.low is not None
    assert cpu.high is not None
    assert rows["cpu_ms_per_call"].floor.text == f"{max(abs(cpu.low), abs(cpu.high)):.2f} ms"
    assert rows["p95_ms"].ratio == "—"


def test_a_quantity_without_a_floor_says_why(sweep: SweepResult) -> None:
    """What the A/A cell has no interval of, such as stored bytes, has no floor but a reason."""
    floor = {row.name: row.floor for row in cost_rows(sweep_view(sweep).cells[1])}["stored_bytes_per_trace"]
    assert floor.absent
    assert floor.reason == "The A/A cell of openai has no interval of stored_bytes_per_trace."


def test_an_unjudged_floor_is_none(sweep: SweepResult) -> None:
    """An A/A cell that could not be judged, because calls failed in one arm for instance, gives no floor."""
    rows = cost_rows(sweep_view(with_overhead(sweep, 1, verdict="not judged")).cells[1])
    assert {row.floor.reason for row in rows} == {"The A/A cell of openai was not judged."}


def test_floors_of_the_sweep_count_where_its_cells_are_not_there(sweep: SweepResult) -> None:
    """A sweep whose A/A cell is elsewhere brings the floors of all quantities with it."""
    alone = sweep.model_copy(update={"cells": sweep.cells[1:2], "floors": {"openai": {"cpu_ms_per_call": 0.75}}})
    rows = {row.name: row for row in cost_rows(sweep_view(alone).cells[0])}
    assert rows["cpu_ms_per_call"].floor.text == "0.750 ms"
    assert rows["p50_ms"].floor.absent


def test_doubts_stand_in_the_verdicts_sentence(doubtful: SweepResult) -> None:
    """Who reads the verdict alone is told that it falls among many, is not steady and hangs on disturbed blocks."""
    sentence = verdict_sentences(doubtful)[0]
    assert (
        "(slower by itself, inconclusive as one of 5 comparisons; not steady from its first calls to its last; "
        "hangs on blocks in which others used the machine)" in sentence
    )


def test_a_verdict_that_cannot_be_made_again_may_hang_on_the_blocks(doubtful: SweepResult) -> None:
    """Where too little is left without the disturbed blocks, the doubt is told as a doubt."""
    untold = disturbed().model_copy(update={"without_verdict": None})
    found = list(doubts(sweep_view(with_overhead(doubtful, 2, disturbance=untold)).cells[1]))
    assert found[-1] == "may hang on blocks in which others used the machine"


def test_a_cell_without_doubts_is_told_plainly(doubtful: SweepResult) -> None:
    """A verdict that stands among many, and one that was never corrected, have nothing added."""
    view = sweep_view(doubtful)
    assert [list(doubts(view.cells[place])) for place in (0, 2)] == [[], []]
    assert [row.doubtful for row in sound_rows(view)][:3] == [False, True, False]


def test_rows_tell_what_was_not_checked(doubtful: SweepResult) -> None:
    """Results of older analyses, A/A cells and cells that were not judged say why nothing stands there."""
    rows = {row.cell.number: row for row in sound_rows(sweep_view(doubtful))}
    assert rows[1].among_many == "no comparison: both arms are untraced"
    assert (rows[3].steady, rows[3].drift, rows[3].machine) == ("not checked",) * 3
    unjudged = next(row for row in rows.values() if row.cell.verdict == "not judged")
    assert unjudged.among_many == "not judged, so no comparison"
    assert rows[2].verdict == "slower (margin 0.500 ms)"
    untimed = next(cell.number for cell in sweep_view(doubtful).cells if cell.result.overhead is None)
    assert untimed not in rows


def test_comparisons_are_told_in_a_sentence(doubtful: SweepResult, sweep: SweepResult) -> None:
    """The report says how many verdicts were held together and which do not stand."""
    view = sweep_view(doubtful)
    fallen = f"2 {view.cells[1].name} (inconclusive)"
    assert comparisons_sentence(view) == f"2 verdicts, held together by Holm's procedure: not standing are {fallen}."
    assert comparisons_sentence(sweep_view(sweep)) == ""
    one = sweep.model_copy(update={"corrections": {sweep.cells[1].cell.cell_id: correction("slower", stands=True)}})
    assert comparisons_sentence(sweep_view(one)) == "One verdict, so there are no comparisons to correct for."


def test_reports_have_it_and_escape_it(doubtful: SweepResult) -> None:
    """HTML and Markdown print the section; text is no markup, and an interval keeps its brackets."""
    html, markdown = html_report(doubtful), markdown_report(doubtful)
    assert 'id="soundness"' in html
    assert "steady | [link](x) &lt;script&gt;" in html
    section = markdown[markdown.index("## How sound the timing is") :]
    assert r"steady \| \[link\](x) \<script\>" in section
    assert "+0.10 ms [-0.10, +0.30]" in section
    assert "## Costs beside their baselines" in markdown
    costs = markdown[markdown.index("| # | Cell | Cost") :].split("\n\n")[0].splitlines()[2:]
    assert all(line.replace("\\|", "").count("|") == 8 for line in costs)
    assert len(costs) > 2 * len(doubtful.cells)


def test_a_sweep_without_timing_says_so(sweep: SweepResult) -> None:
    """Where nothing was timed there are no rows but a sentence."""
    cells = tuple(cell.model_copy(update={"overhead": None, "latencies": ()}) for cell in sweep.cells)
    untimed = sweep.model_copy(update={"cells": cells})
    assert "No cell was timed." in html_report(untimed)
    assert "No cell was timed." in markdown_report(untimed)


def test_programs_get_it_too(doubtful: SweepResult) -> None:
    """``cells.json`` has corrections by cell, floors by provider, and steadiness and disturbance in each cell."""
    document = json.loads(cells_json(doubtful.model_copy(update={"floors": {"openai": {"cpu_ms_per_call": 0.5}}})))
    second = doubtful.cells[1].cell.cell_id
    assert document["corrections"][second]["stands"] is False
    assert document["floors"] == {"openai": {"cpu_ms_per_call": 0.5}}
    assert document["cells"][1]["overhead"]["steady"]["steady"] is False
    assert document["cells"][1]["overhead"]["disturbance"]["flagged_blocks"] == 2


def test_a_drift_that_was_seen_is_a_doubt(doubtful: SweepResult) -> None:
    """Of the machine, and of the cost; one that may be there is told in its own column."""
    seen = Drift(changes={}, sentence="drifted", seen=("baseline_p50_ms", "added_p50_ms"))
    view = sweep_view(with_overhead(doubtful, 3, drift=seen))
    assert list(doubts(view.cells[2])) == [
        "untraced p50 drifted from fork to fork",
        "added p50 drifted from fork to fork",
    ]


def test_a_ratio_that_shows_nothing_is_a_doubt(sweep: SweepResult) -> None:
    """A cell that is slower in milliseconds and not as a ratio says so beside its verdict; one that is both, not."""
    own = sweep.cells[1].overhead
    assert own is not None
    for low, said in ((0.98, ["its ratio to the untraced p50 shows no difference"]), (1.1, [])):
        p50 = own.estimates["p50_ms"].model_copy(update={"ratio": 1.3, "ratio_low": low, "ratio_high": 1.6})
        view = sweep_view(with_overhead(sweep, 2, estimates=own.estimates | {"p50_ms": p50}))
        assert list(doubts(view.cells[1])) == said


def test_the_untraced_amount_has_its_interval(sweep: SweepResult) -> None:
    """In the table of cells and in the ledger, as the share of a reference call has."""
    own = sweep.cells[1].overhead
    assert own is not None
    update = {"value": 2.0, "low": 1.5, "high": 2.5, "baseline": 1.52, "baseline_low": 1.4, "baseline_high": 1.64}
    p50 = own.estimates["p50_ms"].model_copy(update=update)
    cell = sweep_view(with_overhead(sweep, 2, estimates=own.estimates | {"p50_ms": p50})).cells[1]
    assert cell.shown["baseline"].text == cost_rows(cell)[0].untraced == "1.52 ms [1.40, 1.64]"
    assert cell.shown["share"].text == "0.40% [0.30, 0.50]"
