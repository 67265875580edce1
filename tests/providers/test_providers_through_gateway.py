"""Every provider through the real gateway: what the application reads is what went over the wire."""

from __future__ import annotations

import contextvars
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.prompts import Sample
from harness.providers import PROVIDERS, Answer, Provider
from harness.providers.callid import CALL_ID
from harness.providers.completions import merged_chunks
from harness.records import CallId, Exchange, read_jsonl
from harness.targets import load_target

if TYPE_CHECKING:
    from harness.records import Dialect

KEYS: dict[str, tuple[str, str, Dialect]] = {
    "openai": ("openai", "openai", "openai"),
    "mistralai": ("mistralai", "mistralai", "mistral"),
    "langchain-openai": ("langchain", "openai", "openai"),
    "langchain-mistralai": ("langchain", "mistralai", "mistral"),
}
TOOL = {
    "type": "function",
    "function": {"name": "clock", "description": "the time", "parameters": {"type": "object", "properties": {}}},
}
TOOL_CALL = {"id": "Call00001", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
ASKED = {"role": "user", "content": "What time is it? 日本語 🙂"}
SAMPLES = (
    Sample(id="short", messages=(ASKED,), expected="Time for tea, and žluťoučký kůň."),
    Sample(
        id="turns",
        messages=(
            {"role": "system", "content": "Be brief."},
            ASKED,
            {"role": "assistant", "content": "Late."},
            {"role": "user", "content": "How late?"},
        ),
        parameters={"temperature": 0.25, "top_p": 0.5, "stop": ["END"], "seed": 7, "max_tokens": 40},
    ),
    Sample(
        id="tool",
        messages=(
            ASKED,
            {"role": "assistant", "content": "", "tool_calls": [TOOL_CALL]},
            {"role": "tool", "tool_call_id": "Call00001", "content": "12:00"},
        ),
        parameters={"tools": [TOOL], "tool_choice": "auto"},
    ),
    Sample(id="cut", messages=(ASKED,), expected="one two three four five six", parameters={"max_tokens": 2}),
)
CASES = [f"{sample.id}{suffix}" for sample in SAMPLES for suffix in ("", "-streamed")]


class Run(NamedTuple):
    """What each provider's application read, and what the gateway recorded, both by call id."""

    answers: dict[str, Answer]
    exchanges: dict[str | None, list[Exchange]]

    def of(self, key: str, case: str) -> tuple[Answer, Exchange]:
        """The answer and the only exchange of a call."""
        call_id = str(CallId(key, "completeness", 0, "strategy", CASES.index(case), case))
        (exchange,) = self.exchanges[call_id]
        return self.answers[call_id], exchange


def streamed(sample: Sample) -> Sample:
    """The same sample, streamed, with its usage."""
    parameters = sample.parameters | {"stream_options": {"include_usage": True}}
    return sample.model_copy(update={"id": f"{sample.id}-streamed", "stream": True, "parameters": parameters})


def call(provider: Provider, call_id: str, sample: Sample) -> tuple[str, Answer]:
    """One call of an application, in a thread of its own."""
    CALL_ID.set(call_id)
    request = provider.request(sample)
    if sample.stream:
        return call_id, provider.stream_answer(list(provider.stream(**request)))
    return call_id, provider.answer(provider.complete(**request))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All samples with all providers, single and streamed, several at a time."""
    samples = [one for sample in SAMPLES for one in (sample, streamed(sample))]
    path = tmp_path_factory.mktemp("gateway") / "exchanges.jsonl"
    answers: dict[str, Answer] = {}
    with Gateway.start(GatewayConfig(records_path=path, samples=tuple(samples), seed=1)) as gateway:
        for key, (name, backend, dialect) in KEYS.items():
            provider: Provider = load_target(PROVIDERS[name])(
                base_url=gateway.base_url(dialect), backend=backend, model="m-1", api_key="test-key", timeout_s=30.0
            )
            ids = [str(CallId(key, "completeness", 0, "strategy", n, one.id)) for n, one in enumerate(samples)]
            with ThreadPoolExecutor(3) as pool:
                jobs = [
                    pool.submit(contextvars.Context().run, call, provider, call_id, one)
                    for call_id, one in zip(ids, samples, strict=True)
                ]
                answers |= dict(job.result() for job in jobs)
            provider.close()
    exchanges: dict[str | None, list[Exchange]] = {}
    for exchange in read_jsonl(path, Exchange):
        exchanges.setdefault(exchange.call_id, []).append(exchange)
    return Run(answers, exchanges)


def on_the_wire(exchange: Exchange) -> dict[str, Any]:
    """The chat completion that the exchange carried."""
    if exchange.response_body is not None:
        body: dict[str, Any] = json.loads(exchange.response_body)
        return body
    events = [chunk.data.strip().removeprefix("data: ") for chunk in exchange.chunks or ()]
    return merged_chunks(json.loads(event) for event in events if event != "[DONE]")


def test_every_exchange_is_attributed(run: Run) -> None:
    """Each call, also from a pool of threads, has one exchange, and there is no other."""
    assert set(run.exchanges) == set(run.answers)
    assert {len(exchanges) for exchanges in run.exchanges.values()} == {1}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("case", CASES)
def test_answers_equal_the_wire(run: Run, key: str, case: str) -> None:
    """Text, finish reason, model and usage are those of the recorded response."""
    answer, exchange = run.of(key, case)
    wire = on_the_wire(exchange)
    usage = wire["usage"]
    assert answer.text == (wire["choices"][0]["message"]["content"] or "")
    assert answer.finish_reason == wire["choices"][0]["finish_reason"]
    assert answer.model == wire["model"]
    assert answer.usage == (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("case", CASES)
def test_requests_arrive_as_meant(run: Run, key: str, case: str) -> None:
    """Roles, contents, tools, parameters and the stream flag stand in the recorded request."""
    _, exchange = run.of(key, case)
    body = json.loads(exchange.request_body or "")
    sample = next(one for one in SAMPLES if one.id == case.removesuffix("-streamed"))
    assert bool(body.get("stream")) is case.endswith("-streamed")
    assert [(one["role"], one["content"] or "") for one in body["messages"]] == [
        (one["role"], one["content"]) for one in sample.messages
    ]
    calls = [one["tool_calls"][0]["function"] for one in body["messages"] if one.get("tool_calls")]
    assert [json.loads(one["arguments"]) for one in calls] == ([{"zone": "UTC"}] if sample.id == "tool" else [])
    names = {"seed": "random_seed"} if key.endswith("mistralai") else {}
    names |= {"max_tokens": "max_completion_tokens"} if key == "langchain-openai" else {}
    sent = {names.get(name, name): value for name, value in sample.parameters.items()}
    assert {name: body.get(name) for name in sent} == sent
