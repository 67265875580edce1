"""Providers: real SDKs behind one narrow protocol.

A provider knows how one sample is sent with its SDK and what an application reads from the
answer. It knows nothing of tracing. It points its client at the gateway's base URL and puts
``harness.providers.callid.attach_call_id`` into the SDK's own HTTP client as a request hook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.prompts import Sample
    from harness.records import Mode

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


class Operation(NamedTuple):
    """One thing that an application does with an SDK, and what it reads from the answer.

    Attributes:
        name: A name among ``OPERATIONS``, or one of the provider's own.
        mode: How it is called: a function that returns a value (``single``), one that gives an iterator
            of chunks (``stream``), a coroutine function (``async``), or a function that gives an
            asynchronous iterator, perhaps after an ``await`` (``async_stream``).
        call: What the application calls, with the keyword arguments of ``request``. The SDK's own method
            wherever an application would call that, so that what a tracer does to it shows.
        request: The keyword arguments with which an application would make the call for a sample. Raises
            ``ConfigError`` for a parameter that the SDK does not take.
        answer: What an application reads from the value, or from the list of all chunks of a stream.
        describe: The request as plain JSON data in the wire's terms, for careful manual tracing.
    """

    name: str
    mode: Mode
    call: Callable[..., Any]
    request: Callable[[Sample], dict[str, Any]]
    answer: Callable[[Any], Answer]
    describe: Callable[[dict[str, Any]], dict[str, Any]]


OPERATIONS: dict[str, str] = {
    "chat": "a chat completion with a single answer",
    "stream": "a streamed chat completion",
    "chat_async": "a chat completion awaited",
    "stream_async": "a streamed chat completion, iterated asynchronously",
    "chat_retry": "a chat completion with the SDK's own retries turned on",
    "chat_timeout": "a chat completion with a short time-out of the SDK's own",
    "parse": "a chat completion parsed into a Pydantic class",
    "raw_stream": "a chat completion read through the SDK's streaming response object",
    "embeddings": "embeddings of the sample's texts",
    "embeddings_async": "the same, awaited",
    "responses": "OpenAI's Responses API",
    "responses_stream": "its stream",
    "chain": "a chain of prompt, model and parser",
    "batch": "several chat completions by the SDK's own batch",
    "retrieval": "a chain that retrieves documents by embeddings before it asks the model",
    "agent": "an agent that calls tools until it has an answer",
}
"""What a provider may offer; a scenario that needs what it does not is not applicable."""


def operations_of(provider: Provider) -> dict[str, Operation]:
    """What a provider can do, by name: ``chat`` and ``stream`` of every one, and its own ``operations``."""
    found = {
        "chat": Operation(
            "chat", "single", provider.complete, provider.request, provider.answer, provider.chat_request
        ),
        "stream": Operation(
            "stream", "stream", provider.stream, provider.request, provider.stream_answer, provider.chat_request
        ),
    }
    own = getattr(provider, "operations", None)
    return found | {operation.name: operation for operation in (own() if own is not None else ())}


@runtime_checkable
class Provider(Protocol):
    """How samples are sent with one SDK.

    It may also have a method ``operations()``, which gives further ``Operation``s (or its own ``chat``
    and ``stream``) as an iterable, and a coroutine function ``close_async()``.

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
