"""The gateway's process: how it starts, where it listens, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from harness.errors import ConfigError, EndpointError, GatewayError
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig, LatencySettings
from harness.processes import allowed_cpus, child_environment, python_module
from harness.records import Exchange, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.gateway.conftest import RunningGateway

    Start = Callable[..., RunningGateway]

KEY = "sk-configured-0123456789"


def _gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that somebody else has yet to reap has)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def _until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.fixture
def raw() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start the process without the handle, with any text on its first line."""
    processes: list[subprocess.Popen[str]] = []

    def run(line: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            python_module("harness.gateway"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=child_environment(),
            start_new_session=True,
        )
        processes.append(process)
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def test_stop_writes_everything_and_leaves_no_process(start: Start, make_call: Any, chat: Any) -> None:
    """All exchanges of a burst of the timing pass are in the file, and the process is gone."""
    running = start()
    with httpx.Client(trust_env=False) as client:
        for repetition in range(200):
            headers = {"x-harness-call-id": str(make_call(phase="timing", repetition=repetition))}
            client.post(running.url(), json=chat(), headers=headers)
    exchanges = running.stop()
    assert [exchange.exchange_id for exchange in exchanges] == list(range(200))
    assert _gone(running.gateway.pid)
    assert not running.gateway.alive()


def test_stop_may_be_called_again(start: Start) -> None:
    """A second call does nothing."""
    running = start()
    running.gateway.stop()
    running.gateway.stop()


def test_open_answers_are_finished_at_the_end(start: Start, make_call: Any, chat: Any) -> None:
    """An answer that takes less than the grace is complete."""
    running = start(latency=LatencySettings(kind="fixed", first_token_ms=2000.0))
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(running.post(chat(), call=make_call())))
    asking.start()
    # A busy machine may take a while to send it.
    time.sleep(1.0)
    (exchange,) = running.stop()
    asking.join()
    assert answers[0].status_code == 200
    assert (exchange.completed, exchange.response_body) == (True, answers[0].text)


@pytest.mark.parametrize("stream", [False, True])
def test_answers_beyond_the_grace_are_broken_off(start: Start, stream: bool, make_call: Any, chat: Any) -> None:
    """What has not begun becomes an error, what has stays incomplete; the records say why."""
    running = start(latency=LatencySettings(kind="fixed", per_token_ms=60_000.0), grace_s=0)
    outcomes: list[object] = []

    def ask() -> None:
        try:
            outcomes.append(running.post(chat(stream=stream), call=make_call()).status_code)
        except httpx.RemoteProtocolError as error:
            outcomes.append(type(error))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    (exchange,) = running.stop()
    asking.join()
    assert outcomes == [httpx.RemoteProtocolError if stream else 503]
    assert (exchange.status, exchange.completed) == ((200, False) if stream else (503, True))
    assert exchange.error == "the gateway was told to end"


def test_it_listens_on_the_loopback_address_only(start: Start) -> None:
    """No other address of the machine leads to it."""
    port = f"{start().gateway.port:04X}"
    tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    listening = [line.split()[1] for table in tables for line in table if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port}")] == [f"0100007F:{port}"]


def test_connections_are_refused_at_a_port_of_its_own(start: Start) -> None:
    """The port is held as long as the gateway runs, so nobody else can take it."""
    gateway = start().gateway
    for dialect in ("openai", "mistral"):
        url = gateway.refused_url(dialect)
        assert url == f"http://127.0.0.1:{gateway.refused_port}/{dialect}"
        with pytest.raises(httpx.ConnectError, match="refused"):
            httpx.post(f"{url}/v1/chat/completions", json={}, trust_env=False)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", gateway.refused_port))
    gateway.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", gateway.refused_port))


def test_it_runs_on_the_cores_that_it_was_given(start: Start, tmp_path: Path) -> None:
    """Its affinity is set; without any it stays as it was."""
    core = allowed_cpus()[:1]
    config = GatewayConfig(records_path=tmp_path / "pinned.jsonl")
    with Gateway.start(config, cpus=core) as gateway:
        assert allowed_cpus(gateway.pid) == core
    assert allowed_cpus(start().gateway.pid) == allowed_cpus()


@pytest.mark.parametrize("end", [lambda process: process.stdin.close(), lambda process: process.terminate()])
def test_it_ends_cleanly_when_standard_input_ends_or_on_sigterm(
    raw: Callable[[str], subprocess.Popen[str]], tmp_path: Path, end: Callable[[Any], None], chat: Any
) -> None:
    """The exit status is 0 and the records are written."""
    path = tmp_path / "exchanges.jsonl"
    process = raw(GatewayConfig(records_path=path).model_dump_json())
    answer = _line(process)
    assert answer["pid"] == process.pid
    url = f"http://127.0.0.1:{answer['port']}/openai/v1/chat/completions"
    httpx.post(url, json=chat(), trust_env=False)
    end(process)
    assert process.wait(20) == 0
    assert len(list(read_jsonl(path, Exchange))) == 1


def test_ctrl_c_is_left_to_the_parent(start: Start, chat: Any) -> None:
    """SIGINT does nothing."""
    running = start()
    os.kill(running.gateway.pid, signal.SIGINT)
    assert running.post(chat()).status_code == 200


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no gateway behind."""
    config = GatewayConfig(records_path=tmp_path / "exchanges.jsonl").model_dump_json()
    program = (
        "import os, signal, sys\n"
        "from harness.gateway.process import Gateway\n"
        "from harness.gateway.settings import GatewayConfig\n"
        "gateway = Gateway.start(GatewayConfig.model_validate_json(sys.argv[1]))\n"
        "print(gateway.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run([sys.executable, "-P", "-c", program, config], capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    _until(lambda: _gone(int(parent.stdout)))


def test_a_gateway_that_died_is_reported(tmp_path: Path) -> None:
    """Stopping a gateway that is no longer there raises, with its status."""
    gateway = Gateway.start(GatewayConfig(records_path=tmp_path / "exchanges.jsonl"))
    os.kill(gateway.pid, signal.SIGKILL)
    _until(lambda: not gateway.alive())
    with pytest.raises(GatewayError, match="status -9 before it was told to"):
        gateway.stop()


def test_an_error_inside_the_block_counts_more_than_a_dead_gateway(tmp_path: Path) -> None:
    """Leaving by an exception ends the gateway and lets the exception through."""
    with pytest.raises(KeyError), Gateway.start(GatewayConfig(records_path=tmp_path / "e.jsonl")) as gateway:  # noqa: PT012 - the error must come from inside
        os.kill(gateway.pid, signal.SIGKILL)
        raise KeyError
    assert _gone(gateway.pid)


def test_records_that_cannot_be_written_are_a_bad_start(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(GatewayError, match=r"missing/exchanges\.jsonl"):
        Gateway.start(GatewayConfig(records_path=tmp_path / "missing" / "exchanges.jsonl"))


def test_records_that_cannot_be_written_later_end_the_gateway(chat: Any) -> None:
    """A gateway without records would leave a hole in the ground truth, so it ends with an error."""
    gateway = Gateway.start(GatewayConfig(records_path=Path("/dev/full")))
    httpx.post(f"{gateway.base_url('openai')}/v1/chat/completions", json=chat(), trust_env=False)
    _until(lambda: not gateway.alive())
    with pytest.raises(GatewayError, match="No space left"):
        gateway.stop()


@pytest.mark.parametrize(
    "line", ["", "not json", '{"seed": 1}', '{"records_path": "x", "api_key": "KEY", "colour": "red"}']
)
def test_a_bad_configuration_is_one_line_and_status_2(raw: Callable[[str], subprocess.Popen[str]], line: str) -> None:
    """The line is one sentence and holds no key."""
    process = raw(line.replace("KEY", KEY))
    output, _ = process.communicate()
    assert process.returncode == 2
    (message,) = output.splitlines()
    assert "configuration" in json.loads(message)["error"]
    assert KEY not in message


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        ({"kind": "magic"}, ConfigError, "magic.*forward, replay, simulator"),
        ({"kind": "forward"}, EndpointError, "base_url is None"),
        ({"kind": "forward", "base_url": "host/v1"}, EndpointError, "host/v1"),
        ({"kind": "forward", "base_url": "https://a:b@host/v1"}, EndpointError, "user name or password"),
        ({"kind": "forward", "base_url": "https://host/v1?key=1"}, EndpointError, "query"),
        ({"timeout_s": 0}, EndpointError, "timeout_s"),
    ],
)
def test_an_impossible_endpoint_is_refused(settings: dict[str, Any], kind: type[Exception], says: str) -> None:
    """The error is raised before a process is started, and names the setting."""
    with pytest.raises(kind, match=says):
        GatewayConfig(records_path=Path("x"), **settings)


def test_the_key_is_not_shown(tmp_path: Path) -> None:
    """Neither by the configuration's text form nor on the command line or in the environment of the process."""
    config = GatewayConfig(
        records_path=tmp_path / "e.jsonl", kind="forward", base_url="http://127.0.0.1:9/v1", api_key=KEY
    )
    assert KEY not in repr(config)
    with Gateway.start(config) as gateway:
        shown = [Path(f"/proc/{gateway.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    assert not [text for text in shown if KEY.encode() in text]
