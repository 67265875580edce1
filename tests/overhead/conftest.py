"""A factory of timing records with known properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.records import ArmRun, Block, CellRecord, CellRecords, Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.records import Arm

ARMS: tuple[Arm, Arm] = ("strategy", "baseline")
DRAIN_NS_PER_TRACE = 20_000_000
STORED_BYTES_PER_TRACE = 8192


@dataclass(frozen=True)
class Plan:
    """What a cell's timing records look like.

    The callables of one call get (fork, arm, repetition), ``arm_run`` gets (fork, arm) and gives
    the fields of the ``ArmRun`` that differ. Each arm's repetitions begin with its warm-up.
    """

    latency_ns: Callable[[int, Arm, int], int]
    forks: int = 4
    blocks: int = 3
    calls_per_block: int = 8
    warmup_calls: int = 5
    period_ns: int = 100_000_000
    tracing: str = "manual"
    error: Callable[[int, Arm, int], str | None] = lambda _fork, _arm, _repetition: None
    first_chunk_ns: Callable[[int, Arm, int], int | None] = lambda _fork, _arm, _repetition: None
    sample_id: Callable[[int, Arm, int], str] = lambda _fork, _arm, repetition: f"s{repetition % 7}"
    arm_run: Callable[[int, Arm], dict[str, Any]] = lambda _fork, _arm: {}


@pytest.fixture(scope="session")
def make_records() -> Callable[..., CellRecords]:
    """Makes one cell's records from the fields of a ``Plan``."""

    def make(latency_ns: Callable[[int, Arm, int], int], **parts: Any) -> CellRecords:
        plan = Plan(latency_ns, **parts)
        sides = [(fork, arm) for fork in range(plan.forks) for arm in ARMS]
        blocks = tuple(block for side in sides for block in _blocks(plan, *side))
        return CellRecords(_cell(plan.tracing), (), (), (), blocks, tuple(_run(plan, *side) for side in sides))

    return make


def _blocks(plan: Plan, fork: int, arm: Arm) -> Iterator[Block]:
    spans = [(0, plan.warmup_calls, "warmup")] if plan.warmup_calls else []
    spans += [
        (plan.warmup_calls + i * plan.calls_per_block, plan.calls_per_block, "measured") for i in range(plan.blocks)
    ]
    for index, (first, count, kind) in enumerate(spans):
        calls = [(fork, arm, repetition) for repetition in range(first, first + count)]
        position = 2 * index + (arm == "baseline")
        values: dict[str, Any] = {
            "fork": fork,
            "arm": arm,
            "kind": kind,
            "block": index,
            "position": position,
            "first_repetition": first,
            "sample_ids": tuple(plan.sample_id(*call) for call in calls),
            "start_ns": tuple(position * 10**10 + i * plan.period_ns for i in range(count)),
            "latency_ns": tuple(plan.latency_ns(*call) for call in calls),
            "first_chunk_ns": tuple(plan.first_chunk_ns(*call) for call in calls),
            "errors": tuple(plan.error(*call) for call in calls),
            "cpu_ns": 0,
        }
        yield Block.model_validate(values)


def _run(plan: Plan, fork: int, arm: Arm) -> ArmRun:
    """An arm that costs 10 ms of CPU a call, or 12 to 15 ms, growing with the fork, if it traces."""
    traced = arm == "strategy" and plan.tracing != "none"
    measured_calls = plan.blocks * plan.calls_per_block
    traces = plan.warmup_calls + measured_calls if traced else 0
    values: dict[str, Any] = {
        "fork": fork,
        "arm": arm,
        "pid": 1000 + 2 * fork + (arm == "baseline"),
        "cpus": (0,),
        "import_cpu_ns": 300_000_000 + (900_000_000 + fork * 1_000_000 if traced else 0),
        "warmup_calls": plan.warmup_calls,
        "warmup_ns": plan.warmup_calls * (DRAIN_NS_PER_TRACE if traced else 2_000_000),
        "warmup_drain_ns": plan.warmup_calls * (5_000_000 + fork * 100_000) if traced else 0,
        "measured_calls": measured_calls,
        "measured_cpu_ns": measured_calls * (10_000_000 + ((2 + fork) * 1_000_000 if traced else 0)),
        "drain_ns": 0,
        "expected_traces": traces,
        "stored_traces": traces,
        "stored_bytes": traces * STORED_BYTES_PER_TRACE if traced else None,
        "peak_memory_bytes": (100 + ((50 + fork) if traced else 0)) * 2**20,
    }
    return ArmRun.model_validate(values | plan.arm_run(fork, arm))


def _cell(tracing: str) -> CellRecord:
    machine = Machine(
        hostname="host", cpu_model="model", cpu_count=2, memory_bytes=2**33, kernel="6", python="3.11", load_1min=0.1
    )
    return CellRecord(
        cell_id="cell",
        sweep_id="sweep",
        provider="openai",
        backend="openai",
        prompts="chat",
        tracing=tracing,
        style="",
        endpoint="simulator",
        measure="quick",
        seed=1,
        strategy_source="",
        expects_traces=tracing != "none",
        config={},
        versions={},
        machine=machine,
        prompt_set_digest="0" * 64,
        sample_count=7,
        started_unix_ns=0,
        ended_unix_ns=1,
        status="ok",
    )
