"""What is read off each endpoint's wire, and which exchanges are one request."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from harness.completeness.wire import group_attempts, observe_call
from harness.records import Chunk, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.completeness import WireRequest
    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]

MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Oslo."}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"x": 1}'}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-x-2025",
    "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, MESSAGE, CALL],
    "usage": {
        "input_tokens": 14,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 22,
    },
}


def _exchange(path: str, request: dict[str, Any], **more: Any) -> Exchange:
    fields: dict[str, Any] = {
        "exchange_id": 0,
        "call_id": "c",
        "dialect": "openai",
        "method": "POST",
        "path": path,
        "received_unix_ns": 1_000,
        "received_ns": 0,
        "request_body": json.dumps(request),
        "request_size_bytes": 1,
        "request_digest": "d",
        "status": 200,
        "last_byte_ns": 50,
        "completed": True,
    }
    return Exchange(**{**fields, **more})


def _one(path: str, request: dict[str, Any], answer: dict[str, Any], **more: Any) -> WireRequest:
    wire = observe_call([_exchange(path, request, response_body=json.dumps(answer), **more)])
    assert wire.other_paths == ()
    return wire.requests[0]


def _stream(*payloads: dict[str, Any]) -> tuple[Chunk, ...]:
    return tuple(
        Chunk(sent_ns=number, data=f"event: {one.get('type')}\ndata: {json.dumps(one)}\n\n")
        for number, one in enumerate(payloads)
    )


@pytest.mark.parametrize("encode", [list, lambda numbers: base64.b64encode(struct.pack("<4f", *numbers)).decode()])
def test_embeddings_are_read(encode: Callable[[list[float]], Any]) -> None:
    """Vectors are counted with their dimensions, as numbers or in base64, in the order of their indexes."""
    vectors = [{"index": index, "embedding": encode([0.5, 1.0, -2.0, 0.25])} for index in (1, 0)]
    answer = {"object": "list", "data": vectors, "model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    wire = _one("/v1/embeddings", {"model": "e", "input": ["a", "b"], "dimensions": 4}, answer)
    assert (wire.endpoint, wire.operation, wire.input) == ("embeddings", "embeddings", ["a", "b"])
    assert wire.parameters == {"dimensions": 4}
    assert wire.response is not None
    assert wire.response.vector_lengths == (4, 4)
    assert wire.response.usage[:3] == (8, None, 8)


def test_a_response_is_read() -> None:
    """The Responses API gives text, function calls, status, and the same counts under other names."""
    request = {"model": "gpt-x", "input": "Hi", "instructions": "Be brief.", "tools": [{"type": "web"}], "top_p": 1}
    wire = _one("/v1/responses", request, RESPONSE)
    assert (wire.endpoint, wire.operation, wire.input, wire.instructions) == ("responses", "chat", "Hi", "Be brief.")
    assert wire.parameters == {"top_p": 1}
    assert wire.error is None
    response = wire.response
    assert response is not None
    assert (response.response_id, response.model, response.status) == ("resp_1", "gpt-x-2025", "completed")
    assert tuple(response.usage) == (14, 8, 22, 3, 5)
    (choice,) = response.choices
    assert choice.content == "Oslo."
    assert choice.tool_calls == (
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
    )


def _deltas() -> list[dict[str, Any]]:
    return [
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**MESSAGE, "content": []}},
        {
            "type": "response.content_part.added",
            "output_index": 0,
            "content_index": 0,
            "part": {"type": "output_text", "text": ""},
        },
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Os"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "lo."},
        {"type": "response.output_item.added", "output_index": 1, "item": {**CALL, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"x":'},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": " 1}"},
    ]


@pytest.mark.parametrize("ending", ["completed", "incomplete", "failed", None])
def test_a_streamed_response_is_read(ending: str | None) -> None:
    """The last event's response counts; of a stream that broke the deltas say what had arrived."""
    last = {**RESPONSE, "status": ending, "output": [MESSAGE, CALL]}
    last |= {"incomplete_details": {"reason": "max_output_tokens"}} if ending == "incomplete" else {}
    last |= {"error": {"code": "server_error", "message": "m"}} if ending == "failed" else {}
    payloads = _deltas() + ([{"type": f"response.{ending}", "response": last}] if ending else [])
    exchange = _exchange("/v1/responses", {"stream": True}, chunks=_stream(*payloads), completed=ending is not None)
    wire = observe_call([exchange]).requests[0]
    assert wire.stream
    assert wire.event_count == len(payloads)
    assert wire.content_event_count == 5
    assert wire.first_content_unix_ns == 1_003
    response = wire.response
    assert response is not None
    assert response.choices[0].content == "Oslo."
    assert response.choices[0].tool_calls[0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert response.status == (ending or "in_progress")
    assert response.incomplete_reason == ("max_output_tokens" if ending == "incomplete" else None)
    assert (response.failure is not None) == (ending == "failed")
    assert (wire.error is None) == (ending is not None)


def test_an_error_event_of_the_responses_api_is_an_error() -> None:
    """An event of the type error ends the request in an error, whatever had come before."""
    failure = {"type": "error", "code": "server_error", "message": "overloaded"}
    exchange = _exchange("/v1/responses", {"stream": True}, chunks=_stream(*_deltas(), failure))
    error = observe_call([exchange]).requests[0].error
    assert error is not None
    assert (error.status_code, error.message, error.code) == (None, "overloaded", "server_error")


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("v1/chat/completions", "chat"),
        ("/v1/chat/completions#stream", "chat"),
        ("/v1/chat/completions%23stream", "chat"),
        ("/openai/deployments/x/chat/completions?api-version=1", "chat"),
        ("/v1/embeddings/", "embeddings"),
        ("/v1/Responses", "responses"),
        ("/v1/completions", None),
        ("/v1/responses/resp_1/cancel", None),
        ("/v1/models", None),
    ],
)
def test_endpoints_are_told_by_their_path(path: str, endpoint: str | None) -> None:
    """Query, fragment and case do not count; what is on no endpoint is kept by its path."""
    wire = observe_call([_exchange(path, {})])
    assert [one.endpoint for one in wire.requests] == ([endpoint] if endpoint else [])
    assert wire.other_paths == (() if endpoint else (path,))


def test_reading_back_a_response_is_no_request_to_a_model() -> None:
    """Only what is posted asks a model for something."""
    assert observe_call([_exchange("/v1/responses", {}, method="GET")]).requests == ()


def _at(number: int, begin: int, end: int | None, *, status: int | None = 200, **more: Any) -> Exchange:
    header = {"X-Stainless-Retry-Count": str(more.pop("count"))} if "count" in more else {}
    fields = {"received_ns": begin, "last_byte_ns": end, "status": status, "completed": status is not None}
    path = more.pop("path", "/v1/embeddings")
    return _exchange(path, {}, exchange_id=number, request_headers=header, **(fields | more))


@pytest.mark.parametrize(
    ("exchanges", "groups"),
    [
        pytest.param([_at(0, 0, 9, status=500), _at(1, 10, 20)], [[0, 1]], id="sent again after an error"),
        pytest.param([_at(0, 0, 9, status=429), _at(1, 10, 20, status=429)], [[0, 1]], id="all failed"),
        pytest.param([_at(0, 0, 9), _at(1, 10, 20)], [[0], [1]], id="asked twice"),
        pytest.param([_at(0, 0, 30), _at(1, 10, 20)], [[0], [1]], id="at the same time"),
        pytest.param([_at(0, 0, 30, status=500), _at(1, 10, 20)], [[0], [1]], id="failed while the other ran"),
        pytest.param([_at(0, 0, 9, completed=False), _at(1, 10, 20)], [[0, 1]], id="cut"),
        pytest.param([_at(0, 0, None, status=None), _at(1, 10, 20)], [[0, 1]], id="never answered"),
        pytest.param(
            [_at(0, 0, 9, status=500, count=0), _at(1, 10, 20, count=0)], [[0], [1]], id="the SDK begins anew"
        ),
        pytest.param(
            [_at(0, 0, 30, completed=False, count=0), _at(1, 10, 20, count=1)], [[0, 1]], id="given up, seen late"
        ),
        pytest.param([_at(0, 0, 9, status=500), _at(1, 10, 20, request_digest="e")], [[0], [1]], id="another body"),
        pytest.param([_at(0, 0, 9, status=500), _at(1, 10, 20, path="/v2/embeddings")], [[0], [1]], id="another path"),
        pytest.param(
            [_at(0, 0, 9, status=500), _at(1, 1, 8, status=500), _at(2, 10, 20), _at(3, 11, 21)],
            [[0, 2], [1, 3]],
            id="two equal ones, each sent again",
        ),
    ],
)
def test_attempts_are_told_from_requests(exchanges: list[Exchange], groups: list[list[int]]) -> None:
    """An exchange repeats one that failed and was over; one that was answered, or still is, was not repeated."""
    for order in (exchanges, exchanges[::-1]):
        assert [[one.exchange_id for one in group] for group in group_attempts(order)] == groups


def test_the_parts_of_a_scene_agree(make_scene: MakeScene, parts: type[Parts]) -> None:
    """The fixtures' chat stays what it was: one request with its attempts."""
    scene = make_scene()
    scene.exchanges = [parts.exchange(scene, failed=True, begin_ms=5, length_ms=4), parts.exchange(scene, number=1)]
    (wire,) = observe_call([Exchange(**one) for one in scene.exchanges]).requests
    assert (wire.attempts, len(wire.attempt_times)) == (2, 2)
