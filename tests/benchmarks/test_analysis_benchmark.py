"""How fast the overhead analysis is, and that its cost grows with the records and no faster."""

from __future__ import annotations

import time
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from harness.config import MeasureConfig
from harness.overhead import analyse
from harness.records import ArmRun, Block, CellRecord, CellRecords, Machine

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from harness.records import Arm

FORKS = 4
CALLS_PER_BLOCK = 11
ARMS: tuple[Arm, Arm] = ("strategy", "baseline")


def timing_records(calls: int) -> CellRecords:
    """The records of a cell with about so many measured calls, over all forks and arms."""
    blocks_per_arm = max(1, calls // (FORKS * len(ARMS) * CALLS_PER_BLOCK))
    rng = np.random.default_rng(1)
    sides = list(product(range(FORKS), ARMS))
    blocks = tuple(
        _block(fork, arm, index, rng.integers(10**6, 10**7, CALLS_PER_BLOCK).tolist())
        for fork, arm in sides
        for index in range(blocks_per_arm)
    )
    return CellRecords(
        _cell(), (), (), (), blocks, tuple(_run(fork, arm, blocks_per_arm * CALLS_PER_BLOCK) for fork, arm in sides)
    )


def _block(fork: int, arm: Arm, index: int, latency_ns: list[int]) -> Block:
    first = index * CALLS_PER_BLOCK
    return Block(
        fork=fork,
        arm=arm,
        kind="measured",
        block=index,
        position=2 * index,
        first_repetition=first,
        sample_ids=tuple(f"sample-{repetition % 20}" for repetition in range(first, first + CALLS_PER_BLOCK)),
        start_ns=tuple((first + call) * 40_000_000 for call in range(CALLS_PER_BLOCK)),
        latency_ns=tuple(latency_ns),
        first_chunk_ns=tuple(latency // 2 for latency in latency_ns),
        errors=(None,) * CALLS_PER_BLOCK,
        cpu_ns=0,
    )


def _run(fork: int, arm: Arm, measured_calls: int) -> ArmRun:
    traces = measured_calls if arm == "strategy" else 0
    return ArmRun(
        fork=fork,
        arm=arm,
        pid=1,
        cpus=(0,),
        import_cpu_ns=10**9 + fork,
        warmup_calls=30,
        warmup_ns=30 * 20_000_000,
        warmup_drain_ns=10**8 + fork,
        measured_calls=measured_calls,
        measured_cpu_ns=measured_calls * 10**7 + fork,
        drain_ns=10**7,
        expected_traces=traces,
        stored_traces=traces,
        stored_bytes=traces * 8192 + fork,
        peak_memory_bytes=2**27,
    )


def _cell() -> CellRecord:
    return CellRecord(
        cell_id="cell",
        sweep_id="sweep",
        provider="openai",
        backend="openai",
        prompts="chat",
        tracing="manual",
        style="decorator/plain",
        endpoint="simulator",
        measure="thorough",
        seed=1,
        strategy_source="",
        expects_traces=True,
        config={},
        versions={},
        machine=Machine(
            hostname="host", cpu_model="", cpu_count=2, memory_bytes=2**33, kernel="6", python="3.11", load_1min=0.0
        ),
        prompt_set_digest="0" * 64,
        sample_count=20,
        started_unix_ns=0,
        ended_unix_ns=1,
        status="ok",
    )


def test_analysis_of_ten_thousand_calls(benchmark: BenchmarkFixture) -> None:
    """The analysis of a thorough cell; its quantiles have all the calls that they need."""
    result = benchmark(analyse, timing_records(10_000), MeasureConfig())
    assert result.estimates["p99_ms"].value is not None


def test_cost_grows_with_the_number_of_calls() -> None:
    """Eight times the calls take at most 20 times the CPU time: linear with room for noise, far from a square's 64."""

    def cpu_ns(records: CellRecords) -> int:
        spent = []
        for _ in range(5):
            begun = time.process_time_ns()
            analyse(records, MeasureConfig())
            spent.append(time.process_time_ns() - begun)
        return min(spent)

    assert cpu_ns(timing_records(80_000)) < 20 * cpu_ns(timing_records(10_000))
