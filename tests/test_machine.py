from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.machine import (
    filesystem_type,
    package_versions,
    peak_memory_bytes,
    reset_peak_memory,
    share_a_core,
    this_machine,
)
from harness.processes import core_siblings


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


def test_hardware_threads_of_one_core_are_told() -> None:
    """A core shares with itself and its siblings, and with no other; without pinning nothing is said."""
    core = min(os.sched_getaffinity(0))
    siblings = core_siblings(core)
    if siblings is None:
        pytest.skip("the kernel does not say which hardware threads belong together")
    assert core in siblings
    others = tuple(set(range(os.cpu_count() or 1)) - siblings)
    assert share_a_core((core,), tuple(siblings)) is True
    assert share_a_core((core,), others) is (False if others else None)
    assert share_a_core((), ()) is None
    assert this_machine((core,), (core,)).shared_core is True


def test_a_core_that_is_not_there_has_no_siblings() -> None:
    """Where the kernel says nothing, nothing is said."""
    assert core_siblings(100_000) is None
    assert share_a_core((100_000,), (0,)) is None


def test_the_peak_of_memory_can_begin_anew() -> None:
    """What was let go before the reset is no part of the peak any more."""
    held = b"x" * (128 << 20)
    before = peak_memory_bytes()
    assert before > len(held)
    del held
    if not reset_peak_memory():
        pytest.skip("the kernel does not allow it")
    assert peak_memory_bytes() < before - (100 << 20)
