"""Places: where a convention puts a fact in a trace, and how it is read there.

A reader gets a call and its trace and gives the value that stands in the place, or ``None`` where
nothing stands. Null counts as nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.completeness import compare
from harness.completeness.chunks import first_content_unix_ns
from harness.completeness.join import (
    SPAN_INPUTS,
    SPAN_OUTPUTS,
    SPAN_TYPE,
    TIME_TOLERANCE_NS,
    UNTYPED_SPAN_TYPES,
    encloses,
)
from harness.completeness.search import calls_of, choices_of, contents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.completeness.join import CallTrace, Subject
    from harness.records import StoredSpan

Level = Literal["required", "conditionally_required", "recommended", "opt_in"]

MODEL_SLOT = "mlflow.llm.model"
ENCLOSED = "encloses the exchange"
SOUND = "sound"

FIRST_CHUNK_LATE_NS = 50_000_000
"""50 ms. The application sees a chunk some time after the gateway sent it: it has to be scheduled,
the SDK parses it, and the tracer then takes the time. An event cannot be early by more than
``TIME_TOLERANCE_NS``."""

_EXCEPTION_EVENTS = frozenset({"exception", "gen_ai.client.operation.exception"})
_STATUS_IN_TEXT = re.compile(
    r"(?:error code|error response|status(?:[ _]code)?|http(?:/[\d.]+)?|(?:client|server) error)\W{0,4}([45]\d\d)\b",
    re.IGNORECASE,
)


def _same(_subject: Subject, expected: Any, traced: Any) -> bool:
    return compare.same_value(expected, traced)


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Place:
    """One place of one convention.

    Attributes:
        name: As reports show it.
        read: Gives what stands there.
        level: OpenTelemetry's requirement level; ``None`` in MLflow's convention.
        equal: Whether what stands there states the expected value.
        expect: The expected value in the form that this place asks for.
        applies: Whether a value belongs in this place at all; ``None`` if every value does.
    """

    name: str
    read: Callable[[Subject, CallTrace], Any]
    level: Level | None = None
    equal: Callable[[Subject, Any, Any], bool] = _same
    expect: Callable[[Any], Any] = _as_it_is
    applies: Callable[[Any], bool] | None = None


def plainly(test: Callable[[Any, Any], bool]) -> Callable[[Subject, Any, Any], bool]:
    """A comparison that does not look at the call."""
    return lambda _subject, expected, traced: test(expected, traced)


def attribute(key: str, *path: str, level: Level | None = None, only: type[object] = object, **options: Any) -> Place:
    """An attribute of the judged span, or what stands in it under a path of keys; ``only`` of one type."""

    def read(_subject: Subject, seen: CallTrace) -> Any:
        value = seen.span.attributes.get(key) if seen.span else None
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return value if isinstance(value, only) else None

    return Place(".".join((key, *path)), read, level, **options)


def any_attribute(key: str, level: Level | None = None, **options: Any) -> Place:
    """An attribute of any span of the trace; of several numbers the greatest."""

    def read(_subject: Subject, seen: CallTrace) -> Any:
        found = [span.attributes[key] for span in seen.trace.spans if span.attributes.get(key) is not None]
        numbers = [one for one in found if isinstance(one, (int, float)) and not isinstance(one, bool)]
        return max(numbers) if numbers else next(iter(found), None)

    return Place(key, read, level, **options)


def outputs(seen: CallTrace) -> Any:
    """What the judged span gave back."""
    return seen.span.attributes.get(SPAN_OUTPUTS) if seen.span else None


def read_answering_model(subject: Subject, seen: CallTrace) -> Any:
    """What stands in MLflow's one model slot; the model that was asked for, where another answered, is nothing."""
    traced = _model_slot(seen)
    return None if traced == subject.wire.model and traced != _answering_model(subject) else traced


def read_asked_model(subject: Subject, seen: CallTrace) -> Any:
    """The model that was asked for, from MLflow's one model slot.

    Another model there says nothing where it is the one that answered, or where the inputs name a
    model: the inputs then decide.
    """
    traced = _model_slot(seen)
    if traced == subject.wire.model:
        return traced
    inputs = seen.span.attributes.get(SPAN_INPUTS) if seen.span else None
    named = isinstance(inputs, dict) and inputs.get("model") is not None
    return None if named or traced == _answering_model(subject) else traced


def aliased_input(alias: str) -> Place:
    """A parameter in the judged span's inputs under another name, unless that name is itself on the wire."""
    plain = attribute(SPAN_INPUTS, alias)

    def read(subject: Subject, seen: CallTrace) -> Any:
        return None if alias in subject.wire.parameters else plain.read(subject, seen)

    return Place(plain.name, read)


def read_messages(_subject: Subject, seen: CallTrace) -> Any:
    """The judged span's inputs, where they are themselves a list of messages."""
    inputs = seen.span.attributes.get(SPAN_INPUTS) if seen.span else None
    is_chat = isinstance(inputs, list) and bool(inputs) and all(isinstance(m, dict) and "role" in m for m in inputs)
    return inputs if is_chat else None


def read_contents(_subject: Subject, seen: CallTrace) -> Any:
    """The answer's contents: the output's plain text, or its choices' messages."""
    value = outputs(seen)
    if isinstance(value, str):
        return [value]
    contents = contents_of(value)
    return contents if contents and any(one is not None for one in contents) else None


def read_calls(_subject: Subject, seen: CallTrace) -> Any:
    """The tool calls of the output's choices."""
    return calls_of(outputs(seen))


def read_refusals(_subject: Subject, seen: CallTrace) -> Any:
    """The refusals of the output's choices."""
    refusals = [(choice.get("message") or {}).get("refusal") for choice in choices_of(outputs(seen)) or ()]
    return refusals if any(one is not None for one in refusals) else None


def read_finish_reasons(_subject: Subject, seen: CallTrace) -> Any:
    """The finish reasons of the output's choices."""
    reasons = [choice.get("finish_reason") for choice in choices_of(outputs(seen)) or ()]
    return reasons if any(one is not None for one in reasons) else None


def read_response_id(_subject: Subject, seen: CallTrace) -> Any:
    """The id of outputs that are a chat completion; of other objects it names something else."""
    value = outputs(seen)
    return value.get("id") if choices_of(value) is not None else None


def otel_messages(key: str) -> Callable[[Subject, CallTrace], Any]:
    """Reads messages in OpenTelemetry's form as chat messages; as they are if they have another form."""

    def read(_subject: Subject, seen: CallTrace) -> Any:
        value = seen.span.attributes.get(key) if seen.span else None
        return compare.from_otel_messages(value) or value

    return read


def otel_output(part: Literal["content", "tool_calls"]) -> Callable[[Subject, CallTrace], Any]:
    """Reads the contents or the tool calls of ``gen_ai.output.messages``, one entry a choice."""
    whole = otel_messages("gen_ai.output.messages")

    def read(subject: Subject, seen: CallTrace) -> Any:
        messages = whole(subject, seen)
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
            return messages
        values = [one.get(part) for one in messages]
        return values if any(values) else None

    return read


def read_chunk_time(_subject: Subject, seen: CallTrace) -> Any:
    """When the judged span's chunk events say that the first content arrived, in nanoseconds since the epoch."""
    return first_content_unix_ns(seen.span) if seen.span else None


def same_first_chunk(_subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a time is that of the first content on the wire."""
    return bool(-TIME_TOLERANCE_NS <= traced - expected <= FIRST_CHUNK_LATE_NS)


def same_first_chunk_s(subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a number of seconds is the time from the request to the first chunk or first content."""
    wire = subject.wire
    if isinstance(traced, bool) or not isinstance(traced, (int, float)) or wire.received_unix_ns is None:
        return False
    traced_ns = round(traced * 1e9)
    times = [one for one in (wire.first_chunk_unix_ns, expected) if one is not None]
    return any(
        -TIME_TOLERANCE_NS <= traced_ns - (time - wire.received_unix_ns) <= FIRST_CHUNK_LATE_NS for time in times
    )


def read_error_texts(_subject: Subject, seen: CallTrace) -> Any:
    """What the judged span and the root say of a failure: exception messages and status messages."""
    texts = []
    for span in _judged_and_root(seen):
        texts += [text for event in _exceptions(span) if (text := _as_text(event.get("exception.message")))]
        texts += [span.status_message] if span.status_message else []
    return texts or None


def read_error_type(_subject: Subject, seen: CallTrace) -> Any:
    """The exception's type as the judged span, or else the root, has it in an exception event."""
    types = (event.get("exception.type") for span in _judged_and_root(seen) for event in _exceptions(span))
    return next((one for one in types if one), None)


def read_status_code(subject: Subject, seen: CallTrace) -> Any:
    """The HTTP status that an exception's text names."""
    for text in read_error_texts(subject, seen) or ():
        if match := _STATUS_IN_TEXT.search(text):
            return int(match.group(1))
    return None


def same_error_type(subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a name is one of the error's: its exception's, the provider's type or code, the status."""
    return str(traced).rsplit(".", 1)[-1] in error_names(subject) | {str(expected)}


def error_names(subject: Subject) -> set[str]:
    """The names that an error goes by."""
    found = {(subject.call.error_type or "").rsplit(".", 1)[-1]}
    if error := subject.wire.error:
        found |= {error.type or "", error.code or "", str(error.status_code or "")}
    return found - {""}


def names_error(subject: Subject, _expected: Any, traced: Any) -> bool:
    """Whether one of some texts names the error, or quotes its message."""
    error = subject.wire.error
    words = {(subject.call.error_type or "").rsplit(".", 1)[-1], subject.call.error_message or ""}
    words |= {error.message or "", error.type or ""} if error else set()
    return any(compare.contains_text(word, traced) for word in words - {""})


def read_exception(subject: Subject, seen: CallTrace) -> Any:
    """Everything that the judged span and the root say of a failure, the exception's type included."""
    texts = list(read_error_texts(subject, seen) or ())
    texts += [_as_text(read_error_type(subject, seen))]
    return [text for text in texts if text] or None


def read_attempts(subject: Subject, seen: CallTrace) -> Any:
    """Attempts as MLflow can show them: LangChain's retry events, or a model span for each."""
    retries = sum(event.name == "retry" for span in seen.trace.spans for event in span.events)
    if retries:
        return retries + 1
    return seen.matched if seen.matched > 1 and seen.matched == subject.wire.attempts else None


def read_model_spans(_subject: Subject, seen: CallTrace) -> Any:
    """How many model spans the trace has for each that it should have: 1 is right.

    Model spans with an exchange of their own count once. Without any, the judged span's type
    stands here if somebody gave it one.
    """
    if not seen.model_spans:
        given = seen.span.attributes.get(SPAN_TYPE) if seen.span else None
        return None if given in UNTYPED_SPAN_TYPES else given
    return len(seen.model_spans) - max(seen.matched, 1) + 1


def read_nesting(_subject: Subject, seen: CallTrace) -> Any:
    """``SOUND``, or the first fault in the tree of spans."""
    spans = {span.span_id: span for span in seen.trace.spans}
    for span in seen.trace.spans:
        if span.parent_id is None:
            continue
        parent = spans.get(span.parent_id)
        if parent is None:
            return f"span {span.span_id}: its parent {span.parent_id} is not in the trace"
        if not _inside(span, parent):
            return f"span {span.span_id}: its times are not inside those of its parent {parent.span_id}"
    return SOUND if spans and not _has_cycle(seen) else ("spans are each other's parents" if spans else None)


def read_root(key: str) -> Callable[[Subject, CallTrace], Any]:
    """Reads whether the root carries an attribute; an empty object or list is nothing."""

    def read(subject: Subject, seen: CallTrace) -> Any:
        value = seen.root.attributes.get(key) if seen.root else None
        if value == "" and subject.wire.response and not any(one.content for one in subject.wire.response.choices):
            return True
        return True if value not in (None, {}, [], "") else None

    return read


def read_state(_subject: Subject, seen: CallTrace) -> Any:
    """The trace's state."""
    return seen.trace.state if seen.trace.state not in ("", "STATE_UNSPECIFIED") else None


def read_root_status(_subject: Subject, seen: CallTrace) -> Any:
    """The root's status; unset is nothing."""
    return seen.root.status if seen.root and seen.root.status != "UNSET" else None


def read_times(subject: Subject, seen: CallTrace) -> Any:
    """``ENCLOSED`` if the judged span's times or the root's enclose the exchanges, else by how much not."""
    candidates = _judged_and_root(seen)
    if any(encloses(span, subject) for span in candidates):
        return ENCLOSED
    for span in candidates:
        begin = subject.wire.first_received_unix_ns or 0
        late_ms = (span.start_unix_ns - begin) / 1e6
        if span.end_unix_ns is None:
            return "the span has no end"
        if span.start_unix_ns > begin + TIME_TOLERANCE_NS:
            return f"the span begins {late_ms:.3f} ms after the request"
        return f"the span ends {(span.end_unix_ns - begin) / 1e6:.3f} ms after the request, before the last byte"
    return None


def _model_slot(seen: CallTrace) -> Any:
    return seen.span.attributes.get(MODEL_SLOT) if seen.span else None


def _answering_model(subject: Subject) -> str | None:
    return subject.wire.response.model if subject.wire.response else None


def _inside(child: StoredSpan, parent: StoredSpan) -> bool:
    if child.start_unix_ns < parent.start_unix_ns - TIME_TOLERANCE_NS:
        return False
    if child.end_unix_ns is None or parent.end_unix_ns is None:
        return child.end_unix_ns is not None or parent.end_unix_ns is None
    return child.end_unix_ns <= parent.end_unix_ns + TIME_TOLERANCE_NS


def _has_cycle(seen: CallTrace) -> bool:
    parents = {span.span_id: span.parent_id for span in seen.trace.spans}
    for parent in parents.values():
        steps, one = 0, parent
        while one is not None and steps <= len(parents):
            one, steps = parents.get(one), steps + 1
        if steps > len(parents):
            return True
    return False


def _judged_and_root(seen: CallTrace) -> list[StoredSpan]:
    spans = [seen.span] if seen.span else []
    return spans if seen.root is None or seen.root in spans else [*spans, seen.root]


def _exceptions(span: StoredSpan) -> Iterator[dict[str, Any]]:
    for event in span.events:
        if event.name in _EXCEPTION_EVENTS:
            yield event.attributes


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""
