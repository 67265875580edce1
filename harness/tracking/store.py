"""An MLflow store and one experiment in it: runs, cells, artifacts, traces."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from harness.errors import EndpointError, StoreError
from harness.records import CELL_FILE, CellRecords, StoredTrace, cell_text, read_cell, write_cell
from harness.stores.traces import PAGE, attachments_of, first_start, search, stored_trace, with_attachments
from harness.tracking.adopting import adopt_trace
from harness.tracking.assessments import assess_traces
from harness.tracking.cells import (
    CELL_LABEL,
    NOTE_TAG,
    PARENT_TAG,
    PROVIDER_TAG,
    SAMPLE_TAG,
    STRATEGY_TAG,
    SWEEP_TAG,
    cell_metrics,
    cell_params,
    cell_tags,
    stage_metrics,
)
from harness.tracking.experiments import missing_tags
from harness.tracking.figures import cell_figures
from harness.tracking.links import with_links
from harness.tracking.owners import is_dead, process_identity
from harness.tracking.series import latency_series
from harness.tracking.table import log_evaluation
from harness.tracking.tables import SWEEP_FILE, TABLES_TAG, cell_tables, sweep_table, table_text, tables_tag
from harness.tracking.temporary import environment
from harness.tracking.uris import check_store
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlflow.entities import Run

    from harness.prompts import PromptSet
    from harness.records import CellRecord
    from harness.results import CellResult, SweepResult

OWNER_TAG = "harness.owner"
KIND_TAG = "harness.kind"
CELL_TAG = "harness.cell_id"
COUNT_TAG = "harness.cells_expected"
COMMAND_TAG = "harness.command"
STARTED_TAG = "harness.started_unix_ns"
ENDED_TAG = "harness.ended_unix_ns"
RECORDS_FOLDER = "records"
SOURCE_KEY = "mlflow.source.name"
BLOCKS_TAG = "harness.blocks_per_point"
"""On a cell's run where one point of its `block.*` metrics stands for several blocks."""

_LINKED_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
"""MLflow takes no more in one batch."""

Ending = Literal["FINISHED", "FAILED", "KILLED"]


class Store:
    """An MLflow store and one experiment in it.

    Args:
        uri: Absolute tracking URI.
        experiment: Name of the experiment; made if it is not there.
        make: Whether it is; else it holds no runs.

    Raises:
        EndpointError: If the store or the experiment cannot be used.
    """

    def __init__(self, uri: str, experiment: str, *, make: bool = True) -> None:
        check_store(uri)
        self.uri = uri
        self.experiment = experiment
        try:
            with environment(_few_retries()):
                self.client = MlflowClient(tracking_uri=uri)
                mlflow.set_tracking_uri(uri)
                self.experiment_id = self._experiment_id(experiment, make=make)
        except EndpointError:
            raise
        except Exception as error:  # each kind of store, driver and server has errors of its own
            advice = "; start one with `mlflow server`, or use store=sqlite" if uri.startswith("http") else ""
            raise EndpointError(
                without_secrets(f"store.uri {uri!r} cannot be used: {_first_line(error)}{advice}")
            ) from error

    def _experiment_id(self, name: str, *, make: bool) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None and not make:
            return ""
        if found is None:
            artifacts = None
            if self.uri.startswith("sqlite:///"):
                # Beside the database, so that the store does not depend on the folder it is opened from.
                artifacts = (Path(self.uri.removeprefix("sqlite:///")).parent / "mlartifacts" / name).as_uri()
            made = self.client.create_experiment(name, artifact_location=artifacts, tags=missing_tags({}))
            return str(made)
        if found.lifecycle_stage != "active":
            raise EndpointError(
                f"the experiment {name!r} in {self.uri} was deleted; restore it, or choose another one "
                "with store.experiment"
            )
        for key, value in missing_tags(found.tags).items():
            self.client.set_experiment_tag(found.experiment_id, key, value)
        return str(found.experiment_id)

    # Runs

    def start_run(self, name: str, tags: dict[str, str], parent: str | None = None) -> str:
        """Make a run, owned by this process until it is ended; returns its id."""
        owned = {**tags, OWNER_TAG: process_identity(os.getpid())}
        if parent:
            owned[PARENT_TAG] = parent
        run = self.client.create_run(self.experiment_id, run_name=name, tags=owned)
        return str(run.info.run_id)

    def end_run(self, run_id: str, ending: Ending) -> None:
        """End a run in this way, whatever way others have ended it."""
        self.client.set_terminated(run_id, status=ending)

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        """Set a tag of a run."""
        self.client.set_tag(run_id, key, value)

    def end_orphans(self) -> int:
        """End runs whose owning process on this machine is gone (it was killed); returns how many."""
        ended = 0
        for run in self.runs("attributes.status = 'RUNNING'"):
            owner = run.data.tags.get(OWNER_TAG)
            if owner is not None and is_dead(owner):
                self.client.set_terminated(run.info.run_id, status="KILLED")
                self.client.set_tag(run.info.run_id, "harness.ended", "the owning process was killed")
                ended += 1
        return ended

    def runs(self, filter_string: str = "") -> Iterator[Run]:
        """The experiment's runs that are not deleted, the first begun first."""
        token = None
        while self.experiment_id:
            page = self.client.search_runs(
                [self.experiment_id],
                filter_string,
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    # Traces

    def read_traces(self, source_name: str, begun_unix_ns: int, ended_unix_ns: int) -> tuple[StoredTrace, ...]:
        """All traces that one worker process left, tied to a call or not, oldest first.

        Args:
            source_name: What MLflow wrote as the traces' source.
            begun_unix_ns: When the process began its calls.
            ended_unix_ns: When it had ended them. Traces of that time that have no source at all are half written:
                MLflow writes their metadata last. They are taken for this process's.
        """
        window = f"timestamp_ms >= {begun_unix_ns // 1_000_000} AND timestamp_ms <= {ended_unix_ns // 1_000_000 + 1}"
        found = [
            trace
            for trace in search(self.client, [self.experiment_id], window, include_spans=True)
            if trace.info.trace_metadata.get(SOURCE_KEY) in (None, source_name)
        ]
        read = (with_attachments(stored_trace(trace), attachments_of(trace)) for trace in found)
        return tuple(sorted(read, key=first_start))

    def adopt_traces(self, plain: Iterable[dict[str, Any]]) -> Iterator[str]:
        """Copy traces from a worker's own store, so that people find them here, under the ids that they have.

        Args:
            plain: Each trace as the JSON data that MLflow makes of it, perhaps another version's.

        Yields:
            A sentence for each trace that could not be copied.
        """
        for data in plain:
            try:
                adopt_trace(self.client, self.experiment_id, data)
            except Exception as error:  # noqa: BLE001  # another version's data may be anything; a copy is for the eye
                name = data.get("info", {}).get("trace_id")
                yield f"trace {name} is judged, but could not be copied into the store: {_first_line(error)}"

    def link_traces(self, run_id: str, traces: Sequence[StoredTrace]) -> None:
        """Let the cell's run show its traces, and have people filter those that bear only metadata, too."""
        # What a collector received of a trace bears the same id, and may not be in the store at all.
        stored = [trace for trace in traces if trace.source == "store"]
        ids = [trace.trace_id for trace in stored]
        for start in range(0, len(ids), _LINKED_AT_ONCE):
            self.client.link_traces_to_run(ids[start : start + _LINKED_AT_ONCE], run_id)
        for trace in stored:
            # A strategy of one's own may tie traces to calls in its own way.
            for key in (SAMPLE_TAG, CELL_LABEL, STRATEGY_TAG, PROVIDER_TAG):
                if key in trace.metadata and key not in trace.tags:
                    self.client.set_trace_tag(trace.trace_id, key, trace.metadata[key])

    # Cells

    def log_cell(self, run_id: str, result: CellResult, records: CellRecords, prompts: PromptSet | None) -> None:
        """Write one cell: params, metrics, tags, raw records, tables, and the verdicts on its traces.

        The latencies of its blocks are steps of metrics: at most some hundred points, in one request or two.

        Raises:
            StoreError: If a verdict did not reach its trace.
        """
        params = [Param(key, value[:500]) for key, value in cell_params(result).items()]
        metrics = [Metric(key, value, 0, 0) for key, value in cell_metrics(result).items()]
        series = latency_series(records, result.overhead)
        tables = cell_tables(result)
        tags = cell_tags(result)
        if tables:
            tags[TABLES_TAG] = tables_tag(tuple(tables))
        if series.blocks_per_point > 1:
            tags[BLOCKS_TAG] = str(series.blocks_per_point)
        self.client.log_batch(run_id, metrics=metrics, params=params, tags=[RunTag(*tag) for tag in tags.items()])
        for start in range(0, len(series.metrics), _METRICS_AT_ONCE):
            self.client.log_batch(run_id, metrics=series.metrics[start : start + _METRICS_AT_ONCE])
        self.log_records(run_id, records)
        self.log_texts(run_id, {file: table_text(table) for file, table in tables.items()})
        self.link_traces(run_id, records.traces)
        if prompts is not None and result.rows:
            log_evaluation(self.uri, run_id, result.rows, prompts)
        if result.completeness is not None:
            assess_traces(self.uri, self.experiment_id, run_id, result.completeness)

    def log_sweep(self, run_id: str, sweep: SweepResult, note: str) -> None:
        """Log what the UI shows of a sweep beside its report: a table of its cells, and a figure of each cell.

        Its description is what was found, then links to where to look closer.
        """
        self.set_tag(run_id, NOTE_TAG, with_links(note, sweep, self.experiment_id, run_id))
        if (table := sweep_table(sweep)) is not None:
            self.log_texts(run_id, {SWEEP_FILE: table_text(table)})
            self.set_tag(run_id, TABLES_TAG, tables_tag([SWEEP_FILE]))
        for cell_run, figures in cell_figures(sweep).items():
            self.log_texts(cell_run, figures)

    def log_records(self, run_id: str, records: CellRecords) -> None:
        """Log raw records as artifacts."""
        with _scratch() as folder:
            write_cell(folder / RECORDS_FOLDER, records)
            self.client.log_artifacts(run_id, str(folder / RECORDS_FOLDER), RECORDS_FOLDER)

    def log_stages(self, run_id: str, cell: CellRecord) -> None:
        """Log where a cell's time went, once it has been written: as metrics, and in its record anew."""
        self.log_metrics(run_id, stage_metrics(cell))
        self.client.log_text(run_id, cell_text(cell), f"{RECORDS_FOLDER}/{CELL_FILE}")

    def read_records(self, run_id: str, *, timed_exchanges: bool = True) -> CellRecords:
        """Read a cell's raw records back from its run; ``timed_exchanges`` as in ``read_cell``.

        Raises:
            StoreError: If the run has no records.
        """
        with _scratch() as folder:
            try:
                path = self.client.download_artifacts(run_id, RECORDS_FOLDER, str(folder))
            except (MlflowException, OSError) as error:
                raise StoreError(f"run {run_id} in {self.uri} has no folder {RECORDS_FOLDER!r}") from error
            return read_cell(Path(path), timed_exchanges=timed_exchanges)

    def cell_runs(self, sweep_run_id: str) -> tuple[str, ...]:
        """Run ids of a sweep's cells, in the order in which they were begun."""
        return tuple(str(run.info.run_id) for run in self.runs(f"tags.`{PARENT_TAG}` = '{sweep_run_id}'"))

    def find_sweep(self, name: str) -> Run | None:
        """A sweep's run by the sweep's id or the run's, or the ``latest``; ``None`` if there is none."""
        found = None
        for run in self.runs(f"tags.`{KIND_TAG}` = 'sweep'"):
            if name in ("latest", run.info.run_id, run.data.tags.get(SWEEP_TAG)):
                found = run
        return found

    def sweep_ids(self) -> list[str]:
        """Ids of all sweeps, latest first."""
        return [run.data.tags[SWEEP_TAG] for run in self.runs(f"tags.`{KIND_TAG}` = 'sweep'")][::-1]

    def log_texts(self, run_id: str, texts: dict[str, str]) -> None:
        """Log texts as artifacts, by file name."""
        for name, text in texts.items():
            self.client.log_text(run_id, text, name)

    def log_metrics(self, run_id: str, metrics: dict[str, float]) -> None:
        """Log metrics, each once."""
        self.client.log_batch(run_id, metrics=[Metric(key, value, 0, 0) for key, value in metrics.items()])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _few_retries() -> dict[str, str]:
    """Settings that let a server that is not there be refused in seconds: MLflow would try for minutes."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
