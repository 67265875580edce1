"""Rewrites of a trace's JSON that state the same: none may change a verdict."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.rows import INPUTS, OUTPUTS, rows_of
from harness.calibration.planting.scene import ABSENT, MS
from harness.calibration.planting.times import own_spans

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from harness.calibration.planting.scene import Scene


def _everywhere(scene: Scene, change: Callable[[Any], Any]) -> bool:
    """Change every attribute value of every span; whether that made any difference to its JSON text."""
    before = json.dumps(scene.trace)
    for span in scene.trace["spans"]:
        span["attributes"] = {key: change(value) for key, value in span["attributes"].items()}
    return json.dumps(scene.trace) != before


def _deep(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def deep(value: Any) -> Any:
        if isinstance(value, dict):
            return change({key: deep(one) for key, one in value.items()})
        return change([deep(one) for one in value] if isinstance(value, list) else value)

    return deep


def _key_order(scene: Scene, draw: random.Random) -> bool:
    def shuffled(value: Any) -> Any:
        return dict(draw.sample(list(value.items()), len(value))) if isinstance(value, dict) else value

    changed = _everywhere(scene, _deep(shuffled))
    for span in scene.trace["spans"]:
        span["attributes"] = shuffled(span["attributes"])
    return changed


def _span_order(scene: Scene, draw: random.Random) -> bool:
    before = scene.spans
    scene.trace["spans"] = draw.sample(before, len(before))
    return scene.spans != before


def _nulls_added(scene: Scene, _draw: random.Random) -> bool:
    names = ("refusal", "audio", "function_call", "service_tier", "logprobs")

    def padded(value: Any) -> Any:
        is_message = isinstance(value, dict) and "role" in value
        return {**value, **{name: value.get(name) for name in names}} if is_message else value

    before = json.dumps(scene.trace)
    for key in (INPUTS, OUTPUTS):
        if isinstance(scene.attributes.get(key), dict):
            scene.attributes[key] = {**_deep(padded)(scene.attributes[key]), "service_tier_hint": None}
    return json.dumps(scene.trace) != before


def _nulls_removed(scene: Scene, _draw: random.Random) -> bool:
    def lean(value: Any) -> Any:
        return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value

    return _everywhere(scene, _deep(lean))


def _whole_numbers_as_floats(scene: Scene, _draw: random.Random) -> bool:
    def as_float(value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return _everywhere(scene, _deep(as_float))


def _whole_floats_as_integers(scene: Scene, _draw: random.Random) -> bool:
    def as_integer(value: Any) -> Any:
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return _everywhere(scene, _deep(as_integer))


def _arguments(change: Callable[[Any], Any]) -> Callable[[Scene, random.Random], bool]:
    """Change the arguments of every tool call in MLflow's places."""

    def rewrite(scene: Scene, _draw: random.Random) -> bool:
        def renewed(value: Any) -> Any:
            if isinstance(value, dict) and isinstance(value.get("arguments"), str):
                return {**value, "arguments": change(json.loads(value["arguments"]))}
            return value

        return _everywhere(scene, _deep(renewed))

    return rewrite


def _reserialised(arguments: Any) -> str:
    return json.dumps(dict(reversed(arguments.items())), indent=2, ensure_ascii=True)


def _as_object(arguments: Any) -> Any:
    return arguments


def _as_text_part(scene: Scene, _draw: random.Random) -> bool:
    def parted(value: Any) -> Any:
        if isinstance(value, dict) and "role" in value and isinstance(value.get("content"), str) and value["content"]:
            return {**value, "content": [{"type": "text", "text": value["content"]}]}
        return value

    inputs = scene.attributes.get(INPUTS)
    if not isinstance(inputs, dict) or "messages" not in inputs:
        return False
    inputs["messages"] = _deep(parted)(inputs["messages"])
    return True


def _conventions_as_text(scene: Scene, _draw: random.Random) -> bool:
    """The conventions allow their structured attributes as JSON texts."""
    names = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions")
    present = [name for name in names if name in scene.attributes]
    for name in present:
        scene.attributes[name] = json.dumps(scene.attributes[name])
    return bool(present)


def _no_tool_calls(scene: Scene, _draw: random.Random) -> bool:
    choices = (scene.attributes.get(OUTPUTS) or {}).get("choices") or ()
    silent = [choice["message"] for choice in choices if not choice["message"].get("tool_calls")]
    for message in silent:
        message["tool_calls"] = []
    return bool(silent)


def _copied(scene: Scene, _draw: random.Random) -> bool:
    """Every value once more, where no tool looks."""
    values = {row.key: value for row in rows_of(scene) if (value := row.value(scene)) is not ABSENT and row.key}
    scene.attributes["app.debug"] = copy.deepcopy(values)
    return True


def _unrelated(scene: Scene, _draw: random.Random) -> bool:
    scene.attributes["app.build"] = {"version": 3, "flags": [True, None, "beta"]}
    scene.trace["tags"]["app.owner"] = "somebody"
    middle = (scene.span["start_unix_ns"] + scene.span["end_unix_ns"]) // 2
    scene.span["events"].append({"name": "app.log", "time_unix_ns": middle, "attributes": {"line": 12}})
    scene.trace["spans"].append(
        {
            "span_id": "00000000000000e1",
            "parent_id": scene.root["span_id"],
            "name": "format",
            "start_unix_ns": scene.root["end_unix_ns"],
            "end_unix_ns": scene.root["end_unix_ns"],
            "status": "OK",
            "status_message": "",
            "attributes": {"mlflow.spanType": "PARSER", "mlflow.spanInputs": {"width": 80}},
            "events": [],
        }
    )
    return True


def _begins_within(scene: Scene, _draw: random.Random) -> bool:
    begin = scene.begin_unix_ns + scene.tolerance_ns - MS
    for span in own_spans(scene):
        span["start_unix_ns"] = max(span["start_unix_ns"], begin)
    return all(span["start_unix_ns"] <= span["end_unix_ns"] for span in scene.spans)


def _ends_within(scene: Scene, _draw: random.Random) -> bool:
    end = scene.end_unix_ns - scene.tolerance_ns + MS
    for span in own_spans(scene):
        span["end_unix_ns"] = min(span["end_unix_ns"], end)
    return all(span["start_unix_ns"] <= span["end_unix_ns"] for span in scene.spans)


def _longer(scene: Scene, _draw: random.Random) -> bool:
    for span in scene.trace["spans"]:
        span["start_unix_ns"] -= 2_000_000
        span["end_unix_ns"] += 2_000_000
    return True


def _renamed(scene: Scene, _draw: random.Random) -> bool:
    for span in scene.trace["spans"]:
        span["name"] = f"my {span['name']}"
        for key in ("span_id", "parent_id"):
            span[key] = span[key] and f"b{span[key][1:]}"
    return True


REWRITES: dict[str, Callable[[Scene, random.Random], bool]] = {
    "key order": _key_order,
    "order of spans": _span_order,
    "null for absent keys": _nulls_added,
    "absent for null keys": _nulls_removed,
    "whole numbers as floats": _whole_numbers_as_floats,
    "whole floats as integers": _whole_floats_as_integers,
    "tool arguments serialised anew": _arguments(_reserialised),
    "tool arguments as an object": _arguments(_as_object),
    "text as a list of one text part": _as_text_part,
    "conventions' structures as JSON text": _conventions_as_text,
    "an empty list of tool calls": _no_tool_calls,
    "every value also in a place of one's own": _copied,
    "unrelated attribute, tag, event and span": _unrelated,
    "begins within the tolerance after the request": _begins_within,
    "ends within the tolerance before the last byte": _ends_within,
    "spans 2 ms longer at both ends": _longer,
    "other span names and ids": _renamed,
}
"""Each edits a scene and says whether that changed anything."""

WRITINGS: dict[str, dict[str, Any]] = {
    "JSON with escapes for all but ASCII": {"ensure_ascii": True},
    "JSON with sorted keys": {"ensure_ascii": False, "sort_keys": True},
    "JSON with line breaks": {"ensure_ascii": False, "indent": 3},
}
"""Arguments of ``json.dumps``: ways of writing the same record."""
