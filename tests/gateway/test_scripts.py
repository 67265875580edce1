"""What a sample's script makes the gateway answer, over real connections."""

from __future__ import annotations

import json
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness.gateway.tokens import pieces
from harness.prompts import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import CallId, Dialect
    from tests.gateway.conftest import RunningGateway

CHAT, EMBEDDINGS, RESPONSES = "/v1/chat/completions", "/v1/embeddings", "/v1/responses"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "some-model", "messages": [{"role": "user", "content": "?"}]},
    EMBEDDINGS: {"model": "some-model", "input": "some text"},
    RESPONSES: {"model": "some-model", "input": "?"},
}
SERVED: list[tuple[Dialect, str]] = [
    ("openai", CHAT),
    ("openai", EMBEDDINGS),
    ("openai", RESPONSES),
    ("mistral", CHAT),
    ("mistral", EMBEDDINGS),
]
STREAMED: list[tuple[Dialect, str]] = [("openai", CHAT), ("openai", RESPONSES), ("mistral", CHAT)]
WEATHER = {"type": "function", "name": "weather", "function": {"name": "weather", "parameters": {"type": "object"}}}

SCRIPTS: dict[str, list[dict[str, Any]]] = {
    **{f"status-{status}": [{"status": status}] for status in (400, 401, 403, 404, 422, 429, 500, 503)},
    "own-error": [{"status": 418, "error_type": "pot", "error_code": "tea", "error_message": "Short and stout."}],
    "retries": [
        {"status": 429, "headers": {"Retry-After-Ms": "3", "content-length": "7"}},
        {"status": 500},
        {"content": "at last"},
    ],
    "delay": [{"delay_ms": 120.0}],
    "error-delay": [{"delay_ms": 120.0, "status": 500}],
    "long-delay": [{"delay_ms": 60_000.0}],
    "chunk-delay": [{"chunk_delay_ms": 25.0, "tokens": 4}],
    "cut": [{"cut_after": 3}],
    "cut-at-once": [{"cut_after": 0}],
    "cut-beyond": [{"cut_after": 1_000_000}],
    "broken": [{"error_after": 3, "error_message": "it broke"}],
    "broken-late": [{"error_after": 1_000_000}],
    "no-content": [{"status": 204}],
    "malformed": [{"malformed": True}],
    "malformed-error": [{"malformed": True, "status": 500}],
    "usage": [{"usage": {"input_tokens": 5, "output_tokens": 7, "cached_tokens": 2, "reasoning_tokens": 1}}],
    "no-usage": [{"omit_usage": True}],
    "model": [{"model": "another-model"}],
    "filtered": [{"finish_reason": "content_filter"}],
    "long": [{"tokens": 400}],
    "empty": [{"content": ""}],
    "refusal": [{"refusal": "That I will not do."}],
    "calls": [{"tool_calls": [{"name": "weather", "arguments": {"city": city}} for city in ("Rome", "Oslo")]}],
    "failed": [{"response_status": "failed", "error_message": "bad luck"}],
    "incomplete": [{"response_status": "incomplete"}],
}


@pytest.fixture(scope="module")
def gateway(start_for_module: Callable[..., RunningGateway]) -> RunningGateway:
    """A gateway with all of these scripts."""
    message = ({"role": "user", "content": "?"},)
    samples = [Sample(id=name, messages=message, script=tuple(script)) for name, script in SCRIPTS.items()]
    return start_for_module(samples=tuple(samples))


@pytest.fixture
def ask(gateway: RunningGateway, make_call: Callable[..., CallId], request: Any) -> Callable[..., httpx.Response]:
    """Ask for a sample's answer, each test in a flow of its own."""
    cell = f"cell-{abs(hash(request.node.name))}"

    def post(script: str, dialect: Dialect = "openai", path: str = CHAT, **parameters: Any) -> httpx.Response:
        arm = parameters.pop("arm", "strategy")
        return gateway.post(
            {**BODIES[path], **parameters}, dialect=dialect, path=path, call=make_call(script, cell=cell, arm=arm)
        )

    return post


def _events(text: str) -> list[dict[str, Any]]:
    """The events of a stream that are JSON."""
    data = [event.partition("data: ")[2] for event in text.split("\n\n") if event]
    return [json.loads(one) for one in data if one != "[DONE]"]


@pytest.mark.parametrize(("dialect", "path"), SERVED)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
def test_errors_have_their_status_and_the_dialects_form(ask: Any, dialect: Dialect, path: str, status: int) -> None:
    """Whatever was asked for, streamed or not, the error names a type and says something."""
    for parameters in ({}, {"stream": True}):
        answer = ask(f"status-{status}", dialect, path, **parameters)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("application/json")
        document = answer.json()
        if dialect == "openai":
            assert list(document["error"]) == ["message", "type", "param", "code"]
        elif status == 401:
            assert document == {"detail": "Unauthorized"}
        else:
            assert list(document) == ["object", "message", "type", "param", "code"]


def test_an_error_says_what_the_script_says(ask: Any) -> None:
    """Type, code and message are the script's where it gives them."""
    error = {"message": "Short and stout.", "type": "pot", "param": None, "code": "tea"}
    answer = ask("own-error")
    assert (answer.status_code, answer.json()) == (418, {"error": error})
    assert ask("own-error", "mistral").json() == {"object": "error", **error}


@pytest.mark.parametrize(("dialect", "path"), [("openai", CHAT), ("mistral", CHAT), ("openai", EMBEDDINGS)])
def test_entries_are_used_up_in_order_and_the_last_repeats(ask: Any, dialect: Dialect, path: str) -> None:
    """Two failures and then answers for good, for each flow anew."""
    for arm in ("strategy", "baseline"):
        answers = [ask("retries", dialect, path, arm=arm) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [429, 500, 200, 200]
        assert answers[0].headers["retry-after-ms"] == "3"
        if path == CHAT:
            assert answers[3].json()["choices"][0]["message"]["content"] == "at last"


def test_headers_of_the_script_do_not_break_the_framing(ask: Any) -> None:
    """A length of the script's own would leave the client waiting; it is not sent."""
    answer = ask("retries")
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(("dialect", "path"), SERVED)
@pytest.mark.parametrize("script", ["delay", "error-delay"])
def test_a_delay_stands_before_the_answer(
    gateway: RunningGateway, ask: Any, script: str, dialect: Dialect, path: str
) -> None:
    """The wait is planned, kept, and recorded."""
    gateway.settle()
    ask(script, dialect, path)
    (exchange,) = gateway.take()
    assert exchange.latency_planned_ns == 120_000_000
    assert exchange.first_byte_ns is not None
    assert exchange.first_byte_ns - exchange.received_ns >= 120_000_000


@pytest.mark.parametrize(("dialect", "path"), STREAMED)
def test_a_chunk_delay_stands_before_each_further_event(
    gateway: RunningGateway, ask: Any, dialect: Dialect, path: str
) -> None:
    """Events come apart, the closing mark together with the last of them."""
    gateway.settle()
    ask("chunk-delay", dialect, path, stream=True)
    (exchange,) = gateway.take()
    assert exchange.chunks is not None
    events = [chunk for chunk in exchange.chunks if "[DONE]" not in chunk.data]
    gaps_ns = [later.sent_ns - earlier.sent_ns for earlier, later in pairwise(events)]
    assert exchange.latency_planned_ns == 25_000_000 * len(gaps_ns)
    assert sum(gaps_ns) >= 25_000_000 * (len(gaps_ns) - 1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_delay_blocks_nobody_else_and_a_client_may_leave(
    gateway: RunningGateway, make_call: Any, stream: bool
) -> None:
    """Others are answered meanwhile; the client that gave up is recorded, with no status."""
    gateway.settle()
    started = threading.Event()
    errors: list[type[Exception]] = []

    def wait() -> None:
        headers = {"x-harness-call-id": str(make_call("long-delay", cell=f"leaving-{stream}"))}
        started.set()
        try:
            httpx.post(gateway.url(), json={**BODIES[CHAT], "stream": stream}, headers=headers, timeout=1.0)
        except httpx.TimeoutException as error:
            errors.append(type(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    started.wait()
    time.sleep(0.1)
    assert gateway.post(BODIES[CHAT]).status_code == 200
    assert waiting.is_alive()
    waiting.join()
    exchanges = sorted(gateway.take(2), key=lambda exchange: exchange.status or 0)
    assert errors == [httpx.ReadTimeout]
    assert [(one.status, one.completed, one.error) for one in exchanges] == [
        (None, False, "client closed the connection"),
        (200, True, None),
    ]


@pytest.mark.parametrize(("dialect", "path"), SERVED)
@pytest.mark.parametrize("script", ["cut", "cut-at-once"])
def test_a_single_answer_is_cut_in_the_middle(
    gateway: RunningGateway, ask: Any, script: str, dialect: Dialect, path: str
) -> None:
    """The length promises more than comes; the record holds what went out and says why."""
    gateway.settle()
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
        ask(script, dialect, path)
    (exchange,) = gateway.take()
    count = SCRIPTS[script][0]["cut_after"]
    assert (exchange.status, exchange.completed) == (200, False)
    assert exchange.response_size_bytes == count
    assert exchange.error == f"cut after {count} bytes, as scripted"


@pytest.mark.parametrize(("dialect", "path"), STREAMED)
@pytest.mark.parametrize("script", ["cut", "cut-at-once"])
def test_a_stream_is_cut_in_the_middle(
    gateway: RunningGateway, ask: Any, script: str, dialect: Dialect, path: str
) -> None:
    """So many events come, and no end."""
    gateway.settle()
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
        ask(script, dialect, path, stream=True)
    (exchange,) = gateway.take()
    count = SCRIPTS[script][0]["cut_after"]
    assert (exchange.status, exchange.completed) == (200, False)
    assert exchange.chunks is not None
    assert len(exchange.chunks) == count
    assert exchange.error == f"cut after {count} events, as scripted"


@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_beyond_the_end_cuts_nothing(gateway: RunningGateway, ask: Any, stream: bool) -> None:
    """The answer is whole then, and so is the record."""
    gateway.settle()
    assert ask("cut-beyond", stream=stream).status_code == 200
    (exchange,) = gateway.take()
    assert (exchange.completed, exchange.error) == (True, None)


@pytest.mark.parametrize(("dialect", "path"), STREAMED)
def test_a_stream_ends_with_an_error_event(gateway: RunningGateway, ask: Any, dialect: Dialect, path: str) -> None:
    """Three events, then the error, and a proper end without the closing mark."""
    gateway.settle()
    answer = ask("broken", dialect, path, stream=True)
    events = _events(answer.text)
    assert len(events) == 4
    error = events[3]["error"] if (dialect, path) == ("openai", CHAT) else events[3]
    assert error["message"] == "it broke"
    if path == RESPONSES:
        assert (error["type"], error["sequence_number"]) == ("error", 3)
    assert "[DONE]" not in answer.text
    (exchange,) = gateway.take()
    assert (exchange.completed, exchange.error) == (True, None)


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
def test_an_error_beyond_the_end_comes_last(ask: Any, dialect: Dialect) -> None:
    """All of the answer, then the error in place of the closing mark."""
    text = ask("broken-late", dialect, stream=True).text
    assert "[DONE]" not in text
    *_, finish, error = _events(text)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert "message" in (error["error"] if dialect == "openai" else error)


@pytest.mark.parametrize("stream", [False, True])
def test_a_status_without_a_body_has_none(gateway: RunningGateway, make_call: Any, stream: bool) -> None:
    """The connection can be used again."""
    headers = {"x-harness-call-id": str(make_call("no-content"))}
    with httpx.Client(trust_env=False) as client:
        for _ in range(2):
            answer = client.post(gateway.url(), json={**BODIES[CHAT], "stream": stream}, headers=headers)
            assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(("dialect", "path"), SERVED)
@pytest.mark.parametrize("script", ["malformed", "malformed-error"])
def test_a_malformed_answer_is_no_json(ask: Any, script: str, dialect: Dialect, path: str) -> None:
    """The answer is whole as far as HTTP goes."""
    answer = ask(script, dialect, path)
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize(("dialect", "path"), STREAMED)
def test_one_event_of_a_malformed_stream_is_no_json(ask: Any, dialect: Dialect, path: str) -> None:
    """It stands in the middle; the others can be read."""
    text = ask("malformed", dialect, path, stream=True).text
    bad = []
    data = [event.partition("data: ")[2] for event in text.split("\n\n")[:-1]]
    for place, one in enumerate(data):
        try:
            json.loads(one.replace("[DONE]", "0"))
        except json.JSONDecodeError:
            bad.append(place)
    assert bad == [len(data) // 2]


@pytest.mark.parametrize(("dialect", "path"), STREAMED)
def test_usage_is_the_scripts(ask: Any, dialect: Dialect, path: str) -> None:
    """Single and streamed; the total follows."""
    options = {"stream_options": {"include_usage": True}} if (dialect, path) == ("openai", CHAT) else {}
    for document in (
        ask("usage", dialect, path).json(),
        _events(ask("usage", dialect, path, stream=True, **options).text)[-1],
    ):
        usage = document.get("response", document)["usage"]
        assert usage["total_tokens"] == 12
        assert usage["input_tokens_details" if path == RESPONSES else "prompt_tokens_details"]["cached_tokens"] == 2


@pytest.mark.parametrize(("dialect", "path"), SERVED)
def test_usage_can_be_left_out(ask: Any, dialect: Dialect, path: str) -> None:
    """The key is not there, single and streamed."""
    assert "usage" not in ask("no-usage", dialect, path).json()
    if (dialect, path) in STREAMED:
        asked = {"stream_options": {"include_usage": True}} if dialect == "openai" and path == CHAT else {}
        for event in _events(ask("no-usage", dialect, path, stream=True, **asked).text):
            assert not event.get("usage")
            assert "usage" not in event.get("response", {})


@pytest.mark.parametrize(("dialect", "path"), SERVED)
def test_another_model_answers(ask: Any, dialect: Dialect, path: str) -> None:
    """Not the one that follows from the request."""
    assert ask("model", dialect, path).json()["model"] == "another-model"


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_finish_reason_is_the_scripts(ask: Any, dialect: Dialect, stream: bool) -> None:
    """Chat completions say it in the choice."""
    answer = ask("filtered", dialect, stream=stream)
    document = _events(answer.text)[-1] if stream else answer.json()
    assert document["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("filtered", ("incomplete", {"reason": "content_filter"}, None)),
        ("incomplete", ("incomplete", {"reason": "max_output_tokens"}, None)),
        ("failed", ("failed", None, {"code": "server_error", "message": "bad luck"})),
    ],
)
def test_responses_end_as_scripted(ask: Any, stream: bool, script: str, end: tuple[Any, ...]) -> None:
    """Incomplete with a reason, or failed with an error; a stream's last event is named for it."""
    answer = ask(script, path=RESPONSES, stream=stream)
    assert answer.status_code == 200
    document = answer.json() if not stream else _events(answer.text)[-1]
    if stream:
        assert document["type"] == f"response.{end[0]}"
        document = document["response"]
    assert (document["status"], document["incomplete_details"], document["error"]) == end
    assert bool(document["output"]) == (document["usage"] is not None) == (script != "failed")


@pytest.mark.parametrize(("dialect", "path"), STREAMED)
def test_long_streams_have_as_many_pieces_as_scripted(ask: Any, dialect: Dialect, path: str) -> None:
    """Four hundred events with text."""
    events = _events(ask("long", dialect, path, stream=True).text)
    if path == CHAT:
        texts = [choice["delta"].get("content") for event in events for choice in event["choices"]]
    else:
        texts = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    found = list(filter(None, texts))
    assert len(found) == 400
    assert len(pieces("".join(found))) == 400


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
def test_content_and_refusal_are_the_scripts(ask: Any, dialect: Dialect) -> None:
    """An empty text is one; a refusal has a place of its own with OpenAI, streamed or not."""
    assert ask("empty", dialect).json()["choices"][0]["message"]["content"] == ""
    message = ask("refusal", dialect).json()["choices"][0]["message"]
    deltas = [event["choices"][0]["delta"] for event in _events(ask("refusal", dialect, stream=True).text)]
    if dialect == "openai":
        assert (message["content"], message["refusal"]) == (None, "That I will not do.")
        assert "".join(delta.get("refusal") or "" for delta in deltas) == "That I will not do."
    else:
        assert message["content"] == "That I will not do."


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
def test_scripted_calls_are_made_where_tools_are_offered(ask: Any, dialect: Dialect) -> None:
    """All of them, with ids of the dialect's form that differ, and none where no tool is offered."""
    choice = ask("calls", dialect, tools=[WEATHER]).json()["choices"][0]
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    assert {len(call["id"]) for call in calls} == ({29} if dialect == "openai" else {9})
    assert len({call["id"] for call in calls}) == 2
    assert not ask("calls", dialect).json()["choices"][0]["message"].get("tool_calls")


def test_scripted_calls_of_the_responses_api(ask: Any) -> None:
    """They are items of the output, and their arguments come in pieces in a stream."""
    output = ask("calls", path=RESPONSES, tools=[WEATHER]).json()["output"]
    assert [(item["type"], json.loads(item["arguments"])["city"]) for item in output] == [
        ("function_call", "Rome"),
        ("function_call", "Oslo"),
    ]
    events = _events(ask("calls", path=RESPONSES, tools=[WEATHER], stream=True).text)
    for index, item in enumerate(output):
        deltas = [event["delta"] for event in events if "delta" in event and event["output_index"] == index]
        assert "".join(deltas) == item["arguments"]
        assert len(deltas) > 1
