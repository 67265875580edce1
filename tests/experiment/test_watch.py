from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.experiment.watch import MachineWatch, family, machine_cpu_ns, process_cpu_ns

SPIN = """
import sys, time
sys.stdin.readline()
while time.process_time() < 0.5:
    pass
print("spun", flush=True)
sys.stdin.readline()
"""
GRANDCHILD = (
    "import subprocess, sys; "
    "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE, start_new_session=True); "
    "print(child.pid, flush=True); input(); child.communicate()"
)


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("known", [True, False])
def test_a_process_is_own_if_it_was_there_when_own_ones_were_looked_for(known: bool) -> None:
    """What a child spins counts as the cell's own and as busy; of a process that is not the cell's, as busy alone."""
    watch = MachineWatch()
    watch.find_own()
    process = python(SPIN)
    try:
        if known:
            watch.find_own()
        watch.begin()
        say(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "spun\n"
        sample = watch.end(3, 7)
    finally:
        process.communicate()
    assert (sample.fork, sample.position) == (3, 7)
    # Both counters tick in hundredths of a second.
    assert sample.busy_cpu_ns >= 380_000_000
    assert sample.wall_ns >= 380_000_000
    assert (sample.own_cpu_ns >= 380_000_000) == known
    assert sample.stolen_cpu_ns >= 0
    assert sample.frequency_mhz is None or sample.frequency_mhz > 100


def test_a_process_that_ends_meanwhile_is_left_out() -> None:
    """A child that was there before the block and not after it breaks nothing."""
    process = python(SPIN)
    watch = MachineWatch()
    watch.find_own()
    watch.begin()
    process.communicate()
    assert watch.end(0, 0).own_cpu_ns >= 0


def test_the_family_reaches_over_sessions() -> None:
    """A process that a child started in a session of its own is of the family."""
    process = python(GRANDCHILD)
    try:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        assert {os.getpid(), process.pid, grandchild} <= set(family(os.getpid()))
        assert os.getppid() not in family(os.getpid())
    finally:
        process.communicate("\n")


def test_counters_are_in_nanoseconds() -> None:
    """This process's CPU time is what the interpreter says, to a few ticks, and the machine's is more."""
    import time

    assert abs(process_cpu_ns(os.getpid()) - time.process_time_ns()) < 100_000_000
    assert machine_cpu_ns()[0] > process_cpu_ns(os.getpid())
