"""The cells of a sweep for programs: what each was, how it ended, and every number."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from harness.report.letters import verdict_letters

if TYPE_CHECKING:
    from harness.results import CellResult, CompletenessResult, SweepResult

CELLS_SCHEMA_VERSION = 2
"""History: 1, the first; 2, ``judged`` (the verdict on each fact of each request) and ``facts_version``."""

_PLACES = ("sweep", "store")
"""Groups of the configuration that say where a sweep was run, not what was measured."""


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity; both become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return value


def _completeness(found: CompletenessResult) -> dict[str, Any]:
    """Scores and counts without anything that was said in a call."""
    scores: dict[str, Any] = found.model_dump(mode="json", exclude={"judgements", "transparency", "defects"})
    compared = found.transparency_compared is not None
    return scores | {
        "judged": verdict_letters(found.judgements),
        "transparency_differences": len(found.transparency) if compared else None,
        "defects": [defect.model_dump(mode="json", exclude={"wire", "traced"}) for defect in found.defects],
    }


def _cell(result: CellResult) -> dict[str, Any]:
    identity = result.cell.model_dump(mode="json", exclude={"schema_version", "strategy_source", "config"})
    config = {key: value for key, value in result.cell.config.items() if key not in _PLACES}
    overhead = result.overhead and result.overhead.model_dump(mode="json")
    return {
        **identity,
        "label": result.cell.label,
        "config": config,
        "run_id": result.run_id,
        "completeness": None if result.completeness is None else _completeness(result.completeness),
        "losses": [loss.model_dump(mode="json", exclude={"schema_version"}) for loss in result.losses],
        "overhead": overhead,
        "loads": [load.model_dump(mode="json") for load in result.loads],
    }


def cells_json(sweep: SweepResult) -> str:
    """All cells as JSON with sorted keys, in the order of the sweep.

    Each cell has its identity (provider, prompts, strategy, machine, versions, digest), status
    and reason, ``completeness`` (scores, trace counts, counts by fact, the verdict on each fact of
    each request as one letter, known defects), ``losses`` by the way in which a process ended, and
    ``overhead`` (estimates with intervals and per-fork values, ratios, counts, verdict, steadiness,
    drift, disturbance). ``floors`` are the A/A noise floors by provider and quantity, ``corrections``
    the verdicts as comparisons of one sweep by cell id, ``load_corrections`` those under loads by cell id and
    load, ``upgrades`` what other versions changed in cost, by the ids of both cells. ``loads`` have the same as
    ``overhead`` for each further load.
    Judgements, answers and latencies stay in the cell's records. What was not measured is null.
    """
    document = {
        "schema_version": CELLS_SCHEMA_VERSION,
        "sweep_id": sweep.sweep_id,
        "command": sweep.command,
        "cells_expected": sweep.cells_expected,
        "floors_ms": sweep.floors_ms,
        "floors": sweep.floors,
        "corrections": {name: one.model_dump(mode="json") for name, one in sweep.corrections.items()},
        "load_corrections": {
            cell: {load: one.model_dump(mode="json") for load, one in loads.items()}
            for cell, loads in sweep.load_corrections.items()
        },
        "upgrades": [one.model_dump(mode="json") for one in sweep.upgrades],
        "started_unix_ns": sweep.started_unix_ns,
        "ended_unix_ns": sweep.ended_unix_ns,
        "cells": [_cell(result) for result in sweep.cells],
    }
    return json.dumps(_finite(document), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
