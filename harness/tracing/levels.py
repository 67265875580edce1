"""How far a strategy goes: each level is MLflow's own way, a step beyond the one before.

``disabled`` is ``mlflow.tracing.disable()`` after the strategy was installed; ``sampled_out`` the sampling
ratio 0; at ``dropped`` MLflow makes and ends every span as ever, in the calling thread, and where it
would hand it to its exporter the trace is let go. The batch processor is off there: the thread
that it hands spans to is part of the asynchronous export.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.tracing.switches import VARIABLES, expected_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from harness.config import TracingConfig

EXPORTED = "exported"
UNTRACED = "untraced"
_ENVIRONMENT = {"sampled_out": {VARIABLES["sampling_ratio"]: "0.0"}, "dropped": {VARIABLES["batch_processor"]: "false"}}


def level_environment(level: str) -> dict[str, str]:
    """The variables that a level needs, over those of the switches; they are set before MLflow is imported."""
    return dict(_ENVIRONMENT.get(level, {}))


def traces_share(tracing: TracingConfig) -> float:
    """Share of the calls that leave a trace under a strategy that expects one from each; 0 below ``exported``."""
    return expected_share(tracing.export) if tracing.level == EXPORTED else 0.0


def apply_level(level: str, strategy: str) -> None:
    """Turn what is no variable, after the strategy was installed in this process.

    Args:
        level: One of ``harness.config.LEVELS``.
        strategy: Name of the strategy, for the error.

    Raises:
        ConfigError: If the strategy does not use MLflow, whose levels these are.
    """
    if level in (EXPORTED, UNTRACED):
        return
    mlflow: Any = sys.modules.get("mlflow")
    if mlflow is None:
        raise ConfigError(
            f"tracing.level={level} is a level of MLflow's tracing, which the strategy {strategy!r} does not use; "
            f"leave tracing.level={EXPORTED} and tracing.against={UNTRACED}"
        )
    if level == "disabled":
        mlflow.tracing.disable()
    elif level == "dropped":
        # The class and not an object of it: MLflow makes its exporter with the first span, and anew when it is
        # told of another destination.
        from mlflow.tracing.export import mlflow_v3  # noqa: PLC0415 - only where it is used

        exporter: Any = mlflow_v3.MlflowV3SpanExporter
        exporter.export = _drop


def _drop(exporter: Any, spans: Sequence[ReadableSpan]) -> None:
    """Stand in for the exporter: let each trace go whose root has ended, as exporting it would."""
    from mlflow.tracing.trace_manager import InMemoryTraceManager  # noqa: PLC0415 - only where it is used

    del exporter
    manager: InMemoryTraceManager = InMemoryTraceManager.get_instance()  # type: ignore[no-untyped-call]
    for span in spans:
        if span.parent is None:
            manager.pop_trace(span.context.trace_id)
