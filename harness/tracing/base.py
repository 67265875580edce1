"""What every strategy that traces with MLflow does alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow

from harness.tracing.attribution import attributed, prepare_attribution

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.providers import Provider


class MLflowTracing:
    """Where traces go, how they are tied to their calls, and how they are drained."""

    expects_traces = True

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:  # noqa: ARG002 - for subclasses
        """Say where traces go; ``None`` leaves MLflow's own default."""
        prepare_attribution()
        if tracking_uri is not None:
            mlflow.set_tracking_uri(tracking_uri)
        if experiment is not None:
            mlflow.set_experiment(experiment)

    def attribute(self, metadata: dict[str, str]) -> AbstractContextManager[None]:
        """Put metadata on each trace that is begun inside; a stream has to be consumed inside too."""
        return attributed(metadata)

    def drain(self) -> None:
        """Empty MLflow's queues: spans waiting for export, writes waiting for the store, spans for a collector.

        ``flush_trace_async_logging`` goes through every batch processor first and the exporters'
        write queues second, and waits for the writes under way. It says nothing about what was
        dropped at a full queue or failed to be written: count what is stored.
        """
        mlflow.flush_trace_async_logging()
        # That leaves out the processor of the export over OTLP; by now only it has something to flush.
        tracer_provider: Any = mlflow.tracing.provider.provider.get()
        if flush := getattr(tracer_provider, "force_flush", None):  # there is none where tracing is disabled
            flush()
