"""What is edited: one trace as plain JSON, and places in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Convention = Literal["mlflow", "otel"]

ABSENT: Any = object()
"""What a spot reads where nothing stands; null is nothing."""

CALL_ID = "harness.call_id"
"""The attribute by which the reference strategy says whose call a model span is of."""

SPAN_TYPE = "mlflow.spanType"
MS = 1_000_000
"""Nanoseconds in a millisecond."""

MODEL_SPAN_TYPES = ("CHAT_MODEL", "LLM", "EMBEDDING")


@dataclass
class Scene:
    """A trace that may be edited, with the span of one request to a model in it.

    Attributes:
        traces: All traces of the call or flow, as ``json.loads`` gives them.
        trace: The one that is edited.
        span: The model span that is edited.
        begin_unix_ns: When the first request of the call had reached the server.
        end_unix_ns: When its answer was over: the last byte, or the end of the call if that was earlier.
        tolerance_ns: By how much spans may miss those two, as the judge states it.
        stream_ns: How long it took from the first byte on the wire to the last piece's reaching the application.
        is_whole: Whether the application took the whole answer. Of one that it left, a little more text may have
            come than it took, and the trace may have ended either way.
    """

    traces: list[dict[str, Any]]
    trace: dict[str, Any]
    span: dict[str, Any]
    begin_unix_ns: int
    end_unix_ns: int
    tolerance_ns: int
    stream_ns: int = 0
    is_whole: bool = True

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the model span."""
        found: dict[str, Any] = self.span["attributes"]
        return found

    @property
    def root(self) -> dict[str, Any]:
        """The first span without a parent."""
        return next((one for one in self.trace["spans"] if one["parent_id"] is None), self.span)

    @property
    def spans(self) -> list[dict[str, Any]]:
        """All spans of the trace."""
        found: list[dict[str, Any]] = self.trace["spans"]
        return found

    @property
    def is_shared(self) -> bool:
        """Whether the trace holds other requests, too."""
        return sum(span["attributes"].get(SPAN_TYPE) in MODEL_SPAN_TYPES for span in self.spans) > 1

    def events(self, name: str) -> list[dict[str, Any]]:
        """The model span's events whose names contain a word."""
        return [event for event in self.span["events"] if name in event["name"]]


@dataclass(frozen=True)
class Spot:
    """One place of a scene.

    Attributes:
        name: As tables show it.
        read: What stands there, or ``ABSENT``.
        write: Puts another value of the same outer form there.
        drop: Takes away what stands there.
        several: Whether it is several places at once, one for each choice or event; a value is then a list.
    """

    name: str
    read: Callable[[Scene], Any]
    write: Callable[[Scene, Any], None]
    drop: Callable[[Scene], None]
    several: bool = False


def at(attribute: str, *path: str) -> Spot:
    """An attribute of the model span, or what stands in it under a path; ``*`` is each element of a list."""
    keys = (attribute, *path)
    return _spot(".".join(keys), lambda scene: _holders(scene.attributes, keys), several="*" in keys)


def parts(attribute: str, kind: str) -> Spot:
    """The parts of one type in messages of OpenTelemetry's form: a list for each message."""

    def read(scene: Scene) -> Any:
        messages = scene.attributes.get(attribute)
        if not isinstance(messages, list):
            return ABSENT
        found = [[part for part in one["parts"] if part["type"] == kind] for one in messages if "parts" in one]
        return found if any(found) else ABSENT

    def write(scene: Scene, value: Any) -> None:
        for message, own in zip(scene.attributes[attribute], value, strict=True):
            message["parts"] = [part for part in message["parts"] if part["type"] != kind] + own

    def drop(scene: Scene) -> None:
        for message in scene.attributes.get(attribute) or ():
            message["parts"] = [part for part in message["parts"] if part["type"] != kind]

    return Spot(f"{attribute}[].parts of type {kind}", read, write, drop, several=True)


def calls_in_items(attribute: str) -> Spot:
    """What the Responses API's function calls in a list of items state: id, name and arguments of each."""
    keys = ("call_id", "name", "arguments")

    def items(scene: Scene) -> list[dict[str, Any]]:
        value = scene.attributes.get(attribute)
        found = value.get("output") if isinstance(value, dict) else None
        return [item for item in found or () if item["type"] == "function_call"]

    def read(scene: Scene) -> Any:
        return [{key: item.get(key) for key in keys} for item in items(scene)] or ABSENT

    def write(scene: Scene, value: Any) -> None:
        others = [item for item in scene.attributes[attribute]["output"] if item["type"] != "function_call"]
        scene.attributes[attribute]["output"] = others + [{"type": "function_call", **one} for one in value or ()]

    def drop(scene: Scene) -> None:
        if items(scene):
            write(scene, None)

    return Spot(f"{attribute}.output[] of type function_call", read, write, drop)


def in_chunks(*path: str) -> Spot:
    """The same part of every recorded piece of a stream (``mlflow.chunk.value``)."""

    def pieces(scene: Scene) -> Iterator[tuple[dict[str, Any], Any, Any]]:
        for event in scene.events("mlflow.chunk.item"):
            whole = json.loads(event["attributes"]["mlflow.chunk.value"])
            inner = whole.get("data", whole) if isinstance(whole, dict) else None
            if isinstance(inner, dict):
                yield event, whole, inner

    def read(scene: Scene) -> Any:
        found = [_values(_holders(inner, path)) for _, _, inner in pieces(scene)]
        return found if any(one is not None for values in found for one in values) else ABSENT

    def drop(scene: Scene) -> None:
        for event, whole, inner in pieces(scene):
            for holder, key in _holders(inner, path):
                holder[key] = None
            event["attributes"]["mlflow.chunk.value"] = json.dumps(whole)

    return Spot("mlflow.chunk.value." + ".".join(path), read, _not_written, drop)


def event_attribute(event: str, key: str) -> Spot:
    """An attribute of the model span's events of a name."""
    return _spot(
        f"event {event}: {key}",
        lambda scene: [(one["attributes"], key) for one in scene.events(event) if key in one["attributes"]],
        several=True,
    )


def status_message(which: Literal["span", "root"]) -> Spot:
    """The status message of the model span, or of the root."""

    def span_of(scene: Scene) -> dict[str, Any]:
        return scene.span if which == "span" else scene.root

    def write(scene: Scene, value: Any) -> None:
        span_of(scene)["status_message"] = value

    return Spot(
        f"status message of the {which}",
        lambda scene: span_of(scene)["status_message"] or ABSENT,
        write,
        lambda scene: write(scene, ""),
    )


def _spot(name: str, holders: Callable[[Scene], list[tuple[Any, Any]]], *, several: bool) -> Spot:
    def read(scene: Scene) -> Any:
        values = _values(holders(scene))
        if all(one is None for one in values):
            return ABSENT
        return values if several else values[0]

    def write(scene: Scene, value: Any) -> None:
        for (holder, key), one in zip(holders(scene), value if several else [value], strict=True):
            holder[key] = one

    def drop(scene: Scene) -> None:
        for holder, key in holders(scene):
            if isinstance(holder, dict):
                holder.pop(key, None)
            else:
                holder[key] = None

    return Spot(name, read, write, drop, several=several)


def _holders(container: Any, keys: tuple[str, ...]) -> list[tuple[Any, Any]]:
    """Where a path ends: each an object or list with the last key in it."""
    key, rest = keys[0], keys[1:]
    here: list[tuple[Any, Any]]
    if key == "*":
        here = [(container, index) for index in range(len(container))] if isinstance(container, list) else []
    else:
        here = [(container, key)] if isinstance(container, dict) else []
    if not rest:
        return here
    inner = [holder.get(one) if isinstance(holder, dict) else holder[one] for holder, one in here]
    return [found for value in inner if value is not None for found in _holders(value, rest)]


def _values(holders: list[tuple[Any, Any]]) -> list[Any]:
    return [holder.get(key) if isinstance(holder, dict) else holder[key] for holder, key in holders]


def _not_written(_scene: Scene, _value: Any) -> None:
    raise NotImplementedError("copies in chunk events are only ever dropped")


STATUS_MESSAGES = (status_message("span"), status_message("root"))
