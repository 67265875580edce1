"""The collector as its parent sees it: started, asked for its address and its spans, ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from harness.collector.otlp import BadExportError
from harness.collector.raw import read_requests
from harness.collector.settings import TRACES_PATH, CollectorConfig
from harness.collector.spans import ReceivedSpan
from harness.errors import CollectorError
from harness.served import Served

if TYPE_CHECKING:
    from pathlib import Path


class Collector(Served):
    """A running collector process."""

    module = "harness.collector"
    name = "the collector"
    error = CollectorError

    def __init__(self, config: CollectorConfig) -> None:
        super().__init__(config)
        self._config = config

    @classmethod
    def start(cls, spans_path: Path, *, keep: bool = True, cpus: tuple[int, ...] = ()) -> Self:
        """Start a collector and wait until it listens.

        Args:
            spans_path: Where it writes what it receives.
            keep: Whether it does; else it takes everything and keeps nothing.
            cpus: Cores that it may run on; empty for all.

        Raises:
            CollectorError: If the process did not come up.
        """
        collector = cls(CollectorConfig(spans_path=spans_path, keep=keep, cpus=cpus))
        collector.wait_ready()
        return collector

    @property
    def endpoint_url(self) -> str:
        """Where traces are exported to: the value of ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``."""
        return f"http://127.0.0.1:{self.port}{TRACES_PATH}"

    def spans(self) -> list[ReceivedSpan]:
        """What has been received so far: every span whose export was answered.

        Raises:
            CollectorError: If the file is damaged, or holds an export that cannot be read.
        """
        path = self._config.spans_path
        try:
            if self._config.raw:
                return list(read_requests(path.read_bytes()))
            # A line without its end is being written now.
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            return [ReceivedSpan.model_validate_json(line) for line in lines]
        except BadExportError as error:
            raise CollectorError(f"the collector was sent an export that cannot be read: {error}") from error
        except ValueError as error:
            raise CollectorError(f"{path} holds a line that is no received span") from error
