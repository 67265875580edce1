"""OpenAI's Responses API: a sample in its words, and what its responses show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.providers import Answer, Usage
from harness.providers.completions import text_of
from harness.providers.parameters import translated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from openai.types.responses import Response, ResponseStreamEvent

    from harness.prompts import Sample

RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
RESHAPED = frozenset({"reasoning_effort", "response_format", "verbosity"})
"""Chat completions' parameters that stand elsewhere in the Responses API."""
DROPPED = ("stream_options",)
"""What chat completions ask by it, the usage, ends every stream of responses."""


def response_request(sample: Sample, provider: str, accepted: Collection[str]) -> dict[str, Any]:
    """A sample as keyword arguments of ``responses.create``, but for the model.

    Args:
        sample: Messages, tools and parameters in chat completions' words.
        provider: Its name, for messages.
        accepted: The parameters that ``responses.create`` takes.

    Raises:
        ConfigError: If the Responses API has no such parameter.
    """
    allowed = set(accepted) | RESHAPED
    parameters = translated(sample, f"{provider} (responses)", allowed, renamed=RENAMED, dropped=DROPPED)
    reshaped = {name: parameters.pop(name) for name in RESHAPED if name in parameters}
    text: dict[str, Any] = dict(parameters.pop("text", None) or {})
    if "response_format" in reshaped:
        text["format"] = _flat(reshaped["response_format"], "json_schema")
    if "verbosity" in reshaped:
        text["verbosity"] = reshaped["verbosity"]
    if text:
        parameters["text"] = text
    if "reasoning_effort" in reshaped:
        parameters["reasoning"] = {**(parameters.get("reasoning") or {}), "effort": reshaped["reasoning_effort"]}
    if "tools" in parameters:
        parameters["tools"] = [_flat(tool, "function") for tool in parameters["tools"]]
    if isinstance(parameters.get("tool_choice"), dict):
        parameters["tool_choice"] = _flat(parameters["tool_choice"], "function")
    return {"input": list(_items(sample.messages)), **parameters}


def response_answer(value: Response) -> Answer:
    """What a ``Response`` shows."""
    return _answer(value.to_dict(mode="json"))


def response_stream_answer(events: Sequence[ResponseStreamEvent]) -> Answer:
    """What all events of a stream together show.

    The last event that holds a response holds the whole one; of a stream that was left before its
    end the texts that came are put together.
    """
    message: dict[str, Any] = {}
    texts: list[str] = []
    for event in events:
        plain = event.to_dict(mode="json")
        if isinstance(response := plain.get("response"), dict):
            message = response
        elif plain.get("type") == "response.output_text.delta":
            texts.append(str(plain["delta"]))
    if texts and not message.get("output"):
        content = [{"type": "output_text", "text": "".join(texts), "annotations": []}]
        message = {**message, "output": [{"type": "message", "role": "assistant", "content": content}]}
    return _answer(message)


def _answer(message: dict[str, Any]) -> Answer:
    usage = message.get("usage")
    details = message.get("incomplete_details") or {}
    return Answer(
        text="".join(_output_texts(message.get("output") or ())),
        model=message.get("model"),
        response_id=message.get("id"),
        finish_reason=details.get("reason") or message.get("status"),
        usage=Usage(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) if usage else None,
        message=message,
    )


def _output_texts(output: Iterable[dict[str, Any]]) -> Iterator[str]:
    for item in output:
        if item.get("type") == "message":
            yield from (part["text"] for part in item["content"] if part.get("type") == "output_text")


def _flat(described: dict[str, Any], key: str) -> dict[str, Any]:
    """``{"type": t, key: {...}}`` of chat completions as ``{"type": t, ...}``."""
    inner = described.get(key)
    rest = {name: value for name, value in described.items() if name != key}
    return {"type": key, **rest, **inner} if isinstance(inner, dict) else rest


def _items(messages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if message["role"] == "tool":
            output = text_of(message.get("content"))
            yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}
            continue
        if message.get("content"):
            yield {"role": message["role"], "content": _content(message["content"], message["role"])}
        for call in message.get("tool_calls") or ():
            function = call["function"]
            name, arguments = function["name"], function["arguments"]
            yield {"type": "function_call", "call_id": call["id"], "name": name, "arguments": arguments}


def _content(content: Any, role: str) -> Any:
    if isinstance(content, str):
        return content
    return [_part({"type": "text", "text": part} if isinstance(part, str) else part, role) for part in content]


def _part(part: dict[str, Any], role: str) -> dict[str, Any]:
    if part.get("type") == "text":
        return {**part, "type": "output_text" if role == "assistant" else "input_text"}
    if part.get("type") == "image_url":
        image = part["image_url"]
        image = {"url": image} if isinstance(image, str) else image
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail", "auto")}
    if part.get("type") == "file":
        return {"type": "input_file", **part["file"]}
    return part
