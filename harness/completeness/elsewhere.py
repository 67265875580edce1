"""How each fact is recognised outside its places.

A seeker gets the call, the value that the wire proves, the trace, and the texts that several facts
of the call share; it gives the first place where the value cannot stand by accident, or ``None``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.completeness import compare, places, proofs
from harness.completeness.chunks import first_content_unix_ns
from harness.completeness.search import Hit, Wanted, choices_of, key_names, names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.completeness.join import CallTrace
    from harness.completeness.search import Side
    from harness.completeness.spans import Subject

Shared = frozenset[str]
"""Texts that several facts of one call have for a value."""


def nowhere(_subject: Subject, _value: Any, _seen: CallTrace, _shared: Shared) -> Hit | None:
    """A fact that stands in its place or nowhere."""
    return None


def by_value(*keys: str, side: Side, own: bool = False) -> Callable[[Subject, Any, CallTrace, Shared], Hit | None]:
    """An equal value under one of some keys, or, with ``own``, a long text under any key."""
    wanted = Wanted(names(*keys), side, own)
    return lambda _subject, value, seen, shared: seen.index.find(value, wanted, shared)


_CONTENT = Wanted(
    names("content", "text", "output", "answer", "response", "completion", "reply", "result"), "response", own=True
)
_INPUT = Wanted(names("input", "inputs", "texts", "text", "query", "documents"), "request", own=True)
_NOTHING_SHARED: Shared = frozenset()
_ANY_REQUEST = Wanted(frozenset(), "request")
_ANY_RESPONSE = Wanted(frozenset(), "response")


def messages(_subject: Subject, value: Any, seen: CallTrace, _shared: Shared) -> Hit | None:
    """The messages as a list in any shape that is known."""
    return seen.index.find_messages(value, _ANY_REQUEST)


def request_input(_subject: Subject, value: Any, seen: CallTrace, _shared: Shared) -> Hit | None:
    """The input in any shape that is known: a text, a list of texts, or a conversation."""
    alone = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(alone, str) and (hit := seen.index.find(alone, _INPUT, _NOTHING_SHARED)):
        return hit
    return seen.index.find_node(lambda node: compare.same_input(value, node), _ANY_REQUEST, keyed=False)


def contents(subject: Subject, value: Any, seen: CallTrace, shared: Shared) -> Hit | None:
    """The answer's text alone, in the shape of another answer, or in pieces."""
    if (partial := proofs.partial_text(subject)) is not None:
        return seen.index.find_partial(*partial)
    return seen.index.find_content(value, _CONTENT, shared)


def tool_calls(_subject: Subject, value: Any, seen: CallTrace, _shared: Shared) -> Hit | None:
    """The answer's tool calls alone, in the shape of another answer, or in pieces."""
    return seen.index.find_calls(value, _ANY_RESPONSE)


def tools(_subject: Subject, value: Any, seen: CallTrace, _shared: Shared) -> Hit | None:
    """The tool definitions as a list."""
    tests = (compare.same_value, compare.same_tools_flat)
    return seen.index.find_node(lambda node: any(test(value, node) for test in tests), _ANY_REQUEST, keyed=False)


_FINISH_REASON = Wanted(names("finish_reason", "finish_reasons", "stop_reason", "done_reason"), "response")


def finish_reasons(_subject: Subject, value: Any, seen: CallTrace, shared: Shared) -> Hit | None:
    """The finish reasons under a key that says so."""
    if len(value) == 1:
        return seen.index.find(value[0], _FINISH_REASON, shared)

    def same(node: Any) -> bool:
        return bool(node == value) or [one.get("finish_reason") for one in choices_of(node) or ()] == value

    return seen.index.find_node(same, _ANY_RESPONSE, keyed=False)


_FIRST_TOKEN_UNITS_NS = {"ms": 1_000_000, "us": 1_000, "ns": 1, "s": 1_000_000_000}
_FIRST_TOKEN_KEYS = ("timetofirsttoken", "timetofirstchunk", "ttft", "ttfc", "firsttokenlatency", "firstchunklatency")


def first_token(subject: Subject, value: Any, seen: CallTrace, _shared: Shared) -> Hit | None:
    """Chunk events of any span but another request's, then a number under a telling key.

    The number is one of seconds, unless its key ends in another unit.
    """
    for span in seen.look.spans_of(seen.number):
        time = first_content_unix_ns(seen.look.pieces(span))
        if time is not None and places.same_first_chunk(subject, value, time):
            return Hit(time, f"chunk events of span {span.name}", span.span_id)

    def same(key: str, number: float) -> bool:
        unit_ns = _first_token_unit_ns(key)
        return unit_ns is not None and places.same_first_chunk_s(subject, value, number * unit_ns / 1e9)

    return seen.index.find_number(same)


@lru_cache(maxsize=4096)
def _first_token_unit_ns(key: str) -> int | None:
    """The unit of a number under a key that tells the time to the first token; ``None`` for any other key."""
    for name in key_names(key):
        start = next((one for one in _FIRST_TOKEN_KEYS if name.startswith(one)), None)
        if start is not None:
            return _FIRST_TOKEN_UNITS_NS.get(name.removeprefix(start), 1_000_000_000)
    return None


def error_message(_subject: Subject, value: Any, seen: CallTrace, _shared: Shared) -> Hit | None:
    """A text on the answer's side that quotes the message."""
    return seen.index.find_text(lambda text: compare.contains_text(value, text), "response")


def error_type(subject: Subject, _value: Any, seen: CallTrace, shared: Shared) -> Hit | None:
    """One of the error's names under a telling key, or as a word of a text."""
    wanted = Wanted(names("type", "code", "error.type", "error_type", "exception.type", "error_code"), "response")
    for name in sorted(places.error_names(subject)):
        if hit := seen.index.find(name, wanted, shared):
            return hit
        hit = seen.index.find_text(lambda text, name=name: _is_word(name, text), "response")  # type: ignore[misc]
        if hit and not name.isdigit():
            return hit
    return None


def _is_word(name: str, text: str) -> bool:
    return name in text and name in text.replace('"', " ").replace("'", " ").replace(":", " ").replace(",", " ").split()


def status_code(subject: Subject, value: Any, seen: CallTrace, shared: Shared) -> Hit | None:
    """The status under a telling key, or named by the text of the exception."""
    wanted = Wanted(names("status_code", "http_status", "http.status_code", "status", "http_status_code"), "response")
    if hit := seen.index.find(value, wanted, shared) or seen.index.find(str(value), wanted, shared):
        return hit
    found = places.read_status_code(subject, seen)
    return Hit(found, "text of the exception", None) if found == value else None


def attempts(_subject: Subject, value: Any, seen: CallTrace, shared: Shared) -> Hit | None:
    """The number of attempts, or of attempts after the first, under a telling key."""
    attempts = Wanted(names("attempts", "attempt", "attempt_number", "num_attempts", "attempt_count"), "either")
    resends = Wanted(names("retries", "retry_count", "resend_count", "num_retries", "retry_attempts"), "either")
    return seen.index.find(value, attempts, shared) or seen.index.find(value - 1, resends, shared)


PROVIDER_NAMES = {"openai": ("openai",), "mistral": ("mistral_ai", "mistral", "mistralai")}
"""By dialect: OpenTelemetry's name first, then those that MLflow, LangChain and the SDKs use."""


def provider(subject: Subject, _value: Any, seen: CallTrace, shared: Shared) -> Hit | None:
    """The provider by any of its usual names."""
    wanted = Wanted(names("provider", "gen_ai.system", "model_provider", "llm.system"), "either")
    hits = (seen.index.find(name, wanted, shared) for name in PROVIDER_NAMES[subject.wire.dialect or "openai"])
    return next((hit for hit in hits if hit), None)
