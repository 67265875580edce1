"""What a trace says that is true is not blamed, and what it does not say is not credited."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]

MS = 1_000_000
USAGE = {"prompt_tokens": 5, "total_tokens": 5}


def _mark(parts: type[Parts], ms: float, name: str = "first_token", **attributes: Any) -> dict[str, Any]:
    return {"name": name, "time_unix_ns": parts.at_unix(ms), "attributes": attributes}


def test_a_mark_of_the_first_token_promises_no_event_for_each_piece(make_scene: MakeScene, parts: type[Parts]) -> None:
    """One ``first_token`` records that time; that a stream has more pieces makes it neither wrong nor a defect."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    scene.span["events"] = [_mark(parts, 31), _mark(parts, 80, "last_token")]
    assert scene.verdict("time_to_first_token") == "recorded"
    assert not scene.applies("response.chunks")
    assert not scene.judge().defects


@pytest.mark.parametrize(
    "events",
    [[("chunk 1", {}), ("chunk 2", {}), ("chunk 3", {})], [("mlflow.chunk.item.7", {"mlflow.chunk.value": "{}"})]],
    ids=["several of one name", "one with a piece"],
)
def test_events_that_stand_for_pieces_have_to_be_there_for_all(
    make_scene: MakeScene, parts: type[Parts], events: list[tuple[str, dict[str, Any]]]
) -> None:
    """Several events of one name, and one that carries a piece, are a series, and too few of them are wrong."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    scene.span["events"] = [_mark(parts, 31, name, **attributes) for name, attributes in events]
    assert scene.judgement("response.chunks").traced == len(events)
    assert scene.verdict("response.chunks") == "wrong"


def _two_streams(make_scene: MakeScene, parts: type[Parts]) -> Scene:
    """One call that asks for two streams, 30 ms apart, each with a model span and a mark of its first token."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    model = scene.trace["spans"].pop()
    begins_ms = (10, 40)
    scene.exchanges = [
        parts.exchange(scene, number=number, begin_ms=begin_ms, length_ms=50)
        | {"chunks": tuple(_chunks_at(scene, parts, begin_ms))}
        for number, begin_ms in enumerate(begins_ms)
    ]
    for one, begin_ms in zip(scene.exchanges, begins_ms, strict=True):
        one["last_byte_ns"] = parts.at_monotonic(begin_ms + 20)
    scene.trace["spans"] += [
        parts.span(f"model{number}", "root", (begin_ms - 2, begin_ms + 22), copy.deepcopy(model["attributes"]))
        | {"events": [_mark(parts, begin_ms + 3)]}
        for number, begin_ms in enumerate(begins_ms)
    ]
    return scene


def _chunks_at(scene: Scene, parts: type[Parts], begin_ms: float) -> list[dict[str, Any]]:
    return [
        {"sent_ns": parts.at_monotonic(begin_ms + 1 + number), "data": data}
        for number, data in enumerate(parts.chunks(scene.answer))
    ]


def test_another_requests_first_token_is_not_this_ones(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A request whose span marks no first token has none, though the next request's came soon enough to pass for it."""
    scene = _two_streams(make_scene, parts)
    for events, verdict in (([_mark(parts, 13)], "recorded"), ([], "missing")):
        scene.trace["spans"][1]["events"] = events
        judged = scene.judge().judgements
        found = [one for one in judged if (one.fact, one.convention) == ("time_to_first_token", "mlflow")]
        assert [one.verdict for one in found] == [verdict, "recorded"]


def test_no_output_messages_contradict_no_content(make_scene: MakeScene) -> None:
    """An empty list in OpenTelemetry's place says nothing of the answer: its content is missing, not wrong."""
    scene = make_scene(conventions=("otel",))
    empties: tuple[Any, ...] = ([], "[]")
    for empty in empties:
        scene.attributes["gen_ai.output.messages"] = empty
        assert scene.verdict("response.content", "otel") == "missing"


@pytest.mark.parametrize(
    ("fact", "place", "name", "value"),
    [
        ("request.model", "gen_ai.request.model", "model", "gpt-4o-mini"),
        ("request.parameter.seed", "gen_ai.request.seed", "seed", 7),
        ("request.stream", "gen_ai.request.stream", "stream", True),
    ],
)
def test_attributes_sent_as_json_state_what_they_hold(
    make_scene: MakeScene, fact: str, place: str, name: str, value: Any
) -> None:
    """MLflow sends its own attributes over OTLP as JSON text; the value is then elsewhere, and another is missing."""
    scene = make_scene(stream=True)
    twin = copy.deepcopy(scene.trace) | {"source": "otlp", "call_id": None, "metadata": {}}
    attributes = twin["spans"][-1]["attributes"]
    attributes.pop("mlflow.spanInputs")
    attributes.pop(place, None)
    scene.traces.append(twin)
    assert scene.verdict(fact, "otel") == "missing"
    attributes[name] = json.dumps(value)
    assert scene.verdict(fact, "otel") == "elsewhere"
    attributes[name] = json.dumps(f"not {value}")
    assert scene.verdict(fact, "otel") == "missing"


def test_a_span_that_stands_for_several_requests_contradicts_none(make_scene: MakeScene, parts: type[Parts]) -> None:
    """What an agent's span says of its last answer, or of all together, is no other value for the first one."""
    scene = make_scene(conventions=("mlflow",))
    answer = copy.deepcopy(scene.answer)
    scene.exchanges = []
    for number, begin_ms in enumerate((10, 50)):
        scene.answer = copy.deepcopy(answer) | {"id": f"chatcmpl-agent-{number}"}
        scene.exchanges.append(parts.exchange(scene, number=number, begin_ms=begin_ms, length_ms=20))
    scene.attributes["mlflow.spanType"] = "AGENT"
    scene.attributes["mlflow.spanOutputs"]["id"] = "chatcmpl-agent-1"
    scene.attributes["mlflow.chat.tokenUsage"] = {"input_tokens": 224, "output_tokens": 70, "total_tokens": 294}
    found = {
        (one.fact, one.request): one.verdict
        for one in scene.judge().judgements
        if one.convention == "mlflow" and not one.fact.startswith("trace.")
    }
    assert "wrong" not in found.values()
    assert [found["response.id", number] for number in (0, 1)] == ["missing", "recorded"]
    assert [found["usage.input_tokens", number] for number in (0, 1)] == ["missing", "missing"]
    assert found["request.model", 0] == found["request.model", 1] == "recorded"
    scene.exchanges.pop()
    assert scene.verdict("response.id") == "wrong"


def test_a_first_token_may_be_as_late_as_it_was_for_the_application(make_scene: MakeScene, parts: type[Parts]) -> None:
    """What kept the first content from the application kept it from the tracer; half as much again is wrong."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    texts = [text.removeprefix("data: ") for text in parts.chunks(scene.answer) if "[DONE]" not in text]
    late_ms = 120
    scene.call["end_ns"] += 200 * MS
    for span in scene.trace["spans"]:
        span["end_unix_ns"] += 200 * MS
    scene.span["events"] = [_mark(parts, 21, "chunk", token=""), _mark(parts, 30 + late_ms, "chunk", token="It is")]
    assert scene.verdict("time_to_first_token") == "wrong"
    scene.call["observed"] = {"chunks": tuple(texts)}
    scene.call["chunk_ns"] = tuple(
        parts.at_monotonic(22 if number == 0 else 30 + late_ms + number) for number in range(len(texts))
    )
    assert scene.verdict("time_to_first_token") == "recorded"
    scene.span["events"][1]["time_unix_ns"] += 30 * MS
    assert scene.verdict("time_to_first_token") == "wrong"


def test_embeddings_are_not_asked_for_what_their_convention_does_not_name(make_scene: MakeScene) -> None:
    """OpenTelemetry's spans of embeddings have neither input messages nor a response id; MLflow's hold both."""
    scene = make_scene(conventions=("otel",))
    request = {"model": "embedder", "input": ["one text", "another text"]}
    answer = {"id": "emb-1", "model": "embedder", "data": [{"index": 0, "embedding": [0.5]}], "usage": USAGE}
    scene.exchanges[0] |= {
        "path": "/v1/embeddings",
        "request_body": json.dumps(request),
        "response_body": json.dumps(answer),
    }
    scene.attributes["mlflow.spanType"] = "EMBEDDING"
    for fact in ("request.input", "response.id"):
        assert scene.applies(fact, "mlflow")
        assert not scene.applies(fact, "otel")
    for fact in ("request.model", "response.model", "usage.input_tokens", "response.dimensions"):
        assert scene.applies(fact, "otel")
