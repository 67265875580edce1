"""Calls of several requests, and flows of several calls in one trace."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import CompletenessResult, Judgement
    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]

TOKENS = "mlflow.chat.tokenUsage"
COST = "mlflow.llm.cost"


def _agent(make_scene: MakeScene, parts: type[Parts], begins_ms: tuple[float, ...] = (10, 40, 70)) -> Scene:
    """One call that asks a model several things, each 20 ms long, in a trace with a span for each."""
    scene = make_scene(conventions=("mlflow",))
    model = scene.trace["spans"].pop()
    scene.exchanges = []
    for number, begin_ms in enumerate(begins_ms):
        scene.request["messages"] = [{"role": "user", "content": f"Question number {number}?"}]
        scene.answer = copy.deepcopy(scene.answer) | {"id": f"chatcmpl-agent-{number}"}
        scene.answer["choices"][0]["message"]["content"] = f"This is answer number {number}."
        scene.exchanges.append(parts.exchange(scene, number=number, begin_ms=begin_ms, length_ms=20))
        attributes = copy.deepcopy(model["attributes"])
        attributes["mlflow.spanInputs"]["messages"] = copy.deepcopy(scene.request["messages"])
        attributes["mlflow.spanOutputs"] |= {
            "id": scene.answer["id"],
            "choices": copy.deepcopy(scene.answer["choices"]),
        }
        span = parts.span(f"model{number}", "root", (begin_ms - 2, begin_ms + 22), attributes)
        scene.trace["spans"].append(span)
    return scene


def _by_request(result: CompletenessResult, fact: str) -> list[Judgement]:
    return [one for one in result.judgements if one.convention == "mlflow" and one.fact == fact]


def _wrongs(result: CompletenessResult) -> set[tuple[int, str, str]]:
    return {
        (one.request, one.fact, one.verdict)
        for one in result.judgements
        if one.convention == "mlflow" and one.verdict != "recorded"
    }


def test_each_request_is_judged_against_its_own_span(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Requests one after the other belong to the spans that enclose them; nothing is noted."""
    result = _agent(make_scene, parts).judge()
    assert _wrongs(result) == set()
    assert result.notes == ()
    contents = _by_request(result, "response.content")
    assert [(one.request, one.span_id) for one in contents] == [(0, "model0"), (1, "model1"), (2, "model2")]
    assert [one.request for one in _by_request(result, "trace.one")] == [0]
    assert _by_request(result, "trace.token_usage")[0].wire == {
        "input_tokens": 336,
        "output_tokens": 105,
        "total_tokens": 441,
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_requests_at_once_are_told_apart_by_what_was_asked(
    make_scene: MakeScene, parts: type[Parts], order: tuple[int, ...]
) -> None:
    """Where the times leave a choice the best agreement decides, in any order of the spans, and a note says so."""
    scene = _agent(make_scene, parts, (10, 10.1, 10.2))
    root, *models = scene.trace["spans"]
    for rank, number in enumerate(order):
        models[number]["start_unix_ns"] = parts.at_unix(8 + 0.1 * rank)
    scene.trace["spans"] = [root, *(models[number] for number in order)]
    result = scene.judge()
    assert _wrongs(result) == set()
    assert len(result.notes) == 1
    assert "in time in several ways" in result.notes[0]


def test_a_choice_hides_no_defect(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Answers that were exchanged between concurrent spans are wrong in every assignment."""
    scene = _agent(make_scene, parts, (10, 10.1, 10.2))
    first, second = (one["attributes"] for one in scene.trace["spans"][1:3])
    first["mlflow.spanOutputs"], second["mlflow.spanOutputs"] = (
        second["mlflow.spanOutputs"],
        first["mlflow.spanOutputs"],
    )
    wrong = {(request, fact) for request, fact, verdict in _wrongs(scene.judge()) if verdict == "wrong"}
    assert {(0, "response.content"), (1, "response.content"), (0, "response.id"), (1, "response.id")} <= wrong


def test_a_request_without_a_span_misses_its_facts_alone(make_scene: MakeScene, parts: type[Parts]) -> None:
    """The values of other requests' spans do not stand for it, equal as they may be."""
    scene = _agent(make_scene, parts)
    del scene.trace["spans"][2]
    result = scene.judge()
    verdicts = {one.request: one.verdict for one in _by_request(result, "usage.input_tokens")}
    assert verdicts == {0: "recorded", 1: "missing", 2: "recorded"}
    assert {one.request: one.verdict for one in _by_request(result, "trace.model_span")}[1] == "missing"
    assert _by_request(result, "trace.token_usage")[0].verdict == "wrong"


def test_a_duplicate_stands_with_the_request_that_it_is_of(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A model span too many is counted once, where it encloses or surrounds."""
    scene = _agent(make_scene, parts)
    twin = copy.deepcopy(scene.trace["spans"][2]) | {"span_id": "outer"}
    twin["start_unix_ns"] -= 100_000
    twin["end_unix_ns"] += 100_000
    scene.trace["spans"][2]["parent_id"] = "outer"
    scene.trace["spans"].append(twin)
    verdicts = {one.request: (one.verdict, one.traced) for one in _by_request(scene.judge(), "trace.model_span")}
    assert verdicts == {0: ("recorded", 1), 1: ("wrong", 2), 2: ("recorded", 1)}


def test_a_failed_try_that_was_never_sent_is_no_duplicate(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A model span in error without an exchange in its time is a connection that failed; a note says so."""
    scene = _agent(make_scene, parts, (10, 60))
    scene.trace["spans"].append(
        parts.span("refused", "root", (40, 45), {"mlflow.spanType": "CHAT_MODEL"}, status="ERROR")
    )
    result = scene.judge()
    assert _wrongs(result) == set()
    assert any("was never sent" in note for note in result.notes)


def test_a_request_that_failed_is_judged_as_failed(make_scene: MakeScene, parts: type[Parts]) -> None:
    """An agent may survive a failure: the failed request has its error, the others their answers."""
    scene = _agent(make_scene, parts)
    failed = parts.exchange(scene, number=1, failed=True, begin_ms=40, length_ms=20)
    scene.exchanges[1] |= {key: failed[key] for key in ("status", "response_body")}
    result = scene.judge()
    assert {one.request for one in _by_request(result, "error.status_code")} == {1}
    assert {one.request for one in _by_request(result, "response.content")} == {0, 2}
    assert {one.request: one.verdict for one in _by_request(result, "trace.request_status")}[1] == "wrong"
    span = scene.trace["spans"][2]
    span["status"] = "ERROR"
    exception = {
        "exception.type": "RateLimitError",
        "exception.message": json.loads(failed["response_body"])["error"]["message"],
    }
    span["events"] = [{"name": "exception", "time_unix_ns": parts.at_unix(60), "attributes": exception}]
    found = {(one.request, one.verdict) for one in _by_request(scene.judge(), "trace.request_status")}
    assert found == {(0, "recorded"), (1, "recorded"), (2, "recorded")}


def test_one_span_for_two_requests_stands_for_one_of_them(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A typed span around two requests is one request's at most; the other has none."""
    scene = _agent(make_scene, parts, (10, 40))
    del scene.trace["spans"][2]
    scene.span.update(start_unix_ns=parts.at_unix(5), end_unix_ns=parts.at_unix(95))
    verdicts = sorted(one.verdict for one in _by_request(scene.judge(), "trace.model_span"))
    assert verdicts == ["missing", "recorded"]


def test_tokens_counted_twice_are_wrong(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A trace's own counts and cost have to be those of its requests, each once."""
    scene = _agent(make_scene, parts, (10, 40))
    for span in scene.trace["spans"][1:]:
        span["attributes"][COST] = {"total_cost": 0.25}
    once = {"input_tokens": 224, "output_tokens": 70, "total_tokens": 294}
    for factor, verdict in ((1, "recorded"), (2, "wrong")):
        scene.trace["metadata"] = {
            "mlflow.trace.tokenUsage": json.dumps({key: factor * value for key, value in once.items()}),
            "mlflow.trace.cost": json.dumps({"total_cost": 0.5 * factor}),
        }
        assert scene.verdict("trace.token_usage") == verdict
        assert scene.verdict("trace.cost") == verdict
    scene.trace["metadata"] = {"mlflow.user": "me"}
    assert scene.verdict("trace.token_usage") == "missing"
    assert not scene.applies("trace.cost")


def test_embeddings_have_spans_of_their_own_kind(make_scene: MakeScene, parts: type[Parts]) -> None:
    """In a retrieval the embedding span is the embeddings', the retriever's nobody's, the model's the chat's."""
    scene = _agent(make_scene, parts, (40,))
    answer = {"data": [{"index": 0, "embedding": [0.5, 1.5]}], "model": "e-1", "usage": {"prompt_tokens": 3}}
    embeddings = parts.exchange(scene, number=5, begin_ms=10, length_ms=10) | {
        "path": "/v1/embeddings",
        "request_body": json.dumps({"model": "e", "input": ["Question"]}),
        "response_body": json.dumps(answer),
    }
    scene.exchanges.append(embeddings)
    attributes = {
        "mlflow.spanType": "EMBEDDING",
        "mlflow.spanInputs": {"model": "e", "input": "Question"},
        "mlflow.spanOutputs": answer,
        "mlflow.llm.model": "e-1",
        TOKENS: {"input_tokens": 3},
    }
    scene.trace["spans"] += [
        parts.span("retriever", "root", (6, 26), {"mlflow.spanType": "RETRIEVER", "mlflow.spanInputs": "Question"}),
        parts.span("embedding", "retriever", (8, 24), attributes),
    ]
    result = scene.judge()
    assert _wrongs(result) == set()
    assert [one.wire for one in _by_request(result, "response.dimensions")] == [2]
    assert [one.wire for one in _by_request(result, "response.vectors")] == [1]
    scene.trace["spans"].pop()
    missing = {one.request: one.verdict for one in _by_request(scene.judge(), "trace.model_span")}
    assert missing == {0: "missing", 1: "recorded"}


def test_a_call_whose_requests_left_a_trace_each(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Several traces for one call are wrong; what its requests proved is judged where each has its span."""
    scene = _agent(make_scene, parts)
    models = scene.trace["spans"][1:]
    scene.traces = [
        scene.trace | {"trace_id": f"tr-{number}", "spans": [model | {"parent_id": None}]}
        for number, model in enumerate(models)
    ]
    result = scene.judge()
    assert (result.traces_stored, result.traces_duplicated) == (3, 2)
    assert (_by_request(result, "trace.one")[0].verdict, _by_request(result, "trace.one")[0].traced) == ("wrong", 3)
    assert {one.verdict for one in _by_request(result, "response.content")} == {"recorded"}
    assert [one.trace_id for one in _by_request(result, "response.content")] == ["tr-0", "tr-1", "tr-2"]


def test_wrapped_requests_at_once_in_a_trace_each(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Two autologs leave a model span around a model span in each trace: the outer one is no other request's."""
    scene = _agent(make_scene, parts, (10, 13, 16))
    _root, *models = scene.trace["spans"]
    scene.traces = []
    for number, model in enumerate(models):
        outer = copy.deepcopy(model) | {"span_id": f"outer{number}", "parent_id": None}
        outer["start_unix_ns"], outer["end_unix_ns"] = parts.at_unix(6 + number), parts.at_unix(60)
        inner = model | {"parent_id": f"outer{number}"}
        trace = make_scene().trace | {"trace_id": f"tr-{number}", "spans": [outer, inner]}
        scene.traces.append(trace)
    result = scene.judge()
    assert [one.span_id for one in _by_request(result, "response.id")] == ["model0", "model1", "model2"]
    assert {one.verdict for one in _by_request(result, "request.messages")} == {"recorded"}
    assert {one.traced for one in _by_request(result, "trace.model_span")} == {2}


# Flows


def _flow(make_scene: MakeScene, parts: type[Parts], *, at_once: bool = False) -> Scene:
    """Three calls of a flow in one trace, under a span around the flow."""
    scenes = [make_scene(conventions=("mlflow",)) for _ in range(3)]
    first = scenes[0]
    flow = first.call["call_id"]
    root = parts.span("root", None, (-5, 400), {"mlflow.spanInputs": {"q": 1}, "mlflow.spanOutputs": {"a": 2}})
    spans = [root]
    for step, scene in enumerate(scenes):
        shift_ms = step * (3 if at_once else 110)
        scene.call |= {"call_id": f"{flow}/{step}", "flow_id": flow, "flow_traced": True, "scenario": "threads"}
        for key in ("start_unix_ns", "start_ns", "end_ns"):
            scene.call[key] += round(shift_ms * 1e6)
        scene.answer["id"] = f"chatcmpl-flow-{step}"
        scene.exchanges = [parts.exchange(scene, number=step, begin_ms=10 + shift_ms)]
        span = scene.span | {"span_id": f"model{step}", "name": f"model{step}"}
        span["start_unix_ns"], span["end_unix_ns"] = parts.at_unix(2 + shift_ms), parts.at_unix(98 + shift_ms)
        span["attributes"]["mlflow.spanOutputs"]["id"] = scene.answer["id"]
        spans.append(span)
        scene.traces = []
    first.traces = [{"trace_id": "tr-flow", "call_id": flow, "state": "OK", "metadata": {}, "tags": {}, "spans": spans}]
    first.more = scenes[1:]
    return first


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("named", ["flow", "a call"])
def test_a_traced_flow_has_one_trace(make_scene: MakeScene, parts: type[Parts], named: str, at_once: bool) -> None:
    """All calls of the flow are judged in it, whichever of their ids it carries, and calls at once by their times."""
    scene = _flow(make_scene, parts, at_once=at_once)
    scene.trace["call_id"] += "" if named == "flow" else "/1"
    result = scene.judge()
    assert (result.calls, result.traces_expected, result.traces_stored, result.traces_lost) == (3, 1, 1, 0)
    assert _wrongs(result) == set()
    assert len(_by_request(result, "trace.one")) == 1
    assert len(_by_request(result, "trace.flow")) == 3
    assert result.notes == ()


def test_a_split_flow_is_wrong(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Calls in traces of their own are judged there, but they are not where the flow is."""
    scene = _flow(make_scene, parts)
    root, *models = scene.trace["spans"]
    scene.trace["spans"] = [root, models[0]]
    for step, model in enumerate(models[1:], start=1):
        scene.traces.append(
            scene.trace
            | {
                "trace_id": f"tr-{step}",
                "call_id": f"{scene.trace['call_id']}/{step}",
                "spans": [model | {"parent_id": None}],
            }
        )
    result = scene.judge()
    assert (result.traces_expected, result.traces_stored, result.traces_duplicated) == (1, 3, 2)
    assert [one.verdict for one in _by_request(result, "trace.flow")] == ["recorded", "wrong", "wrong"]
    assert _by_request(result, "trace.one")[0].verdict == "wrong"
    assert {one.verdict for one in _by_request(result, "response.id")} == {"recorded"}


def test_a_lost_flow_loses_all_its_calls(make_scene: MakeScene, parts: type[Parts]) -> None:
    """One trace is lost, and the facts of all three calls."""
    scene = _flow(make_scene, parts)
    scene.traces = []
    result = scene.judge()
    assert (result.traces_expected, result.traces_lost) == (1, 1)
    assert {one.verdict for one in _by_request(result, "response.content")} == {"missing"}
    assert len(_by_request(result, "response.content")) == 3


def test_a_call_under_another_calls_span_is_wrong(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Parents have to be right across threads and tasks: no request stands under another one's model span."""
    scene = _flow(make_scene, parts, at_once=True)
    scene.trace["spans"][2] |= {"parent_id": "model0", "end_unix_ns": scene.trace["spans"][1]["end_unix_ns"]}
    judgement = _by_request(scene.judge(), "trace.nesting")[0]
    assert judgement.verdict == "wrong"
    assert "under another request's model span" in judgement.traced


def test_a_flow_without_a_span_of_its_own_has_a_trace_a_call(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Where the strategy traces no flows, each call has its trace, and one that names the flow alone is nobody's."""
    scene = _flow(make_scene, parts)
    for one in (scene, *scene.more):
        one.call["flow_traced"] = False
    result = scene.judge()
    assert (result.traces_expected, result.traces_lost, result.traces_orphaned) == (3, 3, 1)
    assert any("names the flow" in note for note in result.notes)
