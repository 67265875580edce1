"""Chat requests as the simulator understands them, and refused as the real endpoints refuse them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from harness.gateway.models import MISSING_MODEL_PREFIX

if TYPE_CHECKING:
    from harness.records import Dialect

_MOST_CHOICES = 128


class RefusedError(Exception):
    """A request that gets an error for an answer; the fields are those of both dialects' errors."""

    def __init__(
        self,
        status: int,
        message: Any,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code


class ChatRequest(NamedTuple):
    """What the simulator reads in a chat request.

    Attributes:
        max_tokens: From ``max_tokens`` or ``max_completion_tokens``; ``None`` without a limit.
        include_usage: Whether OpenAI's ``stream_options.include_usage`` was asked for.
    """

    model: str
    messages: list[dict[str, Any]]
    tools: list[Any] | None
    stream: bool
    include_usage: bool
    choices: int
    max_tokens: int | None
    stop: tuple[str, ...]


def read_request(dialect: Dialect, body: bytes) -> ChatRequest:
    """Read a request's body.

    Raises:
        RefusedError: As the dialect's endpoint would: not JSON, no model, no messages, a model
            that does not exist, or a parameter of the wrong type.
    """
    document = _READERS[dialect](body)
    stream_options = document.get("stream_options")
    return ChatRequest(
        model=document["model"],
        messages=document["messages"],
        tools=document.get("tools"),
        stream=document.get("stream") is True,
        include_usage=isinstance(stream_options, dict) and stream_options.get("include_usage") is True,
        choices=_integer(document, "n", _MOST_CHOICES) or 1,
        max_tokens=_integer(document, "max_completion_tokens") or _integer(document, "max_tokens"),
        stop=_stop(document.get("stop")),
    )


def _read_openai(body: bytes) -> dict[str, Any]:
    document = _json_object(body)
    if document is None:
        raise RefusedError(400, "We could not parse the JSON body of your request: a JSON object was expected.")
    if not isinstance(document.get("model"), str) or not document["model"]:
        raise RefusedError(400, "you must provide a model parameter")
    if document["model"].startswith(MISSING_MODEL_PREFIX):
        raise RefusedError(
            404,
            f"The model `{document['model']}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    if "messages" not in document:
        raise RefusedError(
            400, "Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter"
        )
    if not _is_messages(document["messages"]):
        raise RefusedError(
            400,
            "Invalid type for 'messages': expected an array of objects with at least one entry.",
            param="messages",
            code="invalid_type",
        )
    return document


def _read_mistral(body: bytes) -> dict[str, Any]:
    document = _json_object(body)
    if document is None:
        raise _unprocessable("json_invalid", ["body"], "JSON decode error")
    for name in ("model", "messages"):
        if document.get(name) is None:
            raise _unprocessable("missing", ["body", name], "Field required")
    if not isinstance(document["model"], str):
        raise _unprocessable("string_type", ["body", "model"], "Input should be a valid string")
    if not _is_messages(document["messages"]):
        raise _unprocessable("list_type", ["body", "messages"], "Input should be a valid list of messages")
    if document["model"].startswith(MISSING_MODEL_PREFIX):
        raise RefusedError(400, f"Invalid model: {document['model']}", kind="invalid_model", code="1500")
    return document


_READERS = {"openai": _read_openai, "mistral": _read_mistral}


def _unprocessable(kind: str, place: list[str], message: str) -> RefusedError:
    """Mistral's answer to a body that its schema does not allow: status 422 with a list of places."""
    return RefusedError(422, {"detail": [{"type": kind, "loc": place, "msg": message, "input": None}]})


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _is_messages(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(message, dict) for message in value)


def _integer(document: dict[str, Any], name: str, most: int | None = None) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(400, f"Invalid type for '{name}': expected an integer.", param=name, code="invalid_type")
    if value < 1 or (most is not None and value > most):
        bounds = "at least 1" if most is None else f"from 1 to {most}"
        raise RefusedError(400, f"Invalid '{name}': expected an integer {bounds}.", param=name, code="invalid_value")
    return value


def _stop(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RefusedError(
            400, "Invalid type for 'stop': expected a string or an array of strings.", param="stop", code="invalid_type"
        )
    return tuple(text for text in texts if text)
