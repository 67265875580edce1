"""The judge against planted defects, on good traces of real calls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from harness.calibration import trials as module
from harness.calibration.completeness import Calibration
from harness.calibration.page import console_table, markdown
from harness.calibration.planting.harmless import REWRITES, WRITINGS
from harness.calibration.planting.plants import KINDS
from harness.calibration.planting.reasons import NOT_PLANTED
from harness.calibration.trials import judge_whole, trials
from harness.completeness import FACTS, judge_cell

if TYPE_CHECKING:
    from harness.records import CellRecords
    from harness.results import CompletenessResult

BUSY = {"time_to_first_token"}
"""Facts that a busy machine can spoil before anything is planted."""
UNKNOWABLE = {"request.parameter.encoding_format"}
"""What OpenAI's SDK adds to a request by itself."""


def test_the_reference_strategy_records_everything_in_both_conventions(good_cell: CellRecords) -> None:
    """Its recall is whole, so that a defect can be planted in every fact."""
    spoilt = {
        (convention, fact)
        for convention, fact, verdict in judge_whole(good_cell)
        if verdict != "recorded" and fact not in BUSY | UNKNOWABLE
    }
    assert not spoilt


def test_every_planted_defect_is_found(calibration: Calibration) -> None:
    """The harmed fact gets the verdict that it should, and no other fact is blamed with it."""
    missed = {
        (fact, kind, way): score.troubles
        for (fact, kind, way), score in calibration.scores.items()
        if kind != "harmless" and score.right < score.tried
    }
    assert missed == {}
    assert sum(score.tried for score in calibration.scores.values()) > 1000


@pytest.mark.parametrize("way", [*REWRITES, *WRITINGS])
def test_no_harmless_rewrite_is_blamed(calibration: Calibration, way: str) -> None:
    """What states the same gets the same verdicts."""
    score = calibration.scores["", "harmless", way]
    assert score.tried > 0
    assert score.troubles == []


def test_every_kind_of_defect_is_planted_in_every_fact_or_has_a_reason(calibration: Calibration) -> None:
    """A fact that is added to the judge's table without a plant fails here."""
    assert calibration.uncovered() == []


def test_every_fact_of_the_table_is_reached_or_has_a_reason(calibration: Calibration) -> None:
    """The good traces show each fact that the judge knows; what the own samples lack, the prompt sets have."""
    parameters = {fact.name for fact in FACTS if fact.name.startswith("request.parameter.")}
    unreached = {name for name, reason in calibration.unreached() if not reason}
    assert unreached - parameters - BUSY == set()


def test_a_fact_without_a_plant_is_told(calibration: Calibration) -> None:
    """Coverage can fail: a recorded fact in which nothing was planted is named with each kind."""
    found = Calibration(scores=calibration.scores, recorded={"response.mood"})
    assert found.uncovered() == [("response.mood", kind) for kind in KINDS]
    assert "not planted: response.mood moved, and no reason is given" in found.sentences()


def test_reasons_are_only_given_for_what_is_not_planted(calibration: Calibration) -> None:
    """A reason beside a plant would be an excuse that nobody needs."""
    planted = {(fact, kind) for fact, kind, _ in calibration.scores}
    assert planted & NOT_PLANTED.keys() == set()


def test_a_judge_that_sees_nothing_is_found_out(good_cell: CellRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials can fail: a judge that repeats its first verdicts misses every defect."""
    first: dict[tuple[str, ...], CompletenessResult] = {}

    def blind(records: CellRecords) -> CompletenessResult:
        return first.setdefault(tuple(call.call_id for call in records.calls), judge_cell(records))

    monkeypatch.setattr(module, "judge_cell", blind)
    counts: Counter[bool] = Counter()
    for trial in trials(_few(good_cell), 1, 1, 1):
        if trial.kind != "harmless":
            counts[bool(trial.trouble)] += 1
    assert counts[False] == 0
    assert counts[True] > 100


def test_a_judge_that_blames_what_is_harmless_is_found_out(
    good_cell: CellRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that takes a tag of one's own for a lost trace is told to blame the rewrite that adds one."""

    def touchy(records: CellRecords) -> CompletenessResult:
        kept = tuple(trace for trace in records.traces if "app.owner" not in trace.tags)
        return judge_cell(records._replace(traces=kept))

    monkeypatch.setattr(module, "judge_cell", touchy)
    troubles = {trial.way: trial.trouble for trial in trials(_few(good_cell), 1, 0, 1)}
    assert "traces_lost went from 0 to 1" in troubles["unrelated attribute, tag, event and span"]
    assert troubles["key order"] == ""


@pytest.mark.calibration
def test_the_same_seed_plants_the_same(good_cell: CellRecords) -> None:
    """Chance comes from the seed alone."""
    few = _few(good_cell)
    assert list(trials(few, 3, 1, 1)) == list(trials(few, 3, 1, 1))


def test_the_page_shows_counts_versions_limits_and_misses(calibration: Calibration) -> None:
    """It can be published as it is: no number is typed by hand, and nothing is hidden."""
    page = markdown(calibration, "harness calibrate completeness --output here")
    right, planted = calibration.total()
    assert f"**{right} of {planted} planted defects were found" in page
    assert "mlflow 3." in page
    assert f"facts version {calibration.facts_version}" in page
    for (fact, kind), reason in NOT_PLANTED.items():
        assert fact not in calibration.recorded or f"| {fact} | {kind} | {reason} |" in page
    for sentence in calibration.sentences():
        assert sentence in page
    assert console_table(calibration).row_count == len(calibration.planted_facts()) + 1


def _few(records: CellRecords) -> CellRecords:
    """The cell with a handful of its calls."""
    wanted = ("plant-parameters", "plant-usage-stream", "plant-tools", "plant-not-found")
    calls = tuple(call for call in records.calls if call.sample_id in wanted)
    ids: set[Any] = {call.call_id for call in calls}
    return records._replace(
        calls=calls,
        exchanges=tuple(one for one in records.exchanges if one.call_id in ids),
        traces=tuple(one for one in records.traces if one.call_id in ids),
    )
