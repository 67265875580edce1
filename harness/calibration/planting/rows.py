"""Where each fact stands in a good trace: the planter's own table.

``mlflow`` and ``otel`` are the places where the two conventions put a fact, ``copies`` the further
places from which it could be read again, so that "dropped" can mean dropped everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.scene import (
    ABSENT,
    STATUS_MESSAGES,
    at,
    calls_in_items,
    event_attribute,
    in_chunks,
    parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.calibration.planting.scene import Convention, Scene, Spot

INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"
MODEL = "mlflow.llm.model"
USAGE = "mlflow.chat.tokenUsage"
PARAMETER = "request.parameter."

_NOT_PARAMETERS = ("model", "messages", "tools", "stream", "input", "instructions")
_OTEL_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "stop": "gen_ai.request.stop_sequences",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "random_seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "response_format": "gen_ai.output.type",
    "encoding_format": "gen_ai.request.encoding_formats",
    "service_tier": "openai.request.service_tier",
}
ERROR_TEXTS = (
    event_attribute("exception", "exception.message"),
    event_attribute("exception", "exception.stacktrace"),
    *STATUS_MESSAGES,
)


@dataclass(frozen=True)
class Row:
    """Where one fact stands.

    Attributes:
        fact: Its name, as reports have it.
        mlflow: Its places in MLflow's convention.
        otel: Its places in OpenTelemetry's.
        copies: Further places that hold the value.
        key: A key that tells what a value is, for a place that no tool reads.
        moved: The value as it is put there.
        witnesses: Those of ``copies`` that people are shown, so that another value there is wrong, too.
        implied: Facts that rest on the copies as well.
        echoes: Other facts' places that hold the same value here, and would be taken for this one's.
    """

    fact: str
    mlflow: tuple[Spot, ...] = ()
    otel: tuple[Spot, ...] = ()
    copies: tuple[Spot, ...] = ()
    key: str = ""
    moved: Callable[[Any], Any] = lambda value: value
    witnesses: tuple[Spot, ...] = ()
    implied: tuple[str, ...] = ()
    echoes: tuple[Spot, ...] = ()

    @property
    def spots(self) -> tuple[Spot, ...]:
        """All of them."""
        return self.mlflow + self.otel + self.copies + self.witnesses + self.echoes

    def places(self, convention: Convention) -> tuple[Spot, ...]:
        """The places of one convention."""
        return self.mlflow if convention == "mlflow" else self.otel

    def value(self, scene: Scene) -> Any:
        """What the fact's first place holds; ``ABSENT`` if none of its places holds anything."""
        found = (spot.read(scene) for spot in self.mlflow + self.otel)
        return next((value for value in found if value is not ABSENT), ABSENT)


def rows_of(scene: Scene) -> list[Row]:
    """The rows of facts that a scene may hold: the fixed ones, and one for each request parameter."""
    inputs = scene.attributes.get(INPUTS)
    names = [name for name in inputs if name not in _NOT_PARAMETERS] if isinstance(inputs, dict) else []
    asked, *fixed = _FIXED
    # MLflow has one slot for a model: where the one asked for answered, it names both.
    if isinstance(inputs, dict) and scene.attributes.get(MODEL) == inputs.get("model"):
        asked = replace(asked, echoes=(at(MODEL),))
    return [asked, *fixed, *map(_parameter, names)]


def _parameter(name: str) -> Row:
    otel = (at(_OTEL_PARAMETERS[name]),) if name in _OTEL_PARAMETERS else ()
    return Row(PARAMETER + name, (at(INPUTS, name),), otel, key=name)


def _one_or_all(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_answer(key: str) -> Callable[[Any], Any]:
    """Values, one a choice, in the shape of another answer: a list alone would not say what it is."""

    def moved(values: Any) -> Any:
        return {"choices": [{"index": index, "message": {key: one}} for index, one in enumerate(values)]}

    return moved


def _usage(name: str, otel: str | None, *paths: tuple[str, ...], key: str) -> Row:
    return Row(
        f"usage.{name}",
        (at(USAGE, "cache_read_input_tokens" if name == "cached_tokens" else name),),
        (at(otel),) if otel else (),
        tuple(in_chunks("usage", *path) for path in paths)
        + tuple(in_chunks("response", "usage", *path) for path in paths),
        key=key,
        witnesses=tuple(at(OUTPUTS, "usage", *path) for path in paths),
    )


def _as_chat_calls(values: Any) -> Any:
    """Tool calls, one list a choice or the Responses API's own, in the shape of a chat completion."""
    if values and isinstance(values[0], dict):
        values = [[{"id": one["call_id"], "type": "function", "function": one} for one in values]]
    return _as_answer("tool_calls")(values)


def _as_chat_texts(values: Any) -> Any:
    """Texts, one a choice or the Responses API's own parts, in the shape of a chat completion."""
    return _as_answer("content")(values)


_REASONING = ("completion_tokens_details", "reasoning_tokens")
_REASONING_OF_RESPONSES = ("output_tokens_details", "reasoning_tokens")

_FIXED = (
    Row("request.model", (at(INPUTS, "model"),), (at("gen_ai.request.model"),), key="request_model"),
    Row("request.operation", (), (at("gen_ai.operation.name"),), key="operation_name"),
    Row("request.provider", (), (at("gen_ai.provider.name"),), (at("mlflow.llm.provider"),), key="model_provider"),
    Row("request.messages", (at(INPUTS, "messages"),), (at("gen_ai.input.messages"),), key="messages"),
    Row("request.input", (at(INPUTS, "input"),), (), key="input"),
    Row("request.items", (at(INPUTS, "input"),), (at("gen_ai.input.messages"),), key="input"),
    Row(
        "request.instructions",
        (at(INPUTS, "instructions"),),
        (at("gen_ai.system_instructions"),),
        (at(OUTPUTS, "instructions"), in_chunks("response", "instructions")),
        key="instructions",
    ),
    Row(
        "request.tools",
        (at(INPUTS, "tools"), at("mlflow.chat.tools")),
        (at("gen_ai.tool.definitions"),),
        key="tools",
    ),
    Row("request.stream", (at(INPUTS, "stream"),), (at("gen_ai.request.stream"),), key="streaming"),
    Row(
        "response.model",
        (at(MODEL),),
        (at("gen_ai.response.model"),),
        (in_chunks("model"), in_chunks("response", "model")),
        key="response_model",
        witnesses=(at(OUTPUTS, "model"),),
    ),
    Row(
        "response.id",
        (at(OUTPUTS, "id"),),
        (at("gen_ai.response.id"),),
        (in_chunks("id"), in_chunks("response", "id")),
        key="response_id",
    ),
    Row(
        "response.content",
        (at(OUTPUTS, "choices", "*", "message", "content"), at(OUTPUTS, "output", "*", "content", "*", "text")),
        (parts("gen_ai.output.messages", "text"),),
        (
            in_chunks("choices", "*", "delta", "content"),
            in_chunks("delta"),
            in_chunks("text"),
            in_chunks("part", "text"),
            in_chunks("item", "content"),
            in_chunks("response", "output"),
        ),
        key="answer",
        moved=_as_chat_texts,
        implied=("time_to_first_token",),
    ),
    Row(
        "response.refusal",
        (at(OUTPUTS, "choices", "*", "message", "refusal"),),
        (),
        (in_chunks("choices", "*", "delta", "refusal"),),
        key="refusal",
        moved=_one_or_all,
    ),
    Row(
        "response.tool_calls",
        (at(OUTPUTS, "choices", "*", "message", "tool_calls"), calls_in_items(OUTPUTS)),
        (parts("gen_ai.output.messages", "tool_call"),),
        (in_chunks("choices", "*", "delta", "tool_calls"),),
        key="answer",
        moved=_as_chat_calls,
        implied=("time_to_first_token",),
    ),
    Row(
        "response.finish_reason",
        (at(OUTPUTS, "choices", "*", "finish_reason"),),
        (at("gen_ai.response.finish_reasons"),),
        (at("gen_ai.output.messages", "*", "finish_reason"), in_chunks("choices", "*", "finish_reason")),
        key="finish_reason",
        moved=_one_or_all,
    ),
    Row(
        "response.status",
        (at(OUTPUTS, "status"),),
        (at("gen_ai.response.finish_reasons"),),
        (
            at("gen_ai.output.messages", "*", "finish_reason"),
            at(OUTPUTS, "output", "*", "status"),
            in_chunks("response", "status"),
            in_chunks("response", "output", "*", "status"),
            in_chunks("item", "status"),
        ),
        key="response_status",
        moved=_one_or_all,
    ),
    Row(
        "response.incomplete_reason",
        (at(OUTPUTS, "incomplete_details", "reason"),),
        (),
        (
            at("gen_ai.response.finish_reasons"),
            at("gen_ai.output.messages", "*", "finish_reason"),
            in_chunks("response", "incomplete_details"),
        ),
        key="incomplete_reason",
    ),
    Row("response.failure", (at(OUTPUTS, "error"),), (), (in_chunks("response", "error"),), key="error"),
    Row("response.dimensions", (), (at("gen_ai.embeddings.dimension.count"),), key="dimensions"),
    _usage("input_tokens", "gen_ai.usage.input_tokens", ("prompt_tokens",), ("input_tokens",), key="prompt_tokens"),
    _usage(
        "output_tokens",
        "gen_ai.usage.output_tokens",
        ("completion_tokens",),
        ("output_tokens",),
        key="completion_tokens",
    ),
    _usage("total_tokens", None, ("total_tokens",), key="total_tokens"),
    _usage(
        "cached_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        ("prompt_tokens_details", "cached_tokens"),
        ("prompt_token_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("num_cached_tokens",),
        key="cached_tokens",
    ),
    Row(
        "usage.reasoning_tokens",
        (at(OUTPUTS, "usage", *_REASONING), at(OUTPUTS, "usage", *_REASONING_OF_RESPONSES)),
        (at("gen_ai.usage.reasoning.output_tokens"),),
        (in_chunks("usage", *_REASONING), in_chunks("response", "usage", *_REASONING_OF_RESPONSES)),
        key="reasoning_tokens",
    ),
    Row(
        "error.type",
        (event_attribute("exception", "exception.type"),),
        (at("error.type"),),
        ERROR_TEXTS,
        key="error_type",
        moved=_one_or_all,
        implied=("error.message", "error.status_code", "trace.exception"),
    ),
)
