"""How fast the analyses are, and that their cost grows with the records and no faster."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.completeness import judge_cell
from harness.config import MeasureConfig
from harness.overhead import analyse
from harness.records import (
    ArmRun,
    Block,
    Call,
    CellRecord,
    CellRecords,
    Chunk,
    Exchange,
    Machine,
    SpanEvent,
    StoredSpan,
    StoredTrace,
    write_cell,
)

if TYPE_CHECKING:
    from pathlib import Path

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


MILLION = 1_000_000
IN_A_TEST = 40_000
"""Calls where nothing is benchmarked: enough to see what each of them costs in memory."""

PROMISED_S = 30.0
"""How long a million calls may take."""
BYTES_PER_CALL = 800
FIXED_BYTES = 100 * 2**20
"""A GiB for a million calls, with room for what an interpreter and its libraries take."""

ANALYSE = """
import json, sys, time
from pathlib import Path
from harness.experiment.analysis import analyse_cell
from harness.records import read_cell

def peak_bytes():
    # Not getrusage: a fork hands its parent's peak on to the child, through exec.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

imported_bytes, begun = peak_bytes(), time.perf_counter()
records = read_cell(Path(sys.argv[1]), timed_exchanges=False)
read_s = time.perf_counter() - begun
result = analyse_cell(records)
print(json.dumps({
    "read_s": read_s,
    "read_and_analysed_s": time.perf_counter() - begun,
    "cpu_s": time.process_time(),
    "imported_bytes": imported_bytes,
    "peak_bytes": peak_bytes(),
    "calls_per_fork": result.overhead.calls_per_fork,
    "p99": result.overhead.estimates["p99_ms"].value is not None,
    "exchanges": len(records.exchanges),
}))
"""


def write_timed_cell(folder: Path, calls: int) -> None:
    """A cell's folder as a timing pass of so many calls leaves it, with one exchange a call."""
    write_cell(folder, timing_records(calls))
    one = Exchange(
        exchange_id=0,
        call_id="cell/timing/3/strategy/{}/sample-17/0",
        dialect="openai",
        method="POST",
        path="/v1/chat/completions",
        received_unix_ns=EPOCH_NS,
        received_ns=10**15,
        request_size_bytes=312,
        request_digest="ab" * 32,
        status=200,
        first_byte_ns=10**15,
        last_byte_ns=10**15,
        response_size_bytes=512,
        response_digest="cd" * 32,
        completed=True,
        latency_planned_ns=0,
        latency_realised_ns=0,
    )
    before, after = (one.model_dump_json() + "\n").split("{}")
    with (folder / "exchanges.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{before}{number}{after}" for number in range(calls))


def test_reading_and_analysing_a_million_calls(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """From the records on disk to the result, in a process of its own, within a GiB; a test takes fewer calls."""
    calls = MILLION if benchmark.enabled else IN_A_TEST
    write_timed_cell(tmp_path, calls)

    def run() -> dict[str, Any]:
        command = [sys.executable, "-c", ANALYSE, str(tmp_path)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    found = benchmark.pedantic(run, rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {"calls": calls, **found}
    assert found["calls_per_fork"] * FORKS * len(ARMS) > 0.9 * calls - FORKS * CALLS_PER_BLOCK
    assert (found["p99"], found["exchanges"]) == (True, 0)
    assert found["peak_bytes"] - found["imported_bytes"] < FIXED_BYTES + calls * BYTES_PER_CALL
    if benchmark.enabled:
        assert found["peak_bytes"] < 2**30
        # In CPU time, so that what else the machine does makes nothing fail.
        assert found["cpu_s"] < PROMISED_S


WORDS = 20
EPOCH_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def completeness_records(calls: int, *, stream: bool) -> CellRecords:
    """The records of a cell in which so many chat completions were autologged, each word of a stream an event."""
    made = [_traced_call(number, stream=stream) for number in range(calls)]
    return CellRecords(
        _cell(), tuple(one[0] for one in made), tuple(one[1] for one in made), tuple(one[2] for one in made), (), ()
    )


def _traced_call(number: int, *, stream: bool) -> tuple[Call, Exchange, StoredTrace]:
    call_id, begin_ns = f"cell/completeness/0/strategy/{number}/s{number % 20}/0", EPOCH_NS + number * 200 * MS
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Question {number}"}], "seed": 7}
    request |= {"stream": True} if stream else {}
    head = {"id": f"chatcmpl-{number:09d}", "model": "gpt-4o-mini-2024-07-18"}
    words = [f"word{number}.{place} " for place in range(WORDS)]
    usage = {"prompt_tokens": 12, "completion_tokens": WORDS, "total_tokens": 12 + WORDS}
    choice = {"index": 0, "message": {"role": "assistant", "content": "".join(words)}, "finish_reason": "stop"}
    answer = {**head, "choices": [choice], "usage": usage}
    deltas: list[tuple[dict[str, Any], str | None]] = [*(({"content": word}, None) for word in words), ({}, "stop")]
    pieces = [
        json.dumps({**head, "choices": [{"index": 0, "delta": one, "finish_reason": why}]}) for one, why in deltas
    ]
    pieces.append(json.dumps({**head, "choices": [], "usage": usage}))
    call = Call(
        call_id=call_id,
        sample_id=f"s{number % 20}",
        stream=stream,
        start_unix_ns=begin_ns,
        start_ns=0,
        end_ns=100 * MS,
        first_chunk_ns=21 * MS if stream else None,
        outcome="ok",
    )
    body = json.dumps(request)
    exchange = Exchange(
        exchange_id=number,
        call_id=call_id,
        dialect="openai",
        method="POST",
        path="/v1/chat/completions",
        received_unix_ns=begin_ns + 10 * MS,
        received_ns=10 * MS,
        request_body=body,
        request_size_bytes=len(body),
        request_digest=str(number),
        status=200,
        last_byte_ns=90 * MS,
        response_body=None if stream else json.dumps(answer),
        chunks=tuple(Chunk(sent_ns=(20 + at) * MS, data=f"data: {one}\n\n") for at, one in enumerate(pieces))
        if stream
        else None,
        completed=True,
    )
    events = [
        SpanEvent(
            name=f"mlflow.chunk.item.{at}",
            time_unix_ns=begin_ns + (21 + at) * MS,
            attributes={"mlflow.chunk.value": one},
        )
        for at, one in enumerate(pieces if stream else ())
    ]
    attributes = {
        "mlflow.spanType": "CHAT_MODEL",
        "mlflow.spanInputs": request,
        "mlflow.llm.model": head["model"],
        "mlflow.chat.tokenUsage": {"input_tokens": 12, "output_tokens": WORDS, "total_tokens": 12 + WORDS},
        "mlflow.spanOutputs": answer,
    }
    span = StoredSpan(
        span_id=f"{number:016x}",
        parent_id=None,
        name="Completions",
        start_unix_ns=begin_ns + 2 * MS,
        end_unix_ns=begin_ns + 98 * MS,
        status="OK",
        attributes=attributes,
        events=tuple(events),
    )
    trace = StoredTrace(trace_id=f"tr-{number:032x}", call_id=call_id, state="OK", metadata={}, tags={}, spans=(span,))
    return call, exchange, trace


@pytest.mark.parametrize("stream", [False, True], ids=["single", "stream"])
def test_judging_ten_thousand_calls(benchmark: BenchmarkFixture, stream: bool) -> None:
    """The completeness of a cell of 10,000 calls, whose traces hold everything in MLflow's places."""
    # As a test it only has to run.
    calls = 200 if benchmark.disabled else 10_000
    result = benchmark(judge_cell, completeness_records(calls, stream=stream))
    assert (result.calls, result.recall) == (calls, 1.0)


@pytest.mark.parametrize("stream", [False, True], ids=["single", "stream"])
def test_judging_grows_with_the_number_of_calls(stream: bool) -> None:
    """Eight times the calls take at most 20 times the CPU time, and at most ten times the memory."""

    def cost(calls: int) -> tuple[int, int]:
        records = completeness_records(calls, stream=stream)
        begun = time.process_time_ns()
        judge_cell(records)
        spent_ns = time.process_time_ns() - begun
        tracemalloc.start()
        judge_cell(records)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return spent_ns, peak

    few, many = cost(50), cost(400)
    assert many[0] < 20 * few[0]
    assert many[1] < 10 * few[1]
