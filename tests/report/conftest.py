"""Sweeps made by hand: nine cells with everything that a report has to cope with."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

from harness.records import CellRecord, Loss, Machine, NotApplicable
from harness.results import (
    CellResult,
    CompletenessResult,
    DefectFinding,
    Estimate,
    FactCount,
    Judgement,
    Latencies,
    OverheadResult,
    RowScore,
    SweepResult,
    TransparencyFinding,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = "<script>alert('from a prompt')</script>"
FAILED_REASON = "The worker ended with signal 9 | after 12 of 40 calls <killed>."
NO_EMBEDDINGS = "langchain has no embeddings <here>"
NO_RESPONSES = "the mistralai SDK has no Responses API"
START_NS = 1_772_373_900_000_000_000
CALLS = 40

# Recorded, elsewhere, wrong and missing of 40 calls, and a wire value, for each fact.
Counts = tuple[int, int, int, int]
AUTOLOG: dict[str, tuple[Counts, Any]] = {
    "trace.one_per_call": ((40, 0, 0, 0), 1),
    "trace.one_root": ((40, 0, 0, 0), 1),
    "request.model": ((40, 0, 0, 0), "gpt-4o-mini"),
    "request.messages": ((40, 0, 0, 0), [{"role": "user", "content": SCRIPT}]),
    "request.temperature": ((30, 0, 0, 0), 0.2),
    "request.max_tokens": ((0, 40, 0, 0), 64),
    "response.model": ((38, 0, 2, 0), "gpt-4o-mini-2024-07-18"),
    "response.content": ((40, 0, 0, 0), "Paris is the capital of France."),
    "response.finish_reason": ((24, 0, 0, 16), "stop"),
    "response.id": ((32, 8, 0, 0), "chatcmpl-8a1f"),
    "usage.input_tokens": ((40, 0, 0, 0), 27),
    "usage.output_tokens": ((37, 0, 3, 0), 112),
    "usage.cached_tokens": ((0, 0, 0, 12), 1024),
    "stream.time_to_first_token": ((0, 16, 0, 0), 41.8),
    "error.message": ((3, 0, 0, 1), f"Rate limit reached | retry {SCRIPT}"),
}
MANUAL: dict[str, tuple[Counts, Any]] = {
    fact: ((0, 0, 0, sum(counts)) if fact.startswith(("usage", "response.model", "response.id")) else counts, wire)
    for fact, (counts, wire) in AUTOLOG.items()
}


class Spec(NamedTuple):
    """What a cell is to be: traced how, with which cost, and what is the matter with it."""

    provider: str
    tracing: str
    style: str = ""
    added_ms: float = 0.0
    forks: int = 8
    lost: int = 0
    failed: bool = False
    backend: str = ""


SPECS = (
    Spec("openai", "none", added_ms=0.01),
    Spec("openai", "manual", "decorator/plain", added_ms=3.1),
    Spec("openai", "autolog", added_ms=4.1),
    Spec("mistralai", "none", added_ms=-0.02),
    Spec("mistralai", "manual", "wrapper/careful", added_ms=4.6, lost=3),
    Spec("mistralai", "autolog", added_ms=5.3, forks=3),
    Spec("langchain", "none", added_ms=0.03, backend="openai"),
    Spec("langchain", "manual", "context/plain", failed=True, backend="openai"),
    Spec("langchain", "autolog", added_ms=7.9, backend="openai"),
)


def machine(**changes: Any) -> Machine:
    """The machine of all cells, unless told otherwise."""
    values: dict[str, Any] = {
        "hostname": "bench-1",
        "cpu_model": "AMD EPYC 7B13",
        "cpu_count": 2,
        "memory_bytes": 8_340_000_000,
        "kernel": "Linux 6.1.0",
        "python": "3.11.9",
        "load_1min": 0.12,
        "arm_cpus": (0,),
        "gateway_cpus": (1,),
    }
    return Machine(**(values | changes))


def cell_record(spec: Spec, index: int, **changes: Any) -> CellRecord:
    """The record of a cell."""
    values: dict[str, Any] = {
        "cell_id": f"c{index:02d}",
        "sweep_id": "7f3a",
        "provider": spec.provider,
        "backend": spec.backend or spec.provider,
        "prompts": "chat",
        "tracing": spec.tracing,
        "style": spec.style,
        "endpoint": "simulator",
        "measure": "quick",
        "seed": 20240917,
        "strategy_source": f"# {spec.tracing} {spec.style} <for> {spec.provider}\n" if spec.tracing != "none" else "",
        "expects_traces": spec.tracing != "none",
        "config": {"measure": {"name": "quick", "timing": True, "period_ms": 40.0}, "sweep": {"index": index}},
        "versions": {"python": "3.11.9", "mlflow": "3.17.2", "openai": "3.54.0", "httpx": "0.28.1"},
        "machine": machine(),
        "prompt_set_digest": "3b1f" * 16,
        "sample_count": 20,
        "period_ms": 40.0,
        "started_unix_ns": START_NS + index * 90_000_000_000,
        "ended_unix_ns": START_NS + (index + 1) * 90_000_000_000,
        "status": "failed" if spec.failed else "ok",
        "reason": FAILED_REASON if spec.failed else None,
    }
    return CellRecord(**(values | changes))


def _judgements(facts: dict[str, tuple[Counts, Any]], index: int, lost: int) -> Iterator[Judgement]:
    verdicts: tuple[Verdict, ...] = ("recorded", "elsewhere", "wrong", "missing")
    for fact, (counts, wire) in facts.items():
        outcomes = [verdict for verdict, number in zip(verdicts, counts, strict=True) for _ in range(number)]
        for call, outcome in enumerate(outcomes):
            is_lost = call >= len(outcomes) - lost
            verdict: Verdict = "missing" if is_lost else outcome
            yield Judgement(
                call_id=f"c{index:02d}/completeness/0/strategy/{call}/geo-{call % 20:02d}",
                sample_id=f"geo-{call % 20:02d}",
                fact=fact,
                convention="mlflow",
                verdict=verdict,
                wire=wire,
                traced={"wrong": f"not {wire}", "missing": None}.get(verdict, wire),
                place=f"span.attributes[mlflow.{fact}]",
                trace_id=None if is_lost else f"tr-{index:02d}{call:030x}",
            )


def _counts(judgements: tuple[Judgement, ...]) -> tuple[FactCount, ...]:
    tally: dict[str, dict[str, int]] = {}
    for judgement in judgements:
        fact = tally.setdefault(judgement.fact, {"recorded": 0, "elsewhere": 0, "wrong": 0, "missing": 0})
        fact[judgement.verdict] += 1
    return tuple(FactCount(fact=fact, convention="mlflow", **counts) for fact, counts in tally.items())


def completeness(spec: Spec, index: int) -> CompletenessResult:
    """What was found about the cell's traces; the scores follow from the counts."""
    if spec.tracing == "none":
        reason = "The strategy traces nothing, so no fact applies."
        return CompletenessResult(
            calls=CALLS,
            traces_expected=0,
            traces_stored=0,
            traces_lost=0,
            traces_duplicated=0,
            traces_orphaned=0,
            recall=None,
            otel_recall=None,
            fidelity=None,
            reasons={"recall": reason, "otel_recall": reason, "fidelity": reason},
            facts=(),
            judgements=(),
        )
    table = AUTOLOG if spec.tracing == "autolog" else MANUAL
    judgements = tuple(_judgements(table, index, spec.lost))
    facts = _counts(judgements)
    total = {name: sum(getattr(fact, name) for fact in facts) for name in ("recorded", "elsewhere", "wrong", "missing")}
    found = total["recorded"] + total["elsewhere"] + total["wrong"]
    otel = tuple(
        FactCount(fact=fact.fact, convention="otel", recorded=0, elsewhere=fact.recorded, wrong=0, missing=fact.missing)
        for fact in facts
    )
    return CompletenessResult(
        calls=CALLS,
        traces_expected=CALLS,
        traces_stored=CALLS - spec.lost,
        traces_lost=spec.lost,
        traces_duplicated=0,
        traces_orphaned=1 if spec.lost else 0,
        recall=total["recorded"] / (found + total["missing"]),
        wire_recall=total["recorded"] / (found + total["missing"]),
        otel_recall=0.0,
        fidelity=1 - total["wrong"] / found,
        reasons={},
        facts=facts + otel,
        judgements=judgements,
        notes=("Two model spans of sample geo-07 could not be told apart.",) if spec.provider == "langchain" else (),
    )


def _estimate(name: str, unit: str, value: float, spec: Spec, *, wobble: float, baseline: float | None) -> Estimate:  # noqa: PLR0913 - as many as an estimate has
    dice = random.Random(f"{name}{spec.provider}{spec.tracing}")
    per_fork = tuple(value + dice.gauss(0, wobble) for _ in range(spec.forks))
    mean = sum(per_fork) / len(per_fork)
    enough = spec.forks >= 4
    return Estimate(
        name=name,
        unit=unit,
        value=mean,
        low=mean - wobble if enough else None,
        high=mean + wobble if enough else None,
        forks=spec.forks,
        per_fork=per_fork,
        baseline=baseline,
        reason=None if enough else f"Under 4 forks there is no interval; there were {spec.forks}.",
    )


def overhead(spec: Spec) -> OverheadResult:
    """What the cell's timing found."""
    added, traced = spec.added_ms, spec.tracing != "none"
    estimates = {
        "p50_ms": _estimate("p50_ms", "ms", added, spec, wobble=0.08 if not traced else 0.35, baseline=1.52),
        "p95_ms": _estimate("p95_ms", "ms", added * 1.4, spec, wobble=0.6, baseline=2.2),
        "p99_ms": Estimate(
            name="p99_ms",
            unit="ms",
            value=None,
            low=None,
            high=None,
            forks=spec.forks,
            reason="Under 500 calls a fork there is no p99; there were 60.",
        ),
        "cpu_ms_per_call": _estimate("cpu_ms_per_call", "ms", added * 5.5, spec, wobble=1.1, baseline=1.4),
        "peak_memory_mib": _estimate("peak_memory_mib", "MiB", 92.0 * traced, spec, wobble=2.0, baseline=61.0),
    }
    if traced:
        estimates["drain_ms_per_trace"] = _estimate("drain_ms_per_trace", "ms", 23.4, spec, wobble=1.7, baseline=None)
        estimates["stored_bytes_per_trace"] = _estimate(
            "stored_bytes_per_trace", "bytes", 12_345.0, spec, wobble=140.0, baseline=None
        )
    judged = spec.forks >= 4 and not spec.lost
    return OverheadResult(
        forks=spec.forks,
        calls_per_fork=60,
        estimates=estimates,
        verdict="not judged" if not judged else "slower" if traced else "equivalent",
        sentence="No verdict: see the reasons." if not judged else "Slower." if traced else "Equivalent within 0.5 ms.",
        smallest_effect_ms=(0.35 if traced else 0.08) if spec.forks >= 4 else None,
        equivalence_margin_ms=0.5,
        traces_expected=480 * traced,
        traces_lost=spec.lost,
        drain_rate_per_s=42.0 if traced else None,
        load_rate_per_s=25.0,
        flagged_calls=96,
        failed_calls=0,
        is_floor=not traced,
    )


def _latencies(spec: Spec) -> tuple[Latencies, ...]:
    dice = random.Random(f"{spec.provider}{spec.tracing}")
    return tuple(
        Latencies(
            fork=fork,
            arm=arm,
            latency_ms=tuple(
                1.5 * dice.lognormvariate(0, 0.18) + (spec.added_ms * dice.lognormvariate(0, 0.1)) * (arm == "strategy")
                for _ in range(60)
            ),
        )
        for fork in range(spec.forks)
        for arm in ("baseline", "strategy")
    )


def cell_result(spec: Spec, index: int, **changes: Any) -> CellResult:
    """One cell with everything; a failed one has nothing but its reason."""
    record = cell_record(spec, index, **changes)
    if spec.failed:
        return CellResult(cell=record, run_id=None, completeness=None, overhead=None)
    rows = tuple(
        RowScore(
            sample_id=f"geo-{call:02d}",
            prompt=SCRIPT,
            output="Paris",
            expected="Paris" if call % 2 else None,
            exact_match=1.0 if call % 2 else None,
            token_overlap=1.0 if call % 2 else None,
            latency_ms=6.0,
            error=None,
            trace_id=None,
        )
        for call in range(4)
    )
    return CellResult(
        cell=record,
        run_id=f"{index:032x}",
        completeness=completeness(spec, index),
        overhead=overhead(spec),
        rows=rows,
        latencies=_latencies(spec),
    )


def sweep_of(cells: tuple[CellResult, ...], **changes: Any) -> SweepResult:
    """A sweep of cells."""
    values: dict[str, Any] = {
        "sweep_id": "7f3a",
        "command": "harness -m provider=openai,mistralai,langchain tracing=none,manual,autolog",
        "cells_expected": len(cells),
        "cells": cells,
        "floors_ms": {},
        "started_unix_ns": START_NS,
        "ended_unix_ns": START_NS + 810_000_000_000,
    }
    return SweepResult(**(values | changes))


class MakeSweep(Protocol):
    """Makes a sweep of specs; ``changes`` go to the sweep, ``records`` to the cells by their number from 1."""

    def __call__(
        self, specs: tuple[Spec, ...] = ..., records: dict[int, dict[str, Any]] | None = None, **changes: Any
    ) -> SweepResult:
        """Make one."""


def build(
    specs: tuple[Spec, ...] = SPECS, records: dict[int, dict[str, Any]] | None = None, **changes: Any
) -> SweepResult:
    """A sweep of these specs."""
    own = records or {}
    return sweep_of(
        tuple(cell_result(spec, index, **own.get(index, {})) for index, spec in enumerate(specs, start=1)), **changes
    )


def transparency(index: int) -> tuple[TransparencyFinding, ...]:
    """Two calls of a cell that tracing changed, one of them in two ways and without a trace."""
    call = f"c{index:02d}/completeness/0/strategy/{{}}/{{}}/0"
    return (
        TransparencyFinding(
            call_id=call.format(1, "geo-01"),
            sample_id="geo-01",
            scenario="time-out",
            aspect="exception",
            without=f"builtins.TimeoutError {SCRIPT}",
            with_tracing=None,
        ),
        TransparencyFinding(
            call_id=call.format(1, "geo-01"),
            sample_id="geo-01",
            scenario="time-out",
            aspect="outcome",
            without="error",
            with_tracing="ok",
        ),
        TransparencyFinding(
            call_id=call.format(2, "geo-02"),
            sample_id="geo-02",
            scenario="stream",
            aspect="chunks",
            place="chunks[3]",
            without='{"delta": "Par"}',
            with_tracing='{"delta": "P"}',
            trace_id="tr-chunks",
        ),
    )


def defects() -> tuple[DefectFinding, ...]:
    """A defect that was found, and one that is mended."""
    return (
        DefectFinding(
            defect="openai_finish_reason",
            title=f'The finish reason is "stop" where the wire said "length" {SCRIPT}',
            versions="mlflow 3.17.2",
            status="found",
            calls=3,
            applicable=4,
            call_id="c",
            sample_id="geo-03",
            trace_id="tr-finish",
            wire="length",
            traced="stop",
        ),
        DefectFinding(
            defect="embeddings_usage",
            title="The usage of embeddings is not lifted to the trace",
            versions="mlflow 3.17.2",
            status="mended",
            calls=0,
            applicable=2,
            sample_id="geo-04",
            trace_id="tr-usage",
            wire=8,
            traced=8,
        ),
    )


def losses(expects: int = 10) -> tuple[Loss, ...]:
    """A clean end, and one that loses what was queued."""
    told: dict[str, Any] = {"calls": 10, "expected_traces": expects, "sent_per_s": 512.0}
    return (
        Loss(ending="normal", stored_traces=expects, complete_traces=expects, exit_status=0, **told),
        Loss(ending="os._exit", stored_traces=expects and 4, complete_traces=expects and 3, exit_status=0, **told),
    )


def with_findings(cell: CellResult, index: int) -> CellResult:
    """The cell with everything that the scenarios of completeness may find."""
    found = cell.completeness
    assert found is not None
    scenarios = ("plain", "stream", "tool turn")
    judgements = tuple(one._replace(scenario=scenarios[number % 3]) for number, one in enumerate(found.judgements))
    update = {
        "judgements": judgements,
        "transparency": transparency(index),
        "transparency_compared": 38,
        "defects": defects(),
        "otel_recall_by_level": {"required": 1.0, "recommended": 0.25},
    }
    return cell.model_copy(update={"completeness": found.model_copy(update=update), "losses": losses()})


@pytest.fixture(scope="session")
def scenario_sweep() -> SweepResult:
    """The nine cells; the third and sixth with all that scenarios find, the ninth not applicable, the fifth partly."""
    nine = build(
        records={
            5: {
                "not_applicable": tuple(
                    NotApplicable(sample_id=f"emb-{number}", scenario="embeddings", reason=NO_EMBEDDINGS)
                    for number in range(2)
                )
            },
            9: {"status": "not applicable", "reason": NO_RESPONSES},
        }
    )
    cells = list(nine.cells)
    for number in (3, 6):
        cells[number - 1] = with_findings(cells[number - 1], number)
    cells[0] = cells[0].model_copy(update={"losses": losses(0)})
    cells[8] = cells[8].model_copy(update={"completeness": None, "overhead": None, "rows": (), "latencies": ()})
    return nine.model_copy(update={"cells": tuple(cells)})


@pytest.fixture(name="make_sweep")
def make_sweep_fixture() -> MakeSweep:
    """The factory."""
    return build


@pytest.fixture(scope="session")
def sweep() -> SweepResult:
    """Nine cells: three providers, each with none, manual and autolog; one failed, one lost traces, one had 3 forks."""
    return build()


@pytest.fixture
def other_machine() -> dict[str, Any]:
    """Changes that put a cell on another machine."""
    return {"machine": machine(hostname="bench-2", cpu_model="Intel Xeon 8488C")}


@pytest.fixture
def many_specs() -> tuple[Spec, ...]:
    """Six strategies and a baseline of one provider."""
    styles = ("decorator/plain", "decorator/careful", "wrapper/plain", "wrapper/careful", "context/plain")
    manual = tuple(Spec("openai", "manual", style, added_ms=4.0 - index / 2) for index, style in enumerate(styles))
    return (Spec("openai", "none"), *manual, Spec("openai", "autolog", added_ms=4.4))
