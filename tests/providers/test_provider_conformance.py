"""What every provider does, over real HTTP, whatever its SDK can do besides."""

from __future__ import annotations

import contextvars
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness.errors import ConfigError
from harness.prompts import Sample
from harness.providers import PROVIDERS, Provider
from harness.providers.callid import CALL_ID
from harness.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS = {
    "openai": "BadRequestError",
    "mistralai": "SDKError",
    "langchain-openai": "OpenAIInvalidRequestError",
    "langchain-mistralai": "HTTPStatusError",
}
PARAMETERS = {"temperature": 0.25, "max_tokens": 20, "top_p": 0.5, "seed": 7, "stop": ["END"]}


def sample(text: str, *, stream: bool = False, **parameters: Any) -> Sample:
    """One sample with a single user message."""
    return Sample(id="s1", messages=({"role": "user", "content": text},), parameters=parameters, stream=stream)


def ask(provider: Provider, text: str, call_id: str | None = None, **parameters: Any) -> Any:
    """One call with a single answer."""
    token = CALL_ID.set(call_id)
    try:
        return provider.complete(**provider.request(sample(text, **parameters)))
    finally:
        CALL_ID.reset(token)


def ask_stream(provider: Provider, text: str, call_id: str | None = None, **parameters: Any) -> list[Any]:
    """One streamed call, to its end."""
    token = CALL_ID.set(call_id)
    try:
        return list(provider.stream(**provider.request(sample(text, stream=True, **parameters))))
    finally:
        CALL_ID.reset(token)


def test_single_answer_text(provider: Provider) -> None:
    """The text of a single answer is what the endpoint answered."""
    assert provider.answer(ask(provider, "good morning to you")).text == "Echo: good morning to you"


def test_stream_text(provider: Provider) -> None:
    """The text of a stream is what the endpoint streamed, and it came in several chunks."""
    chunks = ask_stream(provider, "good morning to you")
    assert provider.stream_answer(chunks).text == "Echo: good morning to you"
    assert len(chunks) > 4


def test_stream_is_lazy(provider: Provider, key: str, endpoint_url: str) -> None:
    """The first text reaches the application before the endpoint sends the rest."""
    chunks = []
    token = CALL_ID.set(f"{key}/lazy")
    for chunk in provider.stream(**provider.request(sample("HOLD", stream=True))):
        chunks.append(chunk)
        if provider.stream_answer(chunks).text == "Echo:":
            httpx.post(f"{endpoint_url}/release", params={"call_id": f"{key}/lazy"})
    CALL_ID.reset(token)
    assert provider.stream_answer(chunks).text == "Echo: HOLD released"


def test_call_id_on_every_request(
    provider: Provider, key: str, recorded: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Each call's request carries the id that was set around it, single or streamed."""
    ask(provider, "one", call_id=f"{key}/single")
    ask_stream(provider, "two", call_id=f"{key}/stream")
    assert [one["body"]["messages"][0]["content"] for one in recorded(f"{key}/single")] == ["one"]
    assert [one["body"]["messages"][0]["content"] for one in recorded(f"{key}/stream")] == ["two"]


def test_call_id_in_threads(provider: Provider, key: str, recorded: Callable[[str], list[dict[str, Any]]]) -> None:
    """Ids set inside the threads of a pool do not mix, even with one client for all."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: contextvars.Context().run(ask, provider, f"n {n}", f"{key}/thread/{n}"), range(12)))
    for n in range(12):
        assert [one["body"]["messages"][0]["content"] for one in recorded(f"{key}/thread/{n}")] == [f"n {n}"]


def test_no_call_id_outside_a_call(provider: Provider, key: str, endpoint_url: str) -> None:
    """Without an id there is no header, so that the gateway can tell."""
    ask(provider, f"without an id {key}")
    everything = httpx.get(f"{endpoint_url}/requests", params={"call_id": ""}).json()
    assert everything == []


@pytest.mark.parametrize("stream", [False, True])
def test_parameters_on_the_wire(
    provider: Provider, key: str, recorded: Callable[[str], list[dict[str, Any]]], stream: bool
) -> None:
    """Model, messages, each parameter and the stream flag arrive, under the backend's names."""
    call_id = f"{key}/parameters/{stream}"
    (ask_stream if stream else ask)(provider, "hello", call_id, **PARAMETERS)
    (one,) = recorded(call_id)
    expected = dict(PARAMETERS)
    if key.endswith("mistralai"):
        expected["random_seed"] = expected.pop("seed")
    if key == "langchain-openai":
        expected["max_completion_tokens"] = expected.pop("max_tokens")
    body = one["body"]
    assert {name: body.get(name) for name in expected} == expected
    assert body["model"] == "m-1"
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert bool(body.get("stream")) is stream
    assert one["headers"]["authorization"] == "Bearer test-key"


def test_unknown_parameter_is_refused(provider: Provider) -> None:
    """A parameter that the SDK cannot take is an input error that names it and the options."""
    with pytest.raises(ConfigError, match=r"unknown parameter 'warmth' in sample 's1' .* temperature"):
        provider.request(sample("x", warmth=1))


def test_a_samples_own_fields_are_no_parameters(provider: Provider) -> None:
    """``stream`` is said by the sample, not among its parameters."""
    with pytest.raises(ConfigError, match="unknown parameter 'stream'"):
        provider.request(sample("x").model_copy(update={"parameters": {"stream": True}}))


def test_answer_shows_what_the_sdk_shows(provider: Provider, key: str) -> None:
    """Model, finish reason and usage of a single answer, in the answer and in its plain data."""
    answer = provider.answer(ask(provider, "hello"))
    assert answer.model == ("m-1" if key.endswith("mistralai") else "m-1-2024")
    assert answer.finish_reason == "length"
    assert answer.usage == (12, 5, 17)
    assert answer.message["choices"][0]["message"]["content"] == "Echo: hello"
    assert answer.message["choices"][0]["finish_reason"] == "length"
    assert answer.response_id == (None if key == "langchain-mistralai" else "answer-1")


def test_stream_answer_shows_what_the_chunks_show(provider: Provider, key: str) -> None:
    """Model, finish reason and usage of a stream that was asked for its usage."""
    answer = provider.stream_answer(ask_stream(provider, "hello", stream_options={"include_usage": True}))
    assert answer.model == ("m-1" if key.endswith("mistralai") else "m-1-2024")
    assert answer.finish_reason == "length"
    assert answer.usage == (12, 5, 17)
    assert answer.message["choices"][0]["message"]["content"] == "Echo: hello"


def test_no_usage_is_none(provider: Provider, key: str) -> None:
    """A stream without usage has none, and no zeros; Mistral's always has it."""
    answer = provider.stream_answer(ask_stream(provider, "hello"))
    assert (answer.usage is None) == (not key.endswith("mistralai"))


def test_no_chunks_are_no_answer(provider: Provider) -> None:
    """A stream that ended before its first chunk has an empty text and nothing else."""
    answer = provider.stream_answer([])
    assert (answer.text, answer.model, answer.finish_reason, answer.usage) == ("", None, None, None)


@pytest.mark.parametrize("stream", [False, True])
def test_api_errors_are_the_sdks_own(provider: Provider, key: str, stream: bool) -> None:
    """An error of the API reaches the application as the SDK raises it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the type is what is checked
        (ask_stream if stream else ask)(provider, "FAIL")
    assert type(caught.value).__name__ == ERRORS[key]
    assert not type(caught.value).__module__.startswith("harness")


@pytest.mark.parametrize("text", ["žluťoučký kůň 日本語 🙂 \u202eabc", "0123456789" * 1024], ids=["unicode", "10 KB"])
def test_texts_survive(provider: Provider, text: str) -> None:
    """Unicode and long inputs come back as they were sent, single and streamed."""
    assert provider.answer(ask(provider, text)).text == f"Echo: {text}"
    assert provider.stream_answer(ask_stream(provider, text)).text == f"Echo: {text}"


def test_chat_request_is_plain_data(provider: Provider) -> None:
    """The request in chat-completions terms has model, messages and parameters."""
    request = provider.chat_request(provider.request(sample("hello", temperature=0.25)))
    assert request["model"] == "m-1"
    assert request["messages"] == [{"role": "user", "content": "hello"}]
    assert request["temperature"] == 0.25


def test_close(key: str, make: Callable[[str], Provider]) -> None:
    """After closing, a call fails instead of quietly opening a connection."""
    made = make(key)
    ask(made, "hello")
    made.close()
    with pytest.raises(Exception, match=r"closed|[Cc]onnection"):
        ask(made, "hello")


def test_unknown_backend_is_refused(key: str) -> None:
    """A backend that the provider cannot speak to is an input error with the options."""
    name = key.partition("-")[0]
    backend = key.partition("-")[2] or name
    with pytest.raises(ConfigError, match=f"unknown backend 'smoke-signals' in provider {name}; .*{backend}"):
        load_target(PROVIDERS[name])(base_url="x", backend="smoke-signals", model="m", api_key="k", timeout_s=1.0)


@pytest.mark.parametrize("name", PROVIDERS)
def test_provider_does_not_import_mlflow(name: str) -> None:
    """Importing a provider imports neither MLflow nor, for LangChain, a backend that is not used."""
    module = PROVIDERS[name].partition(":")[0]
    code = f"import sys, {module}; print([m for m in ('mlflow', 'langchain_openai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
