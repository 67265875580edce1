"""Holds the judge against planted defects: what it said before, what it says after, what it should say."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.calibration.planting.answers import answer_plants
from harness.calibration.planting.failures import failure_plants
from harness.calibration.planting.harmless import REWRITES, WRITINGS
from harness.calibration.planting.plants import touched, value_plants
from harness.calibration.planting.scene import CALL_ID, MODEL_SPAN_TYPES, SPAN_TYPE, Scene
from harness.calibration.planting.times import time_plants
from harness.calibration.planting.tree import tree_plants
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

OF_THE_TRACE = frozenset(
    f"trace.{name}" for name in ("one", "one_root", "nesting", "inputs", "outputs", "status", "token_usage", "cost")
)
"""Facts about a whole trace, which stand under whichever of its calls comes first."""

Key = tuple[str, int, str, str]
"""Call id, index of the request, convention, fact."""


class Unit(NamedTuple):
    """What is judged at a time: the calls that share a trace, with their exchanges and traces."""

    calls: tuple[Call, ...]
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
    """The calls of a cell that left a trace with a model span, those that share one together."""
    traces: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for trace in records.traces:
        traces[trace.call_id].append(json.loads(trace.model_dump_json()))
    groups: dict[str, list[Call]] = defaultdict(list)
    for call in records.calls_of("strategy"):
        groups[call.flow_id if call.flow_traced else call.call_id].append(call)
    for name, calls in groups.items():
        ids = {call.call_id for call in calls}
        exchanges = tuple(one for one in records.exchanges if one.call_id in ids)
        unit = Unit(tuple(calls), exchanges, traces[name])
        if exchanges and len(unit.traces) == 1 and model_spans(unit):
            yield unit


def model_spans(unit: Unit) -> dict[str, Call]:
    """The ids of a unit's model spans, each with the call that it is of."""
    calls = {call.call_id: call for call in unit.calls}
    found = {}
    for span in unit.traces[0]["spans"]:
        call = calls.get(span["attributes"].get(CALL_ID, ""))
        if call is not None and span["attributes"].get(SPAN_TYPE) in MODEL_SPAN_TYPES:
            found[span["span_id"]] = call
    return found


def judge_unit(records: CellRecords, unit: Unit, traces: list[dict[str, Any]], **writing: Any) -> Said:
    """Judge one unit, its traces written as JSON text and read back as records.

    Args:
        records: The cell that it is of.
        unit: The call and its exchanges.
        traces: Its traces, edited or not.
        writing: Arguments of ``json.dumps``.
    """
    stored = tuple(StoredTrace.model_validate_json(json.dumps(trace, **writing)) for trace in traces)
    result = judge_cell(CellRecords(records.cell, unit.calls, unit.exchanges, stored, (), ()))
    return Said(_verdicts(result), {name: getattr(result, name) for name in COUNTS})


def judge_whole(records: CellRecords) -> Iterator[tuple[str, str, str]]:
    """Convention, fact and verdict of everything that the judge says of a cell before anything is planted."""
    for one in judge_cell(records).judgements:
        yield one.convention, one.fact, one.verdict


def scene_of(unit: Unit, span_id: str) -> Scene:
    """A fresh scene of a unit, in which one model span is to be edited."""
    traces = copy.deepcopy(unit.traces)
    span = next(one for one in traces[0]["spans"] if one["span_id"] == span_id)
    call = model_spans(unit)[span_id]
    ordered = sorted((one for one in unit.exchanges if one.call_id == call.call_id), key=lambda one: one.received_ns)
    last = ordered[-1]
    last_byte_ns = last.received_ns if last.last_byte_ns is None else last.last_byte_ns
    end_unix_ns = min(
        last.received_unix_ns + last_byte_ns - last.received_ns, call.start_unix_ns + call.end_ns - call.start_ns
    )
    begin_unix_ns = ordered[0].received_unix_ns
    return Scene(
        *(traces, traces[0], span, begin_unix_ns, end_unix_ns, STATED_TOLERANCE_NS),
        stream_ns=_stream_ns(call, last),
        is_whole=call.outcome != "left",
    )


def _stream_ns(call: Call, exchange: Exchange) -> int:
    """How long a stream took from its first byte on the wire to its last piece's reaching the application."""
    if not call.chunk_ns or exchange.first_byte_ns is None:
        return 0
    sent_unix_ns = exchange.received_unix_ns + exchange.first_byte_ns - exchange.received_ns
    return call.start_unix_ns + call.chunk_ns[-1] - call.start_ns - sent_unix_ns


def trials(records: CellRecords, seed: int, calls_per_plant: int, calls_per_rewrite: int) -> Iterator[Trial]:
    """Plant every defect in a few calls of a cell, drawn by chance, and make every harmless rewrite in a few more.

    Args:
        records: A cell whose traces are good.
        seed: Where chance comes from.
        calls_per_plant: In how many calls each plant is tried.
        calls_per_rewrite: In how many calls each harmless rewrite is tried.
    """
    draw = random.Random(f"{seed}/{records.cell.backend}")  # noqa: S311  # reproducible, not secret
    units = list(units_of(records))
    planted: Counter[str] = Counter()
    for unit in draw.sample(units, len(units)):
        before = judge_unit(records, unit, unit.traces)
        for span_id, call in model_spans(unit).items():
            scene = scene_of(unit, span_id)
            for plant in _plants(scene, draw):
                if planted[plant.name] < calls_per_plant:
                    trial = _plant(_Case(records, unit, span_id, call, before), plant)
                    if trial is not None:
                        planted[plant.name] += 1
                        yield trial
            for trial in _harmless(_Case(records, unit, span_id, call, before), draw, planted, calls_per_rewrite):
                planted[trial.way] += 1
                yield trial


def _plants(scene: Scene, draw: random.Random) -> Iterator[Plant]:
    yield from value_plants(scene, draw)
    for plants in (tree_plants, time_plants, answer_plants, failure_plants):
        yield from plants(scene)


class _Case(NamedTuple):
    """One model span of a unit, and what the judge said before anything was planted."""

    records: CellRecords
    unit: Unit
    span_id: str
    call: Call
    before: Said

    def scene(self) -> Scene:
        return scene_of(self.unit, self.span_id)

    def judged(self, scene: Scene) -> Said:
        return judge_unit(self.records, self.unit, scene.traces)


def _plant(case: _Case, plant: Plant) -> Trial | None:
    """Plant one defect; ``None`` if nothing that it harms, or not what it moves, was recorded before."""
    before = case.before
    if plant.moves and not any(
        (key[2], key[3]) == plant.moves and _is_of(key, case) and _recorded(before, key) for key in before.verdicts
    ):
        return None
    watched = {
        key: plant.expected[wanted]
        for key in before.verdicts
        if (wanted := (key[2], key[3])) in plant.expected and _is_of(key, case) and _recorded(before, key)
    }
    if not watched:
        return None
    whole, harmed = case.scene(), case.scene()
    plant.edit(harmed)
    after = case.judged(harmed)
    trouble = [
        f"{key[3]} ({key[2]}) is {_spoken(after, key)}, not {' or '.join(sorted(allowed))}"
        for key, allowed in watched.items()
        if not set(after.verdicts.get(key, ("not judged",))) <= allowed
    ]
    own = touched(whole, harmed) | {fact for _, fact in plant.expected}
    if "*" not in plant.implied:
        trouble += [
            f"{key[3]} ({key[2]}), which was not harmed, is {_spoken(after, key)}"
            for key in _changed(before, after)
            if key[3] not in plant.implied and not (key[3] in own and _is_of(key, case))
        ]
    trouble += _miscounted(before, after, plant.counts)
    return Trial(plant.fact, plant.kind, plant.way, case.call.sample_id, "; ".join(trouble))


def _is_of(key: Key, case: _Case) -> bool:
    """Whether a verdict is of the call that the edited span is of, or of the whole trace."""
    return key[0] == case.call.call_id or key[3] in OF_THE_TRACE


def _harmless(case: _Case, draw: random.Random, made: Counter[str], most: int) -> Iterator[Trial]:
    for way, rewrite in REWRITES.items():
        scene = case.scene()
        if made[way] < most and rewrite(scene, draw):
            yield _unblamed(way, case, case.judged(scene))
    for way, writing in WRITINGS.items():
        if made[way] < most:
            yield _unblamed(way, case, judge_unit(case.records, case.unit, case.unit.traces, **writing))


def _unblamed(way: str, case: _Case, after: Said) -> Trial:
    trouble = [f"{key[3]} ({key[2]}) is {_spoken(after, key)}" for key in _changed(case.before, after)]
    trouble += _miscounted(case.before, after, {})
    return Trial("", "harmless", way, case.call.sample_id, "; ".join(trouble))


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
