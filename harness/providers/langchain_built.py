"""What an application builds once of LangChain's parts, and then calls."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from harness.providers.langchain_chains import chat_chain, question_of, retrieval_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.runnables import Runnable
    from pydantic import BaseModel

    from harness.providers.langchain_models import ModelSet

T = TypeVar("T")

RETRY_ATTEMPTS = 3
RETRY_WAIT_MAX_S = 0.2


class Built:
    """Runnables on a set of models, each made when it is first asked for.

    LangChain's agents bring LangGraph with them, so they are imported when the first is made: an
    application without an agent is not charged for it.
    """

    def __init__(self, models: ModelSet, embedding_model: str) -> None:
        self._models = models
        self._embedding_model = embedding_model
        self._made: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.RLock()

    def retrying(self, model: str) -> Runnable[Any, Any]:
        """The model with LangChain's own retries."""

        def make() -> Runnable[Any, Any]:
            return self._models.chat(model).with_retry(
                stop_after_attempt=RETRY_ATTEMPTS,
                exponential_jitter_params={"max": RETRY_WAIT_MAX_S},
            )

        return self._once(("retrying", model), make)

    def structured(self, model: str, kind: type[BaseModel]) -> Runnable[Any, Any]:
        """The model and a parser into a class, asked for by its JSON schema."""

        def make() -> Runnable[Any, Any]:
            return self._models.chat(model).with_structured_output(kind, method="json_schema")

        return self._once(("structured", model, kind), make)

    def chain(self, model: str, parameters: dict[str, Any]) -> Runnable[dict[str, Any], str]:
        """Prompt, model and parser."""
        return self._once(("chain", model, _key(parameters)), lambda: chat_chain(self._models.chat(model), parameters))

    def retrieve(self, model: str, parameters: dict[str, Any], messages: Sequence[dict[str, Any]]) -> str:
        """The answer of a chain over documents that are embedded first, in each call."""
        embeddings = self._models.embeddings(self._embedding_model)
        chain = retrieval_chain(self._models.chat(model), embeddings, parameters)
        return chain.invoke({"question": question_of(messages), "messages": list(messages)})

    def agent(self, model: str, tools: Sequence[dict[str, Any]], parameters: dict[str, Any]) -> Any:
        """An agent with tools: a compiled graph."""
        from harness.providers.langchain_agent import agent  # noqa: PLC0415 - see Built

        key = ("agent", model, _key(list(tools)), _key(parameters))
        return self._once(key, lambda: agent(self._models.chat(model), tools, parameters))

    def _once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            found: T = self._made[key]
            return found


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
