"""How long a person waits for the command line's help, in a fresh process each time."""

from __future__ import annotations

import resource
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.processes import child_environment, python_module

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


ROUNDS = 5


def _children_cpu_s() -> float:
    """CPU time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.benchmark(group="command line")
def test_help(benchmark: BenchmarkFixture) -> None:
    """``harness --help`` says its usage, and takes under a second, by the CPU: the machine may have other work."""
    before_s = _children_cpu_s()
    done = benchmark.pedantic(  # type: ignore[no-untyped-call]
        subprocess.run,
        args=(python_module("harness", "--help"),),
        kwargs={"env": child_environment(), "capture_output": True, "text": True, "check": True},
        rounds=ROUNDS,
        warmup_rounds=1,
    )
    assert done.stdout.startswith("usage: harness")
    if benchmark.enabled:
        cpu_s = (_children_cpu_s() - before_s) / (ROUNDS + 1)
        benchmark.extra_info["cpu_s"] = cpu_s
        assert cpu_s < 1
