"""OpenAI's SDK through the gateway in a fresh process, exporting over OTLP as well."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.collector.process import Collector
from harness.config import ExportConfig
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.processes import child_environment
from harness.prompts import Sample
from harness.tracing.switches import switch_environment, without_switches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.collector.spans import ReceivedSpan

HERE = Path(__file__).parent
SAMPLES = (
    Sample(
        id="capital",
        messages=({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}),
        parameters={"temperature": 0.5, "max_tokens": 40},
        expected="It is Paris, I think.",
    ),
    Sample(
        id="story",
        messages=({"role": "user", "content": "Tell me a story"},),
        parameters={"stream_options": {"include_usage": True}},
        stream=True,
        expected="Once upon a time.",
    ),
)


class Exported(NamedTuple):
    """What one process saw, what its store holds by trace id, and what the collector received."""

    seen: dict[str, Any]
    stored: dict[str, str]
    span_ids: set[str]
    spans: list[ReceivedSpan]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A simulating gateway."""
    records = tmp_path_factory.mktemp("gateway") / "exchanges.jsonl"
    with Gateway.start(GatewayConfig(records_path=records, samples=SAMPLES, seed=7)) as running:
        yield running


@pytest.fixture(scope="session")
def export(
    gateway: Gateway, migrated_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[dict[str, Any], dict[str, str], set[str]]]:
    """Run the application with traces exported to a URL too, and read its store."""

    def run(url: str, **environment: str) -> tuple[dict[str, Any], dict[str, str], set[str]]:
        folder = tmp_path_factory.mktemp("exported")
        store = folder / "mlflow.db"
        shutil.copyfile(migrated_store, store)
        job = {
            "base_url": gateway.base_url("openai"),
            "tracking_uri": f"sqlite:///{store}",
            "samples": [sample.model_dump() for sample in SAMPLES],
        }
        done = subprocess.run(
            [sys.executable, str(HERE / "subject.py"), json.dumps(job)],
            check=False,
            cwd=folder,
            env=without_switches(child_environment()) | switch_environment(ExportConfig(otlp=True), url) | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        with sqlite3.connect(store) as database:
            query = "SELECT request_id, value FROM trace_request_metadata WHERE key = 'harness.call_id'"
            stored = dict(database.execute(query).fetchall())
            span_ids = {span_id for (span_id,) in database.execute("SELECT span_id FROM spans")}
        database.close()
        return json.loads(done.stdout.splitlines()[-1]), stored, span_ids

    return run


@pytest.fixture(scope="session")
def exported(export: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One run into a collector that works."""
    with Collector.start(tmp_path_factory.mktemp("collector") / "spans.jsonl") as collector:
        seen, stored, span_ids = export(collector.endpoint_url)
        return Exported(seen, stored, span_ids, collector.spans())


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """A collector of the test's own."""
    with Collector.start(tmp_path / "spans.jsonl") as running:
        yield running


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Where something listens that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"
