"""A provider of one's own: chat completions over plain ``httpx``, without any SDK."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from harness.providers.callid import attach_call_id
from harness.providers.completions import answer_from, merged_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.prompts import Sample
    from harness.providers import Answer


class PlainHttp:
    """``provider.target=own_provider.py:PlainHttp provider.backend=openai``."""

    name = "plain-http"

    def __init__(self, *, base_url: str, backend: str, model: str, api_key: str, timeout_s: float) -> None:
        self.backend, self.model = backend, model
        self.http = httpx.Client(
            base_url=f"{base_url}/v1",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            limits=httpx.Limits(keepalive_expiry=24 * 3600.0),
            event_hooks={"request": [attach_call_id]},
        )

    def request(self, sample: Sample) -> dict[str, Any]:
        """The body of the request."""
        return {"model": self.model, "messages": list(sample.messages), **sample.parameters}

    def complete(self, **request: Any) -> dict[str, Any]:
        """One request with a single answer."""
        response: dict[str, Any] = self.http.post("/chat/completions", json=request).raise_for_status().json()
        return response

    def stream(self, **request: Any) -> Iterator[dict[str, Any]]:
        """One request with a streamed answer."""
        with self.http.stream("POST", "/chat/completions", json={**request, "stream": True}) as response:
            for line in response.raise_for_status().iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    def answer(self, value: dict[str, Any]) -> Answer:
        """The value is a chat completion already."""
        return answer_from(value)

    def stream_answer(self, chunks: Sequence[dict[str, Any]]) -> Answer:
        """All chunks as one chat completion."""
        return answer_from(merged_chunks(chunks))

    def chat_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request is in chat-completions terms already."""
        return request

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
