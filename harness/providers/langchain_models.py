"""LangChain's chat models and embeddings of each backend, on HTTP clients that carry the call id."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.providers.parameters import accepted_by
from harness.providers.schemas import strict_format
from harness.providers.transport import (
    KEEPALIVE_EXPIRY_S,
    PerLoop,
    async_client_arguments,
    client_arguments,
    library_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from pydantic import BaseModel

MISTRAL_ACCEPTED = frozenset(
    {
        "frequency_penalty", "max_tokens", "n", "parallel_tool_calls", "presence_penalty", "random_seed",
        "response_format", "safe_prompt", "stop", "temperature", "tool_choice", "tools", "top_p",
    }
)  # fmt: skip
"""``ChatMistralAI`` writes any keyword into the request's body; these the API takes."""


class Connection(NamedTuple):
    """Where a backend listens, and how it is asked; the URL has its version path."""

    url: str
    api_key: str
    timeout_s: float


class Backend(Protocol):
    """One backend's classes.

    Attributes:
        accepted: The parameters that a chat model takes for one call.
        embedding_accepted: The parameters that embeddings take for one call.
        embedding_model: The embedding model where none is asked for.
    """

    accepted: frozenset[str]
    embedding_accepted: frozenset[str]
    embedding_model: str

    def http(self) -> Any:
        """A synchronous HTTP client."""

    def async_http(self) -> Any:
        """An asynchronous HTTP client."""

    def chat(self, model: str, http: Any, async_http: Any) -> BaseChatModel:
        """A chat model on these clients; without an asynchronous one it is called synchronously only."""

    def embeddings(self, model: str, http: Any, async_http: Any) -> Embeddings:
        """Embeddings on these clients."""

    def response_format(self, bound: Any) -> dict[str, Any]:
        """On the wire, what LangChain binds to a model that answers in a class's form."""


class OpenAIBackend:
    """``ChatOpenAI`` and ``OpenAIEmbeddings``."""

    embedding_model = "text-embedding-3-small"

    def __init__(self, connection: Connection) -> None:
        # Only the backend's packages, see LangChainProvider.
        from openai import DEFAULT_CONNECTION_LIMITS, DefaultHttpxClient  # noqa: PLC0415
        from openai.resources.chat.completions import Completions  # noqa: PLC0415
        from openai.resources.embeddings import Embeddings as EmbeddingsResource  # noqa: PLC0415

        self._limits = library_of(DefaultHttpxClient).Limits(
            max_connections=DEFAULT_CONNECTION_LIMITS.max_connections,
            max_keepalive_connections=DEFAULT_CONNECTION_LIMITS.max_keepalive_connections,
            keepalive_expiry=KEEPALIVE_EXPIRY_S,
        )
        self._settings = {
            "base_url": connection.url,
            "api_key": connection.api_key,
            "timeout": connection.timeout_s,
        }
        self.accepted = accepted_by(Completions.create)
        self.embedding_accepted = accepted_by(EmbeddingsResource.create) - {"input"}

    def http(self) -> Any:
        """The OpenAI SDK's own client."""
        from openai import DefaultHttpxClient  # noqa: PLC0415

        return DefaultHttpxClient(limits=self._limits, **client_arguments())

    def async_http(self) -> Any:
        """The OpenAI SDK's own asynchronous client."""
        from openai import DefaultAsyncHttpxClient  # noqa: PLC0415

        return DefaultAsyncHttpxClient(limits=self._limits, **async_client_arguments())

    def chat(self, model: str, http: Any, async_http: Any) -> BaseChatModel:
        """A ``ChatOpenAI``."""
        from langchain_openai import ChatOpenAI  # noqa: PLC0415

        return ChatOpenAI(model=model, http_client=http, http_async_client=async_http, **self._settings)

    def embeddings(self, model: str, http: Any, async_http: Any) -> Embeddings:
        """``OpenAIEmbeddings`` that send texts; tokens would need a table from the network."""
        from langchain_openai import OpenAIEmbeddings  # noqa: PLC0415

        return OpenAIEmbeddings(
            model=model,
            http_client=http,
            http_async_client=async_http,
            check_embedding_ctx_length=False,
            **self._settings,
        )

    def response_format(self, bound: type[BaseModel]) -> dict[str, Any]:
        """The class itself is bound, and the OpenAI SDK makes a schema of it."""
        from openai import pydantic_function_tool  # noqa: PLC0415

        return strict_format(bound, pydantic_function_tool(bound)["function"]["parameters"])


class MistralBackend:
    """``ChatMistralAI`` and ``MistralAIEmbeddings``."""

    accepted = MISTRAL_ACCEPTED
    embedding_accepted: frozenset[str] = frozenset()
    embedding_model = "mistral-embed"

    def __init__(self, connection: Connection) -> None:
        import httpx  # noqa: PLC0415 - only the backend's packages, see LangChainProvider

        self._httpx = httpx
        self._connection = connection
        self._settings = {
            "endpoint": connection.url,
            "api_key": connection.api_key,
            "timeout": max(1, round(connection.timeout_s)),
        }

    def _arguments(self) -> dict[str, Any]:
        """What ``ChatMistralAI`` gives a client that it makes itself."""
        limits = self._httpx.Limits(
            max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_EXPIRY_S
        )
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Authorization": f"Bearer {self._connection.api_key}",
        }
        return {
            "base_url": self._connection.url,
            "headers": headers,
            "timeout": self._connection.timeout_s,
            "limits": limits,
        }

    def http(self) -> Any:
        """An ``httpx`` client."""
        return self._httpx.Client(**self._arguments(), **client_arguments())

    def async_http(self) -> Any:
        """An asynchronous ``httpx`` client."""
        return self._httpx.AsyncClient(**self._arguments(), **async_client_arguments())

    def chat(self, model: str, http: Any, async_http: Any) -> BaseChatModel:
        """A ``ChatMistralAI``."""
        from langchain_mistralai import ChatMistralAI  # noqa: PLC0415

        return ChatMistralAI(model=model, **self._clients(http, async_http), **self._settings)

    def embeddings(self, model: str, http: Any, async_http: Any) -> Embeddings:
        """``MistralAIEmbeddings`` with a tokenizer that counts words.

        Its own would come over the network, and only decides how many texts go into one request.
        """
        from langchain_mistralai import MistralAIEmbeddings  # noqa: PLC0415
        from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: PLC0415

        words = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        clients = self._clients(http, async_http)
        return MistralAIEmbeddings(model=model, tokenizer=words, **clients, **self._settings)

    def response_format(self, bound: dict[str, Any]) -> dict[str, Any]:
        """What is bound is sent."""
        return bound

    def _clients(self, http: Any, async_http: Any) -> dict[str, Any]:
        """The classes take no ``None``: what is left out they make themselves."""
        return {"client": http} if async_http is None else {"client": http, "async_client": async_http}


BACKENDS: dict[str, Callable[[Connection], Backend]] = {"openai": OpenAIBackend, "mistralai": MistralBackend}


class ModelSet:
    """The models on one pair of HTTP clients, by name, each made once."""

    def __init__(self, backend: Backend, http: Any, async_http: Any = None) -> None:
        self.http = http
        self.async_http = async_http
        self._backend = backend
        self._chat: dict[str, BaseChatModel] = {}
        self._embeddings: dict[str, Embeddings] = {}
        self._lock = threading.Lock()

    def chat(self, name: str) -> BaseChatModel:
        """The chat model of this name."""
        with self._lock:
            if name not in self._chat:
                self._chat[name] = self._backend.chat(name, self.http, self.async_http)
            return self._chat[name]

    def embeddings(self, name: str) -> Embeddings:
        """The embeddings of this name."""
        with self._lock:
            if name not in self._embeddings:
                self._embeddings[name] = self._backend.embeddings(name, self.http, self.async_http)
            return self._embeddings[name]


class Models:
    """A backend's models: one set for synchronous calls, and one for each event loop."""

    def __init__(self, backend: Backend) -> None:
        self.sync = ModelSet(backend, backend.http())
        self._async = PerLoop(lambda: ModelSet(backend, self.sync.http, backend.async_http()))

    def here(self) -> ModelSet:
        """The models of the running loop."""
        return self._async.here()

    def close(self) -> None:
        """Close the synchronous connections."""
        self.sync.http.close()

    async def close_async(self) -> None:
        """Close the running loop's connections, if any were opened."""
        opened = self._async.taken()
        if opened is not None:
            await opened.async_http.aclose()
