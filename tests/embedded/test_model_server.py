"""The embedded model's server, as it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from harness.embedded.installed import installed_weights
from harness.embedded.process import ModelServer, embedded_model
from harness.embedded.settings import MAX_TOKENS, MODEL, ModelServerConfig
from harness.errors import ModelServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.embedded

FRUITS = [{"role": "user", "content": "Name three fruits."}]
PARENT = """
import time
from harness.embedded.process import ModelServer
server = ModelServer.begin()
print(server.port, server.pid, flush=True)
time.sleep(600)
"""
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with embedded_model() as url:
        yield url


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:
        yield client


def test_it_answers_the_same_each_time(client: openai.OpenAI) -> None:
    answers = [client.chat.completions.create(model="any", messages=FRUITS) for _ in range(3)]  # type: ignore[arg-type]
    (text,) = {answer.choices[0].message.content for answer in answers}
    assert text
    assert {answer.model for answer in answers} == {MODEL}
    assert all(answer.usage and answer.usage.completion_tokens > 0 for answer in answers)


def test_an_answer_before_leaves_no_mark_on_the_next(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="any", messages=FRUITS)  # type: ignore[arg-type]
    client.completions.create(model="any", prompt="Name three fruits that", max_tokens=5)
    again = client.chat.completions.create(model="any", messages=FRUITS)  # type: ignore[arg-type]
    assert first.choices[0].message.content == again.choices[0].message.content
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens == 0


def test_an_answer_without_a_limit_ends(base_url: str) -> None:
    body = {"messages": [{"role": "user", "content": "Write a very long story."}], "ignore_eos": True}
    answer = httpx.post(f"{base_url}/chat/completions", json=body, timeout=60).json()
    assert answer["usage"]["completion_tokens"] == MAX_TOKENS
    assert answer["choices"][0]["finish_reason"] == "length"


def test_it_keeps_to_a_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "I live in Berlin."}],
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}},
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city"}


def test_it_listens_on_loopback_only_and_ends_with_its_parent() -> None:
    """A parent that is killed leaves no model behind."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PARENT,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        port, pid = map(int, parent.stdout.readline().split())
        listening = [
            line.split()[1]
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/{pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]
            if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
        ]
        assert listening == [f"0100007F:{port:04X}"]
    finally:
        parent.kill()
        parent.communicate()
    deadline = time.monotonic() + 20
    while _runs(pid):
        assert time.monotonic() < deadline, "the model's server outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_weights_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(installed_weights().read_bytes()[:4096])
    server = ModelServer(ModelServerConfig(weights_path=damaged))
    with pytest.raises(ModelServerError, match="model's server"):
        server.wait_ready()


def test_a_server_that_died_is_told() -> None:
    def run() -> None:
        server = ModelServer.begin()
        server.wait_ready()
        with server:
            os.kill(server.pid, signal.SIGKILL)
            while server.alive():
                time.sleep(0.01)

    with pytest.raises(ModelServerError, match="had ended with status -9"):
        run()
