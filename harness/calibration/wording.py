"""What the calibrations' pages say alike: the machine, the dates, the command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Machine

_GIB = 2**30
_NS_PER_S = 1e9


def machine_text(machine: Machine) -> str:
    """A machine in words."""
    shared = " (threads of one physical core)" if machine.shared_core else ""
    pinned = (
        f"arms on {_cores(machine.arm_cpus)}, gateway on {_cores(machine.gateway_cpus)}{shared}"
        if machine.arm_cpus
        else "arms and gateway not pinned"
    )
    return (
        f"{machine.cpu_model}, {machine.cpu_count} cores, {machine.memory_bytes / _GIB:.1f} GiB of memory, kernel "
        f"{machine.kernel}, throwaway stores on {machine.work_filesystem or 'an unknown file system'}, {pinned}, idle "
        f"cores {'kept awake' if machine.idle_polling else 'not kept awake'}"
    )


def when_text(begun_unix_ns: int, ended_unix_ns: int) -> str:
    """From when to when, to the minute, in UTC; the second date only where it is another day."""
    begun, ended = (datetime.fromtimestamp(ns / _NS_PER_S, tz=UTC) for ns in (begun_unix_ns, ended_unix_ns))
    until = f"{ended:%H:%M}" if begun.date() == ended.date() else f"{ended:%Y-%m-%d %H:%M}"
    return f"{begun:%Y-%m-%d %H:%M} to {until} UTC"


def shown_path(path: Path) -> str:
    """A path as a published command shows it: of one that begins at the root only the last part."""
    return path.name if path.is_absolute() else str(path)


def _cores(numbers: tuple[int, ...]) -> str:
    if not numbers:
        return "any core"
    return f"core{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
