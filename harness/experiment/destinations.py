"""Where one arm's timed traces go: a SQLite file, an MLflow server or a collector of the arm's own.

Nobody else touches it until the arm has ended, and what runs beside the arm rests with the arm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.collector.process import Collector
from harness.collector.settings import CollectorConfig
from harness.server.process import MlflowServer
from harness.server.settings import ServerConfig
from harness.stores.counting import TraceCount, count_traces
from harness.stores.throwaway import copy_template
from harness.tracing.switches import otlp_environment

if TYPE_CHECKING:
    from pathlib import Path

    from harness.served import Served


class SqliteFile:
    """A copied SQLite store that the arm writes itself; the other destinations have one, too.

    Args:
        folder: The arm's own.
        template: A migrated store to copy.
        cpus: Cores for what runs beside the arm; empty for all.

    Attributes:
        name: As ``tracing.into`` names it.
        environment: What the arm's environment needs for it.
        artifacts: The folder for artifacts of its traces.
    """

    name = "sqlite"
    counted_at_end = False
    """Whether what came can be counted only once, when it has ended."""

    def __init__(self, folder: Path, template: Path, cpus: tuple[int, ...]) -> None:
        self.folder = folder
        self.cpus = cpus
        self.store = folder / "store.db"
        self.environment: dict[str, str] = {}
        self.artifacts = copy_template(template, self.store)
        self.beside: Served | None = self._begin()

    @property
    def tracking_uri(self) -> str:
        """What the strategy is told to send traces to."""
        return f"sqlite:///{self.store}"

    @property
    def written_path(self) -> Path:
        """The file in which traces end up, whoever writes it."""
        return self.store

    @property
    def has_size(self) -> bool:
        """Whether the growth of that file is what stored traces take up."""
        return True

    def wait_ready(self) -> None:
        """Wait until traces can be sent.

        Raises:
            CellError: If what runs beside the arm did not come up.
        """
        if self.beside is not None:
            self.beside.wait_ready()

    def count(self, *, spans_alone: bool = False) -> TraceCount:
        """Which traces came so far; the arm has to have drained.

        Args:
            spans_alone: Whether the strategy has MLflow write no more than the spans.
        """
        return count_traces(self.store, spans_alone=spans_alone)

    def astray(self) -> int:
        """Traces that came to another place than this one; here they all come to the one there is."""
        return 0

    def end(self) -> None:
        """End what runs beside the arm.

        Raises:
            CellError: If it had died before.
        """
        if self.beside is not None:
            self.beside.stop()

    def close(self) -> None:
        """End what runs beside the arm, whatever it is doing."""
        if self.beside is not None:
            self.beside.kill()

    def _begin(self) -> Served | None:
        return None


class ServedStore(SqliteFile):
    """An MLflow server over the copied store, reached over HTTP."""

    name = "server"
    beside: MlflowServer

    @property
    def tracking_uri(self) -> str:
        """The server's address; waits until it listens."""
        return self.beside.tracking_uri

    def _begin(self) -> Served:
        return MlflowServer(ServerConfig(store_path=self.store, artifacts_path=self.artifacts, cpus=self.cpus))


class CollectorFile(SqliteFile):
    """A collector that takes every span over OTLP and alone; the store stays empty, and that is looked at, too."""

    name = "collector"
    counted_at_end = True
    beside: Collector

    @property
    def written_path(self) -> Path:
        """What the collector writes on receipt."""
        return self.folder / "exports"

    @property
    def has_size(self) -> bool:
        """A collector hands on what it takes: how it writes it down here is no store's format."""
        return False

    def wait_ready(self) -> None:
        """Wait until the collector listens, whose address the arm's environment has to name."""
        super().wait_ready()
        self.environment = otlp_environment(self.beside.endpoint_url, alone=True)

    def count(self, *, spans_alone: bool = True) -> TraceCount:  # noqa: ARG002 - OTLP knows spans alone
        """Ends the collector, and counts what it received; one that went astray into the store was begun alone.

        A trace is whole whose root it received: OTLP knows spans alone, and what has not ended is not sent.

        Raises:
            CellError: If the collector had died, or what it wrote is damaged.
        """
        self.end()
        spans = list(self.beside.spans())
        begun = {span.trace_id for span in spans}
        whole = {span.trace_id for span in spans if span.parent_id is None}
        return TraceCount(self.astray() + len(begun), len(whole))

    def astray(self) -> int:
        """Traces of which anything came to the store, which should stay empty."""
        return count_traces(self.store).begun

    def _begin(self) -> Served:
        return Collector(CollectorConfig(spans_path=self.written_path, raw=True, cpus=self.cpus))


DESTINATIONS: dict[str, type[SqliteFile]] = {kind.name: kind for kind in (SqliteFile, ServedStore, CollectorFile)}
"""``tracing.into`` to what it makes."""
