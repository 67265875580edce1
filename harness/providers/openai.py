"""The OpenAI SDK: ``client.chat.completions.create``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
from openai import DEFAULT_CONNECTION_LIMITS, DefaultHttpxClient, OpenAI

from harness.providers.completions import answer_from, merged_chunks
from harness.providers.parameters import accepted_by, require_backend, translated
from harness.providers.transport import KEEPALIVE_EXPIRY_S, client_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from harness.prompts import Sample
    from harness.providers import Answer

LIMITS = httpx2.Limits(
    max_connections=DEFAULT_CONNECTION_LIMITS.max_connections,
    max_keepalive_connections=DEFAULT_CONNECTION_LIMITS.max_keepalive_connections,
    keepalive_expiry=KEEPALIVE_EXPIRY_S,
)


class OpenAIProvider:
    """One ``OpenAI`` client.

    ``complete`` and ``stream`` are both the SDK's own ``create``, looked up anew each time so
    that a patch put on the SDK's class later takes effect. An application asks for a stream with
    ``stream=True``, so the request of a streamed sample carries it.
    """

    name = "openai"

    def __init__(self, *, base_url: str, backend: str, model: str, api_key: str, timeout_s: float) -> None:
        require_backend(self.name, backend, ("openai",))
        self._model = model
        self._client = OpenAI(
            base_url=f"{base_url}/v1",
            api_key=api_key,
            timeout=timeout_s,
            http_client=DefaultHttpxClient(limits=LIMITS, **client_arguments()),
        )
        self._accepted = accepted_by(self._client.chat.completions.create)

    def request(self, sample: Sample) -> dict[str, Any]:
        """Keyword arguments of ``create``.

        Raises:
            ConfigError: If ``create`` takes no such parameter.
        """
        parameters = translated(sample, self.name, self._accepted)
        streamed = {"stream": True} if sample.stream else {}
        return {"model": sample.model or self._model, "messages": list(sample.messages), **parameters, **streamed}

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

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()
