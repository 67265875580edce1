"""Cells as ``cells.json`` has them, read into what the gate compares."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import stdtrit

from harness.config import MeasureConfig
from harness.gate.numbers import Count, Number, Share, check_lost
from harness.gate.runs import (
    FURTHER_KEY,
    KEY,
    LATENCIES,
    Base,
    Completeness,
    GatedCell,
    GatedLoad,
    Lost,
    Samples,
    Verdicts,
    leaves,
)
from harness.overhead.intervals import FIXED_LEVEL, MIN_FORKS, STOPPED_LEVEL

COSTS = (*LATENCIES, "cpu_ms_per_call", "drain_ms_per_trace", "stored_bytes_per_trace")
"""What a cell may cost; the gate judges those of them that are times."""

_COUNTS = ("traces_lost", "traces_duplicated", "traces_orphaned", "transparency_differences")
_SCORES = ("recall", "otel_recall", "fidelity")
_NOT_JUDGED = "not judged"
STRATEGY_OF = "strategy of "
"""Before the name of a strategy: where its class comes from, among the versions."""
_FREE_MEASURE = (
    *("name", "forks", "max_forks", "precision_ms", "precision_relative", "margin_ms", "margin_relative"),
    *("drain_timeout_s", "exit_timeout_s", "losses", "budget_s"),
)
"""Keys of ``measure`` that say how much was measured or how it was judged, not what."""
_ENDING_MEASURE = ("ending_calls", "burst_calls")
"""Those that say how many calls came before a process ended; a saturation takes the latter, too."""


_USUAL_MEASURE = dataclasses.asdict(MeasureConfig())
"""What a document's measure was where it has no such key: it is older than the key, whose default is how it was."""
DROPPED = "dropping traces makes tracing look cheap"


class _Estimate(BaseModel):
    value: Number | None
    forks: Count = 0
    baseline: Number | None = None
    baseline_low: Number | None = None
    baseline_high: Number | None = None
    per_fork: list[Number | None] = Field(default_factory=list)
    reason: str | None = None


class _Timed(BaseModel):
    """What the usual pace and a further load have in common."""

    forks: Count
    calls_per_fork: Count = 0
    estimates: dict[str, _Estimate]
    verdict: str | None
    sentence: str
    traces_expected: Count
    traces_lost: Count
    expected_by_fork: list[Count] = Field(default_factory=list)
    lost_by_fork: list[Count] = Field(default_factory=list)
    failed_calls: Count = 0
    is_floor: bool

    @model_validator(mode="after")
    def _agree(self) -> Self:
        check_lost(self.traces_expected, self.traces_lost, self.expected_by_fork, self.lost_by_fork)
        return self


class _Load(_Timed):
    load: str


class _Judged(BaseModel):
    flows: list[str]
    letters: dict[str, str]
    verdicts: dict[str, dict[str, str]]


class _Completeness(BaseModel):
    recall: Share | None
    otel_recall: Share | None
    fidelity: Share | None
    traces_lost: Count
    traces_duplicated: Count
    traces_orphaned: Count
    transparency_differences: Count | None
    facts_version: int
    judged: _Judged


class _Loss(BaseModel):
    ending: str
    expected_traces: Count
    complete_traces: Count


class _Measure(BaseModel):
    """The keys that the gate computes with; the others are conditions, whatever they are."""

    model_config = ConfigDict(extra="allow")

    forks: Count = 0
    max_forks: Count = 0
    precision_ms: Number = 0.0
    precision_relative: Number = 0.0


class _Config(BaseModel):
    measure: _Measure = Field(default_factory=_Measure)
    endpoint: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    provider: dict[str, Any] = Field(default_factory=dict)
    tracing: dict[str, Any] = Field(default_factory=dict)


class MachineDocument(BaseModel):
    """What of a machine decides whether costs may be compared."""

    cpu_model: str
    cpu_count: int
    memory_bytes: int = Field(ge=0, le=2**60)
    kernel: str
    python: str
    work_filesystem: str = ""
    arm_cpus: list[int] = Field(default_factory=list)
    idle_polling: bool = False


class CellDocument(BaseModel):
    """One cell of ``cells.json``; keys that the gate does not compare are passed over."""

    label: str
    cell_id: str = ""
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
    period_ms: Number | None = None
    expects_traces: bool
    expected_share: Number = 1.0
    config: _Config
    versions: dict[str, str]
    machine: MachineDocument
    prompt_set_digest: str
    completeness: _Completeness | None
    losses: list[_Loss] = Field(default_factory=list)
    overhead: _Timed | None
    loads: list[_Load] = Field(default_factory=list)


class SweepDocument(BaseModel):
    """``cells.json``."""

    schema_version: int
    sweep_id: str
    cells: list[CellDocument]


def gated_cell(cell: CellDocument) -> GatedCell:
    """What the gate compares of one cell."""
    overhead, measure = cell.overhead, cell.config.measure
    machine = machine_conditions(cell.machine)
    asks_precision = measure.precision_ms > 0 or measure.precision_relative > 0
    stopped_early = asks_precision and measure.max_forks > measure.forks
    return GatedCell(
        key={name: str(getattr(cell, name)) for name in (*KEY, *FURTHER_KEY)},
        label=_label(cell),
        cell_id=cell.cell_id,
        status=cell.status,
        reason=cell.reason,
        conditions=_conditions(cell),
        cost_conditions=_cost_conditions(cell, machine),
        ending_conditions=machine | _of_measure(measure, _ENDING_MEASURE),
        environment=leaves("environment", cell.config.environment),
        versions=_versions(cell),
        is_baseline=not cell.expects_traces if overhead is None else overhead.is_floor,
        costs={} if overhead is None else _costs(overhead, STOPPED_LEVEL if stopped_early else FIXED_LEVEL),
        period_ms=cell.period_ms,
        stopped_early=stopped_early,
        completeness=None if cell.completeness is None else _completeness(cell.completeness, cell.expected_share < 1),
        timed=None if overhead is None else _lost(overhead),
        failed=None if overhead is None else _failed(overhead),
        # A saturation goes on until traces are lost.
        loads={
            one.load: GatedLoad(costs=_costs(one, FIXED_LEVEL), timed=_lost(one), failed=_failed(one))
            for one in cell.loads
            if one.verdict is not None
        },
        endings={
            # Half a trace, of which one of MLflow's two writes arrived, is lost here as it is among timed ones.
            one.ending: Lost(one.expected_traces, max(0, one.expected_traces - one.complete_traces))
            for one in cell.losses
        },
    )


def machine_conditions(machine: MachineDocument) -> dict[str, str]:
    """The class of a machine: costs are compared where all of this is equal."""
    return {
        "CPU model": machine.cpu_model,
        "CPU count": str(machine.cpu_count),
        # Machines of one class differ by what their firmware keeps for itself.
        "memory": f"{machine.memory_bytes / 2**30:.0f} GiB",
        "file system of the stores": machine.work_filesystem,
        "cores of the arms": str(len(machine.arm_cpus)),
        "sleep of idle cores": "kept off" if machine.idle_polling else "allowed",
    }


def python_minor(version: str) -> str:
    """``3.11`` of ``3.11.9``."""
    return ".".join(version.split(".")[:2])


def _label(cell: CellDocument) -> str:
    """The record's own, with what else a cell is matched by where that is not as usual."""
    usual = {"prompts": "", "endpoint": "simulator", "level": "exported", "against": "untraced", "into": "sqlite"}
    further = [str(getattr(cell, name)) for name, value in usual.items() if str(getattr(cell, name)) != value]
    return f"{cell.label} ({', '.join(further)})" if further else cell.label


def _conditions(cell: CellDocument) -> dict[str, str]:
    found = {f"prompt-set digest of {cell.prompts}": cell.prompt_set_digest, "seed": str(cell.seed)}
    if "model" in cell.config.provider:
        found[f"model of {cell.provider}"] = str(cell.config.provider["model"])
    # Where recordings lie does not matter: the samples that come from them are in the digest.
    endpoint = {key: value for key, value in cell.config.endpoint.items() if key not in ("path", "name")}
    found |= leaves("endpoint", endpoint)
    if cell.completeness is not None and cell.completeness.judged.flows:
        found["version of the facts"] = str(cell.completeness.facts_version)
    return found


def _cost_conditions(cell: CellDocument, machine: dict[str, str]) -> dict[str, str]:
    for_endings = _ENDING_MEASURE[:1] if cell.loads else _ENDING_MEASURE
    names = [name for name in _given(cell.config.measure) if name not in (*_FREE_MEASURE, *for_endings)]
    return {
        "measure": cell.measure,
        **machine,
        # The workers': those of a runtime of its own have another one than the harness.
        "minor version of Python": python_minor(cell.versions.get("python", cell.machine.python)),
        **_of_measure(cell.config.measure, names),
    }


def _of_measure(measure: _Measure, names: list[str] | tuple[str, ...]) -> dict[str, str]:
    given = _given(measure)
    return leaves("measure", {name: given[name] for name in names if name in given})


def _given(measure: _Measure) -> dict[str, Any]:
    return _USUAL_MEASURE | (measure.model_extra or {})


def _versions(cell: CellDocument) -> dict[str, str]:
    found = dict(cell.versions)
    found["kernel"] = cell.machine.kernel
    found["runtime"] = cell.runtime or "current"
    if "target" in cell.config.tracing:
        found[STRATEGY_OF + cell.tracing] = str(cell.config.tracing["target"])
    return found


def _lost(timed: _Timed) -> Lost:
    by_fork = tuple(zip(timed.expected_by_fork, timed.lost_by_fork, strict=False))
    return Lost(timed.traces_expected, timed.traces_lost, by_fork)


def _failed(timed: _Timed) -> Lost:
    """Calls of both arms that raised, of those that were analysed or raised."""
    return Lost(2 * timed.forks * timed.calls_per_fork + timed.failed_calls, timed.failed_calls)


def _costs(timed: _Timed, level: float) -> dict[str, Samples]:
    """Costs by name; ``level`` is that of the intervals' t quantile."""
    found: dict[str, Samples] = {}
    hidden = _is_hidden(timed)
    lost = f"{timed.traces_lost} traces were lost, and {DROPPED}" if timed.traces_lost else None
    for name in COSTS:
        estimate = timed.estimates.get(name)
        if estimate is None:
            continue
        values = [value for value in estimate.per_fork if value is not None]
        if estimate.value is None or len(values) < len(estimate.per_fork) or not values:
            found[name] = Samples(reason=estimate.reason or "it has no value in every fork")
            continue
        found[name] = Samples(
            per_fork=tuple(values),
            whole=abs(estimate.value) + (estimate.baseline or 0.0),
            added=abs(estimate.value),
            base=_base(estimate, level),
            reason=timed.sentence if hidden and name in LATENCIES else None,
            looks_cheap=lost,
        )
    return found


def _is_hidden(timed: _Timed) -> bool:
    """Whether latencies were not judged for more than lost traces, which make them look small and never large."""
    if timed.verdict != _NOT_JUDGED or timed.forks < MIN_FORKS:
        return False
    of_loss = f"{timed.traces_lost} of {timed.traces_expected} traces were lost"
    clauses = timed.sentence.removeprefix(f"{_NOT_JUDGED}: ").split("; ")
    return not timed.traces_lost or any(not clause.startswith(of_loss) for clause in clauses)


def _base(estimate: _Estimate, level: float) -> Base | None:
    if estimate.baseline is None:
        return None
    low, high, freedom = estimate.baseline_low, estimate.baseline_high, estimate.forks - 1
    if low is None or high is None or freedom < 1:
        return Base(estimate.baseline)
    return Base(estimate.baseline, ((high - low) / 2 / float(stdtrit(freedom, (1 + level) / 2))) ** 2, freedom)


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
    by_flow: dict[str, list[str]] = {}
    for flow, letter in itertools.zip_longest(judged.flows, row, fillvalue=""):
        verdict = judged.letters[letter]
        applies = verdict in ("recorded", "elsewhere", "wrong", "missing")
        by_flow.setdefault(flow, []).append(verdict if applies else "")
    return Verdicts(by_flow={flow: tuple(requests) for flow, requests in by_flow.items()})
