"""What LangChain's messages show, in chat-completions terms."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, convert_to_openai_messages

from harness.providers.completions import answer_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.messages import AIMessageChunk
    from pydantic import BaseModel

    from harness.providers import Answer


def message_answer(value: AIMessage) -> Answer:
    """What an ``AIMessage`` shows."""
    return answer_from(_completion([(value, value.response_metadata)]))


def chunks_answer(chunks: Sequence[AIMessageChunk]) -> Answer:
    """What all ``AIMessageChunk`` together show.

    LangChain's sum of chunks joins texts in metadata too, so metadata are taken from the last
    chunk that has them.
    """
    if not chunks:
        return answer_from({"choices": []})
    metadata: dict[str, Any] = {}
    for chunk in chunks:
        metadata.update({key: value for key, value in chunk.response_metadata.items() if value})
    return answer_from(_completion([(reduce(add, chunks), metadata)]))


def batch_answer(values: Sequence[AIMessage]) -> Answer:
    """What several messages show: a choice and a line of the text for each, and the usage of all."""
    completion = _completion([(value, value.response_metadata) for value in values])
    completion.pop("id", None)
    return answer_from(completion)._replace(text="\n".join(str(value.text) for value in values))


def text_answer(value: str) -> Answer:
    """What the text that a parser made shows: nothing else."""
    choice = {"index": 0, "message": {"role": "assistant", "content": str(value)}, "finish_reason": None}
    return answer_from({"object": "chat.completion", "choices": [choice]})


def parsed_answer(value: BaseModel) -> Answer:
    """What a parsed object shows: its JSON text."""
    return text_answer(value.model_dump_json())


def state_answer(state: dict[str, Any]) -> Answer:
    """What an agent's last state shows: its last message, the usage of the whole run, and all messages."""
    messages = state["messages"]
    own = [one for one in messages if isinstance(one, AIMessage)]
    completion = _completion([(one, one.response_metadata) for one in own])
    completion["choices"] = [{**one, "index": 0} for one in completion["choices"][-1:]]
    completion["messages"] = convert_to_openai_messages(messages)
    if own and (response_id := own[-1].response_metadata.get("id")):
        completion["id"] = response_id
    return answer_from(completion)


def _completion(values: Sequence[tuple[AIMessage, dict[str, Any]]]) -> dict[str, Any]:
    """Messages with their metadata as one completion, a choice each.

    An id that LangChain made up itself is not the provider's.
    """
    completion: dict[str, Any] = {
        "object": "chat.completion",
        "choices": [
            {"index": index, "message": _message(value), "finish_reason": metadata.get("finish_reason")}
            for index, (value, metadata) in enumerate(values)
        ],
    }
    first = values[0][1] if values else {}
    if response_id := first.get("id"):
        completion["id"] = response_id
    if model := first.get("model_name"):
        completion["model"] = model
    if usage := _usage(value for value, _ in values):
        completion["usage"] = usage
    return completion


def _message(value: AIMessage) -> dict[str, Any]:
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
    return message


def _usage(values: Iterable[AIMessage]) -> dict[str, Any] | None:
    shown = [value.usage_metadata for value in values if value.usage_metadata]
    if not shown:
        return None
    return {
        "prompt_tokens": sum(one["input_tokens"] for one in shown),
        "completion_tokens": sum(one["output_tokens"] for one in shown),
        "total_tokens": sum(one["total_tokens"] for one in shown),
        "prompt_tokens_details": {
            "cached_tokens": sum(one.get("input_token_details", {}).get("cache_read", 0) for one in shown)
        },
    }
