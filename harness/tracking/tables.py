"""Tables in the form that MLflow's UI shows as tables, and compares between runs by a column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.report.differences import difference_table
from harness.report.format import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.results import CellResult, CompletenessResult, FactCount, SweepResult

TABLES_TAG = "mlflow.loggedArtifacts"
"""By this tag of a run MLflow's UI knows which of its artifacts are tables."""

FACTS_FILE = "facts.json"
DIFFERENCES_FILE = "differences.json"
SWEEP_FILE = "cells_table.json"

Table = dict[str, list[Any]]


def table_text(table: Mapping[str, Sequence[Any]]) -> str:
    """A table as the JSON that ``MlflowClient.log_table`` writes; unlike it this replaces what was there."""
    rows = [list(row) for row in zip(*table.values(), strict=True)]
    return json.dumps({"columns": list(table), "data": rows}, ensure_ascii=False, allow_nan=False)


def tables_tag(files: Sequence[str]) -> str:
    """The value of the tag that names a run's tables."""
    return json.dumps([{"path": file, "type": "table"} for file in files])


def cell_tables(result: CellResult) -> dict[str, Mapping[str, Sequence[Any]]]:
    """The tables of a cell by the name of their file; one that would be empty is not there."""
    if result.completeness is None:
        return {}
    found = {FACTS_FILE: fact_table(result.completeness), DIFFERENCES_FILE: difference_table(result.completeness)}
    return {file: table for file, table in found.items() if table is not None}


def fact_table(completeness: CompletenessResult) -> Table | None:
    """How each fact fared, one row a fact, convention and level; ``None`` if nothing was judged.

    The first column is the same in every cell, so that the UI can hold several cells against each other by it; the
    second says everything in words.
    """
    if not completeness.facts:
        return None
    facts = completeness.facts
    return {
        "fact": [" ".join(filter(None, (one.convention, one.level, one.fact))) for one in facts],
        "verdicts": [_verdicts(one) for one in facts],
        "recorded": [one.recorded for one in facts],
        "elsewhere": [one.elsewhere for one in facts],
        "wrong": [one.wrong for one in facts],
        "missing": [one.missing for one in facts],
    }


def _verdicts(fact: FactCount) -> str:
    parts = {name: getattr(fact, name) for name in ("recorded", "elsewhere", "wrong", "missing")}
    total = sum(parts.values())
    found = [
        name if number == total else f"{number} of {count(total, 'call')} {name}"
        for name, number in parts.items()
        if number
    ]
    return ", ".join(found) or "not applicable"


def sweep_table(sweep: SweepResult) -> Table | None:
    """One row a cell with its scores, its cost and their bounds; ``None`` without cells."""
    if not sweep.cells:
        return None
    rows = [_cell_row(result) for result in sweep.cells]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _found(result: CellResult) -> str:
    """What there is to say of a cell, in a few words."""
    complete, overhead = result.completeness, result.overhead
    said = [] if complete is None or complete.recall is None else [f"recall {complete.recall:.1%}"]
    return "; ".join([*said, *([overhead.sentence] if overhead is not None else [])]) or result.cell.status


def _cell_row(result: CellResult) -> dict[str, Any]:
    """A cell's row; what was not measured is null."""
    cell, complete, overhead = result.cell, result.completeness, result.overhead
    added = None if overhead is None else overhead.estimates.get("p50_ms")
    if overhead is not None and overhead.verdict == "not judged":
        added = None
    return {
        # MLflow's UI sets out with the first two columns: which row it is, and what to show of it.
        "cell": cell.label,
        "found": _found(result),
        "provider": cell.provider_label,
        "strategy": cell.strategy_label,
        "runtime": cell.runtime,
        "prompts": cell.prompts,
        "endpoint": cell.endpoint,
        "status": cell.status,
        "recall": complete and complete.recall,
        "otel_recall": complete and complete.otel_recall,
        "fidelity": complete and complete.fidelity,
        "traces_stored": complete and complete.traces_stored,
        "traces_expected": complete and complete.traces_expected,
        "verdict": overhead and overhead.verdict,
        "added_p50_ms": added and added.value,
        "added_p50_low_ms": added and added.low,
        "added_p50_high_ms": added and added.high,
        "baseline_p50_ms": added and added.baseline,
        "run_id": result.run_id,
    }
