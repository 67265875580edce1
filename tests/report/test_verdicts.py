from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.report import verdict_sentences
from harness.report.settings import refused_differences, settings
from harness.report.verdicts import cautions, cell_numbers
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import CellResult, SweepResult


def with_overhead(sweep: SweepResult, number: int, **changes: Any) -> SweepResult:
    """The sweep with another timing result in one cell."""
    cell = sweep.cells[number - 1]
    assert cell.overhead is not None
    return _with_cell(sweep, number, cell.model_copy(update={"overhead": cell.overhead.model_copy(update=changes)}))


def _with_cell(sweep: SweepResult, number: int, cell: CellResult) -> SweepResult:
    return sweep.model_copy(update={"cells": (*sweep.cells[: number - 1], cell, *sweep.cells[number:])})


def test_one_sentence_a_provider(sweep: SweepResult) -> None:
    """Each provider gets one verdict, in the order of the cells."""
    assert [sentence.split(":")[0] for sentence in verdict_sentences(sweep)] == [
        "openai",
        "mistralai",
        "langchain (openai)",
    ]


def test_verdict_gives_recall_fidelity_and_cost_with_interval(sweep: SweepResult) -> None:
    """A judged cell's sentence has its scores and its cost with unit and interval."""
    sentence = verdict_sentences(sweep)[0]
    assert (
        "autolog records 80.5% of what the wire shows (recall 80.5%, fidelity 98.9%) "
        "and adds 4.11 ms [3.76, 4.46] a call"
    ) in sentence


def test_lost_traces_forbid_a_cost(sweep: SweepResult) -> None:
    """Where the timing pass lost traces the sentence gives no cost but says what was lost."""
    sentence = verdict_sentences(sweep)[1].split(";")[0]
    assert "3 of 480 traces" in sentence
    assert "adds" not in sentence


def test_lost_traces_forbid_a_cost_whatever_the_verdict_says(sweep: SweepResult) -> None:
    """A verdict that stands beside lost traces is not repeated."""
    sentence = verdict_sentences(with_overhead(sweep, 3, verdict="slower", traces_lost=5))[0]
    assert "(recall 80.5%, fidelity 98.9%) but its cost is not judged" in sentence


def test_failed_cell_is_part_of_the_verdict(sweep: SweepResult) -> None:
    """A failed cell is named with its reason."""
    assert "manual context/plain failed (The worker ended with signal 9" in verdict_sentences(sweep)[2]


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("equivalent", "costs less than the margin of 0.500 ms a call either way"),
        ("inconclusive", "its cost is undecided"),
        ("faster", "faster than untraced"),
        ("not judged", "its cost is not judged"),
    ],
)
def test_each_verdict_has_its_words(sweep: SweepResult, verdict: str, words: str) -> None:
    """Only a cost that was told apart from none is called an addition."""
    clause = verdict_sentences(with_overhead(sweep, 3, verdict=verdict))[0].split("; ")[1]
    assert words in clause
    assert "adds" not in clause


def test_cost_inside_the_floor_says_so(sweep: SweepResult) -> None:
    """An added p50 that is smaller than the A/A floor is not told without it."""
    cell = sweep.cells[2]
    assert cell.overhead is not None
    small = cell.overhead.estimates["p50_ms"].model_copy(update={"value": 0.05, "low": 0.02, "high": 0.08})
    changed = with_overhead(sweep, 3, estimates={**cell.overhead.estimates, "p50_ms": small})
    assert "within the A/A floor of 0.112 ms" in verdict_sentences(changed)[0]


def test_many_strategies_are_summed_up(make_sweep: Callable[..., SweepResult], many_specs: tuple[Any, ...]) -> None:
    """Beyond four strategies a sentence gives the ranges, the most complete, and the cheapest if one is."""
    (sentence,) = verdict_sentences(make_sweep(specs=many_specs))
    assert "6 of 6 strategies have a recall, from 51.2% to 80.5%" in sentence
    assert "Most complete: autolog" in sentence
    assert "Smallest cost estimate: manual context/plain" in sentence
    assert "its cost is not told apart (the intervals overlap) from manual wrapper/careful" in sentence
    assert "Cheapest" not in sentence


@pytest.mark.parametrize("into", ["collector", "server"])
def test_another_destination_gets_no_recall_of_the_store(
    make_sweep: Callable[..., SweepResult], many_specs: tuple[Any, ...], into: str
) -> None:
    """Completeness was judged in the store: a cell that times another destination is no best one, and says why."""
    sweep = make_sweep(specs=many_specs)
    number, cell = next((n, one) for n, one in enumerate(sweep.cells, start=1) if one.cell.tracing == "autolog")
    away = cell.model_copy(update={"cell": cell.cell.model_copy(update={"into": into})})
    changed = _with_cell(sweep, number, away)
    (sentence,) = verdict_sentences(changed)
    assert "5 of 6 " in sentence
    assert "Most complete: autolog" not in sentence
    assert (
        f"Not compared, because completeness was not judged where they send their timed traces: autolog [into={into}]"
        in sentence
    )
    view = sweep_view(changed)
    shown = view.cells[number - 1].shown
    for key in ("recall", "fidelity", "traces"):
        assert shown[key].absent is (into == "collector")
        assert f"not into the {into}" in (shown[key].reason or "")
        assert into == "collector" or shown[key].text.endswith(" in your own store")
    few = changed.model_copy(update={"cells": (away,), "cells_expected": 1})
    (alone,) = verdict_sentences(few)
    assert f"sends its timed traces into a {into}, where completeness was not judged" in alone
    assert "records" not in alone


def test_equal_recalls_are_no_range(make_sweep: Callable[..., SweepResult], many_specs: tuple[Any, ...]) -> None:
    """Cells of one strategy are called cells, and what all have is told once."""
    sweep = make_sweep(specs=many_specs)
    autolog = next(one for one in sweep.cells if one.cell.tracing == "autolog")
    cells = tuple(
        autolog.model_copy(update={"cell": autolog.cell.model_copy(update={"cell_id": f"c{n}", "switches": f"x={n}"})})
        for n in range(5)
    )
    sentence = verdict_sentences(sweep.model_copy(update={"cells": cells, "cells_expected": 5}))[0]
    assert "5 of 5 cells have a recall, each 80.5%" in sentence


def test_the_cheapest_is_the_one_that_no_other_interval_reaches(
    make_sweep: Callable[..., SweepResult], many_specs: tuple[Any, ...]
) -> None:
    """A cost that is known to be the smallest is called so."""
    specs = tuple(one._replace(added_ms=0.8) if one.style == "context/plain" else one for one in many_specs)
    (sentence,) = verdict_sentences(make_sweep(specs=specs))
    assert "Cheapest: manual context/plain" in sentence
    assert "told apart" not in sentence


def test_all_of_the_highest_recall_are_named(
    make_sweep: Callable[..., SweepResult], many_specs: tuple[Any, ...]
) -> None:
    """The first of several most complete strategies is not the only one."""
    (sentence,) = verdict_sentences(make_sweep(specs=many_specs[:-1]))
    assert "Most complete: manual decorator/plain" in sentence
    assert "; as complete: manual decorator/careful, manual wrapper/plain" in sentence


def test_other_machine_gets_its_own_sentence(make_sweep: Callable[..., SweepResult], other_machine: Any) -> None:
    """Cells of one provider on two machines share no sentence."""
    sentences = verdict_sentences(make_sweep(records={3: other_machine}))
    assert len(sentences) == 4
    assert "(hostname bench-2)" in sentences[1]
    assert "decorator/plain" not in sentences[1]


def test_floor_of_other_conditions_is_refused(make_sweep: Callable[..., SweepResult], other_machine: Any) -> None:
    """A cell does not take the noise floor of another machine, even if the sweep offers it."""
    view = sweep_view(make_sweep(records={3: other_machine}, floors_ms={"openai": 0.1}))
    assert view.cells[2].floor_ms is None
    assert "other conditions" in (view.cells[2].shown["floor"].reason or "")


def test_floor_of_the_sweep_serves_where_no_cell_measured_it(make_sweep: Callable[..., SweepResult]) -> None:
    """Without an A/A cell of the provider the sweep's own floor is used."""
    sweep = make_sweep(floors_ms={"openai": 0.25})
    alone = sweep.model_copy(update={"cells": sweep.cells[1:3]})
    assert [cell.floor_ms for cell in sweep_view(alone).cells] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"versions": {"mlflow": "3.18.0"}}, "version of mlflow"),
        ({"prompt_set_digest": "ab" * 32}, "prompt-set digest of chat"),
    ],
)
def test_what_nobody_asked_to_vary_is_named(
    make_sweep: Callable[..., SweepResult], changes: dict[str, Any], named: str
) -> None:
    """Differing versions and differing prompts under one name are cautions."""
    (caution,) = [text for text in cautions(sweep_view(make_sweep(records={6: changes}))) if "not compared" in text]
    assert f"Cells that differ in {named} are not compared with one another" in caution
    assert "cell 6" in caution


def test_aspects_that_part_cells_alike_are_one_difference(
    make_sweep: Callable[..., SweepResult], other_machine: Any
) -> None:
    """Another machine is one difference, not one for each thing about it."""
    (difference,) = refused_differences(make_sweep(records={3: other_machine}))
    assert [str(aspect) for aspect in difference.aspects] == ["hostname", "cpu model"]


def test_chosen_variation_is_no_caution(make_sweep: Callable[..., SweepResult]) -> None:
    """A sweep over prompt sets parts the cells without any warning."""
    sweep = make_sweep(records={9: {"prompts": "tools", "prompt_set_digest": "ab" * 32}})
    assert refused_differences(sweep) == ()
    assert [setting.words for setting in settings(sweep)] == ["prompts chat", "prompts tools"]


def test_load_and_sweep_index_do_not_part_cells(make_sweep: Callable[..., SweepResult]) -> None:
    """What differs between any two cells by nature leaves them comparable."""
    assert len(settings(make_sweep())) == 1


def test_cells_without_any_result_are_announced(make_sweep: Callable[..., SweepResult]) -> None:
    """Cells that were asked for and left nothing are counted first."""
    assert cautions(sweep_view(make_sweep(cells_expected=11)))[0] == "2 of 11 cells left no result at all."


def test_cells_of_one_label_keep_apart(make_sweep: Callable[..., SweepResult]) -> None:
    """Two cells with the same label and setting are told apart by their ids."""
    sweep = make_sweep()
    twice = sweep.model_copy(update={"cells": (sweep.cells[2], make_sweep(records={3: {"cell_id": "again"}}).cells[2])})
    assert [cell.name for cell in sweep_view(twice).cells] == ["openai / autolog (c03)", "openai / autolog (again)"]


@pytest.mark.parametrize(
    ("numbers", "text"), [((4,), "cell 4"), ((1, 2), "cells 1 and 2"), ((1, 2, 3, 7), "cells 1 to 3 and 7")]
)
def test_cell_numbers_read_as_words(numbers: tuple[int, ...], text: str) -> None:
    """Runs of three and more cells are joined."""
    assert cell_numbers(numbers) == text


def test_cells_of_another_pace_are_a_caution(make_sweep: Callable[..., SweepResult]) -> None:
    """Where one cell's store drained too slowly for the common pace, its provider's cells are named with theirs."""
    view = sweep_view(make_sweep(records={3: {"period_ms": 52.0}, 6: {"period_ms": 41.0}}))
    (caution,) = [text for text in cautions(view) if "apart" in text]
    assert caution.startswith(
        "Timed calls of openai started 40.0 ms apart in cells 1 and 2 and 52.0 ms apart in cell 3: "
    )
    assert not [text for text in cautions(sweep_view(make_sweep())) if "apart" in text]


def test_the_floor_is_what_it_is_called(sweep: SweepResult) -> None:
    """The sentence says which bound of which interval, and nothing of "at most"."""
    sentence = verdict_sentences(sweep)[0]
    assert "The A/A floor here is 0.112 ms, the farther bound of the 95% interval of an A/A cell" in sentence
    assert "at most" not in sentence
