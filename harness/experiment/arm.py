"""The parent's side of a worker process: spawn it, ask it, let it rest, end it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

from harness.errors import ConfigError, HarnessError, NotApplicableError, WorkerError
from harness.processes import end, pin, resume, suspend
from harness.runtimes import HARNESS
from harness.tracing.switches import without_switches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from harness.runtimes import Runtime
    from harness.worker import WorkerSetup

START_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 60.0
_ERRORS: dict[str, type[HarnessError]] = {"InputError": ConfigError, "NotApplicableError": NotApplicableError}
"""What a worker says of its error to what is raised here."""


class ArmProcess:
    """A worker process that answers one line for one line.

    Args:
        setup: What the worker has to know.
        folder: Where its standard error goes.
        hidden: Environment variables that the worker must not see, such as a provider's key.
        runtime: What it runs in.
        environment: Variables that the interpreter reads at its start.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        folder: Path,
        hidden: Sequence[str] = (),
        runtime: Runtime = HARNESS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"{setup.role}-{setup.fork}-{setup.arm}"
        self._errors = folder / f"{self.name}.stderr"
        self._buffer = b""
        self.ready: dict[str, Any] = {}
        # MLflow's switches are values of the configuration, which the setup carries.
        whole = without_switches(runtime.environment())
        for name in hidden:
            whole.pop(name, None)
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                runtime.command("harness.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**whole, **(environment or {})},
                bufsize=0,
            )
        self._write(setup.model_dump_json())

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def wait_ready(self) -> None:
        """Wait until the worker has imported everything and made its first calls.

        Raises:
            ConfigError: If the worker refused its input.
            WorkerError: If it ended or failed.
        """
        self.ready = self.receive(START_TIMEOUT_S)

    def ask(self, op: str, *, timeout_s: float = ANSWER_TIMEOUT_S, **fields: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        self.send(op, **fields)
        return self.receive(timeout_s)

    def send(self, op: str, **fields: Any) -> None:
        """Send one command."""
        self._write(json.dumps({"op": op, **fields}))

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """Wait for one line.

        Raises:
            ConfigError: If the worker says that its input was at fault.
            NotApplicableError: If it says that the strategy makes no sense for the provider.
            WorkerError: If it failed, ended, or took too long.
        """
        line = self._readline(timeout_s)
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise WorkerError(f"worker {self.name} answered with something that is not JSON: {line[:200]!r}") from error
        if (message := answer.get("error")) is not None:
            raise _ERRORS.get(answer.get("kind", ""), WorkerError)(str(message))
        return answer

    def rest(self) -> None:
        """Stop the process with all that belongs to it, and see that it has stopped."""
        suspend(self.pid)

    def resume(self) -> None:
        """Let the process go on."""
        resume(self.pid)

    def pin(self, cpus: Sequence[int]) -> None:
        """Keep all its threads on some cores."""
        pin(self.pid, cpus)

    def finish(self) -> dict[str, Any]:
        """Ask for the totals and let the process end."""
        totals = self.ask("finish")
        with contextlib.suppress(OSError):
            self._stdin().close()
        end(self.process, grace_s=10.0)
        self._stdout().close()
        return totals

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        end(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self, line: str) -> None:
        data = (line + "\n").encode()
        try:
            while data:
                data = data[self._stdin().write(data) or 0 :]
        except OSError as error:
            raise self._ended() from error

    def _readline(self, timeout_s: float) -> str:
        deadline = time.monotonic() + timeout_s
        out = self._stdout().fileno()
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([out], [], [], left_s)[0]:
                raise WorkerError(f"worker {self.name} did not answer within {timeout_s:.0f} s")
            data = os.read(out, 1 << 16)
            if not data:
                raise self._ended()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def _ended(self) -> WorkerError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        last = [line for line in self._errors.read_text(errors="replace").splitlines() if line.strip()][-1:]
        said = f"; it last said: {last[0].strip()}" if last else ""
        return WorkerError(f"worker {self.name} ended with status {self.process.poll()}{said}")

    def _stdin(self) -> Any:
        return self.process.stdin

    def _stdout(self) -> Any:
        return self.process.stdout
