from __future__ import annotations

import time

import pytest

from harness.experiment.stages import OTHER, Stages


def test_all_time_is_counted_once() -> None:
    """The stages' seconds are together the time since the beginning, and none is counted twice."""
    begun_ns = time.perf_counter_ns()
    stages = Stages()
    with stages.of("outer"):
        time.sleep(0.01)
        with stages.of("inner"):
            time.sleep(0.02)
        time.sleep(0.01)
    found = stages.seconds()
    assert set(found) == {OTHER, "outer", "inner"}
    assert found["inner"] >= 0.02
    assert found["outer"] >= 0.02
    assert sum(found.values()) <= (time.perf_counter_ns() - begun_ns) / 1e9


def test_a_stage_that_breaks_off_is_counted() -> None:
    """An exception ends the stage like any other end, and what follows counts for the outer one."""
    stages = Stages()
    with pytest.raises(RuntimeError), stages.of("broken"):
        raise RuntimeError
    before = stages.seconds()["broken"]
    time.sleep(0.01)
    found = stages.seconds()
    assert found["broken"] == before
    assert found[OTHER] >= 0.01
