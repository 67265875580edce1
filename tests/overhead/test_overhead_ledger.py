"""The entries of the ledger: thresholds, differences, and reasons for what is not there."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from harness.config import MeasureConfig
from harness.overhead import analyse, latencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Arm, CellRecords
    from harness.results import Estimate

    MakeRecords = Callable[..., CellRecords]

MS = 1_000_000
NAMES = {
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "first_chunk_p50_ms",
    "cpu_ms_per_call",
    "drain_ms_per_trace",
    "stored_bytes_per_trace",
    "peak_memory_mib",
    "import_cpu_ms",
}


def steady(fork: int, arm: Arm, repetition: int) -> int:
    """Latencies that differ between forks, arms and calls."""
    return (5 * MS + fork * 1000 if arm == "strategy" else MS) + (repetition * 7919) % 1000 * 17


def test_planted_shift_is_found(make_records: MakeRecords) -> None:
    """The value is the mean of the forks' differences of medians, and the baseline stands beside it."""
    p50 = analyse(make_records(steady), MeasureConfig()).estimates["p50_ms"]
    assert p50.per_fork == pytest.approx([4.0, 4.001, 4.002, 4.003])
    assert p50.value == pytest.approx(4.0015)
    baselines = [np.median(arm.latency_ms) for arm in latencies(make_records(steady)) if arm.arm == "baseline"]
    assert p50.baseline == pytest.approx(np.mean(baselines))
    assert p50.low is not None
    assert p50.high is not None
    assert p50.low < 4.0015 < p50.high


@pytest.mark.parametrize(
    ("name", "least"), [("p50_ms", 10), ("p95_ms", 60), ("p99_ms", 500)], ids=["p50", "p95", "p99"]
)
def test_quantile_needs_enough_calls(make_records: MakeRecords, name: str, least: int) -> None:
    """One call too few in one fork gives no quantile and a reason with both numbers; enough calls give one."""
    records = make_records(steady, blocks=1, calls_per_block=least + 1)
    assert analyse(records, MeasureConfig()).estimates[name].value is not None
    failing = make_records(
        steady,
        blocks=1,
        calls_per_block=least + 1,
        error=lambda f, _a, r: "boom" if (f, r) == (2, 6) else None,
    )
    short = analyse(failing, MeasureConfig()).estimates[name]
    assert (short.value, short.low, short.high) == (None, None, None)
    assert short.reason == (
        f"{name.removesuffix('_ms')} needs {least} analysed calls in each arm of each fork, and fork 2 has {least - 1}"
    )


def test_tail_quantiles_are_numpys_linear_ones(make_records: MakeRecords) -> None:
    """p95 and p99 are differences of numpy's linear quantiles of the analysed latencies."""

    def tailed(fork: int, arm: Arm, repetition: int) -> int:
        return steady(fork, arm, repetition) + (repetition % 41 == 0) * (3 * MS if arm == "strategy" else MS)

    records = make_records(tailed, blocks=10, calls_per_block=60)
    result = analyse(records, MeasureConfig())
    arms = {(arm.fork, arm.arm): arm.latency_ms for arm in latencies(records)}
    for name, q in (("p95_ms", 0.95), ("p99_ms", 0.99)):
        expected = [np.quantile(arms[f, "strategy"], q) - np.quantile(arms[f, "baseline"], q) for f in range(4)]
        assert result.estimates[name].per_fork == pytest.approx(expected)


def test_first_chunk_uses_the_streams_alone(make_records: MakeRecords) -> None:
    """In a mixed set the time to the first chunk is compared over the calls that streamed."""
    records = make_records(
        steady,
        blocks=4,
        first_chunk_ns=lambda f, a, r: (3 * MS + f * 1000 if a == "strategy" else MS) if r % 2 else None,
    )
    found = analyse(records, MeasureConfig()).estimates["first_chunk_p50_ms"]
    assert found.per_fork == pytest.approx([2.0, 2.001, 2.002, 2.003])
    assert found.baseline == pytest.approx(1.0)


def test_first_chunk_needs_streams(make_records: MakeRecords) -> None:
    """Without streams there is no time to the first chunk, and the reason says how many are needed."""
    found = analyse(make_records(steady), MeasureConfig()).estimates["first_chunk_p50_ms"]
    assert found.value is None
    assert found.reason == "first_chunk_p50 needs 10 analysed streams in each arm of each fork, and fork 0 has 0"


def test_first_chunk_in_one_arm_only_is_not_compared(make_records: MakeRecords) -> None:
    """A strategy that swallows the stream has no time to the first chunk, and the reason says so."""
    records = make_records(steady, first_chunk_ns=lambda _f, a, _r: MS if a == "baseline" else None)
    found = analyse(records, MeasureConfig()).estimates["first_chunk_p50_ms"]
    assert found.value is None
    assert found.reason == "21 calls of fork 0 gave chunks in one arm only, so they differ in kind"


def test_costs_beyond_latency_are_differences_of_the_arms(make_records: MakeRecords) -> None:
    """CPU, drain, memory and import are the strategy's minus the baseline's, fork by fork."""
    entries = analyse(make_records(steady), MeasureConfig()).estimates
    assert entries["cpu_ms_per_call"].per_fork == pytest.approx([2, 3, 4, 5])
    assert entries["cpu_ms_per_call"].baseline == pytest.approx(10)
    assert entries["drain_ms_per_trace"].per_fork == pytest.approx([5.0, 5.1, 5.2, 5.3])
    assert entries["drain_ms_per_trace"].baseline == 0
    assert entries["peak_memory_mib"].per_fork == (50, 51, 52, 53)
    assert entries["peak_memory_mib"].baseline == 100
    assert entries["import_cpu_ms"].per_fork == pytest.approx([900, 901, 902, 903])
    assert entries["import_cpu_ms"].baseline == pytest.approx(300)


def test_stored_bytes_have_no_baseline(make_records: MakeRecords) -> None:
    """Bytes for each stored trace are the strategy's own; forks that agree exactly give no interval."""
    found = analyse(make_records(steady), MeasureConfig()).estimates["stored_bytes_per_trace"]
    assert (found.value, found.baseline, found.low) == (8192, None, None)
    assert found.reason is not None
    assert "all 4 forks gave the same difference" in found.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stored_bytes": None}, "the growth of the store is not known in at least one fork"),
        ({"stored_traces": 0}, "no trace was stored in at least one fork"),
    ],
)
def test_stored_bytes_need_a_store_and_traces(
    make_records: MakeRecords, change: dict[str, int | None], reason: str
) -> None:
    """Where the store's growth or the traces are not there, the bytes for each trace are withheld."""
    records = make_records(steady, arm_run=lambda f, a: change if (f, a) == (1, "strategy") else {})
    found = analyse(records, MeasureConfig()).estimates["stored_bytes_per_trace"]
    assert (found.value, found.reason) == (None, reason)


def test_nothing_is_drained_where_nothing_is_stored(make_records: MakeRecords) -> None:
    """In an A/A cell drain and stored bytes do not apply; the other entries are differences of equal arms."""
    result = analyse(make_records(steady, tracing="none"), MeasureConfig())
    for name in ("drain_ms_per_trace", "stored_bytes_per_trace"):
        assert result.estimates[name].value is None
        assert result.estimates[name].reason == "the strategy stores no traces"
    for name in ("cpu_ms_per_call", "peak_memory_mib", "import_cpu_ms"):
        assert result.estimates[name].value == 0
    assert result.drain_rate_per_s is None


def test_drain_and_size_are_withheld_where_traces_were_lost(make_records: MakeRecords) -> None:
    """Traces that are dropped need no drain, so its cost and its rate would look better; halves of them have a size."""
    records = make_records(steady, arm_run=lambda f, a: {"stored_traces": 27} if (f, a) == (1, "strategy") else {})
    result = analyse(records, MeasureConfig())
    assert result.estimates["drain_ms_per_trace"].value is None
    assert result.estimates["drain_ms_per_trace"].reason == (
        "2 traces were lost, and what is dropped need not be drained"
    )
    assert result.estimates["stored_bytes_per_trace"].value is None
    assert result.estimates["stored_bytes_per_trace"].reason == (
        "2 traces were lost, and half a trace takes up room as well"
    )
    assert result.drain_rate_per_s is None


def test_costs_for_each_call_need_calls(make_records: MakeRecords) -> None:
    """An arm without measured or warm-up calls gives reasons, not a division by zero."""
    unmeasured = analyse(make_records(steady, blocks=0), MeasureConfig())
    assert unmeasured.estimates["cpu_ms_per_call"].reason == "an arm made no measured call"
    cold = analyse(make_records(steady, warmup_calls=0), MeasureConfig())
    assert cold.estimates["drain_ms_per_trace"].value is None
    assert "no warm-up call" in str(cold.estimates["drain_ms_per_trace"].reason)
    assert cold.drain_rate_per_s is None


def test_drain_rate_is_the_burst_to_the_last_write(make_records: MakeRecords) -> None:
    """The drain rate counts the burst's calls over the time until the store's last write."""
    assert analyse(make_records(steady), MeasureConfig()).drain_rate_per_s == pytest.approx(50)


def test_no_fork_gives_reasons_and_no_numbers(make_records: MakeRecords) -> None:
    """A cell without a complete fork has every entry, each without a value and with the reason."""
    result = analyse(make_records(steady, forks=0), MeasureConfig())
    assert set(result.estimates) == NAMES
    assert {entry.value for entry in result.estimates.values()} == {None}
    assert {entry.reason for entry in result.estimates.values()} == {"no fork was completed in both arms"}
    assert (result.forks, result.calls_per_fork, result.verdict) == (0, 0, "not judged")


@pytest.mark.parametrize("tracing", ["none", "manual"])
@pytest.mark.parametrize("forks", [0, 1, 3, 4])
@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("calls_per_block", [1, 8])
def test_nan_never_escapes(
    make_records: MakeRecords, tracing: str, forks: int, blocks: int, calls_per_block: int
) -> None:
    """Whatever is missing, every number is finite or None, and an entry without an interval says why."""
    records = make_records(
        lambda _f, _a, _r: 0, forks=forks, blocks=blocks, calls_per_block=calls_per_block, tracing=tracing
    )
    result = analyse(records, MeasureConfig())
    numbers = json.loads(result.model_dump_json(), parse_constant=pytest.fail)
    assert set(numbers["estimates"]) == NAMES
    for entry in result.estimates.values():
        assert (entry.low is None) == (entry.high is None) == (entry.reason is not None)
        assert all(math.isfinite(value) for value in entry.per_fork)


def test_same_records_give_the_same_bytes(make_records: MakeRecords) -> None:
    """Analysing twice gives equal JSON."""
    first, second = (analyse(make_records(steady), MeasureConfig()).model_dump_json() for _ in range(2))
    assert first == second


def test_first_calls_are_entries_where_they_were_recorded(make_records: MakeRecords) -> None:
    """What a process pays at its first calls is a difference of the arms; older records have no such entries."""

    def first(fork: int, arm: Arm) -> dict[str, int]:
        traced = arm == "strategy"
        return {
            "first_call_ns": 20 * MS + traced * (300 + fork) * MS,
            "first_call_cpu_ns": 10 * MS + traced * (100 + fork) * MS,
            "first_calls_cpu_ns": 15 * MS + traced * (200 + fork) * MS,
            "first_calls": 3,
        }

    entries = analyse(make_records(steady, arm_run=first), MeasureConfig()).estimates
    assert entries["first_call_ms"].per_fork == pytest.approx([300, 301, 302, 303])
    assert entries["first_call_cpu_ms"].per_fork == pytest.approx([100, 101, 102, 103])
    assert entries["first_calls_cpu_ms"].per_fork == pytest.approx([200, 201, 202, 203])
    assert entries["first_calls_cpu_ms"].baseline == pytest.approx(15)
    assert entries["first_call_ms"].low is not None
    old = make_records(steady, arm_run=lambda fork, arm: first(fork, arm) if fork else {})
    assert set(analyse(old, MeasureConfig()).estimates) == NAMES


def test_the_baseline_has_its_own_interval(make_records: MakeRecords) -> None:
    """Student's t over the forks' baselines; none where the forks are too few or agree."""
    base_us = (1500, 1620, 1680, 1830)

    def p50(forks: int) -> Estimate:
        records = make_records(lambda f, a, _r: 1000 * base_us[f] + 10_000 * f * (a == "strategy"), forks=forks)
        return analyse(records, MeasureConfig()).estimates["p50_ms"]

    own = [us / 1000 for us in base_us]
    low, high = stats.t.interval(0.95, 3, np.mean(own), stats.sem(own))
    assert p50(4).baseline == pytest.approx(np.mean(own))
    assert [p50(4).baseline_low, p50(4).baseline_high] == pytest.approx([low, high])
    assert (p50(3).baseline_low, p50(3).baseline_high) == (None, None)
    assert (
        analyse(make_records(lambda f, a, _r: MS + f * (a == "strategy") * 1000), MeasureConfig())
        .estimates["p50_ms"]
        .baseline_low
        is None
    )


def streamed(fork: int, arm: Arm, _repetition: int) -> int:
    """Streams whose first chunk comes after 1 ms, and whose last one 1 ms before the end, or 3 ms where traced."""
    return 15 * MS + fork * 2000 if arm == "strategy" else 10 * MS


def with_chunks(records: CellRecords, chunks: int = 11) -> CellRecords:
    """The same records with the times of last chunks, in every second call."""
    blocks = []
    for block in records.blocks:
        after = 3 * MS + block.fork * 1000 if block.arm == "strategy" else MS
        every = range(len(block.latency_ns))
        update = {
            "first_chunk_ns": tuple(MS if i % 2 else None for i in every),
            "last_chunk_ns": tuple(block.latency_ns[i] - after if i % 2 else None for i in every),
            "chunks": tuple(chunks if i % 2 else None for i in every),
        }
        blocks.append(block.model_copy(update=update))
    return records._replace(blocks=tuple(blocks))


def test_chunks_and_the_end_of_streams_are_parted(make_records: MakeRecords) -> None:
    """Per chunk is from the first chunk to the last, the end from there on; calls that are no streams do not count."""
    found = analyse(with_chunks(make_records(streamed, blocks=4)), MeasureConfig()).estimates
    assert found["per_chunk_us"].per_fork == pytest.approx([300, 300.1, 300.2, 300.3])
    assert found["per_chunk_us"].baseline == pytest.approx(800)
    assert found["stream_end_p50_ms"].per_fork == pytest.approx([2, 2.001, 2.002, 2.003])
    assert found["stream_end_p50_ms"].baseline == pytest.approx(1)
    assert found["stream_end_p50_ms"].low is not None


def test_without_chunks_the_ledger_has_no_line_for_them(make_records: MakeRecords) -> None:
    """Older records, single answers and streams of one chunk have neither."""
    plain = make_records(streamed, blocks=4)
    for records in (plain, with_chunks(plain, chunks=1)):
        assert set(analyse(records, MeasureConfig()).estimates) == NAMES


@pytest.mark.parametrize(("step_ns", "has_interval"), [(10 * MS, False), (1, True)])
def test_ticks_of_a_clock_are_no_spread(make_records: MakeRecords, step_ns: int, has_interval: bool) -> None:
    """Forks whose CPU readings differ by one tick of their clock differ by nothing that was measured."""
    ticks = (1, 1, 0, 1)

    def beside(fork: int, arm: Arm) -> dict[str, int]:
        spent = {"destination_cpu_ns": ticks[fork] * 10 * MS, "destination_cpu_step_ns": step_ns}
        return spent if arm == "strategy" else {}

    found = analyse(make_records(steady, arm_run=beside), MeasureConfig()).estimates["destination_cpu_ms_per_call"]
    assert found.value == pytest.approx(30 / 4 / 24)
    assert (found.low is not None) == has_interval
    if not has_interval:
        assert "gave the same difference, as far as the clock can tell" in str(found.reason)


@pytest.mark.parametrize(("apart_ms", "has_interval"), [(3.9, False), (4.1, True)])
def test_a_drain_is_known_to_a_tick_of_the_kernel(
    make_records: MakeRecords,
    apart_ms: float,
    has_interval: bool,
) -> None:
    """When a file was written is known to 4 ms; drains of a burst that differ by less are alike."""
    records = make_records(
        steady, arm_run=lambda f, a: {"warmup_drain_ns": int((50 + apart_ms * (f % 2)) * MS * (a == "strategy"))}
    )
    found = analyse(records, MeasureConfig()).estimates["drain_ms_per_trace"]
    assert found.value == pytest.approx((50 + apart_ms / 2) / 5)
    assert (found.low is not None) == has_interval


def test_a_drain_is_not_shared_out_where_calls_are_sampled(make_records: MakeRecords) -> None:
    """Of ten calls one leaves a trace, so a call's share is not a trace's; the load is still held against calls."""

    def few(_fork: int, arm: Arm) -> dict[str, int]:
        return {"expected_traces": 3, "stored_traces": 3} if arm == "strategy" else {}

    records = make_records(steady, arm_run=few, period_ns=21 * MS)
    records = records._replace(cell=records.cell.model_copy(update={"expected_share": 0.1}))
    result = analyse(records, MeasureConfig())
    drain = result.estimates["drain_ms_per_trace"]
    assert drain.value is None
    assert "chance decides which calls leave a trace" in str(drain.reason)
    assert result.drain_rate_per_s is None
    assert "saturated the store, which drains the traces of 50.0 calls a second" in result.sentence
    assert result.estimates["stored_bytes_per_trace"].value == pytest.approx(29 * 8192 / 3)
