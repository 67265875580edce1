"""The gate as CI runs it: real sweeps into a real store, compared from there and from files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Harness = Callable[..., subprocess.CompletedProcess[str]]

STRATEGY = """
import time
import mlflow
from harness.tracing.base import MLflowTracing

class Planted(MLflowTracing):
    name = "planted"

    def __init__(self, *, style="", depth=""):
        pass

    def complete(self, call):
        def chat(**request):
            with mlflow.start_span("chat", span_type="CHAT_MODEL") as span:
                span.set_inputs(request)
                value = call(**request)
                {outputs}
                until_ns = time.perf_counter_ns() + {spun_ms} * 1_000_000
                while time.perf_counter_ns() < until_ns:
                    pass
                return value
        return chat

    def stream(self, call):
        return self.complete(lambda **request: list(call(**request)))

    def source(self):
        return "planted"
"""
SWEEP = (
    *("-m", "tracing=custom", "tracing.name=planted", "tracing.target=planted.py:Planted"),
    *("prompts=short", "prompts.limit=4", "measure.forks=4", "measure.max_forks=4", "measure.blocks=2"),
    *("measure.warmup_calls=10", "measure.period_ms=100"),
)
WAIT_S = 400.0
"""Timings wait for each other, and other tests may time something, too."""
MARGIN = ("--margin-ms", "5", "--margin-relative", "0")
"""Wide enough for a machine that does other things at the same time; 40 ms lie well beyond it."""


def plant(folder: Path, *, outputs: str = "span.set_outputs(value)", spun_ms: int = 0) -> None:
    (folder / "planted.py").write_text(STRATEGY.format(outputs=outputs, spun_ms=spun_ms), encoding="utf-8")


def sweep(harness: Harness) -> None:
    done = harness(*SWEEP, timeout_s=WAIT_S)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.calibration  # three sweeps of four forks: two minutes
@pytest.mark.timeout(3 * WAIT_S)
def test_an_equal_run_passes_and_a_slower_blinder_one_fails(harness: Harness, tmp_path: Path) -> None:
    """The planted 40 ms and the planted loss of every answer are found and named, and nothing is before."""
    plant(tmp_path)
    sweep(harness)
    # The baseline is kept as CI keeps it: as a file.
    stored = harness("report", "latest", "--output", "stored")
    assert stored.returncode == 0, stored.stderr
    sweep(harness)
    first = json.loads((tmp_path / "stored" / "cells.json").read_text(encoding="utf-8"))["sweep_id"]

    equal = harness("gate", "--baseline", "stored", *MARGIN)
    assert equal.returncode == 0, equal.stdout + equal.stderr

    plant(tmp_path, outputs="pass", spun_ms=40)
    sweep(harness)
    failed = harness("gate", "--baseline", first, *MARGIN, "--markdown", "out/gate.md", "--junit", "out/gate.xml")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    worse = [line for line in failed.stdout.splitlines() if line.startswith("worse: ")]
    assert any("openai / planted (short): added p50 rose from " in line for line in worse), failed.stdout
    assert any("openai / planted (short): CPU per call rose from " in line for line in worse), failed.stdout
    (recall,) = [line for line in worse if "(short): recall went from " in line]
    # Streams were handed over as lists, which is no answer to begin with.
    assert "response.content (2 times, now missing)" in recall
    assert "Holm" in failed.stdout

    markdown = (tmp_path / "out" / "gate.md").read_text(encoding="utf-8")
    assert "## Tracing gate: failed" in markdown
    assert "response.content" in markdown
    suite = ET.parse(tmp_path / "out" / "gate.xml").getroot()[0]  # noqa: S314  # written by ourselves
    failures = {case.get("name") for case in suite if case.find("failure") is not None}
    assert {"added p50", "CPU per call", "recall"} <= failures
    assert int(suite.attrib["failures"]) == len(failures)

    refused = harness("gate", "--baseline", "stored", "--current", first, "store.uri=sqlite:///elsewhere.db")
    assert refused.returncode == 2
    assert "there is no sweep" in refused.stderr
