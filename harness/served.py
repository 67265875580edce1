"""A server of the harness's own as its parent sees it: told what to do, asked where it listens, rested, ended.

The process gets one JSON line on standard input and answers with one on standard output, ``{"port", "pid"}``
once it listens or ``{"error"}``; the end of standard input ends it.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import tempfile
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self

import orjson

from harness.errors import CellError, HarnessError
from harness.processes import child_environment, cpu_ns, end, python_module, resume, suspend

if TYPE_CHECKING:
    from types import TracebackType

    from harness.records import Record

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 30.0
_LOG_TAIL_BYTES = 2000


class Served:
    """A running server process; several may be begun before the first is waited for.

    The kernel kills the process when the thread that made it ends, so make it from a thread that
    outlives it.

    Attributes:
        module: What is run.
        name: How it is called in errors.
        error: What is raised where it did not come up or ended too early.
    """

    module: ClassVar[str]
    name: ClassVar[str]
    error: ClassVar[type[CellError]] = CellError

    def __init__(self, config: Record) -> None:
        self._stopped = False
        self._stop_timeout_s = _STOP_TIMEOUT_S
        # A file cannot block its writer as a full pipe would; it vanishes with its last handle.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            python_module(self.module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env=child_environment(),
        )
        stdin, _ = self._pipes()
        with contextlib.suppress(BrokenPipeError):  # it has ended; waiting for it will say so
            stdin.write(config.model_dump_json().encode() + b"\n")
            stdin.flush()

    def wait_ready(self) -> None:
        """Wait until it listens.

        Raises:
            CellError: If the process did not come up; it is gone then.
        """
        try:
            _ = self._answer
        except BaseException:
            self.kill()
            raise

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1; waits for it."""
        return int(self._answer["port"])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it was told to end."""
        return self._stopped

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def check_alive(self) -> None:
        """See that the process runs.

        Raises:
            CellError: If it has died.
        """
        if not self.alive():
            raise self.error(
                f"{self.name} had ended with status {self._process.returncode} before it was told to{self._tail()}"
            )

    def rest(self) -> None:
        """Stop the process with all that belongs to it, and see that it has stopped."""
        suspend(self.pid)

    def resume(self) -> None:
        """Let the process go on."""
        resume(self.pid)

    def cpu_ns(self) -> int:
        """CPU time of all its threads so far, to the kernel's tick."""
        return cpu_ns(self.pid)

    def stop(self) -> None:
        """Let open requests finish and wait for the end; calling it again does nothing.

        Raises:
            CellError: If the process had died before, did not end in time, or failed.
        """
        if self._stopped:
            return
        self._stopped = True
        try:
            self._end()
        finally:
            self._let_go()

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        if not self._stopped:
            self._stopped = True
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
            return
        # What went wrong inside counts more than a server that went with it.
        with contextlib.suppress(CellError):
            self.stop()

    @cached_property
    def _answer(self) -> dict[str, Any]:
        _, stdout = self._pipes()
        if not select.select([stdout], [], [], _START_TIMEOUT_S)[0]:
            raise self.error(f"{self.name} did not listen within {_START_TIMEOUT_S:g} s{self._tail()}")
        line = stdout.readline()
        if not line:
            self._process.wait(_STOP_TIMEOUT_S)
            raise self.error(f"{self.name} ended with status {self._process.returncode} at its start{self._tail()}")
        answer: dict[str, Any] = orjson.loads(line)
        if "error" in answer:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: dict[str, Any]) -> HarnessError:
        """What is raised for an answer that says why it could not start."""
        return self.error(f"{self.name} could not start: {answer['error']}")

    def _end(self) -> None:
        self.check_alive()
        self.resume()
        self._pipes()[0].close()
        try:
            status = self._process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired as error:
            raise self.error(f"{self.name} did not end within {self._stop_timeout_s:g} s") from error
        if status != 0:
            raise self.error(f"{self.name} ended with status {status}{self._tail()}")

    def _let_go(self) -> None:
        end(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

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
