"""The examples that users are shown work, reached by their paths as a user would."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from harness.processes import child_environment
from harness.prompts import Sample
from harness.providers import Provider
from harness.providers.callid import CALL_ID
from harness.targets import load_target

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SUBJECT = HERE.parent / "tracing" / "subject.py"


@pytest.fixture
def provider(endpoint_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """The example's provider, by a path from the current folder."""
    monkeypatch.chdir(HERE)
    made = load_target("own_provider.py:PlainHttp")(
        base_url=f"{endpoint_url}/openai", backend="openai", model="m-1", api_key="test-key", timeout_s=30.0
    )
    assert isinstance(made, Provider)
    yield made
    made.close()


def sample(*, stream: bool) -> Sample:
    """A sample with one parameter."""
    return Sample(id="s", messages=({"role": "user", "content": "hello"},), parameters={"seed": 7}, stream=stream)


def test_own_provider_answers(provider: Provider, endpoint_url: str) -> None:
    """A single answer arrives, and the request carries the call id and the parameters."""
    token = CALL_ID.set("own/single")
    answer = provider.answer(provider.complete(**provider.request(sample(stream=False))))
    CALL_ID.reset(token)
    assert (answer.text, answer.finish_reason, answer.usage) == ("Echo: hello", "length", (12, 5, 17))
    (recorded,) = httpx.get(f"{endpoint_url}/requests", params={"call_id": "own/single"}).json()
    assert recorded["body"]["seed"] == 7


def test_own_provider_streams(provider: Provider) -> None:
    """A stream arrives chunk by chunk."""
    chunks = list(provider.stream(**provider.request(sample(stream=True))))
    assert len(chunks) > 2
    assert provider.stream_answer(chunks).text == "Echo: hello"


def test_own_strategy_traces_own_provider(endpoint_url: str, tmp_path: Path) -> None:
    """Together in a fresh process they leave one trace a call, with the call's id and the tag."""
    case = {
        "id": "own",
        "provider": f"{HERE}/own_provider.py:PlainHttp",
        "backend": "openai",
        "strategy": f"{HERE}/own_strategy.py:TeamTag",
        "style": "",
        "depth": "",
    }
    store = tmp_path / "store.db"
    job = {"endpoint_url": endpoint_url, "tracking_uri": f"sqlite:///{store}", "cases": [case], "nested": 0}
    command = [sys.executable, str(SUBJECT), json.dumps(job)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=child_environment())
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])["own"]
    assert seen["is_strategy"]
    assert seen["single"]["text"] == seen["stream"]["text"] == "Echo: good morning"
    assert "def traced" in seen["source"]
    with sqlite3.connect(store) as database:
        ids = database.execute("SELECT value FROM trace_request_metadata WHERE key = 'harness.call_id'").fetchall()
        tags = database.execute("SELECT value FROM trace_tags WHERE key = 'team'").fetchall()
    database.close()
    assert {"own/single", "own/stream", "own/single_error", "own/stream_error"} <= {value for (value,) in ids}
    assert len(ids) == len(tags)
    assert {value for (value,) in tags} == {"search"}
