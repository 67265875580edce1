"""The gateway answers from recorded exchanges, through the real SDKs, and never with anything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness.config import DIALECTS, EndpointConfig, PromptsConfig
from harness.errors import EndpointError
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.prompts import resolve_prompts
from harness.providers import PROVIDERS
from harness.records import CALL_ID_HEADER, Chunk, Exchange, write_jsonl
from harness.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openai import OpenAI

    from harness.records import CallId
    from tests.gateway.conftest import RunningGateway

MESSAGES: Any = [{"role": "user", "content": "Where do lost teaspoons go?"}]
COMPLETION = {
    "id": "chatcmpl-spoon",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Behind the oven."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12},
}
MISTRAL = {**COMPLETION, "id": "0123456789abcdef0123456789abcdef", "model": "mistral-small-2506"}
VECTORS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25, 0.009219426]}],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
RESPONSE = {
    "id": "resp_spoon",
    "object": "response",
    "created_at": 1700000000,
    "status": "completed",
    "model": "gpt-4o-mini-2024-07-18",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "In the garden.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}


def chunk(content: str) -> str:
    delta = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    head = {"id": "chatcmpl-s", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini"}
    return f"data: {json.dumps({**head, 'choices': [delta]})}\n\n"


STREAM = "".join([chunk("Under "), chunk("the sofa."), "data: [DONE]\n\n"])


def wire(path: str, body: dict[str, Any], answer: Any, **response: Any) -> dict[str, Any]:
    kind = "application/json" if isinstance(answer, dict) else "text/event-stream; charset=utf-8"
    text = json.dumps(answer, indent=1) if isinstance(answer, dict) else answer
    headers = {"Content-Type": kind, "X-Request-Id": "req_1", "Content-Length": "3", "Transfer-Encoding": "chunked"}
    return {
        "request": {"method": "POST", "path": path, "body": body},
        "response": {"status": 200, "headers": headers, "body": text, **response},
    }


RECORDINGS = {
    "single": wire("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": MESSAGES}, COMPLETION),
    "stream": wire("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": MESSAGES, "stream": True}, STREAM),
    "refused": wire(
        "/v1/chat/completions",
        {"model": "gpt-9", "messages": MESSAGES},
        {"error": {"message": "No such model.", "type": "invalid_request_error", "param": None, "code": "gone"}},
        status=404,
    ),
    "vectors": wire("/v1/embeddings", {"model": "text-embedding-3-small", "input": "spoon"}, VECTORS),
    "response": wire("/v1/responses", {"model": "gpt-4o-mini", "input": "Spoons?"}, RESPONSE),
    "mistral": wire("/v1/chat/completions", {"model": "mistral-small-latest", "messages": MESSAGES}, MISTRAL),
    "mistral-stream": wire(
        "/v1/chat/completions#stream", {"model": "mistral-small-latest", "messages": MESSAGES, "stream": True}, STREAM
    ),
}


def body_of(exchange: Exchange) -> str:
    if exchange.chunks is None:
        return exchange.response_body or ""
    return "".join(one.data for one in exchange.chunks)


@pytest.fixture
def replay(start: Callable[..., RunningGateway], tmp_path: Path) -> RunningGateway:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, recording in RECORDINGS.items():
        (folder / f"{name}.json").write_text(json.dumps(recording))
    return start(kind="replay", recordings_path=folder)


@pytest.fixture
def openai_client(replay: RunningGateway) -> Iterator[OpenAI]:
    from openai import OpenAI

    with OpenAI(base_url=f"{replay.gateway.base_url('openai')}/v1", api_key="unused", max_retries=2) as client:
        yield client


def test_openai_gets_what_was_recorded(openai_client: OpenAI, replay: RunningGateway, make_call: Any) -> None:
    """Single, streamed, failed, vectors and responses: bodies and statuses are the recorded ones, byte for byte."""
    import openai

    def headers(sample: str) -> dict[str, str]:
        return {CALL_ID_HEADER: str(make_call(sample))}

    chat = openai_client.chat.completions.create
    single = chat(model="gpt-4o-mini", messages=MESSAGES, extra_headers=headers("single"))
    assert single.choices[0].message.content == "Behind the oven."
    chunks = list(chat(model="gpt-4o-mini", messages=MESSAGES, stream=True, extra_headers=headers("stream")))
    assert [one.choices[0].delta.content for one in chunks] == ["Under ", "the sofa."]
    with pytest.raises(openai.NotFoundError, match="No such model"):
        chat(model="gpt-9", messages=MESSAGES, extra_headers=headers("refused"))
    answer = openai_client.responses.create(model="gpt-4o-mini", input="Spoons?", extra_headers=headers("response"))
    assert answer.output_text == "In the garden."
    for exchange, name in zip(replay.stop(), ("single", "stream", "refused", "response"), strict=True):
        recorded = RECORDINGS[name]["response"]
        assert (exchange.status, body_of(exchange)) == (recorded["status"], recorded["body"])
        assert exchange.completed
        assert exchange.response_headers is not None
        assert exchange.response_headers["x-request-id"] == "req_1"
        assert exchange.response_headers.get("content-length") != "3"


def test_vectors_come_in_the_encoding_that_is_asked_for(openai_client: OpenAI) -> None:
    """OpenAI's SDK asks for base64 by itself and reads the recorded numbers from it."""
    import struct

    vectors = openai_client.embeddings.create(model="text-embedding-3-small", input=["spoon"]).data[0].embedding
    assert [struct.pack("<f", number) for number in vectors] == [
        struct.pack("<f", number) for number in (0.5, -0.25, 0.009219426)
    ]


def test_mistral_gets_what_was_recorded(replay: RunningGateway) -> None:
    """The other dialect, single and streamed at the path that its SDK asks for."""
    from mistralai.client import Mistral

    with Mistral(server_url=replay.gateway.base_url("mistral"), api_key="unused") as client:
        value = client.chat.complete(model="mistral-small-latest", messages=MESSAGES)
        assert value.choices[0].message is not None
        assert value.choices[0].message.content == "Behind the oven."
        with client.chat.stream(model="mistral-small-latest", messages=MESSAGES) as events:
            assert [event.data.choices[0].delta.content for event in events] == ["Under ", "the sofa."]
    assert [body_of(exchange) for exchange in replay.stop()] == [
        RECORDINGS[name]["response"]["body"] for name in ("mistral", "mistral-stream")
    ]


def test_what_is_not_recorded_is_an_error_that_is_not_retried(openai_client: OpenAI, replay: RunningGateway) -> None:
    """The error says what differs, in the dialect's shape, and comes after one request."""
    import openai

    with pytest.raises(openai.NotFoundError, match=r"seed asked is 3, recorded was absent in single") as missing:
        openai_client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, seed=3)
    assert missing.value.code == "not_in_recording"
    with pytest.raises(openai.NotFoundError, match="the recording holds no such request"):
        openai_client.images.generate(prompt="a spoon")
    exchanges = replay.stop()
    assert [exchange.status for exchange in exchanges] == [404, 404]


def test_mistral_reads_the_error_too(replay: RunningGateway) -> None:
    """The error of a request that is not recorded has Mistral's shape for its SDK."""
    from mistralai.client import Mistral
    from mistralai.client.errors import MistralError

    with (
        Mistral(server_url=replay.gateway.base_url("mistral"), api_key="unused") as client,
        pytest.raises(MistralError, match="the recording holds no such request") as missing,
    ):
        client.chat.complete(model="mistral-large-latest", messages=MESSAGES)
    assert missing.value.status_code == 404


@pytest.mark.parametrize(
    ("name", "backend"),
    [("openai", "openai"), ("mistralai", "mistralai"), ("langchain", "openai"), ("langchain", "mistralai")],
)
def test_every_provider_asks_for_the_recorded_model(replay: RunningGateway, name: str, backend: str) -> None:
    """A sample of a recording is sent as it was recorded, whatever model and defaults the provider has of its own."""
    path = str(replay.config.recordings_path)
    prompts = resolve_prompts(PromptsConfig(), EndpointConfig(kind="replay", path=path), backend)
    provider = load_target(PROVIDERS[name])(
        base_url=replay.gateway.base_url(DIALECTS[backend]), backend=backend, model="another", api_key="k", timeout_s=20
    )
    chats = [sample for sample in prompts.samples if sample.scenario_name == "chat" and sample.id != "refused"]
    assert len(chats) == 1
    assert provider.answer(provider.complete(**provider.request(chats[0]))).text == "Behind the oven."
    provider.close()


def cell_exchange(number: int, call: CallId, **fields: Any) -> Exchange:
    """A recorded exchange whose request had arrived at 0 ns."""
    known: dict[str, Any] = {
        "exchange_id": number,
        "call_id": str(call),
        "dialect": "openai",
        "method": "POST",
        "path": "/v1/chat/completions",
        "received_unix_ns": 0,
        "received_ns": 0,
        "request_body": json.dumps({"model": "gpt-4o-mini", "messages": MESSAGES}),
        "request_size_bytes": 1,
        "request_digest": "",
        "status": 200,
        "response_headers": {"content-type": "application/json"},
        "first_byte_ns": 1_000_000,
        "completed": True,
    }
    return Exchange(**{**known, **fields})


def chunks_at(*times_ms: int) -> tuple[Chunk, ...]:
    texts = [chunk("a"), chunk("b"), "data: [DONE]\n\n"]
    return tuple(Chunk(sent_ns=at * 1_000_000, data=text) for at, text in zip(times_ms, texts, strict=False))


STREAMED = json.dumps({"model": "gpt-4o-mini", "messages": MESSAGES, "stream": True})
EVENTS = {"request_body": STREAMED, "response_headers": {"content-type": "text/event-stream"}}


@pytest.fixture
def cell(tmp_path: Path) -> Callable[..., Path]:
    """Write exchanges as a cell's records."""

    def write(*exchanges: Exchange) -> Path:
        folder = tmp_path / "records"
        folder.mkdir()
        write_jsonl(folder / "exchanges.jsonl", exchanges)
        return folder

    return write


def test_retries_are_replayed_in_every_flow(
    start: Callable[..., RunningGateway], cell: Callable[..., Path], make_call: Callable[..., CallId]
) -> None:
    """A recorded 429 and its retry come in their order, in both arms and in each repetition."""
    from openai import OpenAI

    path = cell(
        cell_exchange(0, make_call(), status=429, response_body="{}", response_headers={"retry-after-ms": "1"}),
        cell_exchange(1, make_call(), response_body=json.dumps(COMPLETION)),
    )
    running = start(kind="replay", recordings_path=path)
    with OpenAI(base_url=f"{running.gateway.base_url('openai')}/v1", api_key="unused", max_retries=2) as client:
        for arm in ("strategy", "baseline"):
            for repetition in (0, 1):
                call = make_call(cell="other", arm=arm, repetition=repetition)
                value = client.chat.completions.create(
                    model="gpt-4o-mini", messages=MESSAGES, extra_headers={CALL_ID_HEADER: str(call)}
                )
                assert value.choices[0].message.content == "Behind the oven."
    assert [exchange.status for exchange in running.stop()] == [429, 200] * 4


def test_recorded_timing(
    start: Callable[..., RunningGateway], cell: Callable[..., Path], make_call: Callable[..., CallId]
) -> None:
    """No byte goes out before its recorded time, counted from the request; without timing there is no wait."""
    path = cell(cell_exchange(0, make_call(), first_byte_ns=20_000_000, chunks=chunks_at(25, 60, 61), **EVENTS))
    running, at_once = (start(kind="replay", recordings_path=path, timing=timing) for timing in ("recorded", "none"))
    for gateway in (running, at_once):
        gateway.post(STREAMED.encode(), call=make_call())
    (timed,), (untimed,) = running.stop(), at_once.stop()
    assert timed.chunks is not None
    assert timed.first_byte_ns is not None
    assert timed.first_byte_ns - timed.received_ns >= 20_000_000
    sent_ns = [one.sent_ns - timed.received_ns for one in timed.chunks]
    assert all(sent >= at * 1_000_000 for sent, at in zip(sent_ns, (25, 60, 61), strict=True))
    assert timed.latency_planned_ns == 61_000_000
    assert untimed.latency_planned_ns == 0
    assert body_of(timed) == body_of(untimed)


def test_simulated_timing(
    start: Callable[..., RunningGateway], cell: Callable[..., Path], make_call: Callable[..., CallId]
) -> None:
    """The configured latency in place of the recorded one: each event of a stream, each token of a single answer."""
    streamed = cell_exchange(0, make_call("s"), chunks=chunks_at(900, 900, 900), **EVENTS)
    single = cell_exchange(1, make_call("c"), first_byte_ns=900_000_000, response_body=json.dumps(COMPLETION))
    running = start(
        kind="replay",
        recordings_path=cell(streamed, single),
        timing="simulated",
        latency={"kind": "fixed", "first_token_ms": 10, "per_token_ms": 2},
    )
    running.post(STREAMED.encode(), call=make_call("s"))
    running.post((single.request_body or "").encode(), call=make_call("c"))
    first, second = running.stop()
    assert first.latency_planned_ns == 14_000_000
    assert second.latency_planned_ns == 16_000_000
    assert (second.latency_realised_ns or 0) >= 16_000_000


def test_a_stream_that_was_cut_breaks_off_there_again(
    start: Callable[..., RunningGateway], cell: Callable[..., Path], make_call: Callable[..., CallId]
) -> None:
    """What came before is sent, then the connection is closed without an end."""
    path = cell(cell_exchange(0, make_call(), chunks=chunks_at(1), completed=False, error="cut", **EVENTS))
    running = start(kind="replay", recordings_path=path)
    with pytest.raises(httpx.RemoteProtocolError):
        running.post(STREAMED.encode(), call=make_call())
    (exchange,) = running.stop()
    assert body_of(exchange) == chunk("a")
    assert not exchange.completed
    assert exchange.error == "the recording breaks off here: cut"


def test_a_body_that_was_cut_breaks_off_there_again(
    start: Callable[..., RunningGateway], cell: Callable[..., Path], make_call: Callable[..., CallId]
) -> None:
    """A single answer says the recorded length and ends before it."""
    headers = {"content-type": "application/json", "content-length": "300"}
    recorded = cell_exchange(0, make_call(), response_body='{"id": "chat', completed=False, response_headers=headers)
    running = start(kind="replay", recordings_path=cell(recorded))
    with pytest.raises(httpx.RemoteProtocolError):
        running.post((recorded.request_body or "").encode(), call=make_call())
    (exchange,) = running.stop()
    assert (exchange.response_body, exchange.completed) == ('{"id": "chat', False)


def test_an_answer_that_never_came_does_not_come(
    start: Callable[..., RunningGateway], cell: Callable[..., Path], make_call: Callable[..., CallId]
) -> None:
    """Where the client gave up before the answer, it waits until it gives up again."""
    nothing = {"status": None, "response_headers": None, "first_byte_ns": None, "completed": False}
    recorded = cell_exchange(0, make_call(), **nothing)
    running = start(kind="replay", recordings_path=cell(recorded))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(running.url(), content=recorded.request_body, timeout=0.3, trust_env=False)
    (exchange,) = running.stop()
    assert exchange.status is None


def test_recordings_that_cannot_be_read_are_a_bad_start(tmp_path: Path) -> None:
    """The gateway's parent gets the sentence that names the file."""
    (tmp_path / "bad.json").write_text("{")
    config = GatewayConfig(records_path=tmp_path / "out.jsonl", kind="replay", recordings_path=tmp_path / "bad.json")
    with pytest.raises(EndpointError, match=r"bad\.json, line 1: not JSON"):
        Gateway.start(config)
