"""What the simulator is told to answer: one entry for each exchange of a flow."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from harness.records import Record

MAX_DELAY_MS = 600_000.0
"""No client waits longer by default; more would only keep the simulator from ending."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")


class ScriptedCall(Record):
    """One tool call of a scripted answer.

    Attributes:
        name: The tool's name.
        arguments: Its arguments as JSON data.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ScriptedUsage(Record):
    """Token counts to report in place of those that the simulator counts; ``None`` leaves a count as it is."""

    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    cached_tokens: int | None = Field(default=None, ge=0)
    reasoning_tokens: int | None = Field(default=None, ge=0)


class ScriptedAnswer(Record):
    """One exchange of a sample's script.

    The entries of a script are used up by the exchanges of one flow in the order of their arrival,
    retries included; the last one repeats. What an entry leaves open is as without a script.

    Attributes:
        status: HTTP status; from 400 on the answer is an error in the dialect's form.
        error_type: The error's ``type``, where the status alone does not say it.
        error_code: The error's ``code``.
        error_message: The error's message.
        headers: Further response headers, such as ``retry-after-ms``.
        content: The answer's text; an empty text for none.
        tool_calls: Tool calls of the answer; in a stream their arguments come in pieces (Mistral sends
            each call's arguments in one).
        refusal: A refusal in place of content.
        finish_reason: Why the answer ends, in chat completions' words.
        model: The model that answers, where it is to be another than the one that follows from the request.
        usage: Token counts.
        omit_usage: Whether usage is left out where the dialect would send it.
        tokens: The answer's text is repeated or cut to this many tokens: long streams.
        delay_ms: What the server waits before it begins to answer.
        chunk_delay_ms: What it waits before each further event of a stream.
        cut_after: The connection is closed in the middle: of a stream after so many events, of a
            single answer after so many bytes. An answer that is no longer than that stays whole.
        error_after: A stream sends an error event after so many events, and ends.
        malformed: The body (of a stream: one event in the middle) is no JSON.
        response_status: How an answer of the Responses API ends, where not ``completed``.
    """

    status: int = Field(default=200, ge=200, le=599)
    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    content: str | None = None
    tool_calls: tuple[ScriptedCall, ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    usage: ScriptedUsage | None = None
    omit_usage: bool = False
    tokens: int | None = Field(default=None, ge=1, le=100_000)
    delay_ms: float = Field(default=0.0, ge=0.0, le=MAX_DELAY_MS)
    chunk_delay_ms: float = Field(default=0.0, ge=0.0, le=MAX_DELAY_MS)
    cut_after: int | None = Field(default=None, ge=0)
    error_after: int | None = Field(default=None, ge=0)
    malformed: bool = False
    response_status: Literal["failed", "incomplete"] | None = None

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        """HTTP has no way to send other names and values."""
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"{name!r}: {value!r} cannot be sent as an HTTP header")
        return headers
