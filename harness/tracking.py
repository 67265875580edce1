"""Everything that is written to or read from MLflow: runs, metrics, artifacts, traces.

People read in MLflow; this is the one module that writes there, and it turns stored traces
back into records. It never imports an SDK and turns no tracing on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.metrics import MetricValue, make_metric
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient

from harness.errors import EndpointError, StoreError
from harness.records import CALL_ID_METADATA, CellRecords, SpanEvent, StoredSpan, StoredTrace, read_cell, write_cell
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlflow.entities import Run, Span, Trace

    from harness.prompts import PromptSet
    from harness.results import CellResult, RowScore

PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
OWNER_TAG = "harness.owner"
KIND_TAG = "harness.kind"
SWEEP_TAG = "harness.sweep_id"
CELL_TAG = "harness.cell_id"
COUNT_TAG = "harness.cells_expected"
COMMAND_TAG = "harness.command"
STARTED_TAG = "harness.started_unix_ns"
ENDED_TAG = "harness.ended_unix_ns"
RECORDS_FOLDER = "records"
TEMPLATE_EXPERIMENT = "timing"
_PAGE = 200
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*:")
_VERSION_TAG = "version.{}"

MIN_FORKS = 4
LATENCIES = ("p50_ms", "p95_ms", "p99_ms", "first_chunk_p50_ms")

Ending = Literal["FINISHED", "FAILED", "KILLED"]


def absolute_uri(uri: str) -> str:
    """The same store from any folder: relative SQLite and file paths are taken from the current one."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return f"{prefix}{Path(uri.removeprefix(prefix)).absolute()}"
    if _SCHEME.match(uri) or uri.startswith(("databricks", "uc")):
        return uri
    return Path(uri).absolute().as_uri()


def check_store(uri: str) -> None:
    """Refuse a store that cannot be used, before anything is measured.

    Raises:
        EndpointError: Naming the store and what is wrong with it.
    """
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if path.is_dir():
            raise EndpointError(f"store.uri {uri!r} is a folder; name a file, such as sqlite:///mlflow.db")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise EndpointError(f"store.uri {uri!r} lies in {path.parent}, which is not a folder one can write to")
        if path.exists():
            if not os.access(path, os.R_OK | os.W_OK):
                raise EndpointError(f"store.uri {uri!r} is a file that one cannot write to")
            with path.open("rb") as file:
                if file.read(15) not in (b"", b"SQLite format 3"):
                    raise EndpointError(f"store.uri {uri!r} is a file that is not a SQLite database")


def make_template(path: Path) -> None:
    """Make a migrated SQLite store with one experiment, to be copied for each timed arm.

    A fresh store takes seconds to migrate; a copy takes none.
    """
    client = MlflowClient(tracking_uri=f"sqlite:///{path}")
    if client.get_experiment_by_name(TEMPLATE_EXPERIMENT) is None:
        client.create_experiment(TEMPLATE_EXPERIMENT, artifact_location=(path.parent / "artifacts").as_uri())


def count_traces(path: Path) -> int:
    """How many traces an arm's own SQLite store holds, once the arm has ended."""
    with _own_store(path) as (client, experiments):
        return len(_search(client, experiments, None, include_spans=False))


def read_own_traces(path: Path) -> tuple[StoredTrace, ...]:
    """All traces of a worker's own SQLite store, once the worker has ended, oldest first.

    A trace that broke off may have no spans; MLflow leaves such ones out where it is asked for spans.
    """
    with _own_store(path) as (client, experiments), _no_word_of_broken_traces():
        found = {trace.info.trace_id: trace for trace in _search(client, experiments, None, include_spans=False)}
        found |= {trace.info.trace_id: trace for trace in _search(client, experiments, None, include_spans=True)}
    return tuple(sorted((_stored_trace(trace) for trace in found.values()), key=_first_start))


@contextlib.contextmanager
def _own_store(path: Path) -> Iterator[tuple[MlflowClient, list[str]]]:
    """A client of a worker's own store and the ids of the worker's experiments; the file is let go afterwards."""
    uri = f"sqlite:///{path}"
    client = MlflowClient(tracking_uri=uri)
    try:
        experiment = client.get_experiment_by_name(TEMPLATE_EXPERIMENT)
        yield client, [] if experiment is None else [experiment.experiment_id]
    finally:
        # MLflow keeps the connections to every store for good; a removed file would keep its room on the disk.
        SqlAlchemyStore._get_or_create_engine(uri).dispose()  # noqa: SLF001  # it has no public way


@contextlib.contextmanager
def _no_word_of_broken_traces() -> Iterator[None]:
    """MLflow warns of each trace that has no spans; here they are what is counted."""
    logger = logging.getLogger("mlflow.tracing.client")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class Store:
    """An MLflow store and one experiment in it.

    Args:
        uri: Absolute tracking URI.
        experiment: Name of the experiment; made if it is not there.

    Raises:
        EndpointError: If the store or the experiment cannot be used.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        check_store(uri)
        self.uri = uri
        self.experiment = experiment
        try:
            with _few_retries():
                self.client = MlflowClient(tracking_uri=uri)
                mlflow.set_tracking_uri(uri)
                self.experiment_id = self._experiment_id(experiment)
        except EndpointError:
            raise
        except Exception as error:  # each kind of store, driver and server has errors of its own
            advice = "; start one with `mlflow server`, or use store=sqlite" if uri.startswith("http") else ""
            raise EndpointError(
                without_secrets(f"store.uri {uri!r} cannot be used: {_first_line(error)}{advice}")
            ) from error

    def _experiment_id(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            artifacts = None
            if self.uri.startswith("sqlite:///"):
                # Beside the database, so that the store does not depend on the folder it is opened from.
                artifacts = (Path(self.uri.removeprefix("sqlite:///")).parent / "mlartifacts" / name).as_uri()
            return str(self.client.create_experiment(name, artifact_location=artifacts))
        if found.lifecycle_stage != "active":
            raise EndpointError(
                f"the experiment {name!r} in {self.uri} was deleted; restore it, or choose another one "
                "with store.experiment"
            )
        return str(found.experiment_id)

    # Runs

    def start_run(self, name: str, tags: dict[str, str], parent: str | None = None) -> str:
        """Make a run, owned by this process until it is ended; returns its id."""
        owned = {**tags, OWNER_TAG: _process_identity(os.getpid())}
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
        for run in self._runs("attributes.status = 'RUNNING'"):
            owner = run.data.tags.get(OWNER_TAG)
            if owner is not None and _is_dead(owner):
                self.client.set_terminated(run.info.run_id, status="KILLED")
                self.client.set_tag(run.info.run_id, "harness.ended", "the owning process was killed")
                ended += 1
        return ended

    def _runs(self, filter_string: str) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                filter_string,
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    # Traces

    def read_traces(self, source_name: str) -> tuple[StoredTrace, ...]:
        """All traces that one worker process left, tied to a call or not, oldest first."""
        found = _search(
            self.client, [self.experiment_id], f"metadata.`mlflow.source.name` = '{source_name}'", include_spans=True
        )
        return tuple(sorted((_stored_trace(trace) for trace in found), key=_first_start))

    def link_traces(self, run_id: str, traces: Sequence[StoredTrace]) -> None:
        """Let the cell's run show its traces."""
        for start in range(0, len(traces), 100):
            self.client.link_traces_to_run([trace.trace_id for trace in traces[start : start + 100]], run_id)

    # Cells

    def log_cell(self, run_id: str, result: CellResult, records: CellRecords, prompts: PromptSet | None) -> None:
        """Write one cell: params, metrics, tags, the evaluation table and the raw records."""
        params = [Param(key, value[:500]) for key, value in cell_params(result).items()]
        metrics = [Metric(key, value, 0, 0) for key, value in cell_metrics(result).items()]
        tags = [RunTag(key, value) for key, value in cell_tags(result).items()]
        self.client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        self.log_records(run_id, records)
        if prompts is not None and result.rows:
            self._evaluate(run_id, result, prompts)

    def log_records(self, run_id: str, records: CellRecords) -> None:
        """Log raw records as artifacts."""
        with _scratch() as folder:
            write_cell(folder / RECORDS_FOLDER, records)
            self.client.log_artifacts(run_id, str(folder / RECORDS_FOLDER), RECORDS_FOLDER)

    def read_records(self, run_id: str) -> CellRecords:
        """Read a cell's raw records back from its run.

        Raises:
            StoreError: If the run has no records.
        """
        with _scratch() as folder:
            try:
                path = self.client.download_artifacts(run_id, RECORDS_FOLDER, str(folder))
            except (MlflowException, OSError) as error:
                raise StoreError(f"run {run_id} in {self.uri} has no folder {RECORDS_FOLDER!r}") from error
            return read_cell(Path(path))

    def cell_runs(self, sweep_run_id: str) -> tuple[str, ...]:
        """Run ids of a sweep's cells, in the order in which they were begun."""
        return tuple(str(run.info.run_id) for run in self._runs(f"tags.`{PARENT_TAG}` = '{sweep_run_id}'"))

    def find_sweep(self, name: str) -> Run | None:
        """A sweep's run by the sweep's id or the run's, or the ``latest``; ``None`` if there is none."""
        found = None
        for run in self._runs(f"tags.`{KIND_TAG}` = 'sweep'"):
            if name in ("latest", run.info.run_id, run.data.tags.get(SWEEP_TAG)):
                found = run
        return found

    def sweep_ids(self) -> list[str]:
        """Ids of all sweeps, latest first."""
        return [run.data.tags[SWEEP_TAG] for run in self._runs(f"tags.`{KIND_TAG}` = 'sweep'")][::-1]

    def log_texts(self, run_id: str, texts: dict[str, str]) -> None:
        """Log texts as artifacts, by file name."""
        for name, text in texts.items():
            self.client.log_text(run_id, text, name)

    def log_metrics(self, run_id: str, metrics: dict[str, float]) -> None:
        """Log metrics, each once."""
        self.client.log_batch(run_id, metrics=[Metric(key, value, 0, 0) for key, value in metrics.items()])

    def _evaluate(self, run_id: str, result: CellResult, prompts: PromptSet) -> None:
        """Log the table of prompts, outputs and targets with a score a row, and the prompt set as the input."""
        columns: dict[str, list[str]] = {
            "sample": [row.sample_id for row in result.rows],
            "prompt": [row.prompt for row in result.rows],
            "expected": [row.expected or "" for row in result.rows],
            "output": [row.output or "" for row in result.rows],
        }
        if any(row.error for row in result.rows):
            columns["error"] = [row.error or "" for row in result.rows]
        table = pd.DataFrame(columns)
        samples = pd.DataFrame(
            {
                "id": [sample.id for sample in prompts.samples],
                "messages": [json.dumps(sample.messages, ensure_ascii=False) for sample in prompts.samples],
                "expected": [sample.expected or "" for sample in prompts.samples],
            }
        )
        with warnings.catch_warnings():
            # MLflow offers the same reading of a path twice and says so each time.
            warnings.simplefilter("ignore", UserWarning)
            dataset = mlflow.data.from_pandas(  # type: ignore[attr-defined]
                samples, source=prompts.path, targets="expected", name=prompts.name, digest=prompts.digest[:8]
            )
        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=run_id):
            mlflow.log_input(dataset, context="prompts")
            _evaluate_table(table, result.rows)


def _evaluate_table(table: pd.DataFrame, rows: Sequence[RowScore]) -> None:
    """Call ``mlflow.evaluate`` on a static table, without network.

    In MLflow 3 it is the deprecated name of ``mlflow.models.evaluate``; this is the one place
    that has to know.
    """
    evaluate = getattr(mlflow.models, "evaluate", None) or mlflow.evaluate
    evaluate(
        data=table,
        predictions="output",
        targets="expected",
        extra_metrics=[
            _row_metric("exact_match", [row.exact_match for row in rows], higher=True),
            _row_metric("token_overlap", [row.token_overlap for row in rows], higher=True),
            _row_metric("latency_ms", [row.latency_ms for row in rows], higher=False),
        ],
        evaluators="default",
        evaluator_config={"default": {"log_explainer": False}},
    )


def _row_metric(name: str, scores: list[float | None], *, higher: bool) -> Any:
    """A metric whose scores are already known, with their mean over the rows that have one."""
    known = [score for score in scores if score is not None]
    aggregates = {"mean": sum(known) / len(known)} if known else {}

    def score(predictions: Any, targets: Any) -> MetricValue:
        del predictions, targets
        return MetricValue(scores=scores, aggregate_results=aggregates)  # type: ignore[arg-type]

    return make_metric(eval_fn=score, greater_is_better=higher, name=name)  # type: ignore[no-untyped-call]


def cell_params(result: CellResult) -> dict[str, str]:
    """A cell's params under the names that scripts rely on."""
    cell = result.cell
    return {
        "provider": cell.provider,
        "provider.backend": cell.backend,
        "prompts": cell.prompts,
        "tracing": cell.tracing,
        "tracing.style": cell.style,
        "endpoint": cell.endpoint,
        "measure": cell.measure,
        "seed": str(cell.seed),
    }


def cell_tags(result: CellResult) -> dict[str, str]:
    """A cell's tags: versions, the machine, how it ended."""
    cell = result.cell
    tags = {_VERSION_TAG.format(name): version for name, version in cell.versions.items()}
    machine = cell.machine
    tags |= {
        "machine.cpu_model": machine.cpu_model,
        "machine.cpu_count": str(machine.cpu_count),
        "machine.memory_gib": f"{machine.memory_bytes / 2**30:.1f}",
        "machine.kernel": machine.kernel,
        "machine.work_filesystem": machine.work_filesystem,
        "machine.arm_cpus": ",".join(map(str, machine.arm_cpus)),
        "machine.gateway_cpus": ",".join(map(str, machine.gateway_cpus)),
        "harness.status": cell.status,
        "harness.prompt_set_digest": cell.prompt_set_digest,
    }
    if cell.reason:
        tags["harness.reason"] = cell.reason[:4000]
    return tags


def cell_metrics(result: CellResult) -> dict[str, float]:
    """A cell's metrics under the names that scripts rely on; what was not measured is left out."""
    found: dict[str, float | None] = {}
    if result.completeness is not None:
        complete = result.completeness
        found |= {
            "completeness.recall": complete.recall,
            "completeness.wire_recall": complete.wire_recall,
            "completeness.otel_recall": complete.otel_recall,
            "completeness.fidelity": complete.fidelity,
            "traces.expected": complete.traces_expected,
            "traces.stored": complete.traces_stored,
            "traces.lost": complete.traces_lost,
            "traces.duplicated": complete.traces_duplicated,
            "traces.orphaned": complete.traces_orphaned,
        }
    if result.overhead is not None:
        overhead = result.overhead
        estimates = overhead.estimates
        found["overhead.traces_lost"] = overhead.traces_lost
        # A latency that is not judged (traces lost, store saturated) must not be read by a script either.
        hidden = overhead.verdict == "not judged" and overhead.forks >= MIN_FORKS
        for name, estimate in estimates.items():
            if not (hidden and name in LATENCIES):
                found[f"overhead.{name}"] = estimate.value
        if not hidden and (p50 := estimates.get("p50_ms")) is not None:
            found |= {
                "baseline.p50_ms": p50.baseline,
                "overhead.p50_ci_low_ms": p50.low,
                "overhead.p50_ci_high_ms": p50.high,
            }
    return {name: float(value) for name, value in found.items() if value is not None}


def _search(
    client: MlflowClient, experiment_ids: list[str], filter_string: str | None, *, include_spans: bool
) -> list[Trace]:
    found: list[Trace] = []
    token = None
    while True:
        page = client.search_traces(
            locations=experiment_ids,
            filter_string=filter_string,
            max_results=_PAGE,
            page_token=token,
            include_spans=include_spans,
        )
        found.extend(page)
        token = page.token
        if not token:
            return found


def _stored_trace(trace: Trace) -> StoredTrace:
    metadata = {str(key): str(value) for key, value in trace.info.trace_metadata.items()}
    return StoredTrace(
        trace_id=trace.info.trace_id,
        call_id=metadata.get(CALL_ID_METADATA),
        state=str(getattr(trace.info.state, "value", trace.info.state)),
        metadata=metadata,
        tags={str(key): str(value) for key, value in trace.info.tags.items()},
        spans=tuple(_stored_span(span) for span in trace.data.spans),
    )


def _stored_span(span: Span) -> StoredSpan:
    status = str(getattr(span.status.status_code, "value", span.status.status_code))
    return StoredSpan(
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        start_unix_ns=span.start_time_ns,
        end_unix_ns=span.end_time_ns,
        status=status if status in ("OK", "ERROR") else "UNSET",
        status_message=span.status.description or "",
        attributes=_plain(dict(span.attributes)),
        events=tuple(
            SpanEvent(
                name=event.name, time_unix_ns=int(event.timestamp), attributes=_plain(dict(event.attributes or {}))
            )
            for event in span.events
        ),
    )


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Only JSON data, whatever the store handed back."""
    value: dict[str, Any] = json.loads(json.dumps(attributes, default=str))
    return value


def _first_start(trace: StoredTrace) -> tuple[int, str]:
    return (min((span.start_unix_ns for span in trace.spans), default=0), trace.trace_id)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """Let a server that is not there be refused in seconds: MLflow would try for minutes."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _process_identity(pid: int) -> str:
    """Names a process for good: machine boot and process namespace, process id, and when it was started."""
    return f"{_boot_id()}/{pid}/{_start_ticks(pid)}"


def _is_dead(identity: str) -> bool:
    """Whether a process of this machine's present boot is gone; of another machine nothing is known."""
    boot, _, rest = identity.partition("/")
    pid, _, ticks = rest.partition("/")
    return boot == _boot_id() and _start_ticks(int(pid)) != ticks


def _boot_id() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    # Containers of one host share the boot, but not the numbers of their processes.
    return f"{boot}-{Path('/proc/self/ns/pid').readlink()}"


def _start_ticks(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # Field 22; the second field may hold spaces, so count from its closing bracket.
    return stat.rpartition(")")[2].split()[19]
