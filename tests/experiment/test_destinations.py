"""What is counted of an arm's own store: whole traces, and every byte, wherever MLflow puts it."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from harness.config import MeasureConfig
from harness.experiment.arm import ArmProcess
from harness.experiment.destinations import DESTINATIONS
from harness.experiment.progress import Silent
from harness.experiment.timing import ArmPlan, TimingPass, TimingPlan
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.prompts import Sample
from harness.stores.throwaway import TEMPLATE_EXPERIMENT
from harness.worker import WorkerSetup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = bytes(range(256)) * 1000
SHOWN: list[dict[str, Any]] = [
    {"type": "text", "text": "What does this chart show?"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}"}},
]
SAMPLES = (
    Sample(id="chart", messages=({"role": "user", "content": SHOWN},)),
    Sample(id="capital", messages=({"role": "user", "content": "Capital of France?"},)),
)
AUTOLOG = "harness.tracing.autolog:Autolog"
LOSING = "harness.calibration.losing:LosingTracing"
NONE = ArmPlan("harness.tracing.none:NoTracing", "", "", "untraced", "", {})
CALLS = 4


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all workers."""
    records = tmp_path_factory.mktemp("gateway") / "exchanges.jsonl"
    with Gateway.start(GatewayConfig(records_path=records, samples=SAMPLES, seed=7)) as gateway:
        yield gateway


@pytest.fixture
def setup(gateway: Gateway) -> WorkerSetup:
    return WorkerSetup(
        role="timing",
        cell="cell-1",
        fork=0,
        arm="strategy",
        provider_target="harness.providers.openai:OpenAIProvider",
        backend="openai",
        model="gpt-4o-mini",
        base_url=gateway.base_url("openai"),
        api_key="made-up",
        timeout_s=60.0,
        strategy_target=AUTOLOG,
        style="",
        depth="",
        samples=SAMPLES,
        prime_calls=1,
    )


def database_bytes(store: Path) -> int:
    """What SQLite itself says of a database's size; it has to be all that SQLite keeps."""
    with contextlib.closing(sqlite3.connect(store)) as database:
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    assert mode == "delete", "MLflow keeps a log beside the database now: see how a store's size is read"
    assert [path.name for path in store.parent.glob("store.db*")] == ["store.db"]
    return int(pages * page_bytes)


@pytest.mark.parametrize("into", ["sqlite", "server"])
def test_stored_bytes_are_the_growth_of_the_database_and_the_files_beside_it(
    into: str, setup: WorkerSetup, migrated_store: Path, tmp_path: Path
) -> None:
    """An image that MLflow moves out of a trace counts as one byte for each of its own, and only for its arm."""
    shared = migrated_store.parent / "artifacts"
    before = sorted(shared.rglob("*"))
    to = DESTINATIONS[into](tmp_path, migrated_store, ())
    try:
        to.wait_ready()
        before_bytes = database_bytes(to.store)
        told = {
            "tracking_uri": to.tracking_uri,
            "experiment": TEMPLATE_EXPERIMENT,
            "store_path": str(to.written_path),
            "artifacts_path": str(to.artifacts),
        }
        with ArmProcess(setup.model_copy(update=told), tmp_path) as arm:
            arm.wait_ready()
            block: dict[str, Any] = {
                "kind": "measured",
                "block": 0,
                "position": 0,
                "first_repetition": 1,
                "period_ns": 0,
            }
            arm.ask("block", order=[0] * CALLS, **block)
            arm.ask("drain")
            stored_bytes = arm.finish()["stored_bytes"]
        assert to.count() == (1 + CALLS, 1 + CALLS)
    finally:
        to.close()
    grown_bytes = database_bytes(to.store) - before_bytes
    files_bytes = sum(path.stat().st_size for path in to.artifacts.rglob("*") if path.is_file())
    assert files_bytes >= (1 + CALLS) * len(IMAGE)
    assert 0 < grown_bytes < files_bytes
    assert stored_bytes == grown_bytes + files_bytes
    assert sorted(shared.rglob("*")) == before


@pytest.mark.parametrize(
    ("into", "style"),
    [("sqlite", "log_trace-1in3"), ("sqlite", "log_spans-1in3"), ("server", "log_trace-1in3")],
)
def test_a_timed_trace_that_lost_a_half_is_lost(
    into: str, style: str, setup: WorkerSetup, migrated_store: Path, tmp_path: Path
) -> None:
    """Of two writes one was dropped: the row is there, and the trace does not count as stored."""
    losing = ArmPlan(LOSING, style, "", "exported", into, {})
    measure = MeasureConfig(forks=1, max_forks=1, blocks=2, calls_per_block=6, warmup_calls=4, period_ms=1.0)
    plan = TimingPlan(setup, {"strategy": losing, "baseline": NONE}, measure, 3, migrated_store, tmp_path, ())
    timing = TimingPass(plan, Silent())
    try:
        timing.run(lambda: True)
    finally:
        timing.close()
    arms = {one.arm: one for one in timing.arms}
    planted = arms["strategy"].planted_losses
    assert planted
    assert arms["strategy"].expected_traces == 3 + 4 + 12
    assert arms["strategy"].stored_traces == arms["strategy"].expected_traces - planted
    assert (arms["baseline"].expected_traces, arms["baseline"].stored_traces) == (0, 0)
    assert arms["baseline"].planted_losses is None
