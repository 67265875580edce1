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


class Form(StrEnum):
    """What kind of document a run was read from."""

    SWEEP = "cells.json of a sweep"
    BENCHMARKS = "a file of pytest-benchmark"


class Samples(Record):
    """A cost as it was measured in each fork.

    Attributes:
        per_fork: One value a fork: the added cost where each fork has its own untraced arm, else the whole cost.
        untraced: One value an untraced worker of the same run, to be taken off; empty where that was done.
        whole: The cost with what it is without tracing, which a relative margin is a share of.
        reason: Why it must not be compared, in words; ``None`` if it may.
    """

    per_fork: tuple[float, ...] = ()
    untraced: tuple[float, ...] = ()
    whole: float = 0.0
    reason: str | None = None


class Verdicts(Record):
    """How often one fact was recorded, elsewhere, wrong and missing, by flow."""

    by_flow: dict[str, dict[str, int]]


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
    """Traces that were expected, and how many of them were not there."""

    expected: int
    lost: int


class GatedCell(Record):
    """One cell, or one benchmark of the suite.

    Attributes:
        key: Values of ``KEY`` and ``FURTHER_KEY``.
        label: The cell in people's words.
        status: As its record has it.
        conditions: What has to be equal for any comparison, by its name in people's words.
        cost_conditions: What has to be equal for a comparison of costs as well.
        environment: Variables of the environment that reached the workers; these must be equal for costs, too.
        versions: What may differ, because the gate is for that: packages, kernel, the strategy's target.
        is_baseline: Whether both of its arms are untraced, so that it has no cost of its own.
        costs: By name.
        stopped_early: Whether forks were added until the interval was narrow enough.
        timed: Traces of the timing pass; ``None`` without one.
        endings: Traces by the way in which a process ended.
    """

    key: dict[str, str]
    label: str
    status: str
    reason: str | None = None
    conditions: dict[str, str]
    cost_conditions: dict[str, str]
    environment: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str]
    is_baseline: bool = False
    costs: dict[str, Samples] = Field(default_factory=dict)
    stopped_early: bool = False
    completeness: Completeness | None = None
    timed: Lost | None = None
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
