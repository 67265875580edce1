"""Errors that answer a request, in each dialect's words and statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harness.records import Dialect
    from harness.scripts import ScriptedAnswer


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


class Refusing(Protocol):
    """How a dialect refuses."""

    def not_json(self) -> RefusedError:
        """The body is no JSON object."""

    def no_model(self) -> RefusedError:
        """No model is named."""

    def unknown_model(self, model: str, *, names_parameter: bool = False) -> RefusedError:
        """There is no such model."""

    def missing(self, name: str) -> RefusedError:
        """A field is missing."""

    def no_messages(self) -> RefusedError:
        """What stands under ``messages`` is no list of messages."""

    def wrong_type(self, name: str, kinds: tuple[type, ...]) -> RefusedError:
        """A field is of another type than these."""

    def wrong_value(self, name: str, why: str) -> RefusedError:
        """A field's value cannot be."""

    def scripted(self, entry: ScriptedAnswer, model: str) -> RefusedError:
        """The error that a script asks for; what it leaves open is as usual for the status."""


_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def _articled(kinds: tuple[type, ...]) -> str:
    names = [_NAMES[kind] for kind in kinds if not (kind is int and float in kinds)]
    return " or ".join(f"an {name}" if name[0] in "aio" else f"a {name}" for name in names)


class _OpenAI:
    """OpenAI's."""

    _USUAL: dict[int, tuple[str, str | None, str]] = {  # noqa: RUF012 - never changed
        400: ("invalid_request_error", None, "The request could not be understood."),
        401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: unused."),
        403: ("invalid_request_error", "access_terminated", "You are not allowed to do this."),
        404: (
            "invalid_request_error",
            "model_not_found",
            "The model `{model}` does not exist or you do not have access to it.",
        ),
        429: ("requests", "rate_limit_exceeded", "Rate limit reached for {model}. Please try again later."),
        503: ("server_error", None, "The engine is currently overloaded, please try again later"),
    }
    _OTHERWISE = ("invalid_request_error", None, "The request was refused.")
    _FAILED = ("server_error", None, "The server had an error while processing your request. Sorry about that!")

    def not_json(self) -> RefusedError:
        return RefusedError(400, "We could not parse the JSON body of your request: a JSON object was expected.")

    def no_model(self) -> RefusedError:
        return RefusedError(400, "you must provide a model parameter")

    def unknown_model(self, model: str, *, names_parameter: bool = False) -> RefusedError:
        if names_parameter:
            message = f"The requested model '{model}' does not exist."
            return RefusedError(400, message, param="model", code="model_not_found")
        message = f"The model `{model}` does not exist or you do not have access to it."
        return RefusedError(404, message, code="model_not_found")

    def missing(self, name: str) -> RefusedError:
        return RefusedError(
            400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
        )

    def no_messages(self) -> RefusedError:
        message = "Invalid type for 'messages': expected an array of objects with at least one entry."
        return RefusedError(400, message, param="messages", code="invalid_type")

    def wrong_type(self, name: str, kinds: tuple[type, ...]) -> RefusedError:
        message = f"Invalid type for '{name}': expected {_articled(kinds)}."
        return RefusedError(400, message, param=name, code="invalid_type")

    def wrong_value(self, name: str, why: str) -> RefusedError:
        return RefusedError(400, f"Invalid '{name}': {why}.", param=name, code="invalid_value")

    def scripted(self, entry: ScriptedAnswer, model: str) -> RefusedError:
        kind, code, message = self._USUAL.get(entry.status, self._FAILED if entry.status >= 500 else self._OTHERWISE)
        return RefusedError(
            entry.status,
            entry.error_message or message.replace("{model}", model),
            kind=entry.error_type or kind,
            code=entry.error_code or code,
        )


class _Mistral:
    """Mistral's: status 422 with a list of places for what its schema does not allow."""

    _USUAL: dict[int, tuple[str, str | None, str]] = {  # noqa: RUF012 - never changed
        400: ("invalid_request_error", "3051", "Bad request"),
        401: ("invalid_request_error", None, "Unauthorized"),
        404: ("invalid_request_error", None, "no Route matched with those values"),
        422: ("invalid_request_error", None, "Unprocessable request"),
        429: ("rate_limited", "1300", "Rate limit exceeded"),
    }
    _OTHERWISE = ("invalid_request_error", None, "The request was refused.")
    _FAILED = ("internal_server_error", "1000", "Service unavailable.")
    _KINDS = (
        ((str,), "string_type", "Input should be a valid string"),
        ((bool,), "bool_type", "Input should be a valid boolean"),
        ((int,), "int_type", "Input should be a valid integer"),
        ((int, float), "float_type", "Input should be a valid number"),
        ((list,), "list_type", "Input should be a valid list"),
        ((dict,), "dict_type", "Input should be a valid dictionary"),
    )

    def not_json(self) -> RefusedError:
        return self._unprocessable("json_invalid", [], "JSON decode error")

    def no_model(self) -> RefusedError:
        return self.missing("model")

    def unknown_model(self, model: str, *, names_parameter: bool = False) -> RefusedError:  # noqa: ARG002 - the protocol
        return RefusedError(400, f"Invalid model: {model}", kind="invalid_model", code="1500")

    def missing(self, name: str) -> RefusedError:
        return self._unprocessable("missing", name.split("."), "Field required")

    def no_messages(self) -> RefusedError:
        return self._unprocessable("list_type", ["messages"], "Input should be a valid list of messages")

    def wrong_type(self, name: str, kinds: tuple[type, ...]) -> RefusedError:
        for known, kind, message in self._KINDS:
            if known == kinds:
                return self._unprocessable(kind, name.split("."), message)
        return self._unprocessable("value_error", name.split("."), f"Input should be {_articled(kinds)}")

    def wrong_value(self, name: str, why: str) -> RefusedError:
        return self._unprocessable("value_error", name.split("."), f"Value error, {why}")

    def scripted(self, entry: ScriptedAnswer, model: str) -> RefusedError:  # noqa: ARG002 - the protocol
        kind, code, message = self._USUAL.get(entry.status, self._FAILED if entry.status >= 500 else self._OTHERWISE)
        return RefusedError(
            entry.status,
            entry.error_message or message,
            kind=entry.error_type or kind,
            code=entry.error_code or code,
        )

    def _unprocessable(self, kind: str, place: list[str], message: str) -> RefusedError:
        return RefusedError(422, {"detail": [{"type": kind, "loc": ["body", *place], "msg": message, "input": None}]})


_REFUSING: dict[Dialect, Refusing] = {"openai": _OpenAI(), "mistral": _Mistral()}


def refusing(dialect: Dialect) -> Refusing:
    """How a dialect refuses."""
    return _REFUSING[dialect]
