"""What every provider can do besides: each operation of each, run for real over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from harness.errors import ConfigError
from harness.prompts import Sample
from harness.providers import OPERATIONS, Answer, Operation, Provider, operations_of
from harness.providers.callid import CALL_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    Recorded = Callable[[str], list[dict[str, Any]]]

CHATS = {"chat", "stream", "chat_async", "stream_async", "chat_retry"}
EMBEDS = {"embeddings", "embeddings_async"}
OPENAI_ONLY = {"raw_stream", "responses", "responses_stream"}
LANGCHAIN_ONLY = {"chain", "batch", "retrieval", "agent"}
OFFERED = {
    "openai": CHATS | EMBEDS | OPENAI_ONLY | {"chat_timeout", "parse"},
    "mistralai": CHATS | EMBEDS | {"chat_timeout", "parse"},
    "langchain-openai": CHATS | EMBEDS | LANGCHAIN_ONLY | {"chat_timeout", "parse"},
    "langchain-mistralai": CHATS | EMBEDS | LANGCHAIN_ONLY | {"parse"},
}
ALL = [(key, name) for key, names in OFFERED.items() for name in sorted(names)]
TOOL = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "the time",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "inhabitants": {"type": "integer"},
        "share": {"type": "number"},
        "capital": {"type": "boolean"},
        "districts": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city", "inhabitants", "share", "capital", "districts"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "City", "schema": SCHEMA, "strict": True}}
EXCHANGES = {"batch": 3, "retrieval": 3}
"""Requests of an operation, where there is more than one."""


def sample(text: str, **fields: Any) -> Sample:
    """One sample with a single user message."""
    return Sample(id="s1", messages=({"role": "user", "content": text},), **fields)


async def value_of(operation: Operation, request: dict[str, Any]) -> Any:
    """What the call gives, whatever its mode: the value, or all chunks."""
    if operation.mode == "single":
        return operation.call(**request)
    if operation.mode == "stream":
        return list(operation.call(**request))
    value = operation.call(**request)
    if hasattr(value, "__await__"):
        value = await value
    return [chunk async for chunk in value] if operation.mode == "async_stream" else value


async def run(provider: Provider, name: str, one: Sample, call_id: str | None = None) -> Any:
    """One call as an application makes it, in a loop that is closed properly."""
    operation = operations_of(provider)[name]
    request = operation.request(one)
    CALL_ID.set(call_id)
    try:
        return await value_of(operation, request)
    finally:
        CALL_ID.set(None)
        await provider.close_async()  # type: ignore[attr-defined]


def ask(provider: Provider, name: str, one: Sample, call_id: str | None = None) -> Answer:
    """One call, and what the application reads from it."""
    value = asyncio.run(run(provider, name, one, call_id))
    return operations_of(provider)[name].answer(value)


def test_operations_offered(provider: Provider, key: str) -> None:
    """Each provider offers what its SDK can do, each name once, by a name and of a mode that scenarios know."""
    operations = list(provider.operations())  # type: ignore[attr-defined]
    assert set(operations_of(provider)) == OFFERED[key] <= set(OPERATIONS)
    assert len({one.name for one in operations}) == len(operations)
    for name, operation in operations_of(provider).items():
        assert operation.mode == {"stream_async": "async_stream"}.get(
            name, "async" if name.endswith("_async") else "stream" if name.endswith("stream") else "single"
        ) or (name, operation.mode) == ("raw_stream", "single")


@pytest.fixture
def tried(request: pytest.FixtureRequest, providers: dict[str, Provider]) -> tuple[Provider, str, str]:
    """A provider, and the name of one of its operations."""
    key, name = request.param
    return providers[key], key, name


each = pytest.mark.parametrize("tried", ALL, indirect=True, ids=[f"{key}-{name}" for key, name in ALL])


@each
def test_answer_and_exchanges(tried: tuple[Provider, str, str], recorded: Recorded) -> None:
    """Each operation gets its answer, and each of its requests carries the call's id."""
    provider, key, name = tried
    one = sample("good morning to you")
    answer = ask(provider, name, one, f"{key}/{name}/answer")
    expected = "Echo: good morning to you"
    if name in EMBEDS:
        expected = ""
        assert [one["embedding"] for one in answer.message["data"]] == [[19.0, 1.0, 0.5]]
    if name == "batch":
        expected = "\n".join(expected + more for more in ("", " Answer briefly.", " Answer in detail."))
    if name == "parse":
        assert json.loads(answer.text) == {"answer": "x"}
    else:
        assert answer.text == expected
    assert len(recorded(f"{key}/{name}/answer")) == EXCHANGES.get(name, 1)
    json.dumps(answer.message)


@each
def test_described_as_on_the_wire(tried: tuple[Provider, str, str], recorded: Recorded) -> None:
    """The plain description of a request says what the body on the wire says, and is JSON data."""
    provider, key, name = tried
    one = sample("hello") if name in EMBEDS else sample("hello", parameters={"temperature": 0.25, "top_p": 0.5})
    operation = operations_of(provider)[name]
    described = operation.describe(operation.request(one))
    ask(provider, name, one, f"{key}/{name}/described")
    body = recorded(f"{key}/{name}/described")[-1]["body"]
    assert json.loads(json.dumps(described)) == described
    if name in ("batch", "retrieval"):
        described.pop("inputs", None)
        described.pop("messages", None)
    if name == "agent":
        assert described.pop("tools") == []
    assert {name: body.get(name) for name in described} == described


@each
def test_a_samples_model(tried: tuple[Provider, str, str], recorded: Recorded) -> None:
    """A sample's option or field for the model decides which model is asked."""
    provider, key, name = tried
    one = sample("hello", options={"model": "m-9"}) if name in EMBEDS else sample("hello", model="m-9")
    ask(provider, name, one, f"{key}/{name}/model")
    assert recorded(f"{key}/{name}/model")[-1]["body"]["model"] == "m-9"


@each
def test_tools_are_given_once(tried: tuple[Provider, str, str]) -> None:
    """Tools in both places are refused, and so is a parameter that the SDK does not know."""
    provider, _, name = tried
    operation = operations_of(provider)[name]
    with pytest.raises(ConfigError, match="gives 'tools' twice"):
        operation.request(sample("x", tools=(TOOL,), parameters={"tools": [TOOL]}))
    with pytest.raises(ConfigError, match="unknown parameter 'warmth' in sample 's1'"):
        operation.request(sample("x", parameters={"warmth": 1}))


@each
def test_errors_are_the_sdks_own(tried: tuple[Provider, str, str]) -> None:
    """An error of the API reaches the application as it is raised there."""
    provider, _, name = tried
    with pytest.raises(Exception, match=r"400|wrong") as caught:
        ask(provider, name, sample("FAIL"))
    assert not type(caught.value).__module__.startswith("harness")


@pytest.mark.parametrize("streamed", [False, True])
def test_chat_and_stream_do_what_their_name_says(provider: Provider, key: str, streamed: bool) -> None:
    """Whether the answer is streamed follows from the operation, whatever the sample would do by itself."""
    one = sample("hello", stream=streamed)
    for name in sorted(CHATS):
        assert ask(provider, name, one).text == "Echo: hello", key


@pytest.mark.parametrize("name", sorted(CHATS))
def test_tools_on_the_wire(provider: Provider, key: str, name: str, recorded: Recorded) -> None:
    """A sample's tools are offered, wherever they stand."""
    for place, one in {
        "field": sample("x", tools=(TOOL,)),
        "parameter": sample("x", parameters={"tools": [TOOL]}),
    }.items():
        ask(provider, name, one, f"{key}/{name}/{place}")
        (request,) = recorded(f"{key}/{name}/{place}")
        assert request["body"]["tools"][0]["function"]["name"] == "clock"


def test_retries_succeed(provider: Provider, key: str, recorded: Recorded) -> None:
    """``chat_retry`` gets its answer after an error 503, with two exchanges of one call."""
    assert ask(provider, "chat_retry", sample("FLAKY"), f"{key}/retry").text == "Echo: FLAKY"
    assert len(recorded(f"{key}/retry")) == 2


@pytest.mark.parametrize("key", [key for key, names in OFFERED.items() if "chat_timeout" in names], indirect=True)
def test_time_out(provider: Provider, key: str) -> None:
    """``chat_timeout`` gives up by the SDK's own error, after the sample's time or the default."""
    for options in ({"timeout_s": 0.05}, {}):
        with pytest.raises(Exception, match=r"(?i)time.?out|timed out"):
            ask(provider, "chat_timeout", sample("SLOW", options=options), key)
    with pytest.raises(ConfigError, match="option 'timeout_s' of sample 's1' is 'soon', it must be a number above 0"):
        operations_of(provider)["chat_timeout"].request(sample("x", options={"timeout_s": "soon"}))


def test_parse_into_a_samples_class(provider: Provider, key: str, recorded: Recorded) -> None:
    """A JSON schema becomes a class, whose schema is asked for, and the value is one of its objects."""
    one = sample("hello", parameters={"response_format": FORMAT})
    value = asyncio.run(run(provider, "parse", one, f"{key}/parse"))
    parsed = value if isinstance(value, BaseModel) and key.startswith("lang") else value.choices[0].message.parsed
    assert type(parsed).__name__ == "City"
    assert parsed.model_dump() == {"city": "x", "inhabitants": 3, "share": 0.5, "capital": True, "districts": []}
    (request,) = recorded(f"{key}/parse")
    operation = operations_of(provider)["parse"]
    asked = request["body"]["response_format"]
    assert asked == operation.describe(operation.request(one))["response_format"]
    assert set(asked["json_schema"]["schema"]["properties"]) == set(SCHEMA["properties"])  # type: ignore[call-overload]


def test_parse_refuses_what_is_no_class(provider: Provider) -> None:
    """A schema that no class is made for is an input error that names the sample."""
    for schema in ({"type": "array", "items": {}}, {"type": "object", "properties": {"a": {"$ref": "#"}}}, 7):
        broken = {"type": "json_schema", "json_schema": {"name": "City", "schema": schema}}
        with pytest.raises(ConfigError, match="sample 's1': the JSON schema in 'response_format'"):
            operations_of(provider)["parse"].request(sample("x", parameters={"response_format": broken}))


def test_embeddings_are_of_the_users_texts(provider: Provider, key: str, recorded: Recorded) -> None:
    """Each text by the user is embedded, in its order; usage is shown where the SDK shows it."""
    messages = (
        {"role": "system", "content": "skip"},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "skip"},
        {"role": "user", "content": [{"type": "text", "text": "abc"}]},
    )
    answer = ask(provider, "embeddings", Sample(id="s1", messages=messages), f"{key}/texts")
    (request,) = recorded(f"{key}/texts")
    assert request["body"]["input"] == ["ab", "abc"]
    assert [one["embedding"][0] for one in answer.message["data"]] == [2.0, 3.0]
    assert answer.usage == (None if key.startswith("langchain") else (4, 0, 4))


def test_no_text_to_embed_is_refused(provider: Provider) -> None:
    """A sample without a text by the user is an input error."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    one = Sample(id="s1", messages=({"role": "user", "content": [image]},))
    with pytest.raises(ConfigError, match="sample 's1' has no text by 'user' to embed"):
        operations_of(provider)["embeddings"].request(one)


@pytest.mark.parametrize("key", ["langchain-openai", "langchain-mistralai"], indirect=True)
def test_agent_calls_its_tools(provider: Provider, key: str, recorded: Recorded) -> None:
    """An agent calls a tool, gives the model its result, and shows the whole run; parameters go with each request."""
    one = sample("TOOL", tools=(TOOL,), parameters={"temperature": 0.25})
    answer = ask(provider, "agent", one, f"{key}/agent")
    assert answer.text == 'Echo: {"tool": "clock", "arguments": {"zone": "UTC"}}'
    assert answer.usage == (24, 10, 34)
    assert [message["role"] for message in answer.message["messages"]] == ["user", "assistant", "tool", "assistant"]
    requests = recorded(f"{key}/agent")
    assert [request["body"]["temperature"] for request in requests] == [0.25, 0.25]
    assert [request["body"]["tools"][0]["function"]["name"] for request in requests] == ["clock", "clock"]


@pytest.mark.parametrize("key", ["langchain-openai", "langchain-mistralai"], indirect=True)
def test_retrieval_embeds_and_asks(provider: Provider, key: str, recorded: Recorded) -> None:
    """Documents and question are embedded, and what was found stands in the prompt."""
    ask(provider, "retrieval", sample("What is a span?"), f"{key}/retrieval")
    documents, question, chat = recorded(f"{key}/retrieval")
    assert len(documents["body"]["input"]) == 4
    assert question["body"]["input"] == ["What is a span?"]
    prompt = chat["body"]["messages"][0]["content"]
    assert [one in prompt for one in documents["body"]["input"]].count(True) == 2


def test_braces_are_no_template(provider: Provider, key: str) -> None:
    """A text with braces goes through a chain as it is."""
    for name in sorted({"chain", "retrieval"} & OFFERED[key]):
        assert ask(provider, name, sample("{answer} {")).text == "Echo: {answer} {"


@each
def test_several_at_once(tried: tuple[Provider, str, str], recorded: Recorded) -> None:
    """One provider serves several threads, or several tasks of one loop, and ids do not mix."""
    provider, key, name = tried
    operation = operations_of(provider)[name]

    async def one(n: int) -> None:
        CALL_ID.set(f"{key}/{name}/many/{n}")
        await value_of(operation, operation.request(sample(f"n {n}")))

    async def tasks() -> None:
        await asyncio.gather(*(asyncio.create_task(one(n)) for n in range(4)))
        await provider.close_async()  # type: ignore[attr-defined]

    if operation.mode.startswith("async"):
        asyncio.run(tasks())
    else:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: Context().run(asyncio.run, one(n)), range(4)))
    for n in range(4):
        bodies = [request["body"] for request in recorded(f"{key}/{name}/many/{n}")]
        assert len(bodies) == EXCHANGES.get(name, 1)
        assert f"n {n}" in json.dumps(bodies[-1])


def test_loops_have_their_own_connections(provider: Provider) -> None:
    """A provider serves one event loop after another, and closing one that asked for nothing is harmless."""
    for _ in range(2):
        assert ask(provider, "chat_async", sample("hello")).text == "Echo: hello"
    asyncio.run(provider.close_async())  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", ["openai", "mistralai"], indirect=True)
def test_streams_left_and_unread(provider: Provider, key: str, recorded: Recorded) -> None:
    """Asking for a stream sends the request, read or not, and who leaves early can go on asking."""
    operation = operations_of(provider)["stream"]
    CALL_ID.set(f"{key}/unread")
    unread = operation.call(**operation.request(sample("one two three")))
    assert len(recorded(f"{key}/unread")) == 1
    assert operation.answer([next(iter(unread)), next(iter(unread))]).text == "Echo:"
    unread.close()
    CALL_ID.set(None)
    assert ask(provider, "stream", sample("four")).text == "Echo: four"


def test_responses_translate_a_conversation(providers: dict[str, Provider], recorded: Recorded) -> None:
    """Messages, tools and parameters of chat completions become those of the Responses API."""
    provider = providers["openai"]
    call = {"id": "call-1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    one = Sample(
        id="s1",
        messages=(
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Time?"}, image]},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call-1", "content": "12:00"},
        ),
        tools=(TOOL,),
        parameters={
            "max_tokens": 20,
            "response_format": FORMAT,
            "tool_choice": {"type": "function", "function": {"name": "clock"}},
            "reasoning_effort": "low",
            "stream_options": {"include_usage": True},
        },
    )
    answer = ask(provider, "responses", one, "openai/translate")
    (request,) = recorded("openai/translate")
    assert request["body"] == {
        "model": "m-1",
        "input": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Time?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
                ],
            },
            {"type": "function_call", "call_id": "call-1", "name": "clock", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call-1", "output": "12:00"},
        ],
        "tools": [{"type": "function", **TOOL["function"]}],  # type: ignore[dict-item]
        "tool_choice": {"type": "function", "name": "clock"},
        "text": {"format": {"type": "json_schema", "name": "City", "schema": SCHEMA, "strict": True}},
        "reasoning": {"effort": "low"},
        "max_output_tokens": 20,
    }
    assert answer == ask(provider, "responses_stream", one)
    assert answer[1:5] == ("m-1-2024", "resp-1", "max_output_tokens", (12, 5, 17))


def test_responses_stream_left_early(providers: dict[str, Provider]) -> None:
    """Of a stream that was left before its end, the application has read what came."""
    provider = providers["openai"]
    events = asyncio.run(run(provider, "responses_stream", sample("good morning")))
    operation = operations_of(provider)["responses_stream"]
    left = operation.answer(events[:3])
    assert (left.text, left.response_id, left.finish_reason, left.usage) == ("Echo: ", "resp-1", "in_progress", None)
    assert operation.answer([]).text == ""


@pytest.mark.parametrize("module", ["openai", "mistralai", "langchain"])
def test_listing_operations_imports_no_agents(module: str) -> None:
    """Only who asks for an agent pays for LangGraph."""
    backend = "openai" if module == "langchain" else module
    code = (
        "import sys\n"
        "from harness.providers import PROVIDERS, operations_of\n"
        "from harness.targets import load_target\n"
        f"kind = load_target(PROVIDERS[{module!r}])\n"
        f"made = kind(base_url='http://x', backend={backend!r}, model='m', api_key='k', timeout_s=1.0)\n"
        "operations_of(made)\n"
        "costly = ('langgraph', 'langchain.agents', 'mlflow', 'openai.resources.responses.responses')\n"
        "print([m for m in costly if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
