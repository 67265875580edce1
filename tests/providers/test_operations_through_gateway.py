"""Every operation of every provider through the real gateway: what the application reads went over the wire."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.prompts import Sample
from harness.providers import OPERATIONS, PROVIDERS, Answer, Operation, Provider, operations_of
from harness.providers.callid import CALL_ID
from harness.providers.completions import merged_chunks
from harness.records import CallId, Exchange, read_jsonl
from harness.scripts import ScriptedAnswer, ScriptedCall
from harness.targets import load_target

if TYPE_CHECKING:
    from harness.records import Dialect

KEYS: dict[str, tuple[str, str, Dialect]] = {
    "openai": ("openai", "openai", "openai"),
    "mistralai": ("mistralai", "mistralai", "mistral"),
    "langchain-openai": ("langchain", "openai", "openai"),
    "langchain-mistralai": ("langchain", "mistralai", "mistral"),
}
ASKED = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a span? 日本語 🙂"})
TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"the {name}",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
        },
    }
    for name in ("clock", "weather")
)
CALLS = tuple(ScriptedCall(name=name, arguments={"place": "Brno"}) for name in ("clock", "weather"))
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "sights": {"type": "array", "items": {"type": "string"}}},
    "required": ["city", "sights"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "City", "schema": SCHEMA, "strict": True}}
BUSY = ScriptedAnswer(status=503, headers={"retry-after-ms": "1"})
SAMPLES = {
    "plain": Sample(id="plain", messages=ASKED, expected="One timed step of a request."),
    "tools": Sample(id="tools", messages=ASKED, tools=TOOLS, script=(ScriptedAnswer(tool_calls=CALLS),)),
    "busy": Sample(id="busy", messages=ASKED, script=(BUSY, ScriptedAnswer(content="At last."))),
    "class": Sample(id="class", messages=ASKED, parameters={"response_format": FORMAT}),
    "agent": Sample(
        id="agent",
        messages=ASKED,
        tools=TOOLS,
        script=(ScriptedAnswer(tool_calls=CALLS), ScriptedAnswer(content="Sunny at noon.")),
    ),
    "failed": Sample(id="failed", messages=ASKED, script=(ScriptedAnswer(response_status="failed"),)),
    "short": Sample(id="short", messages=ASKED, parameters={"max_tokens": 16}, expected="a b c d e f g " * 5),
}
ONLY = {
    "plain": set(OPERATIONS) - {"parse"},
    "tools": {"chat", "stream", "chat_async", "stream_async", "raw_stream", "responses", "responses_stream"},
    "busy": {"chat_retry"},
    "class": {"parse"},
    "agent": {"agent"},
    "failed": {"responses_stream"},
    "short": {"chat", "stream", "responses", "responses_stream"},
}
"""The operations that a sample is for."""


class Run(NamedTuple):
    """What was read, and what the gateway recorded, both by provider, operation and sample."""

    answers: dict[tuple[str, str, str], Answer]
    exchanges: dict[str | None, list[Exchange]]

    def cases(self, sample: str) -> list[tuple[str, Answer, list[Exchange]]]:
        """Each operation that was tried on a sample, with a name for messages."""
        return [
            (f"{key}/{name}", answer, self.exchanges[call_id(key, name, sample)])
            for (key, name, of), answer in self.answers.items()
            if of == sample
        ]


def call_id(key: str, operation: str, sample: str) -> str:
    """A call's id."""
    return str(CallId(f"{key}-{operation}", "completeness", 0, "strategy", 0, sample))


async def answers_of(key: str, provider: Provider) -> dict[tuple[str, str, str], Answer]:
    """All operations of a provider on all samples that are for them, in one loop."""
    try:
        return {
            (key, name, of): operation.answer(await value_of(operation, sample, call_id(key, name, of)))
            for name, operation in operations_of(provider).items()
            for of, sample in SAMPLES.items()
            if name in ONLY[of]
        }
    finally:
        await provider.close_async()  # type: ignore[attr-defined]
        provider.close()


async def value_of(operation: Operation, sample: Sample, own_id: str) -> Any:
    """What the call gives, or all chunks of a stream."""
    CALL_ID.set(own_id)
    value = operation.call(**operation.request(sample))
    if hasattr(value, "__await__"):
        value = await value
    if operation.mode == "stream":
        return list(value)
    return [chunk async for chunk in value] if operation.mode == "async_stream" else value


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Everything once."""
    path = tmp_path_factory.mktemp("gateway") / "exchanges.jsonl"
    answers: dict[tuple[str, str, str], Answer] = {}
    with Gateway.start(GatewayConfig(records_path=path, samples=tuple(SAMPLES.values()), seed=1)) as gateway:
        for key, (name, backend, dialect) in KEYS.items():
            provider: Provider = load_target(PROVIDERS[name])(
                base_url=gateway.base_url(dialect), backend=backend, model="m-1", api_key="test-key", timeout_s=30.0
            )
            answers |= asyncio.run(answers_of(key, provider))
    exchanges: dict[str | None, list[Exchange]] = {}
    for exchange in read_jsonl(path, Exchange):
        exchanges.setdefault(exchange.call_id, []).append(exchange)
    return Run(answers, exchanges)


def on_the_wire(exchange: Exchange) -> dict[str, Any]:
    """The answer that the exchange carried, of a stream the whole one."""
    if exchange.response_body is not None:
        body: dict[str, Any] = json.loads(exchange.response_body)
        return body
    lines = [line for chunk in exchange.chunks or () for line in chunk.data.splitlines()]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    events = [json.loads(one) for one in data if one != "[DONE]"]
    if exchange.path.startswith("/v1/responses"):
        response: dict[str, Any] = events[-1]["response"]
        return response
    return merged_chunks(events)


def test_every_exchange_is_attributed(run: Run) -> None:
    """Each call has its exchanges, and there is no other."""
    assert set(run.exchanges) == {call_id(*case) for case in run.answers}


def test_texts_and_usage_equal_the_wire(run: Run) -> None:
    """What each single exchange carried is what the application reads, where the SDK shows it."""
    for name, answer, exchanges in run.cases("plain"):
        if name.endswith(("/batch", "/retrieval")):
            continue
        (exchange,) = exchanges
        wire = on_the_wire(exchange)
        if "embeddings" in name:
            assert len(answer.message["data"]) == len(wire["data"]), name
        elif "responses" in name:
            assert answer.text == "One timed step of a request.", name
            assert answer.message["id"] == wire["id"], name
        else:
            assert answer.text == wire["choices"][0]["message"]["content"], name
        if answer.usage is not None:
            counts = [value for key, value in wire["usage"].items() if key.endswith("put_tokens")] or [
                wire["usage"]["prompt_tokens"],
                wire["usage"].get("completion_tokens", 0),
            ]
            assert list(answer.usage) == [*counts, wire["usage"]["total_tokens"]], name
        assert answer.model in (None, wire["model"]), name


def test_parts_of_several_exchanges(run: Run) -> None:
    """A batch has three chats, whose usage is added up; retrieval embeds twice and asks once."""
    for name, answer, exchanges in run.cases("plain"):
        paths = [exchange.path for exchange in exchanges]
        if name.endswith("/batch"):
            assert paths == ["/v1/chat/completions"] * 3
            assert answer.usage is not None
            assert answer.usage.total_tokens == sum(on_the_wire(one)["usage"]["total_tokens"] for one in exchanges)
            assert len(answer.message["choices"]) == 3
        if name.endswith("/retrieval"):
            assert paths == ["/v1/embeddings"] * 2 + ["/v1/chat/completions"]
            assert "A span is one timed step" in (exchanges[-1].request_body or "")


def test_tool_calls_are_read(run: Run) -> None:
    """Parallel tool calls are read whole, single and streamed, from chats and from responses."""
    seen = 0
    for name, answer, _ in run.cases("tools"):
        if "responses" in name:
            calls = [item for item in answer.message["output"] if item["type"] == "function_call"]
        else:
            calls = [call["function"] for call in answer.message["choices"][0]["message"]["tool_calls"]]
        seen += len(calls)
        assert [call["name"] for call in calls] == ["clock", "weather"], name
        assert [json.loads(call["arguments"]) for call in calls] == [{"place": "Brno"}] * 2, name
    assert seen == 2 * (4 * 4 + 3)


def test_retries_have_two_exchanges(run: Run) -> None:
    """The SDK tries again after an error, and the application sees the second answer only."""
    for name, answer, exchanges in run.cases("busy"):
        assert [exchange.status for exchange in exchanges] == [503, 200], name
        assert answer.text == "At last.", name


def test_classes_are_filled(run: Run) -> None:
    """An answer in a class's form holds what the wire's text says."""
    for name, answer, (exchange,) in run.cases("class"):
        wire = json.loads(on_the_wire(exchange)["choices"][0]["message"]["content"])
        assert json.loads(answer.text) == wire, name
        assert set(wire) == {"city", "sights"}


def test_agents_answer_after_their_tools(run: Run) -> None:
    """The second exchange of an agent carries both tools' results."""
    for name, answer, exchanges in run.cases("agent"):
        assert answer.text == "Sunny at noon.", name
        messages = json.loads(exchanges[1].request_body or "")["messages"]
        results = [json.loads(one["content"]) for one in messages if one["role"] == "tool"]
        assert results == [{"tool": tool, "arguments": {"place": "Brno"}} for tool in ("clock", "weather")], name
        assert len(exchanges) == 2


def test_unfinished_responses(run: Run) -> None:
    """A response that failed or was cut says so, and a chat that was cut too."""
    ((_, failed, _),) = run.cases("failed")
    assert (failed.finish_reason, failed.usage) == ("failed", None)
    reasons = {name.partition("/")[2]: answer.finish_reason for name, answer, _ in run.cases("short")}
    cut = "max_output_tokens"
    assert reasons == {"chat": "length", "stream": "length", "responses": cut, "responses_stream": cut}
