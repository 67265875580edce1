"""The table of defects that are known by name, and whether a cell met them.

A row says when a call could show the defect and what it shows. Rows rest on the wire, on what the
application did and on the judgements, not on names of scenarios, so they also speak about prompt sets
that nobody here has seen. A row whose conditions no call of the cell met is left out; where they were
met and nothing was shown, the defect is mended if the version is newer than those that it was seen in; in
another it may only never have been there.

Adding a defect is adding a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.completeness import places, proofs
from harness.completeness.spans import SPAN_OUTPUTS, Subject, call_end_unix_ns
from harness.results import DefectFinding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.completeness.join import Case
    from harness.completeness.wire import WireRequest
    from harness.records import Call, CellRecord, Loss
    from harness.results import Convention, Judgement, TransparencyFinding

SEEN_IN = "mlflow 3.17.2"
MAX_SPAN_EVENTS = 128
"""Events that OpenTelemetry's SDK keeps of a span, the last ones."""

_AUTOLOG = re.compile(r"\bmlflow\.(\w+)\.autolog\b")
_DECORATOR = re.compile(r"@mlflow\.trace\b")
_REPR = re.compile(r"^<.* at 0x[0-9a-f]+>$|^<.* object>$|^<[\w.]*(?:APIResponse|ResponseContextManager|Stream)\b")
_FLAVORS = {"openai": "openai", "mistralai": "mistral", "langchain": "langchain"}


class Shown(NamedTuple):
    """The evidence of one call."""

    wire: Any
    traced: Any


class Setting:
    """What of a cell decides which defects can show.

    Attributes:
        flavors: MLflow's autologging flavours that the strategy's source turns on.
        decorated: Whether it decorates functions with ``@mlflow.trace``, and leaves it to MLflow to end
            the span of a generator that is left.
    """

    def __init__(self, cell: CellRecord) -> None:
        self.provider = cell.provider
        self.flavors = frozenset(_AUTOLOG.findall(cell.strategy_source))
        if not self.flavors and cell.tracing == "autolog" and cell.provider in _FLAVORS:
            self.flavors = frozenset({_FLAVORS[cell.provider]})
        by_hand = "GeneratorExit" in cell.strategy_source
        self.decorated = bool(_DECORATOR.search(cell.strategy_source)) and not by_hand

    def direct(self, flavor: str) -> bool:
        """Whether a flavour is on, and the application calls that SDK itself."""
        return flavor in self.flavors and self.provider != "langchain"


@dataclass(frozen=True)
class Witness:
    """One call with everything that was found out about it.

    Attributes:
        call: The call.
        cases: Its requests with their traces.
        judgements: What was judged of them.
        plain: The same call without tracing, where there is one.
        differences: What the application got differently.
        flow: The calls that share its trace.
    """

    call: Call
    cases: tuple[Case, ...]
    judgements: tuple[Judgement, ...]
    plain: Call | None = None
    differences: tuple[TransparencyFinding, ...] = ()
    flow: tuple[Call, ...] = ()

    @property
    def trace_id(self) -> str | None:
        """The trace that it was looked for in."""
        seen = self.cases[0].store if self.cases else None
        return seen.trace.trace_id if seen else None

    @property
    def requests(self) -> list[WireRequest]:
        """What it sent."""
        return [case.subject.wire for case in self.cases if case.subject.wire.attempts]

    @cached_property
    def _by_fact(self) -> dict[tuple[str, Convention], list[Judgement]]:
        found: dict[tuple[str, Convention], list[Judgement]] = {}
        for one in self.judgements:
            found.setdefault((one.fact, one.convention), []).append(one)
        return found

    def judged(self, fact: str, convention: Convention = "mlflow") -> list[Judgement]:
        """The judgements of one fact, one for each request that it applies to."""
        return self._by_fact.get((fact, convention), [])

    def whole(self, endpoint: str, *, stream: bool | None = None) -> list[Subject]:
        """The requests to an endpoint whose answers have reached the application whole."""
        found = [case.subject for case in self.cases if proofs.whole(case.subject) is not None]
        return [one for one in found if one.wire.endpoint == endpoint and (stream is None or one.wire.stream == stream)]

    def untraced(self) -> bool:
        """Whether the call has no trace, or none of its requests a model span in it."""
        return not any(case.store and case.store.found.matched for case in self.cases)


@dataclass(frozen=True)
class Known:
    """One row.

    Attributes:
        name: As findings carry it.
        title: What is wrong, in one sentence.
        applies: Whether a call could show it.
        shows: What the call shows of it; ``None`` if it does not.
        versions: Where it was seen.
    """

    name: str
    title: str
    applies: Callable[[Setting, Witness], bool]
    shows: Callable[[Witness], Shown | None]
    versions: str = SEEN_IN


@dataclass(frozen=True)
class KnownLoss:
    """One row about what reaches the store when a process ends.

    Attributes:
        ending: How the process ended.
    """

    name: str
    title: str
    ending: str
    versions: str = SEEN_IN


@dataclass
class _Count:
    applicable: int = 0
    shown: int = 0
    first: Witness | None = None
    evidence: Shown | None = None


class Tally:
    """Counts, call by call, which rows of the table a cell could show and did; keeps one call a row as evidence."""

    def __init__(self, cell: CellRecord) -> None:
        self._setting = Setting(cell)
        self._version = cell.versions.get("mlflow", "")
        self._counts: dict[str, _Count] = {}

    def add(self, one: Witness) -> None:
        """Look at one call."""
        for row in KNOWN:
            if not row.applies(self._setting, one):
                continue
            count = self._counts.setdefault(row.name, _Count(first=one))
            count.applicable += 1
            evidence = row.shows(one)
            if evidence is not None:
                count.shown += 1
                if count.evidence is None:
                    count.first, count.evidence = one, evidence

    def findings(self, losses: Sequence[Loss]) -> tuple[DefectFinding, ...]:
        """Every row that the cell could show, in the order of the tables.

        Args:
            losses: What reached the store after each ending.
        """
        found = [_found(row, self._counts[row.name], self._version) for row in KNOWN if row.name in self._counts]
        return (*found, *(one for row in KNOWN_LOSSES if (one := _lost(row, losses, self._version)) is not None))


def _gone(row: Known | KnownLoss, version: str) -> Literal["mended", "not found"]:
    """What a defect is that was not met: mended only in a version newer than those that it was seen in."""
    return "mended" if _numbers(version) > _numbers(row.versions) else "not found"


def _numbers(version: str) -> tuple[int, ...]:
    """The release's numbers, of a text such as ``mlflow 3.17.2`` as well; none where there is none."""
    release = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, release.group().split("."))) if release else ()


def _found(row: Known, count: _Count, version: str) -> DefectFinding:
    return DefectFinding(
        defect=row.name,
        title=row.title,
        versions=row.versions,
        status="found" if count.shown else _gone(row, version),
        calls=count.shown,
        applicable=count.applicable,
        call_id=count.first.call.call_id if count.first else None,
        sample_id=count.first.call.sample_id if count.first else None,
        trace_id=count.first.trace_id if count.first else None,
        wire=count.evidence.wire if count.evidence else None,
        traced=count.evidence.traced if count.evidence else None,
    )


def _lost(row: KnownLoss, losses: Sequence[Loss], version: str) -> DefectFinding | None:
    tried = [one for one in losses if one.ending == row.ending and one.expected_traces]
    if not tried:
        return None
    # A trace that is there without its metadata, or without a root that ended, has not survived.
    lost = [one for one in tried if one.complete_traces < one.expected_traces]
    first = (lost or tried)[0]
    return DefectFinding(
        defect=row.name,
        title=row.title,
        versions=row.versions,
        status="found" if lost else _gone(row, version),
        calls=sum(one.expected_traces - one.complete_traces for one in lost),
        applicable=sum(one.expected_traces for one in tried),
        wire=f"{first.calls} calls, {first.expected_traces} traces expected",
        traced=f"{first.stored_traces} traces stored, {first.complete_traces} of them complete",
    )


# When a row applies.


def _direct(flavor: str, test: Callable[[Witness], Any]) -> Callable[[Setting, Witness], bool]:
    return lambda setting, one: setting.direct(flavor) and bool(test(one))


def _langchain(test: Callable[[Witness], Any]) -> Callable[[Setting, Witness], bool]:
    # Beside the autologging of the SDK beneath, that one's spans supply what LangChain's drop.
    return lambda setting, one: setting.flavors == {"langchain"} and setting.provider == "langchain" and bool(test(one))


def _left_stream(one: Witness) -> bool:
    return one.call.outcome == "left" and any(wire.stream for wire in one.requests)


def _streams_tool_calls(one: Witness) -> bool:
    return any(proofs.tool_calls(subject) for subject in one.whole("chat", stream=True))


def _finish_reasons(subject: Subject) -> list[str | None]:
    response = subject.wire.response
    return [choice.finish_reason for choice in response.choices] if response else []


def _streams_another_reason(one: Witness) -> bool:
    reasons = [reason for subject in one.whole("chat", stream=True) for reason in _finish_reasons(subject)]
    return any(reason not in (None, "stop") for reason in reasons)


def _streams_without_usage(one: Witness) -> list[Subject]:
    found = one.whole("chat", stream=True)
    return [subject for subject in found if subject.wire.response and not any(subject.wire.response.usage)]


def _two_models(one: Witness) -> list[Subject]:
    found = one.whole("chat") + one.whole("responses")
    return [s for s in found if s.wire.model and s.wire.response and s.wire.response.model not in (None, s.wire.model)]


def _was_retried(one: Witness) -> bool:
    return any(wire.attempts > 1 and wire.error is None for wire in one.requests)


def _threads_of_flow(one: Witness) -> bool:
    """Calls of a traced flow that ran at once in threads; those with a copied context are right as a rule."""
    if len(one.flow) < 2 or not one.call.flow_traced or one.flow[0].call_id != one.call.call_id:
        return False
    overlapping = any(
        later.start_unix_ns < call_end_unix_ns(earlier) for earlier, later in zip(one.flow, one.flow[1:], strict=False)
    )
    in_threads = overlapping and all(call.mode in ("single", "stream") for call in one.flow)
    return in_threads and (one.call.scenario == "threads" or _split(one) is not None)


def _gave_up(one: Witness) -> bool:
    """A call that ended as cancelled without tracing, or that gave nothing though no answer came."""
    given = one.call.observed.value if one.call.observed else None
    gave_nothing = one.call.outcome == "ok" and given == "null" and not any(wire.completed for wire in one.requests)
    return one.call.mode == "async" and (gave_nothing or (one.plain is not None and one.plain.outcome == "cancelled"))


# What a row shows.


def _not_recorded(*facts: str, convention: Convention = "mlflow") -> Callable[[Witness], Shown | None]:
    """The judgements of some facts that are not ``recorded``."""

    def shows(one: Witness) -> Shown | None:
        found = [judged for fact in facts for judged in one.judged(fact, convention) if judged.verdict != "recorded"]
        if not found:
            return None
        if len(facts) == 1:
            return Shown(found[0].wire, _traced(found[0]))
        first = {judged.fact: judged for judged in reversed(found)}
        return Shown(
            {fact: first[fact].wire for fact in facts if fact in first},
            {fact: _traced(first[fact]) for fact in facts if fact in first},
        )

    return shows


def _traced(judged: Judgement) -> Any:
    """What the trace holds, with its place where no tool looks there."""
    return f"only in {judged.place}: {judged.traced}" if judged.verdict == "elsewhere" else judged.traced


def _no_trace(one: Witness) -> Shown | None:
    if not one.untraced():
        return None
    sent = [f"{wire.event_count} events" if wire.stream else f"status {wire.status}" for wire in one.requests]
    return Shown(", ".join(sent) or "nothing", "no trace" if one.trace_id is None else "no model span")


def _stop_instead(one: Witness) -> Shown | None:
    wrong = (judged for judged in one.judged("response.finish_reason") if judged.verdict == "wrong")
    return next((Shown(judged.wire, judged.traced) for judged in wrong), None)


def _no_tokens(one: Witness) -> Shown | None:
    numbers = {subject.number for subject in _streams_without_usage(one)}
    for case in one.cases:
        seen = case.store
        traced = case.subject.number in numbers and seen is not None and seen.found.matched > 0
        if traced and seen and seen.span and seen.span.attributes.get(places.TOKEN_USAGE) is None:
            return Shown("a whole answer without usage", None)
    return None


def _cut_events(one: Witness) -> Shown | None:
    wrong = (judged for judged in one.judged("response.chunks") if judged.verdict == "wrong")
    return next((Shown(judged.wire, judged.traced) for judged in wrong), None)


def _answering_as_asked(one: Witness) -> Shown | None:
    """The answering model where tools read the one asked for: in what was exported, else in the slot it is made of."""
    for case in one.cases:
        wire, seen = case.subject.wire, case.otel
        if wire.response is None or wire.model == wire.response.model or seen is None or seen.span is None:
            continue
        exported = seen.trace.source == "otlp"
        key = "gen_ai.request.model" if exported else places.MODEL_SLOT
        if (traced := seen.span.attributes.get(key)) == wire.response.model:
            return Shown(wire.model, f"{key}: {traced}")
    return None


def _asked_as_answering(one: Witness) -> Shown | None:
    for judged in one.judged("response.model"):
        case = one.cases[judged.request]
        slot = case.store.span.attributes.get(places.MODEL_SLOT) if case.store and case.store.span else None
        if judged.verdict != "recorded" and slot == case.subject.wire.model:
            return Shown(judged.wire, slot)
    return None


def _null_output(one: Witness) -> Shown | None:
    for judged in one.judged("response.content"):
        case = one.cases[judged.request]
        if judged.verdict != "recorded":
            return Shown(
                judged.wire, case.store.span.attributes.get(SPAN_OUTPUTS) if case.store and case.store.span else None
            )
    return None


def _repr_output(one: Witness) -> Shown | None:
    for case in one.cases:
        value = case.store.span.attributes.get(SPAN_OUTPUTS) if case.store and case.store.span else None
        if isinstance(value, str) and _REPR.search(value):
            response = case.subject.wire.response
            return Shown(response.choices[0].content if response and response.choices else None, value)
    return None


def _is_raw(one: Witness) -> bool:
    return one.call.operation == "raw_stream" or _repr_output(one) is not None


def _not_raised(one: Witness) -> Shown | None:
    if one.call.outcome == "cancelled":
        return None
    plain = one.plain.error_type if one.plain is not None else None
    given = one.call.observed.value if one.call.observed else None
    return Shown(
        plain or "no answer", f"{one.call.outcome}: {given}" if one.call.outcome == "ok" else one.call.error_type
    )


def _split(one: Witness) -> Shown | None:
    copies = [judged for judged in one.judged("trace.one") if judged.verdict == "wrong"]
    return Shown(1, f"{copies[0].traced} traces") if copies else None


KNOWN: tuple[Known, ...] = (
    Known(
        "openai_stream_left_untraced",
        "An OpenAI stream that is left early or never read leaves no trace",
        _direct("openai", _left_stream),
        _no_trace,
    ),
    Known(
        "openai_streamed_tool_calls_lost",
        "Tool calls of an OpenAI stream are missing from the output",
        _direct("openai", _streams_tool_calls),
        _not_recorded("response.tool_calls"),
    ),
    Known(
        "openai_stream_finish_reason_stop",
        'The finish reason of an OpenAI stream is "stop" whatever the wire said',
        _direct("openai", _streams_another_reason),
        _stop_instead,
    ),
    Known(
        "openai_stream_without_usage_no_tokens",
        "An OpenAI stream that comes without usage has no token counts",
        _direct("openai", _streams_without_usage),
        _no_tokens,
    ),
    Known(
        "openai_embeddings_usage_not_lifted",
        "The usage of OpenAI embeddings does not reach the token counts",
        _direct(
            "openai",
            lambda one: any(s.wire.response and s.wire.response.usage.input_tokens for s in one.whole("embeddings")),
        ),
        _not_recorded("usage.input_tokens"),
    ),
    Known(
        "retries_invisible",
        "Attempts that an SDK repeated leave no sign in the trace",
        lambda setting, one: bool(setting.flavors) and _was_retried(one),
        _not_recorded("attempts"),
    ),
    Known(
        "long_stream_loses_chunk_events",
        f"A long stream keeps only its last {MAX_SPAN_EVENTS} chunk events",
        lambda _setting, one: (
            any(wire.event_count > MAX_SPAN_EVENTS for wire in one.requests) and bool(one.judged("response.chunks"))
        ),
        _cut_events,
    ),
    Known(
        "openai_request_model_is_answering",
        "The request model holds the model that answered (the fact counts as right where the inputs name the one asked "
        "for)",
        _direct("openai", _two_models),
        _answering_as_asked,
    ),
    Known(
        "openai_stream_error_null_output",
        "A stream that breaks in the middle has no output, though the application had got content",
        _direct(
            "openai", lambda one: one.call.outcome == "error" and one.call.stream and one.judged("response.content")
        ),
        _null_output,
    ),
    Known(
        "openai_raw_stream_repr",
        "with_streaming_response is recorded as a repr",
        _direct("openai", _is_raw),
        _repr_output,
    ),
    Known(
        "mistral_streams_untraced",
        "Mistral streams are not traced",
        _direct("mistral", lambda one: any(wire.stream for wire in one.requests)),
        _no_trace,
    ),
    Known(
        "mistral_embeddings_untraced",
        "Mistral embeddings are not traced",
        _direct("mistral", lambda one: any(wire.endpoint == "embeddings" for wire in one.requests)),
        _no_trace,
    ),
    Known(
        "mistral_model_asked_not_answering",
        "Mistral's traces name the model that was asked for, not the one that answered",
        _direct("mistral", lambda one: _two_models(one) and not one.untraced()),
        _asked_as_answering,
    ),
    Known(
        "mistral_wait_for_returns_none",
        "A traced Mistral call that is cancelled, as asyncio.wait_for does, returns None instead of raising",
        _direct("mistral", _gave_up),
        _not_raised,
    ),
    Known(
        "langchain_drops_answer_facts",
        "LangChain's traces drop the finish reason, the response id and the answering model",
        _langchain(lambda one: one.whole("chat") and not one.untraced()),
        _not_recorded("response.finish_reason", "response.id", "response.model"),
    ),
    Known(
        "langchain_cancelled_untraced",
        "A cancelled ainvoke leaves no trace",
        _langchain(lambda one: one.call.outcome == "cancelled" and one.requests),
        _no_trace,
    ),
    Known(
        "threads_split_trace",
        "A bare pool of threads splits a trace into several",
        lambda _setting, one: _threads_of_flow(one),
        _split,
    ),
    Known(
        "decorated_generator_left_lost",
        "A generator under @mlflow.trace that is left early is lost",
        lambda setting, one: setting.decorated and not setting.flavors and _left_stream(one),
        lambda one: Shown(f"{one.call.chunk_count} chunks read", "no trace") if one.trace_id is None else None,
    ),
)

KNOWN_LOSSES: tuple[KnownLoss, ...] = (
    KnownLoss("burst_loses_traces", "A burst of calls loses traces, though it is drained", "burst"),
    KnownLoss("os_exit_loses_queued", "os._exit loses the traces that are queued", "os._exit"),
    KnownLoss("sigterm_loses_queued", "SIGTERM loses the traces that are queued", "SIGTERM"),
    KnownLoss(
        "forked_child_stores_nothing",
        "A process that is forked after its parent has traced stores nothing, and does not end",
        "fork-after-calls",
    ),
)
