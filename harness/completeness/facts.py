"""The one table of facts: what a call's exchanges prove, and where a trace should hold it.

Adding a fact is adding a row. A row says how the fact is read from the wire, its places in two
conventions, and how it is recognised elsewhere. A fact without a place in a convention is not
applicable there. Several places of one convention must not contradict each other: the fact is
recorded if at least one holds it and none holds another value.

Sources of MLflow's places (MLflow 3.17.2): ``mlflow/tracing/constant.py`` (``SpanAttributeKey``,
``TokenUsageKey``), the writers ``mlflow/openai/autolog.py``, ``mlflow/mistral/autolog.py`` and
``mlflow/langchain/langchain_tracer.py``, ``mlflow/tracing/fluent.py`` (decorators), and the trace
view of its web interface, which builds the conversation from the inputs (``messages``, ``input``,
``request.input`` or a bare list) and the outputs (``choices[].message`` or a text), the tools from
``mlflow.chat.tools`` or ``inputs.tools``, the counts from ``mlflow.chat.tokenUsage`` and the model
(also the one in its tables, and the one that cost is priced on) from ``mlflow.llm.model``. What
MLflow has no key for (the response's id, reasoning tokens) has its place in the outputs, in the
provider's own shape.

Sources of OpenTelemetry's places: Semantic Conventions v1.41.1, ``docs/gen-ai/gen-ai-spans.md`` and
``docs/gen-ai/openai.md`` (which makes the requested model ``Required`` where the general page says
``Conditionally Required``; the general level is used here), for exception events
``docs/gen-ai/gen-ai-exceptions.md`` and ``docs/exceptions/exceptions-spans.md``, and for status code
and resends ``docs/http/http-spans.md`` (on any span of the trace). Spans of embeddings have neither input messages
nor a response id there. The former ``gen_ai.system`` is no
place of this version. Structure facts are MLflow's alone.

A fact is of a request, of a call or of a whole trace (``Fact.scope``). Those of a call stand under its first
request, those of a trace under the first call of the flow that shares it; so nothing is counted twice.

Decisions about what applies:

- cached and reasoning tokens apply where the wire shows more than zero: zero says what absence says;
- of an answer that did not reach the application whole (the stream broke, was left or cancelled) only the model,
  the id and the first token apply, and only if a chunk had reached it; finish reason and usage need a whole answer;
- content of such an answer applies where the call's record says what text the application got: that text has
  to stand in the place, and beyond it nothing that was not sent;
- content does not apply to a choice that calls tools and says nothing (null or empty text);
- a model span is one of type ``CHAT_MODEL`` or ``LLM``: a span that nobody typed is ``missing`` as a
  model span, a judged span of another type, or a model span too many, is ``wrong``;
- ``trace.outputs`` applies to calls that went well, ``error.*`` to requests that failed, ``trace.exception`` to calls
  that failed or were cancelled;
- a call that the application left, or never read, may have ended OK or in ERROR: either says something true. A
  cancelled one was not finished, so OK is wrong; its root may leave the status open, the trace may not;
- a call that was left or cancelled before anything was sent has nothing to record, and needs no trace;
- in a trace of several requests each has to have a span of its own that ended as the request did
  (``trace.request_status``) and encloses its exchanges; the root tells of all of them and proves nothing for one;
- requests that have no span of their own are judged by one that they share, such as an agent's: what it holds for one
  of them is recorded, and what else stands there is said of another or of all together, so it is not ``wrong``;
- ``trace.flow`` applies where the strategy put a span around a flow: the call's spans have to be inside and under it;
- ``trace.token_usage`` is the sum over the wire's requests, embeddings included, each once. Records that carry none
  of MLflow's metadata are judged by what its aggregation (``mlflow/tracing/utils``: an ancestor's counts hide those
  below it) gives for the stored spans, if they have any. ``trace.cost`` applies where the trace states a cost: it has
  to be the sum of what the requests' own spans state;
- ``response.chunks`` applies where a span has chunk events that stand for the pieces one by one (a lone mark such
  as ``first_token`` does not): it has to have all of them (as the wire counts its events, those with content, or
  the application its chunks). OpenTelemetry's SDK keeps 128 events of a span;
- an answer of the Responses API that failed or is incomplete went well as a call: its status is a fact of its own;
- token counts and tool calls apply also where the wire has said all and shows none, and the trace states some: they
  are invented, and ``wrong``;
- that the answer was to be streamed applies to streams, and to others where a trace says that they were.

Decisions about MLflow's places:

- a witness is a place that tools read but that is not where the fact belongs: what it holds records nothing, and
  another value there is a contradiction, so the fact is ``wrong``. Witnesses are the provider's own counts and model in
  the outputs beside ``mlflow.chat.tokenUsage`` and ``mlflow.llm.model``, and LangChain's ``invocation_params``;

- MLflow has one slot for a model, ``mlflow.llm.model``: "the model name extracted from span
  inputs/attributes" (``mlflow/tracing/constant.py``), so the one asked for. Its OpenAI flavour prefers the
  one that answered (``mlflow/openai/utils/chat_schema.py``), its Mistral and LangChain flavours write the
  one asked for (``set_span_model_attribute`` in ``mlflow/tracing/utils``, ``_extract_and_set_model_name`` in
  ``langchain_tracer.py``). Either is right. It is the place of ``response.model``; holding the model asked
  for, where another answered, it is empty for ``response.model``, which is then ``elsewhere`` or ``missing``.
  It is also a place of ``request.model``, beside ``inputs.model``; the model that answered is no
  contradiction there, and where ``inputs.model`` stands, no other model is. A third model is ``wrong``.
- the first token's time is that of the span's first event whose name contains "token" or "chunk"; where the
  pieces of the stream in such events can be read (``mlflow.chunk.value`` of ``mlflow/openai/autolog.py`` and
  ``mlflow/tracing/fluent.py``, ``token`` and ``chunk`` of ``langchain_tracer.py``), of the first whose piece
  has content. It has to lie from 5 ms before to 50 ms after the wire's first content, by this project's own
  choice (``places.FIRST_CHUNK_LATE_NS``), or 25 ms later than it was late for the application; no later event
  counts.
- ``max_completion_tokens`` may stand in the inputs as ``max_tokens``, the only name that MLflow's exporter to
  OpenTelemetry reads (``mlflow/tracing/export/genai_semconv/converter.py``), and Mistral's ``random_seed`` as
  ``seed``, OpenAI's name for it and the one in OpenTelemetry's; the value has to be the same. A name that is
  itself on the wire stands for itself alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from harness.completeness import compare, elsewhere, places, proofs
from harness.completeness.chunks import series_of
from harness.completeness.places import TOKEN_USAGE, Place, answer_place, any_attribute, attribute, plainly
from harness.completeness.search import Wanted, names
from harness.completeness.spans import SPAN_INPUTS, SPAN_OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.completeness.elsewhere import Shared
    from harness.completeness.join import CallTrace
    from harness.completeness.search import Hit
    from harness.completeness.spans import Subject
    from harness.results import Convention

FACTS_VERSION = 4
"""Raised whenever a row's reading, places or comparison change.

1. first version.
2. facts of embeddings and of the Responses API; several requests a call and several calls a trace; token counts and
   cost of the whole trace; chunk events; partial answers; witnesses, of which ``invocation_params.stream`` makes
   ``request.stream`` wrong where LangChain says that it did not stream.
3. a lone mark of the first token promises no other chunk events; a span that several requests share contradicts none
   of them; the first token may be as late as it was for the application; OpenTelemetry has no input messages and no
   response id of embeddings; token counts and tool calls that the wire denies, and model spans that reach out of their
   call, are wrong; the Responses API's input is ``request.items``.
4. a total that is the sum of the wire's counts is not invented; what OpenTelemetry's places invent is judged where
   MLflow's say nothing, and a zero there invents nothing; counted retry events state no number of attempts.
"""

Group = Literal["request", "response", "usage", "stream", "error", "structure"]
Scope = Literal["request", "call", "trace"]

PARAMETER_PREFIX = "request.parameter."
STRUCTURE_PREFIX = "trace."


@dataclass(frozen=True)
class Fact:
    """One row of the table.

    Attributes:
        name: As judgements carry it.
        group: What it belongs to.
        description: One phrase for reports.
        read: Gives the value that the wire proves; ``None`` where the fact does not apply.
        mlflow: Places in MLflow's convention; empty if it has none.
        otel: Places in OpenTelemetry's.
        seek: Looks for the value outside its places.
        per_choice: Whether the value is a list with one entry a choice.
        scope: What the fact is of.
        read_seen: Gives the value where it takes the trace to know whether the fact applies; ``read`` then serves
            lost traces alone.
    """

    name: str
    group: Group
    description: str
    read: Callable[[Subject], Any]
    mlflow: tuple[Place, ...] = ()
    otel: tuple[Place, ...] = ()
    seek: Callable[[Subject, Any, CallTrace, Shared], Hit | None] = elsewhere.nowhere
    per_choice: bool = False
    scope: Scope = "request"
    read_seen: Callable[[Subject, CallTrace], Any] | None = None

    @cached_property
    def picks(self) -> bool:
        """Whether some of its places are not for every request, or not for every value."""
        return any(one.picks for one in self.mlflow + self.otel)

    def value(self, subject: Subject, seen: CallTrace | None) -> Any:
        """What the wire proves; ``None`` where the fact does not apply."""
        if self.read_seen is not None and seen is not None:
            return self.read_seen(subject, seen)
        return self.read(subject)

    def places(self, convention: Convention) -> tuple[Place, ...]:
        """The fact's places in a convention."""
        return self.mlflow if convention == "mlflow" else self.otel


def facts_for(subject: Subject) -> tuple[Fact, ...]:
    """The rows that may apply to a request: the fixed ones, and one for each parameter on its wire."""
    scopes: tuple[Scope, ...] = ("request",)
    scopes += ("call",) if subject.leads_call else ()
    scopes += ("trace",) if subject.leads_trace else ()
    return _rows(tuple(sorted(subject.wire.parameters)), scopes)


@lru_cache(maxsize=1024)
def _rows(parameters: tuple[str, ...], scopes: tuple[Scope, ...]) -> tuple[Fact, ...]:
    rows = (*_ABOUT_REQUEST, *map(parameter_fact, parameters), *_ABOUT_REST)
    return tuple(fact for fact in rows if fact.scope in scopes)


def fact_order(name: str) -> tuple[int, str]:
    """A sort key: the table's order, parameters by name."""
    if name.startswith(PARAMETER_PREFIX):
        return (len(_ABOUT_REQUEST), name)
    return (_RANKS.get(name, len(_RANKS)), name)


# OpenTelemetry's own forms of values.


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_output_type(value: Any) -> Any:
    value = value.get("format", value) if isinstance(value, dict) else value
    kind = value.get("type") if isinstance(value, dict) else value
    return "json" if isinstance(kind, str) and kind.startswith("json") else kind


_OTEL_PARAMETERS: dict[str, Place] = {
    "temperature": attribute("gen_ai.request.temperature", level="recommended"),
    "top_p": attribute("gen_ai.request.top_p", level="recommended"),
    "top_k": attribute("gen_ai.request.top_k", level="recommended"),
    "max_tokens": attribute("gen_ai.request.max_tokens", level="recommended"),
    "max_completion_tokens": attribute("gen_ai.request.max_tokens", level="recommended"),
    "max_output_tokens": attribute("gen_ai.request.max_tokens", level="recommended"),
    "frequency_penalty": attribute("gen_ai.request.frequency_penalty", level="recommended"),
    "presence_penalty": attribute("gen_ai.request.presence_penalty", level="recommended"),
    "stop": attribute("gen_ai.request.stop_sequences", level="recommended", expect=_as_list),
    "seed": attribute("gen_ai.request.seed", level="conditionally_required"),
    "random_seed": attribute("gen_ai.request.seed", level="conditionally_required"),
    "n": attribute("gen_ai.request.choice.count", level="conditionally_required", applies=lambda value: value != 1),
    "response_format": attribute("gen_ai.output.type", level="conditionally_required", expect=_as_output_type),
    "text": attribute(
        "gen_ai.output.type",
        level="conditionally_required",
        expect=_as_output_type,
        applies=lambda value: isinstance(value, dict) and "format" in value,
    ),
    "encoding_format": attribute("gen_ai.request.encoding_formats", level="recommended", expect=_as_list),
    "service_tier": attribute(
        "openai.request.service_tier", level="conditionally_required", applies=lambda value: value != "auto"
    ),
}
_PARAMETER_SYNONYMS: dict[str, tuple[str, ...]] = {
    "max_tokens": ("max_completion_tokens", "max_output_tokens"),
    "max_completion_tokens": ("max_tokens", "max_output_tokens"),
    "max_output_tokens": ("max_tokens", "max_completion_tokens"),
    "encoding_format": ("encoding_formats",),
    "stop": ("stop_sequences",),
    "seed": ("random_seed",),
    "random_seed": ("seed",),
    "n": ("gen_ai.request.choice.count", "num_choices", "candidate_count"),
}
_MLFLOW_ALIASES: dict[str, tuple[str, ...]] = {"max_completion_tokens": ("max_tokens",), "random_seed": ("seed",)}
"""Wire name to the other names under which MLflow's inputs may hold the parameter."""
_INVOCATION = "invocation_params"
"""What LangChain says that it called the model with; not all of it is what was sent."""
_LANGCHAIN_ATTRIBUTES = frozenset({"metadata", "options", "invocation_params", "batch_size", "tags"})
"""Attributes that MLflow's LangChain tracer fills with things of its own."""


@lru_cache(maxsize=1024)
def parameter_fact(name: str) -> Fact:
    """The row of one request parameter, under the wire's own name.

    MLflow's place is the span's inputs, for some parameters also under another name; its OpenAI
    autologging repeats the parameter as a span attribute of the wire's name, which counts as well.
    """
    inputs = (attribute(SPAN_INPUTS, name), *map(places.aliased_input, _MLFLOW_ALIASES.get(name, ())))
    own = () if name in _LANGCHAIN_ATTRIBUTES else (attribute(name),)
    named = Place(f"{_INVOCATION}.{name}", places.read_scalar(_INVOCATION, name), witness=True)
    return Fact(
        name=PARAMETER_PREFIX + name,
        group="request",
        description=f"the request parameter {name}",
        read=lambda subject: subject.wire.parameters.get(name),
        mlflow=(*inputs, *own, named),
        otel=(_OTEL_PARAMETERS[name],) if name in _OTEL_PARAMETERS else (),
        seek=elsewhere.by_value(name, *_PARAMETER_SYNONYMS.get(name, ()), side="request"),
    )


def _usage_fact(  # noqa: PLR0913 - the columns in which token counts differ
    name: str,
    description: str,
    *keys: str,
    read: Callable[[Subject], Any],
    mlflow: str | tuple[Place, ...],
    otel: str | None = None,
    shown: tuple[tuple[str, ...], ...] = (),
    implied: Callable[[Subject], Any] = lambda _subject: None,
) -> Fact:
    """A token count; ``shown`` are its paths in the usage of the provider's own answers.

    ``implied`` is the count that follows from others on the wire: where the wire does not state it, it is no invention.
    """
    slot = (attribute(TOKEN_USAGE, mlflow),) if isinstance(mlflow, str) else mlflow
    slots = slot + ((attribute(otel, level="recommended"),) if otel else ())
    witnesses = tuple(answer_place("usage", *path, witness=True) for path in shown)
    return Fact(
        name=f"usage.{name}",
        group="usage",
        description=description,
        read=read,
        read_seen=_or_nothing(read, *slots, implied=implied),
        mlflow=slot + witnesses,
        otel=slots[len(slot) :],
        seek=elsewhere.by_value(*keys, side="response"),
    )


def _or_nothing(
    read: Callable[[Subject], Any], *stated: Place, implied: Callable[[Subject], Any] = lambda _subject: None
) -> Callable[[Subject, CallTrace], Any]:
    """What the wire proves; that it is nothing, where the wire has said all and a place states something."""

    def value(subject: Subject, seen: CallTrace) -> Any:
        proven = read(subject)
        if proven is not None or seen.stands_for_several or not proofs.says_all(subject):
            return proven
        found = [one for place in stated if proofs.states_some(one := place.read(subject, seen))]
        return proofs.NOTHING if any(one != implied(subject) for one in found) else None

    return value


def _structure(
    name: str, description: str, scope: Scope, read: Callable[[Subject], Any], *where: Place, **options: Any
) -> Fact:
    return Fact(
        name=STRUCTURE_PREFIX + name,
        group="structure",
        description=description,
        read=read,
        mlflow=where,
        scope=scope,
        **options,
    )


def _stream(subject: Subject, seen: CallTrace) -> Any:
    """True of a stream; of what was none False, where a trace says that it was one."""
    if subject.wire.stream or not subject.wire.attempts or seen.span is None:
        return subject.wire.stream or None
    inputs = seen.span.attributes.get(SPAN_INPUTS)
    claims = [seen.span.attributes.get(key) for key in ("stream", "gen_ai.request.stream")]
    claims.append(inputs.get("stream") if isinstance(inputs, dict) else None)
    return False if any(one is True for one in claims) else None


_messages_equal = plainly(compare.same_messages)
_tools_equal = plainly(compare.same_tools)
_input_equal = plainly(compare.same_input)
_calls_equal = plainly(compare.same_calls)
_contains = plainly(compare.contains_text)

_CALLS_PLACE = Place(f"{SPAN_OUTPUTS}.choices[].message.tool_calls", places.read_calls, equal=_calls_equal)
_OTEL_CALLS_PLACE = Place("gen_ai.output.messages", places.otel_output("tool_calls"), "opt_in", equal=_calls_equal)

_ABOUT_REQUEST: tuple[Fact, ...] = (
    Fact(
        name="request.model",
        group="request",
        description="the model that was asked for",
        read=lambda subject: subject.wire.model,
        mlflow=(
            attribute(SPAN_INPUTS, "model"),
            Place(places.MODEL_SLOT, places.read_asked_model),
            attribute(_INVOCATION, "model", witness=True),
        ),
        otel=(attribute("gen_ai.request.model", level="conditionally_required"),),
        seek=elsewhere.by_value(
            "model", "model_name", "model_id", "request_model", "requested_model", side="request", own=True
        ),
    ),
    Fact(
        name="request.operation",
        group="request",
        description="the kind of operation",
        read=lambda subject: subject.wire.operation or None,
        otel=(attribute("gen_ai.operation.name", level="required"),),
        seek=elsewhere.by_value("operation", "operation_name", side="either"),
    ),
    Fact(
        name="request.provider",
        group="request",
        description="the provider whose wire format was spoken",
        read=lambda subject: elsewhere.PROVIDER_NAMES[subject.wire.dialect][0] if subject.wire.dialect else None,
        otel=(attribute("gen_ai.provider.name", level="required"),),
        seek=elsewhere.provider,
    ),
    Fact(
        name="request.messages",
        group="request",
        description="the messages that were sent",
        read=lambda subject: subject.wire.messages,
        mlflow=(
            attribute(SPAN_INPUTS, "messages", equal=_messages_equal),
            attribute(SPAN_INPUTS, "input", equal=_messages_equal, only=list),
            attribute(SPAN_INPUTS, "request", "input", equal=_messages_equal, only=list),
            Place(SPAN_INPUTS, places.read_messages, equal=_messages_equal),
        ),
        otel=(Place("gen_ai.input.messages", places.otel_input, "opt_in", equal=_messages_equal),),
        seek=elsewhere.messages,
    ),
    Fact(
        name="request.input",
        group="request",
        description="the texts that were to be embedded",
        read=lambda subject: subject.wire.input if subject.wire.endpoint == "embeddings" else None,
        mlflow=(attribute(SPAN_INPUTS, "input", equal=_input_equal),),
        seek=elsewhere.request_input,
    ),
    Fact(
        name="request.items",
        group="request",
        description="the input that the Responses API was given",
        read=lambda subject: subject.wire.input if subject.wire.endpoint == "responses" else None,
        mlflow=(
            attribute(SPAN_INPUTS, "input", equal=_input_equal),
            Place(f"{SPAN_INPUTS}.messages", places.read_response_messages, equal=_input_equal),
        ),
        otel=(
            Place(
                "gen_ai.input.messages",
                places.otel_messages("gen_ai.input.messages"),
                "opt_in",
                equal=_input_equal,
                family="model",
            ),
        ),
        seek=elsewhere.request_input,
    ),
    Fact(
        name="request.instructions",
        group="request",
        description="the instructions that the Responses API was given",
        read=lambda subject: subject.wire.instructions,
        mlflow=(attribute(SPAN_INPUTS, "instructions"),),
        otel=(attribute("gen_ai.system_instructions", level="opt_in", equal=plainly(compare.same_instructions)),),
        seek=elsewhere.by_value("instructions", "system_instructions", "system", side="request", own=True),
    ),
    Fact(
        name="request.tools",
        group="request",
        description="the tools that were offered",
        read=lambda subject: subject.wire.tools,
        mlflow=(
            attribute("mlflow.chat.tools", equal=_tools_equal),
            attribute(SPAN_INPUTS, "tools", equal=_tools_equal),
        ),
        otel=(attribute("gen_ai.tool.definitions", level="opt_in", equal=plainly(compare.same_tools_flat)),),
        seek=elsewhere.tools,
    ),
    Fact(
        name="request.stream",
        group="stream",
        description="that the answer was to be streamed",
        read=lambda subject: subject.wire.stream or None,
        read_seen=_stream,
        mlflow=(
            attribute(SPAN_INPUTS, "stream"),
            attribute("stream"),
            attribute(_INVOCATION, "stream", witness=True),
        ),
        otel=(attribute("gen_ai.request.stream", level="conditionally_required"),),
        seek=elsewhere.by_value("stream", "streaming", "is_stream", "is_streaming", side="request"),
    ),
)

_ABOUT_REST: tuple[Fact, ...] = (
    Fact(
        name="response.model",
        group="response",
        description="the model that answered",
        read=proofs.of_answer(lambda response: response.model, proofs.began),
        mlflow=(Place(places.MODEL_SLOT, places.read_answering_model), answer_place("model", witness=True)),
        otel=(attribute("gen_ai.response.model", level="recommended"),),
        seek=elsewhere.by_value("model", "model_name", "response_model", side="response", own=True),
    ),
    Fact(
        name="response.id",
        group="response",
        description="the provider's id of the answer",
        read=proofs.of_answer(lambda response: response.response_id, proofs.began),
        mlflow=(answer_place("id"),),
        otel=(attribute("gen_ai.response.id", level="recommended", family="model"),),
        seek=elsewhere.by_value("id", "response_id", "completion_id", side="response", own=True),
    ),
    Fact(
        name="response.content",
        group="response",
        description="the text of the answer",
        read=proofs.contents,
        mlflow=(
            Place(f"{SPAN_OUTPUTS} or its choices[].message.content", places.read_contents, equal=places.same_contents),
        ),
        otel=(Place("gen_ai.output.messages", places.otel_output("content"), "opt_in", equal=places.same_contents),),
        seek=elsewhere.contents,
        per_choice=True,
    ),
    Fact(
        name="response.refusal",
        group="response",
        description="the refusal in the answer",
        read=proofs.per_choice(lambda choice: choice.refusal),
        mlflow=(Place(f"{SPAN_OUTPUTS}.choices[].message.refusal", places.read_refusals),),
        seek=lambda _s, value, seen, shared: seen.index.find(
            value[0] if len(value) == 1 else value, Wanted(names("refusal"), "response", own=True), shared
        ),
        per_choice=True,
    ),
    Fact(
        name="response.tool_calls",
        group="response",
        description="the tool calls in the answer",
        read=proofs.tool_calls,
        read_seen=_or_nothing(proofs.tool_calls, _CALLS_PLACE, _OTEL_CALLS_PLACE),
        mlflow=(_CALLS_PLACE,),
        otel=(_OTEL_CALLS_PLACE,),
        seek=elsewhere.tool_calls,
        per_choice=True,
    ),
    Fact(
        name="response.finish_reason",
        group="response",
        description="why the answer ended",
        read=proofs.per_choice(lambda choice: choice.finish_reason),
        mlflow=(Place(f"{SPAN_OUTPUTS}.choices[].finish_reason", places.read_finish_reasons),),
        otel=(attribute("gen_ai.response.finish_reasons", level="recommended"),),
        seek=elsewhere.finish_reasons,
        per_choice=True,
    ),
    Fact(
        name="response.status",
        group="response",
        description="how an answer of the Responses API ended",
        read=proofs.of_answer(lambda response: response.status),
        mlflow=(answer_place("status"),),
        otel=(attribute("gen_ai.response.finish_reasons", level="recommended", equal=places.same_response_status),),
        seek=elsewhere.by_value("status", "response_status", side="response"),
    ),
    Fact(
        name="response.incomplete_reason",
        group="response",
        description="why an answer of the Responses API is incomplete",
        read=proofs.of_answer(lambda response: response.incomplete_reason),
        mlflow=(answer_place("incomplete_details", "reason"),),
        seek=elsewhere.by_value("reason", "incomplete_reason", "finish_reason", side="response"),
    ),
    Fact(
        name="response.failure",
        group="response",
        description="the error of an answer of the Responses API that failed",
        read=proofs.of_answer(lambda response: response.failure),
        mlflow=(answer_place("error"),),
        seek=elsewhere.by_value("error", side="response"),
    ),
    Fact(
        name="response.vectors",
        group="response",
        description="how many vectors the embeddings are",
        read=proofs.of_answer(lambda response: len(response.vector_lengths) or None),
        mlflow=(Place(f"{SPAN_OUTPUTS}.data", places.read_vector_count),),
        seek=elsewhere.by_value("vectors", "vector_count", "embedding_count", "num_embeddings", side="response"),
    ),
    Fact(
        name="response.dimensions",
        group="response",
        description="how many dimensions each vector has",
        read=proofs.of_answer(lambda response: places.one_length(response.vector_lengths)),
        mlflow=(Place(f"{SPAN_OUTPUTS}.data[].embedding", places.read_dimensions, derived=True),),
        otel=(
            attribute(
                "gen_ai.embeddings.dimension.count", level="recommended", applies=lambda value: isinstance(value, int)
            ),
        ),
        seek=elsewhere.by_value(
            "dimensions", "dimension", "dimension_count", "embedding_dimensions", "vector_size", side="either"
        ),
    ),
    _usage_fact(
        "input_tokens",
        "tokens of the request",
        *("input_tokens", "prompt_tokens", "prompt_token_count", "input_token_count"),
        read=proofs.usage(lambda usage: usage.input_tokens),
        mlflow="input_tokens",
        otel="gen_ai.usage.input_tokens",
        shown=(("prompt_tokens",), ("input_tokens",)),
    ),
    _usage_fact(
        "output_tokens",
        "tokens of the answer",
        *("output_tokens", "completion_tokens", "completion_token_count", "output_token_count"),
        read=proofs.usage(lambda usage: usage.output_tokens),
        mlflow="output_tokens",
        otel="gen_ai.usage.output_tokens",
        shown=(("completion_tokens",), ("output_tokens",)),
    ),
    _usage_fact(
        "total_tokens",
        "tokens of both",
        *("total_tokens", "total_token_count"),
        read=proofs.usage(lambda usage: usage.total_tokens),
        mlflow="total_tokens",
        shown=(("total_tokens",),),
        implied=proofs.usage(lambda usage: (usage.input_tokens or 0) + (usage.output_tokens or 0)),
    ),
    _usage_fact(
        "cached_tokens",
        "tokens of the request that came from a cache",
        *("cached_tokens", "cache_read", "cache_read_input_tokens", "num_cached_tokens", "cached_input_tokens"),
        read=proofs.usage(lambda usage: usage.cached_tokens, positive=True),
        mlflow="cache_read_input_tokens",
        otel="gen_ai.usage.cache_read.input_tokens",
        shown=(("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens")),
    ),
    _usage_fact(
        "reasoning_tokens",
        "tokens of the answer that were spent on reasoning",
        *("reasoning_tokens", "reasoning", "reasoning_output_tokens", "gen_ai.usage.reasoning.output_tokens"),
        read=proofs.usage(lambda usage: usage.reasoning_tokens, positive=True),
        mlflow=(
            attribute(SPAN_OUTPUTS, "usage", "completion_tokens_details", "reasoning_tokens"),
            attribute(SPAN_OUTPUTS, "usage", "output_tokens_details", "reasoning_tokens"),
        ),
        otel="gen_ai.usage.reasoning.output_tokens",
    ),
    Fact(
        name="time_to_first_token",
        group="stream",
        description="when the first content arrived",
        read=proofs.first_token,
        mlflow=(
            Place(
                "chunk events of the model span",
                places.read_chunk_time,
                equal=places.same_first_chunk,
            ),
        ),
        otel=(attribute("gen_ai.response.time_to_first_chunk", level="recommended", equal=places.same_first_chunk_s),),
        seek=elsewhere.first_token,
    ),
    Fact(
        name="response.chunks",
        group="stream",
        description="an event for each piece of the stream",
        read=lambda _subject: None,
        read_seen=lambda subject, seen: proofs.stream_events(subject) if series_of(seen.pieces) else None,
        mlflow=(Place("chunk events of the model span", places.read_stream_events, equal=places.same_stream_events),),
    ),
    Fact(
        name="error.status_code",
        group="error",
        description="the HTTP status of the failure",
        read=proofs.status_code,
        mlflow=(Place("the exception's text", places.read_status_code),),
        otel=(any_attribute("http.response.status_code", "conditionally_required"),),
        seek=elsewhere.status_code,
    ),
    Fact(
        name="error.type",
        group="error",
        description="what kind of failure it was",
        read=proofs.error_type,
        mlflow=(Place("event exception: exception.type", places.read_error_type, equal=places.same_error_type),),
        otel=(attribute("error.type", level="conditionally_required", equal=places.same_error_type),),
        seek=elsewhere.error_type,
    ),
    Fact(
        name="error.message",
        group="error",
        description="what the provider said of the failure",
        read=proofs.error_message,
        mlflow=(
            Place(
                "event exception: exception.message, or the status message", places.read_error_texts, equal=_contains
            ),
        ),
        otel=(
            Place(
                "event exception: exception.message, or the status message",
                places.read_error_texts,
                "conditionally_required",
                equal=_contains,
            ),
        ),
        seek=elsewhere.error_message,
    ),
    Fact(
        name="attempts",
        group="error",
        description="how many times the request was sent",
        read=lambda subject: subject.wire.attempts if subject.wire.attempts > 1 else None,
        mlflow=(Place("retry events, or one model span for each attempt", places.read_attempts, derived=True),),
        otel=(any_attribute("http.request.resend_count", "recommended", expect=lambda value: value - 1),),
        seek=elsewhere.attempts,
    ),
    _structure(
        "one",
        "there is exactly one trace",
        "trace",
        lambda _s: 1,
        Place("traces of the call", lambda _s, seen: seen.copies),
    ),
    _structure(
        "one_root",
        "the trace has exactly one root span",
        "trace",
        lambda _s: 1,
        Place("spans without a parent", lambda _s, seen: seen.look.tree.roots or None),
    ),
    _structure(
        "nesting",
        "every parent is there and encloses its children",
        "trace",
        lambda _s: places.SOUND,
        Place("the tree of spans", places.read_nesting),
    ),
    _structure(
        "flow",
        "the call's spans are inside and under the span of its flow",
        "call",
        lambda subject: places.IN_FLOW if subject.flow else None,
        Place("the tree of spans", places.read_flow),
    ),
    _structure(
        "model_span",
        "there is exactly one model span for what was sent",
        "request",
        lambda subject: 1 if subject.wire.attempts else None,
        Place("spans of type CHAT_MODEL, LLM or EMBEDDING", places.read_model_spans),
    ),
    _structure(
        "inputs",
        "the root span has inputs",
        "trace",
        lambda _s: True,
        Place(f"root: {SPAN_INPUTS}", places.read_root(SPAN_INPUTS)),
    ),
    _structure(
        "outputs",
        "the root span has outputs",
        "trace",
        proofs.outputs,
        Place(f"root: {SPAN_OUTPUTS}", places.read_root(SPAN_OUTPUTS)),
    ),
    _structure(
        "status",
        "the trace ended as the call did",
        "trace",
        proofs.trace_status,
        Place("state of the trace", places.read_state, equal=places.same_status),
        Place("status of the root span", places.read_root_status, equal=places.same_status),
    ),
    _structure(
        "request_status",
        "the request's own span ended as the request did",
        "request",
        proofs.request_status,
        Place("status of the model span", places.read_span_status),
        read_seen=lambda subject, seen: proofs.request_status(subject) if seen.found.matched else None,
    ),
    _structure(
        "exception",
        "the failure has its name in the trace",
        "call",
        proofs.exception,
        Place("event exception, or the status message", places.read_exception, equal=places.names_error),
    ),
    _structure(
        "times",
        "the model span or the root encloses the wire's times",
        "request",
        lambda subject: places.ENCLOSED if subject.wire.attempts else None,
        Place("begin and end of the span", places.read_times),
    ),
    _structure(
        "token_usage",
        "the trace's token counts are those of its requests, each counted once",
        "trace",
        proofs.token_sum_of_call,
        Place(f"metadata {places.TRACE_TOKEN_USAGE}", places.read_trace_tokens, equal=places.same_trace_tokens),
        read_seen=places.trace_tokens,
    ),
    _structure(
        "cost",
        "the trace's cost is that of its requests, each counted once",
        "trace",
        lambda _s: None,
        Place(f"metadata {places.TRACE_COST}", places.read_trace_cost),
        read_seen=places.costs_once,
    ),
)

FACTS: tuple[Fact, ...] = (
    _ABOUT_REQUEST + tuple(parameter_fact(name) for name in sorted(_OTEL_PARAMETERS)) + _ABOUT_REST
)
"""Every row: the fixed ones, and the request parameters that OpenTelemetry knows. Any other
parameter on the wire gets its row from ``parameter_fact``."""

_RANKS: dict[str, int] = {
    **{fact.name: rank for rank, fact in enumerate(_ABOUT_REQUEST)},
    **{fact.name: rank for rank, fact in enumerate(_ABOUT_REST, start=len(_ABOUT_REQUEST) + 1)},
}
