"""What stands in the records of a running gateway."""

from __future__ import annotations

import json
import threading
import time
from hashlib import blake2b
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gateway.process import Gateway
from harness.gateway.recorder import split_events
from harness.gateway.redaction import REDACTED
from harness.gateway.settings import GatewayConfig, LatencySettings
from harness.records import CALL_ID_HEADER, CallId, Exchange, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import Dialect
    from tests.gateway.conftest import RunningGateway

    Start = Callable[..., RunningGateway]

KEY = "sk-a-real-looking-key-0123456789"


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
def test_a_single_exchange_is_recorded_whole(
    shared: RunningGateway, dialect: Dialect, make_call: Any, chat: Any
) -> None:
    """Request and response, headers and bodies, sizes and digests are those that the client saw."""
    body = json.dumps(chat("mistral-tiny")).encode()
    answer = shared.post(body, dialect=dialect, call=make_call(), headers={"x-extra": "1"})
    (exchange,) = shared.take()
    assert exchange.call_id == str(make_call())
    assert (exchange.dialect, exchange.method, exchange.path) == (dialect, "POST", "/v1/chat/completions")
    assert (exchange.request_body, exchange.response_body) == (body.decode(), answer.text)
    assert exchange.request_headers is not None
    assert exchange.request_headers["x-extra"] == "1"
    assert exchange.response_headers == dict(answer.headers)
    assert (exchange.request_size_bytes, exchange.request_digest) == (len(body), _digest(body))
    assert (exchange.response_size_bytes, exchange.response_digest) == (len(answer.content), _digest(answer.content))
    assert (exchange.status, exchange.completed, exchange.error) == (200, True, None)
    assert (exchange.chunks, exchange.chunk_sent_ns) == (None, None)


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
def test_a_stream_is_recorded_event_by_event(
    shared: RunningGateway, dialect: Dialect, make_call: Any, chat: Any
) -> None:
    """Each event stands with the text that was sent and a time of its own; joined they are the body."""
    answer = shared.post(chat("mistral-tiny", stream=True), dialect=dialect, call=make_call())
    (exchange,) = shared.take()
    assert exchange.response_body is None
    assert exchange.chunks is not None
    assert "".join(chunk.data for chunk in exchange.chunks) == answer.text
    assert all(chunk.data.startswith("data: ") and chunk.data.endswith("\n\n") for chunk in exchange.chunks)
    times_ns = [chunk.sent_ns for chunk in exchange.chunks]
    assert sorted(set(times_ns)) == times_ns
    assert exchange.response_digest == _digest(answer.content)


class Seen(NamedTuple):
    """An exchange, and what its client saw."""

    exchange: Exchange
    answer: httpx.Response
    clock_ns: tuple[int, int]
    wall_clock_ns: tuple[int, int]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """A single and a streamed exchange in each pass."""
    config = GatewayConfig(records_path=tmp_path_factory.mktemp("seen") / "exchanges.jsonl")
    clients: list[tuple[str, httpx.Response, tuple[int, int], tuple[int, int]]] = []
    with Gateway.start(config) as gateway, httpx.Client(trust_env=False) as client:
        url = f"{gateway.base_url('openai')}/v1/chat/completions"
        for phase in ("completeness", "timing"):
            for stream in (False, True):
                call = CallId("cell-1", phase, 0, "strategy", int(stream), "any")
                body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
                start_unix_ns, start_ns = time_ns(), perf_counter_ns()
                answer = client.post(url, json=body, headers={CALL_ID_HEADER: str(call)})
                end_ns, end_unix_ns = perf_counter_ns(), time_ns()
                clients.append((str(call), answer, (start_ns, end_ns), (start_unix_ns, end_unix_ns)))
    exchanges = {exchange.call_id: exchange for exchange in read_jsonl(config.records_path, Exchange)}
    names = [f"{phase} {form}" for phase in ("completeness", "timing") for form in ("single", "stream")]
    return {name: Seen(exchanges[call], *rest) for name, (call, *rest) in zip(names, clients, strict=True)}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["completeness single", "completeness stream", "timing single", "timing stream"])
def test_times_lie_within_what_the_client_saw(seen: dict[str, Seen], name: str) -> None:
    """Arrival, first byte and last byte are in order, between the client's start and end, on both clocks."""
    exchange, _, (start_ns, end_ns), (start_unix_ns, end_unix_ns) = seen[name]
    assert exchange.first_byte_ns is not None
    assert exchange.last_byte_ns is not None
    assert start_ns < exchange.received_ns <= exchange.first_byte_ns <= exchange.last_byte_ns < end_ns
    assert start_unix_ns < exchange.received_unix_ns < end_unix_ns
    sent_ns = [chunk.sent_ns for chunk in exchange.chunks or ()] + list(exchange.chunk_sent_ns or ())
    assert bool(sent_ns) == name.endswith("stream")
    assert all(exchange.first_byte_ns <= at_ns <= exchange.last_byte_ns for at_ns in sent_ns)


@pytest.mark.parametrize("form", ["single", "stream"])
def test_the_timing_pass_keeps_times_sizes_and_digests_only(seen: dict[str, Seen], form: str) -> None:
    """Bodies, headers and texts of chunks are dropped; sizes and digests are those of what was sent."""
    exchange, answer, _, _ = seen[f"timing {form}"]
    dropped = ("request_headers", "request_body", "response_headers", "response_body", "chunks")
    assert [getattr(exchange, name) for name in dropped] == [None] * 5
    assert (exchange.response_size_bytes, exchange.response_digest) == (len(answer.content), _digest(answer.content))
    assert exchange.request_size_bytes == len(answer.request.content)
    assert exchange.request_digest == _digest(answer.request.content)
    assert (exchange.status, exchange.completed) == (200, True)
    expected_events = answer.text.count("\n\n") if form == "stream" else None
    assert (None if exchange.chunk_sent_ns is None else len(exchange.chunk_sent_ns)) == expected_events


def test_unattributed_exchanges_are_recorded_whole(shared: RunningGateway, chat: Any) -> None:
    """Without an id, or with one that is not of the form, there is no call id but everything else."""
    shared.post(chat())
    shared.post(chat(), headers={"x-harness-call-id": "not/an/id"})
    exchanges = shared.take(2)
    assert [exchange.call_id for exchange in exchanges] == [None, None]
    assert all(exchange.request_body and exchange.response_body for exchange in exchanges)


@pytest.mark.parametrize(
    ("path", "recorded"),
    [
        ("/openai/v1/moderations", "/v1/moderations"),
        ("/mistral/v1/responses", "/v1/responses"),
        ("/mistral/v1/chat", "/v1/chat"),
        ("/elsewhere", "/elsewhere"),
        ("/openaix/v1/chat/completions", "/openaix/v1/chat/completions"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_are_refused_and_recorded(shared: RunningGateway, path: str, recorded: str, method: str) -> None:
    """A path that is not served gets the dialect's 404; a path without a dialect is recorded as it is."""
    root = f"http://127.0.0.1:{shared.gateway.port}"
    answer = httpx.request(method, f"{root}{path}?a=1", headers={"user-agent": "MistralAI/9"}, trust_env=False)
    (exchange,) = shared.take()
    dialect = "mistral" if path.startswith("/mistral/") else "openai"
    assert answer.status_code == 404
    assert ("error" in answer.json()) == (dialect == "openai")
    assert (exchange.dialect, exchange.method, exchange.status) == (dialect, method, 404)
    assert exchange.path == f"{recorded}?a=1"
    assert exchange.response_body == answer.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions%23stream"])
def test_the_path_that_a_mistral_stream_asks_for_is_served(shared: RunningGateway, path: str, chat: Any) -> None:
    """A client that escapes the fragment's sign is understood; the record holds the path as it was sent."""
    url = f"{shared.gateway.base_url('mistral')}{path}"
    assert httpx.post(url, json=chat("mistral-tiny", stream=True), trust_env=False).status_code == 200
    (exchange,) = shared.take()
    assert exchange.path == path


def test_secrets_are_not_recorded(shared: RunningGateway, make_call: Any, chat: Any) -> None:
    """Neither the value of a secret header nor the same text in a body reaches the file."""
    body = chat()
    body["messages"][0]["content"] = f"my key is {KEY}"
    headers = {
        "authorization": f"Bearer {KEY}",
        "x-api-key": "another-secret",
        "cookie": "s=my-private-cookie",
    }
    shared.post(body, call=make_call(), headers=headers)
    (exchange,) = shared.take()
    text = shared.config.records_path.read_text()
    assert not [secret for secret in (KEY, "another-secret", "my-private-cookie") if secret in text]
    assert exchange.request_headers is not None
    assert [exchange.request_headers[name] for name in headers] == [REDACTED] * 3
    assert exchange.request_body is not None
    assert f"my key is {REDACTED}" in exchange.request_body


def test_records_stand_in_order_of_arrival(start: Start, make_call: Any, chat: Any) -> None:
    """An answer that takes long keeps its place before later ones that are done sooner."""
    running = start(latency=LatencySettings(kind="fixed", first_token_ms=0.0, per_token_ms=80.0))
    slow = threading.Thread(target=running.post, args=(chat(),), kwargs={"call": make_call()})
    slow.start()
    time.sleep(0.15)
    for repetition in (1, 2):
        running.post(chat(max_tokens=1), call=make_call(repetition=repetition))
    slow.join()
    exchanges = running.stop()
    assert [exchange.exchange_id for exchange in exchanges] == [0, 1, 2]
    assert [exchange.call_id for exchange in exchanges] == [str(make_call(repetition=index)) for index in range(3)]
    first, second = exchanges[0].last_byte_ns, exchanges[1].last_byte_ns
    assert first is not None
    assert second is not None
    assert second < first


@pytest.mark.parametrize("stream", [False, True])
def test_waiting_is_recorded_as_planned_and_as_it_was(start: Start, stream: bool, make_call: Any, chat: Any) -> None:
    """What was really waited is never less than what was planned."""
    running = start(latency=LatencySettings(kind="fixed", first_token_ms=4.0, per_token_ms=0.4))
    running.post(chat(stream=stream), call=make_call())
    (exchange,) = running.stop()
    assert exchange.latency_planned_ns == 6_400_000
    assert exchange.latency_realised_ns is not None
    assert exchange.latency_realised_ns >= 6_400_000
    assert exchange.last_byte_ns is not None
    assert exchange.last_byte_ns - exchange.received_ns >= 6_400_000


def test_streamed_tokens_come_at_their_times(start: Start, make_call: Any, chat: Any) -> None:
    """The first token waits for the first wait, each further one for another."""
    running = start(latency=LatencySettings(kind="fixed", first_token_ms=10.0, per_token_ms=5.0))
    running.post(chat(stream=True), call=make_call())
    (exchange,) = running.stop()
    assert exchange.chunks is not None
    since_ns = [chunk.sent_ns - exchange.received_ns for chunk in exchange.chunks]
    # Role and first piece, six further pieces, then the end without a wait.
    assert since_ns[0] >= 10_000_000
    assert all(since_ns[1 + index] >= 10_000_000 + 5_000_000 * index for index in range(7))


def test_a_client_that_leaves_a_stream_is_recorded(start: Start, make_call: Any, chat: Any) -> None:
    """The exchange is incomplete and says why."""
    running = start(latency=LatencySettings(kind="fixed", first_token_ms=1.0, per_token_ms=40.0))
    headers = {"x-harness-call-id": str(make_call())}
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("POST", running.url(), json=chat(stream=True), headers=headers) as answer,
    ):
        next(answer.iter_bytes())
    (exchange,) = running.stop()
    assert (exchange.completed, exchange.error) == (False, "client closed the connection")
    assert exchange.chunks is not None
    assert len(exchange.chunks) < 9


def test_a_client_that_gives_up_waiting_is_recorded(start: Start, make_call: Any, chat: Any) -> None:
    """It is noticed while the simulator waits; nothing was sent, so there is no status and no body."""
    running = start(latency=LatencySettings(kind="fixed", first_token_ms=60_000.0))
    headers = {"x-harness-call-id": str(make_call())}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(running.url(), json=chat(), headers=headers, timeout=0.1, trust_env=False)
    (exchange,) = running.take()
    assert (exchange.completed, exchange.error) == (False, "client closed the connection")
    assert (exchange.status, exchange.first_byte_ns, exchange.response_body) == (None, None, None)


def test_answers_are_the_same_bytes_in_another_process(start: Start, make_call: Any, chat: Any) -> None:
    """Two gateways with one seed answer alike, ids included."""
    first, second = start(), start()
    for stream in (False, True):
        answers = [running.post(chat(stream=stream), call=make_call("story")) for running in (first, second)]
        assert answers[0].content == answers[1].content
        assert answers[0].headers == answers[1].headers


def _at(data: list[bytes]) -> list[tuple[int, bytes]]:
    return list(enumerate(data))


def test_events_get_the_time_of_the_write_that_completed_them() -> None:
    """A write may hold half an event or several; a rest without a blank line is an event of its own."""
    writes = _at([b"data: 1\n", b"\ndata: 2\n\ndata: 3\r\n\r\nda", b"ta: 4"])
    assert split_events(writes) == [(1, b"data: 1\n\n"), (1, b"data: 2\n\n"), (1, b"data: 3\r\n\r\n"), (2, b"data: 4")]


@given(st.lists(st.text(alphabet="ab\n\r").map(str.encode)))
def test_events_join_to_what_was_written(data: list[bytes]) -> None:
    """Nothing is lost or doubled, however a stream is cut into writes."""
    assert b"".join(event for _, event in split_events(_at(data))) == b"".join(data)
