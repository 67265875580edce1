"""The OpenAI SDK: chat completions, embeddings and the Responses API, also asynchronously."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai import (
    DEFAULT_CONNECTION_LIMITS,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    DefaultHttpxClient,
    OpenAI,
    pydantic_function_tool,
)

from harness.providers import Operation
from harness.providers.completions import answer_from, merged_chunks
from harness.providers.embeddings import embeddings_answer
from harness.providers.openai_responses import response_answer, response_request, response_stream_answer
from harness.providers.parameters import (
    accepted_by,
    as_single,
    as_streamed,
    embedding_model_of,
    model_of,
    require_backend,
    timeout_s_of,
    translated,
    user_texts,
)
from harness.providers.schemas import reply_class, strict_format
from harness.providers.transport import (
    KEEPALIVE_EXPIRY_S,
    PerLoop,
    async_client_arguments,
    client_arguments,
    library_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openai import AsyncStream, Stream
    from openai.types import CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk, ParsedChatCompletion
    from openai.types.responses import Response, ResponseStreamEvent

    from harness.prompts import Sample
    from harness.providers import Answer

EMBEDDING_MODEL = "text-embedding-3-small"

LIMITS = library_of(DefaultHttpxClient).Limits(
    max_connections=DEFAULT_CONNECTION_LIMITS.max_connections,
    max_keepalive_connections=DEFAULT_CONNECTION_LIMITS.max_keepalive_connections,
    keepalive_expiry=KEEPALIVE_EXPIRY_S,
)


class OpenAIProvider:
    """One ``OpenAI`` client, and an ``AsyncOpenAI`` for each event loop that asks for one.

    ``complete`` and ``stream`` are both the SDK's own ``create``, looked up anew each time so
    that a patch put on the SDK's class later takes effect. An application asks for a stream with
    ``stream=True``, so the request of a streamed sample carries it.

    Attributes:
        http: The HTTP client under the synchronous one.
    """

    name = "openai"

    def __init__(self, *, base_url: str, backend: str, model: str, api_key: str, timeout_s: float) -> None:
        require_backend(self.name, backend, ("openai",))
        self._model = model
        self._settings: dict[str, Any] = {"base_url": f"{base_url}/v1", "api_key": api_key, "timeout": timeout_s}
        self.http = DefaultHttpxClient(limits=LIMITS, **client_arguments())
        self._client = OpenAI(**self._settings, http_client=self.http)
        self._async = PerLoop(self._async_client)
        self._accepted = accepted_by(self._client.chat.completions.create)

    def _async_client(self) -> AsyncOpenAI:
        http = DefaultAsyncHttpxClient(limits=LIMITS, **async_client_arguments())
        return AsyncOpenAI(**self._settings, http_client=http)

    def request(self, sample: Sample) -> dict[str, Any]:
        """Keyword arguments of ``create``.

        Raises:
            ConfigError: If ``create`` takes no such parameter.
        """
        parameters = translated(sample, self.name, self._accepted)
        streamed = {"stream": True} if sample.stream else {}
        return {"model": model_of(sample, self._model), "messages": list(sample.messages), **parameters, **streamed}

    @property
    def complete(self) -> Callable[..., Any]:
        """``create``; returns a ``ChatCompletion``."""
        return self._client.chat.completions.create

    @property
    def stream(self) -> Callable[..., Any]:
        """``create``, for a request with ``stream=True``; returns a ``Stream`` of chunks."""
        return self._client.chat.completions.create

    def answer(self, value: ChatCompletion) -> Answer:
        """What a ``ChatCompletion`` shows."""
        return answer_from(value.to_dict(mode="json"))

    def stream_answer(self, chunks: Sequence[ChatCompletionChunk]) -> Answer:
        """What all ``ChatCompletionChunk`` together show; usage only where it was asked for."""
        return answer_from(merged_chunks(chunk.to_dict(mode="json") for chunk in chunks))

    def chat_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request as it is: its words are the wire's."""
        return dict(request)

    def operations(self) -> Iterator[Operation]:
        """All that the SDK can do; each call is the SDK's own method, or what an application writes around it.

        The SDK imports a resource when it is first asked for, so embeddings and responses are asked for in
        the call: who only chats does not pay for them.
        """
        yield from self._chat_operations()
        embed = (self._embedding_request, _embeddings_answer, dict)
        yield Operation("embeddings", "single", self._embed, *embed)
        yield Operation("embeddings_async", "async", self._embed_async, *embed)
        yield Operation("responses", "single", self._respond, self._responses_request, response_answer, dict)
        streamed = (self._responses_stream_request, response_stream_answer, dict)
        yield Operation("responses_stream", "stream", self._respond, *streamed)

    def _chat_operations(self) -> Iterator[Operation]:
        single = (self._single_request, self.answer, self.chat_request)
        streamed = (self._streamed_request, self.stream_answer, self.chat_request)
        yield Operation("chat", "single", self.complete, *single)
        yield Operation("stream", "stream", self.stream, *streamed)
        yield Operation("chat_async", "async", self._complete_async, *single)
        yield Operation("stream_async", "async_stream", self._complete_async, *streamed)
        yield Operation("chat_retry", "single", self.complete, *single)
        timed = (self._timeout_request, self.answer, _without_timeout)
        yield Operation("chat_timeout", "single", self.complete, *timed)
        parse = self._client.chat.completions.parse
        yield Operation("parse", "single", parse, self._parse_request, _parsed_answer, _with_schema)
        yield Operation("raw_stream", "single", self._raw, self._single_request, answer_from, self.chat_request)

    def _single_request(self, sample: Sample) -> dict[str, Any]:
        return self.request(as_single(sample))

    def _streamed_request(self, sample: Sample) -> dict[str, Any]:
        return self.request(as_streamed(sample))

    def _timeout_request(self, sample: Sample) -> dict[str, Any]:
        return {**self._single_request(sample), "timeout": timeout_s_of(sample)}

    def _parse_request(self, sample: Sample) -> dict[str, Any]:
        return {**self._single_request(sample), "response_format": reply_class(sample)}

    async def _complete_async(self, **request: Any) -> ChatCompletion | AsyncStream[ChatCompletionChunk]:
        """``AsyncOpenAI``'s ``create``, which awaited gives a completion, or a stream if the request says so."""
        return await self._async.here().chat.completions.create(**request)  # type: ignore[no-any-return]

    def _raw(self, **request: Any) -> dict[str, Any]:
        """The body of the answer, read by the SDK's streaming response object."""
        with self._client.chat.completions.with_streaming_response.create(**request) as response:
            body: dict[str, Any] = response.json()
        return body

    def _embedding_request(self, sample: Sample) -> dict[str, Any]:
        accepted = accepted_by(self._client.embeddings.create) - {"input"}
        parameters = translated(sample, f"{self.name} (embeddings)", accepted)
        return {"model": embedding_model_of(sample, EMBEDDING_MODEL), "input": user_texts(sample), **parameters}

    def _embed(self, **request: Any) -> CreateEmbeddingResponse:
        return self._client.embeddings.create(**request)

    async def _embed_async(self, **request: Any) -> CreateEmbeddingResponse:
        return await self._async.here().embeddings.create(**request)

    def _respond(self, **request: Any) -> Response | Stream[ResponseStreamEvent]:
        """``responses.create``, which gives a response, or a stream if the request says so."""
        return self._client.responses.create(**request)  # type: ignore[no-any-return]

    def _responses_request(self, sample: Sample) -> dict[str, Any]:
        accepted = accepted_by(self._client.responses.create) - {"input"}
        return {"model": model_of(sample, self._model), **response_request(as_single(sample), self.name, accepted)}

    def _responses_stream_request(self, sample: Sample) -> dict[str, Any]:
        return {**self._responses_request(sample), "stream": True}

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    async def close_async(self) -> None:
        """Close the running loop's connections, if any were opened."""
        client = self._async.taken()
        if client is not None:
            await client.close()


def _parsed_answer(value: ParsedChatCompletion[Any]) -> Answer:
    """What a ``ParsedChatCompletion`` shows; the SDK's own declaration of it does not foresee what it parsed."""
    return answer_from(value.to_dict(mode="json", warnings=False))


def _embeddings_answer(value: CreateEmbeddingResponse) -> Answer:
    return embeddings_answer(value.to_dict(mode="json"))


def _without_timeout(request: dict[str, Any]) -> dict[str, Any]:
    """The SDK keeps the time-out to itself."""
    return {key: value for key, value in request.items() if key != "timeout"}


def _with_schema(request: dict[str, Any]) -> dict[str, Any]:
    """The request with the JSON schema that the SDK makes of the class."""
    kind = request["response_format"]
    return {**request, "response_format": strict_format(kind, pydantic_function_tool(kind)["function"]["parameters"])}
