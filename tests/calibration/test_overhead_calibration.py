"""The overhead calibration: what it plants, how it counts, what it keeps, and what it prints."""

from __future__ import annotations

import json
import re
import shutil
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from harness.calibration import share as share_module
from harness.calibration.bar import Proof, prove
from harness.calibration.beside import PYPERF_VALUES, RULES, _pyperf_suite, opinions, pyperf_says, pytest_benchmark_says
from harness.calibration.code import measuring_code
from harness.calibration.equivalence import equivalence
from harness.calibration.losing import LosingTracing, is_chosen
from harness.calibration.meanwhile import Meanwhile, meanwhile, together
from harness.calibration.overhead import DELAY, LOSING
from harness.calibration.overhead_figure import figure
from harness.calibration.overhead_page import Made, console_table, markdown
from harness.calibration.planted import PlantedDelay
from harness.calibration.rates import caught_from, rate
from harness.calibration.share import Share, fork_name, measure_share, share_of
from harness.calibration.state import State, conditions
from harness.calibration.trial import LOSSES, Counts, Found, Lost, Trial, found_in, lost_in, trials, truth_ms
from harness.calibration.wording import machine_text, shown_path, when_text
from harness.cli import main
from harness.cli.compose import compose_cells
from harness.errors import CellError, ConfigError, InputError
from harness.experiment import record_cell
from harness.experiment.progress import Silent
from harness.machine import this_machine
from harness.records import CallId
from harness.results import Latencies
from harness.tracking import Store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.config import HarnessConfig
    from harness.records import CellRecords

SETTINGS = {"forks": 4, "seed": 7}
GOOD_SHARE = Share(9.0, 5.0, 13.0, 1500.0, (8.0, 9.0, 10.0, 9.0))


def samples(added_ms: float) -> tuple[Latencies, ...]:
    """Four forks of both arms, the strategy's slower by so much."""
    shape = [1.0 + 0.01 * place for place in range(20)]
    return tuple(
        Latencies(fork=fork, arm=arm, latency_ms=tuple(value + extra for value in shape))
        for fork in range(4)
        for arm, extra in (("strategy", added_ms), ("baseline", 0.0))
    )


def block_means(calls: tuple[Latencies, ...]) -> tuple[Latencies, ...]:
    """Four blocks of five calls each."""
    return tuple(
        one.model_copy(update={"latency_ms": tuple(fmean(one.latency_ms[at : at + 5]) for at in range(0, 20, 5))})
        for one in calls
    )


def found(planted: str = "", *, verdict: str = "inconclusive", covers: bool = True, number: int = 0) -> Found:
    """A judged cell; its interval is 0.1 ms to each side."""
    truth = int(planted.removesuffix("us") or 0) / 1e3
    value = truth if covers else truth + 0.2
    trial = Trial("delay" if planted else "aa", planted, number)
    calls = samples(value)
    return Found(trial, truth, value, value - 0.1, value + 0.1, 1.5, verdict, calls, block_means(calls))


def many(count: int, wrong: int, planted: str = "") -> list[Found]:
    """Cells of which some are wrong: called slower, and without the truth in the interval."""
    return [
        found(planted, verdict="slower" if number < wrong else "inconclusive", covers=number >= wrong, number=number)
        for number in range(count)
    ]


def proof(
    aa: Sequence[Found] = (), delayed: Sequence[Found] = (), lost: Sequence[Lost] = (), share: Share | None = GOOD_SHARE
) -> Proof:
    """A proof of good cells but for what is given."""
    exact = Lost(Trial("loss", "3of12", 0), (3, 12), (3, 12), (12, 80))
    return prove([*(aa or many(100, 0)), *(delayed or many(30, 0, "200us"))], lost or [exact], share)


# What is planted ----------------------------------------------------------------------------


def test_the_planted_delay_says_how_long_it_spun() -> None:
    """Each call gives one time of at least the delay, and each is given once."""
    strategy = PlantedDelay(style="200us")
    delayed = strategy.complete(lambda **request: request["value"])
    assert [delayed(value=1), delayed(value=2)] == [1, 2]
    spun = strategy.take_planted_ns()
    assert len(spun) == 2
    assert min(spun) >= 200_000
    assert strategy.take_planted_ns() == ()


@pytest.mark.parametrize("strategy", [PlantedDelay, LosingTracing])
@pytest.mark.parametrize("style", ["", "soon", "13of12", "log_trace-4in3", "log_metric-1in3"])
def test_what_cannot_be_planted_is_refused(strategy: Any, style: str) -> None:
    """The sentence names what was given and shows what would do."""
    with pytest.raises(ConfigError, match=r"tracing\.style, such as"):
        strategy(style=style)


def test_the_order_of_cells_is_mixed_and_the_same_each_time() -> None:
    """A drift of the machine meets A/A and planted cells alike, and no cell's seed depends on the counts."""
    few, more = Counts(6, 3, 2, (50, 200)), Counts(8, 3, 2, (50, 200))
    order = trials(few, 7)
    assert order == trials(few, 7)
    assert len({trial.name for trial in order}) == len(order) == 6 + 3 * 2 + 2
    assert {trial.kind for trial in order[:6]} == {"aa", "delay"}
    assert {trial.name: trial.seed(7) for trial in order}.items() <= {
        trial.name: trial.seed(7) for trial in trials(more, 7)
    }.items()


def test_cells_of_losses_keep_their_names() -> None:
    """What a state holds is found again: the first cells lose whole traces as ever, and halves come after them."""
    names = ["1of12-000", "3of12-001", "7of12-002", "log_trace-1in3-003", "log_spans-1in3-004"]
    assert [trial.name for trial in trials(Counts(0, 0, 5, ()), 7)] == [f"loss-{name}" for name in names]


@pytest.mark.parametrize("style", LOSSES[3:])
def test_any_call_may_lose_a_half(style: str) -> None:
    """First, warming, measured and last calls of the timing pass are among those that do, and not all of any pass."""

    def chosen(phase: Any, fork: int, calls: range) -> list[bool]:
        ids = (CallId("cell", phase, fork, "strategy", repetition, "sample") for repetition in calls)
        return [is_chosen(style, 1 / 3, str(one)) for one in ids]

    assert 0 < sum(chosen("completeness", 0, range(12))) < 12
    for calls in (range(3), range(3, 15), range(15, 21), range(20, 21)):
        lost = [one for fork in range(4) for one in chosen("timing", fork, calls)]
        assert 0 < sum(lost) < len(lost)


# The bar ------------------------------------------------------------------------------------


def test_a_rate_has_the_exact_interval() -> None:
    """Clopper and Pearson's, of which textbooks give 5 of 100; of no event nothing is known."""
    five = rate([True] * 5 + [False] * 95)
    assert (round(five.low, 4), round(five.high, 4)) == (0.0164, 0.1128)
    assert (rate([]).low, rate([]).high) == (0.0, 1.0)


@pytest.mark.parametrize("of", [30, 90, 100, 400])
def test_the_rate_that_is_caught_is_caught_four_times_in_five(of: int) -> None:
    """At that true rate, the counts whose interval lies above the limit have a probability of 80% together."""
    true = caught_from(0.05, of)
    assert true is not None
    caught = [count for count in range(of + 1) if rate([True] * count + [False] * (of - count)).low > 0.05]
    assert sum(float(stats.binom.pmf(count, of, true)) for count in caught) == pytest.approx(0.8)


def test_one_cell_catches_nothing() -> None:
    """Its interval reaches from 2.5% upwards, whatever happened."""
    assert caught_from(0.05, 1) is None
    assert caught_from(0.05, 0) is None


def test_a_good_calibration_misses_nothing() -> None:
    """False alarms that may be 5%, and a coverage that may be 95%, meet the bar."""
    assert proof(aa=many(100, 8), delayed=many(90, 7, "200us")).misses() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"aa": many(100, 12)}, "false alarms: 12 / 100"),
        ({"delayed": many(90, 12, "200us")}, "coverage: 78 / 90"),
        ({"lost": [Lost(Trial("loss", "3of12", 0), (3, 12), (3, 11), (12, 80))]}, "loss-3of12-000: 3 and 11 traces"),
        ({"share": GOOD_SHARE._replace(high_us=20.5)}, "the harness's own share of a call is 9.0 us [5.0, 20.5]"),
        ({"share": None}, "own share of a call has no interval"),
    ],
)
def test_what_misses_the_bar_is_said(changed: dict[str, Any], said: str) -> None:
    """One sentence with the numbers."""
    misses = proof(**changed).misses()
    assert len(misses) == 1
    assert said in misses[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"aa": many(99, 0)}, "A/A: too few to judge, 99 of at least 100 cells"),
        (
            {"delayed": [*many(30, 0, "50us"), *many(29, 0, "200us")]},
            "200us: too few to judge, 29 of at least 30 cells",
        ),
    ],
)
def test_too_few_cells_do_not_meet_the_bar(changed: dict[str, Any], said: str) -> None:
    """However good they are; the summary says so too."""
    shown = proof(**changed)
    assert shown.misses() == [said]
    assert shown.summary().count("too few cells to judge") == 1


def test_a_delay_that_is_seldom_covered_is_not_made_up_for_by_others() -> None:
    """All delays together may be not shown to lie below 95%: one of them that is shown to misses the bar."""
    delayed = [*many(30, 7, "50us"), *many(60, 0, "200us"), *many(60, 0, "1000us")]
    shown = proof(delayed=delayed)
    assert shown.coverage.high > 0.95
    assert len(shown.misses()) == 1
    assert "coverage at 50us: 23 / 30" in shown.misses()[0]
    assert ", shown to lie below 95%" in shown.summary()


def test_the_same_intervals_say_how_often_a_cost_is_called_equivalent() -> None:
    """An interval of 0.1 ms to each side is equivalent within 0.5 ms up to 0.4; within the truth if it misses that."""
    for planted, within, wrong in (("", 20, False), ("200us", 20, False), ("450us", 0, False), ("500us", 0, True)):
        row = equivalence(planted, many(20, 0, planted))
        assert (row.within.happened, row.wrong) == (within, wrong)
        assert row.at_truth.of == (20 if planted else 0)
        assert row.at_truth.happened == 0
    low = [one._replace(value_ms=0.3, low_ms=0.2, high_ms=0.4) for one in many(20, 0, "1000us")]
    wrongly = equivalence("1000us", low)
    assert (wrongly.within.happened, wrongly.wrong, wrongly.at_truth.happened) == (20, True, 20)


def test_a_verdict_that_was_withdrawn_is_counted() -> None:
    """Its interval excludes zero, and it is inconclusive: the page must not say that this cannot be."""
    cells = many(30, 0, "200us")
    shown = proof(delayed=[one._replace(low_ms=0.01 if one.trial.number < 3 else -0.01) for one in cells])
    assert str(shown.withdrawn()).startswith("3 / 30")


def test_nothing_tried_is_nothing_shown() -> None:
    """Without cells of a kind the bar is not met."""
    assert len(prove([], [], None).misses()) == 4


def test_the_share_is_the_mean_over_forks_of_medians_over_pairs() -> None:
    """An outlying pair does not move it; under four forks there is no interval."""
    forks = [[(1010.0 + fork, 1000.0), (1010.0 + fork, 1000.0), (9000.0, 1000.0)] for fork in range(4)]
    share = share_of(forks)
    assert share is not None
    assert share.value_us == pytest.approx(0.0115)
    assert share.low_us is not None
    few = share_of(forks[:3])
    assert few is not None
    assert few.low_us is None
    assert share_of([]) is None


# Other tools --------------------------------------------------------------------------------


def test_other_tools_judge_the_same_samples() -> None:
    """Both real tools find a difference of half a call in either direction, and none between equal samples."""
    cells = [
        found(number=place)._replace(samples=samples(added_ms), block_means=block_means(samples(added_ms)))
        for place, added_ms in enumerate((0.0, 0.5, -0.5))
    ]
    wanted = ["no difference", "slower", "faster"]
    for values in PYPERF_VALUES:
        assert pyperf_says(cells, values) == wanted
        assert [pyperf_says([cell], values)[0] for cell in cells] == wanted
    for rule in RULES:
        assert pytest_benchmark_says(cells, rule) == wanted
    assert len(opinions()) == len(PYPERF_VALUES) + len(RULES)


def test_pyperf_is_given_a_value_a_block_and_in_a_row_of_its_own_each_call() -> None:
    """A run for each fork: four block means or twenty calls."""
    for values, count in zip(PYPERF_VALUES, (4, 20), strict=True):
        suite = _pyperf_suite([found()], "strategy", values)
        assert [len(run.values) for run in suite.get_benchmarks()[0].get_runs()] == [count] * 4
    assert list(opinions())[:2] == [f"pyperf compare_to, {values} a value" for values in PYPERF_VALUES]


# State --------------------------------------------------------------------------------------


def wanted_conditions(**changed: Any) -> dict[str, Any]:
    """The conditions of this machine and these versions, with some changed."""
    return {**conditions(this_machine(), SETTINGS), **changed}


def test_finished_parts_are_there_again(tmp_path: Path) -> None:
    """Whatever the load average is by now; a part that was broken off is not."""
    state = State(tmp_path / "state", wanted_conditions())
    state.keep("share-000", [[1.0, 2.0]])
    (tmp_path / "state" / "aa-000.begun").mkdir()
    again = State(tmp_path / "state", wanted_conditions())
    assert again.has("share-000")
    assert again.value("share-000") == [[1.0, 2.0]]
    assert not again.has("aa-000")


def test_parts_that_were_begun_and_did_not_finish_are_counted(tmp_path: Path) -> None:
    """Also over several runs; nothing is said where a part was finished without being noted."""
    state = State(tmp_path / "state", wanted_conditions())
    assert state.unfinished([]) is None
    for name in ("aa-000", "aa-001", "aa-000"):
        State(tmp_path / "state", wanted_conditions()).begin(name)
    state.keep("aa-000", 1)
    assert state.unfinished(["aa-000"]) == 2
    state.keep("aa-001", 1)
    assert state.unfinished(["aa-000"]) == 1
    state.keep("aa-002", 1)
    assert state.unfinished(["aa-000", "aa-001", "aa-002"]) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("version of openai", "0.1"), ("machine's cpu_count", 999), ("forks", 6), ("measuring code", "000000000000")],
)
def test_a_state_made_under_other_conditions_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    """One sentence names the difference."""
    State(tmp_path, wanted_conditions(**{name: value}))
    with pytest.raises(InputError, match=rf"was begun with {name} {value!r}, and this run has .*give another --state"):
        State(tmp_path, wanted_conditions())


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    """Nobody's files are mixed with cells."""
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match="holds other files"):
        State(tmp_path, wanted_conditions())
    (tmp_path / "letter.txt").rename(tmp_path / "state.json")
    with pytest.raises(InputError, match=r"state\.json is damaged"):
        State(tmp_path, wanted_conditions())
    (tmp_path / "state.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match=r"state\.json is damaged"):
        State(tmp_path, wanted_conditions())


# The page -----------------------------------------------------------------------------------


def test_the_page_says_what_was_found_and_how_it_came_about() -> None:
    """Command, settings, versions, machine, what misses the bar, and a figure of its own."""
    shown = proof(aa=many(100, 12))
    made = Made("harness calibrate overhead", {"seed": 7}, {"openai": "3.54"}, "kernel 6.1", "overhead.svg")
    page = markdown(shown, made)
    for text in ("`harness calibrate overhead`", "seed: 7", "openai 3.54", "kernel 6.1", "](overhead.svg)"):
        assert text in page
    for sentence in shown.misses():
        assert f"- {sentence}" in page
    assert "12 / 100 = 12.0% [6.4%, 20.0%], shown to exceed 5%" in page
    assert "not shown to lie below 95%" in page
    assert "its whole exact 95% interval lies on the wrong side" in page
    assert "a true false-alarm rate of 13.4% or more (100 cells)" in page
    assert "pyperf compare_to, each block's mean a value" in page
    assert console_table(shown).row_count == len(shown.rows) == 2


def test_the_page_says_when_what_besides_and_how_often_again() -> None:
    """Dates, what others took, and cells that did not finish; where that was not noted, it says so."""
    made = Made("harness calibrate overhead", {}, {}, "", "overhead.svg")
    assert "was not noted" in markdown(proof(), made)
    cells = [
        Meanwhile(
            1_750_000_000_000_000_000 + begun, 1_750_000_060_000_000_000 + begun, 60.0, (others, others), (0.0, 0.0)
        )
        for begun, others in ((0, 0.01), (600_000_000_000, 0.03))
    ]
    page = markdown(proof()._replace(meanwhile=together(cells), unfinished=2), made)
    assert "2 cells were begun and did not finish" in page
    assert "The cells ran from 2025-06-15 15:06 to 15:17 UTC, 2 minutes in all." in page
    assert "others took 2.0% (at most 3.0% in a cell)" in page
    assert together([]) is None


def test_a_machine_and_a_path_are_shown_in_words(tmp_path: Path) -> None:
    """No bare list, no bytes, and no folder of this machine."""
    machine = this_machine((1,), (0,)).model_copy(update={"memory_bytes": 25276514304, "idle_polling": True})
    text = machine_text(machine)
    for words in ("23.5 GiB of memory", "arms on core 1, gateway on core 0", "idle cores kept awake"):
        assert words in text
    assert "not pinned" in machine_text(this_machine())
    assert shown_path(tmp_path / "page") == "page"
    assert str(tmp_path) not in shown_path(tmp_path)
    assert when_text(1_750_000_000_000_000_000, 1_750_090_000_000_000_000) == "2025-06-15 15:06 to 2025-06-16 16:06 UTC"


def test_the_figure_shows_each_kind_of_cell_and_is_the_same_each_time() -> None:
    """Its titles count the intervals that contain the truth."""
    drawn = figure(proof(aa=many(10, 2)))
    assert drawn == figure(proof(aa=many(10, 2)))
    assert "8 of 10 contain the truth" in drawn
    assert "200us: 30 of 30" in drawn


# For real -----------------------------------------------------------------------------------


def config(store: Path, *overrides: str) -> HarnessConfig:
    """A small cell of the openai provider."""
    fixed = ["provider=openai", "prompts=short", f"store.uri=sqlite:///{store}", "seed=7"]
    composed = compose_cells([*fixed, *overrides], multirun=False)[0]
    composed.sweep.work_dir = str(store.parent)
    return composed


@pytest.fixture(scope="module")
def planted_cell(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> CellRecords:
    """A cell with 20 ms planted: more than any disturbance of a busy machine."""
    folder = tmp_path_factory.mktemp("planted")
    shutil.copyfile(migrated_store, folder / "template.db")
    shutil.copyfile(migrated_store, folder / "mlflow.db")
    small = ["measure.blocks=1", "measure.calls_per_block=12", "measure.warmup_calls=1", "measure.period_ms=0.001"]
    custom = ["tracing=custom", "tracing.name=planted", f"tracing.target={DELAY}", "tracing.style=20000us"]
    cell = config(folder / "mlflow.db", *custom, *small, "measure.margin_ms=0")
    return record_cell(cell, Store(cell.store.uri, cell.store.experiment), Silent(), completeness=False)


def test_a_planted_delay_is_found(planted_cell: CellRecords) -> None:
    """Real workers, the real gateway: the verdict is slower, and the truth is what was spun."""
    judged = found_in(Trial("delay", "20000us", 0), planted_cell)
    assert judged.verdict == "slower"
    assert judged.truth_ms >= 20.0
    assert len(judged.samples) == 8
    for calls, blocks in zip(
        sorted(judged.samples, key=lambda one: (one.fork, one.arm)), judged.block_means, strict=True
    ):
        assert (blocks.fork, blocks.arm) == (calls.fork, calls.arm)
        assert fmean(blocks.latency_ms) == pytest.approx(fmean(calls.latency_ms))
        assert len(blocks.latency_ms) == 1


def test_a_cell_says_when_it_ran_and_what_others_took(planted_cell: CellRecords) -> None:
    """From its own records: within its time, and shares between none and all; without samples nothing is known."""
    seen = meanwhile(planted_cell)
    assert seen.others is not None
    assert seen.stolen is not None
    assert 0 <= seen.others[0] <= 1
    assert 0 <= seen.stolen[0] <= 1
    assert 0 < seen.run_s <= (seen.ended_unix_ns - seen.begun_unix_ns) / 1e9 + 1
    silent = meanwhile(planted_cell._replace(machine=()))
    assert silent.others is None
    assert "Meanwhile" not in str(silent)


def test_only_the_strategy_was_delayed(planted_cell: CellRecords) -> None:
    """Each of its calls says how long it spun, within the call's own time; the baseline says nothing."""
    for block in planted_cell.blocks:
        if block.arm == "baseline":
            assert block.planted_ns == ()
        else:
            assert len(block.planted_ns) == len(block.latency_ns)
            assert all(spun < took for spun, took in zip(block.planted_ns, block.latency_ns, strict=True))
    assert not planted_cell.cell.expects_traces
    assert not planted_cell.cell.completeness_done


def test_a_cell_that_does_not_say_what_was_planted_has_no_truth(planted_cell: CellRecords) -> None:
    """A delay that is asked for is never taken for one that was realised."""
    silent = tuple(block.model_copy(update={"planted_ns": ()}) for block in planted_cell.blocks)
    with pytest.raises(CellError, match="not every call says"):
        truth_ms(planted_cell._replace(blocks=silent))


def losing_cell(style: str, migrated_store: Path, folder: Path) -> CellRecords:
    """A cell that loses traces: a few calls, one fork."""
    shutil.copyfile(migrated_store, folder / "template.db")
    shutil.copyfile(migrated_store, folder / "mlflow.db")
    small = ["measure.blocks=1", "measure.calls_per_block=6", "measure.warmup_calls=12", "measure.period_ms=0.001"]
    forks = ["measure.forks=1", "measure.max_forks=1"]
    custom = ["tracing=custom", "tracing.name=losing", f"tracing.target={LOSING}", f"tracing.style={style}"]
    cell = config(folder / "mlflow.db", *custom, *small, *forks)
    return record_cell(cell, Store(cell.store.uri, cell.store.experiment), Silent())


@pytest.mark.calibration  # whole cells; what is lost by halves is counted in tests/experiment/test_destinations.py, too
@pytest.mark.parametrize("style", LOSSES)
def test_planted_losses_are_found_exactly(style: str, migrated_store: Path, tmp_path: Path) -> None:
    """Whole or by halves, in both passes; the truth is what the strategy dropped, and what is planted if it is old."""
    records = losing_cell(style, migrated_store, tmp_path)
    lost = lost_in(Trial("loss", style, 0), records)
    assert lost.exact
    assert lost.expected == (12, 3 + 12 + 6)
    silent = records._replace(arms=tuple(one.model_copy(update={"planted_losses": None}) for one in records.arms))
    if whole := re.match(r"(\d+)of", style):
        number = int(whole[1])
        assert lost.planted == lost_in(Trial("loss", style, 0), silent).planted == (number, number)
    else:
        with pytest.raises(CellError, match="not every process says what it dropped"):
            lost_in(Trial("loss", style, 0), silent)
        nothing = records.cell.model_copy(update={"planted_losses": 0})
        with pytest.raises(CellError, match="a pass dropped nothing"):
            lost_in(Trial("loss", style, 0), records._replace(cell=nothing))


def test_both_loops_are_measured_in_one_process_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of positive times a call for each pair of blocks; a fork that is kept is not measured again."""
    monkeypatch.setattr(share_module, "PAIRS", 2)
    monkeypatch.setattr(share_module, "CALLS", 5)
    state = State(tmp_path / "state", wanted_conditions())
    cell = config(tmp_path / "mlflow.db", "tracing=none")
    measure_share(cell, 1, state, Silent())
    pairs = state.value(fork_name(0))
    assert len(pairs) == 2
    assert all(value > 0 for pair in pairs for value in pair)
    before = (tmp_path / "state" / fork_name(0)).stat().st_mtime_ns
    measure_share(cell, 1, state, Silent())
    assert (tmp_path / "state" / fork_name(0)).stat().st_mtime_ns == before


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two modules and what a calibration needs."""
    for name in ("calibration/bare.py", "calibration/losing.py", "calibration/planted.py", "calibration/share.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "worker.py").write_text('"""Works."""\nWAIT_S = 1\n', encoding="utf-8")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "page.py").write_text("TITLE = 'a'\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "another"),
    [
        ("worker.py", '"""Works."""\nWAIT_S = 2\n', True),
        ("calibration/share.py", "PAIRS = 3\n", True),
        ("added.py", "", True),
        ("worker.py", '"""Works well."""\nWAIT_S = (1)  # a second\n"""How long."""\n', False),
        ("report/page.py", "TITLE = 'b'\n", False),
        ("calibration/page.py", "TITLE = 'b'\n", False),
    ],
)
def test_the_measuring_code_is_known_again(name: str, text: str, another: bool, package: Path) -> None:
    """Any change of it that could change a number, and none of words, comments or pages."""
    before = measuring_code(package)
    (package / name).write_text(text, encoding="utf-8")
    assert (measuring_code(package) != before) is another


# The command line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--forks", "3"), "--forks is 3, it must be at least 4"),
        (("--calls", "5"), "--calls is 5, it must be at least 12"),
        (("--delays", "50,soon"), "--delays is '50,soon', it must be microseconds"),
        (("--delays", "0"), "--delays is '0'"),
        (("--output", "/dev/null/folder"), "--output '/dev/null/folder' cannot be made"),
        (("--state", "/dev/null/folder"), "--state '/dev/null/folder' cannot be used"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The offender is named before anything runs, and the exit status is 2."""
    assert main(["calibrate", "overhead", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.calibration
@pytest.mark.timeout(1200)
def test_a_small_calibration_is_taken_up_again(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The second run makes only the cell that is missing; losses are found exactly, and the page is written."""
    small = ["--planted", "1", "--delays", "20000", "--losses", "1", "--share-forks", "4", "--blocks", "1"]
    first = harness("calibrate", "overhead", "--cells", "1", *small, "--calls", "12", timeout_s=500)
    assert "3 of 3 cells are to be run" in first.stderr
    second = harness(
        "calibrate", "overhead", "--cells", "2", *small, "--calls", "12", "--output", "page", timeout_s=500
    )
    assert "1 of 4 cells are to be run" in second.stderr
    assert re.search(r"aa-00[01]: begins", second.stderr)
    assert "delay-20000us-000: begins" not in second.stderr
    page = (tmp_path / "page" / "overhead.md").read_text(encoding="utf-8")
    assert "1 found, 1 planted, of 12" in page
    assert "4 found, 4 planted" in page
    assert (tmp_path / "page" / "overhead.svg").read_text(encoding="utf-8").endswith("</svg>\n")
    kept = json.loads((tmp_path / "harness-calibration-overhead" / "state.json").read_text(encoding="utf-8"))
    assert kept["aa blocks"] == 1
    assert "Every cell that was begun finished." in page
    assert second.returncode == 1
    assert "too few to judge, 2 of at least 100 cells" in second.stdout
