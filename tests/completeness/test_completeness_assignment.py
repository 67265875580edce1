"""Whose span is whose where some are lost, and what is said of requests that have none."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]

USAGE_FACTS = ("usage.input_tokens", "usage.output_tokens", "usage.cached_tokens", "usage.reasoning_tokens")


def _flow(make_scene: MakeScene, parts: type[Parts], count: int, *, step_ms: float, length_ms: float) -> Scene:
    """Calls of a flow, each some time after the one before and each asking something else, in one trace."""
    scenes = [make_scene(conventions=("mlflow",)) for _ in range(count)]
    first = scenes[0]
    flow = first.call["call_id"]
    root = {"mlflow.spanInputs": {"q": 1}, "mlflow.spanOutputs": {"a": 2}}
    spans = [parts.span("root", None, (-5, count * step_ms + 100), root)]
    for number, scene in enumerate(scenes):
        begin_ms = number * step_ms
        scene.call |= {
            "call_id": f"{flow}/{number}",
            "flow_id": flow,
            "flow_traced": True,
            "start_unix_ns": parts.at_unix(begin_ms),
            "start_ns": parts.at_monotonic(begin_ms),
            "end_ns": parts.at_monotonic(begin_ms + length_ms + 1),
        }
        scene.request["messages"] = [{"role": "user", "content": f"Question number {number}?"}]
        scene.answer["id"] = f"chatcmpl-flow-{number}"
        scene.answer["choices"][0]["message"]["content"] = f"This is answer number {number}."
        scene.exchanges = [parts.exchange(scene, number=number, begin_ms=begin_ms + 0.5, length_ms=length_ms)]
        attributes = scene.attributes
        attributes["mlflow.spanInputs"]["messages"] = copy.deepcopy(scene.request["messages"])
        attributes["mlflow.spanOutputs"] |= {"id": scene.answer["id"], "choices": scene.answer["choices"]}
        spans.append(
            parts.span(
                f"model{number}", "root", (begin_ms + 0.2, begin_ms + length_ms + 0.8), copy.deepcopy(attributes)
            )
        )
        scene.traces = []
    first.traces = [{"trace_id": "tr-flow", "call_id": flow, "state": "OK", "metadata": {}, "tags": {}, "spans": spans}]
    first.more = scenes[1:]
    return first


def _blamed(scene: Scene) -> dict[str, set[str]]:
    """By the call's place in the flow the verdicts on what was said, but ``recorded``."""
    found: dict[str, set[str]] = {}
    for one in scene.judge().judgements:
        if one.convention == "mlflow" and one.verdict != "recorded" and not one.fact.startswith("trace."):
            found.setdefault(one.call_id.rsplit("/", 1)[-1], set()).add(one.verdict)
    return found


@pytest.mark.parametrize("lost", range(5))
@pytest.mark.parametrize("span_type", ["CHAT_MODEL", "UNKNOWN"])
def test_a_lost_span_of_quick_calls_costs_its_own_call_alone(
    make_scene: MakeScene, parts: type[Parts], span_type: str, lost: int
) -> None:
    """Of calls 3 ms apart each fits its neighbours' spans in time: whose span is lost is told by what the others say.

    What stands in the others' spans is nowhere found for the call that lost its own.
    """
    scene = _flow(make_scene, parts, 5, step_ms=3, length_ms=1)
    for span in scene.trace["spans"][1:]:
        span["attributes"]["mlflow.spanType"] = span_type
    assert _blamed(scene) == {}
    del scene.trace["spans"][1 + lost]
    assert _blamed(scene) == {str(lost): {"missing"}}


def test_the_span_of_a_refused_call_stands_for_no_other_one(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A call whose span is lost does not get that of a call that reached no wire, nor what it holds."""
    scene = _flow(make_scene, parts, 2, step_ms=200, length_ms=80)
    refused, message = scene.more[0], "Connection error."
    refused.exchanges = []
    refused.call |= {"outcome": "error", "error_type": "openai.APIConnectionError", "error_message": message}
    attributes = {"exception.type": "APIConnectionError", "exception.message": message}
    span = scene.trace["spans"][2]
    span |= {
        "status": "ERROR",
        "events": [{"name": "exception", "time_unix_ns": parts.at_unix(250), "attributes": attributes}],
    }
    for key in ("mlflow.spanOutputs", "mlflow.llm.model", "mlflow.chat.tokenUsage"):
        del span["attributes"][key]
    assert _blamed(scene) == {}
    del scene.trace["spans"][1]
    assert _blamed(scene) == {"0": {"missing"}}


@pytest.mark.parametrize("step_ms", [0.2, 200])
def test_a_span_of_the_wrong_kind_is_no_duplicate_of_anothers(
    make_scene: MakeScene, parts: type[Parts], step_ms: float
) -> None:
    """An embedding's span of type LLM is the embedding's fault, and no model span too many of the chat beside it."""
    scene = _flow(make_scene, parts, 2, step_ms=step_ms, length_ms=50)
    answer = {"data": [{"index": 0, "embedding": [0.5, 1.5]}], "model": "e-1", "usage": {"prompt_tokens": 3}}
    scene.more[0].exchanges[0] |= {
        "path": "/v1/embeddings",
        "request_body": json.dumps({"model": "e", "input": ["Question"]}),
        "response_body": json.dumps(answer),
    }
    scene.trace["spans"][2]["attributes"] = {
        "mlflow.spanType": "LLM",
        "mlflow.spanInputs": {"model": "e", "input": "Question"},
        "mlflow.spanOutputs": answer,
        "mlflow.llm.model": "e-1",
        "mlflow.chat.tokenUsage": {"input_tokens": 3},
    }
    judged = [one for one in scene.judge().judgements if one.fact == "trace.model_span"]
    assert [(one.verdict, one.traced) for one in judged] == [("recorded", 1), ("wrong", "LLM")]


def test_a_total_that_follows_from_the_wires_counts_is_not_invented(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A wire without a total states it all the same: the sum of its counts is right, another number is invented."""
    scene = make_scene()
    del scene.answer["usage"]["total_tokens"]
    scene.exchanges = [parts.exchange(scene)]
    assert not scene.applies("usage.total_tokens")
    scene.attributes["mlflow.chat.tokenUsage"]["total_tokens"] += 1
    assert scene.verdict("usage.total_tokens") == "wrong"


@pytest.mark.parametrize("conventions", [("otel",), ("mlflow", "otel")])
def test_invented_counts_are_found_in_both_conventions(
    make_scene: MakeScene, parts: type[Parts], conventions: tuple[str, ...]
) -> None:
    """Each convention is blamed for what it states itself; a zero, and no trace, state nothing."""
    scene = make_scene(conventions=conventions)
    del scene.answer["usage"]
    scene.exchanges = [parts.exchange(scene)]
    for fact in USAGE_FACTS:
        assert scene.verdict(fact, "otel") == "wrong"
    scene.attributes["gen_ai.usage.input_tokens"] = 0
    assert not scene.applies("usage.input_tokens", "otel")
    other = make_scene(sample="s2")
    scene.more = [other]
    scene.traces.append(copy.deepcopy(other.trace) | {"source": "otlp", "call_id": None})
    judged = [one for one in scene.judge().judgements if one.sample_id == "s1" and one.convention == "otel"]
    assert not [one for one in judged if one.fact.startswith("usage.")]


def test_invented_tool_calls_are_found_in_both_conventions(make_scene: MakeScene) -> None:
    """A tool call in OpenTelemetry's messages that the wire has not is wrong; a text there is no tool call."""
    scene = make_scene()
    call = {"type": "tool_call", "id": "x", "name": "f", "arguments": {}}
    scene.attributes["gen_ai.output.messages"][0]["parts"].append(call)
    assert scene.verdict("response.tool_calls", "otel") == "wrong"
    assert not scene.applies("response.tool_calls", "mlflow")
    scene.attributes["gen_ai.output.messages"] = "It is Oslo, of course."
    message = scene.attributes["mlflow.spanOutputs"]["choices"][0]["message"]
    message["tool_calls"] = [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert scene.verdict("response.tool_calls", "mlflow") == "wrong"
    assert not scene.applies("response.tool_calls", "otel")


def test_counted_events_state_no_number_of_attempts(make_scene: MakeScene, parts: type[Parts]) -> None:
    """That MLflow's retry events can be counted does not state OpenTelemetry's number anywhere."""
    scene = make_scene()
    scene.exchanges = [
        parts.exchange(scene, failed=True, length_ms=10),
        parts.exchange(scene, number=1, begin_ms=40, length_ms=50),
    ]
    scene.span["events"] = [{"name": "retry", "time_unix_ns": parts.at_unix(30), "attributes": {}}]
    assert scene.verdict("attempts", "mlflow") == "recorded"
    assert scene.verdict("attempts", "otel") == "missing"


def test_a_piece_whose_text_holds_another_is_read(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Values in a JSON text inside a piece's JSON text are found like those beside it."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    for key in ("mlflow.spanOutputs", "mlflow.llm.model"):
        del scene.attributes[key]
    texts = [text.removeprefix("data: ").strip() for text in parts.chunks(scene.answer)]
    scene.span["events"] = [
        {
            "name": f"mlflow.chunk.item.{number}",
            "time_unix_ns": parts.at_unix(21 + 10 * number),
            "attributes": {"mlflow.chunk.value": json.dumps({"data": text})},
        }
        for number, text in enumerate(texts)
    ]
    assert scene.verdict("response.id") == "elsewhere"
    assert scene.verdict("response.model") == "elsewhere"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_is_wrong(make_scene: MakeScene, seconds: Any) -> None:
    """NaN and infinity are judged like any other wrong value."""
    scene = make_scene(stream=True)
    scene.attributes["gen_ai.response.time_to_first_chunk"] = seconds
    assert scene.verdict("time_to_first_token", "otel") == "wrong"
