"""What holds for any rewrite: harmless ones keep every verdict, others are never recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.completeness.compare import canonical, canonical_content, same_calls, same_messages, same_value
from harness.records import Chunk
from harness.results import Convention

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.completeness.conftest import Scene

    MakeScene = Callable[..., Scene]

KINDS: tuple[dict[str, bool], ...] = (
    {},
    {"stream": True},
    {"tools": True},
    {"stream": True, "tools": True},
    {"failed": True},
)
SCALARS = st.none() | st.booleans() | st.integers(-999, 999) | st.floats(-9, 9, width=16) | st.text("abcé", max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=2), inner, max_size=3),
    max_leaves=6,
)
INPUTS, OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
Spot = tuple[Convention, str, tuple[str | int, ...], dict[str, bool]]
IN_PLACE: tuple[Spot, ...] = (
    ("mlflow", "request.model", (INPUTS, "model"), {}),
    ("mlflow", "request.messages", (INPUTS, "messages"), {}),
    ("mlflow", "request.messages", (INPUTS, "messages", 1, "content"), {}),
    ("mlflow", "request.messages", (INPUTS, "messages", 0, "role"), {}),
    ("mlflow", "request.parameter.temperature", (INPUTS, "temperature"), {}),
    ("mlflow", "request.parameter.stop", (INPUTS, "stop"), {}),
    ("mlflow", "request.parameter.logit_bias", (INPUTS, "logit_bias"), {}),
    ("mlflow", "request.tools", ("mlflow.chat.tools",), {"tools": True}),
    ("mlflow", "request.tools", ("mlflow.chat.tools", 0, "function", "parameters"), {"tools": True}),
    ("mlflow", "request.stream", (INPUTS, "stream"), {"stream": True}),
    ("mlflow", "response.model", ("mlflow.llm.model",), {}),
    ("mlflow", "response.id", (OUTPUTS, "id"), {}),
    ("mlflow", "response.content", (OUTPUTS,), {}),
    ("mlflow", "response.content", (OUTPUTS, "choices", 0, "message", "content"), {"stream": True}),
    ("mlflow", "response.tool_calls", (OUTPUTS, "choices", 0, "message", "tool_calls"), {"tools": True}),
    (
        "mlflow",
        "response.tool_calls",
        (OUTPUTS, "choices", 0, "message", "tool_calls", 0, "function", "arguments"),
        {"tools": True},
    ),
    ("mlflow", "response.finish_reason", (OUTPUTS, "choices", 0, "finish_reason"), {}),
    ("mlflow", "usage.input_tokens", ("mlflow.chat.tokenUsage", "input_tokens"), {}),
    ("mlflow", "usage.total_tokens", ("mlflow.chat.tokenUsage",), {}),
    ("mlflow", "trace.model_span", ("mlflow.spanType",), {}),
    ("otel", "request.model", ("gen_ai.request.model",), {}),
    ("otel", "request.operation", ("gen_ai.operation.name",), {}),
    ("otel", "request.provider", ("gen_ai.provider.name",), {}),
    ("otel", "request.messages", ("gen_ai.input.messages",), {}),
    ("otel", "request.messages", ("gen_ai.input.messages", 1, "parts", 0, "content"), {}),
    ("otel", "request.parameter.seed", ("gen_ai.request.seed",), {}),
    ("otel", "request.tools", ("gen_ai.tool.definitions", 0, "name"), {"tools": True}),
    ("otel", "response.content", ("gen_ai.output.messages",), {}),
    ("otel", "response.tool_calls", ("gen_ai.output.messages", 0, "parts", 0, "arguments"), {"tools": True}),
    ("otel", "response.finish_reason", ("gen_ai.response.finish_reasons",), {}),
    ("otel", "usage.output_tokens", ("gen_ai.usage.output_tokens",), {}),
    ("otel", "error.type", ("error.type",), {"failed": True}),
    ("otel", "error.status_code", ("http.response.status_code",), {"failed": True}),
)


def _rewritten(value: Any, draw: st.DrawFn) -> Any:
    """The same value in another form: other key order, extra nulls, floats for integers."""
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        nulls = draw(st.lists(st.sampled_from(["extra", "audio", "annotations"]), max_size=2, unique=True))
        return {key: _rewritten(value[key], draw) for key in keys} | dict.fromkeys(set(nulls) - value.keys())
    if isinstance(value, list):
        return [_rewritten(one, draw) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return draw(st.sampled_from([value, float(value)]))
    return value


def _rewrite_forms(attributes: dict[str, Any], draw: st.DrawFn) -> None:
    """Content as one text part, and tool call arguments as an object."""
    choices = (attributes.get(OUTPUTS) or {}).get("choices") or ()
    messages = [*attributes.get(INPUTS, {}).get("messages", ()), *(choice["message"] for choice in choices)]
    for message in messages:
        if isinstance(message["content"], str) and draw(st.booleans()):
            message["content"] = [{"type": "text", "text": message["content"]}]
        for call in message.get("tool_calls") or ():
            if draw(st.booleans()):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_harmless_rewrites_keep_every_verdict(
    make_scene: MakeScene, kind: dict[str, bool], data: st.DataObject
) -> None:
    """Whatever states the same gets the same verdicts, on good and on damaged traces."""
    draw: st.DrawFn = data.draw  # type: ignore[assignment]
    scene = make_scene(**kind)
    for attribute in draw(st.lists(st.sampled_from(sorted(scene.attributes)), max_size=3, unique=True)):
        del scene.attributes[attribute]
    before = scene.verdicts()
    _rewrite_forms(scene.attributes, draw)
    scene.span["attributes"] = _rewritten(scene.attributes, draw)
    assert scene.verdicts() == before


@settings(max_examples=20, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("spot", IN_PLACE, ids=[f"{one[0]}-{one[1]}-{one[2][-1]}" for one in IN_PLACE])
def test_an_altered_value_is_never_recorded(make_scene: MakeScene, spot: Spot, data: st.DataObject) -> None:
    """No other value in a fact's place passes for the right one, and none breaks the judge."""
    convention, fact, path, kind = spot
    scene = make_scene(**kind)
    node: Any = scene.attributes
    for step in path[:-1]:
        node = node[step]
    other = data.draw(VALUES)
    if same_value(other, node[path[-1]]) or (fact == "trace.model_span" and other == "LLM"):
        return
    node[path[-1]] = other
    assert scene.verdict(fact, convention) != "recorded"


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_runs_at_once_is_told_apart_in_any_order(make_scene: MakeScene, data: st.DataObject) -> None:
    """However concurrent requests and their spans overlap, a good trace is judged good."""
    draw: st.DrawFn = data.draw  # type: ignore[assignment]
    scene = make_scene(conventions=("mlflow",))
    root, model = scene.trace["spans"]
    exchange = scene.exchanges[0]
    scene.exchanges, spans = [], [root]
    for number in range(draw(st.integers(2, 5))):
        begin_ms = draw(st.integers(5, 40))
        end_ms = draw(st.integers(begin_ms + 1, 95))
        request = {**scene.request, "messages": [{"role": "user", "content": f"Question {number}, of several"}]}
        answer = {**scene.answer, "id": f"chatcmpl-{number}-of-several"}
        one = {**exchange, "exchange_id": number, "request_digest": str(number)}
        one |= {"received_unix_ns": exchange["received_unix_ns"] + (begin_ms - 10) * 1_000_000}
        one |= {"received_ns": exchange["received_ns"] + (begin_ms - 10) * 1_000_000}
        one |= {"last_byte_ns": exchange["received_ns"] + (end_ms - 10) * 1_000_000}
        scene.exchanges.append(one | {"request_body": json.dumps(request), "response_body": json.dumps(answer)})
        attributes = {
            **model["attributes"],
            INPUTS: request,
            OUTPUTS: {**model["attributes"][OUTPUTS], "id": answer["id"]},
        }
        times = {"start_unix_ns": root["start_unix_ns"] + (begin_ms - 3) * 1_000_000}
        times |= {"end_unix_ns": root["start_unix_ns"] + (end_ms + 1) * 1_000_000}
        spans.append({**model, **times, "span_id": f"model{number}", "attributes": attributes})
    scene.trace["spans"] = draw(st.permutations(spans))
    verdicts = {(one.request, one.fact, one.verdict) for one in scene.judge().judgements if one.convention == "mlflow"}
    assert {one for one in verdicts if one[2] != "recorded"} == set()


@settings(max_examples=60, deadline=None)
@given(shift_ms=st.integers(60, 10_000) | st.integers(-10_000, -60))
def test_a_first_token_of_another_time_is_never_recorded(make_scene: MakeScene, shift_ms: int) -> None:
    """Chunk events none of which is near the first content do not prove it."""
    scene = make_scene(stream=True)
    for event in scene.span["events"]:
        event["time_unix_ns"] = scene.span["events"][1]["time_unix_ns"] + shift_ms * 1_000_000
    assert scene.verdict("time_to_first_token") != "recorded"


CALLS = st.fixed_dictionaries(
    {},
    optional={
        "index": SCALARS,
        "id": VALUES,
        "function": VALUES | st.fixed_dictionaries({"name": VALUES, "arguments": VALUES}),
    },
)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"content": VALUES, "refusal": VALUES, "tool_calls": VALUES | st.lists(VALUES | CALLS, max_size=3)}
)
CHOICES = st.fixed_dictionaries(
    {}, optional={"index": SCALARS, "delta": VALUES | MESSAGES, "message": VALUES | MESSAGES, "finish_reason": VALUES}
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "model": VALUES,
        "usage": VALUES | st.fixed_dictionaries({"prompt_tokens": VALUES, "prompt_tokens_details": VALUES}),
        "error": VALUES | st.fixed_dictionaries({"message": VALUES, "type": VALUES, "code": VALUES}),
        "choices": VALUES | st.lists(VALUES | CHOICES, max_size=3),
        **dict.fromkeys(("messages", "tools", "stream", "detail"), VALUES),
    },
)


ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "reasoning"]) | VALUES},
    optional={"content": VALUES | st.lists(VALUES, max_size=2), "arguments": VALUES, "call_id": VALUES},
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["response.output_text.delta", "response.output_item.added", "error"]) | VALUES,
        "response": VALUES | st.fixed_dictionaries({"output": VALUES | st.lists(ITEMS, max_size=2), "usage": VALUES}),
        "item": VALUES | ITEMS,
        **dict.fromkeys(("output", "data", "embedding", "input", "instructions"), VALUES | st.lists(ITEMS, max_size=2)),
        **dict.fromkeys(("delta", "output_index", "content_index", "incomplete_details", "error", "status"), VALUES),
    },
)
PATHS = st.sampled_from(["/v1/chat/completions", "/v1/responses", "/v1/embeddings"])


@settings(max_examples=200, deadline=None)
@given(payloads=st.lists(PAYLOADS | RESPONSES, max_size=4), stream=st.booleans(), path=PATHS)
def test_no_wire_breaks_the_reader(
    make_scene: MakeScene, payloads: list[dict[str, Any]], stream: bool, path: str
) -> None:
    """Whatever JSON is on the wire of whatever endpoint is read and judged as far as it can be."""
    scene = make_scene(stream=stream)
    exchange = scene.exchanges[0]
    exchange["path"] = path
    texts = [json.dumps(payload) for payload in payloads]
    exchange["request_body"] = texts[0] if texts else ""
    if stream:
        exchange["chunks"] = tuple(Chunk(sent_ns=1, data=f"data: {text}") for text in texts)
    else:
        exchange |= {"response_body": texts[-1] if texts else None, "status": 200 + 250 * len(texts)}
    assert scene.judge().calls == 1


@given(value=VALUES)
def test_every_value_is_the_same_as_itself(value: Any) -> None:
    """A value, and the value read back from JSON, state the same."""
    assert same_value(value, json.loads(json.dumps(value)))


@given(one=VALUES, other=VALUES)
def test_sameness_is_symmetric(one: Any, other: Any) -> None:
    """Which of two values was on the wire does not matter."""
    assert same_value(one, other) == same_value(other, one) == (canonical(one) == canonical(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, 1), (False, 0), (1, "1"), ("a", "A"), ([1, 2], [2, 1]), (0.1, 0.10001), ([], None), ("", None)],
)
def test_nothing_else_is_forgiven(one: Any, other: Any) -> None:
    """Truth values are no numbers, numbers no texts, and order, case and emptiness count."""
    assert not same_value(one, other)


def test_two_text_parts_are_not_one_text() -> None:
    """Only a list of exactly one text part is its text."""
    part = {"type": "text", "text": "a"}
    assert canonical_content([part]) == "a"
    assert canonical_content([part, part]) != "aa"
    assert canonical_content([{**part, "cache": 1}]) != "a"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"refusal": None, "tool_calls": []}, True),
        ({"prefix": False}, True),
        ({"prefix": True}, False),
        ({"name": "x"}, False),
        ({"role": "developer"}, False),
        ({"content": "a "}, False),
        ({"content": ""}, False),
    ],
)
def test_what_messages_may_differ_in(change: dict[str, Any], same: bool) -> None:
    """Extra nulls and ways of writing nothing are forgiven; role, name and text are not."""
    message = {"role": "assistant", "content": "a"}
    assert same_messages([message], [message | change]) is same


def test_the_order_of_messages_and_calls_counts() -> None:
    """Messages and tool calls in another order are others."""
    first, second = {"role": "user", "content": "a"}, {"role": "user", "content": "b"}
    assert not same_messages([first, second], [second, first])
    assert not same_messages([first], [first, second])
    one = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    other = {"id": "2", "function": {"name": "f", "arguments": "{}"}}
    assert same_calls([[one, other]], [[one, other]])
    assert not same_calls([[one, other]], [[other, one]])
