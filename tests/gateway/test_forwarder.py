"""The forwarder, against real servers: a second gateway, and small applications."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from harness.gateway.redaction import REDACTED
from harness.gateway.server import Server, bind, uvicorn_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.requests import Request

    from tests.gateway.conftest import RunningGateway

KEY = "sk-configured-0123456789"


RELEASE, CLOSED = threading.Event(), threading.Event()


async def _echo(request: Request) -> Response:
    body = (await request.body()).decode()
    return JSONResponse({"headers": dict(request.headers), "body": body})


async def _redirect(_: Request) -> Response:
    return RedirectResponse("http://127.0.0.1:9/elsewhere")


async def _slow(_: Request) -> Response:
    await asyncio.sleep(1)
    return Response()


async def _held_back(_: Request) -> AsyncIterator[bytes]:
    yield b"data: 1\n\nda"
    await asyncio.to_thread(RELEASE.wait, 20)
    yield b"ta: 2\n\n"


async def _endless(_: Request) -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"data: more\n\n"
            await asyncio.sleep(0.01)
    finally:
        CLOSED.set()


async def _lingering(_: Request) -> AsyncIterator[bytes]:
    yield b'data: {"choices": []}\n\n'
    yield b"data: [DONE]\n\n"
    await asyncio.to_thread(RELEASE.wait, 20)


async def _finished(_: Request) -> AsyncIterator[bytes]:
    yield b'event: response.completed\ndata: {"type": "response.completed"}\n\n'
    await asyncio.to_thread(RELEASE.wait, 20)


async def _broken(_: Request) -> AsyncIterator[bytes]:
    yield b"data: 1\n\n"
    raise OSError


PLAIN = {"echo": _echo, "redirect": _redirect, "slow": _slow}
STREAMS = {
    "held back": _held_back,
    "endless": _endless,
    "lingering": _lingering,
    "finished": _finished,
    "broken": _broken,
}


async def _act(request: Request) -> Response:
    """An endpoint that does what the request's header ``x-act`` says."""
    act = request.headers["x-act"]
    if act in PLAIN:
        return await PLAIN[act](request)
    return StreamingResponse(STREAMS[act](request), media_type="text/event-stream")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The base URL of that endpoint, served from a thread of this process."""
    app = Starlette(routes=[Route("/v1/chat/completions", _act, methods=["POST"])])
    with bind() as listener:
        listening = threading.Event()
        server = Server(uvicorn_config(app, grace_s=1), listening.set)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        assert listening.wait(10)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def front(start_for_module: Callable[..., RunningGateway], endpoint: str) -> RunningGateway:
    """A gateway before that endpoint, with a key."""
    return start_for_module(kind="forward", base_url=endpoint, api_key=KEY)


@pytest.fixture(scope="module")
def impatient(start_for_module: Callable[..., RunningGateway], endpoint: str) -> RunningGateway:
    """A gateway that waits a third of a second."""
    return start_for_module(kind="forward", base_url=endpoint, timeout_s=0.3)


@pytest.fixture(scope="module")
def behind(start_for_module: Callable[..., RunningGateway]) -> RunningGateway:
    """A second gateway, which simulates."""
    return start_for_module()


@pytest.fixture(scope="module")
def before(start_for_module: Callable[..., RunningGateway], behind: RunningGateway) -> RunningGateway:
    """A gateway that forwards to the second one, without a key."""
    return start_for_module(kind="forward", base_url=f"{behind.gateway.base_url('openai')}/v1", samples=())


def _act_as(act: str) -> dict[str, str]:
    return {"x-act": act}


@pytest.mark.parametrize("stream", [False, True])
def test_answers_pass_through_unchanged(
    before: RunningGateway, behind: RunningGateway, stream: bool, chat: Any
) -> None:
    """Status, body and the endpoint's headers are the same bytes in front and behind, and in both records."""
    answer = before.post(chat(stream=stream))
    (seen,), (sent,) = before.take(), behind.take()
    assert (answer.status_code, seen.completed) == (200, True)
    assert answer.headers["x-request-id"].startswith("req_")
    assert (seen.request_digest, seen.response_digest) == (sent.request_digest, sent.response_digest)
    texts = [[chunk.data for chunk in exchange.chunks or ()] for exchange in (seen, sent)]
    assert texts[0] == texts[1]
    assert seen.response_body == sent.response_body == (None if stream else answer.text)
    assert (seen.latency_planned_ns, seen.latency_realised_ns) == (None, None)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": "some text"}),
        ("/v1/responses", {"input": "some text"}),
        ("/v1/responses", {"input": "some text", "stream": True}),
    ],
)
def test_every_endpoint_is_forwarded(
    before: RunningGateway, behind: RunningGateway, path: str, body: dict[str, Any]
) -> None:
    """What the simulator serves can be asked of a real endpoint too."""
    answer = before.post({"model": "some-model", **body}, path=path)
    (seen,), (sent,) = before.take(), behind.take()
    assert (answer.status_code, seen.completed, seen.path) == (200, True, path)
    assert seen.response_digest == sent.response_digest


def test_errors_pass_through(before: RunningGateway, behind: RunningGateway) -> None:
    """An error of the endpoint is its answer, and no error of the gateway."""
    answer = before.post(b"{not json")
    (exchange,), _ = before.take(), behind.take()
    assert answer.status_code == 400
    assert "parse the JSON" in answer.json()["error"]["message"]
    assert (exchange.status, exchange.completed, exchange.error) == (400, True, None)


def test_without_a_configured_key_none_is_sent(before: RunningGateway, behind: RunningGateway, chat: Any) -> None:
    """The client's own key is dropped, and so is the harness's header."""
    before.post(chat(), headers={"authorization": "Bearer client", "x-harness-call-id": "anything"})
    _, (exchange,) = before.take(), behind.take()
    assert exchange.request_headers is not None
    assert not {"authorization", "x-harness-call-id"} & set(exchange.request_headers)


def test_the_request_is_forwarded_byte_for_byte(front: RunningGateway, make_call: Any) -> None:
    """Body and plain headers arrive; the harness's header does not, and no compression is asked for."""
    body = b'{ "model":"x",\n "odd":  "\xc3\xa9 " }'
    headers = {"x-custom": "kept", "connection": "close", "accept-encoding": "gzip", **_act_as("echo")}
    seen = front.post(body, call=make_call(), headers=headers).json()
    front.take()
    assert seen["body"].encode() == body
    assert seen["headers"]["x-custom"] == "kept"
    assert seen["headers"]["accept-encoding"] == "identity"
    assert seen["headers"]["host"] != f"127.0.0.1:{front.gateway.port}"
    assert not [name for name in seen["headers"] if name.startswith("x-harness")]


def test_the_configured_key_is_sent_and_never_recorded(front: RunningGateway, make_call: Any) -> None:
    """It takes the place of the client's; an endpoint that echoes it does not bring it into the records."""
    headers = {"authorization": "Bearer a-clients-own-key", **_act_as("echo")}
    answer = front.post(b"{}", call=make_call(), headers=headers)
    (exchange,) = front.take()
    assert answer.json()["headers"]["authorization"] == f"Bearer {KEY}"
    text = front.config.records_path.read_text()
    assert KEY not in text
    assert "a-clients-own-key" not in text
    assert exchange.response_body is not None
    assert f"Bearer {REDACTED}" in exchange.response_body


def test_redirects_are_passed_back(front: RunningGateway) -> None:
    """The key goes to the configured endpoint and nowhere else."""
    answer = front.post(b"{}", headers=_act_as("redirect"))
    front.take()
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/elsewhere")


@contextlib.contextmanager
def _stream(front: RunningGateway, act: str) -> Iterator[Iterator[bytes]]:
    with (
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("POST", front.url(), content=b"{}", headers=_act_as(act)) as answer,
    ):
        yield answer.iter_raw()


def test_events_are_passed_on_as_they_come(front: RunningGateway) -> None:
    """The client reads the first event while the endpoint still holds back the second."""
    RELEASE.clear()
    with _stream(front, "held back") as parts:
        assert next(parts) == b"data: 1\n\nda"
        RELEASE.set()
        assert b"".join(parts) == b"ta: 2\n\n"
    (exchange,) = front.take()
    assert exchange.chunks is not None
    assert [chunk.data for chunk in exchange.chunks] == ["data: 1\n\n", "data: 2\n\n"]


def test_a_client_that_leaves_closes_the_request_behind(front: RunningGateway) -> None:
    """The endpoint stops working, and the record says what happened."""
    CLOSED.clear()
    with _stream(front, "endless") as parts:
        next(parts)
    (exchange,) = front.take()
    assert CLOSED.wait(10)
    assert (exchange.completed, exchange.error) == (False, "client closed the connection")


@pytest.mark.parametrize(("act", "last"), [("lingering", b"[DONE]"), ("finished", b"response.completed")])
def test_a_client_that_leaves_after_the_last_event_has_everything(front: RunningGateway, act: str, last: bytes) -> None:
    """SDKs may close the connection at the last event, before the endpoint has ended its answer."""
    RELEASE.clear()
    seen = b""
    with _stream(front, act) as parts:
        while last not in seen:
            seen += next(parts)
    (exchange,) = front.take()
    RELEASE.set()
    assert (exchange.completed, exchange.error) == (True, None)


def test_an_endpoint_that_breaks_off_breaks_the_answer_off(front: RunningGateway) -> None:
    """The client does not mistake half a stream for a whole one."""
    with pytest.raises(httpx.RemoteProtocolError):
        front.post(b"{}", headers=_act_as("broken"))
    (exchange,) = front.take()
    assert (exchange.status, exchange.completed) == (200, False)
    assert exchange.error is not None
    assert "broke off" in exchange.error


def test_an_endpoint_that_is_not_there_is_a_502(start: Callable[..., RunningGateway]) -> None:
    """The client gets an error in its dialect, and the record names the reason."""
    with bind() as unheard:
        front = start(kind="forward", base_url=f"http://127.0.0.1:{unheard.getsockname()[1]}/v1", api_key=KEY)
        answers = [front.post(b"{}"), front.post(b"{}", dialect="mistral")]
    errors = [answers[0].json()["error"], answers[1].json()]
    exchanges = front.stop()
    for answer, error, exchange in zip(answers, errors, exchanges, strict=True):
        assert (answer.status_code, error["type"]) == (502, "server_error")
        assert "could not be reached" in error["message"]
        assert (exchange.status, exchange.error) == (502, error["message"])


def test_an_endpoint_that_takes_too_long_is_a_504(impatient: RunningGateway) -> None:
    """The limit is named to the client and in the record."""
    answer = impatient.post(b"{}", headers=_act_as("slow"))
    (exchange,) = impatient.take()
    assert answer.status_code == 504
    assert "within 0.3 s" in answer.json()["error"]["message"]
    assert exchange.error == "the endpoint did not answer within 0.3 s"


def test_a_stream_that_takes_too_long_is_broken_off(impatient: RunningGateway) -> None:
    """The limit holds for the whole answer; one that has begun cannot become an error and ends incomplete."""
    with pytest.raises(httpx.RemoteProtocolError):
        impatient.post(b"{}", headers=_act_as("endless"))
    (exchange,) = impatient.take()
    assert (exchange.completed, exchange.error) == (False, "the endpoint did not answer within 0.3 s")
