"""A request and its answer as OpenTelemetry's GenAI conventions (v1.41.1) write them on a span.

Written from the conventions' own pages (``docs/gen-ai/gen-ai-spans.md``, ``docs/gen-ai/openai.md``,
``docs/http/http-spans.md``) and the attribute names of ``opentelemetry.semconv``; it shares nothing
with what reads traces.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.providers import Answer

PROVIDERS = {"openai": "openai", "mistralai": "mistral_ai"}
"""The harness's name of a provider to the conventions'."""

_REQUEST_NAMES = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "random_seed": "gen_ai.request.seed",
    "model": "gen_ai.request.model",
    "dimensions": "gen_ai.embeddings.dimension.count",
    "output_dimension": "gen_ai.embeddings.dimension.count",
}


_REQUEST_FORMS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "stop": ("gen_ai.request.stop_sequences", lambda value: value if isinstance(value, list) else [value]),
    "n": ("gen_ai.request.choice.count", lambda value: value if value != 1 else None),
    "stream": ("gen_ai.request.stream", lambda value: value or None),
    "service_tier": ("openai.request.service_tier", lambda value: value if value != "auto" else None),
    "encoding_format": ("gen_ai.request.encoding_formats", lambda value: [value]),
    "instructions": ("gen_ai.system_instructions", lambda value: [{"type": "text", "content": value}]),
    "messages": ("gen_ai.input.messages", lambda value: [input_message(one) for one in value]),
    "tools": ("gen_ai.tool.definitions", lambda value: [tool_definition(one) for one in value]),
}
"""Those that the conventions want in another form, or not at all for some values."""


def request_attributes(request: dict[str, Any], operation: str) -> Iterator[tuple[str, Any]]:
    """What is known before the call.

    Args:
        request: The request as plain JSON data in the wire's terms.
        operation: ``chat`` or ``embeddings``.
    """
    yield "gen_ai.operation.name", operation
    for name, value in request.items():
        if name in _REQUEST_NAMES and value is not None:
            yield _REQUEST_NAMES[name], value
    for name, (attribute, form) in _REQUEST_FORMS.items():
        if (value := request.get(name)) is not None and (formed := form(value)) is not None:
            yield attribute, formed
    shape = request.get("response_format") or (request.get("text") or {}).get("format")
    if isinstance(shape, dict):
        yield "gen_ai.output.type", "json" if str(shape.get("type")).startswith("json") else shape.get("type")
    if operation == "chat" and request.get("input"):
        yield "gen_ai.input.messages", [*_responses_input(request["input"])]


def answer_attributes(answer: Answer) -> Iterator[tuple[str, Any]]:
    """What is known after the answer, or after as much of it as came."""
    message = answer.message
    if answer.model:
        yield "gen_ai.response.model", answer.model
    if answer.response_id:
        yield "gen_ai.response.id", answer.response_id
    choices = sorted(message.get("choices") or (), key=lambda one: one["index"])
    if "output" in message:
        choices = [_responses_choice(message["output"], answer.finish_reason)]
    if message.get("data"):
        yield "gen_ai.embeddings.dimension.count", len(message["data"][0]["embedding"])
    reasons = [choice.get("finish_reason") for choice in choices]
    if reasons and all(reasons):
        yield "gen_ai.response.finish_reasons", reasons
    if choices:
        yield "gen_ai.output.messages", [output_message(choice) for choice in choices]
    usage = message.get("usage") or {}
    if answer.usage is not None:
        yield "gen_ai.usage.input_tokens", answer.usage.input_tokens
        yield "gen_ai.usage.output_tokens", answer.usage.output_tokens
    if cached := cached_tokens(usage):
        yield "gen_ai.usage.cache_read.input_tokens", cached
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    if details.get("reasoning_tokens"):
        yield "gen_ai.usage.reasoning.output_tokens", details["reasoning_tokens"]


def error_attributes(error: BaseException) -> Iterator[tuple[str, Any]]:
    """What is known of a failure."""
    yield "error.type", type(error).__name__
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        yield "http.response.status_code", status


def cached_tokens(usage: dict[str, Any]) -> int | None:
    """Tokens of the request that came from a cache, as OpenAI or Mistral count them."""
    for key in ("prompt_tokens_details", "prompt_token_details", "input_tokens_details"):
        if isinstance(count := (usage.get(key) or {}).get("cached_tokens"), int):
            return count
    return usage.get("num_cached_tokens")


def input_message(message: dict[str, Any]) -> dict[str, Any]:
    """A chat message as role and parts."""
    rest = {key: value for key, value in message.items() if key not in ("content", "tool_calls", "tool_call_id")}
    content = message.get("content")
    if message.get("role") == "tool":
        part = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}
        return {**rest, "parts": [part]}
    return {**rest, "parts": [*_content_parts(content), *_call_parts(message.get("tool_calls") or ())]}


def output_message(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice of an answer as role and parts."""
    message = choice["message"]
    parts = [*_content_parts(message.get("content")), *_call_parts(message.get("tool_calls") or ())]
    return {"role": "assistant", "parts": parts, "finish_reason": choice.get("finish_reason")}


def _responses_choice(output: list[dict[str, Any]], finish_reason: str | None) -> dict[str, Any]:
    """The output items of the Responses API as one choice."""
    content = [part for item in output if item["type"] == "message" for part in item["content"]]
    calls = [_responses_call(item) for item in output if item["type"] == "function_call"]
    return {"message": {"content": content, "tool_calls": calls}, "finish_reason": finish_reason}


def _responses_call(item: dict[str, Any]) -> dict[str, Any]:
    return {"id": item["call_id"], "function": {"name": item["name"], "arguments": item["arguments"]}}


def _responses_input(items: Any) -> Iterator[dict[str, Any]]:
    """The input of the Responses API as messages."""
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        kind = item.get("type", "message")
        if kind == "function_call":
            yield {"role": "assistant", "parts": _call_parts([_responses_call(item)])}
        elif kind == "function_call_output":
            part = {"type": "tool_call_response", "id": item["call_id"], "response": item["output"]}
            yield {"role": "tool", "parts": [part]}
        else:
            yield input_message({key: value for key, value in item.items() if key != "type"})


def tool_definition(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in the conventions' flat form."""
    function = tool.get("function")
    return {"type": tool.get("type", "function"), **function} if isinstance(function, dict) else tool


def _content_parts(content: Any) -> list[dict[str, Any]]:
    if not content:
        return []
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    return [_part(part) for part in content]


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "content": part}
    if part.get("type") in ("text", "input_text", "output_text"):
        return {"type": "text", "content": part["text"]}
    if part.get("type") == "input_image":
        return {"type": "uri", "modality": "image", "uri": part["image_url"]}
    if part.get("type") == "image_url":
        image = part["image_url"]
        return {"type": "uri", "modality": "image", "uri": image if isinstance(image, str) else image["url"]}
    return dict(part)


def _call_parts(calls: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "type": "tool_call",
            "id": call.get("id"),
            "name": call["function"]["name"],
            "arguments": _decoded(call["function"]["arguments"]),
        }
        for call in calls
    ]


def _decoded(arguments: Any) -> Any:
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)
        except ValueError:
            return arguments
    return arguments
