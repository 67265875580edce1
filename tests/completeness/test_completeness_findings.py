"""Outcomes, the collector's copy, what the application got differently, and the defects that are known by name."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.completeness import judge_cell
from harness.completeness.known import KNOWN, KNOWN_LOSSES
from harness.records import CONTROL_FORK, Call, CallId, Chunk, Loss, Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import CellRecords
    from harness.results import CompletenessResult, DefectFinding
    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]

OUTPUTS = "mlflow.spanOutputs"
SLOT = "mlflow.llm.model"


# Outcomes


def _partial(make_scene: MakeScene, outcome: str, *, got: str = "It is") -> Scene:
    """A stream of which the application got a part, under a trace that holds a part."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    chunks = [json.dumps({"choices": [{"delta": {"content": got}}]})]
    scene.call |= {"outcome": outcome, "observed": Observation(chunks=tuple(chunks))}
    scene.call |= {"error_type": "openai.APIError", "error_message": "gone"} if outcome == "error" else {}
    scene.exchanges[0] |= {"completed": False}
    return scene


@pytest.mark.parametrize("outcome", ["left", "error"])
@pytest.mark.parametrize(
    ("traced", "verdict"),
    [("It is", "recorded"), ("It is Oslo,", "recorded"), ("It", "wrong"), ("It is Rome", "wrong"), (None, "missing")],
)
def test_of_a_partial_answer_what_the_application_got_has_to_stand(
    make_scene: MakeScene, outcome: str, traced: str | None, verdict: str
) -> None:
    """At least what the application had got, and nothing that was not sent."""
    scene = _partial(make_scene, outcome)
    scene.attributes[OUTPUTS]["choices"][0]["message"]["content"] = traced
    for event in scene.span["events"]:
        event["attributes"] = {}
    assert scene.verdict("response.content") == verdict
    assert not scene.applies("response.finish_reason")
    assert not scene.applies("usage.input_tokens")
    assert scene.applies("response.model")


def test_a_partial_answer_in_pieces_is_elsewhere(make_scene: MakeScene) -> None:
    """Pieces that give what the application got, where the output is null."""
    scene = _partial(make_scene, "error")
    scene.attributes[OUTPUTS] = None
    value = json.dumps({"choices": [{"index": 0, "delta": {"content": "It is"}}]})
    scene.span["events"] = scene.span["events"][:1]
    scene.span["events"][0]["attributes"] = {"mlflow.chunk.value": value}
    assert scene.verdict("response.content") == "elsewhere"


@pytest.mark.parametrize("status", ["OK", "ERROR"])
def test_a_left_stream_may_end_either_way(make_scene: MakeScene, status: str) -> None:
    """It was neither finished nor did it fail, so both say something true; a trace that never ended does not."""
    scene = _partial(make_scene, "left")
    scene.trace["state"] = status
    for span in scene.trace["spans"]:
        span["status"] = status
    assert scene.verdict("trace.status") == "recorded"
    assert not scene.applies("trace.outputs")
    assert not scene.applies("trace.exception")
    scene.trace["state"] = "IN_PROGRESS"
    assert scene.verdict("trace.status") == "wrong"


def test_a_cancelled_call_is_no_success(make_scene: MakeScene) -> None:
    """Its trace has to say ERROR and name the cancellation; of its answer nothing is asked."""
    scene = make_scene(conventions=("mlflow",))
    scene.call |= {"outcome": "cancelled", "error_type": "builtins.TimeoutError"}
    scene.exchanges[0] |= {"completed": False, "response_body": None, "status": None}
    assert scene.verdict("trace.status") == "wrong"
    assert scene.verdict("trace.exception") == "missing"
    assert not scene.applies("response.content")
    scene.trace["state"] = "ERROR"
    for span in scene.trace["spans"]:
        span["status"] = "UNSET"
    exception = {"exception.type": "CancelledError", "exception.message": ""}
    scene.span["events"] = [{"name": "exception", "time_unix_ns": scene.span["end_unix_ns"], "attributes": exception}]
    assert scene.verdict("trace.status") == "recorded"
    assert scene.verdict("trace.exception") == "recorded"
    assert scene.verdict("request.messages") == "recorded"


@pytest.mark.parametrize(("outcome", "expected"), [("left", 0), ("cancelled", 0), ("error", 1)])
def test_what_sent_nothing_needs_no_trace(make_scene: MakeScene, outcome: str, expected: int) -> None:
    """A stream that was never begun has nothing to record; a call that failed before the wire has its failure."""
    scene = make_scene()
    scene.call["outcome"] = outcome
    scene.exchanges, scene.traces = [], []
    result = scene.judge()
    assert (result.traces_expected, result.traces_lost) == (expected, expected)


# What a collector received


def test_opentelemetrys_places_are_judged_on_what_a_collector_received(make_scene: MakeScene) -> None:
    """The twin with the trace's id is judged in one convention, the store's trace in the other."""
    scene = make_scene()
    twin = copy.deepcopy(scene.trace) | {"source": "otlp", "call_id": None, "metadata": {}}
    for key in [key for key in scene.attributes if key.startswith(("gen_ai.", "http.", "error."))]:
        del scene.attributes[key]
    model = twin["spans"][1]["attributes"]
    for key in [key for key in model if key.startswith("mlflow.")]:
        del model[key]
    scene.traces.append(twin)
    result = scene.judge()
    assert (result.recall, result.otel_recall, result.traces_stored, result.traces_orphaned) == (1.0, 1.0, 1, 0)
    assert set(result.otel_recall_by_level.values()) == {1.0}
    model["gen_ai.request.model"] = scene.answer["model"]
    judgement = scene.judgement("request.model", "otel")
    assert (judgement.verdict, judgement.wire, judgement.level) == ("wrong", "gpt-4o-mini", "conditionally_required")
    scene.traces[1]["trace_id"] = "tr-other"
    assert scene.judge().otel_recall == 0.0


def test_recall_by_level_adds_up(make_scene: MakeScene) -> None:
    """Each of OpenTelemetry's judgements has the level of its place, and counts keep levels apart."""
    scene = make_scene(stream=True)
    del scene.attributes["gen_ai.operation.name"]
    result = scene.judge()
    assert result.otel_recall_by_level["required"] == 0.5
    assert result.otel_recall_by_level["recommended"] == 1.0
    assert {one.level for one in result.judgements if one.convention == "mlflow"} == {None}
    assert all(one.level for one in result.facts if one.convention == "otel")


# Contradictions


@pytest.mark.parametrize(
    ("fact", "path", "value", "kind"),
    [
        ("usage.input_tokens", (OUTPUTS, "usage", "prompt_tokens"), 113, {}),
        ("usage.cached_tokens", (OUTPUTS, "usage", "prompt_tokens_details"), {"cached_tokens": 1}, {}),
        ("response.model", (OUTPUTS, "model"), "gpt-5", {}),
        ("request.stream", ("invocation_params",), {"stream": False}, {"stream": True}),
        ("request.model", ("invocation_params",), {"model": "gpt-5"}, {}),
        ("request.parameter.temperature", ("invocation_params",), {"temperature": 0.9}, {}),
    ],
)
def test_a_second_place_that_contradicts_is_not_unseen(
    make_scene: MakeScene, fact: str, path: tuple[str, ...], value: Any, kind: dict[str, bool]
) -> None:
    """Another value where tools read as well makes a fact wrong, and the judgement shows it."""
    scene = make_scene(conventions=("mlflow",), **kind)
    assert scene.verdict(fact) == "recorded"
    node = scene.attributes
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    judgement = scene.judgement(fact)
    assert judgement.verdict == "wrong"
    assert judgement.place.startswith(path[0])


def test_a_stream_that_was_none_is_wrong(make_scene: MakeScene) -> None:
    """A trace that says that it streamed, where the wire did not."""
    scene = make_scene(conventions=("mlflow",))
    assert not scene.applies("request.stream")
    scene.attributes["mlflow.spanInputs"]["stream"] = True
    assert scene.verdict("request.stream") == "wrong"


# What the application got differently


def _arms(make_scene: MakeScene, plain: dict[str, Any], traced: dict[str, Any], **cell: Any) -> CompletenessResult:
    scene, other = make_scene(), make_scene()
    for one, fields in ((scene, traced), (other, plain)):
        one.call |= {key: value for key, value in fields.items() if key in Call.model_fields}
        seen = {key: value for key, value in fields.items() if key in Observation.model_fields}
        one.call["observed"] = Observation(**seen)
    other.call["call_id"] = other.call["call_id"].replace("/strategy/", "/baseline/")
    other.exchanges[0]["call_id"] = other.call["call_id"]
    other.traces = []
    scene.more = [other]
    records = scene.records()
    return judge_cell(records._replace(cell=records.cell.model_copy(update=cell)))


RUN = "lc_run--019b0000-0000-7000-8000-00000000000{}"


@pytest.mark.parametrize(
    ("plain", "traced", "found"),
    [
        ({"value": '{"a": 1}'}, {"value": '{"a": 1}'}, None),
        ({"value": '{"a": [1, 2]}'}, {"value": '{"a": [1, 3]}'}, ("value", "a[1]", "2", "3")),
        ({"value": '{"a": 1}'}, {"value": "{}"}, ("value", "a", "1", None)),
        ({"value": json.dumps({"id": RUN.format(1)})}, {"value": json.dumps({"id": RUN.format(2)})}, None),
        ({"value": '"<x at 0x7f01>"'}, {"value": '"<x at 0x7f02>"'}, None),
        ({"value_type": "a.B"}, {"value_type": "a.C"}, ("type", "", "a.B", "a.C")),
        ({"container_type": "a.S"}, {"container_type": "b.S"}, ("type", "container", "a.S", "b.S")),
        ({"container_type": "a.S"}, {}, None),
        ({"chunks": ('"a"', '"b"')}, {"chunks": ('"a"', '"c"')}, ("chunks", "chunks[1]", "b", "c")),
        ({"chunks": ('"a"', '"b"')}, {"chunks": ('"a"',)}, ("chunks", "number of chunks", "2", "1")),
        ({"outcome": "error", "error_type": "E"}, {}, ("outcome", "", "error: E", "ok")),
        ({"outcome": "cancelled", "error_type": "T"}, {}, ("cancellation", "", "cancelled: T", "ok")),
        (
            {"outcome": "error", "error_type": "E"},
            {"outcome": "error", "error_type": "F"},
            ("exception", "type", "E", "F"),
        ),
        (
            {"outcome": "error", "error_type": "E", "error_facts": {"status_code": "429"}},
            {"outcome": "error", "error_type": "E"},
            ("exception", "status_code", "429", None),
        ),
    ],
)
def test_both_arms_are_compared(
    make_scene: MakeScene, plain: dict[str, Any], traced: dict[str, Any], found: tuple[Any, ...] | None
) -> None:
    """Each difference has its aspect, place and both values; ids that no wire showed are masked."""
    result = _arms(make_scene, plain, traced)
    assert result.transparency_compared == 1
    assert [(one.aspect, one.place, one.without, one.with_tracing) for one in result.transparency] == (
        [found] if found else []
    )
    assert all(one.trace_id == "tr-s1" for one in result.transparency)


def test_values_are_compared_only_where_both_arms_get_the_same_answer(make_scene: MakeScene) -> None:
    """A real endpoint may answer differently; types and outcomes are compared all the same."""
    plain, traced = {"value": "1", "value_type": "a.B"}, {"value": "2", "value_type": "a.C"}
    assert [one.aspect for one in _arms(make_scene, plain, traced).transparency] == ["type", "value"]
    result = _arms(make_scene, plain, traced, compares_values=False)
    assert [one.aspect for one in result.transparency] == ["type"]


def test_an_id_from_the_wire_is_not_masked(make_scene: MakeScene) -> None:
    """A UUID that the endpoint sent is a value like any other."""
    scene = make_scene()
    wired, other = RUN.format(3), RUN.format(4)
    scene.exchanges[0]["response_body"] = scene.exchanges[0]["response_body"].replace(scene.answer["id"], wired)
    baseline = copy.deepcopy(scene)
    baseline.call["call_id"] = scene.call["call_id"].replace("/strategy/", "/baseline/")
    baseline.exchanges[0]["call_id"], baseline.traces = baseline.call["call_id"], []
    for one, value in ((scene, other), (baseline, wired)):
        one.call["observed"] = Observation(value=json.dumps({"id": value}))
    scene.more = [baseline]
    assert [one.place for one in scene.judge().transparency] == ["id"]


def _with_baseline(scene: Scene, baseline: Scene) -> Scene:
    """Both arms of one call, the exchanges of each under its own id."""
    baseline.call["call_id"] = scene.call["call_id"].replace("/strategy/", "/baseline/")
    for one in baseline.exchanges:
        one["call_id"] = baseline.call["call_id"]
    baseline.traces = []
    scene.more = [*scene.more, baseline]
    return scene


def test_a_request_that_tracing_changed_is_found(make_scene: MakeScene) -> None:
    """What the application sends is its own: a parameter that the tracer adds is named with its place."""
    scene, baseline = make_scene(), make_scene()
    body = json.dumps({**scene.request, "user": "tracer"})
    scene.exchanges[0] |= {"request_body": body, "request_digest": "another"}
    found = _with_baseline(scene, baseline).judge().transparency
    assert [(one.aspect, one.place, one.without, one.with_tracing) for one in found] == [
        ("requests", "user", None, "tracer")
    ]


def test_the_order_of_keys_is_no_other_request(make_scene: MakeScene) -> None:
    """Another text of the same JSON data asks for the same."""
    scene, baseline = make_scene(), make_scene()
    body = json.dumps(dict(reversed(scene.request.items())))
    scene.exchanges[0] |= {"request_body": body, "request_digest": "another"}
    assert _with_baseline(scene, baseline).judge().transparency == ()


def test_a_request_that_tracing_repeated_is_found(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A call that is made twice behind the application's back is paid for twice."""
    scene, baseline = make_scene(), make_scene()
    scene.exchanges = [parts.exchange(scene, number=n, begin_ms=5 + 45 * n, length_ms=40) for n in range(2)]
    found = _with_baseline(scene, baseline).judge().transparency
    assert [(one.aspect, one.place, one.without, one.with_tracing) for one in found] == [
        ("requests", "number of requests", "1", "2")
    ]


@pytest.mark.parametrize(
    ("again", "found"),
    [("first", ["value"]), ("third", []), (None, ["value"])],
    ids=["repeats itself", "does not", "was not repeated"],
)
def test_what_the_application_does_not_repeat_is_no_difference(
    make_scene: MakeScene, again: str | None, found: list[str]
) -> None:
    """Where it differs without tracing, too, nothing is said against tracing, and a note says why."""
    scene, baseline = make_scene(), make_scene()
    scene.call["observed"], baseline.call["observed"] = (Observation(value=f'"{one}"') for one in ("second", "first"))
    _with_baseline(scene, baseline)
    if again is not None:
        control = copy.deepcopy(baseline)
        name = CallId.parse(baseline.call["call_id"])._replace(fork=CONTROL_FORK)
        control.call |= {"call_id": str(name), "observed": Observation(value=f'"{again}"')}
        for one in control.exchanges:
            one["call_id"] = str(name)
        scene.more = [*scene.more, control]
    result = scene.judge()
    assert [one.aspect for one in result.transparency] == found
    assert ["does not repeat itself" in note for note in result.notes] == ([True] if again == "third" else [])


@pytest.mark.parametrize(("chunk_ms", "held"), [(100, True), (2, False)])
def test_a_stream_that_is_held_back_is_found(make_scene: MakeScene, chunk_ms: int, *, held: bool) -> None:
    """All chunks at the end are no stream; where the wire took no time for them, nothing is said."""
    scene, baseline = make_scene(stream=True), make_scene(stream=True)
    for one in (scene, baseline):
        chunks = one.exchanges[0]["chunks"]
        begin = chunks[0].sent_ns
        times = [begin + n * chunk_ms * 1_000_000 for n in range(len(chunks))]
        one.exchanges[0] |= {
            "chunks": tuple(Chunk(sent_ns=at, data=each.data) for at, each in zip(times, chunks, strict=True)),
            "last_byte_ns": times[-1],
        }
        one.call["end_ns"] = times[-1] + 10_000_000
        late = one is scene
        one.call["first_chunk_ns"] = times[-1] + 5_000_000 if late else begin + 1_000_000
    found = _with_baseline(scene, baseline).judge().transparency
    assert [(one.aspect, one.place) for one in found] == ([("chunks", "time of the first chunk")] if held else [])


@pytest.mark.parametrize(
    ("outcome", "answered", "found"),
    [("cancelled", 0, []), ("cancelled", 1, ["cancellation"]), ("error", 0, []), ("error", 1, ["outcome", "outcome"])],
)
def test_calls_at_once_may_change_places(make_scene: MakeScene, outcome: str, answered: int, found: list[str]) -> None:
    """Of calls that ran at once the first answered wins, whichever that is; an error has to be the wire's."""

    def pair(arm: str, winner: int, answered: int) -> list[Scene]:
        made = [make_scene() for _ in range(2)]
        for step, one in enumerate(made):
            call_id = f"cell/completeness/0/{arm}/0/s1/{step}"
            one.call |= {"call_id": call_id} | ({} if step == winner else {"outcome": outcome, "error_type": "C"})
            one.exchanges[0] |= {"call_id": call_id, "completed": step == answered}
            one.traces = []
        return made

    first, *others = pair("strategy", 0, answered) + pair("baseline", 1, 1)
    first.more = others
    assert [one.aspect for one in first.judge().transparency] == found


def test_a_call_that_tracing_kept_from_the_wire_is_found(make_scene: MakeScene) -> None:
    """An answer that the tracer gave itself is a finding, where the same call without tracing was sent."""
    scene, baseline = make_scene(), make_scene()
    scene.exchanges = []
    found = _with_baseline(scene, baseline).judge().transparency
    assert [(one.aspect, one.without, one.with_tracing) for one in found] == [("requests", "1", "0")]


def test_without_a_baseline_nothing_is_compared(make_scene: MakeScene) -> None:
    """That nothing was compared is no finding, and the reason is given."""
    result = make_scene().judge()
    assert (result.transparency, result.transparency_compared) == ((), None)
    assert "no calls without tracing" in result.reasons["transparency"]


# Known defects


def _cell(records: CellRecords, provider: str, source: str) -> CellRecords:
    return records._replace(cell=records.cell.model_copy(update={"provider": provider, "strategy_source": source}))


NEWER = "3.100.0"
"""A version that no defect was seen in."""


def _in_version(records: CellRecords, version: str) -> CellRecords:
    return records._replace(cell=records.cell.model_copy(update={"versions": {"mlflow": version}}))


def _defect(
    scene: Scene, name: str, provider: str = "openai", source: str = "", version: str = NEWER
) -> DefectFinding | None:
    flavor = {"openai": "openai", "mistralai": "mistral", "langchain": "langchain"}[provider]
    records = _in_version(_cell(scene.records(), provider, source or f"mlflow.{flavor}.autolog()"), version)
    result = judge_cell(records)
    return next((one for one in result.defects if one.defect == name), None)


def _left(scene: Scene) -> None:
    scene.call["outcome"] = "left"


def _streamed_length(scene: Scene) -> None:
    scene.attributes[OUTPUTS]["choices"][0]["finish_reason"] = "stop"


def _no_streamed_calls(scene: Scene) -> None:
    scene.attributes[OUTPUTS]["choices"][0]["message"]["tool_calls"] = None


def _without_usage(scene: Scene) -> None:
    chunks = scene.exchanges[0]["chunks"]
    scene.exchanges[0]["chunks"] = tuple(one for one in chunks if "usage" not in one.data)


def _retried(scene: Scene, parts: type[Parts]) -> None:
    scene.exchanges = [parts.exchange(scene, failed=True, begin_ms=5, length_ms=4), parts.exchange(scene, number=1)]


def _long(scene: Scene) -> None:
    first, *rest = scene.exchanges[0]["chunks"]
    scene.exchanges[0]["chunks"] = (first, *rest[:1] * 200, *rest[1:])
    events = scene.span["events"]
    scene.span["events"] = events[:1] + events[1:2] * 200 + events[2:]


def _lose(scene: Scene) -> None:
    scene.traces = []


CASES: dict[str, tuple[str, dict[str, Any], Any, Any]] = {
    # defect: provider, scene, what makes it applicable, what shows it
    "openai_stream_left_untraced": ("openai", {"stream": True}, _left, _lose),
    "openai_streamed_tool_calls_lost": ("openai", {"stream": True, "tools": True}, None, _no_streamed_calls),
    "openai_stream_finish_reason_stop": ("openai", {"stream": True}, None, _streamed_length),
    "openai_stream_without_usage_no_tokens": (
        "openai",
        {"stream": True},
        _without_usage,
        lambda scene: scene.attributes.pop("mlflow.chat.tokenUsage"),
    ),
    "long_stream_loses_chunk_events": (
        "openai",
        {"stream": True},
        _long,
        lambda scene: scene.span.update(events=scene.span["events"][-128:]),
    ),
    "openai_request_model_is_answering": (
        "openai",
        {},
        lambda scene: scene.attributes.update({SLOT: "gpt-4o-mini"}),
        lambda scene: scene.attributes.update({SLOT: scene.answer["model"]}),
    ),
    "mistral_streams_untraced": ("mistralai", {"stream": True, "dialect": "mistral"}, None, _lose),
    "mistral_model_asked_not_answering": (
        "mistralai",
        {"dialect": "mistral"},
        None,
        lambda scene: scene.attributes.update({SLOT: scene.request["model"]}),
    ),
    "langchain_drops_answer_facts": (
        "langchain",
        {},
        None,
        lambda scene: scene.attributes[OUTPUTS]["choices"][0].update(finish_reason=None),
    ),
    "langchain_cancelled_untraced": (
        "langchain",
        {},
        lambda scene: scene.call.update(outcome="cancelled"),
        _lose,
    ),
    "openai_raw_stream_repr": (
        "openai",
        {},
        lambda scene: scene.call.update(operation="raw_stream"),
        lambda scene: scene.attributes.update({OUTPUTS: "<openai.APIResponse object at 0x7f0011223344>"}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_known_defect_is_found_and_seen_to_be_mended(make_scene: MakeScene, name: str) -> None:
    """Where a call could show it, it is mended or found, with the evidence; elsewhere the row is left out."""
    provider, kind, prepare, show = CASES[name]
    scene = make_scene(conventions=("mlflow",), **kind)
    if prepare:
        prepare(scene)
    mended = _defect(scene, name, provider)
    assert mended is not None
    assert (mended.status, mended.calls, mended.applicable) == ("mended", 0, 1)
    show(scene)
    found = _defect(scene, name, provider)
    assert found is not None
    assert (found.status, found.calls, found.applicable) == ("found", 1, 1)
    assert found.call_id == scene.call["call_id"]
    assert (found.trace_id is None) == (not scene.traces)
    assert found.wire is not None
    assert _defect(make_scene(failed=True), name, provider) is None


def test_invisible_retries_are_found(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Two exchanges under one good span; a count of attempts mends it."""
    scene = make_scene(conventions=("mlflow",))
    _retried(scene, parts)
    found = _defect(scene, "retries_invisible")
    assert found is not None
    assert (found.status, found.wire) == ("found", 2)
    scene.span["events"] = [{"name": "retry", "time_unix_ns": parts.at_unix(8), "attributes": {}}]
    mended = _defect(scene, "retries_invisible")
    assert mended is not None
    assert mended.status == "mended"


def test_a_broken_stream_without_output_is_found(make_scene: MakeScene) -> None:
    """The application had got content, and the output is null."""
    scene = _partial(make_scene, "error")
    scene.attributes[OUTPUTS] = None
    found = _defect(scene, "openai_stream_error_null_output")
    assert found is not None
    assert (found.status, found.wire, found.traced) == ("found", "It is", None)


def test_a_swallowed_time_out_is_found(make_scene: MakeScene) -> None:
    """Without tracing TimeoutError, with it nothing: the gravest finding, under its name."""
    scene, other = make_scene(dialect="mistral"), make_scene(dialect="mistral")
    scene.call |= {"mode": "async", "observed": Observation(value="null", value_type="builtins.NoneType")}
    other.call |= {"mode": "async", "outcome": "cancelled", "error_type": "builtins.TimeoutError"}
    other.call["call_id"] = other.call["call_id"].replace("/strategy/", "/baseline/")
    for one in (scene, other):
        one.exchanges[0] |= {"completed": False, "response_body": None, "call_id": one.call["call_id"]}
    other.traces, scene.more = [], [other]
    found = _defect(scene, "mistral_wait_for_returns_none", "mistralai")
    assert found is not None
    assert (found.status, found.wire, found.traced) == ("found", "builtins.TimeoutError", "ok: null")
    assert [one.aspect for one in scene.judge().transparency] == ["cancellation"]


def test_a_decorated_generator_that_was_left_is_found(make_scene: MakeScene) -> None:
    """Under @mlflow.trace a generator that is left early leaves nothing."""
    scene = make_scene(stream=True)
    _left(scene)
    _lose(scene)
    found = _defect(scene, "decorated_generator_left_lost", source="@mlflow.trace\ndef chat(): ...")
    assert found is not None
    assert found.status == "found"


@pytest.mark.parametrize("row", KNOWN_LOSSES, ids=lambda row: row.ending)
@pytest.mark.parametrize(
    ("stored", "complete", "status"), [(40, 40, "found"), (100, 60, "found"), (100, 100, "mended")]
)
def test_losses_are_found(make_scene: MakeScene, row: Any, stored: int, complete: int, status: str) -> None:
    """What an ending loses is counted from its own records; a half-written trace is lost, too."""
    loss = Loss(
        ending=row.ending, calls=100, expected_traces=100, stored_traces=stored, complete_traces=complete, exit_status=0
    )
    result = judge_cell(_in_version(make_scene().records()._replace(losses=(loss,)), NEWER))
    (found,) = [one for one in result.defects if one.defect == row.name]
    assert (found.status, found.calls, found.applicable) == (status, 100 - complete, 100)


@pytest.mark.parametrize("version", ["3.10.1", "3.9", "3.17.2", ""])
def test_a_version_that_is_no_newer_has_mended_nothing(make_scene: MakeScene, version: str) -> None:
    """A defect that is not met in an older version, in the one it was seen in or in an unknown one is not found."""
    scene = make_scene(conventions=("mlflow",), stream=True)
    scene.call["outcome"] = "left"
    one = _defect(scene, "openai_stream_left_untraced", version=version)
    assert one is not None
    assert (one.status, one.calls) == ("not found", 0)
    loss = Loss(ending="SIGTERM", calls=9, expected_traces=9, stored_traces=9, complete_traces=9, exit_status=0)
    result = judge_cell(_in_version(make_scene().records()._replace(losses=(loss,)), version))
    assert [one.status for one in result.defects] == ["not found"]


def test_a_generator_that_ends_its_span_itself_is_no_case(make_scene: MakeScene) -> None:
    """Code that handles GeneratorExit by hand does not show whether MLflow does."""
    scene = make_scene(stream=True)
    _left(scene)
    source = "@mlflow.trace\ndef chat():\n    try: yield\n    except GeneratorExit: span.end()"
    assert _defect(scene, "decorated_generator_left_lost", source=source) is None


def test_the_table_of_known_defects_is_sound() -> None:
    """Names are unique, and each row says what is wrong and where it was seen."""
    rows: list[Any] = [*KNOWN, *KNOWN_LOSSES]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.title and row.versions for row in rows)
