"""A fresh process that makes calls of every mode under strategies, and says what it saw.

The first argument is JSON: where the endpoint and the store are, and a list of cases. What it
saw goes to standard output as one line of JSON, case by case.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI, OpenAI

from harness.errors import HarnessError
from harness.providers import Answer, Operation, Usage, operations_of
from harness.providers.completions import answer_from, merged_chunks
from harness.providers.langchain import LangChainProvider
from harness.providers.openai import OpenAIProvider
from harness.records import CALL_ID_METADATA
from harness.targets import load_target
from harness.tracing import STRATEGIES, Strategy, traced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from harness.prompts import Sample

HANG_S = 200.0
HELD_S = 0.5
"""How long a call that never ends is waited for; long enough for its stream to have begun."""


class _Embeddings(BaseHTTPRequestHandler):
    """OpenAI's embeddings, which the chat endpoint does not have."""

    def do_POST(self) -> None:
        """Two numbers for each text."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data = [{"object": "embedding", "index": n, "embedding": [1.0, 2.0]} for n in range(len(body["input"]))]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        answer = json.dumps({"object": "list", "model": "embedder-2", "data": data, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


class Application:
    """OpenAI's SDK in every mode under one strategy."""

    def __init__(self, job: dict[str, Any], case: dict[str, str]) -> None:
        self.case = case
        self.strategy: Strategy = load_target(STRATEGIES[case["strategy"]])(style=case["style"], depth=case["depth"])
        url, key = f"{job['endpoint_url']}/openai/v1", "test-key"
        kind = LangChainProvider if case["provider"] == "langchain" else OpenAIProvider
        self.provider: Any = kind(
            base_url=f"{job['endpoint_url']}/{'openai' if case['backend'] == 'openai' else 'mistral'}",
            backend=case["backend"],
            model="gpt-4o-mini",
            api_key=key,
            timeout_s=30.0,
        )
        self.client, self.async_client = OpenAI(base_url=url, api_key=key), AsyncOpenAI(base_url=url, api_key=key)
        self.embedder = OpenAI(base_url=job["embeddings_url"], api_key=key)
        self.strategy.install(self.provider, job["tracking_uri"], "tests")

    def operation(self, name: str) -> Operation:
        """One of the SDK's methods, or something that the application made of them."""
        provider = self.provider
        own: dict[str, Callable[[], Operation]] = {
            "chat_async": lambda: self._chat("chat_async", "async", self.async_client.chat.completions.create),
            "stream_async": lambda: self._chat(
                "stream_async", "async_stream", self.async_client.chat.completions.create
            ),
            "generated": lambda: self._chat("stream_async", "async_stream", self._generated),
            "embeddings": lambda: Operation(
                "embeddings", "single", self.embedder.embeddings.create, _unused, _embeddings, dict
            ),
            "slow": lambda: self._chat("chat_async", "async", self._slow),
            "broken": lambda: self._chat("stream", "stream", self._broken),
            "chain": lambda: Operation("chain", "single", self._chain, _unused, provider.answer, dict),
            "agent": lambda: Operation("agent", "async", self._agent, _unused, _text, dict),
            "unreadable": lambda: Operation("chat", "single", provider.complete, _unused, _unreadable, _unreadable),
        }
        return own[name]() if name in own else operations_of(provider)[name]

    def _chat(self, name: str, mode: Any, call: Callable[..., Any]) -> Operation:
        answer = self.provider.stream_answer if mode.endswith("stream") else self.provider.answer
        return Operation(name, mode, call, _unused, answer, self.provider.chat_request)

    async def _generated(self, **request: Any) -> AsyncIterator[Any]:
        """An asynchronous generator, as frameworks have them."""
        async for chunk in await self.async_client.chat.completions.create(**request):
            yield chunk

    async def _slow(self, **_request: Any) -> Any:
        await asyncio.sleep(HANG_S)

    def _broken(self, **request: Any) -> Iterator[Any]:
        """A stream that fails after three chunks, as one does that the server cuts."""
        for _, chunk in zip(range(3), self.client.chat.completions.create(**request), strict=False):
            yield chunk
        raise ConnectionResetError("the server went away")

    def _chain(self, topic: str) -> Any:
        return self.client.chat.completions.create(**chat(topic))

    async def _agent(self, question: str) -> str:
        answer = await self.async_client.chat.completions.create(**chat(question))
        return answer.choices[0].message.content or ""

    def call(self, name: str) -> Callable[..., Any]:
        """An operation as the application calls it."""
        return traced(self.strategy, self.operation(name))

    def tied(self, what: str) -> Any:
        """The context that ties traces to a call."""
        return self.strategy.attribute({CALL_ID_METADATA: f"{self.case['id']}/{what}"})

    def left(self, what: str) -> list[str]:
        """A stream of which only three chunks are read."""
        with self.tied(what):
            stream: Iterator[Any] = iter(self.call("stream")(**chat("one two three four", stream=True)))
            chunks = [_type_name(next(stream)) for _ in range(3)]
            stream.close()  # type: ignore[attr-defined]  # generators and the SDK's streams have it
        return chunks

    def flow(self, function: Callable[[str], Any]) -> Callable[[str], Any]:
        """The function in the strategy's own span, where it makes one."""
        if getattr(self.strategy, "flows", "never") == "never":
            return function
        made: Callable[[str], Any] = self.strategy.flow(function)  # type: ignore[attr-defined]
        return made

    def observe(self) -> dict[str, Any]:
        """What is called without an event loop."""
        single, stream = self.call("chat"), self.call("stream")

        def handle(question: str) -> str:
            first = single(**chat(question))
            chunks = list(stream(**chat(first.choices[0].message.content, stream=True)))
            return self.provider.stream_answer(chunks).text  # type: ignore[no-any-return]

        return {
            "single": self.tried("single", lambda: single(**chat("good morning"))),
            "stream": self.tried("stream", lambda: list(stream(**chat("good morning", stream=True)))),
            "left": self.left("left"),
            "broken": self.tried("broken", lambda: list(self.call("broken")(**chat("one two", stream=True)))),
            "embeddings": self.tried(
                "embeddings", lambda: self.call("embeddings")(model="embedder", input=["a text", "another"])
            ),
            "chain": self.tried("chain", lambda: self.call("chain")(topic="good morning")),
            "unreadable": self.tried("unreadable", lambda: self.call("unreadable")(**chat("good morning"))),
            "flow": self.tried("flow", lambda: self.flow(handle)("good morning")),
            "flow_error": self.tried("flow_error", lambda: self.flow(handle)("FAIL")),
        }

    def tried(self, what: str, act: Callable[[], Any]) -> dict[str, Any]:
        """What comes of it: a value, or an exception."""
        try:
            with self.tied(what):
                return _seen(act())
        except Exception as error:  # noqa: BLE001 - what is raised is what is tested
            return {"error": _type_name(error), "message": str(error)}

    async def tried_async(self, what: str, act: Callable[[], Any]) -> dict[str, Any]:
        """The same for what has to be awaited."""
        try:
            with self.tied(what):
                return _seen(await act())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - what is raised is what is tested
            return {"error": _type_name(error), "message": str(error)}

    async def read(self, name: str, text: str, limit: int | None = None) -> list[Any]:
        """A stream's chunks, all of them or the first few."""
        stream = self.call(name)(**chat(text, stream=True))
        stream = await stream if asyncio.iscoroutine(stream) else stream
        chunks: list[Any] = []
        async for chunk in stream:
            chunks.append(chunk)
            if len(chunks) == limit:
                break
        await (stream.aclose() if hasattr(stream, "aclose") else stream.close())
        await asyncio.sleep(0.05)  # the loop closes what a generator left open
        return chunks

    async def cancelled(self, call: Callable[..., Any]) -> Any:
        """A call that is cancelled when it has begun."""
        task = asyncio.ensure_future(call(**chat("good morning")))
        await asyncio.sleep(0.05)
        task.cancel("the user went away")
        return await task

    async def observe_async(self) -> dict[str, Any]:
        """What is called in an event loop."""
        single = self.call("chat_async")

        async def handle(question: str) -> list[Any]:
            calls = (single(**chat(f"{question} {n}")) for n in range(3))
            return [answer.choices[0].message.content for answer in await asyncio.gather(*calls)]

        return {
            "async": await self.tried_async("async", lambda: single(**chat("good morning"))),
            "async_error": await self.tried_async("async_error", lambda: single(**chat("FAIL"))),
            "async_stream": await self.tried_async("async_stream", lambda: self.read("stream_async", "good morning")),
            "generated": await self.tried_async("generated", lambda: self.read("generated", "good morning")),
            "async_stream_error": await self.tried_async(
                "async_stream_error", lambda: self.read("stream_async", "FAIL")
            ),
            "async_left": await self.tried_async(
                "async_left", lambda: self.read("stream_async", "one two three four", 3)
            ),
            "async_timeout": await self.tried_async(
                "async_timeout", lambda: asyncio.wait_for(self.read("stream_async", "HOLD"), HELD_S)
            ),
            "async_cancel": await self.tried_async("async_cancel", lambda: self.cancelled(self.call("slow"))),
            "agent": await self.tried_async("agent", lambda: self.call("agent")(question="good morning")),
            "flow_async": await self.tried_async("flow_async", lambda: self.flow(handle)("good morning")),
        }

    def everything(self) -> dict[str, Any]:
        """All modes for OpenAI; LangChain's part is its single call and its stream."""
        about = {
            "is_strategy": isinstance(self.strategy, Strategy),
            "expects_traces": self.strategy.expects_traces,
            "flows": getattr(self.strategy, "flows", "never"),
        }
        if self.case["provider"] == "langchain":
            request = {"messages": chat("good morning")["messages"]}
            seen = {
                "single": self.tried("single", lambda: self.call("chat")(**request)),
                "stream": self.tried("stream", lambda: list(self.call("stream")(**request))),
            }
        else:
            seen = self.observe() | asyncio.run(self.observe_async())
        return about | seen | {"source": self.strategy.source()}


def chat(text: str, *, stream: bool = False) -> dict[str, Any]:
    """A request in OpenAI's words; a held one carries the id that the endpoint waits for."""
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    if text == "HOLD":
        more["extra_headers"] = {"x-harness-call-id": "never released"}
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def _unused(_sample: Sample) -> dict[str, Any]:
    raise NotImplementedError


def _unreadable(_value: Any) -> Any:
    raise LookupError("an answer that nobody can read")


def _embeddings(value: Any) -> Answer:
    message = value.to_dict(mode="json")
    return Answer("", value.model, None, None, Usage(value.usage.prompt_tokens, 0, value.usage.total_tokens), message)


def _text(value: str) -> Answer:
    return Answer(value, None, None, None, None, {"answer": value})


def _seen(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        whole = (
            answer_from(merged_chunks(c.to_dict(mode="json") for c in value)) if hasattr(value[0], "choices") else None
        )
        return {"types": [_type_name(one) for one in value], "text": whole.text if whole else str(value)}
    text = value.choices[0].message.content if hasattr(value, "choices") else str(value)
    return {"type": _type_name(value), "text": text}


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def refusals(job: dict[str, Any]) -> dict[str, Any]:
    """What is said to strategies that cannot work."""
    attempts = {
        "around style": {"strategy": "around", "style": "tap", "depth": ""},
        "around depth": {"strategy": "around", "style": "context", "depth": "plain"},
        "both style": {"strategy": "both", "style": "context", "depth": ""},
        "both openai": {"strategy": "both", "style": "", "depth": ""},
    }
    said = {}
    for name, attempt in attempts.items():
        try:
            Application(job, {"id": "x", "provider": "openai", "backend": "openai"} | attempt)
        except HarnessError as error:
            said[name] = [type(error).__name__, str(error)]
    return said


def main() -> None:
    """Run the cases in their order, then drain once."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    job = json.loads(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    job["embeddings_url"] = f"http://127.0.0.1:{server.server_port}/v1"
    seen: dict[str, Any] = {}
    if job["refusals"]:
        seen["refusals"] = refusals(job)
    for case in job["cases"]:
        application = Application(job, case)
        seen[case["id"]] = application.everything()
    application.strategy.drain()
    print(json.dumps(seen), flush=True)  # noqa: T201 - this script's output
    os._exit(0)


if __name__ == "__main__":
    main()
