"""Traces as trees in time, and which of them belongs to which call."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from harness.completeness import judge_cell
from harness.errors import CellError, UnattributedError
from harness.records import CellRecords

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]


def test_a_second_root_is_wrong(make_scene: MakeScene) -> None:
    """A trace has one span without a parent."""
    scene = make_scene()
    scene.span["parent_id"] = None
    assert scene.verdict("trace.one_root") == "wrong"


def test_a_trace_without_spans_has_no_root(make_scene: MakeScene) -> None:
    """A trace of which no span was stored misses everything but itself."""
    scene = make_scene()
    scene.trace["spans"] = []
    verdicts = scene.verdicts()
    assert verdicts["mlflow", "trace.one_root"] == "missing"
    assert verdicts["mlflow", "trace.nesting"] == "missing"
    assert verdicts["mlflow", "response.content"] == "missing"
    assert verdicts["mlflow", "trace.one"] == "recorded"


def test_a_missing_parent_is_wrong(make_scene: MakeScene) -> None:
    """Every parent has to be in the trace."""
    scene = make_scene()
    scene.span["parent_id"] = "gone"
    judgement = scene.judgement("trace.nesting")
    assert judgement.verdict == "wrong"
    assert "gone is not in the trace" in judgement.traced


@pytest.mark.parametrize("key", ["start_unix_ns", "end_unix_ns"])
def test_a_child_outside_its_parent_is_wrong(make_scene: MakeScene, key: str) -> None:
    """A child's times lie inside its parent's; a few milliseconds are forgiven, a hundred are not."""
    for shift_ms, verdict in ((4, "recorded"), (100, "wrong")):
        scene = make_scene()
        scene.span[key] += shift_ms * 1_000_000 * (1 if key == "end_unix_ns" else -1)
        assert scene.verdict("trace.nesting") == verdict


def test_spans_in_a_circle_are_wrong(make_scene: MakeScene) -> None:
    """Two spans that are each other's parents are no tree."""
    scene = make_scene()
    root, model = scene.trace["spans"]
    root["parent_id"] = "model"
    model |= {"start_unix_ns": root["start_unix_ns"], "end_unix_ns": root["end_unix_ns"]}
    assert scene.verdict("trace.nesting") == "wrong"
    assert scene.verdict("trace.one_root") == "missing"


@pytest.mark.parametrize("span_type", [None, "UNKNOWN"])
def test_an_untyped_span_is_no_model_span(make_scene: MakeScene, span_type: str | None) -> None:
    """A span that nobody gave a type is judged in the model span's stead, but misses being one."""
    scene = make_scene()
    scene.attributes["mlflow.spanType"] = span_type
    assert scene.verdict("trace.model_span") == "missing"
    assert scene.verdict("response.content") == "recorded"


def test_a_span_of_another_type_is_wrong(make_scene: MakeScene) -> None:
    """A judged span that says it is something else is a wrong model span."""
    scene = make_scene()
    scene.attributes["mlflow.spanType"] = "TOOL"
    judgement = scene.judgement("trace.model_span")
    assert (judgement.verdict, judgement.traced) == ("wrong", "TOOL")


def test_a_duplicated_model_span_is_wrong_and_the_innermost_is_judged(
    make_scene: MakeScene, parts: type[Parts]
) -> None:
    """Two model spans for one exchange: the outer one's facts are not looked at, and a note says so."""
    scene = make_scene()
    outer = {"mlflow.spanType": "CHAT_MODEL", "mlflow.llm.model": "another"}
    scene.trace["spans"].insert(1, parts.span("outer", "root", (1.5, 98.5), outer))
    scene.span["parent_id"] = "outer"
    judgement = scene.judgement("trace.model_span")
    assert (judgement.verdict, judgement.traced) == ("wrong", 2)
    assert scene.verdict("response.model") == "recorded"
    assert [note for note in scene.judge().notes if "the innermost, span model, is judged" in note]


def test_ambiguous_model_spans_are_reported(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Two sibling model spans that both enclose the exchange are not told apart silently."""
    scene = make_scene()
    scene.trace["spans"].append(parts.span("twin", "root", (3, 97), {"mlflow.spanType": "LLM"}))
    result = scene.judge()
    assert len(result.notes) == 1
    assert "ambiguous among siblings" in result.notes[0]
    assert scene.judgement("response.content").span_id == "model"
    assert scene.verdict("trace.model_span") == "wrong"


def test_a_model_span_of_another_time_is_not_the_exchanges(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Of two model spans the one that encloses the exchange is judged."""
    scene = make_scene()
    early = parts.span("early", "root", (1, 5), {"mlflow.spanType": "CHAT_MODEL", "mlflow.llm.model": "another"})
    scene.trace["spans"].append(early)
    assert scene.verdict("response.model") == "recorded"
    assert scene.verdict("trace.model_span") == "wrong"


def test_the_leaf_is_judged_without_a_model_span(make_scene: MakeScene) -> None:
    """Without model spans the innermost enclosing span is judged, not the root."""
    scene = make_scene()
    del scene.attributes["mlflow.spanType"]
    assert scene.judgement("response.content").span_id == "model"


def test_a_leaf_without_inputs_and_outputs_hands_over_to_its_parent(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A span of the transport that carries nothing does not stand for the call."""
    scene = make_scene()
    del scene.attributes["mlflow.spanType"]
    scene.trace["spans"].insert(1, parts.span("http", "model", (3, 97), {"url": "x"}))
    assert scene.judgement("response.content").span_id == "model"


def test_ambiguous_leaves_are_reported(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Without model spans two enclosing leaves are not told apart silently."""
    scene = make_scene()
    del scene.attributes["mlflow.spanType"]
    scene.trace["spans"].append(parts.span("twin", "root", (3, 97), {"mlflow.spanInputs": {"x": 1}}))
    assert any("no model span, and the spans model, twin fit" in note for note in scene.judge().notes)


def test_the_root_is_judged_where_no_span_encloses(make_scene: MakeScene) -> None:
    """A lone function span that ended early is still where the facts are read."""
    scene = make_scene()
    lone = scene.span | {"parent_id": None, "end_unix_ns": scene.span["start_unix_ns"] + 1_000_000}
    lone["attributes"] = {key: value for key, value in lone["attributes"].items() if key != "mlflow.spanType"}
    scene.trace["spans"] = [lone]
    assert scene.verdict("response.content") == "recorded"
    assert scene.verdict("trace.times") == "wrong"


@pytest.mark.parametrize(("end_ms", "verdict"), [(90, "recorded"), (86, "recorded"), (80, "wrong"), (None, "wrong")])
def test_times_have_to_enclose_the_wires(make_scene: MakeScene, end_ms: float | None, verdict: str) -> None:
    """A span that ends more than 5 ms before the last byte, or never, does not enclose the exchange."""
    scene = make_scene()
    scene.trace["spans"].pop(0)
    end = None if end_ms is None else scene.call["start_unix_ns"] + round(end_ms * 1e6)
    scene.span.update(parent_id=None, end_unix_ns=end)
    assert scene.verdict("trace.times") == verdict


def test_a_span_that_begins_late_does_not_enclose(make_scene: MakeScene) -> None:
    """A span that begins more than 5 ms after the request was there does not enclose the exchange."""
    scene = make_scene()
    scene.trace["spans"].pop(0)
    scene.span.update(parent_id=None, start_unix_ns=scene.call["start_unix_ns"] + 20_000_000)
    judgement = scene.judgement("trace.times")
    assert judgement.verdict == "wrong"
    assert "begins 10.000 ms after the request" in judgement.traced


def test_a_late_clock_of_the_gateway_is_no_fault_of_the_trace(make_scene: MakeScene) -> None:
    """What the application holds has arrived, so the call's end bounds the wire's last byte."""
    scene = make_scene()
    scene.exchanges[0]["last_byte_ns"] += 500_000_000
    assert scene.verdict("trace.times") == "recorded"


@pytest.mark.parametrize("key", ["mlflow.spanInputs", "mlflow.spanOutputs"])
@pytest.mark.parametrize("value", [None, {}, [], ""])
def test_a_root_without_inputs_or_outputs_misses_them(make_scene: MakeScene, key: str, value: Any) -> None:
    """Nothing, or an empty object, list or text, is neither inputs nor outputs."""
    scene = make_scene()
    scene.trace["spans"][0]["attributes"][key] = value
    fact = "trace.inputs" if key.endswith("Inputs") else "trace.outputs"
    assert scene.verdict(fact) == "missing"


@pytest.mark.parametrize("state", ["ERROR", "IN_PROGRESS"])
def test_a_state_unlike_the_outcome_is_wrong(make_scene: MakeScene, state: str) -> None:
    """A trace of a call that went well has to say so."""
    scene = make_scene()
    scene.trace["state"] = state
    assert scene.verdict("trace.status") == "wrong"


def test_a_root_status_unlike_the_outcome_is_wrong(make_scene: MakeScene) -> None:
    """A failed call under a root that says OK is wrong, whatever the trace's state."""
    scene = make_scene(failed=True)
    scene.trace["spans"][0]["status"] = "OK"
    assert scene.verdict("trace.status") == "wrong"


def test_an_exception_of_another_name_is_wrong(make_scene: MakeScene) -> None:
    """A failed call's trace has to name its error."""
    scene = make_scene(failed=True)
    scene.span["events"][0]["attributes"] = {"exception.type": "KeyError", "exception.message": "'x'"}
    assert scene.verdict("trace.exception") == "wrong"
    scene.span["events"] = []
    assert scene.verdict("trace.exception") == "missing"


def test_attempts_are_counted(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A retried call has attempts to record; one model span for all of them is not a duplicate."""
    scene = make_scene()
    scene.exchanges = [parts.exchange(scene, failed=True, begin_ms=5, length_ms=4), parts.exchange(scene, number=1)]
    assert scene.verdict("attempts") == "missing"
    assert scene.verdict("trace.model_span") == "recorded"
    assert scene.verdict("response.content") == "recorded"
    scene.attributes["retry_count"] = 1
    assert scene.verdict("attempts") == "elsewhere"
    scene.attributes["http.request.resend_count"] = 1
    assert scene.verdict("attempts", "otel") == "recorded"
    scene.attributes["http.request.resend_count"] = 2
    assert scene.verdict("attempts", "otel") == "wrong"


def test_a_model_span_for_each_attempt_is_one_to_one(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Model spans that follow one another like the exchanges are assigned one to one, the last is judged."""
    scene = make_scene()
    scene.exchanges = [parts.exchange(scene, failed=True, begin_ms=-70, length_ms=65), parts.exchange(scene, number=1)]
    scene.call |= {"start_unix_ns": parts.at_unix(-90), "start_ns": parts.at_monotonic(-90)}
    scene.trace["spans"][0]["start_unix_ns"] = parts.at_unix(-80)
    first = parts.span("first", "root", (-75, 1), {"mlflow.spanType": "CHAT_MODEL"}, status="ERROR")
    scene.trace["spans"].insert(1, first)
    result = scene.judge()
    assert result.notes == ()
    assert scene.verdict("trace.model_span") == "recorded"
    assert scene.verdict("attempts") == "recorded"
    assert scene.judgement("response.content").span_id == "model"


def test_retry_events_record_the_attempts(make_scene: MakeScene, parts: type[Parts]) -> None:
    """LangChain's retry events count the attempts after the first."""
    scene = make_scene()
    scene.exchanges = [parts.exchange(scene, failed=True, begin_ms=5, length_ms=4), parts.exchange(scene, number=1)]
    scene.span["events"] = [{"name": "retry", "time_unix_ns": parts.at_unix(8), "attributes": {"attempt": 1}}]
    assert scene.verdict("attempts") == "recorded"
    scene.span["events"] *= 2
    assert scene.verdict("attempts") == "wrong"


def test_a_lost_trace_keeps_its_facts_in_the_denominator(make_scene: MakeScene) -> None:
    """Every fact of a call without a trace is missing, and counts."""
    scene, other = make_scene(), make_scene(sample="s2")
    whole = len(scene.judge().judgements)
    other.traces = []
    scene.more = [other]
    result = scene.judge()
    assert (result.traces_expected, result.traces_stored, result.traces_lost) == (2, 1, 1)
    lost = [one for one in result.judgements if one.sample_id == "s2"]
    assert len(lost) == whole
    assert {(one.verdict, one.trace_id) for one in lost} == {("missing", None)}
    assert result.recall == 0.5
    assert result.fidelity == 1.0


def test_the_first_of_several_traces_is_judged(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A later trace of the same call is a duplicate; the order of the records does not matter."""
    scene = make_scene()
    late = parts.span("late", None, (50, 60), {})
    scene.traces.insert(0, scene.trace | {"trace_id": "tr-a", "spans": [late]})
    result = scene.judge()
    assert (result.traces_stored, result.traces_duplicated, result.traces_lost) == (2, 1, 0)
    assert {one.trace_id for one in result.judgements} == {"tr-s1"}
    judgement = scene.judgement("trace.one")
    assert (judgement.verdict, judgement.traced) == ("wrong", 2)


@pytest.mark.parametrize("call_id", [None, "cell/completeness/0/strategy/9/other", "nonsense"])
def test_a_trace_of_no_call_is_an_orphan(make_scene: MakeScene, call_id: str | None) -> None:
    """A trace is tied to its call by the id alone, however much it looks like it."""
    scene = make_scene()
    scene.trace["call_id"] = call_id
    result = scene.judge()
    assert (result.traces_stored, result.traces_orphaned, result.traces_lost) == (0, 1, 1)
    assert result.recall == 0.0
    assert result.fidelity is None
    assert result.reasons["fidelity"] == "no fact was found in any trace"


def test_traces_are_joined_by_id_not_by_content(make_scene: MakeScene) -> None:
    """Two calls whose traces carry each other's ids are judged as they are tied, not as they look."""
    scene, other = make_scene(), make_scene(sample="s2")
    scene.trace["call_id"], other.trace["call_id"] = other.trace["call_id"], scene.trace["call_id"]
    scene.more = [other]
    verdicts = {one.verdict for one in scene.judge().judgements if one.fact == "response.id"}
    assert verdicts == {"wrong"}


def test_a_strategy_without_traces_has_no_scores(make_scene: MakeScene) -> None:
    """The strategy none expects nothing, so there is nothing to recall."""
    scene = make_scene()
    scene.expects_traces = False
    scene.traces = []
    result = scene.judge()
    assert (result.calls, result.traces_expected, result.traces_lost) == (1, 0, 0)
    assert (result.recall, result.wire_recall, result.otel_recall, result.fidelity) == (None,) * 4
    scores = {name: reason for name, reason in result.reasons.items() if name != "transparency"}
    assert set(scores.values()) == {"the strategy 'none' expects no traces"}
    assert set(scores) == {"recall", "wire_recall", "otel_recall", "fidelity"}
    assert (result.judgements, result.facts, result.notes) == ((), (), ())


def test_a_trace_under_a_strategy_without_traces_is_an_orphan(make_scene: MakeScene) -> None:
    """A trace that turns up all the same is counted and noted, not judged."""
    scene = make_scene()
    scene.expects_traces = False
    result = scene.judge()
    assert (result.traces_stored, result.traces_orphaned) == (0, 1)
    assert "expects no traces, but 1 were stored" in result.notes[0]
    assert result.judgements == ()


def test_a_cell_without_calls_has_no_scores(make_scene: MakeScene) -> None:
    """An empty denominator gives None with its reason."""
    result = judge_cell(make_scene().records()._replace(calls=(), exchanges=(), traces=()))
    assert (result.recall, result.wire_recall, result.otel_recall, result.fidelity) == (None,) * 4
    assert result.reasons["recall"] == "the completeness pass has no calls"


def test_the_wires_recall_leaves_out_the_structure(make_scene: MakeScene) -> None:
    """A trace with a sound tree and nothing that the wire shows has a recall, and none of the wire."""
    scene = make_scene(conventions=("mlflow",))
    scene.span["attributes"] = {"mlflow.spanType": "CHAT_MODEL"}
    result = scene.judge()
    of_wire = [one for one in result.judgements if one.convention == "mlflow" and not one.fact.startswith("trace.")]
    assert {one.verdict for one in of_wire} == {"missing"}
    assert result.wire_recall == 0.0
    applicable = sum(one.convention == "mlflow" for one in result.judgements)
    assert result.recall == (applicable - len(of_wire)) / applicable


def test_one_wrong_fact_lowers_the_wires_recall(make_scene: MakeScene) -> None:
    """The wire's recall is recorded over applicable facts; a fault in the structure leaves it as it is."""
    scene = make_scene()
    scene.attributes["mlflow.spanInputs"]["temperature"] = 0.9
    scene.trace["spans"][0]["attributes"] = {}
    result = scene.judge()
    applicable = [one for one in result.judgements if one.convention == "mlflow" and not one.fact.startswith("trace.")]
    assert result.wire_recall == (len(applicable) - 1) / len(applicable)


def test_the_timing_pass_does_not_count(make_scene: MakeScene) -> None:
    """Exchanges and traces of the timing pass are neither judged nor missed nor orphaned."""
    scene, timed = make_scene(), make_scene(sample="s2")
    call_id = "cell/timing/0/strategy/0/s2"
    for one in (timed.call, timed.exchanges[0], timed.trace):
        one["call_id"] = call_id
    timed.exchanges[0] |= {"request_body": None, "response_body": None}
    before = scene.judge()
    scene.more = [timed]
    assert scene.judge() == before


@pytest.mark.parametrize("call_id", [None, "", "not/an/id"])
def test_an_unattributed_exchange_fails_the_cell(make_scene: MakeScene, call_id: str | None) -> None:
    """An exchange without a call id is a hole in the ground truth."""
    scene = make_scene()
    scene.exchanges[0]["call_id"] = call_id
    with pytest.raises(UnattributedError, match=r"^1 exchange\(s\) .* on /v1/chat/completions$"):
        scene.judge()


def test_a_good_call_without_an_exchange_fails_the_cell(make_scene: MakeScene) -> None:
    """A call that went well and was not seen on the wire cannot be judged."""
    scene = make_scene()
    scene.exchanges = []
    with pytest.raises(CellError, match="saw no exchange of it"):
        scene.judge()


def test_a_failed_call_may_have_no_exchange(make_scene: MakeScene) -> None:
    """A call that never reached the wire is judged by what its own record proves."""
    scene = make_scene(failed=True)
    scene.exchanges = []
    assert scene.verdict("error.type") == "recorded"
    assert scene.verdict("trace.exception") == "recorded"
    assert not scene.applies("request.model")
    assert not scene.applies("trace.times")


def test_an_exchange_of_no_call_is_noted(make_scene: MakeScene, parts: type[Parts]) -> None:
    """An exchange whose call has no record is said, and changes no verdict."""
    scene = make_scene()
    before = scene.verdicts()
    stray = parts.exchange(scene, number=5) | {"call_id": "cell/completeness/0/strategy/8/s8"}
    scene.exchanges.append(stray)
    assert scene.verdicts() == before
    assert "1 exchange(s) carry the id of no call" in scene.judge().notes[0]


def test_other_paths_are_noted(make_scene: MakeScene, parts: type[Parts]) -> None:
    """What is on none of the endpoints that are read is not judged, and a note says so."""
    scene = make_scene()
    scene.exchanges.append(parts.exchange(scene, number=1) | {"path": "/v1/moderations"})
    assert "exchanges on /v1/moderations were not judged" in scene.judge().notes[0]
    assert not scene.applies("attempts")


def test_judging_is_deterministic(make_scene: MakeScene) -> None:
    """The same records give the same bytes, also read back from JSON and in another order."""
    scene = make_scene(stream=True)
    scene.more = [make_scene(sample=f"s{number}", tools=number % 2 == 0) for number in range(2, 9)]
    records = scene.records()
    text = judge_cell(records).model_dump_json()
    again = CellRecords(
        records.cell,
        tuple(type(one).model_validate_json(one.model_dump_json()) for one in records.calls),
        _shuffled(records.exchanges),
        _shuffled(records.traces),
        (),
        (),
    )
    assert judge_cell(again).model_dump_json() == text


def test_counts_add_up(make_scene: MakeScene) -> None:
    """The counts hold every judgement once, in the order of the table, MLflow's convention first."""
    scene = make_scene()
    other = make_scene(sample="s2", stream=True)
    del other.attributes["mlflow.llm.model"]
    scene.more = [other]
    result = scene.judge()
    assert sum(one.recorded + one.elsewhere + one.wrong + one.missing for one in result.facts) == len(result.judgements)
    assert [one.fact for one in result.facts][:3] == ["request.model", "request.messages", "request.stream"]
    assert [one.convention for one in result.facts] == sorted(one.convention for one in result.facts)
    model = next(one for one in result.facts if (one.fact, one.convention) == ("response.model", "mlflow"))
    assert (model.recorded, model.elsewhere) == (1, 1)


def _shuffled(values: Any) -> Any:
    copies = [type(one).model_validate_json(one.model_dump_json()) for one in values]
    random.Random(4).shuffle(copies)
    return tuple(copies)


def test_where_calls_are_sampled_no_trace_counts_as_lost(make_scene: MakeScene) -> None:
    """Chance decides which call leaves a trace; those that did are judged, and a note says how many."""
    scene, other = make_scene(), make_scene(sample="s2")
    other.traces = []
    scene.more = [other]
    records = scene.records()
    cell = records.cell.model_copy(update={"expected_share": 0.5})
    result = judge_cell(records._replace(cell=cell))
    assert (result.traces_expected, result.traces_stored, result.traces_lost) == (1, 1, 0)
    assert {one.sample_id for one in result.judgements} == {"s1"}
    assert result.recall == 1.0
    assert "traces are sampled (50% of them): 1 of 2 were there and are judged; none counts as lost" in result.notes
