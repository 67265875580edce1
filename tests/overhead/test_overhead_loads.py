"""What loads cost, from made-up records: differences, ratios, losses, and reasons for what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.config import MeasureConfig
from harness.errors import CellError
from harness.overhead.loads import analyse_loads
from harness.records import LoadRun

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
    assert "16 of 512 calls failed, the first with E: full" in found.sentence


def test_too_few_calls_give_no_quantile(records: Callable[..., CellRecords]) -> None:
    """p95 needs 60 calls, p50 three; the reason has both numbers."""
    (found,) = analyse_loads(records(*pairs(calls=2)), MeasureConfig())
    assert found.estimates["p50_ms"].value is None
    assert "needs 3" in (found.estimates["p50_ms"].reason or "")
    assert "needs 60" in (found.estimates["p95_ms"].reason or "")
    assert found.verdict == "not judged"


def test_time_per_chunk_leaves_the_first_out(records: Callable[..., CellRecords]) -> None:
    """What each chunk after the first takes, in microseconds; no such entry where nothing was streamed."""
    runs = [
        load_run(
            fork,
            arm,
            "chunks:100",
            calls=3,
            latency_ns=((20 if arm == "strategy" else 10) * MS + fork,) * 3,
            first_chunk_ns=(MS, MS, MS),
            chunks=(101,) * 3,
        )
        for fork in range(4)
        for arm in ARMS
    ]
    (found,) = analyse_loads(records(*runs), MeasureConfig())
    assert found.estimates["per_chunk_us"].value == pytest.approx(100)
    assert found.estimates["per_chunk_us"].baseline == pytest.approx(90, rel=0.01)
    assert found.estimates["first_chunk_p50_ms"].value == 0
    (plain,) = analyse_loads(records(*pairs()), MeasureConfig())
    assert "per_chunk_us" not in plain.estimates


def saturated(fork: int, lost: dict[float | None, int], calls: int = 200) -> list[LoadRun]:
    """The steps of a saturation: offered rate to traces lost; back to back makes 150 calls a second."""
    return [
        load_run(
            fork,
            arm,
            "saturation",
            calls=calls,
            wall_ns=int(calls * 1e9 / ((offered or 150) + fork)),
            offered_per_s=offered,
            expected_traces=calls if arm == "strategy" else 0,
            stored_traces=calls - missing if arm == "strategy" else 0,
        )
        for offered, missing in lost.items()
        for arm in ARMS
    ]


def test_saturation_says_where_loss_begins(records: Callable[..., CellRecords]) -> None:
    """The highest rate without loss, the lowest with it, and each step's share, over forks."""
    runs = [one for fork in range(4) for one in saturated(fork, {40.0: 0, 80.0: 0, None: 20 + fork})]
    (found,) = analyse_loads(records(*runs), MeasureConfig())
    assert found.verdict is None
    assert found.estimates["highest_without_loss_per_s"].per_fork == pytest.approx([80, 81, 82, 83])
    assert found.estimates["loss_begins_per_s"].per_fork == pytest.approx([150, 151, 152, 153])
    assert found.estimates["loss_begins_per_s"].low is not None
    assert [step.offered_per_s for step in found.steps] == [40.0, 80.0, None]
    assert [step.traces_lost for step in found.steps] == [0, 0, 86]
    assert found.steps[-1].lost_share.value == pytest.approx(21.5 / 200)
    assert "no trace was lost at 82" in found.sentence
    assert "traces were lost at 152" in found.sentence


def test_a_saturation_that_never_or_always_loses_says_so(records: Callable[..., CellRecords]) -> None:
    """A bound that was not reached in a fork is no number; the reason names the fork and the rate."""
    (never,) = analyse_loads(records(*saturated(0, {40.0: 0, 80.0: 0})), MeasureConfig())
    assert never.estimates["loss_begins_per_s"].reason == "fork 0 lost no trace, at up to 80 calls a second"
    (always,) = analyse_loads(records(*saturated(0, {40.0: 3})), MeasureConfig())
    reason = always.estimates["highest_without_loss_per_s"].reason
    assert reason == "fork 0 lost traces at every rate, from 40 calls a second on"


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
