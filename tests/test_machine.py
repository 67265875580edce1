from __future__ import annotations

import os
from pathlib import Path

from harness.machine import filesystem_type, package_versions, this_machine


def test_a_memory_file_system_is_told_from_others() -> None:
    """The type of the file system behind a path is the kernel's own name for it."""
    assert filesystem_type(Path("/proc")) == "proc"


def test_the_machine_is_described() -> None:
    """What a comparison needs to know of the machine is there."""
    machine = this_machine(arm_cpus=(1,), gateway_cpus=(0,))
    assert machine.cpu_count == os.cpu_count()
    assert machine.memory_bytes > 2**28
    assert machine.cpu_model
    assert (machine.arm_cpus, machine.gateway_cpus) == ((1,), (0,))


def test_versions_of_what_is_measured_are_known() -> None:
    """Python, the SDKs and MLflow are among the versions."""
    assert {"python", "mlflow", "openai", "mistralai", "langchain", "llm-tracing-harness"} <= set(package_versions())
