"""The Mistral SDK: ``client.chat.complete`` and ``client.chat.stream``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
from mistralai.client import Mistral

from harness.providers.completions import answer_from, merged_chunks
from harness.providers.parameters import accepted_by, require_backend, translated
from harness.providers.transport import KEEPALIVE_EXPIRY_S, client_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mistralai.client.models import ChatCompletionResponse, CompletionEvent

    from harness.prompts import Sample
    from harness.providers import Answer

RENAMED = {"seed": "random_seed"}
DROPPED = ("stream_options",)
"""Mistral's API has no such option: a stream's last chunk always holds the usage."""

LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_EXPIRY_S)
"""httpx2's defaults, which are the SDK's, but for the expiry."""


class MistralProvider:
    """One ``Mistral`` client.

    ``complete`` is the SDK's own method, looked up anew each time so that a patch put on the
    SDK's class later takes effect. ``stream`` is a function around the SDK's, as in any
    application, because the SDK's stream has to be closed.
    """

    name = "mistralai"

    def __init__(self, *, base_url: str, backend: str, model: str, api_key: str, timeout_s: float) -> None:
        require_backend(self.name, backend, ("mistralai",))
        self._model = model
        self._http = httpx2.Client(follow_redirects=True, limits=LIMITS, **client_arguments())
        self._client = Mistral(
            server_url=base_url, api_key=api_key, timeout_ms=round(timeout_s * 1000), client=self._http
        )
        self._accepted = accepted_by(self._client.chat.complete)

    def request(self, sample: Sample) -> dict[str, Any]:
        """Keyword arguments of ``complete`` and ``stream``; ``stream_options`` is left out.

        Raises:
            ConfigError: If the SDK takes no such parameter.
        """
        parameters = translated(sample, self.name, self._accepted, renamed=RENAMED, dropped=DROPPED)
        return {"model": sample.model or self._model, "messages": list(sample.messages), **parameters}

    @property
    def complete(self) -> Callable[..., Any]:
        """``client.chat.complete``; returns a ``ChatCompletionResponse``."""
        return self._client.chat.complete

    def stream(self, *, messages: Sequence[dict[str, Any]], **parameters: Any) -> Iterator[CompletionEvent]:
        """``client.chat.stream``, iterated to the end; yields each ``CompletionEvent``."""
        with self._client.chat.stream(messages=messages, **parameters) as events:  # type: ignore[arg-type]
            yield from events

    def answer(self, value: ChatCompletionResponse) -> Answer:
        """What a ``ChatCompletionResponse`` shows."""
        return answer_from(value.model_dump(mode="json"))

    def stream_answer(self, chunks: Sequence[CompletionEvent]) -> Answer:
        """What all ``CompletionEvent`` together show."""
        return answer_from(merged_chunks(chunk.data.model_dump(mode="json") for chunk in chunks))

    def chat_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request as it is: its words are the wire's."""
        return dict(request)

    def close(self) -> None:
        """Close the client's connections."""
        self._http.close()
