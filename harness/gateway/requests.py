"""Requests as the simulator understands them, and refused as the real endpoints refuse them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from harness.gateway.models import MISSING_MODEL_PREFIX
from harness.gateway.refusals import refusing

if TYPE_CHECKING:
    from harness.gateway.refusals import Refusing
    from harness.gateway.tools import Tool
    from harness.records import Dialect

_NUMBER = (int, float)
_COMMON_TYPES: dict[str, tuple[type, ...]] = {
    "stream": (bool,),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "metadata": (dict,),
}
CHAT_TYPES: dict[str, tuple[type, ...]] = {
    **_COMMON_TYPES,
    "stream_options": (dict,),
    "response_format": (dict,),
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "seed": (int,),
    "random_seed": (int,),
    "user": (str,),
}
RESPONSES_TYPES: dict[str, tuple[type, ...]] = {
    **_COMMON_TYPES,
    "instructions": (str,),
    "text": (dict,),
    "reasoning": (dict,),
    "stream_options": (dict,),
    "previous_response_id": (str,),
    "store": (bool,),
    "include": (list,),
}
EMBEDDINGS_TYPES: dict[str, tuple[type, ...]] = {"encoding_format": (str,), "user": (str,)}


class Request(NamedTuple):
    """What the simulator reads in a request for text, whatever its form was.

    Attributes:
        document: The whole body.
        choices: How many answers are asked for.
        max_tokens: The limit on an answer's tokens; ``None`` without one.
        stop: Texts before which an answer ends.
        prompt_tokens: Tokens of messages and tools.
        tools: Tools that may be called.
        forced: Those of them of which one has to be called.
        named: Whether the tool that has to be called was named.
        schema: What the text has to be valid against; ``None`` if it may be any text.
        after_tool: Whether the last message is the result of a tool.
        include_usage: Whether OpenAI's ``stream_options.include_usage`` was asked for.
    """

    document: dict[str, Any]
    model: str
    stream: bool
    choices: int
    max_tokens: int | None
    stop: tuple[str, ...]
    prompt_tokens: int
    tools: tuple[Tool, ...]
    forced: tuple[Tool, ...]
    named: bool
    schema: Any
    after_tool: bool
    include_usage: bool


def read_document(
    dialect: Dialect, body: bytes, needed: tuple[str, ...], types: dict[str, tuple[type, ...]]
) -> tuple[dict[str, Any], Refusing]:
    """Read a body as far as all endpoints of a dialect do, and say how that dialect refuses.

    Raises:
        RefusedError: As the dialect's endpoint would: not JSON, no model, another field missing, a
            model that does not exist, or a parameter of the wrong type.
    """
    refuse = refusing(dialect)
    document = _json_object(body)
    if document is None:
        raise refuse.not_json()
    model = document.get("model")
    if model in (None, ""):
        raise refuse.no_model()
    if not isinstance(model, str):
        raise refuse.wrong_type("model", (str,))
    if model.startswith(MISSING_MODEL_PREFIX):
        raise refuse.unknown_model(model, names_parameter=types is RESPONSES_TYPES)
    for name in needed:
        if document.get(name) is None:
            raise refuse.missing(name)
    for name, kinds in types.items():
        value = document.get(name)
        if value is not None and not is_of(value, kinds):
            raise refuse.wrong_type(name, kinds)
    return document, refuse


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def is_of(value: object, kinds: tuple[type, ...]) -> bool:
    """Whether a JSON value is of one of these types; truth values are no numbers."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def read_integer(document: dict[str, Any], name: str, refuse: Refusing, most: int | None = None) -> int | None:
    """A positive integer parameter, if it is there.

    Raises:
        RefusedError: If it is of another type or out of bounds.
    """
    value = document.get(name)
    if value is None:
        return None
    if not is_of(value, (int,)):
        raise refuse.wrong_type(name, (int,))
    if value < 1 or (most is not None and value > most):
        bounds = "at least 1" if most is None else f"from 1 to {most}"
        raise refuse.wrong_value(name, f"expected an integer {bounds}")
    return int(value)


def read_stop(value: object, refuse: Refusing) -> tuple[str, ...]:
    """The texts before which an answer is to end.

    Raises:
        RefusedError: If it is neither a text nor a list of texts.
    """
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise refuse.wrong_type("stop", (str, list))
    return tuple(text for text in texts if text)


def check_content(content: object, place: str, refuse: Refusing) -> None:
    """Refuse a message's content that is neither a text nor a list of parts.

    Raises:
        RefusedError: If it is neither.
    """
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(part, dict | str) for part in content):
        raise refuse.wrong_type(f"{place}.content", (str, list))
