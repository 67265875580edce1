"""What a cell's run says in MLflow: params, tags and metrics under the names that scripts rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.records import CellRecord
    from harness.results import CellResult, OverheadResult

_VERSION_TAG = "version.{}"
NOTE_TAG = "mlflow.note.content"
PARENT_TAG = "mlflow.parentRunId"
SWEEP_TAG = "harness.sweep_id"
CELL_LABEL = "harness.cell"
SAMPLE_TAG = "harness.sample"
STRATEGY_TAG = "harness.strategy"
PROVIDER_TAG = "harness.provider"
_WHERE = (
    "**Traces**: each call with the verdict on its trace. **Artifacts**: `facts.json` counts the verdicts by fact, "
    "`differences.json` lists what is missing or wrong, `eval_results_table.json` the answers, "
    "`records/` is what was measured. "
    "The verdict over all cells is in the description of the parent run, the sweep."
)
_DRAWN = " **Model metrics**: `block.*` are the latencies of both arms block by block."

MIN_FORKS = 4
WITH_BOUNDS = {
    "p50_ms": "p50_ci_{}_ms",
    "p95_ms": "p95_ci_{}_ms",
    "per_chunk_us": "per_chunk_ci_{}_us",
    "stream_end_p50_ms": "stream_end_p50_ci_{}_ms",
    "sustained_ratio": "sustained_ratio_ci_{}",
    "throughput_ratio": "throughput_ratio_ci_{}",
    "stored_per_s": "stored_ci_{}_per_s",
}
"""Estimates under a load whose interval is logged, too, and under which name."""
LOAD_LATENCIES = (
    "p50_ms",
    "p95_ms",
    "first_chunk_p50_ms",
    "per_chunk_us",
    "stream_end_p50_ms",
    "throughput_per_s",
    "throughput_ratio",
    "sustained_per_s",
    "sustained_ratio",
)
LATENCIES = ("p50_ms", "p95_ms", "p99_ms", "first_chunk_p50_ms", "per_chunk_us", "stream_end_p50_ms")


def cell_params(result: CellResult) -> dict[str, str]:
    """A cell's params under the names that scripts rely on."""
    cell = result.cell
    return {
        "provider": cell.provider,
        "provider.backend": cell.backend,
        "prompts": cell.prompts,
        "tracing": cell.tracing,
        "tracing.style": cell.style,
        "tracing.export": cell.switches,
        "tracing.level": cell.level,
        "tracing.against": cell.against,
        "tracing.into": cell.into,
        "endpoint": cell.endpoint,
        "measure": cell.measure,
        "seed": str(cell.seed),
    }


def cell_tags(result: CellResult) -> dict[str, str]:
    """A cell's tags: what runs are grouped and filtered by, versions, the machine, how it ended, a description."""
    cell = result.cell
    tags = {_VERSION_TAG.format(name): version for name, version in cell.versions.items()}
    machine = cell.machine
    tags |= {
        "machine.cpu_model": machine.cpu_model,
        "machine.cpu_count": str(machine.cpu_count),
        "machine.memory_gib": f"{machine.memory_bytes / 2**30:.1f}",
        "machine.kernel": machine.kernel,
        "machine.work_filesystem": machine.work_filesystem,
        "machine.arm_cpus": ",".join(map(str, machine.arm_cpus)),
        "machine.gateway_cpus": ",".join(map(str, machine.gateway_cpus)),
        STRATEGY_TAG: cell.strategy_label,
        PROVIDER_TAG: cell.provider_label,
        NOTE_TAG: cell_note(result),
        "harness.status": cell.status,
        "harness.prompt_set_digest": cell.prompt_set_digest,
    }
    if cell.runtime:
        tags["harness.runtime"] = cell.runtime
    if result.overhead is not None:
        tags["harness.verdict"] = result.overhead.verdict
    if cell.reason:
        tags["harness.reason"] = cell.reason[:4000]
    return tags


def cell_note(result: CellResult) -> str:
    """A cell's description in a few lines of Markdown: what was found, and where its evidence stands."""
    cell = result.cell
    found = [f"**{_plain(cell.label)}**: {cell.status}" + (f", {_plain(cell.reason)}" if cell.reason else "")]
    if (complete := result.completeness) is not None:
        if complete.recall is not None:
            found.append(
                f"- Completeness: {complete.recall:.1%} of the facts that the wire proves are recorded where "
                f"MLflow looks; {complete.traces_stored} of {complete.traces_expected} traces stored."
            )
        else:
            found.append(
                f"- Completeness: {complete.traces_stored} traces stored, {complete.traces_expected} expected."
            )
    if result.overhead is not None:
        found.append(f"- Cost: {_plain(result.overhead.sentence)}")
    drawn = result.overhead is not None and not hides_latency(result.overhead)
    return "\n".join([*found, "", _WHERE + (_DRAWN if drawn else "")])


def _plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>#|" else one for one in text).replace("\n", " ")


def cell_metrics(result: CellResult) -> dict[str, float]:
    """A cell's metrics under the names that scripts rely on; what was not measured is left out."""
    found: dict[str, float | None] = {}
    if result.completeness is not None:
        complete = result.completeness
        found |= {
            "completeness.recall": complete.recall,
            "completeness.wire_recall": complete.wire_recall,
            "completeness.otel_recall": complete.otel_recall,
            "completeness.fidelity": complete.fidelity,
            "traces.expected": complete.traces_expected,
            "traces.stored": complete.traces_stored,
            "traces.lost": complete.traces_lost,
            "traces.duplicated": complete.traces_duplicated,
            "traces.orphaned": complete.traces_orphaned,
            "transparency.compared": complete.transparency_compared,
            "transparency.differences": None if complete.transparency_compared is None else len(complete.transparency),
        }
        found |= {f"completeness.otel_recall.{level}": share for level, share in complete.otel_recall_by_level.items()}
    found |= _losses(result)
    if result.overhead is not None:
        overhead = result.overhead
        estimates = overhead.estimates
        found["overhead.traces_lost"] = overhead.traces_lost
        hidden = hides_latency(overhead)
        for name, estimate in estimates.items():
            if not (hidden and name in LATENCIES):
                found[f"overhead.{name}"] = estimate.value
        if not hidden and (p50 := estimates.get("p50_ms")) is not None:
            found |= {
                "baseline.p50_ms": p50.baseline,
                "overhead.p50_ci_low_ms": p50.low,
                "overhead.p50_ci_high_ms": p50.high,
                "overhead.p50_ratio": p50.ratio,
                "overhead.p50_ratio_ci_low": p50.ratio_low,
                "overhead.p50_ratio_ci_high": p50.ratio_high,
            }
    found |= _loads(result)
    return {name: float(value) for name, value in found.items() if value is not None}


def hides_latency(overhead: OverheadResult) -> bool:
    """Whether a latency that is not judged (traces lost, store saturated) must not be read by a script either."""
    return overhead.verdict == "not judged" and overhead.forks >= MIN_FORKS


def stage_metrics(cell: CellRecord) -> dict[str, float]:
    """Where a cell's time went: seconds by stage, and the share that is not measuring where anything was timed."""
    found = {f"stages.{name}_s": spent_s for name, spent_s in cell.stages_s.items()}
    if cell.not_measuring_share is not None:
        found["stages.not_measuring_share"] = cell.not_measuring_share
    return found


def _loads(result: CellResult) -> dict[str, float | None]:
    """What tracing costs under each load: ``load.threads_8.p50_ms`` and so on (a name may hold no colon)."""
    found: dict[str, float | None] = {}
    for load in result.loads:
        place = f"load.{load.load.replace(':', '_')}"
        found[f"{place}.traces_lost"] = load.traces_lost
        hidden = load.verdict == "not judged" and load.forks >= MIN_FORKS
        for name, estimate in load.estimates.items():
            if hidden and name in LOAD_LATENCIES:
                continue
            found[f"{place}.{name}"] = estimate.value
            if estimate.baseline is not None:
                found[f"{place}.baseline.{name}"] = estimate.baseline
            if (bounded := WITH_BOUNDS.get(name)) is not None:
                found |= {
                    f"{place}.{bounded.format('low')}": estimate.low,
                    f"{place}.{bounded.format('high')}": estimate.high,
                }
        for step in load.steps:
            offered = "back_to_back" if step.offered_per_s is None else f"{step.offered_per_s:g}_per_s"
            found[f"{place}.{offered}.lost_share"] = step.lost_share.value
            found[f"{place}.{offered}.achieved_per_s"] = step.achieved_per_s.value
    return found


def _losses(result: CellResult) -> dict[str, float]:
    """Traces expected, stored, stored by halves and lost for each way in which a process was ended."""
    found: dict[str, float] = {}
    for loss in result.losses:
        counts = {
            "expected": loss.expected_traces,
            "stored": loss.stored_traces,
            "incomplete": loss.stored_traces - loss.complete_traces,
            "lost": loss.expected_traces - loss.stored_traces,
        }
        for what, count in counts.items():
            key = f"losses.{loss.ending}.{what}"
            found[key] = found.get(key, 0) + count
    return found
