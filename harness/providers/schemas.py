"""The Pydantic class that an application would parse a sample's answer into."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, create_model

from harness.errors import ConfigError

if TYPE_CHECKING:
    from harness.prompts import Sample

TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
}


class Reply(BaseModel):
    """What a sample is parsed into that gives no JSON schema of its own."""

    model_config = ConfigDict(extra="forbid")

    answer: str


def reply_class(sample: Sample) -> type[BaseModel]:
    """The class for a sample: from its parameter ``response_format`` if that is a JSON schema, else ``Reply``.

    Equal schemas give the same class, so that values of different calls can be compared.

    Raises:
        ConfigError: If the schema says what no class is made for here.
    """
    response_format = sample.parameters.get("response_format")
    if not isinstance(response_format, dict) or response_format.get("type") != "json_schema":
        return Reply
    try:
        described = response_format["json_schema"]
        return _class_of(json.dumps(described["schema"], sort_keys=False), str(described.get("name") or "Reply"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"sample {sample.id!r}: the JSON schema in 'response_format' cannot be made a Pydantic class, because it "
            f"needs named properties of the types {', '.join(TYPES)}, array or object, or an enum ({error!r})"
        ) from error


def strict_format(kind: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    """How OpenAI's API is asked for a class, by the schema that the SDK makes of it."""
    return {"type": "json_schema", "json_schema": {"name": kind.__name__, "strict": True, "schema": schema}}


@cache
def _class_of(schema: str, name: str) -> type[BaseModel]:
    return _object(json.loads(schema), name)


def _object(schema: dict[str, Any], name: str) -> type[BaseModel]:
    if schema.get("type") != "object":
        raise ValueError(f"{name} is no object")
    required = set(schema.get("required", schema["properties"]))
    fields: dict[str, Any] = {}
    for key, field in schema["properties"].items():
        kind = _type(field, f"{name}_{key}")
        fields[key] = (kind, ...) if key in required else (kind | None, None)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _type(schema: dict[str, Any], name: str) -> Any:
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    kind = schema["type"]
    if isinstance(kind, list):
        first, *more = [_type({**schema, "type": one}, name) for one in kind]
        for other in more:
            first = first | other
        return first
    if kind == "array":
        return list[_type(schema["items"], name)]  # type: ignore[misc]
    if kind == "object":
        return _object(schema, name)
    return TYPES[kind]
