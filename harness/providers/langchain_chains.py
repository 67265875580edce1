"""LangChain's chains: prompt, model and parser, and retrieval before them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.vectorstores import InMemoryVectorStore

from harness.providers.completions import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable

DOCUMENTS = (
    "A span is one timed step of a request; it has a name, a start and an end.",
    "A trace is all spans of one request, joined in a tree by their parents.",
    "A gateway stands between an application and a model, and forwards what they say.",
    "Tokens are what a model counts; a word is often one or two of them.",
)
"""What the vector store of ``retrieval`` is filled with."""

FOUND = 2
"""How many documents are retrieved."""

VARIANTS = ("", " Answer briefly.", " Answer in detail.")
"""What ``batch`` adds to the last message by the user, one call each."""


def chat_chain(model: BaseChatModel, parameters: dict[str, Any]) -> Runnable[dict[str, Any], str]:
    """A chain of prompt, model and parser, for ``{"messages": [...]}``."""
    prompt = ChatPromptTemplate([MessagesPlaceholder("messages")])
    return prompt | model.bind(**parameters) | StrOutputParser()


def retrieval_chain(
    model: BaseChatModel, embeddings: Embeddings, parameters: dict[str, Any]
) -> Runnable[dict[str, Any], str]:
    """A chain that looks ``question`` up among ``DOCUMENTS`` before it asks the model ``messages``.

    Making it embeds the documents.
    """
    store = InMemoryVectorStore.from_texts(list(DOCUMENTS), embeddings)
    retriever = store.as_retriever(search_kwargs={"k": FOUND})
    prompt = ChatPromptTemplate(
        [("system", "Answer with the help of these documents:\n{context}"), MessagesPlaceholder("messages")]
    )
    found = {"context": itemgetter("question") | retriever | _joined, "messages": itemgetter("messages")}
    return found | prompt | model.bind(**parameters) | StrOutputParser()


def question_of(messages: Sequence[dict[str, Any]]) -> str:
    """The text of the last message by the user, which is what is looked up."""
    texts = [text_of(one.get("content")) for one in messages if one["role"] == "user"]
    return texts[-1] if texts else ""


def variants(messages: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The messages of each call of ``batch``."""
    last = max((index for index, one in enumerate(messages) if one["role"] == "user"), default=None)
    if last is None:
        return [list(messages) for _ in VARIANTS]
    return [[*messages[:last], _extended(messages[last], more), *messages[last + 1 :]] for more in VARIANTS]


def _extended(message: dict[str, Any], more: str) -> dict[str, Any]:
    content = message["content"]
    if not more:
        return message
    longer = content + more if isinstance(content, str) else [*content, {"type": "text", "text": more}]
    return {**message, "content": longer}


def _joined(documents: Iterable[Document]) -> str:
    return "\n".join(document.page_content for document in documents)
