"""A real endpoint for the tests: both dialects over HTTP, in a process of its own.

It answers ``Echo: `` and the last message, a word a chunk. It keeps each request for ``GET
/requests?call_id=``. What a message can ask for:

- ``FAIL``: an error 400 in the provider's shape;
- ``HOLD``: the stream stops after its first text until ``POST /release?call_id=`` for its own
  call id, 10 s at most, and then says whether it was released.

Run as a script it prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
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


async def chat(request: Request) -> Response:
    """Answer a chat completion of either dialect."""
    body = await request.json()
    mistral = request.path_params["dialect"] == "mistral"
    requests.append({"path": request.url.path, "headers": dict(request.headers), "body": body})
    asked = body["messages"][-1]["content"]
    if asked == "FAIL":
        detail = {"message": "this request is wrong", "type": "invalid_request_error", "param": None, "code": None}
        return JSONResponse(detail if mistral else {"error": detail}, status_code=400)
    base = {"id": "answer-1", "created": 1731368630, "model": body["model"] if mistral else f"{body['model']}-2024"}
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    if body.get("stream"):
        shows_usage = mistral or bool((body.get("stream_options") or {}).get("include_usage"))
        release_call = released[request.headers["x-harness-call-id"]] if asked == "HOLD" else None
        base["object"] = "chat.completion.chunk"
        events = _events(base, asked, usage if shows_usage else None, release_call)
        return StreamingResponse(events, media_type="text/event-stream")
    message = {"role": "assistant", "content": f"Echo: {asked}"}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    return JSONResponse({**base, "object": "chat.completion", "choices": [choice], "usage": usage})


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
