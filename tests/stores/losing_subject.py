"""Traces that lose writes, in a process of their own: MLflow's exporter is patched for its life.

The first argument is JSON: the store, what is lost (``style``), whether MLflow may put spans that its database does
not have into a file, MLflow's switches, and how many calls are made. How many traces lost something
goes to standard output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from mlflow.tracing.export.mlflow_v3 import MlflowV3SpanExporter

from harness.calibration.losing import LosingTracing
from harness.config import ExportConfig
from harness.providers.callid import CALL_ID
from harness.records import CALL_ID_METADATA, CallId
from harness.stores.throwaway import TEMPLATE_EXPERIMENT
from harness.tracing.switches import switch_environment


def main() -> None:
    """Make the calls, drain, and tell."""
    job = json.loads(sys.argv[1])
    os.environ.update(switch_environment(ExportConfig(**job["export"])))
    exporter: Any = MlflowV3SpanExporter
    in_file = exporter._should_log_spans_to_artifacts
    strategy = LosingTracing(style=job["style"])
    strategy.install(None, f"sqlite:///{job['store']}", TEMPLATE_EXPERIMENT)  # type: ignore[arg-type]  # none is called
    if job["files"]:
        exporter._should_log_spans_to_artifacts = in_file
    ask = strategy.complete(lambda **request: request)
    for repetition in range(job["calls"]):
        call_id = str(CallId("cell", "timing", 0, "strategy", repetition, "capital"))
        CALL_ID.set(call_id)
        with strategy.attribute({CALL_ID_METADATA: call_id}):
            ask(model="some")
    strategy.drain()
    sys.stdout.write(f"{strategy.planted_losses}\n")


if __name__ == "__main__":
    main()
