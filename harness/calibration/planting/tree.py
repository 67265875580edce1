"""Plants of the trace as a whole: that it is there, its tree of spans, its root, its state."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.plants import MISSING, NOT_RECORDED, WRONG, plant
from harness.calibration.planting.rows import INPUTS, OUTPUTS
from harness.calibration.planting.scene import MS, SPAN_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.calibration.planting.plants import Plant
    from harness.calibration.planting.scene import Scene

LOST_ID = "00000000000000ff"
FLIPPED = {"OK": "ERROR", "ERROR": "OK"}

_ROOTED = (
    *("trace.one_root", "trace.nesting", "trace.inputs", "trace.outputs", "trace.status", "trace.flow"),
    *("trace.times", "trace.exception", "error.message"),
)
"""Facts that are read at the root, or that it bears out."""
_TYPED = ("trace.cost", "trace.request_status", "response.chunks", "request.operation")
"""Facts that apply to a model span only."""


def tree_plants(scene: Scene) -> Iterator[Plant]:
    """Every plant of this module that a scene can take."""
    yield from _of_traces()
    if scene.root is not scene.span:
        yield from _of_parents(scene)
        yield from _of_the_model_span(scene)
    yield from _of_the_root()
    yield from _of_states(scene)


def _of_traces() -> Iterator[Plant]:
    lost = {"traces_lost": 1, "traces_stored": -1}
    twice = {"traces_duplicated": 1, "traces_stored": 1}
    fact = "trace.one"
    yield plant(fact, "dropped", "the trace removed", _remove_trace, MISSING, "*", **lost)
    yield plant(fact, "moved", "the trace tied to no call", _untie, MISSING, "*", **lost, traces_orphaned=1)
    yield plant(fact, "duplicated", "the trace twice", _trace_twice, WRONG, **twice)
    yield plant("trace.one_root", "dropped", "the trace without spans", _no_spans, MISSING, "*")


def _of_parents(scene: Scene) -> Iterator[Plant]:
    fact, other = "trace.nesting", "trace.one_root"
    yield plant(other, "altered", "the root's parent lost", _lose_root, NOT_RECORDED, *_ROOTED)
    yield plant(other, "duplicated", "a second root", _second_root, WRONG, "trace.flow")
    yield plant(fact, "dropped", "the root removed", _remove_root, WRONG, *_ROOTED)
    yield plant(fact, "moved", "the span re-parented to no span", _orphan, WRONG, "trace.flow")
    yield plant(fact, "altered", "spans each other's parents", _cycle, WRONG, *_ROOTED)
    yield plant(fact, "altered", "a child begun before its parent", _begun_outside, WRONG, "trace.flow")
    yield plant(fact, "altered", "a child that outlives its parent", _outlived, WRONG, "trace.flow")
    if scene.is_shared:
        yield plant("trace.flow", "moved", "a call's spans beside the flow's", _out_of_flow, WRONG, other)


def _of_the_model_span(scene: Scene) -> Iterator[Plant]:
    fact = "trace.model_span"
    yield plant(fact, "dropped", "the model span removed", _remove_model_span, NOT_RECORDED, "*")
    yield plant(fact, "duplicated", "the model span twice", _model_span_twice, WRONG, "trace.cost")
    if scene.attributes[SPAN_TYPE] != "EMBEDDING":
        yield plant(fact, "dropped", "the span's type lost", _untyped, NOT_RECORDED, *_TYPED)
        yield plant(fact, "altered", "the span typed as a tool", _typed_otherwise, WRONG, *_TYPED)


def _of_the_root() -> Iterator[Plant]:
    for fact, key in (("trace.inputs", INPUTS), ("trace.outputs", OUTPUTS)):

        def drop(scene: Scene, key: str = key) -> None:
            scene.root["attributes"].pop(key, None)

        def empty(scene: Scene, key: str = key) -> None:
            scene.root["attributes"][key] = {}

        yield plant(fact, "dropped", "taken from the root", drop, MISSING)
        yield plant(fact, "dropped", "an empty object at the root", empty, MISSING)


def _of_states(scene: Scene) -> Iterator[Plant]:
    own, whole = "trace.request_status", "trace.status"
    if scene.span["status"] in FLIPPED and scene.span is not scene.root:
        yield plant(own, "altered", "the model span's status flipped", _flip_span, WRONG)
        yield plant(own, "dropped", "the model span's status unset", _unset_span, MISSING)
    if scene.trace["state"] in FLIPPED and scene.root["status"] in FLIPPED:
        if scene.is_whole:
            yield plant(whole, "altered", "the trace's state flipped", _flip_state, WRONG)
            yield plant(whole, "altered", "the root's status flipped", _flip_root, WRONG)
        yield plant(whole, "altered", "the trace still in progress", _unfinished, WRONG)
        yield plant(whole, "dropped", "state and status unset", _unset, MISSING)


# Edits


def _remove_trace(scene: Scene) -> None:
    scene.traces.remove(scene.trace)


def _untie(scene: Scene) -> None:
    scene.trace["call_id"] = None


def _trace_twice(scene: Scene) -> None:
    twin = copy.deepcopy(scene.trace)
    twin["trace_id"] += "-twin"
    for span in twin["spans"]:
        for key in ("span_id", "parent_id"):
            span[key] = span[key] and f"a{span[key][1:]}"
    scene.traces.append(twin)


def _no_spans(scene: Scene) -> None:
    scene.trace["spans"] = []


def _lose_root(scene: Scene) -> None:
    scene.root["parent_id"] = LOST_ID


def _remove_root(scene: Scene) -> None:
    scene.spans.remove(scene.root)


def _second_root(scene: Scene) -> None:
    scene.span["parent_id"] = None


def _orphan(scene: Scene) -> None:
    scene.span["parent_id"] = LOST_ID


def _cycle(scene: Scene) -> None:
    scene.root["parent_id"] = scene.span["span_id"]


def _begun_outside(scene: Scene) -> None:
    parent = _parent(scene)
    parent["start_unix_ns"] = scene.span["start_unix_ns"] + scene.tolerance_ns + MS


def _outlived(scene: Scene) -> None:
    parent = _parent(scene)
    parent["end_unix_ns"] = scene.span["end_unix_ns"] - scene.tolerance_ns - MS


def _out_of_flow(scene: Scene) -> None:
    _parent(scene)["parent_id"] = None


def _parent(scene: Scene) -> dict[str, Any]:
    return next(span for span in scene.spans if span["span_id"] == scene.span["parent_id"])


def _remove_model_span(scene: Scene) -> None:
    scene.spans.remove(scene.span)


def _model_span_twice(scene: Scene) -> None:
    scene.spans.append({**copy.deepcopy(scene.span), "span_id": "00000000000000d2"})


def _untyped(scene: Scene) -> None:
    del scene.attributes[SPAN_TYPE]


def _typed_otherwise(scene: Scene) -> None:
    scene.attributes[SPAN_TYPE] = "TOOL"


def _flip_span(scene: Scene) -> None:
    scene.span["status"] = FLIPPED[scene.span["status"]]


def _unset_span(scene: Scene) -> None:
    scene.span["status"] = "UNSET"


def _flip_state(scene: Scene) -> None:
    scene.trace["state"] = FLIPPED[scene.trace["state"]]


def _flip_root(scene: Scene) -> None:
    scene.root["status"] = FLIPPED[scene.root["status"]]


def _unfinished(scene: Scene) -> None:
    scene.trace["state"] = "IN_PROGRESS"


def _unset(scene: Scene) -> None:
    scene.trace["state"] = "STATE_UNSPECIFIED"
    scene.root["status"] = "UNSET"
