"""The real SDKs understand the gateway, single and streamed, and its errors."""

from __future__ import annotations

import functools
import json
import operator
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from harness.records import CALL_ID_HEADER, CallId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mistralai.client import Mistral
    from openai import OpenAI

    from tests.gateway.conftest import RunningGateway

HEADERS = {CALL_ID_HEADER: str(CallId("c", "completeness", 0, "strategy", 0, "capital"))}
STORY = {CALL_ID_HEADER: str(CallId("c", "completeness", 0, "strategy", 0, "story"))}
MESSAGES: Any = [{"role": "user", "content": "Capital of France?"}]
TEXT = "It is Paris, I think."


@pytest.fixture
def openai_client(shared: RunningGateway) -> Iterator[OpenAI]:
    from openai import OpenAI

    with OpenAI(base_url=f"{shared.gateway.base_url('openai')}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
def mistral_client(shared: RunningGateway) -> Iterator[Mistral]:
    from mistralai.client import Mistral

    with Mistral(server_url=shared.gateway.base_url("mistral"), api_key="unused") as client:
        yield client


def test_openai_single(openai_client: OpenAI) -> None:
    """Text, model, usage and reason are where the SDK shows them."""
    value = openai_client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, extra_headers=HEADERS)
    assert value.choices[0].message.content == TEXT
    assert value.model == "gpt-4o-mini-2024-07-18"
    assert value.choices[0].finish_reason == "stop"
    assert value.usage is not None
    assert value.usage.completion_tokens == 7


def test_openai_stream(openai_client: OpenAI) -> None:
    """Chunks join to the text and usage comes last."""
    chunks = list(
        openai_client.chat.completions.create(
            model="gpt-4o-mini",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=HEADERS,
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 7


def test_openai_errors(openai_client: OpenAI) -> None:
    """Errors come as the SDK's own exceptions, with the endpoint's words."""
    import openai

    with pytest.raises(openai.NotFoundError, match="does not exist") as missing:
        openai_client.chat.completions.create(model="this-model-does-not-exist", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="'max_tokens'"):
        openai_client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=0)
    with pytest.raises(openai.NotFoundError, match=r"Invalid URL \(POST /v1/moderations\)"):
        openai_client.moderations.create(input="x")


def test_mistral_single(mistral_client: Mistral) -> None:
    """Text, model, usage and reason are where the SDK shows them."""
    value = mistral_client.chat.complete(model="mistral-small-latest", messages=MESSAGES, http_headers=HEADERS)
    assert value.choices[0].message is not None
    assert value.choices[0].message.content == TEXT
    assert value.model == "mistral-small-2506"
    assert value.usage.completion_tokens == 7


def test_mistral_stream(mistral_client: Mistral) -> None:
    """The path that the SDK asks for when it streams is served; usage comes in the last chunk."""
    with mistral_client.chat.stream(model="mistral-small-latest", messages=MESSAGES, http_headers=HEADERS) as stream:
        chunks = [event.data for event in stream]
    assert "".join(str(chunk.choices[0].delta.content or "") for chunk in chunks) == TEXT
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


@pytest.mark.parametrize(
    ("model", "messages", "status"), [("this-model-does-not-exist", MESSAGES, 400), ("mistral-tiny", [], 422)]
)
def test_mistral_errors(mistral_client: Mistral, model: str, messages: Any, status: int) -> None:
    """Errors come as the SDK's own exceptions."""
    from mistralai.client.errors import MistralError

    with pytest.raises(MistralError) as refused:
        mistral_client.chat.complete(model=model, messages=messages)
    assert refused.value.status_code == status


def test_streams_that_the_sdk_leaves_at_their_last_event_are_complete(
    start: Callable[..., RunningGateway], chat: Any
) -> None:
    """OpenAI's SDK closes the connection after ``[DONE]``; nothing is missing then."""
    from openai import OpenAI

    running = start()
    with OpenAI(base_url=f"{running.gateway.base_url('openai')}/v1", api_key="unused", max_retries=0) as client:
        for _ in range(5):
            assert list(client.chat.completions.create(**chat(stream=True)))
    exchanges = running.stop()
    assert [(exchange.completed, exchange.error) for exchange in exchanges] == [(True, None)] * 5


class City(BaseModel):
    """What answers are parsed into."""

    name: str
    population: int


def weather(city: str) -> str:
    """The weather in a city."""
    return city


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "The weather in a city", "parameters": PARAMETERS}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
FLAT_TOOLS: Any = [{"type": "function", **FUNCTION}]


def test_openai_tools(openai_client: OpenAI) -> None:
    """A forced call, and the same streamed through the SDK's own accumulator."""
    asked: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "tools": TOOLS, "tool_choice": "required"}
    calls = openai_client.chat.completions.create(**asked, extra_headers=HEADERS).choices[0].message.tool_calls
    with openai_client.chat.completions.stream(**asked, extra_headers=HEADERS) as stream:
        streamed_calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls
    assert streamed_calls
    (call,), (streamed,) = calls, streamed_calls
    assert call.type == "function"
    assert list(json.loads(call.function.arguments)) == ["city"]
    assert streamed.function.arguments == call.function.arguments


def test_openai_parse(openai_client: OpenAI) -> None:
    """Chat completions, their older place, and the Responses API, single and streamed."""
    for chat in (openai_client.chat.completions, openai_client.beta.chat.completions):
        parsed = chat.parse(model="gpt-4o", messages=MESSAGES, response_format=City).choices[0].message.parsed
        assert isinstance(parsed, City)
    answer = openai_client.responses.parse(model="gpt-4o", input="?", text_format=City, extra_headers=STORY)
    assert isinstance(answer.output_parsed, City)
    with openai_client.responses.stream(model="gpt-4o", input="?", text_format=City, extra_headers=STORY) as stream:
        assert stream.get_final_response().output_parsed == answer.output_parsed


def test_openai_embeddings(openai_client: OpenAI) -> None:
    """The SDK asks for base64 and gives numbers."""
    value = openai_client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=16)
    assert [len(item.embedding) for item in value.data] == [16, 16]
    assert value.usage.total_tokens == 2


def test_openai_responses(openai_client: OpenAI) -> None:
    """Text, items, usage and every event are where the SDK shows them."""
    value = openai_client.responses.create(model="gpt-5", input="?", tools=FLAT_TOOLS, extra_headers=HEADERS)
    assert (value.output_text, value.status) == (TEXT, "completed")
    assert [item.type for item in value.output] == ["reasoning", "message"]
    assert value.usage is not None
    assert value.usage.output_tokens == 7 + value.usage.output_tokens_details.reasoning_tokens
    events = list(openai_client.responses.create(model="gpt-5", input="?", stream=True, extra_headers=HEADERS))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert events[-1].type == "response.completed"


def test_openai_responses_tools(openai_client: OpenAI) -> None:
    """A call comes as an item of the output, through the SDK's own accumulator too."""
    asked: dict[str, Any] = {"model": "gpt-4o", "input": "?", "tools": FLAT_TOOLS, "tool_choice": "required"}
    (item,) = openai_client.responses.create(**asked, extra_headers=HEADERS).output
    with openai_client.responses.stream(**asked, extra_headers=HEADERS) as stream:
        (streamed,) = stream.get_final_response().output
    assert item.type == streamed.type == "function_call"
    assert streamed.arguments == item.arguments


def test_openai_streaming_response(openai_client: OpenAI) -> None:
    """Read line by line, the body is the stream's."""
    with openai_client.chat.completions.with_streaming_response.create(
        model="gpt-4o", messages=MESSAGES, stream=True, extra_headers=HEADERS
    ) as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert response.headers["x-request-id"].startswith("req_")


def test_openai_refused_connection(shared: RunningGateway) -> None:
    """Nobody answers at the refused port."""
    import openai

    url = f"{shared.gateway.refused_url('openai')}/v1"
    with (
        openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.responses.create(model="gpt-4o", input="?")


def test_mistral_tools(mistral_client: Mistral) -> None:
    """A forced call, single and in the last chunk of a stream."""
    asked: dict[str, Any] = {"model": "mistral-tiny", "messages": MESSAGES, "tools": TOOLS, "tool_choice": "any"}
    message = mistral_client.chat.complete(**asked, http_headers=HEADERS).choices[0].message
    assert message is not None
    assert message.tool_calls
    (call,) = message.tool_calls
    with mistral_client.chat.stream(**asked, http_headers=HEADERS) as stream:
        last = list(stream)[-1].data.choices[0]
    assert last.finish_reason == "tool_calls"
    assert last.delta.tool_calls
    assert last.delta.tool_calls[0].function == call.function
    assert len(call.id or "") == 9


def test_mistral_parse_and_embeddings(mistral_client: Mistral) -> None:
    """A class of the application's own, and vectors."""
    parsed = mistral_client.chat.parse(City, model="mistral-tiny", messages=MESSAGES)
    assert parsed.choices
    assert parsed.choices[0].message is not None
    assert isinstance(parsed.choices[0].message.parsed, City)
    value = mistral_client.embeddings.create(model="mistral-embed", inputs=["one", "two"])
    assert [len(item.embedding or ()) for item in value.data] == [1024, 1024]


def test_langchain_openai(shared: RunningGateway) -> None:
    """Tools single and streamed, structured output, the Responses API and embeddings."""
    import httpx2
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    with httpx2.Client(trust_env=False) as http:
        settings: dict[str, Any] = {
            "base_url": f"{shared.gateway.base_url('openai')}/v1",
            "api_key": "unused",
            "http_client": http,
        }
        for responses in (False, True):
            model = ChatOpenAI(model="gpt-4o", use_responses_api=responses, **settings)
            calling = model.bind_tools([weather], tool_choice="any")
            (call,) = calling.invoke("?").tool_calls
            whole: Any = functools.reduce(operator.add, calling.stream("?"))
            assert list(call["args"]) == list(whole.tool_calls[0]["args"]) == ["city"]
            assert isinstance(model.with_structured_output(City).invoke("?"), City)
            assert model.invoke("?").text
        embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False, **settings)
        assert len(embeddings.embed_query("one")) == 1536


def test_langchain_mistral(shared: RunningGateway) -> None:
    """Tools single and streamed, and structured output by either method."""
    import httpx
    from langchain_mistralai import ChatMistralAI

    url = f"{shared.gateway.base_url('mistral')}/v1"
    headers = {"content-type": "application/json", "accept": "application/json"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
        model = ChatMistralAI(model_name="mistral-tiny", base_url=url, api_key="unused", client=http)
        calling = model.bind_tools([weather], tool_choice="any")
        assert list(calling.invoke("?").tool_calls[0]["args"]) == ["city"]
        streamed = [call for chunk in calling.stream("?") for call in chunk.tool_calls]
        assert [list(call["args"]) for call in streamed] == [["city"]]
        for method in ("function_calling", "json_schema"):
            assert isinstance(model.with_structured_output(City, method=method).invoke("?"), City)
