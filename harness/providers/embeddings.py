"""What an application reads from embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.providers import Answer, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


def embeddings_answer(message: dict[str, Any]) -> Answer:
    """What stands in a response of the embeddings API; it has no text.

    Output tokens are 0 where the API does not count any, because embeddings have none.
    """
    usage = message.get("usage")
    return Answer(
        text="",
        model=message.get("model"),
        response_id=message.get("id"),
        finish_reason=None,
        usage=Usage(usage["prompt_tokens"], usage.get("completion_tokens") or 0, usage["total_tokens"])
        if usage
        else None,
        message=message,
    )


def vectors_answer(vectors: Sequence[Sequence[float]]) -> Answer:
    """The same from bare vectors, which is all that LangChain shows."""
    data = [{"object": "embedding", "index": index, "embedding": list(one)} for index, one in enumerate(vectors)]
    return embeddings_answer({"object": "list", "data": data})
