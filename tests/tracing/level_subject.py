"""A fresh process that traces at one level, and says what is left of its traces.

The first argument is JSON: the store's URI, the level and the number of traces. What it saw goes to standard
output as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

os.environ.update(json.loads(sys.argv[1])["environment"])

import mlflow  # after the environment is as it has to be
from mlflow.tracing.trace_manager import InMemoryTraceManager

from harness.tracing.base import MLflowTracing
from harness.tracing.levels import apply_level


def resident_bytes() -> int:
    """Resident memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def trace(text: str) -> bool:
    """One trace of two spans; gives whether MLflow recorded the outer one."""
    with mlflow.start_span("outer") as outer:
        outer.set_inputs({"text": text})
        with mlflow.start_span("inner") as inner:
            inner.set_outputs({"text": text})
        return str(outer.trace_id).startswith("tr-")


def late_child() -> None:
    """A root that ends while a span of another thread is open in it."""
    with mlflow.start_span("root") as root:
        child = mlflow.start_span_no_context("child", parent_span=root)
    ending = threading.Thread(target=child.end)
    ending.start()
    ending.join()


def main() -> None:
    """Many traces, then a drain."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    tracing = MLflowTracing()
    tracing.install(None, job["tracking_uri"], job["experiment"])  # type: ignore[arg-type]  # no provider is called
    apply_level(job["level"], "subject")
    recorded = [trace("x" * 1000) for _ in range(job["traces"] // 5)]
    before = resident_bytes()
    recorded += [trace("x" * 1000) for _ in range(job["traces"] - len(recorded))]
    grown = resident_bytes() - before
    late_child()
    tracing.drain()
    manager: Any = InMemoryTraceManager.get_instance()  # type: ignore[no-untyped-call]
    left = len(manager._traces) + len(manager._otel_id_to_mlflow_trace_id)
    print(json.dumps({"recorded": sum(recorded), "left": left, "grown_bytes": grown}))  # noqa: T201 - this script's output
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
