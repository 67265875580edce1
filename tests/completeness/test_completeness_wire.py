"""What is read off the wire."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.completeness.chat import merge_chunks
from harness.completeness.wire import observe, sse_events
from harness.records import Chunk, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.completeness import WireRequest
    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]


def _observe(scene: Scene) -> WireRequest:
    return observe([Exchange(**one) for one in scene.exchanges])


def _delta(delta: dict[str, Any], *, index: int = 0, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}], **more}


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize("dialect", ["openai", "mistral"])
def test_a_stream_merges_to_the_single_answer(make_scene: MakeScene, dialect: str, tools: bool) -> None:
    """The events of a stream, put together, prove what the single answer proves."""
    single = _observe(make_scene(dialect=dialect, tools=tools))
    stream = _observe(make_scene(dialect=dialect, tools=tools, stream=True))
    assert stream.response == single.response
    assert stream.response is not None
    assert stream.response.usage == (112, 35, 147, 64, 21)


def test_the_request_is_split_into_facts(make_scene: MakeScene) -> None:
    """Model, messages, tools and the stream flag stand alone, all other keys but nulls are parameters."""
    scene = make_scene(stream=True, tools=True)
    scene.request |= {"user": None, "parallel_tool_calls": True}
    scene.exchanges[0]["request_body"] = json.dumps(scene.request)
    wire = _observe(scene)
    assert wire.model == "gpt-4o-mini"
    assert wire.stream
    assert wire.tools is not None
    assert set(wire.parameters) == {*("temperature", "max_tokens", "stop", "seed", "logit_bias", "parallel_tool_calls")}


def test_times_are_on_the_wall_clock(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Monotonic times are carried over to the wall clock by their distance from the request."""
    wire = _observe(make_scene(stream=True))
    assert wire.received_unix_ns == parts.at_unix(10)
    assert wire.first_chunk_unix_ns == parts.at_unix(20)
    assert wire.first_content_unix_ns == parts.at_unix(30)
    assert wire.last_byte_unix_ns == parts.at_unix(90)


def test_the_last_exchange_counts(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Attempts are counted, and the answer is the last one's, in whatever order they are recorded."""
    scene = make_scene()
    scene.exchanges = [parts.exchange(scene, number=1), parts.exchange(scene, failed=True, begin_ms=1)]
    wire = _observe(scene)
    assert wire.attempts == 2
    assert wire.error is None
    assert wire.response is not None
    assert wire.first_received_unix_ns == parts.at_unix(1)


def test_tool_calls_without_indexes_are_told_apart_by_id() -> None:
    """Some servers send no index, or 0 for every call: a new id begins a new call."""
    for index in ({}, {"index": 0}):
        merged = merge_chunks(
            [
                _delta({"tool_calls": [{**index, "id": "a", "function": {"name": "f", "arguments": '{"x":'}}]}),
                _delta({"tool_calls": [{**index, "function": {"arguments": "1}"}}]}),
                _delta({"tool_calls": [{**index, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
            ]
        )
        calls = merged["choices"][0]["message"]["tool_calls"]
        assert [call["id"] for call in calls] == ["a", "b"]
        assert [call["function"]["arguments"] for call in calls] == ['{"x":1}', "{}"]


def test_interleaved_choices_and_calls_are_merged_by_index() -> None:
    """Deltas of several choices and calls may come in any order."""
    merged = merge_chunks(
        [
            _delta({"content": "B"}, index=1),
            _delta({"content": "A"}, index=0, id="one", model="m"),
            _delta({"tool_calls": [{"index": 1, "id": "q", "function": {"name": "g", "arguments": "{}"}}]}),
            _delta({"tool_calls": [{"index": 0, "id": "p", "function": {"name": "f", "arguments": "{}"}}]}),
            _delta({"content": "b"}, index=1, reason="stop"),
            _delta({}, index=0, reason="tool_calls"),
        ]
    )
    first, second = merged["choices"]
    assert (merged["id"], merged["model"]) == ("one", "m")
    assert (first["message"]["content"], second["message"]["content"]) == ("A", "Bb")
    assert (first["finish_reason"], second["finish_reason"]) == ("tool_calls", "stop")
    assert {call["id"] for call in first["message"]["tool_calls"]} == {"p", "q"}


def test_content_in_parts_is_kept_in_parts() -> None:
    """Mistral's reasoning models stream lists of parts; adjoining text parts are one."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    merged = merge_chunks(
        [
            _delta({"content": [thinking]}),
            _delta({"content": [{"type": "text", "text": "It"}]}),
            _delta({"content": " is"}),
        ]
    )
    assert merged["choices"][0]["message"]["content"] == [thinking, {"type": "text", "text": "It is"}]


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        ("data: {}\n\n", ["{}"]),
        ("data:{}\r\n\r\n", ["{}"]),
        ("event: x\nid: 4\ndata: [DONE]\n\n", ["[DONE]"]),
        ("data: a\ndata: b\n\n", ["a\nb"]),
        ("data: a\n\ndata: b\n\n", ["a", "b"]),
        (": keep-alive\n\n", []),
        ("", []),
        ("garbage", ["garbage"]),
    ],
)
def test_server_sent_events_are_read(data: str, texts: list[str]) -> None:
    """Payloads are the data lines; comments carry none; other text comes back whole."""
    assert list(sse_events(data)) == texts


def test_garbage_is_kept_and_reported(make_scene: MakeScene, parts: type[Parts]) -> None:
    """What cannot be read changes nothing else, and is named in a note."""
    scene = make_scene(stream=True)
    chunks = list(scene.exchanges[0]["chunks"])
    chunks.insert(2, Chunk(sent_ns=parts.at_monotonic(45), data="data: {broken\n\n"))
    scene.exchanges[0]["chunks"] = tuple(chunks)
    wire = _observe(scene)
    assert wire.malformed == ("{broken",)
    assert wire.response == _observe(make_scene(stream=True)).response
    assert "could not be read, the first is '{broken'" in scene.judge().notes[0]


def test_a_body_that_is_no_json_is_malformed(make_scene: MakeScene) -> None:
    """A proxy's error page is kept as text; the status still counts."""
    scene = make_scene(failed=True)
    scene.exchanges[0]["response_body"] = "<html>Bad gateway</html>"
    wire = _observe(scene)
    assert wire.malformed == ("<html>Bad gateway</html>",)
    assert wire.error is not None
    assert (wire.error.status_code, wire.error.message) == (429, None)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, ("t", "m", "c")),
        ({"object": "error", "message": "m", "type": "t", "code": 3051}, ("t", "m", "3051")),
        ({"error": "m"}, (None, "m", None)),
        ({"detail": "m"}, (None, "m", None)),
        ({"message": "m"}, (None, "m", None)),
    ],
)
def test_error_bodies_are_read(make_scene: MakeScene, body: dict[str, Any], found: tuple[str | None, ...]) -> None:
    """Both wire formats' error bodies give type, message and code."""
    scene = make_scene(failed=True)
    scene.exchanges[0]["response_body"] = json.dumps(body)
    error = _observe(scene).error
    assert error is not None
    assert (error.type, error.message, error.code) == found


def test_an_error_inside_a_stream_is_an_error(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A stream that ends with an error event failed without an error status."""
    scene = make_scene(stream=True)
    chunks = list(scene.exchanges[0]["chunks"])[:3]
    failure = parts.event({"error": {"message": "overloaded, sorry", "type": "server_error"}})
    scene.exchanges[0]["chunks"] = (*chunks, Chunk(sent_ns=parts.at_monotonic(50), data=failure))
    scene.call |= {"outcome": "error", "error_type": "openai.APIError", "error_message": "overloaded, sorry"}
    assert scene.judgement("error.message").wire == "overloaded, sorry"
    assert scene.judgement("error.type").wire == "server_error"
    assert not scene.applies("error.status_code")


def test_a_cut_stream_proves_what_had_arrived(make_scene: MakeScene) -> None:
    """A broken stream proves model, id and first token; of its text nothing is certain."""
    scene = make_scene(stream=True)
    scene.exchanges[0] |= {"chunks": scene.exchanges[0]["chunks"][:3], "completed": False, "error": "cut"}
    scene.call |= {"outcome": "error", "error_type": "httpx.RemoteProtocolError", "error_message": "peer closed"}
    for fact in ("response.model", "response.id", "time_to_first_token", "error.type"):
        assert scene.applies(fact)
    for fact in ("response.content", "response.finish_reason", "usage.input_tokens", "error.status_code"):
        assert not scene.applies(fact)
    scene.call["first_chunk_ns"] = None
    assert not scene.applies("response.id")


def test_a_stream_without_usage_proves_none(make_scene: MakeScene) -> None:
    """Counts that the wire does not show are no facts, unless the trace invents some."""
    scene = make_scene(stream=True)
    scene.exchanges[0]["chunks"] = tuple(one for one in scene.exchanges[0]["chunks"] if "usage" not in one.data)
    assert {verdict for (_, fact), verdict in scene.verdicts().items() if fact.startswith("usage.")} == {"wrong"}
    del scene.span["attributes"]["mlflow.chat.tokenUsage"]
    del scene.span["attributes"]["mlflow.spanOutputs"]["usage"]
    assert not any(convention == "mlflow" and fact.startswith("usage.") for convention, fact in scene.verdicts())
