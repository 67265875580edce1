"""How long a person waits for the command line's help, in a fresh process each time."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.processes import child_environment, python_module

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


@pytest.mark.benchmark(group="command line")
def test_help(benchmark: BenchmarkFixture) -> None:
    """``harness --help`` says its usage; the promise is under a second."""
    done = benchmark.pedantic(  # type: ignore[no-untyped-call]
        subprocess.run,
        args=(python_module("harness", "--help"),),
        kwargs={"env": child_environment(), "capture_output": True, "text": True, "check": True},
        rounds=5,
        warmup_rounds=1,
    )
    assert done.stdout.startswith("usage: harness")
