from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.records import Block, Call, CellRecord, CellRecords, Machine
from harness.results import Estimate, OverheadResult
from harness.tracking import series
from harness.tracking.series import latency_series

if TYPE_CHECKING:
    from mlflow.entities import Metric

    from harness.records import Arm

MACHINE = Machine(hostname="h", cpu_model="c", cpu_count=2, memory_bytes=1, kernel="k", python="3.11", load_1min=0.0)
STARTED_MS = 1_000_000


def block(place: int, arm: Arm, latency_ms: tuple[float, ...], **changes: Any) -> Block:
    """A block of one arm that began so many tenths of a second after the clock's zero."""
    calls = len(latency_ms)
    values: dict[str, Any] = {
        "fork": 0,
        "arm": arm,
        "kind": "measured",
        "block": place,
        "position": place,
        "first_repetition": 0,
        "sample_ids": ("s",) * calls,
        "start_ns": tuple(place * 100_000_000 + number for number in range(calls)),
        "latency_ns": tuple(round(one * 1e6) for one in latency_ms),
        "first_chunk_ns": (None,) * calls,
        "errors": (None,) * calls,
        "cpu_ns": 0,
    }
    return Block.model_validate(values | changes)


def records(*blocks: Block, calls: tuple[Call, ...] = ()) -> CellRecords:
    """A cell with these blocks."""
    values: dict[str, Any] = {
        **dict.fromkeys(("cell_id", "sweep_id", "provider", "backend", "prompts", "tracing", "style"), "x"),
        **dict.fromkeys(("endpoint", "measure", "strategy_source"), "x"),
        "seed": 1,
        "expects_traces": True,
        "config": {},
        "versions": {},
        "machine": MACHINE,
        "prompt_set_digest": "ab" * 32,
        "sample_count": 3,
        "started_unix_ns": STARTED_MS * 1_000_000,
        "ended_unix_ns": 2 * STARTED_MS * 1_000_000,
        "status": "ok",
    }
    return CellRecords(CellRecord(**values), calls, (), (), blocks, ())


def overhead(verdict: str = "slower", forks: int = 4, **estimates: tuple[float, ...]) -> OverheadResult:
    """A result with these differences by fork."""
    found = {
        name: Estimate(name=name, unit="ms", value=1.0, low=0.5, high=1.5, forks=forks, per_fork=per_fork)
        for name, per_fork in estimates.items()
    }
    values: dict[str, Any] = {
        **dict.fromkeys(("calls_per_fork", "traces_expected", "traces_lost", "flagged_calls", "failed_calls"), 0),
        **dict.fromkeys(("smallest_effect_ms", "drain_rate_per_s", "load_rate_per_s")),
        "forks": forks,
        "estimates": found,
        "verdict": verdict,
        "sentence": "",
        "equivalence_margin_ms": 0.5,
        "is_floor": False,
    }
    return OverheadResult.model_validate(values)


def line(metrics: list[Metric], key: str) -> list[tuple[int, float]]:
    """Steps and values of one metric."""
    return [(metric.step, metric.value) for metric in metrics if metric.key == key]


def test_each_block_is_a_step_in_the_order_in_which_blocks_ran() -> None:
    """The lines of both arms interleave over all forks as the arms did, whatever the order of the records."""
    cell = records(
        block(3, "strategy", (9, 6), fork=1),
        block(0, "strategy", (9, 4)),
        block(1, "baseline", (9, 1)),
        block(2, "baseline", (9, 2), fork=1),
    )
    metrics = latency_series(cell, overhead()).metrics
    assert line(metrics, "block.strategy_p50_ms") == [(0, 4.0), (3, 6.0)]
    assert line(metrics, "block.baseline_p50_ms") == [(1, 1.0), (2, 2.0)]


def test_only_calls_that_are_analysed_count() -> None:
    """A block's first call, failed calls and the warm-up are left out; a block without any other call has no point."""
    cell = records(
        block(0, "strategy", (50,), kind="warmup"),
        block(1, "strategy", (50, 3, 5, 99), errors=(None, None, None, "E: e")),
        block(2, "strategy", (50,)),
    )
    assert line(latency_series(cell, overhead()).metrics, "block.strategy_p50_ms") == [(0, 4.0)]


def test_many_blocks_share_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a point is the median of several consecutive blocks of one arm, and that is told."""
    monkeypatch.setattr(series, "BLOCK_POINTS_AT_MOST", 4)
    arms: tuple[Arm, Arm] = ("strategy", "baseline")
    cell = records(*(block(place, arms[place % 2], (9, place)) for place in range(8)))
    found = latency_series(cell, overhead())
    assert found.blocks_per_point == 2
    assert line(found.metrics, "block.strategy_p50_ms") == [(0, 1.0), (4, 5.0)]
    assert line(found.metrics, "block.baseline_p50_ms") == [(1, 2.0), (5, 6.0)]


def test_each_fork_is_a_step() -> None:
    """What each fork says that tracing adds is a line of its own, so that drift is seen."""
    metrics = latency_series(records(), overhead(p50_ms=(1.0, 2.0), cpu_ms_per_call=(3.0,))).metrics
    assert line(metrics, "fork.added_p50_ms") == [(0, 1.0), (1, 2.0)]
    assert line(metrics, "fork.added_cpu_ms_per_call") == [(0, 3.0)]


@pytest.mark.parametrize("found", [None, overhead("not judged", p50_ms=(1.0, 2.0))])
def test_latency_that_is_not_judged_is_not_drawn(found: OverheadResult | None) -> None:
    """Where traces were lost a line would make tracing look cheap."""
    assert latency_series(records(block(0, "strategy", (9, 4))), found).metrics == []


def test_points_stand_at_the_time_of_day() -> None:
    """A call was stamped by the clock of latencies and by the time of day, so a block's time follows."""
    call = Call.model_validate(
        {
            "call_id": "x/completeness/0/strategy/0/s/0",
            "sample_id": "s",
            "scenario": "",
            "stream": False,
            "outcome": "ok",
            "start_unix_ns": 5_000_000_000_000,
            "start_ns": 4_000_000_000,
            "end_ns": 4_000_000_001,
        }
    )
    cell = records(block(50, "strategy", (9, 4)), calls=(call,))
    assert [metric.timestamp for metric in latency_series(cell, overhead()).metrics] == [5_001_000]


def test_without_a_call_the_first_block_stands_at_the_cells_start() -> None:
    """Then the distances between points are right, and the whole is not."""
    cell = records(block(7, "strategy", (9, 4)), block(9, "strategy", (9, 4)))
    stamps = [metric.timestamp for metric in latency_series(cell, overhead()).metrics]
    assert stamps == [STARTED_MS, STARTED_MS + 200]
