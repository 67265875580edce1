"""The real SDKs understand the gateway, single and streamed, and its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.records import CALL_ID_HEADER, CallId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mistralai.client import Mistral
    from openai import OpenAI

    from tests.gateway.conftest import RunningGateway

HEADERS = {CALL_ID_HEADER: str(CallId("c", "completeness", 0, "strategy", 0, "capital"))}
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
