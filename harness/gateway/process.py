"""The gateway as its parent sees it: started, asked for its address, ended."""

from __future__ import annotations

import contextlib
import select
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

import orjson

from harness.errors import EndpointError, GatewayError
from harness.processes import child_environment, end, python_module

if TYPE_CHECKING:
    from types import TracebackType

    from harness.gateway.settings import GatewayConfig
    from harness.records import Dialect

_START_TIMEOUT_S = 60.0
_STOP_MARGIN_S = 30.0
_LOG_TAIL_BYTES = 2000


class Gateway:
    """A running gateway process.

    Attributes:
        port: Where it listens on 127.0.0.1.
        refused_port: A port of 127.0.0.1 on which connections are refused as long as it runs.
        pid: Its process id.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], log: Any, answer: dict[str, Any], stop_timeout_s: float
    ) -> None:
        self._process = process
        self._log = log
        self._stop_timeout_s = stop_timeout_s
        self._stopped = False
        self.port: int = answer["port"]
        self.refused_port: int = answer["refused_port"]
        self.pid: int = answer["pid"]

    @classmethod
    def start(cls, config: GatewayConfig, *, cpus: tuple[int, ...] = ()) -> Gateway:
        """Start a gateway and wait until it listens.

        The kernel kills the gateway when the thread that called this ends, so call it from a
        thread that outlives the gateway.

        Args:
            config: What it is to do.
            cpus: Cores that it may run on, in place of the configuration's.

        Raises:
            EndpointError: If the endpoint cannot be used as configured.
            GatewayError: If the process did not come up.
        """
        if cpus:
            config = config.model_copy(update={"cpus": cpus})
        # A file cannot block its writer as a full pipe would; it vanishes with its last handle.
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        process = subprocess.Popen(
            python_module("harness.gateway"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=child_environment(),
        )
        try:
            answer = _shake_hands(process, config, log)
        except BaseException:
            end(process)
            _close(process, log)
            raise
        return cls(process, log, answer, config.grace_s + _STOP_MARGIN_S)

    def base_url(self, dialect: Dialect) -> str:
        """Where clients of this dialect are pointed at, without a version path."""
        return f"http://127.0.0.1:{self.port}/{dialect}"

    def refused_url(self, dialect: Dialect) -> str:
        """A base URL of the same form at which connections are refused."""
        return f"http://127.0.0.1:{self.refused_port}/{dialect}"

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def check_alive(self) -> None:
        """See that the process runs.

        Raises:
            GatewayError: If it has died.
        """
        if not self.alive():
            raise GatewayError(
                f"the gateway had ended with status {self._process.returncode} before it was told to{_tail(self._log)}"
            )

    def stop(self) -> None:
        """Let open answers finish, have all records written, and wait for the end.

        Calling it again does nothing.

        Raises:
            GatewayError: If the process had died before, did not end in time, or failed.
        """
        if self._stopped:
            return
        self._stopped = True
        try:
            self._end()
        finally:
            end(self._process)
            _close(self._process, self._log)

    def _end(self) -> None:
        self.check_alive()
        _pipe(self._process.stdin).close()
        try:
            status = self._process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired as error:
            raise GatewayError(f"the gateway did not end within {self._stop_timeout_s:g} s") from error
        if status != 0:
            raise GatewayError(f"the gateway ended with status {status}{_tail(self._log)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
            return
        # What went wrong inside counts more than a gateway that went with it.
        with contextlib.suppress(GatewayError):
            self.stop()


def _shake_hands(process: subprocess.Popen[bytes], config: GatewayConfig, log: Any) -> dict[str, Any]:
    """Send the configuration and read where the gateway listens."""
    stdin = _pipe(process.stdin)
    try:
        stdin.write(config.model_dump_json().encode() + b"\n")
        stdin.flush()
    except BrokenPipeError as error:
        process.wait(_STOP_MARGIN_S)
        raise GatewayError(f"the gateway ended before it was configured{_tail(log)}") from error
    answer = _first_line(process, log)
    if "error" in answer:
        kind = EndpointError if answer.get("type") == EndpointError.__name__ else GatewayError
        raise kind(answer["error"])
    return answer


def _first_line(process: subprocess.Popen[bytes], log: Any) -> dict[str, Any]:
    stdout = _pipe(process.stdout)
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not select.select([stdout], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        if time.monotonic() >= deadline_s:
            raise GatewayError(f"the gateway did not listen within {_START_TIMEOUT_S:g} s{_tail(log)}")
    line = stdout.readline()
    if not line:
        process.wait(_STOP_MARGIN_S)
        raise GatewayError(f"the gateway ended with status {process.returncode} at its start{_tail(log)}")
    answer: dict[str, Any] = orjson.loads(line)
    return answer


def _tail(log: Any) -> str:
    """The end of what the process wrote to standard error, as the rest of a sentence."""
    size = log.seek(0, 2)
    log.seek(max(0, size - _LOG_TAIL_BYTES))
    text = log.read().decode("utf-8", "replace").strip()
    return f"; it wrote: {text}" if text else ""


def _pipe(pipe: Any) -> Any:
    """A pipe that was asked for in ``Popen`` and therefore is there."""
    assert pipe is not None  # noqa: S101 - for the type checker
    return pipe


def _close(process: subprocess.Popen[bytes], log: Any) -> None:
    for stream in (process.stdin, process.stdout, log):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
