"""What machine this is, as records keep it."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.errors import WorkerError
from harness.processes import core_siblings
from harness.records import Machine

HARNESS_PACKAGE = "llm-tracing-harness"
MEASURED_PACKAGES = (
    "mlflow",
    "openai",
    "mistralai",
    "langchain",
    "langchain-core",
    "langchain-openai",
    "langchain-mistralai",
    "httpx",
    "httpx2",
    "opentelemetry-sdk",
    "sqlalchemy",
)


def this_machine(arm_cpus: tuple[int, ...] = (), gateway_cpus: tuple[int, ...] = ()) -> Machine:
    """Read the machine's description; ``load_1min`` is the load average at this moment."""
    return Machine(
        hostname=socket.gethostname(),
        cpu_model=_cpu_model(),
        cpu_count=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=platform.python_version(),
        load_1min=os.getloadavg()[0],
        work_filesystem=filesystem_type(Path(tempfile.gettempdir())),
        arm_cpus=arm_cpus,
        gateway_cpus=gateway_cpus,
        shared_core=share_a_core(arm_cpus, gateway_cpus),
    )


def package_versions() -> dict[str, str]:
    """Versions of what is measured, and of the harness and Python; packages that are not there are left out."""
    found = {"python": platform.python_version()}
    for name in (HARNESS_PACKAGE, *MEASURED_PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def filesystem_type(path: Path) -> str:
    """Type of the file system that a path stands on, such as ``ext4`` or ``tmpfs``; empty if unknown."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for mount in mounts:
        # Fields of proc(5): the third is the device, the first after the lone dash is the type.
        before, _, after = mount.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""


def share_a_core(arm_cpus: tuple[int, ...], gateway_cpus: tuple[int, ...]) -> bool | None:
    """Whether a core of the arms is a hardware thread of the same physical core as one of the gateway's."""
    siblings = [core_siblings(cpu) for cpu in arm_cpus]
    if not siblings or not gateway_cpus or None in siblings:
        return None
    return any(cpu in one for one in siblings if one is not None for cpu in gateway_cpus)


def peak_memory_bytes() -> int:
    """Peak resident memory of this process alone.

    ``getrusage`` will not do: a fork hands the parent's peak on to the child, through exec.

    Raises:
        WorkerError: If the kernel does not say.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise WorkerError("the kernel does not say how much memory the process used (VmHWM in /proc/self/status)")


def reset_peak_memory() -> bool:
    """Let the peak begin anew at what is resident now, see proc(5); ``False`` where the kernel does not allow it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return True
    return False


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()
