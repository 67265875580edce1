"""What the wire proves of a request, fact by fact; ``None`` where a fact does not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from harness.completeness.search import piece_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.completeness.answers import WireChoice, WireResponse, WireUsage
    from harness.completeness.spans import Subject

ENDED = "OK or ERROR"
"""The status of a stream that the application left: it was neither finished nor did it fail."""
CANCELLED_ERROR = "CancelledError"
_GIVEN_UP = ("left", "cancelled")


def failed(subject: Subject) -> bool:
    """Whether the request ended in an exception.

    A call's only request failed if the call did. Of several those failed whose own exchange did, and
    where none did, the last one of a call that failed.
    """
    call, error = subject.call, subject.wire.error
    if len(subject.requests) < 2:
        return call.outcome == "error"
    if error is not None:
        return error.status_code is not None or call.outcome not in _GIVEN_UP
    is_last = subject.number == len(subject.requests) - 1
    return call.outcome == "error" and is_last and not any(one.error for one in subject.requests)


def began(subject: Subject) -> WireResponse | None:
    """The answer, where at least some of it has reached the application."""
    if whole(subject) is not None:
        return subject.wire.response
    reached = subject.call.first_chunk_ns is not None and subject.number == max(len(subject.requests) - 1, 0)
    return subject.wire.response if subject.call.outcome == "ok" or reached else None


def whole(subject: Subject) -> WireResponse | None:
    """The answer, where all of it has reached the application, or the framework that it called."""
    if not subject.wire.completed or failed(subject):
        return None
    is_last = subject.number == max(len(subject.requests) - 1, 0)
    return None if subject.call.outcome != "ok" and is_last else subject.wire.response


def of_answer(
    read: Callable[[WireResponse], Any], when: Callable[[Subject], WireResponse | None] = whole
) -> Callable[[Subject], Any]:
    """A value of the answer, where the answer has reached the application."""

    def value(subject: Subject) -> Any:
        response = when(subject)
        return None if response is None else read(response)

    return value


def per_choice(read: Callable[[WireChoice], Any]) -> Callable[[Subject], Any]:
    """One value for each choice of the answer."""

    def values(subject: Subject) -> Any:
        response = whole(subject)
        found = [read(choice) for choice in response.choices] if response else []
        return found if any(one is not None for one in found) else None

    return values


_whole_contents = per_choice(lambda choice: None if choice.tool_calls and choice.content == "" else choice.content)


def contents(subject: Subject) -> Any:
    """The content of each choice; of a stream that broke or was left the text that the application got."""
    if whole(subject) is not None:
        return _whole_contents(subject)
    partial = partial_text(subject)
    return None if partial is None else [partial[0]]


def partial_text(subject: Subject) -> tuple[str, str] | None:
    """What the application got of an answer that it did not get whole, and all that had been sent.

    Only of a stream's single choice, and only where the call's record says what the application got.
    """
    call, response = subject.call, began(subject)
    if whole(subject) is not None or response is None or len(response.choices) != 1 or len(subject.requests) > 1:
        return None
    got, sent = call.text or _observed_text(subject), response.choices[0].content
    if not call.stream or not got or not isinstance(sent, str) or not sent.startswith(got):
        return None
    return got, sent


def _observed_text(subject: Subject) -> str:
    observed = subject.call.observed
    texts = []
    for chunk in (observed.chunks if observed else None) or ():
        try:
            texts.append(piece_text(orjson.loads(chunk)))
        except ValueError:
            return ""
    return "".join(texts)


def tool_calls(subject: Subject) -> Any:
    """The tool calls of each choice."""
    response = whole(subject)
    if response is None or not any(choice.tool_calls for choice in response.choices):
        return None
    return [list(choice.tool_calls) for choice in response.choices]


def usage(read: Callable[[WireUsage], int | None], *, positive: bool = False) -> Callable[[Subject], Any]:
    """A token count; with ``positive`` zero is none."""

    def number(subject: Subject) -> Any:
        response = whole(subject)
        found = read(response.usage) if response else None
        return None if positive and not found else found

    return number


NOTHING = "nothing"
"""What the wire proves where it has nothing of a kind and a trace states some all the same."""


def states_some(traced: Any) -> bool:
    """Whether what stands in a place of numbers, or of one list a choice, is more than none of them."""
    if isinstance(traced, list):
        return any(isinstance(one, list) and one for one in traced)
    if isinstance(traced, str):
        return traced.isdecimal() and int(traced) > 0
    return bool(traced) and not isinstance(traced, dict)


def says_all(subject: Subject) -> bool:
    """Whether the wire has said all that it has to say: a whole answer, or an error in place of one."""
    error = subject.wire.error
    return whole(subject) is not None or (error is not None and error.status_code is not None)


def token_sum(subjects: Iterable[Subject]) -> Any:
    """The tokens of several requests, each counted once; ``None`` where the wire shows none."""
    total: dict[str, int] = {}
    for subject in subjects:
        response = whole(subject)
        for key in ("input_tokens", "output_tokens", "total_tokens"):
            found = getattr(response.usage, key) if response else None
            if found is not None:
                total[key] = total.get(key, 0) + found
    return total or None


def token_sum_of_call(subject: Subject) -> Any:
    """The tokens of all the call's requests."""
    return token_sum(subject._replace(wire=wire, number=number) for number, wire in enumerate(subject.requests))


def status_code(subject: Subject) -> Any:
    """The HTTP status of a failed request."""
    return subject.wire.error.status_code if failed(subject) and subject.wire.error else None


def error_type(subject: Subject) -> Any:
    """The provider's type or code for the failure, else the exception's name."""
    if not failed(subject):
        return None
    error, exception_name = subject.wire.error, (subject.call.error_type or "").rsplit(".", 1)[-1]
    return (error.type or error.code if error else None) or exception_name or None


def error_message(subject: Subject) -> Any:
    """The provider's message, else the exception's."""
    if not failed(subject):
        return None
    return (subject.wire.error.message if subject.wire.error else None) or subject.call.error_message or None


def exception(subject: Subject) -> Any:
    """The exception that the call ended in: what the application saw, else that the call was cancelled."""
    call = subject.call
    if call.outcome == "cancelled":
        return call.error_type or CANCELLED_ERROR
    return (call.error_type or call.error_message) if call.outcome == "error" else None


def outputs(subject: Subject) -> Any:
    """Whether the root should have outputs: every call that shares the trace went well."""
    return True if all(call.outcome == "ok" for call in subject.flow or (subject.call,)) else None


def trace_status(subject: Subject) -> Any:
    """How the trace should have ended; of a flow only where all its calls went well."""
    if len(subject.flow) > 1:
        return "OK" if all(call.outcome == "ok" for call in subject.flow) else None
    return {"ok": "OK", "error": "ERROR", "left": ENDED, "cancelled": "ERROR"}[subject.call.outcome]


def request_status(subject: Subject) -> Any:
    """How the request's own span should have ended, where the trace holds more than this request."""
    if not subject.in_company or not subject.wire.attempts:
        return None
    return "ERROR" if failed(subject) else ("OK" if whole(subject) is not None else None)


def stream_events(subject: Subject) -> Any:
    """How many events the stream had, where all of them have reached the application."""
    return subject.wire.event_count or None if subject.wire.stream and whole(subject) is not None else None


def first_token(subject: Subject) -> Any:
    """When the first content went out, in nanoseconds since the epoch."""
    return subject.wire.first_content_unix_ns if began(subject) else None
