"""What the machine does while a block or a load runs, so that a disturbance from outside can be seen.

Both readings are taken by the parent, before the arm is woken and after it rests again: they
cost the measured calls nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from harness.records import MachineSample

_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class _Reading(NamedTuple):
    """Counters at one moment, in ns; ``own_ns`` is by process."""

    at_ns: int
    busy_ns: int
    stolen_ns: int
    own_ns: dict[int, int]


class MachineWatch:
    """Reads the machine's counters around blocks and loads.

    The cell's own processes are this one and all below it: arms, gateway, collectors, servers.
    """

    def __init__(self) -> None:
        self._own: tuple[int, ...] = ()
        self._begun: _Reading | None = None

    def find_own(self) -> None:
        """Look which processes are the cell's own; to be called after any was started."""
        self._own = family(os.getpid())

    def begin(self) -> None:
        """Take the reading before a block or load."""
        self._begun = self._read()

    def end(self, fork: int, position: int, load: str = "") -> MachineSample:
        """What happened since ``begin``.

        Args:
            fork: The fork of the block or load.
            position: Its place among the fork's blocks, or among its loads.
            load: The load; empty for a block.
        """
        before, after = self._begun, self._read()
        assert before is not None  # noqa: S101 - begin() comes first
        self._begun = None
        own_ns = sum(after.own_ns[pid] - before.own_ns[pid] for pid in after.own_ns.keys() & before.own_ns.keys())
        return MachineSample(
            fork=fork,
            position=position,
            begin_ns=before.at_ns,
            wall_ns=after.at_ns - before.at_ns,
            busy_cpu_ns=after.busy_ns - before.busy_ns,
            own_cpu_ns=own_ns,
            stolen_cpu_ns=after.stolen_ns - before.stolen_ns,
            frequency_mhz=frequency_mhz(),
            load=load,
        )

    def _read(self) -> _Reading:
        busy_ns, stolen_ns = machine_cpu_ns()
        own_ns = {}
        for pid in self._own:
            # One that has ended since is left out of both readings.
            with contextlib.suppress(OSError):
                own_ns[pid] = process_cpu_ns(pid)
        return _Reading(time.perf_counter_ns(), busy_ns, stolen_ns, own_ns)


def machine_cpu_ns() -> tuple[int, int]:
    """CPU time of all cores since the start of the machine: not idle (stolen time left out), and stolen."""
    with (_PROC / "stat").open(encoding="ascii") as file:
        # proc(5): user, nice, system, idle, iowait, irq, softirq, steal; a guest's time is within user and nice.
        ticks = [int(part) for part in file.readline().split()[1:9]]
    ticks += [0] * (8 - len(ticks))
    busy = sum(ticks[:3]) + sum(ticks[5:7])
    return busy * _NS_PER_TICK, ticks[7] * _NS_PER_TICK


def process_cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process.

    Raises:
        OSError: If there is no such process.
    """
    user, system = _fields(pid)[11:13]
    return (int(user) + int(system)) * _NS_PER_TICK


def family(pid: int) -> tuple[int, ...]:
    """A process and all below it, whatever sessions they made their own."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                children.setdefault(int(_fields(int(folder.name))[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return tuple(found)


def frequency_mhz() -> float | None:
    """Mean clock of the cores at this moment; ``None`` where the kernel does not say."""
    try:
        lines = (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(clocks) / len(clocks) if clocks else None


def _fields(pid: int) -> list[str]:
    """What follows the command's name in proc(5)'s ``stat``: the state, the parent, and so on."""
    text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    # The name stands in parentheses and may hold any character.
    return text.rpartition(")")[2].split()
