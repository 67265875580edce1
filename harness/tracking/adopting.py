"""Traces of a worker's own store, copied into the person's: same ids, same spans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Trace, TraceLocation
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace
from mlflow.utils.file_utils import local_file_uri_to_path

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_LOCATION = "mlflow.artifactLocation"


def adopt_trace(client: MlflowClient, experiment_id: str, plain: dict[str, Any]) -> None:
    """Write a trace to an experiment as its worker left it, with its attachments.

    Args:
        client: Of the store to write to.
        experiment_id: Of the experiment.
        plain: What ``Trace.to_dict`` of some version of MLflow gave.

    Raises:
        Exception: Whatever MLflow raises at data that it cannot use.
    """
    trace = Trace.from_dict(plain)
    attachments = trace.info.tags.pop(_LOCATION, None)
    # A trace id is chosen by the client that traces; the experiment and the place of artifacts are the store's.
    trace.info.trace_location = TraceLocation.from_experiment_id(experiment_id)
    writer = client._tracing_client  # noqa: SLF001  # it has no public way to write a trace that has ended
    written = writer.start_trace(trace.info)
    if trace.data.spans:
        writer.log_spans(experiment_id, trace.data.spans)
    if attachments is None:
        return
    folder = local_file_uri_to_path(attachments)  # type: ignore[no-untyped-call]
    if not Path(folder).is_dir():
        return
    get_artifact_repository(get_artifact_uri_for_trace(written)).log_artifacts(folder)  # type: ignore[no-untyped-call]
