"""LangChain's chat models: ``ChatOpenAI`` or ``ChatMistralAI``, by backend."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from harness.providers.completions import answer_from
from harness.providers.parameters import accepted_by, require_backend, translated
from harness.providers.transport import KEEPALIVE_EXPIRY_S, client_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk

    from harness.prompts import Sample
    from harness.providers import Answer

MISTRAL_ACCEPTED = frozenset(
    {
        "frequency_penalty", "max_tokens", "n", "parallel_tool_calls", "presence_penalty", "random_seed",
        "response_format", "safe_prompt", "stop", "temperature", "tool_choice", "tools", "top_p",
    }
)  # fmt: skip
"""``ChatMistralAI`` writes any keyword into the request's body; these the API takes."""


class LangChainProvider:
    """One chat model, called with messages and this call's parameters.

    Only the backend's package is imported, when the provider is made: an application has one of
    them, and the other would be charged to it in import time and memory.
    """

    name = "langchain"

    def __init__(self, *, base_url: str, backend: str, model: str, api_key: str, timeout_s: float) -> None:
        require_backend(self.name, backend, ("openai", "mistralai"))
        make = _openai_model if backend == "openai" else _mistral_model
        self._backend = backend
        self._model_name = model
        self._model, self._http, self._accepted = make(f"{base_url}/v1", model, api_key, timeout_s)

    def request(self, sample: Sample) -> dict[str, Any]:
        """The messages and the keyword arguments of ``invoke`` and ``stream``.

        ``stream_options`` becomes LangChain's ``stream_usage`` for OpenAI; Mistral's API has no such
        option, because a stream's last chunk always holds the usage.

        Raises:
            ConfigError: If the backend takes no such parameter.
        """
        renamed = {} if self._backend == "openai" else {"seed": "random_seed"}
        parameters = translated(
            sample, f"{self.name} ({self._backend})", self._accepted, renamed=renamed, dropped=("stream_options",)
        )
        if self._backend == "openai" and sample.stream and "stream_options" in sample.parameters:
            parameters["stream_usage"] = bool(sample.parameters["stream_options"].get("include_usage"))
        if sample.recorded and self._backend == "mistralai":
            # ChatMistralAI asks for a temperature and a top_p of its own unless a call has another.
            parameters = {"temperature": None, "top_p": None, **parameters}
        # Given with the call it goes before the model's own.
        named = {"model": sample.model} if sample.model else {}
        return {"messages": list(sample.messages), **named, **parameters}

    def complete(self, messages: Sequence[dict[str, Any]], **parameters: Any) -> AIMessage:
        """``invoke``; returns an ``AIMessage``."""
        return self._model.invoke(list(messages), **parameters)

    def stream(self, messages: Sequence[dict[str, Any]], **parameters: Any) -> Iterator[AIMessageChunk]:
        """The model's ``stream``; yields each ``AIMessageChunk``."""
        yield from self._model.stream(list(messages), **parameters)

    def answer(self, value: AIMessage) -> Answer:
        """What an ``AIMessage`` shows."""
        return _answer(value, value.response_metadata)

    def stream_answer(self, chunks: Sequence[AIMessageChunk]) -> Answer:
        """What all ``AIMessageChunk`` together show.

        LangChain's sum of chunks joins texts in metadata too, so metadata are taken from the last
        chunk that has them.
        """
        if not chunks:
            return answer_from({"choices": []})
        metadata: dict[str, Any] = {}
        for chunk in chunks:
            metadata.update({key: value for key, value in chunk.response_metadata.items() if value})
        return _answer(reduce(add, chunks), metadata)

    def chat_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with the model's name, and ``stream_usage`` in OpenAI's words."""
        parameters = dict(request)
        if "stream_usage" in parameters:
            parameters["stream_options"] = {"include_usage": parameters.pop("stream_usage")}
        return {"model": self._model_name, **parameters}

    def close(self) -> None:
        """Close the client's connections."""
        self._http.close()


def _openai_model(url: str, model: str, api_key: str, timeout_s: float) -> tuple[BaseChatModel, Any, frozenset[str]]:
    import httpx2  # noqa: PLC0415 - only the backend's packages, see LangChainProvider
    from langchain_openai import ChatOpenAI  # noqa: PLC0415
    from openai import DEFAULT_CONNECTION_LIMITS, DefaultHttpxClient  # noqa: PLC0415
    from openai.resources.chat.completions import Completions  # noqa: PLC0415

    limits = httpx2.Limits(
        max_connections=DEFAULT_CONNECTION_LIMITS.max_connections,
        max_keepalive_connections=DEFAULT_CONNECTION_LIMITS.max_keepalive_connections,
        keepalive_expiry=KEEPALIVE_EXPIRY_S,
    )
    http = DefaultHttpxClient(limits=limits, **client_arguments())
    chat = ChatOpenAI(base_url=url, model=model, api_key=api_key, timeout=timeout_s, http_client=http)
    return chat, http, accepted_by(Completions.create)


def _mistral_model(url: str, model: str, api_key: str, timeout_s: float) -> tuple[BaseChatModel, Any, frozenset[str]]:
    import httpx  # noqa: PLC0415 - only the backend's packages, see LangChainProvider
    from langchain_mistralai import ChatMistralAI  # noqa: PLC0415

    http = httpx.Client(
        base_url=url,
        headers={
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Authorization": f"Bearer {api_key}",
        },
        timeout=timeout_s,
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_EXPIRY_S),
        **client_arguments(),
    )
    chat = ChatMistralAI(endpoint=url, model=model, api_key=api_key, timeout=max(1, round(timeout_s)), client=http)
    return chat, http, MISTRAL_ACCEPTED


def _answer(value: AIMessage, metadata: dict[str, Any]) -> Answer:
    """A message in chat-completions terms; an id that LangChain made up itself is not the provider's."""
    message: dict[str, Any] = {"role": "assistant", "content": str(value.text)}
    if value.tool_calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
            }
            for call in value.tool_calls
        ]
    completion: dict[str, Any] = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": metadata.get("finish_reason")}],
    }
    if response_id := metadata.get("id"):
        completion["id"] = response_id
    if model := metadata.get("model_name"):
        completion["model"] = model
    if usage := value.usage_metadata:
        completion["usage"] = {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
            "prompt_tokens_details": {"cached_tokens": usage.get("input_token_details", {}).get("cache_read", 0)},
        }
    return answer_from(completion)
