"""Benchmarks of the suite in ``tests/benchmarks``, as pytest-benchmark stores them, read into what the gate compares.

A benchmark's rounds are the calls of several worker processes, one after the other, the same
number each; the latency of a fork is the median of its own rounds. Its cost is what lies above
the benchmark of ``none`` of the same group.
"""

from __future__ import annotations

import statistics
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from harness.errors import InputError
from harness.gate.numbers import Count, Number, check_lost
from harness.gate.runs import LATENCIES, Base, Form, GatedCell, Lost, Run, Samples, leaves
from harness.gate.sweeps import DROPPED, CellDocument, gated_cell
from harness.report.format import count

EXTRA_INFO_KEY = "harness"
"""Key of ``extra_info`` under which the suite writes; other benchmarks have none."""

_UNTRACED = "none"


class Extra(BaseModel):
    """What the suite writes beside pytest-benchmark's own numbers.

    Attributes:
        forks: Worker processes whose rounds stand one after the other.
        timing: How they were timed.
        costs: Further costs by name, one value a fork.
        traces_expected: Traces that all these workers should have stored.
        traces_lost: How many of them were not there.
        expected_by_fork: Traces that each worker should have stored; empty in older files, as are the next two.
        lost_by_fork: How many of them were not there.
        drain_rates_per_s: Traces a second that reached each worker's store in the warm-up burst.
        max_load: The load may be at most this share of that; ``None`` in older files.
        cell: As in ``cells.json``, without costs; its completeness comes from a pass of its own.
    """

    forks: int = Field(ge=1)
    timing: dict[str, Any]
    costs: dict[str, Annotated[list[Number], Field(min_length=1)]]
    traces_expected: Count
    traces_lost: Count
    expected_by_fork: list[Count] = Field(default_factory=list)
    lost_by_fork: list[Count] = Field(default_factory=list)
    drain_rates_per_s: list[Number] = Field(default_factory=list)
    max_load: Number | None = None
    cell: CellDocument

    @model_validator(mode="after")
    def _agree(self) -> Self:
        check_lost(self.traces_expected, self.traces_lost, self.expected_by_fork, self.lost_by_fork)
        return self


class _Stats(BaseModel):
    data: list[Number] | None = None


class _Benchmark(BaseModel):
    fullname: str
    group: str | None
    extra_info: dict[str, Any]
    stats: _Stats


class BenchmarkDocument(BaseModel):
    """A file of pytest-benchmark."""

    datetime: str
    benchmarks: list[_Benchmark]


class _Read(BaseModel):
    group: str | None
    cell: GatedCell
    costs: dict[str, list[float]]
    saturated: str | None


def benchmark_run(name: str, document: BenchmarkDocument) -> Run:
    """All benchmarks of the suite; what else the file holds is left out and counted.

    Raises:
        InputError: If the file holds none of the suite, or not every round's time.
    """
    own = [one for one in document.benchmarks if EXTRA_INFO_KEY in one.extra_info]
    if not own:
        raise InputError(
            f"{name} holds no benchmark of a tracing strategy; write one with "
            "`pytest tests/benchmarks --benchmark-enable --benchmark-json=FILE`"
        )
    read = [_read(name, one) for one in own]
    untraced = {one.group: one.costs for one in read if one.cell.key["tracing"] == _UNTRACED}
    cells = tuple(_with_costs(one, untraced.get(one.group)) for one in read)
    others = len(document.benchmarks) - len(own)
    verb = ("is", "was") if others == 1 else ("are", "were")
    told = f"{count(others, 'benchmark')} of {name} {verb[0]} of no tracing strategy and {verb[1]} left out."
    notes = (told,) if others else ()
    return Run(name=name, identity=f"stored at {document.datetime}", form=Form.BENCHMARKS, cells=cells, notes=notes)


def _read(name: str, benchmark: _Benchmark) -> _Read:
    extra = Extra.model_validate(benchmark.extra_info[EXTRA_INFO_KEY])
    rounds = benchmark.stats.data
    if not rounds:
        raise InputError(
            f"{name} has no time of single rounds; store it with --benchmark-json or --benchmark-save-data"
        )
    calls, left = divmod(len(rounds), extra.forks)
    if left or not calls:
        raise InputError(
            f"{name}: {benchmark.fullname} has {len(rounds)} rounds, which {extra.forks} forks cannot share"
        )
    p50_ms = [1e3 * statistics.median(rounds[fork * calls : (fork + 1) * calls]) for fork in range(extra.forks)]
    cell = gated_cell(extra.cell)
    by_fork = tuple(zip(extra.expected_by_fork, extra.lost_by_fork, strict=False))
    lost = Lost(extra.traces_expected, extra.traces_lost, by_fork)
    timing = leaves("timing", extra.timing | {"calls a fork": calls})
    # How a completeness pass was to be measured says nothing of these times.
    kept = {name: value for name, value in cell.cost_conditions.items() if not name.startswith("measure.")}
    update = {
        "cost_conditions": kept | timing,
        "timed": lost,
        "is_baseline": cell.key["tracing"] == _UNTRACED,
        # Paced by itself, whatever a sweep would have done.
        "period_ms": None,
    }
    return _Read(
        group=benchmark.group,
        cell=cell.model_copy(update=update),
        costs={"p50_ms": p50_ms, **extra.costs},
        saturated=_saturated(extra),
    )


def _saturated(extra: Extra) -> str | None:
    """Why latencies must not be judged, if calls came faster than the store may be given their traces."""
    period_ms = extra.timing.get("period_ms")
    if not (extra.drain_rates_per_s and extra.max_load and isinstance(period_ms, float | int) and period_ms > 0):
        return None
    drained_per_s, load_per_s = statistics.fmean(extra.drain_rates_per_s), 1e3 / period_ms
    if load_per_s <= extra.max_load * drained_per_s:
        return None
    return (
        f"not judged: the load of {load_per_s:.1f} calls a second saturated the store, which drains "
        f"{drained_per_s:.1f} traces a second and may be given {extra.max_load * drained_per_s:.1f}"
    )


def _with_costs(one: _Read, untraced: dict[str, list[float]] | None) -> GatedCell:
    lost = one.cell.timed.lost if one.cell.timed is not None else 0
    looks_cheap = f"{lost} traces were lost, and {DROPPED}" if lost else None
    reason = f"the group {one.group!r} has no benchmark of {_UNTRACED}" if untraced is None else None
    costs = {}
    for name, values in one.costs.items():
        base = (untraced or {}).get(name, [])
        whole = statistics.fmean(values)
        costs[name] = Samples(
            per_fork=tuple(values),
            untraced=tuple(base),
            whole=whole,
            added=abs(whole - statistics.fmean(base)) if base else whole,
            base=_base(base),
            reason=reason or (one.saturated if name in LATENCIES else None),
            looks_cheap=looks_cheap,
        )
    return one.cell.model_copy(update={"costs": costs})


def _base(values: list[float]) -> Base | None:
    if len(values) < 2:
        return Base(values[0]) if values else None
    return Base(statistics.fmean(values), statistics.variance(values) / len(values), len(values) - 1)
