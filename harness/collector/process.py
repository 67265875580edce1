"""The collector as its parent sees it: started, asked for its address and its spans, ended."""

from __future__ import annotations

import contextlib
import select
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Any, Self

import orjson

from harness.collector.settings import TRACES_PATH, CollectorConfig
from harness.collector.spans import ReceivedSpan
from harness.errors import CollectorError
from harness.processes import child_environment, end, python_module

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_LOG_TAIL_BYTES = 2000


class Collector:
    """A running collector process.

    Attributes:
        port: Where it listens on 127.0.0.1.
        pid: Its process id.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], config: CollectorConfig) -> None:
        self._process = process
        self._log = log
        self._config = config
        self._stopped = False
        answer = self._shake_hands()
        self.port: int = answer["port"]
        self.pid: int = answer["pid"]

    @classmethod
    def start(cls, spans_path: Path, *, keep: bool = True, cpus: tuple[int, ...] = ()) -> Self:
        """Start a collector and wait until it listens.

        The kernel kills the collector when the thread that called this ends, so call it from a
        thread that outlives the collector.

        Args:
            spans_path: Where it writes what it receives.
            keep: Whether it does; else it takes everything and keeps nothing.
            cpus: Cores that it may run on; empty for all.

        Raises:
            CollectorError: If the process did not come up.
        """
        config = CollectorConfig(spans_path=spans_path, keep=keep, cpus=cpus)
        # A file cannot block its writer as a full pipe would; it vanishes with its last handle.
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        process = subprocess.Popen(
            python_module("harness.collector"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=child_environment(),
        )
        try:
            return cls(process, log, config)
        except BaseException:
            end(process)
            _close(process, log)
            raise

    @property
    def endpoint_url(self) -> str:
        """Where traces are exported to: the value of ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``."""
        return f"http://127.0.0.1:{self.port}{TRACES_PATH}"

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def spans(self) -> list[ReceivedSpan]:
        """What has been received so far: every span whose export was answered.

        Raises:
            CollectorError: If the file is damaged.
        """
        text = self._config.spans_path.read_text(encoding="utf-8")
        try:
            # A line without its end is being written now.
            return [ReceivedSpan.model_validate_json(line) for line in text.split("\n")[:-1]]
        except ValueError as error:
            raise CollectorError(f"{self._config.spans_path} holds a line that is no received span") from error

    def stop(self) -> None:
        """Let open requests finish and wait for the end; calling it again does nothing.

        Raises:
            CollectorError: If the process had died before, did not end in time, or failed.
        """
        if self._stopped:
            return
        self._stopped = True
        try:
            self._end()
        finally:
            end(self._process)
            _close(self._process, self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
            return
        # What went wrong inside counts more than a collector that went with it.
        with contextlib.suppress(CollectorError):
            self.stop()

    def _shake_hands(self) -> dict[str, Any]:
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):  # it has ended; there is no answer to read either
            stdin.write(self._config.model_dump_json().encode() + b"\n")
            stdin.flush()
        if not select.select([stdout], [], [], _START_TIMEOUT_S)[0]:
            raise CollectorError(f"the collector did not listen within {_START_TIMEOUT_S:g} s{self._tail()}")
        line = stdout.readline()
        if not line:
            self._process.wait(_STOP_TIMEOUT_S)
            raise CollectorError(
                f"the collector ended with status {self._process.returncode} at its start{self._tail()}"
            )
        answer: dict[str, Any] = orjson.loads(line)
        if "error" in answer:
            raise CollectorError(f"the collector could not start: {answer['error']}")
        return answer

    def _end(self) -> None:
        if not self.alive():
            raise CollectorError(
                f"the collector had ended with status {self._process.returncode} before it was told to{self._tail()}"
            )
        self._pipes()[0].close()
        try:
            status = self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise CollectorError(f"the collector did not end within {_STOP_TIMEOUT_S:g} s") from error
        if status != 0:
            raise CollectorError(f"the collector ended with status {status}{self._tail()}")

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - both were asked for
        assert stdout is not None  # noqa: S101
        return stdin, stdout

    def _tail(self) -> str:
        """The end of what the process wrote to standard error, as the rest of a sentence."""
        size = self._log.seek(0, 2)
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        text = self._log.read().decode("utf-8", "replace").strip()
        return f"; it wrote: {text}" if text else ""


def _close(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    for stream in (process.stdin, process.stdout, log):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
