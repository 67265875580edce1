"""What loads cost, from made-up records: differences, ratios, losses, and reasons for what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.config import MeasureConfig
from harness.errors import CellError
from harness.experiment.analysis import analyse_cell, summarise
from harness.overhead.loads import analyse_loads
from harness.records import LoadRun, MachineSample

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords

    MakeRecords = Callable[..., CellRecords]

MS = 1_000_000
ARMS: tuple[Arm, Arm] = ("strategy", "baseline")


def load_run(fork: int, arm: Arm, load: str = "threads:8", **changes: Any) -> LoadRun:
    """One arm under a load: 2 ms a call untraced, and 3 ms more (and a little with each fork) traced."""
    traced = arm == "strategy"
    calls: int = changes.get("calls", 64)
    latency_ns = (2 + (3 + fork / 100 if traced else 0)) * MS
    values: dict[str, Any] = {
        "fork": fork,
        "arm": arm,
        "load": load,
        "position": 0,
        "calls": calls,
        "warmup_calls": 8,
        "wall_ns": int(calls * latency_ns / 8),
        "cpu_ns": calls * (20 + fork if traced else 1) * MS,
        "drain_ns": calls * 10 * MS if traced else 0,
        "latency_ns": tuple(int(latency_ns) + offset for offset in range(calls)),
        "expected_traces": calls + 8 if traced else 0,
        "stored_traces": calls + 8 if traced else 0,
        "stored_bytes": (calls + 8) * 5000 if traced else None,
    }
    return LoadRun(**(values | changes))


@pytest.fixture
def records(make_records: MakeRecords) -> Callable[..., CellRecords]:
    """A cell with the given load runs."""

    def make(*runs: LoadRun, tracing: str = "manual") -> CellRecords:
        return make_records(lambda *_: MS, forks=0, tracing=tracing)._replace(loads=runs)

    return make


def pairs(forks: int = 4, **changes: Any) -> list[LoadRun]:
    return [load_run(fork, arm, **changes) for fork in range(forks) for arm in ARMS]


def test_a_planted_difference_is_found(records: Callable[..., CellRecords]) -> None:
    """Latency, throughput, CPU, drain and bytes are differences within forks, with an interval and the baseline."""
    (found,) = analyse_loads(records(*pairs()), MeasureConfig())
    assert (found.load, found.forks, found.calls_per_fork) == ("threads:8", 4, 64)
    p50 = found.estimates["p50_ms"]
    assert p50.per_fork == pytest.approx([3.0, 3.01, 3.02, 3.03])
    assert p50.baseline == pytest.approx(2.0, abs=0.001)
    assert p50.low is not None
    assert p50.high is not None
    assert p50.low < 3.015 < p50.high
    assert found.estimates["p95_ms"].value == pytest.approx(3.015)
    assert found.estimates["throughput_per_s"].baseline == pytest.approx(8 / 0.002)
    assert found.estimates["throughput_per_s"].per_fork[0] == pytest.approx(8 / 0.005 - 8 / 0.002)
    assert found.estimates["throughput_ratio"].per_fork[0] == pytest.approx(0.4)
    assert found.estimates["cpu_ms_per_call"].per_fork == pytest.approx([19, 20, 21, 22])
    assert found.estimates["drain_ms_per_trace"].value == pytest.approx(10)
    assert found.estimates["sustained_per_s"].per_fork[0] == pytest.approx(64 / 0.68 - 8 / 0.002)
    assert found.estimates["sustained_ratio"].per_fork[0] == pytest.approx(64 / 0.68 * 0.002 / 8)
    assert found.estimates["stored_bytes_per_trace"].value == pytest.approx(5000)
    assert found.verdict == "slower"
    assert "slower by 3.0" in found.sentence


def test_under_four_forks_there_is_no_interval_and_no_verdict(records: Callable[..., CellRecords]) -> None:
    """Three forks give values alone, and the reason."""
    (found,) = analyse_loads(records(*pairs(3)), MeasureConfig())
    assert found.estimates["p50_ms"].value is not None
    assert found.estimates["p50_ms"].low is None
    assert found.verdict == "not judged"
    assert "at least 4" in (found.estimates["p50_ms"].reason or "")


def test_latency_is_not_judged_where_traces_were_lost(records: Callable[..., CellRecords]) -> None:
    """Dropping traces makes tracing look cheap: no verdict, and neither drain nor bytes of what is left."""
    runs = [one.model_copy(update={"stored_traces": 0}) if one.expected_traces else one for one in pairs()]
    (found,) = analyse_loads(records(*runs), MeasureConfig())
    assert (found.verdict, found.traces_lost, found.traces_expected) == ("not judged", 288, 288)
    assert "288 of 288 traces were lost" in found.sentence
    assert found.estimates["drain_ms_per_trace"].value is None
    assert found.estimates["stored_bytes_per_trace"].value is None


def test_failed_calls_forbid_a_verdict_and_say_why(records: Callable[..., CellRecords]) -> None:
    """More than one call in a hundred that failed leaves no fair sample; the first exception is named."""
    (found,) = analyse_loads(records(*pairs(errors=2, first_error="E: full")), MeasureConfig())
    assert (found.verdict, found.failed_calls) == ("not judged", 16)
    assert "16 calls failed where each arm made 256, the first with E: full" in found.sentence


@pytest.mark.parametrize(("failing", "verdict"), [(2, "slower"), (3, "not judged")])
def test_failures_are_held_against_the_calls_of_one_arm(
    records: Callable[..., CellRecords], failing: int, verdict: str
) -> None:
    """As on paced calls: of 256 calls of one arm two may fail, and not 1% of both arms' 512."""
    runs = [
        one.model_copy(update={"errors": 1, "first_error": "E: full"})
        if one.arm == "strategy" and one.fork < failing
        else one
        for one in pairs()
    ]
    (found,) = analyse_loads(records(*runs), MeasureConfig())
    assert found.verdict == verdict


def test_a_drain_under_a_load_is_not_shared_out_where_calls_are_sampled(records: Callable[..., CellRecords]) -> None:
    """Nobody counted which of the drained calls left a trace; what a stored trace takes up is known."""
    made = records(*pairs(expected_traces=7, stored_traces=7))
    (found,) = analyse_loads(made._replace(cell=made.cell.model_copy(update={"expected_share": 0.1})), MeasureConfig())
    drain = found.estimates["drain_ms_per_trace"]
    assert drain.value is None
    assert "chance decides" in str(drain.reason)
    assert found.estimates["stored_bytes_per_trace"].value == pytest.approx(72 * 5000 / 7)


def test_too_few_calls_give_no_quantile(records: Callable[..., CellRecords]) -> None:
    """p95 needs 60 calls, p50 three; the reason has both numbers."""
    (found,) = analyse_loads(records(*pairs(calls=2)), MeasureConfig())
    assert found.estimates["p50_ms"].value is None
    assert "needs 3" in (found.estimates["p50_ms"].reason or "")
    assert "needs 60" in (found.estimates["p95_ms"].reason or "")
    assert found.verdict == "not judged"


def streams(chunk_us: int, end_ms: int, **changes: Any) -> list[LoadRun]:
    """Four forks with three streams of 101 chunks; the strategy adds so much to a chunk, and to the end.

    Untraced the first chunk comes after 1 ms, each further one takes 90 us, and the end 2 ms.
    """
    runs = []
    for fork in range(4):
        for arm in ARMS:
            traced = arm == "strategy"
            last_ns = MS + 100 * 1000 * (90 + (chunk_us + fork if traced else 0))
            end_ns = last_ns + 2 * MS + (end_ms * MS + fork * 1000 if traced else 0)
            values = {"first_chunk_ns": (MS,) * 3, "last_chunk_ns": (last_ns,) * 3, "latency_ns": (end_ns,) * 3}
            runs.append(load_run(fork, arm, "chunks:100", **{"calls": 3, "chunks": (101,) * 3, **values, **changes}))
    return runs


def test_what_ends_a_stream_is_no_part_of_its_chunks(records: Callable[..., CellRecords]) -> None:
    """Per chunk is from the first to the last; what follows once has an estimate of its own, with its interval."""
    (found,) = analyse_loads(records(*streams(30, 40)), MeasureConfig())
    per_chunk, end = found.estimates["per_chunk_us"], found.estimates["stream_end_p50_ms"]
    assert per_chunk.per_fork == pytest.approx([30, 31, 32, 33])
    assert per_chunk.baseline == pytest.approx(90)
    assert end.per_fork == pytest.approx([40, 40.001, 40.002, 40.003])
    assert end.baseline == pytest.approx(2)
    assert None not in (per_chunk.low, per_chunk.high, end.low, end.high)
    assert found.estimates["first_chunk_p50_ms"].value == 0
    (cheap,) = analyse_loads(records(*streams(0, 40)), MeasureConfig())
    assert cheap.estimates["per_chunk_us"].value == pytest.approx(1.5)


def test_streams_without_their_last_chunks_time_say_so(records: Callable[..., CellRecords]) -> None:
    """Older records cannot part the chunks from the end; nothing at all is said where nothing was streamed."""
    (older,) = analyse_loads(records(*streams(30, 40, last_chunk_ns=())), MeasureConfig())
    for name in ("per_chunk_us", "stream_end_p50_ms"):
        assert older.estimates[name].value is None
        assert older.estimates[name].reason == "the records do not say when the last chunk came"
    assert older.estimates["first_chunk_p50_ms"].value == 0
    (plain,) = analyse_loads(records(*pairs()), MeasureConfig())
    assert not {"per_chunk_us", "stream_end_p50_ms", "first_chunk_p50_ms"} & set(plain.estimates)


def test_a_stream_of_one_chunk_has_an_end_and_no_further_chunk(records: Callable[..., CellRecords]) -> None:
    """There is no time per further chunk where a stream has none."""
    (found,) = analyse_loads(records(*streams(30, 40, chunks=(1,) * 3)), MeasureConfig())
    assert found.estimates["per_chunk_us"].reason == "a stream had one chunk only"
    assert found.estimates["stream_end_p50_ms"].value == pytest.approx(40, abs=0.01)


def test_peak_memory_is_a_difference_where_both_arms_have_it(records: Callable[..., CellRecords]) -> None:
    """In MiB, within forks; nothing where the kernel did not let the peak begin anew in one run."""
    sized = [
        one.model_copy(update={"peak_memory_bytes": (100 + 50 * (one.arm == "strategy")) << 20}) for one in pairs()
    ]
    (found,) = analyse_loads(records(*sized), MeasureConfig())
    assert found.estimates["peak_memory_mib"].per_fork == (50, 50, 50, 50)
    assert found.estimates["peak_memory_mib"].baseline == 100
    (without,) = analyse_loads(records(*sized[:-1], pairs()[-1]), MeasureConfig())
    assert "peak_memory_mib" not in without.estimates


def test_calls_that_outrun_the_store_are_told_as_a_burst(records: Callable[..., CellRecords]) -> None:
    """Throughput to the last call's end is not the throughput that lasts; where the store keeps up nothing is said."""
    (burst,) = analyse_loads(records(*pairs()), MeasureConfig())
    assert burst.exceeds_drain
    assert "1595 calls came a second, and the store took the traces of 94: the rest waited" in burst.sentence
    (kept,) = analyse_loads(records(*pairs(drain_ns=MS)), MeasureConfig())
    assert not kept.exceeds_drain
    assert "the store took" not in kept.sentence
    (untraced,) = analyse_loads(records(*pairs(expected_traces=0, stored_traces=0)), MeasureConfig())
    assert not untraced.exceeds_drain


def test_a_cost_that_changes_under_a_load_is_not_one_number(records: Callable[..., CellRecords]) -> None:
    """A verdict that the later half of each fork's calls does not give is withdrawn, as that of paced calls is."""
    runs = [
        one.model_copy(
            update={"latency_ns": (*one.latency_ns[:40], *((2 * MS + one.fork * 1000 * (one.arm == "strategy"),) * 24))}
        )
        for one in pairs()
    ]
    (found,) = analyse_loads(records(*runs), MeasureConfig())
    assert found.steady is not None
    assert found.steady.steady is False
    assert found.verdict == "inconclusive"
    assert "the later half alone would be equivalent, not slower" in found.sentence
    (short,) = analyse_loads(records(*pairs(calls=10)), MeasureConfig())
    assert short.steady is not None
    assert short.steady.sentence.startswith("not known whether it was steady: that needs 20 analysed calls")


def sample(fork: int, position: int, others: float, load: str = "threads:8", wall_ns: int = 10**9) -> MachineSample:
    """What the machine did during one run."""
    return MachineSample(
        fork=fork,
        position=position,
        begin_ns=0,
        wall_ns=wall_ns,
        busy_cpu_ns=wall_ns // 2 + int(others * wall_ns),
        own_cpu_ns=wall_ns // 2,
        stolen_cpu_ns=0,
        load=load,
    )


def watched(disturbed_forks: tuple[int, ...], forks: int = 6) -> tuple[list[LoadRun], tuple[MachineSample, ...]]:
    """Runs whose forks cost less where others used the machine, and the machine's samples."""
    alike: dict[str, Any] = {"latency_ns": (2 * MS,) * 64}
    runs = [
        load_run(fork, arm, position=place, **(alike if fork in disturbed_forks else {}))
        for fork in range(forks)
        for place, arm in enumerate(ARMS)
    ]
    samples = [sample(run.fork, run.position, 0.3 if run.fork in disturbed_forks else 0.02) for run in runs]
    return runs, tuple(samples)


def test_disturbed_runs_of_a_load_are_flagged_and_kept(records: Callable[..., CellRecords]) -> None:
    """The forks in which others used the machine are named, and what the verdict would be without them."""
    runs, samples = watched((1, 4))
    (found,) = analyse_loads(records(*runs)._replace(machine=samples), MeasureConfig())
    machine = found.disturbance
    assert machine is not None
    assert (machine.runs, machine.watched_runs, machine.flagged_runs, machine.flagged_forks) == (12, 12, 4, (1, 4))
    assert found.estimates["p50_ms"].forks == 6
    assert (found.verdict, machine.without_verdict, machine.decides) == ("slower", "slower", False)
    calm_runs, quiet = watched(())
    quiet = (*quiet[:-1], sample(5, 1, 0.9, load="threads:32"))
    (calm,) = analyse_loads(records(*calm_runs)._replace(machine=quiet), MeasureConfig())
    assert calm.disturbance is not None
    assert (calm.disturbance.watched_runs, calm.disturbance.flagged_runs, calm.disturbance.decides) == (11, 0, False)
    assert calm.disturbance.sentence.startswith("undisturbed: in no run did others take more than 0.1 cores and 50 ms")


def test_with_four_forks_a_disturbance_may_decide(records: Callable[..., CellRecords]) -> None:
    """Three forks give no verdict, so nobody can say that the disturbed one did not decide it."""
    runs, samples = watched((), forks=4)
    loud = (sample(0, 0, 0.3), *samples[1:])
    (found,) = analyse_loads(records(*runs)._replace(machine=loud), MeasureConfig())
    assert found.disturbance is not None
    assert (found.verdict, found.disturbance.decides) == ("slower", True)
    assert "without their forks too little is left" in found.disturbance.sentence


def test_what_was_not_watched_is_not_undisturbed(records: Callable[..., CellRecords]) -> None:
    """Without samples it says so; and rounding of the kernel's ticks flags no short run."""
    (unwatched,) = analyse_loads(records(*pairs()), MeasureConfig())
    assert unwatched.disturbance is not None
    assert unwatched.disturbance.sentence == "the machine was not watched"
    runs = [load_run(fork, arm, position=place) for fork in range(4) for place, arm in enumerate(ARMS)]
    short = tuple(sample(run.fork, run.position, 0.3, wall_ns=10**8) for run in runs)
    (found,) = analyse_loads(records(*runs)._replace(machine=short), MeasureConfig())
    assert found.disturbance is not None
    assert (found.disturbance.watched_runs, found.disturbance.flagged_runs) == (8, 0)
    assert found.disturbance.short_runs == 8
    assert found.disturbance.sentence.startswith(
        "whether it was disturbed cannot be told (8 of 8 runs took less than 0.5 s, too short for the counters): in no "
        "run did others take more than 0.1 cores and 50 ms, the counters' rounding; others took 0.300 cores"
    )


def test_verdicts_under_loads_are_corrected_with_those_of_cells(make_records: MakeRecords) -> None:
    """All of a sweep's verdicts are one family, of cells and of their loads; floors and saturations are none of it."""
    cells = []
    for cell_id, tracing in (("a", "none"), ("b", "manual"), ("c", "autolog")):
        own = make_records(lambda f, arm, _r: MS + (f * 1000 if arm == "strategy" else 0), tracing=tracing)
        runs = [*pairs(), *(one for fork in range(4) for one in saturated(fork, {40.0: 0, None: 9}))]
        cell = own.cell.model_copy(update={"cell_id": cell_id})
        cells.append(analyse_cell(own._replace(cell=cell, loads=tuple(runs))))
    sweep = summarise(sweep_id="s", command="", cells=cells, cells_expected=3, started_unix_ns=0, ended_unix_ns=1)
    assert set(sweep.corrections) == {"b", "c"}
    assert {cell: set(loads) for cell, loads in sweep.load_corrections.items()} == {
        "b": {"threads:8"},
        "c": {"threads:8"},
    }
    found = [*sweep.corrections.values(), *(one for loads in sweep.load_corrections.values() for one in loads.values())]
    assert [one.comparisons for one in found] == [4] * 4
    (load, _) = cells[1].loads
    assert load.p_no_difference is not None
    assert sweep.load_corrections["b"]["threads:8"].p_no_difference == pytest.approx(4 * load.p_no_difference)


def saturated(fork: int, lost: dict[float | None, int], calls: int = 200, **changes: Any) -> list[LoadRun]:
    """The steps of a saturation: offered rate to traces lost; back to back makes 150 calls a second."""
    return [
        load_run(
            fork,
            arm,
            "saturation",
            **{
                "calls": calls,
                "wall_ns": int(calls * 1e9 / (offered or 150)),
                "drain_ns": 10**9 if arm == "strategy" else 0,
                "offered_per_s": offered,
                "expected_traces": calls if arm == "strategy" else 0,
                "stored_traces": calls - missing if arm == "strategy" else 0,
                **changes,
            },
        )
        for offered, missing in lost.items()
        for arm in ARMS
    ]


def test_saturation_gives_a_bracket_and_no_interval(records: Callable[..., CellRecords]) -> None:
    """The rate up to which no fork lost, and the one at which each had lost: forks that agree make it no narrower."""
    alike = [one for fork in range(4) for one in saturated(fork, {40.0: 0, 80.0: 0, None: 20 + fork})]
    (found,) = analyse_loads(records(*alike), MeasureConfig())
    assert found.verdict is None
    highest, begins = found.estimates["highest_without_loss_per_s"], found.estimates["loss_begins_per_s"]
    assert [highest.value, begins.value] == pytest.approx([80, 150])
    assert (highest.low, highest.high, begins.low, begins.high) == (None,) * 4
    assert "no interval" in (highest.reason or "")
    assert [step.offered_per_s for step in found.steps] == [40.0, 80.0, None]
    assert [step.traces_lost for step in found.steps] == [0, 0, 86]
    assert found.steps[-1].lost_share.value == pytest.approx(21.5 / 200)
    assert (
        "no fork lost a trace at up to 80 calls a second, held for 2.5 s; at 150 every fork had lost some"
        in found.sentence
    )
    assert "(a bracket over 4 forks, no confidence interval)" in found.sentence


def test_forks_that_differ_widen_the_bracket(records: Callable[..., CellRecords]) -> None:
    """From the lowest of the rates without loss to the highest of those with it; all forks count at each rate."""
    early: dict[float | None, int] = {40.0: 0, 80.0: 5, 160.0: 50}
    late: dict[float | None, int] = {40.0: 0, 80.0: 0, 160.0: 30}
    runs = [one for fork in range(4) for one in saturated(fork, early if fork else late)]
    (found,) = analyse_loads(records(*runs), MeasureConfig())
    highest, begins = found.estimates["highest_without_loss_per_s"], found.estimates["loss_begins_per_s"]
    assert [highest.value, begins.value] == pytest.approx([40, 160])
    assert highest.per_fork == pytest.approx([80, 40, 40, 40])
    assert begins.per_fork == pytest.approx([160, 80, 80, 80])
    assert [step.forks for step in found.steps] == [4, 4, 4]
    share = found.steps[1].lost_share
    assert share.value == pytest.approx(15 / 800)
    assert (share.low, share.high) == (None, None)
    assert share.per_fork == pytest.approx((0, 0.025, 0.025, 0.025))
    assert "no t distribution" in str(share.reason)


def test_a_rate_above_the_first_loss_counts_as_lossy(records: Callable[..., CellRecords]) -> None:
    """A higher rate that lost nothing by luck does not lift the rate without loss."""
    (found,) = analyse_loads(records(*saturated(0, {40.0: 0, 80.0: 1, 160.0: 0})), MeasureConfig())
    assert found.estimates["highest_without_loss_per_s"].value == pytest.approx(40)
    assert found.estimates["loss_begins_per_s"].value == pytest.approx(80)


def test_a_rate_that_some_forks_alone_tried_says_how_many(records: Callable[..., CellRecords]) -> None:
    """Records of forks that had stopped earlier are no mean over all forks, and show that."""
    runs = [*saturated(0, {40.0: 0, 80.0: 0, None: 9}), *saturated(1, {40.0: 4})]
    (found,) = analyse_loads(records(*runs), MeasureConfig())
    assert (found.forks, [step.forks for step in found.steps]) == (2, [2, 1, 1])
    reason = found.estimates["highest_without_loss_per_s"].reason
    assert reason == "1 of 2 forks lost traces at every rate, from 40 calls a second on"


def test_a_saturation_that_never_or_always_loses_says_so(records: Callable[..., CellRecords]) -> None:
    """A bound that was not reached in a fork is no number; the reason names the fork and the rate."""
    (never,) = analyse_loads(records(*saturated(0, {40.0: 0, 80.0: 0})), MeasureConfig())
    assert never.estimates["loss_begins_per_s"].reason == "fork 0 lost no trace, at up to 80 calls a second"
    assert "loss begins somewhere" not in never.sentence
    (always,) = analyse_loads(records(*saturated(0, {40.0: 3})), MeasureConfig())
    reason = always.estimates["highest_without_loss_per_s"].reason
    assert reason == "fork 0 lost traces at every rate, from 40 calls a second on"


@pytest.mark.parametrize(
    ("export", "told"),
    [
        ({"asynchronous": True}, "the queue had MLflow's own size; "),
        ({"asynchronous": True, "queue_size": 100}, "the queue took 100 writes; "),
        ({}, "the queue had MLflow's own size (if this version of MLflow has one by itself)"),
        ({"queue_size": 0}, "the queue was without bound (if this version of MLflow has one by itself)"),
        ({"asynchronous": False, "queue_size": 100}, "traces were written synchronously, without a queue"),
    ],
)
def test_a_saturation_names_its_queue_and_what_lasts(
    records: Callable[..., CellRecords], export: dict[str, Any], told: str
) -> None:
    """The rate without loss stands beside the queue and the rate at which the store took traces."""
    runs = [one for fork in range(4) for one in saturated(fork, {40.0: 0, None: fork})]
    made = records(*runs)
    made = made._replace(cell=made.cell.model_copy(update={"config": {"tracing": {"export": export}}}))
    (found,) = analyse_loads(made, MeasureConfig())
    assert told in found.sentence
    # 200 calls at 150 a second and a second of drain.
    assert found.estimates["stored_per_s"].per_fork[0] == pytest.approx(200 / (200 / 150 + 1))
    assert "of calls back to back the store took 85 [84, 86] traces a second" in found.sentence
    assert found.steps[0].held_s == pytest.approx(5)


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ("time", "higher rates were not offered, because 120 s of calls were over (measure.saturation_max_s)"),
        ("pace", "higher rates could not be offered: calls did not keep up"),
        ("loss", None),
    ],
)
def test_a_saturation_says_why_its_rates_ended(
    records: Callable[..., CellRecords], ended: str, told: str | None
) -> None:
    """Time that was over is told, and calls that did not keep up; a loss needs no such word."""
    (found,) = analyse_loads(records(*saturated(0, {40.0: 0, None: 1}, ladder_ended_by=ended)), MeasureConfig())
    assert ("higher rates" in found.sentence) == (told is not None)
    assert told is None or found.sentence.endswith(told)


def test_without_tracing_a_saturation_loses_nothing_that_counts(records: Callable[..., CellRecords]) -> None:
    """Where nothing is stored there is no share of it."""
    runs = [one.model_copy(update={"expected_traces": 0, "stored_traces": 0}) for one in saturated(0, {40.0: 0})]
    (found,) = analyse_loads(records(*runs, tracing="none"), MeasureConfig())
    assert found.is_floor
    assert found.steps[0].lost_share.value is None
    assert found.estimates["loss_begins_per_s"].reason == "the strategy stores no traces"


def test_half_a_pair_is_left_out_and_unequal_arms_are_refused(records: Callable[..., CellRecords]) -> None:
    """An interrupted load of one arm does not count; arms with other calls cannot be compared."""
    assert analyse_loads(records(load_run(0, "strategy")), MeasureConfig()) == ()
    with pytest.raises(CellError, match="fork 0: under the load threads:8 its arms made 64 and 32 calls"):
        analyse_loads(records(load_run(0, "strategy"), load_run(0, "baseline", calls=32)), MeasureConfig())
    with pytest.raises(CellError, match="twice"):
        analyse_loads(records(load_run(0, "strategy"), load_run(0, "strategy")), MeasureConfig())


def test_loads_stand_in_the_order_of_reports(records: Callable[..., CellRecords]) -> None:
    """Kinds in their usual order, sizes ascending, a saturation last; the order of the records does not matter."""
    names = ["saturation", "chunks:10", "payload:1000", "payload:100", "asyncio:8", "threads:32", "threads:8"]
    runs = [load_run(0, arm, name) for name in names for arm in ARMS]
    found = analyse_loads(records(*runs), MeasureConfig())
    assert [one.load for one in found] == [
        "threads:8",
        "threads:32",
        "asyncio:8",
        "payload:100",
        "payload:1000",
        "chunks:10",
        "saturation",
    ]
