"""What the gate reads of a run: cells, each with what may be compared, and under which conditions it came to be."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field

from harness.records import Record

KEY = ("provider", "backend", "prompts", "tracing", "style", "switches", "level", "against", "into", "endpoint")
"""What a cell is matched by."""

FURTHER_KEY = ("measure", "runtime", "seed")
"""What it is matched by as well where a run has several cells of one key, as a sweep over these has."""

LATENCIES = ("p50_ms", "p95_ms", "p99_ms", "first_chunk_p50_ms")
"""Costs that the pace of the calls changes, and that a saturated store says nothing of."""


class Sides(NamedTuple):
    """What sentences call the two runs."""

    before: str = "the baseline"
    after: str = "the current run"


BASELINE_AND_CURRENT = Sides()


class Form(StrEnum):
    """What kind of document a run was read from."""

    SWEEP = "cells.json of a sweep"
    BENCHMARKS = "a file of pytest-benchmark"


class Base(NamedTuple):
    """What a cost is without tracing: the mean over forks.

    Attributes:
        variance: Of that mean; 0 where nobody says.
        freedom: Its degrees of freedom; ``None`` likewise.
    """

    value: float
    variance: float = 0.0
    freedom: float | None = None


class Samples(Record):
    """A cost as it was measured in each fork.

    Attributes:
        per_fork: One value a fork: the added cost where each fork has its own untraced arm, else the whole cost.
        untraced: One value an untraced worker of the same run, to be taken off; empty where that was done.
        whole: The cost with what it is without tracing, which a relative margin is a share of.
        added: What tracing adds, without its sign.
        base: What it is without tracing; ``None`` where it has none.
        reason: Why it must not be compared, in words; ``None`` if it may.
        looks_cheap: Why it may cost more than was measured, in words: then a rise counts, and no calm.
    """

    per_fork: tuple[float, ...] = ()
    untraced: tuple[float, ...] = ()
    whole: float = 0.0
    added: float = 0.0
    base: Base | None = None
    reason: str | None = None
    looks_cheap: str | None = None


class Verdicts(Record):
    """What became of one fact: by flow one word a request, in their order; empty where the fact did not apply."""

    by_flow: dict[str, tuple[str, ...]]


class Completeness(Record):
    """The completeness of a cell as the gate compares it.

    Attributes:
        scores: ``recall``, ``otel_recall`` and ``fidelity``, each ``None`` where nothing applies.
        counts: Counts of which more is worse, by name: lost traces, for example.
        flows: The runs of samples' scenarios that were judged.
        verdicts: By convention and fact.
        sampled: Whether chance decided which calls are traced.
    """

    scores: dict[str, float | None]
    counts: dict[str, int | None]
    flows: frozenset[str]
    verdicts: dict[str, dict[str, Verdicts]]
    sampled: bool = False


class Lost(NamedTuple):
    """Traces that were expected, and how many of them were not there; or calls, and how many of them failed.

    Attributes:
        by_fork: The same two numbers for each fork; empty where only the sums are known.
    """

    expected: int
    lost: int
    by_fork: tuple[tuple[int, int], ...] = ()

    @property
    def share(self) -> float:
        """Lost / expected; 0 where none was expected."""
        return self.lost / self.expected if self.expected else 0.0


class GatedLoad(Record):
    """A cell under one further load.

    Attributes:
        costs: By name.
        timed: Its traces.
        failed: Its calls, and those that raised.
    """

    costs: dict[str, Samples]
    timed: Lost
    failed: Lost


class GatedCell(Record):
    """One cell, or one benchmark of the suite.

    Attributes:
        key: Values of ``KEY`` and ``FURTHER_KEY``.
        label: The cell in people's words.
        cell_id: As its record has it; empty of a benchmark.
        status: As its record has it.
        conditions: What has to be equal for any comparison, by its name in people's words.
        cost_conditions: What has to be equal for a comparison of costs as well.
        ending_conditions: What has to be equal for a comparison of what process endings lose.
        environment: Variables of the environment that reached the workers; these must be equal for costs, too.
        versions: What may differ, because the gate is for that: packages, kernel, the strategy's target.
        is_baseline: Whether both of its arms are untraced, so that it has no cost of its own.
        costs: By name; empty where nothing was timed.
        period_ms: The pace of the calls as it came to be, from one start to the next; ``None`` if nobody said.
        stopped_early: Whether forks were added until the interval was narrow enough.
        timed: Traces of the timing pass; ``None`` without one.
        failed: Calls of the timing pass in both arms, and those that raised; ``None`` where nobody counted them.
        loads: By load.
        endings: Traces by the way in which a process ended.
    """

    key: dict[str, str]
    label: str
    cell_id: str = ""
    status: str
    reason: str | None = None
    conditions: dict[str, str]
    cost_conditions: dict[str, str]
    ending_conditions: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str]
    is_baseline: bool = False
    costs: dict[str, Samples] = Field(default_factory=dict)
    period_ms: float | None = None
    stopped_early: bool = False
    completeness: Completeness | None = None
    timed: Lost | None = None
    failed: Lost | None = None
    loads: dict[str, GatedLoad] = Field(default_factory=dict)
    endings: dict[str, Lost] = Field(default_factory=dict)


class Run(Record):
    """All cells of one run.

    Attributes:
        name: Where it came from, as the person named it.
        identity: The same for every copy of one run: the sweep's id, or when the benchmarks were stored.
        notes: What was left out, in sentences.
    """

    name: str
    identity: str
    form: Form
    cells: tuple[GatedCell, ...]
    notes: tuple[str, ...] = ()


def leaves(prefix: str, value: Any) -> dict[str, str]:
    """The values of a nested configuration by their dotted keys, as texts."""
    if not isinstance(value, dict):
        return {prefix: str(value)}
    found: dict[str, str] = {}
    for key in sorted(value):
        found |= leaves(f"{prefix}.{key}" if prefix else str(key), value[key])
    return found


def differing(before: dict[str, str], after: dict[str, str], *, both: bool = False) -> list[tuple[str, str, str]]:
    """Names with two values, and these; with ``both`` only names that both have: what a side does not know differs not.

    Returns:
        Name, the value before and the value after, empty where there is none.
    """
    names = [name for name in dict.fromkeys((*before, *after)) if not both or (name in before and name in after)]
    return [(name, before.get(name, ""), after.get(name, "")) for name in names if before.get(name) != after.get(name)]
