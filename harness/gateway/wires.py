"""The dialects: what all of an endpoint's answers have in common, headers and errors.

Key names, their order and their types are those of real exchanges with api.openai.com and
api.mistral.ai, here and in the modules of the single endpoints.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import orjson

from harness.gateway.template import DONE

if TYPE_CHECKING:
    from harness.gateway.refusals import RefusedError
    from harness.records import Dialect

Headers = list[tuple[bytes, bytes]]

__all__ = ["DONE", "WIRES", "Headers", "Wire"]


class Wire(ABC):
    """One dialect."""

    @abstractmethod
    def headers(self, digest: bytes, waited_ms: int, *, limits: bool) -> Headers:
        """The response headers of an answer, without its content type.

        Args:
            digest: 32 bytes of the exchange's own.
            waited_ms: How long the server is to have worked on it.
            limits: Whether rate limits are named.
        """

    @abstractmethod
    def error(self, refused: RefusedError) -> bytes:
        """The body of an error."""

    @abstractmethod
    def error_headers(self, digest: bytes, status: int, *, limits: bool) -> Headers:
        """The response headers of an error."""

    @abstractmethod
    def no_route(self, method: str, path: str) -> str:
        """What the endpoint says of a path that it does not serve."""


class OpenAIWire(Wire):
    """OpenAI's."""

    _VERSION: ClassVar[Headers] = [(b"openai-version", b"2020-10-01")]
    _LIMITS: ClassVar[Headers] = [
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-remaining-requests", b"9999"),
    ]

    def headers(self, digest: bytes, waited_ms: int, *, limits: bool) -> Headers:
        """Request id, time taken, version and rate limits."""
        return [
            (b"x-request-id", b"req_" + digest[16:].hex().encode()),
            (b"openai-processing-ms", b"%d" % max(1, waited_ms)),
            *self._VERSION,
            *(self._LIMITS if limits else ()),
        ]

    def error(self, refused: RefusedError) -> bytes:
        """The fields below ``error``, indented as OpenAI does."""
        fields = {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.code}
        return orjson.dumps({"error": fields}, option=orjson.OPT_INDENT_2)

    def error_headers(self, digest: bytes, status: int, *, limits: bool) -> Headers:
        """A 404 comes without version and limits."""
        if status == 404:
            request_id = b"req_" + digest[16:].hex().encode()
            return [(b"content-type", b"application/json; charset=utf-8"), (b"x-request-id", request_id)]
        return [(b"content-type", b"application/json"), *self.headers(digest, 0, limits=limits)]

    def no_route(self, method: str, path: str) -> str:
        """The sentence names the method and the path."""
        return f"Invalid URL ({method} {path})"


class MistralWire(Wire):
    """Mistral's."""

    def headers(self, digest: bytes, waited_ms: int, *, limits: bool) -> Headers:  # noqa: ARG002 - the base class's
        """Mistral's recorded answers carry nothing but their content type."""
        return []

    def error(self, refused: RefusedError) -> bytes:
        """The fields beside ``object``; a wrong key is answered by what stands before the models."""
        if refused.status == 401:
            return orjson.dumps({"detail": refused.message})
        return orjson.dumps(
            {
                "object": "error",
                "message": refused.message,
                "type": refused.kind,
                "param": refused.param,
                "code": refused.code,
            }
        )

    def error_headers(self, digest: bytes, status: int, *, limits: bool) -> Headers:  # noqa: ARG002 - the signature is the base class's
        """The same for every status."""
        return [(b"content-type", b"application/json")]

    def no_route(self, method: str, path: str) -> str:  # noqa: ARG002 - the signature is the base class's
        """One sentence for every path."""
        return "no Route matched with those values"


WIRES: dict[Dialect, Wire] = {"openai": OpenAIWire(), "mistral": MistralWire()}
