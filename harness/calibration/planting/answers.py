"""Plants of answers as a whole: reprs, choices, vectors, and what MLflow adds up for a trace."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.plants import ELSEWHERE, MISSING, NOT_RECORDED, WRONG, plant
from harness.calibration.planting.rows import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.calibration.planting.plants import Plant
    from harness.calibration.planting.scene import Scene

TOTALS = {"trace.token_usage": "mlflow.trace.tokenUsage", "trace.cost": "mlflow.trace.cost"}
DIMENSIONS = "gen_ai.embeddings.dimension.count"

_OF_OUTPUTS = (
    *("response.content", "response.finish_reason", "response.tool_calls", "response.refusal", "response.id"),
    "usage.reasoning_tokens",
)
_OF_VECTORS = ("response.vectors", "response.dimensions", "response.model", "response.id", "trace.outputs")


def answer_plants(scene: Scene) -> Iterator[Plant]:
    """Every plant of this module that a scene can take."""
    outputs = scene.attributes.get(OUTPUTS)
    if isinstance(outputs, dict) and outputs.get("choices"):
        yield from _of_choices([choice["message"].get("content") for choice in outputs["choices"]])
    if isinstance(outputs, dict) and outputs.get("data"):
        yield from _of_vectors(outputs["data"])
    for fact, key in TOTALS.items():
        if key in scene.trace["metadata"]:
            yield from _of_totals(fact, key)


def _of_choices(contents: list[Any]) -> Iterator[Plant]:
    fact = "response.content"
    if contents[0]:
        yield plant(fact, "altered", "outputs as a repr", _as_repr, WRONG, *_OF_OUTPUTS)
        yield plant(fact, "altered", "outputs a generator's repr", _as_generator, WRONG, *_OF_OUTPUTS)
        yield plant(fact, "duplicated", "a choice twice", _choice_twice, WRONG, *_OF_OUTPUTS)
    if len(contents) > 1 and contents[0] != contents[1]:
        yield plant(fact, "altered", "choices swapped", _choices_swapped, WRONG, *_OF_OUTPUTS)
        yield plant(fact, "altered", "a choice lost", _choice_lost, WRONG, *_OF_OUTPUTS)


def _of_vectors(data: list[dict[str, Any]]) -> Iterator[Plant]:
    """Vectors are too long to compare: their number and their length are facts."""
    count, length = "response.vectors", "response.dimensions"
    moved_count, moved_length = _moved("vector_count", len(data)), _moved("dimensions", len(data[0]["embedding"]))
    yield plant(count, "dropped", "outputs without vectors", _no_vectors, MISSING, *_OF_VECTORS)
    if len(data) > 1:
        yield plant(count, "altered", "a vector lost", _vector_lost, WRONG, *_OF_VECTORS)
    yield plant(count, "duplicated", "each vector twice", _vectors_twice, WRONG)
    yield plant(count, "moved", "into an attribute of one's own", moved_count, ELSEWHERE, *_OF_VECTORS)
    yield plant(length, "dropped", "outputs without vectors (mlflow)", _no_vectors, NOT_RECORDED, *_OF_VECTORS)
    yield plant(length, "altered", "vectors cut short (mlflow)", _shortened, WRONG)
    yield plant(length, "duplicated", "vectors twice as long (mlflow)", _lengthened, WRONG)
    yield plant(length, "moved", "into another attribute", moved_length, ELSEWHERE, *_OF_VECTORS)


def _of_totals(fact: str, key: str) -> Iterator[Plant]:
    yield plant(fact, "duplicated", "each counted twice in the trace's metadata", _scaled(key, 2), WRONG)
    yield plant(fact, "altered", "half of it in the trace's metadata", _scaled(key, 0.5), WRONG)
    if fact == "trace.token_usage":
        yield plant(fact, "dropped", "taken from the trace's metadata", _taken(key), MISSING)


# Edits


def _as_repr(scene: Scene) -> None:
    scene.attributes[OUTPUTS] = f"ChatCompletion({scene.attributes[OUTPUTS]!r})"


def _as_generator(scene: Scene) -> None:
    scene.attributes[OUTPUTS] = "<generator object Stream.__stream__ at 0x7f0c2b1d3e40>"


def _choice_twice(scene: Scene) -> None:
    choices = scene.attributes[OUTPUTS]["choices"]
    choices.append(copy.deepcopy(choices[0]))


def _choices_swapped(scene: Scene) -> None:
    first, second = scene.attributes[OUTPUTS]["choices"][:2]
    for key in ("message", "finish_reason"):
        first[key], second[key] = second[key], first[key]


def _choice_lost(scene: Scene) -> None:
    scene.attributes[OUTPUTS]["choices"].pop()


def _no_vectors(scene: Scene) -> None:
    del scene.attributes[OUTPUTS]["data"]


def _vector_lost(scene: Scene) -> None:
    scene.attributes[OUTPUTS]["data"].pop()


def _vectors_twice(scene: Scene) -> None:
    scene.attributes[OUTPUTS]["data"] *= 2


def _shortened(scene: Scene) -> None:
    for one in scene.attributes[OUTPUTS]["data"]:
        one["embedding"].pop()


def _lengthened(scene: Scene) -> None:
    for one in scene.attributes[OUTPUTS]["data"]:
        one["embedding"] *= 2


def _moved(key: str, value: int) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        _no_vectors(scene)
        scene.attributes.pop(DIMENSIONS, None)
        scene.attributes["app.debug"] = {key: value}

    return edit


def _scaled(key: str, factor: float) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        metadata = scene.trace["metadata"]
        counts = {name: type(one)(one * factor) for name, one in json.loads(metadata[key]).items()}
        metadata[key] = json.dumps(counts)

    return edit


def _taken(key: str) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        del scene.trace["metadata"][key]

    return edit
