"""What a careful person writes on a chat span, in the places where MLflow and its UI look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow.tracing import set_span_chat_tools
from mlflow.tracing.constant import SpanAttributeKey

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan

    from harness.providers import Answer


def note_request(span: LiveSpan | None, request: dict[str, Any]) -> None:
    """The request as the span's inputs, before the call, so that a failed call has them too."""
    if span is None:  # tracing is disabled, or this trace was not sampled
        return
    span.set_inputs(request)
    span.set_attribute(SpanAttributeKey.MESSAGE_FORMAT, "openai")
    span.set_attribute(SpanAttributeKey.MODEL, request["model"])
    if request.get("tools"):
        set_span_chat_tools(span, request["tools"])


def note_answer(span: LiveSpan | None, answer: Answer) -> None:
    """The answer as the span's outputs, the model that answered, and the token counts."""
    if span is None:
        return
    span.set_outputs(answer.message)
    if answer.model:
        span.set_attribute(SpanAttributeKey.MODEL, answer.model)
    if answer.usage:
        usage = answer.usage._asdict()
        details = answer.message["usage"].get("prompt_tokens_details") or {}
        if details.get("cached_tokens"):
            usage["cache_read_input_tokens"] = details["cached_tokens"]
        span.set_attribute(SpanAttributeKey.CHAT_USAGE, usage)
