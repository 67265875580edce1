"""Who owns a run: a process, named so that a later one can tell whether it is gone."""

from __future__ import annotations

from pathlib import Path


def process_identity(pid: int) -> str:
    """Names a process for good: machine boot and process namespace, process id, and when it was started."""
    return f"{_boot_id()}/{pid}/{_start_ticks(pid)}"


def is_dead(identity: str) -> bool:
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
