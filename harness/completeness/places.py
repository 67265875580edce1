"""Places: where a convention puts a fact in a trace, and how it is read there.

A reader gets a call and its trace and gives the value that stands in the place, or ``None`` where
nothing stands. Null counts as nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.completeness import compare, proofs
from harness.completeness.chunks import first_content_unix_ns, has_content, series_of
from harness.completeness.embeddings import dimensions
from harness.completeness.search import calls_of, choices_of, contents_of, output_items_of, refusals_of
from harness.completeness.spans import (
    AROUND_SPAN_TYPES,
    SPAN_INPUTS,
    SPAN_OUTPUTS,
    SPAN_TYPE,
    TIME_TOLERANCE_NS,
    UNTYPED_SPAN_TYPES,
    call_end_unix_ns,
    encloses,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.completeness.join import CallTrace
    from harness.completeness.spans import Subject
    from harness.records import Call, StoredSpan
    from harness.results import Level

MODEL_SLOT = "mlflow.llm.model"
TOKEN_USAGE = "mlflow.chat.tokenUsage"  # noqa: S105 - a key of token counts, not a secret
COST = "mlflow.llm.cost"
TRACE_TOKEN_USAGE = "mlflow.trace.tokenUsage"  # noqa: S105 - the same of a whole trace
TRACE_COST = "mlflow.trace.cost"
ENCLOSED = "encloses the exchange"
SOUND = "sound"
IN_FLOW = "inside and under the flow's root"
COUNTED_ONCE = "each request counted once"

FIRST_CHUNK_LATE_NS = 50_000_000
"""50 ms. The application sees a chunk some time after the gateway sent it: it has to be scheduled,
the SDK parses it (and builds its types when it sees the first), and the tracer then takes the time. On a
loaded machine it takes longer, and the application's own reading for the first chunk with content says how
much; half of this is then added to that. An event cannot be early by more than ``TIME_TOLERANCE_NS``."""

_EXCEPTION_EVENTS = frozenset({"exception", "gen_ai.client.operation.exception"})
_STATUS_IN_TEXT = re.compile(
    r"(?:error code|error response|status(?:[ _]code)?|http(?:/[\d.]+)?|(?:client|server) error)\W{0,4}([45]\d\d)\b",
    re.IGNORECASE,
)
_COST_PRECISION = 1e-6
"""Costs are sums of floats; two that differ by less than a millionth of themselves are one."""


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
        family: The kind of request whose spans have this place, ``model`` or ``embedding``; ``None`` if all have.
        witness: Whether the place is read by tools, but is not where the fact belongs: what stands there
            records nothing, and another value there contradicts.
        derived: Whether the value is worked out from what stands there, so that for another convention it is not
            stated elsewhere.
    """

    name: str
    read: Callable[[Subject, CallTrace], Any]
    level: Level | None = None
    equal: Callable[[Subject, Any, Any], bool] = _same
    expect: Callable[[Any], Any] = _as_it_is
    applies: Callable[[Any], bool] | None = None
    family: str | None = None
    witness: bool = False
    derived: bool = False

    @property
    def picks(self) -> bool:
        """Whether it is no place of some requests, or of some values."""
        return self.applies is not None or self.family is not None

    def is_for(self, subject: Subject, value: Any) -> bool:
        """Whether a request's value belongs in this place."""
        return (self.family in (None, subject.family)) and (self.applies is None or self.applies(value))


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


def read_scalar(key: str, name: str) -> Callable[[Subject, CallTrace], Any]:
    """Reads a text, number or truth value; objects are written in too many forms to bear witness."""
    plain = attribute(key, name)

    def read(subject: Subject, seen: CallTrace) -> Any:
        value = plain.read(subject, seen)
        return None if isinstance(value, (dict, list)) else value

    return read


def any_attribute(key: str, level: Level | None = None, **options: Any) -> Place:
    """An attribute of any span of the trace that is not another request's; of several numbers the greatest."""

    def read(_subject: Subject, seen: CallTrace) -> Any:
        found = [
            span.attributes[key] for span in seen.look.spans_of(seen.number) if span.attributes.get(key) is not None
        ]
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
    return refusals_of(outputs(seen))


def same_contents(subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether contents are the answer's, choice by choice.

    Of an answer that did not reach the application whole, everything that the application got has to
    be there, and nothing that was not sent.
    """
    partial = proofs.partial_text(subject)
    if partial is None:
        return compare.same_contents(expected, traced)
    got, sent = partial
    text = compare.canonical_content(traced[0]) if isinstance(traced, list) and len(traced) == 1 else None
    return isinstance(text, str) and text.startswith(got) and sent.startswith(text)


def read_finish_reasons(_subject: Subject, seen: CallTrace) -> Any:
    """The finish reasons of the output's choices."""
    reasons = [choice.get("finish_reason") for choice in choices_of(outputs(seen)) or ()]
    return reasons if any(one is not None for one in reasons) else None


def read_answer(*path: str) -> Callable[[Subject, CallTrace], Any]:
    """What stands under a path of keys in outputs that are an answer of a known shape; other objects hold nothing."""

    def read(_subject: Subject, seen: CallTrace) -> Any:
        value = outputs(seen)
        if choices_of(value) is None and output_items_of(value) is None and _vectors(value) is None:
            return None
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return value

    return read


def answer_place(*path: str, **options: Any) -> Place:
    """A place in outputs that are an answer of a known shape."""
    return Place(".".join((SPAN_OUTPUTS, *path)), read_answer(*path), **options)


def read_vector_count(_subject: Subject, seen: CallTrace) -> Any:
    """How many vectors the outputs hold."""
    vectors = _vectors(outputs(seen))
    return None if vectors is None else len(vectors)


def read_dimensions(_subject: Subject, seen: CallTrace) -> Any:
    """How many dimensions each vector of the outputs has: one number where all have the same."""
    return one_length([dimensions(vector) for vector in _vectors(outputs(seen)) or ()])


def one_length(lengths: Iterable[int | None]) -> Any:
    """One number where all vectors have the same length, else all of them; ``None`` where there are none."""
    found = list(lengths)
    return found[0] if found and len(set(found)) == 1 else (found or None)


def _vectors(value: Any) -> list[Any] | None:
    """The vectors in outputs: an embeddings answer's, a list of vectors, or one vector alone."""
    data = value.get("data") if isinstance(value, dict) else None
    if isinstance(data, list) and data and all(isinstance(one, dict) and "embedding" in one for one in data):
        return [one["embedding"] for one in data]
    if isinstance(value, list) and value and isinstance(value[0], (int, float)) and dimensions(value) is not None:
        return [value]
    if isinstance(value, list) and value and all(isinstance(one, list) and dimensions(one) for one in value):
        return value
    return None


def otel_messages(key: str) -> Callable[[Subject, CallTrace], Any]:
    """Reads messages in OpenTelemetry's form as chat messages; as they are if they have another form."""

    def read(_subject: Subject, seen: CallTrace) -> Any:
        value = seen.span.attributes.get(key) if seen.span else None
        return compare.from_otel_messages(value) or (None if compare.decoded(value) == [] else value)

    return read


_SYSTEM_ROLES = ("system", "developer")


def otel_input(subject: Subject, seen: CallTrace) -> Any:
    """The messages of ``gen_ai.input.messages``, with those of ``gen_ai.system_instructions`` before them.

    The convention wants system messages of a chat among the others; a tool that reads it reads both.
    """
    messages = otel_messages("gen_ai.input.messages")(subject, seen)
    parts = compare.decoded(seen.span.attributes.get("gen_ai.system_instructions")) if seen.span else None
    sent = [one for one in subject.wire.messages or () if isinstance(one, dict) and one.get("role") in _SYSTEM_ROLES]
    if not sent or not isinstance(parts, list) or not isinstance(messages, list):
        return messages
    if any(isinstance(one, dict) and one.get("role") in _SYSTEM_ROLES for one in messages):
        return messages
    groups = [[part] for part in parts] if len(parts) == len(sent) else [parts]
    forms = [{"role": one["role"], "parts": group} for one, group in zip(sent, groups, strict=False)]
    return [*(compare.from_otel_messages(forms) or ()), *messages]


def read_response_messages(subject: Subject, seen: CallTrace) -> Any:
    """The messages among the inputs, for the Responses API; embeddings have none."""
    inputs = seen.span.attributes.get(SPAN_INPUTS) if seen.span else None
    return inputs.get("messages") if isinstance(inputs, dict) and subject.wire.endpoint == "responses" else None


def same_response_status(subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether finish reasons state how a response ended: by its status, its reason, or in chat completions' words."""
    response = subject.wire.response
    words = {expected, response.incomplete_reason if response else None}
    if expected == "completed":
        calls = response is not None and any(choice.tool_calls for choice in response.choices)
        words |= {"tool_calls"} if calls else {"stop"}
    elif response is not None and response.incomplete_reason == "max_output_tokens":
        words.add("length")
    return isinstance(traced, list) and len(traced) == 1 and traced[0] in words


def otel_output(part: Literal["content", "tool_calls"]) -> Callable[[Subject, CallTrace], Any]:
    """Reads the contents or the tool calls of ``gen_ai.output.messages``, one entry a choice.

    A response of the Responses API is one choice, whatever number of messages it stands in.
    """
    whole = otel_messages("gen_ai.output.messages")

    def read(subject: Subject, seen: CallTrace) -> Any:
        messages = whole(subject, seen)
        if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
            return messages
        values = [one.get(part) for one in messages]
        if subject.wire.endpoint == "responses":
            found = [compare.canonical_content(one) for one in values if one]
            texts = all(isinstance(one, str) for one in found)
            joined = "".join(found) or None if texts else found
            values = [joined] if part == "content" else [[call for calls in found for call in calls]]
        return values if any(values) else None

    return read


def read_chunk_time(_subject: Subject, seen: CallTrace) -> Any:
    """When the judged span's chunk events say that the first content arrived, in nanoseconds since the epoch."""
    return first_content_unix_ns(seen.pieces)


def read_stream_events(subject: Subject, seen: CallTrace) -> Any:
    """How many chunk events the judged span has; as text where their number is right by accident alone.

    As many events as there were pieces with content are all of them only if each has content.
    """
    pieces = series_of(seen.pieces)
    count, wire = len(pieces), subject.wire
    by_accident = count == wire.content_event_count != wire.event_count and count != subject.call.chunk_count
    if by_accident and any(piece.has_content is False for piece in pieces):
        return f"{count}, some of them without content"
    return count or None


def same_stream_events(subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a span has an event for each piece of the stream, as the wire or the application counts them."""
    return bool(traced in (expected, subject.wire.content_event_count, subject.call.chunk_count))


def same_first_chunk(subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a time is that of the first content on the wire."""
    return bool(-TIME_TOLERANCE_NS <= traced - expected <= _late_ns(subject))


def _late_ns(subject: Subject) -> int:
    """How late the first content may be seen, given how long it took to the application.

    Where the record does not say that, the stream's first event tells.
    """
    call, wire = subject.call, subject.wire
    reached = _first_content_reached_ns(call)
    sent = wire.first_chunk_unix_ns if reached is None else wire.first_content_unix_ns
    reached = call.first_chunk_ns if reached is None else reached
    if reached is None or sent is None or len(subject.requests) > 1:
        return FIRST_CHUNK_LATE_NS
    took_ns = call.start_unix_ns + (reached - call.start_ns) - sent
    return max(FIRST_CHUNK_LATE_NS, took_ns + FIRST_CHUNK_LATE_NS // 2)


def _first_content_reached_ns(call: Call) -> int | None:
    """When the first chunk with content reached the application; ``None`` if the record does not say."""
    chunks = call.observed.chunks if call.observed else None
    if not chunks or len(chunks) != len(call.chunk_ns):
        return None
    seen = (reached for text, reached in zip(chunks, call.chunk_ns, strict=True) if has_content(compare.decoded(text)))
    return next(seen, None)


def same_first_chunk_s(subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a number of seconds is the time from the request to the first chunk or first content."""
    wire = subject.wire
    if isinstance(traced, bool) or not isinstance(traced, (int, float)) or wire.received_unix_ns is None:
        return False
    if not math.isfinite(traced):
        return False
    traced_ns = round(traced * 1e9)
    times = [one for one in (wire.first_chunk_unix_ns, expected) if one is not None]
    return any(-TIME_TOLERANCE_NS <= traced_ns - (time - wire.received_unix_ns) <= _late_ns(subject) for time in times)


def read_error_texts(subject: Subject, seen: CallTrace) -> Any:
    """What the judged span and the root say of a failure: exception messages and status messages."""
    texts = []
    for span in _judged_and_root(subject, seen):
        texts += [text for event in _exceptions(span) if (text := _as_text(event.get("exception.message")))]
        texts += [span.status_message] if span.status_message else []
    return texts or None


def read_error_type(subject: Subject, seen: CallTrace) -> Any:
    """The exception's type as the judged span, or else the root, has it in an exception event."""
    types = (event.get("exception.type") for span in _judged_and_root(subject, seen) for event in _exceptions(span))
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
    """Whether one of some texts names the failure that the call ended in, or quotes its message."""
    call = subject.call
    words = {(call.error_type or "").rsplit(".", 1)[-1], call.error_message or ""}
    words |= {word for one in subject.requests if one.error for word in (one.error.message or "", one.error.type or "")}
    words |= {proofs.CANCELLED_ERROR} if call.outcome == "cancelled" else set()
    return any(compare.contains_text(word, traced) for word in words - {""})


def read_exception(subject: Subject, seen: CallTrace) -> Any:
    """Everything that the judged span and the root say of a failure, the exception's type included.

    Of a call with several requests everything that any span says.
    """
    spans = seen.trace.spans if subject.in_company else _judged_and_root(subject, seen)
    texts = [span.status_message for span in spans]
    for span in spans:
        for event in _exceptions(span):
            texts += [_as_text(event.get("exception.message")), _as_text(event.get("exception.type"))]
    return [text for text in texts if text] or None


def read_attempts(subject: Subject, seen: CallTrace) -> Any:
    """Attempts as MLflow can show them: LangChain's retry events, or a model span for each."""
    spans = _judged_and_root(subject, seen) if subject.in_company else seen.trace.spans
    retries = sum(event.name == "retry" for span in spans for event in span.events)
    if retries:
        return retries + 1
    matched = seen.found.matched
    return matched if matched > 1 and matched == subject.wire.attempts else None


def read_model_spans(_subject: Subject, seen: CallTrace) -> Any:
    """How many model spans the trace has for the request, where one is right; those of attempts count once.

    Without any, the judged span's type stands here if it claims to be something else. A span around the
    request, such as a chain's, claims nothing.
    """
    if seen.found.matched:
        return 1 + seen.found.extras
    given = seen.span.attributes.get(SPAN_TYPE) if seen.span else None
    return None if given in UNTYPED_SPAN_TYPES or given in AROUND_SPAN_TYPES else given


def read_nesting(_subject: Subject, seen: CallTrace) -> Any:
    """``SOUND``, or the first fault in the tree of spans."""
    tree = seen.look.tree
    for span in tree.spans:
        if span.parent_id is None:
            continue
        parent = tree.by_id.get(span.parent_id)
        if parent is None:
            return f"span {span.span_id}: its parent {span.parent_id} is not in the trace"
        if not _inside(span, parent):
            return f"span {span.span_id}: its times are not inside those of its parent {parent.span_id}"
    if _has_cycle(seen):
        return "spans are each other's parents"
    owned = {found.span.span_id for _, found in seen.sharers if found.matched and found.span is not None}
    for span_id in sorted(owned) if len(owned) > 1 else ():
        above = next((one for one in tree.above(tree.by_id[span_id]) if one.span_id in owned), None)
        if above is not None:
            return f"span {span_id}: it stands under another request's model span {above.span_id}"
    return SOUND if tree.spans else None


def read_flow(_subject: Subject, seen: CallTrace) -> Any:
    """``IN_FLOW``, or where the call's spans are instead."""
    return seen.detached or IN_FLOW


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


def read_span_status(_subject: Subject, seen: CallTrace) -> Any:
    """The status of the request's model span; unset is nothing."""
    return seen.span.status if seen.found.matched and seen.span and seen.span.status != "UNSET" else None


def same_status(_subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a status is the expected one; a stream that was left may have ended either way."""
    return traced in ("OK", "ERROR") if expected == proofs.ENDED else bool(traced == expected)


def read_times(subject: Subject, seen: CallTrace) -> Any:
    """``ENCLOSED`` if the judged span's times or the root's enclose the exchanges, else by how much not.

    In a trace of several requests the root proves nothing for one of them. A model span that began long before its
    call, or ended long after it, tells of time that never was.
    """
    if outside := _outside_call(subject, seen):
        return outside
    candidates = _judged_and_root(subject, seen)
    first = seen.found.matched < 2 or not subject.in_company
    if any(encloses(span, subject, first=first) for span in candidates):
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


def _outside_call(subject: Subject, seen: CallTrace) -> str | None:
    """By how much a model span lies outside its call; ``None`` where it does not, or nobody can tell."""
    span, call = seen.span, subject.call
    if span is None or not seen.found.matched or seen.stands_for_several:
        return None
    early_ns = call.start_unix_ns - span.start_unix_ns
    if early_ns > TIME_TOLERANCE_NS:
        return f"the span begins {early_ns / 1e6:.3f} ms before its call"
    ended = call.outcome == "ok" and call.mode in ("single", "async") and span.end_unix_ns is not None
    late_ns = (span.end_unix_ns or 0) - call_end_unix_ns(call)
    return f"the span ends {late_ns / 1e6:.3f} ms after its call" if ended and late_ns > TIME_TOLERANCE_NS else None


def read_trace_tokens(_subject: Subject, seen: CallTrace) -> Any:
    """The trace's own token counts; of records without MLflow's metadata those that it adds up from the spans."""
    if _has_metadata(seen):
        return compare.decoded(seen.trace.metadata.get(TRACE_TOKEN_USAGE))
    total: dict[str, Any] = {}
    for span in seen.look.tree.spans:
        counts = span.attributes.get(TOKEN_USAGE)
        above = (one.attributes.get(TOKEN_USAGE) for one in seen.look.tree.above(span))
        if isinstance(counts, dict) and all(one is None for one in above):
            for key, number in counts.items():
                if isinstance(number, (int, float)):
                    total[key] = total.get(key, 0) + number
    return total or None


def trace_tokens(subject: Subject, seen: CallTrace) -> Any:
    """The tokens of all the requests that the trace should hold, where the record shows what MLflow made of them."""
    shown = _has_metadata(seen) or read_trace_tokens(subject, seen) is not None
    return proofs.token_sum(one for one, _ in seen.sharers) if shown else None


def _has_metadata(seen: CallTrace) -> bool:
    """Whether a record has MLflow's own metadata; some were made without."""
    return any(key.startswith("mlflow.") for key in seen.trace.metadata)


def same_trace_tokens(_subject: Subject, expected: Any, traced: Any) -> bool:
    """Whether a trace's token counts are the expected ones; further counts do not matter."""
    return isinstance(traced, dict) and all(
        compare.same_value(number, traced.get(key)) for key, number in expected.items()
    )


def costs_once(_subject: Subject, seen: CallTrace) -> Any:
    """``COUNTED_ONCE`` where the trace states a cost and the requests' own spans do, too."""
    return COUNTED_ONCE if _stated_cost(seen) is not None and _request_costs(seen) else None


def read_trace_cost(_subject: Subject, seen: CallTrace) -> Any:
    """``COUNTED_ONCE`` if the trace's cost is the sum of its requests' costs, else both."""
    stated, costs = _stated_cost(seen), _request_costs(seen)
    if stated is None:
        return None
    once = math.isclose(stated, sum(costs), rel_tol=_COST_PRECISION)
    return COUNTED_ONCE if once else f"{stated} where the requests' spans state {sum(costs)} together"


def _stated_cost(seen: CallTrace) -> float | None:
    cost = compare.decoded(seen.trace.metadata.get(TRACE_COST))
    total = cost.get("total_cost") if isinstance(cost, dict) else None
    return total if isinstance(total, (int, float)) else None


def _request_costs(seen: CallTrace) -> list[float]:
    spans = {found.span.span_id: found.span for _, found in seen.sharers if found.matched and found.span is not None}
    costs = [span.attributes.get(COST) for span in spans.values()]
    totals = [cost.get("total_cost") for cost in costs if isinstance(cost, dict)]
    return [total for total in totals if isinstance(total, (int, float))]


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


def _judged_and_root(subject: Subject, seen: CallTrace) -> list[StoredSpan]:
    """Where a request's end is told: its span and the root, or its span alone where the root tells of others, too."""
    spans = [seen.span] if seen.span else []
    alone = not subject.in_company
    return spans if not alone or seen.root is None or seen.root in spans else [*spans, seen.root]


def _exceptions(span: StoredSpan) -> Iterator[dict[str, Any]]:
    for event in span.events:
        if event.name in _EXCEPTION_EVENTS:
            yield event.attributes


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""
