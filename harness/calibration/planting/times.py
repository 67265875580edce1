"""Plants of times: spans that do not enclose the wire's, and a stream's events."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.plants import ELSEWHERE, MISSING, NOT_RECORDED, WRONG, Expected, plant
from harness.calibration.planting.scene import MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.calibration.planting.plants import Plant
    from harness.calibration.planting.scene import Scene

FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
CHUNK = "mlflow.chunk.item"
BEYOND_MS = 60
"""More than the 50 ms after, or 5 ms before, the wire's first content that the judge allows the first token."""
_AN_HOUR_NS = 3_600_000 * MS


def time_plants(scene: Scene) -> Iterator[Plant]:
    """Every plant of this module that a scene can take."""
    fact, rest = "trace.times", ("trace.times", "trace.nesting", "trace.flow", "time_to_first_token")
    yield plant(fact, "altered", "begins beyond the tolerance after the request", _begin_late, WRONG, *rest)
    yield plant(fact, "altered", "ends beyond the tolerance before the last byte", _end_early, WRONG, *rest)
    yield plant(fact, "moved", "spans an hour early", _an_hour_early, WRONG, *(["*"] if scene.is_shared else rest))
    yield plant(fact, "dropped", "spans without an end", _no_end, NOT_RECORDED, *rest, "trace.status")
    if scene.events(CHUNK):
        yield from _of_chunks(scene)
        yield from _of_the_first(scene)


def own_spans(scene: Scene) -> list[dict[str, Any]]:
    """The spans that could say when the request was: its own, and those around it alone."""
    return [scene.span] if scene.is_shared else scene.spans


def _of_chunks(scene: Scene) -> Iterator[Plant]:
    fact, first, half = "response.chunks", "time_to_first_token", len(scene.events(CHUNK)) // 2
    if half > 1:
        yield plant(fact, "altered", "only the last half of the events", _kept(slice(-half, None)), WRONG, first)
        # A stream may open with events without content: a half of it need not show the first token.
        yield plant(fact, "altered", "only the first half of the events", _kept(slice(half)), WRONG, first)
        yield plant(fact, "altered", "without the last of the events", _kept(slice(-1)), WRONG)
        yield plant(fact, "duplicated", "each event twice", _events_twice, WRONG)


def _of_the_first(scene: Scene) -> Iterator[Plant]:
    fact, chunks = "time_to_first_token", "response.chunks"
    missing: Expected = {("mlflow", fact): MISSING, ("otel", fact): MISSING}
    elsewhere: Expected = dict.fromkeys(missing, ELSEWHERE)
    otel: Expected = {("otel", fact): WRONG}
    yield plant(fact, "altered", f"chunk events at least {BEYOND_MS} ms late (mlflow)", _shifted, WRONG)
    yield plant(fact, "altered", f"chunk events {BEYOND_MS} ms before the request (mlflow)", _before_request, WRONG)
    yield plant(fact, "dropped", "everywhere", _no_times, missing, chunks)
    if FIRST_CHUNK in scene.attributes:
        yield plant(fact, "altered", f"the wait at least {BEYOND_MS} ms longer (otel)", _wait_longer, otel)
        yield plant(fact, "altered", "the wait in ms, not s (otel)", _wait_in_ms, otel)
        # A busy machine may have spoilt the attribute that is moved, and not the events.
        moved = plant(fact, "moved", "into an attribute of one's own", _moved, elsewhere, chunks)
        yield replace(moved, moves=("otel", fact))


# Edits


def _begin_late(scene: Scene) -> None:
    late = scene.begin_unix_ns + scene.tolerance_ns + MS
    for span in own_spans(scene):
        span["start_unix_ns"] = max(span["start_unix_ns"], late)


def _end_early(scene: Scene) -> None:
    early = scene.end_unix_ns - scene.tolerance_ns - MS
    for span in own_spans(scene):
        span["end_unix_ns"] = min(span["end_unix_ns"], early)


def _an_hour_early(scene: Scene) -> None:
    for span in scene.spans:
        span["start_unix_ns"] -= _AN_HOUR_NS
        span["end_unix_ns"] -= _AN_HOUR_NS


def _no_end(scene: Scene) -> None:
    for span in scene.spans:
        span["end_unix_ns"] = None


def _without_events(scene: Scene) -> list[dict[str, Any]]:
    return [event for event in scene.span["events"] if CHUNK not in event["name"]]


def _kept(which: slice) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        scene.span["events"] = scene.events(CHUNK)[which] + _without_events(scene)

    return edit


def _events_twice(scene: Scene) -> None:
    scene.span["events"] += copy.deepcopy(scene.events(CHUNK))


def _beyond_ns(scene: Scene) -> int:
    """What makes a stream's first token late, also where a busy machine brought its pieces late."""
    return max(BEYOND_MS * MS, scene.stream_ns + BEYOND_MS * MS // 2)


def _shifted(scene: Scene) -> None:
    for event in scene.events(CHUNK):
        event["time_unix_ns"] += _beyond_ns(scene)


def _before_request(scene: Scene) -> None:
    # On a busy machine events come late: so many ms earlier they may still lie where the first token belongs.
    events = scene.events(CHUNK)
    back_ns = min(event["time_unix_ns"] for event in events) - scene.begin_unix_ns + BEYOND_MS * MS
    for event in events:
        event["time_unix_ns"] -= back_ns


def _no_times(scene: Scene) -> None:
    scene.span["events"] = _without_events(scene)
    scene.attributes.pop(FIRST_CHUNK, None)


def _moved(scene: Scene) -> None:
    waited_s = scene.attributes[FIRST_CHUNK]
    _no_times(scene)
    scene.attributes["app.debug"] = {"time_to_first_token_ms": waited_s * 1000}


def _wait_longer(scene: Scene) -> None:
    scene.attributes[FIRST_CHUNK] += _beyond_ns(scene) / 1e9


def _wait_in_ms(scene: Scene) -> None:
    # A wait of a microsecond and less would be the same in both units, within the judge's tolerance.
    scene.attributes[FIRST_CHUNK] = max(scene.attributes[FIRST_CHUNK] * 1000, 1.0)
