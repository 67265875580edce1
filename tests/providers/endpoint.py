"""A real endpoint for the tests: both dialects over HTTP, in a process of its own.

It answers ``Echo: `` and the last message, a word a chunk; embeddings are the texts' lengths. It keeps
each request for ``GET /requests?call_id=``. What a message can ask for:

- ``FAIL``: an error 400 in the provider's shape;
- ``FLAKY``: an error 503 for the first request of a call id;
- ``SLOW``: an answer after a second;
- ``TOOL``: a call of the first tool that is offered;
- ``HOLD``: the stream stops after its first text until ``POST /release?call_id=`` for its own
  call id, 10 s at most, and then says whether it was released.

A JSON schema is answered with an object of its properties. Run as a script it prints its port and
serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
import sys
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

requests: list[dict[str, Any]] = []
released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""One for each call id, because several processes ask at a time."""
FILLERS: dict[str, Any] = {"string": "x", "integer": 3, "number": 0.5, "boolean": True, "array": [], "object": {}}


async def refusal(request: Request, body: dict[str, Any], asked: str) -> Response | None:
    """Keep the request, and answer it if it asked for trouble."""
    call_id = request.headers.get("x-harness-call-id")
    earlier = sum(one["headers"].get("x-harness-call-id") == call_id for one in requests)
    requests.append({"path": request.url.path, "headers": dict(request.headers), "body": body})
    status = 400 if asked == "FAIL" else 503 if asked == "FLAKY" and not earlier else 200
    if asked == "SLOW":
        await asyncio.sleep(1)
    if status == 200:
        return None
    detail = {"message": "this request is wrong", "type": "invalid_request_error", "param": None, "code": None}
    content = detail if request.path_params["dialect"] == "mistral" else {"error": detail}
    return JSONResponse(content, status_code=status, headers={"retry-after-ms": "1"})


async def chat(request: Request) -> Response:
    """Answer a chat completion of either dialect."""
    body = await request.json()
    mistral = request.path_params["dialect"] == "mistral"
    asked = body["messages"][-1]["content"]
    if refused := await refusal(request, body, asked):
        return refused
    base = {"id": "answer-1", "created": 1731368630, "model": body["model"] if mistral else f"{body['model']}-2024"}
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    if body.get("stream"):
        shows_usage = mistral or bool((body.get("stream_options") or {}).get("include_usage"))
        release_call = released[request.headers["x-harness-call-id"]] if asked == "HOLD" else None
        base["object"] = "chat.completion.chunk"
        events = _events(base, asked, usage if shows_usage else None, release_call)
        return StreamingResponse(events, media_type="text/event-stream")
    message, finish_reason = _message(body, asked)
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return JSONResponse({**base, "object": "chat.completion", "choices": [choice], "usage": usage})


def _message(body: dict[str, Any], asked: str) -> tuple[dict[str, Any], str]:
    if asked == "TOOL":
        function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"zone": "UTC"}'}
        call = {"id": "Call00001", "type": "function", "function": function}
        return {"role": "assistant", "content": "", "tool_calls": [call]}, "tool_calls"
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if schema:
        filled = {name: FILLERS[field["type"]] for name, field in schema["properties"].items()}
        return {"role": "assistant", "content": json.dumps(filled)}, "stop"
    return {"role": "assistant", "content": f"Echo: {asked}"}, "length"


async def _events(
    base: dict[str, Any], asked: str, usage: dict[str, int] | None, hold: asyncio.Event | None
) -> AsyncIterator[str]:
    def event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return f"data: {json.dumps({**base, 'choices': [choice], **more})}\n\n"

    yield event({"role": "assistant", "content": ""})
    words = f"Echo: {asked}".split(" ")
    yield event({"content": words[0]})
    if hold is not None:
        try:
            await asyncio.wait_for(hold.wait(), timeout=10)
            words.append("released")
        except TimeoutError:
            words.append("never released")
    for word in words[1:]:
        yield event({"content": f" {word}"})
    yield event({"content": ""}, "length", **({"usage": usage} if usage else {}))
    yield "data: [DONE]\n\n"


async def embeddings(request: Request) -> Response:
    """Answer with a vector ``[length, 1, 0.5]`` for each text, in the encoding that is asked for."""
    body = await request.json()
    if refused := await refusal(request, body, body["input"][0]):
        return refused
    vectors = [[float(len(text)), 1.0, 0.5] for text in body["input"]]
    packed = body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(struct.pack("<3f", *one)).decode() if packed else one,
        }
        for index, one in enumerate(vectors)
    ]
    answer = {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    if request.path_params["dialect"] == "mistral":
        answer["id"] = "embedding-1"
    return JSONResponse(answer)


async def responses(request: Request) -> Response:
    """Answer a request of the Responses API, cut short."""
    body = await request.json()
    asked = body["input"][-1].get("content") or body["input"][-1].get("output")
    if refused := await refusal(request, body, asked):
        return refused
    text = f"Echo: {asked}"
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "msg-1", "role": "assistant", "status": "incomplete", "content": [part]}
    base = {
        "id": "resp-1",
        "object": "response",
        "created_at": 1731368630,
        "model": f"{body['model']}-2024",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    usage = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 17,
    }
    ended = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": usage}
    whole = {**base, **ended, "output": [item]}
    if not body.get("stream"):
        return JSONResponse(whole)
    begun = {**base, "status": "in_progress", "output": []}
    return StreamingResponse(_response_events(begun, text, whole), media_type="text/event-stream")


async def _response_events(begun: dict[str, Any], text: str, whole: dict[str, Any]) -> AsyncIterator[str]:
    place = {"item_id": "msg-1", "output_index": 0, "content_index": 0, "logprobs": []}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    events += [{"type": "response.output_text.delta", **place, "delta": piece} for piece in text.partition(" ")]
    events += [{"type": "response.incomplete", "response": whole}]
    for number, event in enumerate(events):
        yield f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"


async def release(request: Request) -> Response:
    """Let the held stream of one call go on."""
    released[request.query_params["call_id"]].set()
    return Response()


async def recorded(request: Request) -> Response:
    """The requests that carried a call id."""
    wanted = request.query_params["call_id"]
    return JSONResponse([one for one in requests if one["headers"].get("x-harness-call-id") == wanted])


app = Starlette(
    routes=[
        Route("/{dialect}/v1/chat/completions", chat, methods=["POST"]),
        Route("/{dialect}/v1/embeddings", embeddings, methods=["POST"]),
        Route("/{dialect}/v1/responses", responses, methods=["POST"]),
        Route("/release", release, methods=["POST"]),
        Route("/requests", recorded),
    ]
)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # from here on connections wait instead of being refused
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - the port is this script's output
    threading.Thread(target=_end_with_input, daemon=True).start()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=60)).run(sockets=[listener])
