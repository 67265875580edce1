"""Embeddings, the Responses API, tools and structured output, without a process or a network."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from harness.gateway.endpoints import CHAT, ENDPOINTS, endpoint_at
from harness.gateway.settings import GatewayConfig
from harness.gateway.simulator import Simulator
from harness.gateway.tokens import pieces
from harness.prompts import Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.gateway.endpoints import Endpoint
    from harness.gateway.simulator import Answer
    from harness.records import CallId, Dialect

    Ask = Callable[..., Answer]

EMBEDDINGS, RESPONSES = endpoint_at("/v1/embeddings"), endpoint_at("/v1/responses")
SERVED = [(endpoint, dialect) for endpoint in ENDPOINTS for dialect in endpoint.dialects]
DIALECTS: list[Dialect] = ["openai", "mistral"]
MESSAGES = [{"role": "user", "content": "?"}]
VALID: dict[Endpoint, dict[str, Any]] = {
    CHAT: {"model": "gpt-4o", "messages": MESSAGES},
    EMBEDDINGS: {"model": "text-embedding-3-small", "input": "some text", "dimensions": 8, "output_dimension": 8},
    RESPONSES: {"model": "gpt-4o", "input": "?"},
}


class Weather(BaseModel):
    """What a tool is called with."""

    city: str
    days: int


def _function(name: str) -> dict[str, Any]:
    return {"name": name, "description": name, "parameters": Weather.model_json_schema()}


TOOLS = [{"type": "function", "function": _function(name)} for name in ("now", "later")]
FLAT_TOOLS = [{"type": "function", **_function(name)} for name in ("now", "later")]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask a simulator that knows one sample with an expected answer and one without."""
    samples = (
        Sample(id="capital", messages=({"role": "user", "content": "?"},), expected="It is Paris, I think."),
        Sample(id="story", messages=({"role": "user", "content": "?"},)),
    )
    simulator = Simulator(GatewayConfig(records_path=tmp_path / "unused.jsonl", samples=samples, seed=7))

    def answer(
        endpoint: Endpoint, body: dict[str, Any], dialect: Dialect = "openai", call: CallId | None = None
    ) -> Answer:
        whole = {**VALID[endpoint], **body}
        if dialect == "mistral":
            whole.pop("dimensions", None)
        return simulator.answer(dialect, json.dumps(whole).encode(), call, endpoint)

    return answer


def _json(answer: Answer) -> Any:
    assert answer.body is not None
    return json.loads(answer.body)


def _data(answer: Answer) -> list[Any]:
    assert answer.rounds is not None
    texts = [event.partition(b"data: ")[2] for events in answer.rounds for event in events]
    return [json.loads(text) for text in texts if not text.startswith(b"[DONE]")]


@pytest.mark.parametrize(
    ("path", "endpoint"), [("/v1/embeddings?a=1", EMBEDDINGS), ("/v1/chat/completions#stream", CHAT)]
)
def test_an_endpoint_is_found_by_its_path(path: str, endpoint: Endpoint) -> None:
    """A query does not matter, nor does an escaped sign."""
    assert endpoint_at(path) is endpoint_at(path.replace("#", "%23")) is endpoint


@pytest.mark.parametrize("dialect", DIALECTS)
def test_vectors_have_length_one_and_belong_to_their_text(ask: Ask, dialect: Dialect) -> None:
    """Whatever stands beside it in the request and whichever call asks, a text has one vector."""
    several = _json(ask(EMBEDDINGS, {"input": ["one thing", "another", "one thing"]}, dialect))
    vectors = [item["embedding"] for item in several["data"]]
    assert [item["index"] for item in several["data"]] == [0, 1, 2]
    assert vectors[0] == vectors[2] == _json(ask(EMBEDDINGS, {"input": "one thing"}, dialect))["data"][0]["embedding"]
    assert vectors[0] != vectors[1]
    for vector in vectors:
        assert math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-6)
    assert several["usage"]["prompt_tokens"] == several["usage"]["total_tokens"] == 5


def test_texts_that_share_words_are_near(ask: Ask) -> None:
    """A retriever finds the passage that the question is about."""
    texts = ["When was the bridge built?", "The bridge was built in 1890.", "Cats sleep for most of the day."]
    question, passage, other = [
        item["embedding"] for item in _json(ask(EMBEDDINGS, {"input": texts, "dimensions": 256}))["data"]
    ]
    near, far = (sum(map(float.__mul__, question, one)) for one in (passage, other))
    assert near > far + 0.2


def test_base64_holds_the_same_numbers(ask: Ask) -> None:
    """Four bytes a number, as OpenAI's SDK asks for by default."""
    plain, packed = (
        _json(ask(EMBEDDINGS, {"encoding_format": encoding}))["data"][0]["embedding"]
        for encoding in ("float", "base64")
    )
    assert struct.unpack("<8f", base64.b64decode(packed)) == pytest.approx(plain, abs=1e-7)


@pytest.mark.parametrize(
    ("dialect", "model", "asked", "size"),
    [
        ("openai", "text-embedding-3-small", {"dimensions": None}, 1536),
        ("openai", "text-embedding-3-large", {"dimensions": None}, 3072),
        ("openai", "text-embedding-3-large", {"dimensions": 256}, 256),
        ("mistral", "mistral-embed", {"output_dimension": None}, 1024),
        ("mistral", "codestral-embed", {"output_dimension": 256}, 256),
    ],
)
def test_vectors_are_as_long_as_the_model_makes_them(
    ask: Ask, dialect: Dialect, model: str, asked: dict[str, Any], size: int
) -> None:
    """Unless the request asks for another length."""
    (item,) = _json(ask(EMBEDDINGS, {"model": model, **asked}, dialect))["data"]
    assert len(item["embedding"]) == size


def test_token_numbers_are_texts_too(ask: Ask) -> None:
    """LangChain sends them in place of texts; each number is a token."""
    one, several = _json(ask(EMBEDDINGS, {"input": [1, 2, 3]})), _json(ask(EMBEDDINGS, {"input": [[1, 2, 3], [4]]}))
    assert one["data"][0]["embedding"] == several["data"][0]["embedding"]
    assert (one["usage"]["prompt_tokens"], several["usage"]["prompt_tokens"]) == (3, 4)


@pytest.mark.parametrize("choice", ["required", "any", {"type": "function", "function": {"name": "later"}}])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_forced_tool_is_called_with_valid_arguments(ask: Ask, dialect: Dialect, choice: Any) -> None:
    """Single and streamed say the same; OpenAI ends the call of a named tool with "stop"."""
    body = {"tools": TOOLS, "tool_choice": choice}
    (answered,) = _json(ask(CHAT, body, dialect))["choices"]
    (call,) = answered["message"]["tool_calls"]
    Weather.model_validate_json(call["function"]["arguments"])
    assert call["function"]["name"] in (("later",) if isinstance(choice, dict) else ("now", "later"))
    named = isinstance(choice, dict) and dialect == "openai"
    assert answered["finish_reason"] == ("stop" if named else "tool_calls")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_streamed_calls_join_to_the_single_ones(ask: Ask, dialect: Dialect, make_call: Any) -> None:
    """OpenAI sends arguments piece by piece, Mistral each call in one event with the reason."""
    body = {"tools": TOOLS, "tool_choice": "required"}
    (single,) = _json(ask(CHAT, body, dialect, make_call()))["choices"][0]["message"]["tool_calls"]
    deltas = [event["choices"][0] for event in _data(ask(CHAT, {**body, "stream": True}, dialect, make_call()))]
    parts = [call for delta in deltas for call in delta["delta"].get("tool_calls") or ()]
    assert "".join(part["function"]["arguments"] for part in parts) == single["function"]["arguments"]
    if dialect == "mistral":
        assert len(parts) == 1
        assert deltas[-1]["delta"]["tool_calls"] == parts
    else:
        assert len(parts) == 1 + len(pieces(single["function"]["arguments"]))
        assert [sorted(part) for part in parts[:2]] == [["function", "id", "index", "type"], ["function", "index"]]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_nothing_is_called_that_is_not_forced(ask: Ask, dialect: Dialect, choice: Any, make_call: Any) -> None:
    """The expected answer is given instead."""
    answer = _json(ask(CHAT, {"tools": TOOLS, "tool_choice": choice}, dialect, make_call()))
    assert answer["choices"][0]["message"]["content"] == "It is Paris, I think."


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_answer_after_a_tools_result_is_text(ask: Ask, dialect: Dialect) -> None:
    """Else an agent that is forced to call a tool would never end."""
    messages = [*MESSAGES, {"role": "assistant", "content": "", "tool_calls": []}, {"role": "tool", "content": "5"}]
    answer = _json(ask(CHAT, {"messages": messages, "tools": TOOLS, "tool_choice": "any"}, dialect))
    assert answer["choices"][0]["message"]["content"]


def test_calls_are_cut_by_the_limit_too(ask: Ask) -> None:
    """The arguments break off, as they do with the real models."""
    (choice,) = _json(ask(CHAT, {"tools": TOOLS, "tool_choice": "required", "max_tokens": 4}))["choices"]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_structured_output_is_valid(ask: Ask, dialect: Dialect, make_call: Any) -> None:
    """Every choice and every stream is JSON of the schema; an expected answer wins."""
    schema = {"type": "json_schema", "json_schema": {"name": "w", "schema": Weather.model_json_schema()}}
    body = {"response_format": schema, "n": 2}
    texts = [choice["message"]["content"] for choice in _json(ask(CHAT, body, dialect, make_call("story")))["choices"]]
    for text in texts:
        Weather.model_validate_json(text)
    assert texts[0] != texts[1]
    expected = _json(ask(CHAT, body, dialect, make_call("capital")))["choices"][0]["message"]["content"]
    assert expected == "It is Paris, I think."


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_any_json_object_will_do(ask: Ask, endpoint: Endpoint, make_call: Any) -> None:
    """Where no schema is given, the text is some object."""
    form = {"type": "json_object"}
    body = {"response_format": form} if endpoint is CHAT else {"text": {"format": form}}
    answer = _json(ask(endpoint, body, "openai", make_call("story")))
    text = answer["choices"][0]["message"]["content"] if endpoint is CHAT else answer["output"][0]["content"][0]["text"]
    assert isinstance(json.loads(text), dict)


def test_responses_structured_output_is_valid(ask: Ask) -> None:
    """The schema stands in the text's format there."""
    form = {"type": "json_schema", "name": "w", "schema": Weather.model_json_schema()}
    answer = _json(ask(RESPONSES, {"text": {"format": form}}))
    Weather.model_validate_json(answer["output"][0]["content"][0]["text"])
    assert answer["text"]["format"] == form


def test_responses_say_what_chat_completions_say(ask: Ask, make_call: Any) -> None:
    """One sample, one text, whatever it is asked for with."""
    answer = _json(ask(RESPONSES, {}, "openai", make_call()))
    assert answer["output"][0]["content"][0]["text"] == "It is Paris, I think."
    assert (answer["usage"]["output_tokens"], answer["status"]) == (7, "completed")


def test_a_responses_stream_ends_with_the_single_answer(ask: Ask, make_call: Any) -> None:
    """Its last event holds the whole response; its deltas join to the text."""
    body = {"tools": FLAT_TOOLS, "model": "gpt-5", "reasoning": {"summary": "auto"}, "instructions": "Be brief."}
    events = _data(ask(RESPONSES, {**body, "stream": True}, "openai", make_call()))
    single = _json(ask(RESPONSES, body, "openai", make_call(arm="baseline")))
    assert events[-1]["response"] == single
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text == single["output"][1]["content"][0]["text"]
    summary = "".join(event["delta"] for event in events if event["type"] == "response.reasoning_summary_text.delta")
    assert summary == single["output"][0]["summary"][0]["text"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == single["output"]


def test_responses_reason(ask: Ask) -> None:
    """A reasoning item stands before the message, and its tokens are counted."""
    answer = _json(ask(RESPONSES, {"model": "gpt-5-nano"}))
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]
    assert answer["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert answer["reasoning"] == {"effort": "medium", "summary": None}


def test_responses_are_cut_by_their_limit(ask: Ask, make_call: Any) -> None:
    """They are incomplete then, single and streamed, and so is their message."""
    body = {"max_output_tokens": 3}
    single = _json(ask(RESPONSES, body, "openai", make_call()))
    streamed = _data(ask(RESPONSES, {**body, "stream": True}, "openai", make_call()))[-1]
    assert streamed["type"] == "response.incomplete"
    for answer in (single, streamed["response"]):
        assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert answer["output"][0]["status"] == "incomplete"
        assert answer["output"][0]["content"][0]["text"] == "It is Paris"


def test_responses_call_tools(ask: Ask) -> None:
    """A forced one with valid arguments; after its result there is text."""
    body = {"tools": FLAT_TOOLS, "tool_choice": {"type": "function", "name": "later"}}
    (item,) = _json(ask(RESPONSES, body))["output"]
    assert (item["type"], item["name"]) == ("function_call", "later")
    Weather.model_validate_json(item["arguments"])
    result = {"type": "function_call_output", "call_id": item["call_id"], "output": "5"}
    answer = _json(ask(RESPONSES, {**body, "input": [{"role": "user", "content": "?"}, item, result]}))
    assert answer["output"][0]["type"] == "message"


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_long_prompts_are_partly_cached(ask: Ask, endpoint: Endpoint) -> None:
    """Whole steps of 128 tokens, in both of OpenAI's forms."""
    text = "word " * 1300
    body = {"messages": [{"role": "user", "content": text}]} if endpoint is CHAT else {"input": text}
    usage = _json(ask(endpoint, body))["usage"]
    counted = usage.get("prompt_tokens") or usage.get("input_tokens")
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    assert details["cached_tokens"] == counted // 128 * 128 > 0


def test_images_count_by_their_detail(ask: Ask) -> None:
    """85 tokens, or 765 in high detail; the length of an image's data does not matter."""
    data = "data:image/png;base64," + "A" * 5000

    def tokens(detail: str | None) -> tuple[int, int]:
        image = {"url": data} if detail is None else {"url": data, "detail": detail}
        flat = {"type": "input_image", "image_url": data, "detail": detail or "auto"}
        chat = {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": image}]}
            ]
        }
        items = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "?"}, flat]}]}
        return (
            _json(ask(CHAT, chat))["usage"]["prompt_tokens"],
            _json(ask(RESPONSES, items))["usage"]["input_tokens"],
        )

    assert tokens(None) == tokens("low")
    assert [high - low for high, low in zip(tokens("high"), tokens("low"), strict=True)] == [680, 680]


@pytest.mark.parametrize(("endpoint", "dialect"), SERVED)
@pytest.mark.parametrize("stream", [False, True])
def test_both_arms_get_the_same_bytes(
    ask: Ask, endpoint: Endpoint, dialect: Dialect, stream: bool, make_call: Any
) -> None:
    """Ids of answers, calls and items included; another step gets others."""
    tools = FLAT_TOOLS if endpoint is RESPONSES else TOOLS
    body = {"stream": stream, "tools": tools, "tool_choice": "required"}
    one, other = (ask(endpoint, body, dialect, make_call(arm=arm, cell=arm)) for arm in ("strategy", "baseline"))
    assert one == other
    if (endpoint, dialect) != (EMBEDDINGS, "openai"):
        later = ask(endpoint, body, dialect, make_call(step=1))
        assert (later.body, later.rounds) != (one.body, one.rounds)


@pytest.mark.parametrize(
    ("endpoint", "body", "names"),
    [
        (CHAT, {"messages": [{"role": "user", "content": 5}]}, "content"),
        (CHAT, {"stream": "yes"}, "stream"),
        (CHAT, {"temperature": "hot"}, "temperature"),
        (CHAT, {"temperature": True}, "temperature"),
        (CHAT, {"tools": {}}, "tools"),
        (CHAT, {"tools": ["x"]}, "tools"),
        (CHAT, {"tools": [{"type": "function"}]}, "function"),
        (CHAT, {"tools": [{"type": "function", "function": {}}]}, "name"),
        (CHAT, {"tool_choice": "required"}, "tool_choice"),
        (CHAT, {"tool_choice": "sometimes", "tools": TOOLS}, "tool_choice"),
        (CHAT, {"tool_choice": {"type": "function", "function": {"name": "x"}}, "tools": TOOLS}, "tool_choice"),
        (CHAT, {"response_format": "json"}, "response_format"),
        (CHAT, {"response_format": {"type": "xml"}}, "response_format"),
        (CHAT, {"response_format": {"type": "json_schema"}}, "json_schema"),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}}, "schema"),
        (EMBEDDINGS, {"input": None}, "input"),
        (EMBEDDINGS, {"input": ""}, "input"),
        (EMBEDDINGS, {"input": []}, "input"),
        (EMBEDDINGS, {"input": {"a": 1}}, "input"),
        (EMBEDDINGS, {"input": ["a", 1]}, "input"),
        (EMBEDDINGS, {"encoding_format": "xml"}, "encoding_format"),
        (RESPONSES, {"input": None}, "input"),
        (RESPONSES, {"input": []}, "input"),
        (RESPONSES, {"input": ["x"]}, "input"),
        (RESPONSES, {"text": {"format": {"type": "xml"}}}, "text.format"),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "schema": 5}}}, "text.format"),
        (RESPONSES, {"max_output_tokens": "many"}, "max_output_tokens"),
        (RESPONSES, {"tools": [{"type": "function"}]}, "tools"),
    ],
)
def test_wrong_types_are_refused(ask: Ask, endpoint: Endpoint, body: dict[str, Any], names: str) -> None:
    """Status 400 with OpenAI and 422 with Mistral; the error names the field."""
    for dialect in endpoint.dialects:
        answer = ask(endpoint, body, dialect)
        assert answer.status == (400 if dialect == "openai" else 422)
        assert answer.body is not None
        assert names.rpartition(".")[2] in answer.body.decode()


@pytest.mark.parametrize(("endpoint", "dialect"), SERVED)
def test_bodies_that_nest_too_deeply_are_refused(ask: Ask, endpoint: Endpoint, dialect: Dialect) -> None:
    """They can be read, but not written again."""
    deep: Any = {"type": "object"}
    for _ in range(400):
        deep = {"properties": {"a": deep}, "type": "object", "required": ["a"]}
    tool = {"type": "function", "name": "x", "function": {"name": "x", "parameters": deep}, "parameters": deep}
    assert ask(endpoint, {"tools": [tool], "tool_choice": "required"}, dialect).status in (200, 400, 422)


WORDS = ["function", "auto", "required", "json_schema", "text", "user", "tool", "now", "object", "string", "#", "gpt-5"]
KEYS = ["type", "function", "name", "parameters", "schema", "json_schema", "role", "content", "text", "format", "items"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "$ref", "anyOf"]), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = ["model", "messages", "input", "stream", "n", "tools", "tool_choice", "response_format", "text", "reasoning"]
FURTHER = ["stop", "max_tokens", "max_output_tokens", "encoding_format", "stream_options", "instructions", "metadata"]
TOOL = st.fixed_dictionaries({"type": st.just("function"), "name": st.just("now"), "parameters": JSON}).map(
    lambda tool: {**tool, "function": {"name": "now", "parameters": tool["parameters"]}}
)


@given(
    served=st.sampled_from(SERVED),
    changes=st.dictionaries(st.sampled_from([*FIELDS, *FURTHER]), JSON, max_size=2),
    tools=st.none() | st.lists(TOOL, min_size=1, max_size=2),
    stream=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_body_makes_the_simulator_fail(
    tmp_path_factory: pytest.TempPathFactory,
    served: tuple[Endpoint, Dialect],
    changes: dict[str, Any],
    tools: list[Any] | None,
    stream: bool,
) -> None:
    """Whatever is asked, the answer is one or a refusal, and all of it is JSON."""
    endpoint, dialect = served
    forced = {"tools": tools, "tool_choice": "required"} if tools else {}
    body = {**VALID[endpoint], "stream": stream, **forced, **changes}
    simulator = Simulator(GatewayConfig(records_path=tmp_path_factory.getbasetemp() / "unused.jsonl"))
    answer = simulator.answer(dialect, json.dumps(body).encode(), None, endpoint)
    assert answer.status in (200, 400, 404, 422)
    if answer.body is None:
        assert _data(answer)
    else:
        json.loads(answer.body)
