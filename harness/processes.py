"""Processes that leave nothing behind: they die with their parent, rest on command, and are swept up after.

Every child has a session of its own, so Ctrl-C reaches the parent alone, which ends the others.
Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

PARENT_VARIABLE = "HARNESS_PARENT_PID"
_PR_SET_PDEATHSIG = 1
_PM_QOS = Path("/dev/cpu_dma_latency")
_TIMING_LOCK = "\0llm-tracing-harness.timing"

QUIET_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    # A worker is a fresh process: what Git or a progress bar costs is no part of tracing.
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "TQDM_DISABLE": "1",
    "PYTHONUNBUFFERED": "1",
}
"""What every process of the harness runs with: no telemetry, no tracing but the strategy's."""


def die_with_parent() -> None:
    """Have the kernel kill this process, even a stopped one, when the parent's thread that made it ends.

    Raises:
        SystemExit: If the parent was gone before the kernel could be asked.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    expected = os.environ.get(PARENT_VARIABLE)
    if expected is not None and os.getppid() != int(expected):
        raise SystemExit(1)


def child_environment(**extra: str) -> dict[str, str]:
    """The environment for a child: quiet, knowing its parent, and past any proxy on the way to loopback."""
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost"]))
    own = {PARENT_VARIABLE: str(os.getpid()), "NO_PROXY": direct, "no_proxy": direct}
    return {**os.environ, **QUIET_ENVIRONMENT, **own, **extra}


def python_module(module: str, *arguments: str) -> list[str]:
    """The command for one of our own modules in a fresh interpreter that ignores the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def pin(pid: int, cpus: Sequence[int]) -> None:
    """Let all threads of a process run on these cores only; no cores means no change.

    ``os.sched_setaffinity`` sets one thread, so every thread that exists is set; later ones
    inherit from the thread that makes them.
    """
    if not cpus:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cpus)


def allowed_cpus(pid: int = 0) -> tuple[int, ...]:
    """The cores that a process may run on, in order."""
    return tuple(sorted(os.sched_getaffinity(pid)))


def core_siblings(cpu: int) -> frozenset[int] | None:
    """All hardware threads of the physical core that a core of the kernel's belongs to, itself among them.

    ``None`` where the kernel does not say.
    """
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        # A list such as "0-1" or "0,64".
        parts = [part.split("-") for part in path.read_text(encoding="ascii").strip().split(",")]
        return frozenset(number for part in parts for number in range(int(part[0]), int(part[-1]) + 1))
    except (OSError, ValueError):
        return None


def split_cpus(*, pin: bool = True) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cores for the arms and cores for the gateway and the parent: different ones where there are two.

    Both arms share one core: in experiments on two shared cores that brought the spread of fork
    means from 110 us down to 40 us. The other one is of another physical core where there is one.

    Args:
        pin: Whether to choose at all; without, both are empty, which is no change.
    """
    if not pin:
        return (), ()
    cpus = allowed_cpus()
    if len(cpus) < 2:
        return cpus, cpus
    arm = cpus[-1]
    beside = core_siblings(arm) or frozenset((arm,))
    return (arm,), (next((cpu for cpu in cpus if cpu not in beside), cpus[0]),)


@contextlib.contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Keep this process on some cores for a while."""
    before = allowed_cpus()
    pin(os.getpid(), cpus)
    try:
        yield
    finally:
        pin(os.getpid(), before)


@contextlib.contextmanager
def idle_polling(*, wanted: bool = True) -> Iterator[bool]:
    """Keep all cores from sleeping for a while: one with nothing to do looks for work instead.

    A core that sleeps takes a while to wake, the longer the longer it slept; a virtual one is woken by
    the hypervisor. A call that comes a little later then finds client and server asleep and takes longer
    than its own cost, which is no cost of tracing. It is Linux's PM QoS (``cpu_dma_latency``), held as long
    as the file is open, so it ends with this process however that ends. Usually only root may ask for it.

    Args:
        wanted: Whether to ask at all.

    Yields:
        Whether the kernel took it.
    """
    with contextlib.ExitStack() as held:
        granted = False
        if wanted:
            with contextlib.suppress(OSError):
                # Not open(): where there is no such device, root would make a file of that name.
                device = os.open(_PM_QOS, os.O_WRONLY | os.O_CLOEXEC)
                held.callback(os.close, device)
                # A 32-bit number of microseconds.
                granted = os.write(device, (0).to_bytes(4, sys.byteorder)) == 4
        yield granted


@contextlib.contextmanager
def timing_lock(waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the host's lock that keeps two timings from running at once.

    The lock is a socket in the abstract namespace: the kernel frees it with its owner, however
    that ends, and no file is left.

    Args:
        waiting: Called once if another timing holds the lock.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        told = False
        while True:
            try:
                lock.bind(_TIMING_LOCK)
                break
            except OSError:
                if waiting is not None and not told:
                    waiting()
                    told = True
                time.sleep(0.2)
        yield


def suspend(pid: int) -> None:
    """Stop a child that has a session of its own with all that belongs to it, and see that it has stopped."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGSTOP)
    # WNOWAIT: an exit that is seen here must stay there for Popen to reap.
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def resume(pid: int) -> None:
    """Let a stopped child go on, with all that belongs to it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGCONT)


CPU_STEP_NS = 1
"""What ``cpu_ns`` counts in."""


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process so far, also of those that have ended, in ns.

    This is the process's own CPU clock, by the number that ``clock_getcpuclockid(3)`` gives it on Linux. What
    ``/proc`` says is rounded to ticks of 10 ms, of which a hundred short calls may make none.

    Raises:
        OSError: If there is no such process.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def end(process: subprocess.Popen[Any], grace_s: float = 0.0) -> None:
    """End a child that has a session of its own, stopped or not, with all that it started."""
    if grace_s:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    # The group is killed even where its leader has ended: a child of it may live on.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


_JANITOR = """
import shutil, sys, time
sys.stdin.buffer.read()
for _ in range(100):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    try:
        open(sys.argv[1]).close()
    except FileNotFoundError:
        break
    except OSError:
        pass
    time.sleep(0.1)
"""


class WorkFolder:
    """A temporary folder that goes away with its owner, even one that is killed with -9.

    A small process waits on a pipe whose other end only the owner holds. When the owner closes
    it or dies, the folder is removed.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="harness-"))
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _JANITOR, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder now."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._janitor.communicate()
