"""What the wire proves of a call, fact by fact; ``None`` where a fact does not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.completeness.join import Subject
    from harness.completeness.wire import WireChoice, WireResponse, WireUsage


def began(subject: Subject) -> WireResponse | None:
    """The answer, where at least some of it has reached the application."""
    call = subject.call
    return subject.wire.response if call.outcome == "ok" or call.first_chunk_ns is not None else None


def whole(subject: Subject) -> WireResponse | None:
    """The answer, where all of it has reached the application."""
    good = subject.call.outcome == "ok" and subject.wire.completed
    return subject.wire.response if good else None


def response_model(subject: Subject) -> Any:
    """The model that answered."""
    response = began(subject)
    return response.model if response else None


def response_id(subject: Subject) -> Any:
    """The provider's id of the answer."""
    response = began(subject)
    return response.response_id if response else None


def per_choice(read: Callable[[WireChoice], Any]) -> Callable[[Subject], Any]:
    """One value for each choice of the answer."""

    def values(subject: Subject) -> Any:
        response = whole(subject)
        found = [read(choice) for choice in response.choices] if response else []
        return found if any(one is not None for one in found) else None

    return values


def content(choice: WireChoice) -> Any:
    """A choice's content; empty text beside tool calls is none."""
    return None if choice.tool_calls and choice.content == "" else choice.content


def tool_calls(subject: Subject) -> Any:
    """The tool calls of each choice."""
    response = whole(subject)
    if response is None or not any(choice.tool_calls for choice in response.choices):
        return None
    return [list(choice.tool_calls) for choice in response.choices]


def usage(read: Callable[[WireUsage], int | None], *, positive: bool = False) -> Callable[[Subject], Any]:
    """A token count; with ``positive`` zero is none."""

    def count(subject: Subject) -> Any:
        response = whole(subject)
        found = read(response.usage) if response else None
        return None if positive and not found else found

    return count


def failed(subject: Subject) -> bool:
    """Whether the call ended in an exception."""
    return subject.call.outcome == "error"


def status_code(subject: Subject) -> Any:
    """The HTTP status of a failed call."""
    return subject.wire.error.status_code if failed(subject) and subject.wire.error else None


def error_type(subject: Subject) -> Any:
    """The provider's type or code for the failure, else the exception's name."""
    if not failed(subject):
        return None
    error, exception = subject.wire.error, (subject.call.error_type or "").rsplit(".", 1)[-1]
    return (error.type or error.code if error else None) or exception or None


def error_message(subject: Subject) -> Any:
    """The provider's message, else the exception's."""
    if not failed(subject):
        return None
    return (subject.wire.error.message if subject.wire.error else None) or subject.call.error_message or None


def exception(subject: Subject) -> Any:
    """The exception that the application saw."""
    return (subject.call.error_type or subject.call.error_message) if failed(subject) else None


def first_token(subject: Subject) -> Any:
    """When the first content went out, in nanoseconds since the epoch."""
    return subject.wire.first_content_unix_ns if began(subject) else None
