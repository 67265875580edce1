"""Providers: real SDKs behind one narrow protocol.

A provider knows how one sample is sent with its SDK and what an application reads from the
answer. It knows nothing of tracing. It points its client at the gateway's base URL and puts
``harness.providers.callid.attach_call_id`` into the SDK's own HTTP client as a request hook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.prompts import Sample

PROVIDERS: dict[str, str] = {
    "openai": "harness.providers.openai:OpenAIProvider",
    "mistralai": "harness.providers.mistralai:MistralProvider",
    "langchain": "harness.providers.langchain:LangChainProvider",
}


class Usage(NamedTuple):
    """Token counts as the SDK's value shows them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class Answer(NamedTuple):
    """What an application can read from an SDK's value, for careful manual tracing.

    Attributes:
        text: The answer's text; empty if it has none.
        model: The model that answered, if the SDK shows it.
        response_id: The provider's id of the answer, if the SDK shows it.
        finish_reason: Why the answer ended, if the SDK shows it.
        usage: Token counts, if the SDK shows them.
        message: The value as plain JSON data, in the shape of a chat completion
            (``{"id", "model", "choices": [{"index", "message", "finish_reason"}], "usage"}``).
    """

    text: str
    model: str | None
    response_id: str | None
    finish_reason: str | None
    usage: Usage | None
    message: dict[str, Any]


@runtime_checkable
class Provider(Protocol):
    """How samples are sent with one SDK.

    A provider is made as ``Class(base_url=..., backend=..., model=..., api_key=..., timeout_s=...)``,
    all texts but the last. The base URL is the gateway's for the backend's dialect, without a
    version path, for example ``http://127.0.0.1:40001/openai``.
    """

    name: str

    def request(self, sample: Sample) -> dict[str, Any]:
        """The keyword arguments with which an application would call the SDK for this sample."""

    def complete(self, **request: Any) -> Any:
        """One SDK call with a single answer; returns the SDK's own value."""

    def stream(self, **request: Any) -> Iterator[Any]:
        """One SDK call with a streamed answer; yields the SDK's own chunks to the end."""

    def answer(self, value: Any) -> Answer:
        """What an application reads from the value of ``complete``."""

    def stream_answer(self, chunks: Sequence[Any]) -> Answer:
        """What an application reads from all chunks of ``stream``."""

    def chat_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request as plain JSON data in chat-completions terms (``model``, ``messages``, parameters)."""

    def close(self) -> None:
        """Close the client's connections."""
