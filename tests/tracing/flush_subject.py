"""Flushes of MLflow's export queue in a fresh process, on a store of its own.

The first argument is JSON: the store's URI and its path. What was seen goes to standard output as one line of JSON.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from harness.tracing.prompt_flush import prompt_flush

if TYPE_CHECKING:
    from collections.abc import Callable

with prompt_flush():
    LOADED = "mlflow" in sys.modules

import mlflow  # after it was seen that the flush does without
from mlflow.tracing.export.async_export_queue import Task

from harness.tracing.base import MLflowTracing

HANG_S = 150.0
TRACES, TRACE_FLUSHES = 40, 100
TASKS, TASK_FLUSHES = 1000, 300
THREADS = 3


def export_queue() -> Any:
    """MLflow's own, by its private name."""
    return mlflow.tracing.provider._get_trace_exporter()._async_queue  # type: ignore[no-untyped-call]


def flushed_meanwhile(flush: Callable[[], None], work: Callable[[], None], flushes: int) -> int:
    """Have several threads at work, and flush until they have ended, at least so many times; gives how many."""
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    made = 0
    while made < flushes or any(thread.is_alive() for thread in threads):
        with prompt_flush():
            flush()
        made += 1
    with prompt_flush():
        flush()
    return made


def traces_under_flushes(tracing: MLflowTracing, path: str) -> dict[str, int]:
    """Several threads trace while another flushes; what is in the store afterwards."""

    def work() -> None:
        for _ in range(TRACES):
            with mlflow.start_span("call"):
                time.sleep(0.001)

    before = stored(path)
    flushes = flushed_meanwhile(tracing.drain, work, TRACE_FLUSHES)
    return {"flushes": flushes, "expected": THREADS * TRACES, "stored": stored(path) - before}


def tasks_under_flushes() -> dict[str, int]:
    """The same with tasks that only count, put straight into the queue."""
    exports, count = export_queue(), itertools.count()

    def work() -> None:
        for _ in range(TASKS):
            exports.put(Task(handler=lambda: next(count), args=()))
            time.sleep(0)

    flushes = flushed_meanwhile(exports.flush, work, TASK_FLUSHES)
    return {"flushes": flushes, "expected": THREADS * TASKS, "done": next(count)}


def stored(path: str) -> int:
    """Traces in the store, past MLflow."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        (count,) = store.execute("SELECT count(*) FROM trace_info WHERE status = 'OK'").fetchone()
    return int(count)


def seconds(tracing: MLflowTracing) -> float:
    """How long a drain takes after one trace that has long been stored."""
    with mlflow.start_span("call"):
        pass
    tracing.drain()
    begun_s = time.perf_counter()
    tracing.drain()
    return time.perf_counter() - begun_s


def prompt_seconds(tracing: MLflowTracing) -> float:
    """The same without the sleep."""
    with prompt_flush():
        return seconds(tracing)


def in_a_fork(tracing: MLflowTracing) -> int:
    """The exit status of a forked child that drains; it has the queue, and none of its threads."""
    child = os.fork()
    if child == 0:
        # The fault handler of the parent cannot be set anew here: its thread is not there, either.
        signal.alarm(int(HANG_S / 5))
        with prompt_flush():
            tracing.drain()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """All of it, one after the other."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    job = json.loads(sys.argv[1])
    tracing = MLflowTracing()
    tracing.install(None, job["tracking_uri"], "tests")  # type: ignore[arg-type]  # no provider is called
    seen = {
        "loaded": LOADED,
        "plain_s": seconds(tracing),
        "prompt_s": [prompt_seconds(tracing) for _ in range(3)],
        "traces": traces_under_flushes(tracing, job["path"]),
        "tasks": tasks_under_flushes(),
        "left": [name for name in vars(export_queue()._stop_event) if name == "set"],
        "fork": in_a_fork(tracing),
    }
    print(json.dumps(seen))  # noqa: T201 - this script's output
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
