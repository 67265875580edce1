"""Cells as ``cells.json`` has them, read into what the gate compares."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from pydantic import BaseModel, Field

from harness.gate.runs import FURTHER_KEY, KEY, Completeness, GatedCell, Lost, Samples, Verdicts, leaves
from harness.overhead.intervals import MIN_FORKS

COSTS = ("p50_ms", "first_chunk_p50_ms", "cpu_ms_per_call", "drain_ms_per_trace")
_LATENCIES = COSTS[:2]
_COUNTS = ("traces_lost", "traces_duplicated", "traces_orphaned", "transparency_differences")
_SCORES = ("recall", "otel_recall", "fidelity")
_FREE_MEASURE = (
    *("name", "forks", "max_forks", "precision_ms", "precision_relative", "margin_ms", "margin_relative"),
    *("drain_timeout_s", "exit_timeout_s", "losses"),
)
"""Keys of ``measure`` that say how much was measured or how it was judged, not what."""


class _Estimate(BaseModel):
    value: float | None
    baseline: float | None = None
    per_fork: list[float | None] = Field(default_factory=list)
    reason: str | None = None


class _Overhead(BaseModel):
    forks: int
    estimates: dict[str, _Estimate]
    verdict: str
    sentence: str
    traces_expected: int
    traces_lost: int
    is_floor: bool


class _Judged(BaseModel):
    flows: list[str]
    letters: dict[str, str]
    verdicts: dict[str, dict[str, str]]


class _Completeness(BaseModel):
    recall: float | None
    otel_recall: float | None
    fidelity: float | None
    traces_lost: int
    traces_duplicated: int
    traces_orphaned: int
    transparency_differences: int | None
    facts_version: int
    judged: _Judged


class _Loss(BaseModel):
    ending: str
    expected_traces: int
    stored_traces: int


class _Machine(BaseModel):
    cpu_model: str
    cpu_count: int
    memory_bytes: int
    kernel: str
    python: str
    work_filesystem: str = ""
    arm_cpus: list[int] = Field(default_factory=list)
    idle_polling: bool = False


class CellDocument(BaseModel):
    """One cell of ``cells.json``; keys that the gate does not compare are passed over."""

    label: str
    status: str
    reason: str | None = None
    provider: str
    backend: str
    prompts: str
    tracing: str
    style: str
    switches: str = ""
    level: str = "exported"
    against: str = "untraced"
    into: str = "sqlite"
    endpoint: str
    measure: str
    runtime: str = ""
    seed: int
    expects_traces: bool
    expected_share: float = 1.0
    config: dict[str, Any]
    versions: dict[str, str]
    machine: _Machine
    prompt_set_digest: str
    completeness: _Completeness | None
    losses: list[_Loss] = Field(default_factory=list)
    overhead: _Overhead | None


class SweepDocument(BaseModel):
    """``cells.json``."""

    schema_version: int
    sweep_id: str
    cells: list[CellDocument]


def gated_cell(cell: CellDocument) -> GatedCell:
    """What the gate compares of one cell."""
    overhead = cell.overhead
    return GatedCell(
        key={name: str(getattr(cell, name)) for name in (*KEY, *FURTHER_KEY)},
        label=_label(cell),
        status=cell.status,
        reason=cell.reason,
        conditions=_conditions(cell),
        cost_conditions=_cost_conditions(cell),
        environment=leaves("environment", cell.config.get("environment", {})),
        versions=_versions(cell),
        is_baseline=not cell.expects_traces if overhead is None else overhead.is_floor,
        costs={} if overhead is None else _costs(overhead),
        stopped_early=_stopped_early(cell.config.get("measure", {})),
        completeness=None if cell.completeness is None else _completeness(cell.completeness, cell.expected_share < 1),
        timed=None if overhead is None else Lost(overhead.traces_expected, overhead.traces_lost),
        endings={one.ending: Lost(one.expected_traces, one.expected_traces - one.stored_traces) for one in cell.losses},
    )


def _label(cell: CellDocument) -> str:
    """The record's own, with what else a cell is matched by where that is not as usual."""
    usual = {"prompts": "", "endpoint": "simulator", "level": "exported", "against": "untraced", "into": "sqlite"}
    further = [str(getattr(cell, name)) for name, value in usual.items() if str(getattr(cell, name)) != value]
    return f"{cell.label} ({', '.join(further)})" if further else cell.label


def _conditions(cell: CellDocument) -> dict[str, str]:
    found = {f"prompt-set digest of {cell.prompts}": cell.prompt_set_digest, "seed": str(cell.seed)}
    provider = cell.config.get("provider")
    if isinstance(provider, dict) and "model" in provider:
        found[f"model of {cell.provider}"] = str(provider["model"])
    # Where recordings lie does not matter: the samples that come from them are in the digest.
    endpoint = {key: value for key, value in cell.config.get("endpoint", {}).items() if key not in ("path", "name")}
    found |= leaves("endpoint", endpoint) if endpoint else {}
    if cell.completeness is not None and cell.completeness.judged.flows:
        found["version of the facts"] = str(cell.completeness.facts_version)
    return found


def _cost_conditions(cell: CellDocument) -> dict[str, str]:
    machine = cell.machine
    found = {
        "measure": cell.measure,
        "CPU model": machine.cpu_model,
        "CPU count": str(machine.cpu_count),
        # Machines of one class differ by what their firmware keeps for itself.
        "memory": f"{machine.memory_bytes / 2**30:.0f} GiB",
        "minor version of Python": ".".join(machine.python.split(".")[:2]),
        "file system of the stores": machine.work_filesystem,
        "cores of the arms": str(len(machine.arm_cpus)),
        "sleep of idle cores": "kept off" if machine.idle_polling else "allowed",
    }
    measure = {key: value for key, value in cell.config.get("measure", {}).items() if key not in _FREE_MEASURE}
    if not cell.losses:
        measure = {key: value for key, value in measure.items() if key not in ("ending_calls", "burst_calls")}
    return found | leaves("measure", measure)


def _versions(cell: CellDocument) -> dict[str, str]:
    found = dict(cell.versions)
    found["kernel"] = cell.machine.kernel
    found["runtime"] = cell.runtime or "current"
    tracing = cell.config.get("tracing")
    if isinstance(tracing, dict) and "target" in tracing:
        found[f"strategy of {cell.tracing}"] = str(tracing["target"])
    return found


def _stopped_early(measure: dict[str, Any]) -> bool:
    asks = float(measure.get("precision_ms", 0)) > 0 or float(measure.get("precision_relative", 0)) > 0
    return asks and int(measure.get("max_forks", 0)) > int(measure.get("forks", 0))


def _costs(overhead: _Overhead) -> dict[str, Samples]:
    found: dict[str, Samples] = {}
    hidden = overhead.verdict == "not judged" and overhead.forks >= MIN_FORKS
    for name in COSTS:
        estimate = overhead.estimates.get(name)
        if estimate is None:
            continue
        values = [value for value in estimate.per_fork if value is not None]
        if estimate.value is None or len(values) < len(estimate.per_fork) or not values:
            found[name] = Samples(reason=estimate.reason or "it has no value in every fork")
            continue
        found[name] = Samples(
            per_fork=tuple(values),
            whole=abs(estimate.value) + (estimate.baseline or 0.0),
            reason=overhead.sentence if hidden and name in _LATENCIES else None,
        )
    return found


def _completeness(found: _Completeness, sampled: bool) -> Completeness:
    return Completeness(
        scores={name: getattr(found, name) for name in _SCORES},
        counts={name: getattr(found, name) for name in _COUNTS},
        flows=frozenset(found.judged.flows),
        verdicts={
            convention: {fact: _verdicts(found.judged, row) for fact, row in facts.items()}
            for convention, facts in found.judged.verdicts.items()
        },
        sampled=sampled,
    )


def _verdicts(judged: _Judged, row: str) -> Verdicts:
    by_flow: dict[str, Counter[str]] = {}
    for flow, letter in itertools.zip_longest(judged.flows, row, fillvalue=""):
        if (verdict := judged.letters[letter]) in ("recorded", "elsewhere", "wrong", "missing"):
            by_flow.setdefault(flow, Counter())[verdict] += 1
    return Verdicts(by_flow={flow: dict(counts) for flow, counts in by_flow.items()})
