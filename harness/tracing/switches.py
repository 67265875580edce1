"""MLflow's own switches: what a worker's environment has to say, and what its traces are then expected to be.

MLflow reads all of them when it makes its tracer provider, with the first trace of a process, so
that they have to stand in the environment before. This module imports no MLflow.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.config import ExportConfig

VARIABLES = {
    "asynchronous": "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING",
    "batch_processor": "MLFLOW_USE_BATCH_SPAN_PROCESSOR",
    "queue_size": "MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE",
    "workers": "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS",
    "batch_size": "MLFLOW_ASYNC_TRACE_LOGGING_MAX_SPAN_BATCH_SIZE",
    "interval_ms": "MLFLOW_ASYNC_TRACE_LOGGING_MAX_INTERVAL_MILLIS",
    "buffer_size": "MLFLOW_TRACE_BUFFER_MAX_SIZE",
    "buffer_ttl_s": "MLFLOW_TRACE_BUFFER_TTL_SECONDS",
    "sampling_ratio": "MLFLOW_TRACE_SAMPLING_RATIO",
}
"""Key of ``tracing.export`` to the variable that MLflow reads."""

_OTHER_VARIABLES = (
    "MLFLOW_ENABLE_OTEL_GENAI_SEMCONV",
    "MLFLOW_ENABLE_OTLP_EXPORTER",
    "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT",
    "MLFLOW_TRACE_PROPAGATE_TO_OTEL_CONTEXT",
    "MLFLOW_TRACE_TIMEOUT_SECONDS",
    "MLFLOW_TRACE_USE_ISOLATED_RANDOM_ID_GENERATOR",
    "MLFLOW_TRACING_DESTINATION",
    "MLFLOW_USE_DEFAULT_TRACER_PROVIDER",
)


def switches_label(export: ExportConfig) -> str:
    """The switches that are not left to MLflow, in one text, such as ``asynchronous=false``; else empty."""
    left = type(export)()
    changed = {field.name: getattr(export, field.name) for field in fields(export)}
    return ", ".join(f"{name}={str(value).lower()}" for name, value in changed.items() if value != getattr(left, name))


def otlp_environment(collector_url: str, *, alone: bool) -> dict[str, str]:
    """The variables that send spans over OTLP, as MLflow has them: translating them is a switch of its own.

    Args:
        collector_url: Where the collector takes traces, with its path.
        alone: Whether they go to the collector in place of the store, which is MLflow's own default, or beside it.
    """
    return {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector_url,
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": str(not alone).lower(),
    }


def switch_environment(export: ExportConfig, collector_url: str | None = None) -> dict[str, str]:
    """The variables that turn MLflow's switches; what is left to MLflow is not among them.

    Args:
        export: The switches.
        collector_url: Where the collector takes traces, with its path; needed for ``export.otlp``.

    Raises:
        ConfigError: If OTLP is asked for and there is no collector.
    """
    found = {}
    for key, variable in VARIABLES.items():
        value = getattr(export, key)
        if value is not None:
            found[variable] = str(value).lower()
    if export.otlp:
        if collector_url is None:
            raise ConfigError("tracing.export.otlp needs a collector, and none was started")
        found |= otlp_environment(collector_url, alone=False) | {"MLFLOW_ENABLE_OTEL_GENAI_SEMCONV": "true"}
    return found


def without_switches(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what would turn MLflow's switches, or OpenTelemetry's, from outside.

    A variable in the shell of whoever runs a cell would otherwise change what the cell measures,
    and no record would say so.
    """
    own = {*VARIABLES.values(), *_OTHER_VARIABLES}
    return {name: value for name, value in environment.items() if name not in own and not name.startswith("OTEL_")}


def apply_switches(export: ExportConfig) -> None:
    """Turn what is no variable, after the strategy was installed in this process."""
    mlflow: Any = sys.modules.get("mlflow")  # a strategy without MLflow has nothing to turn
    if export.disabled and mlflow is not None:
        mlflow.tracing.disable()


def expected_share(export: ExportConfig) -> float:
    """Share of the calls that leave a trace under a strategy that expects one from each.

    0 where tracing is disabled, the sampling ratio where there is one, else 1. Between 0 and 1 a
    missing trace is not a lost one: which calls are sampled is chance.
    """
    if export.disabled:
        return 0.0
    return 1.0 if export.sampling_ratio is None else export.sampling_ratio
