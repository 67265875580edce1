"""LangChain on ``ChatOpenAI`` or ``ChatMistralAI``, by backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.providers import Operation
from harness.providers.embeddings import vectors_answer
from harness.providers.langchain_answers import (
    batch_answer,
    chunks_answer,
    message_answer,
    parsed_answer,
    state_answer,
    text_answer,
)
from harness.providers.langchain_built import Built
from harness.providers.langchain_chains import variants
from harness.providers.langchain_models import BACKENDS, Connection, Models
from harness.providers.parameters import (
    as_single,
    as_streamed,
    embedding_model_of,
    model_of,
    require_backend,
    timeout_s_of,
    translated,
    user_texts,
)
from harness.providers.schemas import reply_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.messages import AIMessage, AIMessageChunk
    from pydantic import BaseModel

    from harness.prompts import Sample
    from harness.providers import Answer

    Messages = Sequence[dict[str, Any]]


class LangChainProvider:
    """Chat models, called with messages and this call's parameters, and what LangChain builds of them.

    Only the backend's package is imported, when the provider is made: an application has one of
    them, and the other would be charged to it in import time and memory. What is built of the models
    is built when the first request for it is made, outside of the call.
    """

    name = "langchain"

    def __init__(self, *, base_url: str, backend: str, model: str, api_key: str, timeout_s: float) -> None:
        require_backend(self.name, backend, tuple(BACKENDS))
        self._backend = backend
        self._model_name = model
        self._kind = BACKENDS[backend](Connection(f"{base_url}/v1", api_key, timeout_s))
        self._models = Models(self._kind)
        self._models.sync.chat(model)
        self._built = Built(self._models.sync, self._kind.embedding_model)

    def request(self, sample: Sample) -> dict[str, Any]:
        """The messages and the keyword arguments of ``invoke`` and ``stream``.

        ``stream_options`` becomes LangChain's ``stream_usage`` for OpenAI; Mistral's API has no such
        option, because a stream's last chunk always holds the usage. A sample with a model of its
        own is asked of another chat model.

        Raises:
            ConfigError: If the backend takes no such parameter.
        """
        renamed = {} if self._backend == "openai" else {"seed": "random_seed"}
        parameters = translated(sample, self._label, self._kind.accepted, renamed=renamed, dropped=("stream_options",))
        if self._backend == "openai" and sample.stream and "stream_options" in sample.parameters:
            parameters["stream_usage"] = bool(sample.parameters["stream_options"].get("include_usage"))
        if sample.recorded and self._backend == "mistralai":
            # ChatMistralAI asks for a temperature and a top_p of its own unless a call has another.
            parameters = {"temperature": None, "top_p": None, **parameters}
        return {**self._other_model(sample), "messages": list(sample.messages), **parameters}

    @property
    def _label(self) -> str:
        return f"{self.name} ({self._backend})"

    def _other_model(self, sample: Sample) -> dict[str, str]:
        model = model_of(sample, self._model_name)
        return {} if model == self._model_name else {"model": model}

    def complete(self, messages: Messages, model: str | None = None, **parameters: Any) -> AIMessage:
        """``invoke``; returns an ``AIMessage``."""
        return self._models.sync.chat(model or self._model_name).invoke(list(messages), **parameters)

    def stream(self, messages: Messages, model: str | None = None, **parameters: Any) -> Iterator[AIMessageChunk]:
        """The model's ``stream``; yields each ``AIMessageChunk``."""
        yield from self._models.sync.chat(model or self._model_name).stream(list(messages), **parameters)

    def answer(self, value: AIMessage) -> Answer:
        """What an ``AIMessage`` shows."""
        return message_answer(value)

    def stream_answer(self, chunks: Sequence[AIMessageChunk]) -> Answer:
        """What all ``AIMessageChunk`` together show."""
        return chunks_answer(chunks)

    def chat_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with the model's name, and ``stream_usage`` in OpenAI's words."""
        parameters = _without(request, "timeout")
        if "stream_usage" in parameters:
            parameters["stream_options"] = {"include_usage": parameters.pop("stream_usage")}
        return {"model": self._model_name, **parameters}

    def operations(self) -> Iterator[Operation]:
        """All that LangChain can do on this backend; each call is as an application writes it."""
        single = (self._single_request, message_answer, self.chat_request)
        streamed = (self._streamed_request, chunks_answer, self._describe_stream)
        yield Operation("chat", "single", self.complete, *single)
        yield Operation("stream", "stream", self.stream, *streamed)
        yield Operation("chat_async", "async", self._complete_async, *single)
        yield Operation("stream_async", "async_stream", self._stream_async, *streamed)
        if self._backend == "openai":  # ChatMistralAI takes a time-out for all its calls only, in whole seconds
            timed = (self._timeout_request, message_answer, self.chat_request)
            yield Operation("chat_timeout", "single", self.complete, *timed)
        embed = (self._embedding_request, vectors_answer, _embedding_words)
        yield Operation("embeddings", "single", self._embed, *embed)
        yield Operation("embeddings_async", "async", self._embed_async, *embed)
        yield from self._built_operations()

    def _built_operations(self) -> Iterator[Operation]:
        describe = self.chat_request
        retry = self.complete if self._backend == "openai" else self._retry
        yield Operation("chat_retry", "single", retry, self._single_request, message_answer, describe)
        yield Operation("parse", "single", self._parse, self._parse_request, parsed_answer, self._describe_parse)
        yield Operation("batch", "single", self._batch, self._batch_request, batch_answer, describe)
        yield Operation("chain", "single", self._chain, self._chain_request, text_answer, describe)
        yield Operation("retrieval", "single", self._retrieve, self._retrieval_request, text_answer, describe)
        yield Operation("agent", "single", self._agent, self._agent_request, state_answer, describe)

    def _single_request(self, sample: Sample) -> dict[str, Any]:
        return self.request(as_single(sample))

    def _streamed_request(self, sample: Sample) -> dict[str, Any]:
        return self.request(as_streamed(sample))

    def _describe_stream(self, request: dict[str, Any]) -> dict[str, Any]:
        return {**self.chat_request(request), "stream": True}

    async def _complete_async(self, messages: Messages, model: str | None = None, **parameters: Any) -> AIMessage:
        return await self._models.here().chat(model or self._model_name).ainvoke(list(messages), **parameters)

    def _stream_async(
        self, messages: Messages, model: str | None = None, **parameters: Any
    ) -> AsyncIterator[AIMessageChunk]:
        return self._models.here().chat(model or self._model_name).astream(list(messages), **parameters)

    def _timeout_request(self, sample: Sample) -> dict[str, Any]:
        return {**self._single_request(sample), "timeout": timeout_s_of(sample)}

    def _retry(self, messages: Messages, model: str | None = None, **parameters: Any) -> AIMessage:
        """``with_retry``, because ``ChatMistralAI`` itself tries again only where no answer came."""
        value: AIMessage = self._built.retrying(model or self._model_name).invoke(list(messages), **parameters)
        return value

    def _parse_request(self, sample: Sample) -> dict[str, Any]:
        request = {**self._single_request(sample), "response_format": reply_class(sample)}
        self._built.structured(request.get("model", self._model_name), request["response_format"])
        return request

    def _parse(
        self, messages: Messages, response_format: type[BaseModel], model: str | None = None, **parameters: Any
    ) -> BaseModel:
        structured = self._built.structured(model or self._model_name, response_format)
        value: BaseModel = structured.invoke(list(messages), **parameters)
        return value

    def _describe_parse(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with the JSON schema that LangChain makes of the class."""
        structured: Any = self._built.structured(request.get("model", self._model_name), request["response_format"])
        bound = structured.first.kwargs["response_format"]
        return self.chat_request({**request, "response_format": self._kind.response_format(bound)})

    def _batch_request(self, sample: Sample) -> dict[str, Any]:
        request = self._single_request(sample)
        return {"inputs": variants(request.pop("messages")), **request}

    def _batch(self, inputs: Sequence[Messages], model: str | None = None, **parameters: Any) -> list[AIMessage]:
        chat = self._models.sync.chat(model or self._model_name)
        return chat.batch([list(one) for one in inputs], **parameters)

    def _chain_request(self, sample: Sample) -> dict[str, Any]:
        request = self._single_request(sample)
        self._built.chain(request.get("model", self._model_name), _without(request, "model", "messages"))
        return request

    def _chain(self, messages: Messages, model: str | None = None, **parameters: Any) -> str:
        return self._built.chain(model or self._model_name, parameters).invoke({"messages": list(messages)})

    def _retrieval_request(self, sample: Sample) -> dict[str, Any]:
        user_texts(sample)
        return self._single_request(sample)

    def _retrieve(self, messages: Messages, model: str | None = None, **parameters: Any) -> str:
        return self._built.retrieve(model or self._model_name, parameters, messages)

    def _agent_request(self, sample: Sample) -> dict[str, Any]:
        request = {"tools": [], **self._single_request(sample)}
        parameters = _without(request, "model", "messages", "tools")
        self._built.agent(request.get("model", self._model_name), request["tools"], parameters)
        return request

    def _agent(
        self, messages: Messages, tools: Sequence[dict[str, Any]], model: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        graph = self._built.agent(model or self._model_name, tools, parameters)
        state: dict[str, Any] = graph.invoke({"messages": list(messages)})
        return state

    def _embedding_request(self, sample: Sample) -> dict[str, Any]:
        parameters = translated(sample, f"{self._label} (embeddings)", self._kind.embedding_accepted)
        model = embedding_model_of(sample, self._kind.embedding_model)
        return {"texts": user_texts(sample), "model": model, **parameters}

    def _embed(self, texts: list[str], model: str, **parameters: Any) -> list[list[float]]:
        return self._models.sync.embeddings(model).embed_documents(texts, **parameters)

    async def _embed_async(self, texts: list[str], model: str, **parameters: Any) -> list[list[float]]:
        return await self._models.here().embeddings(model).aembed_documents(texts, **parameters)

    def close(self) -> None:
        """Close the client's connections."""
        self._models.close()

    async def close_async(self) -> None:
        """Close the running loop's connections, if any were opened."""
        await self._models.close_async()


def _embedding_words(request: dict[str, Any]) -> dict[str, Any]:
    """On the wire the texts are called ``input``."""
    return {"input" if key == "texts" else key: value for key, value in request.items()}


def _without(request: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key not in names}
