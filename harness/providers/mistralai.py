"""The Mistral SDK: ``client.chat`` and ``client.embeddings``, also asynchronously."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from mistralai.extra.utils.response_format import response_format_from_pydantic_model

from harness.providers import Operation
from harness.providers.completions import answer_from, merged_chunks
from harness.providers.embeddings import embeddings_answer
from harness.providers.parameters import (
    accepted_by,
    embedding_model_of,
    model_of,
    require_backend,
    timeout_s_of,
    translated,
    user_texts,
)
from harness.providers.schemas import reply_class
from harness.providers.transport import KEEPALIVE_EXPIRY_S, PerLoop, async_client_arguments, client_arguments

try:
    from mistralai.client import Mistral, httpclient
    from mistralai.client.utils import BackoffStrategy, RetryConfig
except ImportError:  # the SDK before 2.0 has all of it one level up
    from mistralai import Mistral, httpclient  # type: ignore[no-redef,attr-defined]
    from mistralai.utils import BackoffStrategy, RetryConfig  # type: ignore[no-redef,import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mistralai.client.models import ChatCompletionResponse, CompletionEvent, EmbeddingResponse
    from mistralai.client.utils.eventstreaming import EventStreamAsync

    from harness.prompts import Sample
    from harness.providers import Answer

RENAMED = {"seed": "random_seed"}
DROPPED = ("stream_options",)
"""Mistral's API has no such option: a stream's last chunk always holds the usage."""

EMBEDDING_MODEL = "mistral-embed"
OWN_WORDS = ("retries", "timeout_ms")
"""What the SDK keeps to itself."""

HTTPX: Any = httpclient.httpx  # type: ignore[attr-defined]  # what it imports itself
"""The HTTP library that the SDK is written for: ``httpx2``, or ``httpx`` in older versions."""

LIMITS = HTTPX.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_EXPIRY_S)
"""Its defaults, which are the SDK's, but for the expiry."""


class MistralProvider:
    """One ``Mistral`` client, and another for each event loop that asks for one.

    ``complete`` and ``stream`` are the SDK's own methods, looked up anew each time so that a patch
    put on the SDK's class later takes effect.
    """

    name = "mistralai"

    def __init__(self, *, base_url: str, backend: str, model: str, api_key: str, timeout_s: float) -> None:
        require_backend(self.name, backend, ("mistralai",))
        self._model = model
        self._http = HTTPX.Client(follow_redirects=True, limits=LIMITS, **client_arguments())
        self._settings: dict[str, Any] = {
            "server_url": base_url,
            "api_key": api_key,
            "timeout_ms": round(timeout_s * 1000),
            "client": self._http,
        }
        self._client = Mistral(**self._settings)
        self._async = PerLoop(self._async_client)
        self._accepted = accepted_by(self._client.chat.complete)

    def _async_client(self) -> tuple[Mistral, Any]:
        http = HTTPX.AsyncClient(follow_redirects=True, limits=LIMITS, **async_client_arguments())
        return Mistral(**self._settings, async_client=http), http

    def request(self, sample: Sample) -> dict[str, Any]:
        """Keyword arguments of ``complete`` and ``stream``; ``stream_options`` is left out.

        Raises:
            ConfigError: If the SDK takes no such parameter.
        """
        parameters = translated(sample, self.name, self._accepted, renamed=RENAMED, dropped=DROPPED)
        return {"model": model_of(sample, self._model), "messages": list(sample.messages), **parameters}

    @property
    def complete(self) -> Callable[..., Any]:
        """``client.chat.complete``; returns a ``ChatCompletionResponse``."""
        return self._client.chat.complete

    @property
    def stream(self) -> Callable[..., Any]:
        """``client.chat.stream``; returns an ``EventStream``, which closes itself at its end."""
        return self._client.chat.stream

    def answer(self, value: ChatCompletionResponse) -> Answer:
        """What a ``ChatCompletionResponse`` shows."""
        return answer_from(value.model_dump(mode="json"))

    def stream_answer(self, chunks: Sequence[CompletionEvent]) -> Answer:
        """What all ``CompletionEvent`` together show."""
        return answer_from(merged_chunks(chunk.data.model_dump(mode="json") for chunk in chunks))

    def chat_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request as it is: its words are the wire's, but for those that the SDK keeps to itself."""
        return {key: value for key, value in request.items() if key not in OWN_WORDS}

    def operations(self) -> Iterator[Operation]:
        """All that the SDK can do; each call is the SDK's own method, or what an application writes around it.

        The SDK imports a resource when it is first asked for, so embeddings are asked for in the call.
        """
        single = (self.request, self.answer, self.chat_request)
        streamed = (self.request, self.stream_answer, _as_streamed)
        yield Operation("stream", "stream", self.stream, *streamed)
        yield Operation("chat_async", "async", self._complete_async, *single)
        yield Operation("stream_async", "async_stream", self._stream_async, *streamed)
        retried = (self._retry_request, self.answer, self.chat_request)
        yield Operation("chat_retry", "single", self.complete, *retried)
        timed = (self._timeout_request, self.answer, self.chat_request)
        yield Operation("chat_timeout", "single", self.complete, *timed)
        yield Operation("parse", "single", self._client.chat.parse, self._parse_request, self.answer, _with_schema)
        embed = (self._embedding_request, _embeddings_answer, _embedding_words)
        yield Operation("embeddings", "single", self._embed, *embed)
        yield Operation("embeddings_async", "async", self._embed_async, *embed)

    def _retry_request(self, sample: Sample) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "initial_interval": 10, "max_interval": 200, "exponent": 1.5, "max_elapsed_time": 5000, "jitter_ms": 10,
        }  # fmt: skip
        known = inspect.signature(BackoffStrategy).parameters  # older SDKs choose the jitter themselves
        backoff = BackoffStrategy(**{name: value for name, value in wanted.items() if name in known})
        return {**self.request(sample), "retries": RetryConfig("backoff", backoff, retry_connection_errors=True)}

    def _timeout_request(self, sample: Sample) -> dict[str, Any]:
        return {**self.request(sample), "timeout_ms": round(timeout_s_of(sample) * 1000)}

    def _parse_request(self, sample: Sample) -> dict[str, Any]:
        return {**self.request(sample), "response_format": reply_class(sample)}

    async def _complete_async(self, **request: Any) -> ChatCompletionResponse:
        return await self._async.here()[0].chat.complete_async(**request)

    async def _stream_async(self, **request: Any) -> EventStreamAsync[CompletionEvent]:
        """``stream_async``; what it gives is to be iterated, and closed if it is left early."""
        return await self._async.here()[0].chat.stream_async(**request)

    def _embedding_request(self, sample: Sample) -> dict[str, Any]:
        accepted = accepted_by(self._client.embeddings.create) - {"inputs"}
        renamed = {"dimensions": "output_dimension"}
        parameters = translated(sample, f"{self.name} (embeddings)", accepted, renamed=renamed)
        return {"model": embedding_model_of(sample, EMBEDDING_MODEL), "inputs": user_texts(sample), **parameters}

    def _embed(self, **request: Any) -> EmbeddingResponse:
        return self._client.embeddings.create(**request)

    async def _embed_async(self, **request: Any) -> EmbeddingResponse:
        return await self._async.here()[0].embeddings.create_async(**request)

    def close(self) -> None:
        """Close the client's connections."""
        self._http.close()

    async def close_async(self) -> None:
        """Close the running loop's connections, if any were opened."""
        opened = self._async.taken()
        if opened is not None:
            await opened[1].aclose()


def _as_streamed(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "stream": True}


def _with_schema(request: dict[str, Any]) -> dict[str, Any]:
    """The request with the JSON schema that the SDK makes of the class."""
    return {**request, "response_format": response_format_from_pydantic_model(request["response_format"])}


def _embeddings_answer(value: EmbeddingResponse) -> Answer:
    return embeddings_answer(value.model_dump(mode="json"))


def _embedding_words(request: dict[str, Any]) -> dict[str, Any]:
    """On the wire the texts are called ``input``."""
    return {"input" if key == "inputs" else key: value for key, value in request.items()}
