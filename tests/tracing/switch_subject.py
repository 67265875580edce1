"""MLflow's switches one by one: what is stored, and when, in a process whose environment has them.

The first argument is JSON: a migrated store to copy, a folder, and the variables of each case. MLflow
is imported once; each case runs in a fork of its own that has traced nothing before. What each saw
goes to standard output as one line of JSON.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import mlflow.tracking  # the store's modules, once for all forks

from harness.config import ExportConfig
from harness.tracing.base import MLflowTracing
from harness.tracing.switches import apply_switches, switch_environment

if TYPE_CHECKING:
    from collections.abc import Callable

HANG_S = 150.0
ARRIVES_S = 60.0
"""A trace that has not come by then does not come by itself."""


class Store:
    """The store of one case, looked at past MLflow."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stored(self) -> int:
        """Traces in it."""
        with sqlite3.connect(self.path) as database:
            (count,) = database.execute("SELECT count(*) FROM trace_info WHERE status = 'OK'").fetchone()
        database.close()
        return int(count)

    def arrives(self, count: int) -> bool:
        """Whether so many traces come without a drain."""
        deadline_s = time.monotonic() + ARRIVES_S
        while self.stored() < count:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.05)
        return True


def make_traces(count: int) -> None:
    """So many traces of one span."""
    for _ in range(count):
        with mlflow.start_span("call"):
            pass


def at_once(store: Store, tracing: MLflowTracing) -> dict[str, Any]:
    """One trace: there right after the call, and there after a drain."""
    make_traces(1)
    before = store.stored()
    tracing.drain()
    return {"before": before, "after": store.stored()}


def by_itself(store: Store, tracing: MLflowTracing) -> dict[str, Any]:
    """Three traces that nobody drains."""
    del tracing
    make_traces(3)
    return {"arrived": store.arrives(3)}


def not_by_itself(store: Store, tracing: MLflowTracing) -> dict[str, Any]:
    """Two traces, which a batch that is never full keeps back until a drain."""
    make_traces(2)
    time.sleep(1.0)
    before = store.stored()
    tracing.drain()
    return {"before": before, "after": store.stored()}


def many(store: Store, tracing: MLflowTracing) -> dict[str, Any]:
    """A burst of 80 traces, then a drain."""
    make_traces(80)
    names = [thread.name for thread in threading.enumerate()]
    tracing.drain()
    return {"stored": store.stored(), "workers": sum(name.startswith("MlflowTraceLoggingWorker") for name in names)}


def unfinished(store: Store, tracing: MLflowTracing) -> dict[str, Any]:
    """Five traces that are all open at a time, for more than a second."""
    spans = [mlflow.start_span_no_context("call") for _ in range(5)]
    time.sleep(1.2)
    for span in spans:
        span.end()
    tracing.drain()
    return {"stored": store.stored()}


ACTIONS: dict[str, Callable[[Store, MLflowTracing], dict[str, Any]]] = {
    "at_once": at_once,
    "by_itself": by_itself,
    "not_by_itself": not_by_itself,
    "many": many,
    "unfinished": unfinished,
}


def run(job: dict[str, Any], name: str, case: dict[str, Any]) -> dict[str, Any]:
    """One case in this process."""
    path = Path(job["folder"]) / f"{name}.db"
    shutil.copyfile(job["template"], path)
    export = ExportConfig(**case["export"])
    os.environ.update(switch_environment(export))
    tracing = MLflowTracing()
    tracing.install(None, f"sqlite:///{path}", "tests")  # type: ignore[arg-type]  # no provider is called
    apply_switches(export)
    return ACTIONS[case["action"]](Store(path), tracing)


def begin(job: dict[str, Any], name: str, case: dict[str, Any]) -> int:
    """Run a case in a fork; returns where its result can be read."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        with os.fdopen(writing, "w") as pipe:
            json.dump(run(job, name, case), pipe)
        os._exit(0)
    os.close(writing)
    return reading


def main() -> None:
    """A few cases at a time: most of them wait."""
    job = json.loads(sys.argv[1])
    seen: dict[str, Any] = {}
    waiting = list(job["cases"].items())
    while waiting:
        group, waiting = waiting[:4], waiting[4:]
        begun = {name: begin(job, name, case) for name, case in group}
        for name, reading in begun.items():
            with os.fdopen(reading) as pipe:
                seen[name] = json.load(pipe)
            os.wait()
    print(json.dumps(seen))  # noqa: T201 - this script's output


if __name__ == "__main__":
    main()
