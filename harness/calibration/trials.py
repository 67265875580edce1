"""Holds the judge against planted defects: what it said before, what it says after, what it should say."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.calibration.planting.faults import fault_plants
from harness.calibration.planting.harmless import REWRITES, WRITINGS
from harness.calibration.planting.plants import touched, value_plants
from harness.calibration.planting.scene import MODEL_SPAN_TYPES, Scene
from harness.completeness import judge_cell
from harness.records import CellRecords, StoredTrace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.calibration.planting.plants import Plant
    from harness.records import Call, Exchange
    from harness.results import CompletenessResult

STATED_TOLERANCE_NS = 5_000_000
"""By how much a span may miss the wire's times, as the judge's documentation states it."""

COUNTS = ("traces_stored", "traces_lost", "traces_duplicated", "traces_orphaned")

Key = tuple[str, int, str, str]
"""Call id, index of the request, convention, fact."""


class Unit(NamedTuple):
    """What is judged at a time: one call with its exchanges and traces."""

    call: Call
    exchanges: tuple[Exchange, ...]
    traces: list[dict[str, Any]]


class Said(NamedTuple):
    """What the judge said of one unit."""

    verdicts: dict[Key, tuple[str, ...]]
    counts: dict[str, int]


class Trial(NamedTuple):
    """One edit, and whether the judge took it as it should.

    Attributes:
        fact: The fact that was harmed; empty for a harmless rewrite.
        kind: What was done to it; ``harmless`` for a rewrite.
        way: How.
        sample_id: The sample whose trace was edited.
        trouble: What the judge got wrong, in words; empty if nothing.
    """

    fact: str
    kind: str
    way: str
    sample_id: str
    trouble: str = ""


def units_of(records: CellRecords) -> Iterator[Unit]:
    """The calls of a cell that left a trace with a model span, each by itself."""
    exchanges: dict[str | None, list[Exchange]] = defaultdict(list)
    for exchange in records.exchanges:
        exchanges[exchange.call_id].append(exchange)
    traces: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for trace in records.traces:
        traces[trace.call_id].append(json.loads(trace.model_dump_json()))
    for call in records.calls_of("strategy"):
        if call.call_id in traces and exchanges[call.call_id]:
            unit = Unit(call, tuple(exchanges[call.call_id]), traces[call.call_id])
            if _model_span(unit.traces[0]) is not None:
                yield unit


def judge_unit(records: CellRecords, unit: Unit, traces: list[dict[str, Any]], **writing: Any) -> Said:
    """Judge one unit, its traces written as JSON text and read back as records.

    Args:
        records: The cell that it is of.
        unit: The call and its exchanges.
        traces: Its traces, edited or not.
        writing: Arguments of ``json.dumps``.
    """
    stored = tuple(StoredTrace.model_validate_json(json.dumps(trace, **writing)) for trace in traces)
    result = judge_cell(CellRecords(records.cell, (unit.call,), unit.exchanges, stored, (), ()))
    return Said(_verdicts(result), {name: getattr(result, name) for name in COUNTS})


def scene_of(unit: Unit) -> Scene:
    """A fresh scene of a unit, to be edited."""
    traces = copy.deepcopy(unit.traces)
    span = _model_span(traces[0])
    if span is None:
        raise ValueError(f"call {unit.call.call_id} has no model span")
    ordered = sorted(unit.exchanges, key=lambda one: one.received_ns)
    last, call = ordered[-1], unit.call
    last_byte_ns = last.received_ns if last.last_byte_ns is None else last.last_byte_ns
    end_unix_ns = min(
        last.received_unix_ns + last_byte_ns - last.received_ns, call.start_unix_ns + call.end_ns - call.start_ns
    )
    return Scene(traces, traces[0], span, ordered[0].received_unix_ns, end_unix_ns, STATED_TOLERANCE_NS)


def trials(records: CellRecords, seed: int, calls_per_plant: int) -> Iterator[Trial]:
    """Plant every defect in a few calls of a cell, drawn by chance, and rewrite every call harmlessly.

    Args:
        records: A cell whose traces are good.
        seed: Where chance comes from.
        calls_per_plant: In how many calls each plant is tried.
    """
    draw = random.Random(f"{seed}/{records.cell.backend}")  # noqa: S311  # reproducible, not secret
    units = list(units_of(records))
    planted: Counter[str] = Counter()
    for unit in draw.sample(units, len(units)):
        before = judge_unit(records, unit, unit.traces)
        scene = scene_of(unit)
        for plant in [*value_plants(scene, draw), *fault_plants(scene, draw)]:
            if planted[plant.name] < calls_per_plant:
                trial = _plant(records, unit, plant, before)
                if trial is not None:
                    planted[plant.name] += 1
                    yield trial
        yield from _harmless(records, unit, before, draw)


def _plant(records: CellRecords, unit: Unit, plant: Plant, before: Said) -> Trial | None:
    """Plant one defect; ``None`` if nothing that it harms was recorded before."""
    call_id = unit.call.call_id
    watched = {
        key: verdicts
        for key in before.verdicts
        if key[0] == call_id and (verdicts := plant.expected.get(key[2:])) and _recorded(before, key)  # type: ignore[call-overload]
    }
    if not watched:
        return None
    scene, after_scene = scene_of(unit), scene_of(unit)
    plant.edit(after_scene)
    after = judge_unit(records, unit, after_scene.traces)
    trouble = [
        f"{key[3]} ({key[2]}) is {_spoken(after, key)}, not {' or '.join(sorted(allowed))}"
        for key, allowed in watched.items()
        if not set(after.verdicts.get(key, ("not judged",))) <= allowed
    ]
    may_change = touched(scene, after_scene) | plant.implied | {fact for _, fact in plant.expected}
    if "*" not in plant.implied:
        trouble += [
            f"{key[3]} ({key[2]}), which was not harmed, is {_spoken(after, key)}"
            for key in _changed(before, after)
            if key[3] not in may_change
        ]
    trouble += _miscounted(before, after, plant.counts)
    return Trial(plant.fact, plant.kind, plant.way, unit.call.sample_id, "; ".join(trouble))


def _harmless(records: CellRecords, unit: Unit, before: Said, draw: random.Random) -> Iterator[Trial]:
    for way, rewrite in REWRITES.items():
        scene = scene_of(unit)
        if rewrite(scene, draw):
            yield _unblamed(way, unit, before, judge_unit(records, unit, scene.traces))
    for way, writing in WRITINGS.items():
        yield _unblamed(way, unit, before, judge_unit(records, unit, unit.traces, **writing))


def _unblamed(way: str, unit: Unit, before: Said, after: Said) -> Trial:
    trouble = [f"{key[3]} ({key[2]}) is {_spoken(after, key)}" for key in _changed(before, after)]
    trouble += _miscounted(before, after, {})
    return Trial("", "harmless", way, unit.call.sample_id, "; ".join(trouble))


def _verdicts(result: CompletenessResult) -> dict[Key, tuple[str, ...]]:
    found: dict[Key, tuple[str, ...]] = {}
    for one in result.judgements:
        key = (one.call_id, one.request, one.convention, one.fact)
        found[key] = (*found.get(key, ()), one.verdict)
    return found


def _recorded(said: Said, key: Key) -> bool:
    return set(said.verdicts[key]) == {"recorded"}


def _changed(before: Said, after: Said) -> list[Key]:
    keys = before.verdicts.keys() | after.verdicts.keys()
    return sorted(key for key in keys if before.verdicts.get(key) != after.verdicts.get(key))


def _spoken(said: Said, key: Key) -> str:
    return " and ".join(said.verdicts.get(key, ("not judged",)))


def _miscounted(before: Said, after: Said, wanted: dict[str, int]) -> list[str]:
    return [
        f"{name} went from {before.counts[name]} to {after.counts[name]}"
        for name in COUNTS
        if after.counts[name] - before.counts[name] != wanted.get(name, 0)
    ]


def _model_span(trace: dict[str, Any]) -> dict[str, Any] | None:
    models = (span for span in trace["spans"] if span["attributes"].get("mlflow.spanType") in MODEL_SPAN_TYPES)
    return next(models, None)
