"""Where each fact stands in a good trace: the planter's own table.

``mlflow`` and ``otel`` are the places where the two conventions put a fact, ``copies`` the further
places from which it could be read again, so that "dropped" can mean dropped everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.scene import ABSENT, at, event_attribute, in_chunks, parts, status_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.calibration.planting.scene import Convention, Scene, Spot

INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"
MODEL = "mlflow.llm.model"
USAGE = "mlflow.chat.tokenUsage"
PARAMETER = "request.parameter."

_NOT_PARAMETERS = ("model", "messages", "tools", "stream", "input", "inputs")
_OTEL_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
    "random_seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "response_format": "gen_ai.output.type",
    "service_tier": "openai.request.service_tier",
}
ERROR_TEXTS = (
    event_attribute("exception", "exception.message"),
    event_attribute("exception", "exception.stacktrace"),
    status_message("span"),
    status_message("root"),
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
    """

    fact: str
    mlflow: tuple[Spot, ...] = ()
    otel: tuple[Spot, ...] = ()
    copies: tuple[Spot, ...] = ()
    key: str = ""
    moved: Callable[[Any], Any] = lambda value: value

    @property
    def spots(self) -> tuple[Spot, ...]:
        """All of them."""
        return self.mlflow + self.otel + self.copies

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
    return [*_FIXED, *map(_parameter, names)]


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
        tuple(spot for path in paths for spot in (at(OUTPUTS, "usage", *path), in_chunks("usage", *path))),
        key=key,
    )


_REASONING = ("completion_tokens_details", "reasoning_tokens")

_FIXED = (
    Row("request.model", (at(INPUTS, "model"),), (at("gen_ai.request.model"),), key="request_model"),
    Row("request.operation", (), (at("gen_ai.operation.name"),), key="operation_name"),
    Row("request.provider", (), (at("gen_ai.provider.name"),), (at("mlflow.llm.provider"),), key="model_provider"),
    Row("request.messages", (at(INPUTS, "messages"),), (at("gen_ai.input.messages"),), key="messages"),
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
        (at(OUTPUTS, "model"), in_chunks("model")),
        key="response_model",
    ),
    Row("response.id", (at(OUTPUTS, "id"),), (at("gen_ai.response.id"),), (in_chunks("id"),), key="response_id"),
    Row(
        "response.content",
        (at(OUTPUTS, "choices", "*", "message", "content"),),
        (parts("gen_ai.output.messages", "text"),),
        (in_chunks("choices", "*", "delta", "content"),),
        key="answer",
        moved=_as_answer("content"),
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
        (at(OUTPUTS, "choices", "*", "message", "tool_calls"),),
        (parts("gen_ai.output.messages", "tool_call"),),
        (in_chunks("choices", "*", "delta", "tool_calls"),),
        key="answer",
        moved=_as_answer("tool_calls"),
    ),
    Row(
        "response.finish_reason",
        (at(OUTPUTS, "choices", "*", "finish_reason"),),
        (at("gen_ai.response.finish_reasons"),),
        (at("gen_ai.output.messages", "*", "finish_reason"), in_chunks("choices", "*", "finish_reason")),
        key="finish_reason",
        moved=_one_or_all,
    ),
    _usage("input_tokens", "gen_ai.usage.input_tokens", ("prompt_tokens",), key="prompt_tokens"),
    _usage("output_tokens", "gen_ai.usage.output_tokens", ("completion_tokens",), key="completion_tokens"),
    _usage("total_tokens", None, ("total_tokens",), key="total_tokens"),
    _usage(
        "cached_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        ("prompt_tokens_details", "cached_tokens"),
        ("prompt_token_details", "cached_tokens"),
        ("num_cached_tokens",),
        key="cached_tokens",
    ),
    Row(
        "usage.reasoning_tokens",
        (at(OUTPUTS, "usage", *_REASONING),),
        (at("gen_ai.usage.reasoning.output_tokens"),),
        (in_chunks("usage", *_REASONING),),
        key="reasoning_tokens",
    ),
    Row(
        "error.type",
        (event_attribute("exception", "exception.type"),),
        (at("error.type"),),
        ERROR_TEXTS,
        key="error_type",
        moved=_one_or_all,
    ),
)
