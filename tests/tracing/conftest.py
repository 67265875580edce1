"""Each strategy in a fresh process on a fresh store: what the application saw, and what was stored."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.processes import child_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
BACKENDS = {
    "openai": ("openai", "openai"),
    "mistralai": ("mistralai", "mistralai"),
    "langchain-openai": ("langchain", "openai"),
    "langchain-mistralai": ("langchain", "mistralai"),
}
STYLES = [f"{style}/{depth}" for style in ("decorator", "wrapper", "context") for depth in ("plain", "careful")]


class Span(NamedTuple):
    """A stored span; attribute values are decoded."""

    name: str
    kind: str
    status: str
    parent: str | None
    attributes: dict[str, Any]
    events: list[str]


class Trace(NamedTuple):
    """A stored trace."""

    state: str
    spans: list[Span]


class Seen(NamedTuple):
    """All that the processes saw, by case, and all traces of their stores, by call id."""

    cases: dict[str, dict[str, Any]]
    traces: dict[str, list[Trace]]
    untied: int


def case_id(provider: str, strategy: str) -> str:
    """Names a case, for example ``openai decorator/plain``."""
    return f"{provider} {strategy}"


def _case(provider: str, strategy: str) -> dict[str, str]:
    style, _, depth = strategy.partition("/")
    name = "manual" if depth else strategy
    sdk, backend = BACKENDS[provider]
    return {
        "id": case_id(provider, strategy),
        "provider": sdk,
        "backend": backend,
        "strategy": name,
        "style": style if depth else "",
        "depth": depth,
    }


def _jobs() -> dict[str, list[dict[str, str]]]:
    """Process by process; autolog patches for life, so each of its cases has its own."""
    manual = [_case("openai", style) for style in STYLES]
    manual += [_case(provider, "decorator/careful") for provider in BACKENDS if provider != "openai"]
    autolog = {f"autolog-{provider}": [_case(provider, "autolog")] for provider in BACKENDS}
    return {"manual": manual, **autolog, "none": [_case(provider, "none") for provider in BACKENDS]}


@pytest.fixture(scope="session")
def endpoint_url() -> Iterator[str]:
    """Where the endpoint listens; it is the one that the providers are tried on."""
    command = [sys.executable, str(HERE.parent / "providers" / "endpoint.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


@pytest.fixture(scope="session")
def seen(endpoint_url: str, migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Everything, from two processes at a time."""
    folder = tmp_path_factory.mktemp("stores")

    def run(name: str, cases: list[dict[str, str]]) -> dict[str, Any]:
        store = folder / f"{name}.db"
        shutil.copyfile(migrated_store, store)
        job = {"endpoint_url": endpoint_url, "tracking_uri": f"sqlite:///{store}", "cases": cases}
        command = [sys.executable, str(HERE / "subject.py"), json.dumps(job | {"nested": 200 * (name == "manual")})]
        done = subprocess.run(command, check=False, cwd=folder, env=child_environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, *zip(*_jobs().items(), strict=True)))
    cases = {name: case for result in results for name, case in result.items()}
    traces: dict[str, list[Trace]] = defaultdict(list)
    untied = 0
    for name in _jobs():
        untied += _read_store(folder / f"{name}.db", traces)
    return Seen(cases, traces, untied)


@pytest.fixture(scope="session")
def modes(endpoint_url: str, migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Calls of every mode: manual tracing in one process, each set of autologs in one of its own."""
    folder = tmp_path_factory.mktemp("modes")
    manual = [_mode_case("openai", "openai", style) for style in ("none", *STYLES)]
    around = [_mode_case("openai", "openai", f"around {style}") for style in ("decorator", "wrapper", "context")]
    both = {f"both {backend}": [_mode_case("langchain", backend, "both")] for backend in ("openai", "mistralai")}
    jobs = {"manual": manual, "around": around, "none": [_mode_case("langchain", "openai", "none")], **both}

    def run(name: str, cases: list[dict[str, str]]) -> dict[str, Any]:
        store = folder / f"{name}.db"
        shutil.copyfile(migrated_store, store)
        job = {"endpoint_url": endpoint_url, "tracking_uri": f"sqlite:///{store}", "cases": cases}
        command = [sys.executable, str(HERE / "modes_subject.py"), json.dumps(job | {"refusals": name == "manual"})]
        done = subprocess.run(command, check=False, cwd=folder, env=child_environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result | {f"{name} stderr": done.stderr}

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, *zip(*jobs.items(), strict=True)))
    traces: dict[str, list[Trace]] = defaultdict(list)
    untied = sum(_read_store(folder / f"{name}.db", traces) for name in jobs)
    return Seen({name: case for result in results for name, case in result.items()}, traces, untied)


def _mode_case(provider: str, backend: str, strategy: str) -> dict[str, str]:
    name, _, style = strategy.rpartition(" ")
    style, _, depth = style.partition("/")
    if depth:
        name = "manual"
    elif not name:
        name, style = style, ""
    return {
        "id": f"{provider} {backend} {strategy}" if provider == "langchain" else strategy,
        "provider": provider,
        "backend": backend,
        "strategy": name,
        "style": style,
        "depth": depth,
    }


def _read_store(path: Path, traces: dict[str, list[Trace]]) -> int:
    """Add a store's traces by call id; returns how many have none."""
    with sqlite3.connect(path) as database:
        ids = dict(
            database.execute("SELECT request_id, value FROM trace_request_metadata WHERE key = 'harness.call_id'")
        )
        spans = defaultdict(list)
        query = "SELECT trace_id, name, type, status, parent_span_id, content FROM spans ORDER BY start_time_unix_nano"
        for trace_id, name, kind, status, parent, content in database.execute(query):
            data = json.loads(content)
            attributes = {key: json.loads(value) for key, value in data["attributes"].items()}
            events = [event["name"] for event in data["events"]]
            spans[trace_id].append(Span(name, kind, status, parent, attributes, events))
        states = dict(database.execute("SELECT request_id, status FROM trace_info"))
    database.close()
    for trace_id, state in states.items():
        if trace_id in ids:
            traces[ids[trace_id]].append(Trace(state, spans[trace_id]))
    return len(states.keys() - ids.keys())
