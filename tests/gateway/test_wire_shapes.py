"""The simulator's answers have the keys, types and order of real exchanges.

``wire_shapes.json`` was derived from exchanges with api.openai.com and api.mistral.ai: for each
kind of body or event, which paths all of them have (``required``), which some have
(``optional``), with the JSON types seen there, and the order of the keys at the top.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.prompts import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Dialect
    from tests.gateway.conftest import RunningGateway

SHAPES = json.loads((Path(__file__).parent / "wire_shapes.json").read_text())
TYPES = {str: "string", int: "integer", bool: "boolean", float: "number", type(None): "null"}


def _paths(value: Any, place: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        inside = [pair for key, item in value.items() for pair in _paths(item, f"{place}.{key}" if place else key)]
        return [*inside, (place, "object")] if place else inside
    if isinstance(value, list):
        return [(place, "array"), *(pair for item in value for pair in _paths(item, f"{place}[]"))]
    return [(place, TYPES[type(value)])]


def _check(kind: str, document: dict[str, Any]) -> None:
    """Hold a document against the shape of its kind."""
    shape = SHAPES["bodies"][kind]
    known = {**shape["required"], **shape["optional"]}
    found = _paths(document)
    unknown = [(path, name) for path, name in found if name not in known.get(path, ())]
    assert not unknown, f"{kind}: no real exchange has these"
    missing = set(shape["required"]) - {path for path, _ in found}
    assert not missing, f"{kind}: every real exchange has these"
    order = [key for key in shape["order"] if key in document]
    assert [key for key in document if key in order] == order


def _kind(event: dict[str, Any]) -> str:
    if not event["choices"]:
        return "usage"
    if event["choices"][0]["finish_reason"]:
        return "finish"
    return "role" if "role" in event["choices"][0]["delta"] else "content"


def _events(text: str) -> list[dict[str, Any]]:
    *events, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4", "gpt-5-nano"])
@pytest.mark.parametrize("parameters", [{}, {"n": 2}, {"max_tokens": 3, "temperature": 0.5, "seed": 42}])
def test_openai_single(
    shared: RunningGateway, model: str, parameters: dict[str, Any], make_call: Any, chat: Any
) -> None:
    """A single answer, with one choice and with several."""
    answer = shared.post(chat(model, **parameters), call=make_call())
    _check("openai single", answer.json())
    assert len(answer.json()["choices"]) == parameters.get("n", 1)


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("choices", [1, 2])
def test_openai_stream(shared: RunningGateway, usage: bool, choices: int, make_call: Any, chat: Any) -> None:
    """Every event of a stream, with and without usage."""
    options = {"stream_options": {"include_usage": True}} if usage else {}
    answer = shared.post(chat(stream=True, n=choices, **options), call=make_call())
    for event in _events(answer.text):
        _check(f"openai stream: {_kind(event)}", event)
        assert ("usage" in event) == usage


def test_openai_stream_order(shared: RunningGateway, make_call: Any, chat: Any) -> None:
    """Each choice's role stands before its first piece, choices take turns, all finish at the end, then usage."""
    body = chat(stream=True, n=2, max_tokens=2, stream_options={"include_usage": True})
    events = _events(shared.post(body, call=make_call()).text)
    order = [(_kind(event), event["choices"][0]["index"] if event["choices"] else None) for event in events]
    turns = [("role", 0), ("content", 0), ("role", 1), ("content", 1), ("content", 0), ("content", 1)]
    assert order == [*turns, ("finish", 0), ("finish", 1), ("usage", None)]


def test_mistral_single(shared: RunningGateway, make_call: Any, chat: Any) -> None:
    """A single answer, also of a prompt that is partly cached."""
    _check("mistral single", shared.post(chat("mistral-tiny"), dialect="mistral", call=make_call()).json())
    cached = chat("mistral-tiny")
    cached["messages"][0]["content"] = "word " * 1300
    _check("mistral single", shared.post(cached, dialect="mistral", call=make_call()).json())


def test_mistral_stream(shared: RunningGateway, make_call: Any, chat: Any) -> None:
    """Role, pieces with padding, and an end that carries usage."""
    body = chat("mistral-tiny", stream=True)
    events = _events(shared.post(body, dialect="mistral", call=make_call()).text)
    for event in events:
        _check(f"mistral stream: {_kind(event)}", event)
    assert [_kind(event) for event in events] == ["role", *["content"] * 7, "finish"]


WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city"}},
        "required": ["location"],
    },
}
CALLING = {"tools": [{"type": "function", "function": WEATHER}], "tool_choice": "required"}
ASKING = {"model": "gpt-4.1-nano", "input": "Say this is a test"}


def _scripted(start: Callable[..., RunningGateway], **entry: Any) -> RunningGateway:
    sample = Sample(id="scripted", messages=({"role": "user", "content": "?"},), script=(entry,))
    return start(samples=(sample,))


def _tool_kind(event: dict[str, Any]) -> str:
    calls = event["choices"][0]["delta"].get("tool_calls") if event["choices"] else None
    if not calls:
        return _kind(event)
    return "call" if "id" in calls[0] else "arguments"


def test_openai_tool_calls(shared: RunningGateway, make_call: Any, chat: Any) -> None:
    """A call that was forced has the form of one that was not."""
    _check("openai tools single", shared.post(chat(**CALLING), call=make_call("story")).json())


def test_openai_tool_calls_streamed(start: Callable[..., RunningGateway], make_call: Any, chat: Any) -> None:
    """Each call begins with its name and no arguments; they follow in pieces, call by call."""
    calls = [{"name": "get_weather", "arguments": {"location": city}} for city in ("Seattle", "Boston")]
    running = _scripted(start, tool_calls=calls)
    body = chat(stream=True, stream_options={"include_usage": True}, **{**CALLING, "tool_choice": "auto"})
    events = _events(running.post(body, call=make_call("scripted")).text)
    for event in events:
        _check(f"openai tools stream: {_tool_kind(event)}", event)
    kinds = [kind for kind, _ in groupby(map(_tool_kind, events))]
    assert kinds == ["role", "call", "arguments", "call", "arguments", "finish", "usage"]


def test_openai_refusal(start: Callable[..., RunningGateway], make_call: Any, chat: Any) -> None:
    """A refusal stands where no content does."""
    running = _scripted(start, refusal="I'm sorry, I cannot do that.")
    _check("openai refusal single", running.post(chat("gpt-4o"), call=make_call("scripted")).json())


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
def test_embeddings(shared: RunningGateway, dialect: Dialect) -> None:
    """One text, and several."""
    for texts in ("one text", ["one text", "another"]):
        answer = shared.post({"model": "some-embed", "input": texts}, dialect=dialect, path="/v1/embeddings")
        _check(f"{dialect} embeddings", answer.json())


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"model": "gpt-5-nano", "reasoning": {"effort": "low", "summary": None}},
        {"tools": [{"type": "function", **WEATHER}], "tool_choice": "required"},
        {"instructions": "Be brief."},
    ],
)
def test_openai_responses(shared: RunningGateway, parameters: dict[str, Any], make_call: Any) -> None:
    """A text, with reasoning before it, and a function call."""
    answer = shared.post({**ASKING, **parameters}, call=make_call(), path="/v1/responses")
    _check("openai responses", answer.json())


def test_openai_responses_streamed(shared: RunningGateway, make_call: Any) -> None:
    """Every event of a stream, in order, with its name before it."""
    text = shared.post({**ASKING, "stream": True}, call=make_call(), path="/v1/responses").text
    named = [event.removeprefix("event: ").split("\ndata: ") for event in text.split("\n\n")[:-1]]
    events = [json.loads(data) for _, data in named]
    assert [event["type"] for event in events] == [name for name, _ in named]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        _check(f"openai responses stream: {event['type']}", event)
    _check("openai responses", events[-1]["response"])
    assert [name for name, _ in groupby(name for name, _ in named)] == SHAPES["sequences"]["openai responses stream"]


@pytest.mark.parametrize("body", [{"model": "this-model-does-not-exist", "messages": [{}]}, {"model": "gpt-4o"}])
def test_openai_error(shared: RunningGateway, body: dict[str, Any]) -> None:
    """Errors of both statuses."""
    _check("openai error", shared.post(body).json())


def test_openai_responses_error(shared: RunningGateway) -> None:
    """A model that does not exist is a bad request here."""
    _check("openai error", shared.post({**ASKING, "model": "this-model-does-not-exist"}, path="/v1/responses").json())


@pytest.mark.parametrize(
    ("kind", "dialect", "body"),
    [
        ("openai embeddings", "openai", {"input": "x", "model": "text-embedding-3-small"}),
        ("mistral embeddings", "mistral", {"input": "x", "model": "mistral-embed"}),
        ("openai embeddings 404", "openai", {"input": "x", "model": "this-model-does-not-exist"}),
        ("openai responses", "openai", {**ASKING, "instructions": "x"}),
        ("openai responses stream", "openai", {**ASKING, "stream": True, "instructions": "x"}),
        ("openai responses 400", "openai", {**ASKING, "model": "this-model-does-not-exist"}),
        ("openai single", "openai", {"messages": [{}], "model": "gpt-4o"}),
        ("openai stream", "openai", {"messages": [{}], "model": "gpt-4o", "stream": True}),
        ("openai error 400", "openai", {"model": "gpt-4o"}),
        ("openai error 404", "openai", {"messages": [{}], "model": "this-model-does-not-exist"}),
        ("mistral single", "mistral", {"messages": [{}], "model": "mistral-tiny"}),
        ("mistral stream", "mistral", {"messages": [{}], "model": "mistral-tiny", "stream": True}),
    ],
)
def test_response_headers(shared: RunningGateway, kind: str, dialect: Dialect, body: dict[str, Any]) -> None:
    """The headers that real answers carry are there, and no framework's."""
    service = kind.split()[1]
    path = f"/v1/{service}" if service in ("embeddings", "responses") else "/v1/chat/completions"
    headers = shared.post(body, dialect=dialect, path=path).headers
    assert headers["content-type"] == SHAPES["headers"][kind]["content-type"]
    assert set(headers) - {"content-length", "transfer-encoding"} == set(SHAPES["headers"][kind]["names"])
