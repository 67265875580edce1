"""From a cell's records to everything that was found out about it: pure, and the same each time."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

from harness.completeness import judge_cell
from harness.config import measure_of
from harness.errors import CellError
from harness.overhead import analyse, corrected, floors, latencies, step_sums, upgrades
from harness.overhead.loads import analyse_loads
from harness.results import (
    CellResult,
    CompletenessResult,
    CorrectedVerdict,
    LoadResult,
    OverheadResult,
    RowScore,
    SweepResult,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.records import Call, CellRecords

_TOKEN = re.compile(r"\w+", re.UNICODE)


def analyse_cell(records: CellRecords, run_id: str | None = None) -> CellResult:
    """Judge completeness and estimate overhead from what the cell recorded.

    A part that the records cannot support is ``None``; if the cell was thought to be well, it
    becomes a failed one with the reason.
    """
    completeness: CompletenessResult | None = None
    overhead: OverheadResult | None = None
    loads: tuple[LoadResult, ...] = ()
    cell = records.cell
    try:
        if records.calls and cell.completeness_done:
            completeness = judge_cell(records)
        if records.arms:
            overhead = analyse(records, measure_of(cell.config))
        loads = analyse_loads(records, measure_of(cell.config))
    except CellError as error:
        if cell.status == "ok":
            cell = cell.model_copy(update={"status": "failed", "reason": str(error)})
    return CellResult(
        cell=cell,
        run_id=run_id,
        completeness=completeness,
        overhead=overhead,
        losses=records.losses,
        rows=tuple(score_rows(records)),
        latencies=latencies(records) if overhead is not None else (),
        loads=loads,
    )


def score_rows(records: CellRecords) -> Iterable[RowScore]:
    """One row a call of the completeness pass, scored against the expected answer where there is one."""
    trace_of = {trace.call_id: trace.trace_id for trace in reversed(records.traces) if trace.call_id is not None}
    for call in records.calls_of("strategy"):
        yield RowScore(
            sample_id=call.sample_id,
            prompt=call.prompt,
            output=call.text,
            expected=call.expected,
            exact_match=_exact_match(call),
            token_overlap=_token_overlap(call),
            latency_ms=(call.end_ns - call.start_ns) / 1e6,
            error=None if call.error_type is None else f"{call.error_type}: {call.error_message}",
            trace_id=trace_of.get(call.call_id),
        )


def _exact_match(call: Call) -> float | None:
    if call.expected is None:
        return None
    return float((call.text or "").strip() == call.expected.strip())


def _token_overlap(call: Call) -> float | None:
    """F1 of the two bags of lower-cased word tokens, as in SQuAD's evaluation script."""
    if call.expected is None:
        return None
    said, wanted = (Counter(_TOKEN.findall(text.lower())) for text in (call.text or "", call.expected))
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (said & wanted).total() / (said.total() + wanted.total())


def floors_of(result: CellResult, cells: Iterable[CellResult]) -> dict[str, float]:
    """The A/A noise floors that a cell may be held against, by quantity: of its provider, under its conditions.

    Each is the largest where several cells apply; what none has is not there.
    """
    found: dict[str, float] = {}
    for other in cells:
        if other.overhead is not None and _conditions(other) == _conditions(result):
            for name, floor in floors(other.overhead).items():
                found[name] = max(floor, found.get(name, 0.0))
    return found


def _conditions(result: CellResult) -> tuple[str, ...]:
    """What has to be equal for a floor to mean anything."""
    cell = result.cell
    shaping = {key: cell.config.get(key) for key in ("provider", "endpoint", "measure", "runtime")}
    machine = cell.machine.model_copy(update={"load_1min": 0.0})
    parts = (shaping, cell.versions, machine.model_dump(), cell.prompt_set_digest, cell.seed)
    return tuple(json.dumps(part, sort_keys=True, default=str) for part in parts)


def floors_by_provider(cells: Iterable[CellResult]) -> dict[str, dict[str, float]]:
    """The A/A noise floors of each provider whose ``tracing=none`` cells ran under one set of conditions."""
    all_cells = tuple(cells)
    found: dict[str, list[dict[str, float]]] = {}
    for result in all_cells:
        if result.overhead is not None and result.overhead.is_floor:
            own = floors_of(result, all_cells)
            of_provider = found.setdefault(floor_key(result), [])
            if own and own not in of_provider:
                of_provider.append(own)
    return {key: sets[0] for key, sets in found.items() if len(sets) == 1}


def floor_key(result: CellResult) -> str:
    """What a floor belongs to: the provider with its backend, in its runtime."""
    cell = result.cell
    provider = cell.provider if cell.backend in ("", cell.provider) else f"{cell.provider} ({cell.backend})"
    return f"{provider} on {cell.runtime}" if cell.runtime else provider


def summarise(  # noqa: PLR0913  # the parts of a sweep, each named
    *,
    sweep_id: str,
    command: str,
    cells: Iterable[CellResult],
    cells_expected: int,
    started_unix_ns: int,
    ended_unix_ns: int,
) -> SweepResult:
    """Put the cells of a sweep together."""
    found = tuple(cells)
    by_provider = floors_by_provider(found)
    of_cells, of_loads = _corrected(found)
    return SweepResult(
        sweep_id=sweep_id,
        command=command,
        cells_expected=cells_expected,
        cells=found,
        steps=step_sums(found),
        upgrades=upgrades(found),
        floors_ms={key: own["p50_ms"] for key, own in by_provider.items() if "p50_ms" in own},
        floors=by_provider,
        corrections=of_cells,
        load_corrections=of_loads,
        started_unix_ns=started_unix_ns,
        ended_unix_ns=ended_unix_ns,
    )


def _corrected(
    cells: Iterable[CellResult],
) -> tuple[dict[str, CorrectedVerdict], dict[str, dict[str, CorrectedVerdict]]]:
    """All verdicts of a sweep held together: those of cells by cell, those under loads by cell and load."""
    judged: dict[tuple[str, str], OverheadResult | LoadResult] = {}
    for one in cells:
        if one.overhead is not None:
            judged[one.cell.cell_id, ""] = one.overhead
        judged |= {(one.cell.cell_id, load.load): load for load in one.loads}
    of_cells: dict[str, CorrectedVerdict] = {}
    of_loads: dict[str, dict[str, CorrectedVerdict]] = {}
    for (cell_id, load), verdict in corrected(judged).items():
        if load:
            of_loads.setdefault(cell_id, {})[load] = verdict
        else:
            of_cells[cell_id] = verdict
    return of_cells, of_loads
