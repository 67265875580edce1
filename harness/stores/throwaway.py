"""Throwaway SQLite stores: each timed or abruptly ended worker has one of its own, copied from a template."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mlflow
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient

from harness.caches import cache_folder
from harness.stores.traces import attachments_of, first_start, search, stored_trace, with_attachments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import StoredTrace

TEMPLATE_EXPERIMENT = "timing"


def make_template(path: Path) -> None:
    """Make a migrated SQLite store with one experiment, to be copied for each worker.

    A fresh store takes seconds to migrate; a copy takes none. So the first one of an MLflow's schema is kept in the
    person's cache folder, where that can be written.
    """
    kept = cache_folder("stores") / f"{_schema()}.db"
    with contextlib.suppress(OSError, sqlite3.Error):
        copy_template(kept, path)
        return
    # What was left of a copy that cannot be used.
    path.unlink(missing_ok=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{path}")
    client.create_experiment(TEMPLATE_EXPERIMENT, artifact_location=(path.parent / "artifacts").as_uri())
    with contextlib.suppress(OSError):
        _keep(path, kept)


def _schema() -> str:
    """Names what a migrated store looks like: MLflow's version, and a digest of its migrations and tables."""
    digest = hashlib.sha256(TEMPLATE_EXPERIMENT.encode())
    package = Path(mlflow.__file__).parent / "store"
    for script in sorted((*package.glob("db*/**/*.py"), *package.glob("tracking/dbmodels/*.py"))):
        digest.update(script.read_bytes())
    return f"mlflow-{mlflow.__version__}-{digest.hexdigest()[:16]}"


def _keep(made: Path, kept: Path) -> None:
    """Keep a store for the next time; whoever looks meanwhile sees all of it or nothing."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        shutil.copyfile(made, Path(folder) / kept.name).replace(kept)


def copy_template(template: Path, path: Path) -> Path:
    """Copy a template for one worker; gives the folder beside the copy where artifacts of its traces go.

    MLflow moves files out of a trace (images, audio), and spans that the database did not take, into the place
    that the experiment names. A copy has a place of its own, so that what an arm stores there is known to be its.

    Raises:
        OSError: If the template is not there, or the copy finds no room.
        sqlite3.Error: If the template is damaged.
    """
    shutil.copyfile(template, path)
    artifacts = path.parent / "artifacts"
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ?", (artifacts.as_uri(),))
    return artifacts


class OwnTrace(NamedTuple):
    """A trace of a worker's own store, as a record and as the JSON data that MLflow makes of it."""

    record: StoredTrace
    plain: dict[str, Any]


def read_own_traces(path: Path) -> tuple[OwnTrace, ...]:
    """All traces of a worker's own SQLite store, once the worker has ended, oldest first.

    A trace that broke off may have no spans; MLflow leaves such ones out where it is asked for spans.
    """
    with _own_store(path) as (client, experiments), _no_word_of_broken_traces():
        found = {trace.info.trace_id: trace for trace in search(client, experiments, None, include_spans=False)}
        found |= {trace.info.trace_id: trace for trace in search(client, experiments, None, include_spans=True)}
        read = [
            OwnTrace(with_attachments(stored_trace(one), attachments_of(one)), one.to_dict()) for one in found.values()
        ]
    return tuple(sorted(read, key=lambda one: first_start(one.record)))


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
