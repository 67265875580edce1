"""What is counted of an arm's own store: whole traces, and every byte, wherever MLflow puts it."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from pathlib import Path
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

    from harness.records import ArmRun

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
SPANS_ALONE = f"{Path(__file__).with_name('spans_alone_strategy.py')}:SpansAlone"
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


def test_traces_that_went_astray_are_not_received(setup: WorkerSetup, migrated_store: Path, tmp_path: Path) -> None:
    """What came to the store of an arm that should send all to its collector is begun and not whole, and is told."""
    to = DESTINATIONS["collector"](tmp_path, migrated_store, ())
    try:
        to.wait_ready()
        # Without the environment that names the collector MLflow writes where it is told to.
        told = {"tracking_uri": to.tracking_uri, "experiment": TEMPLATE_EXPERIMENT}
        with ArmProcess(setup.model_copy(update=told), tmp_path) as arm:
            arm.wait_ready()
            arm.ask("drain")
            arm.finish()
        assert to.count() == (1, 0)
        assert to.astray() == 1
    finally:
        to.close()


def timed(setup: WorkerSetup, strategy: ArmPlan, template: Path, folder: Path) -> dict[str, ArmRun]:
    """One fork of two small blocks: 3 + 4 + 12 calls of each arm."""
    measure = MeasureConfig(forks=1, max_forks=1, blocks=2, calls_per_block=6, warmup_calls=4, period_ms=1.0)
    plan = TimingPlan(setup, {"strategy": strategy, "baseline": NONE}, measure, 3, template, folder, ())
    timing = TimingPass(plan, Silent())
    try:
        timing.run(lambda: True)
    finally:
        timing.close()
    return {one.arm: one for one in timing.arms}


@pytest.mark.parametrize(
    ("into", "style"),
    [
        ("sqlite", "log_trace-1in3"),
        ("sqlite", "log_spans-1in3"),
        pytest.param("server", "log_trace-1in3", marks=pytest.mark.calibration),
        ("sqlite", "log_trace-1in1"),
    ],
)
def test_a_timed_trace_that_lost_a_half_is_lost(
    into: str, style: str, setup: WorkerSetup, migrated_store: Path, tmp_path: Path
) -> None:
    """Of two writes one was dropped, be it of every trace: the row is there, and it does not count as stored."""
    arms = timed(setup, ArmPlan(LOSING, style, "", "exported", into, {}), migrated_store, tmp_path)
    planted = arms["strategy"].planted_losses
    assert planted
    assert arms["strategy"].expected_traces == 3 + 4 + 12
    assert arms["strategy"].stored_traces == arms["strategy"].expected_traces - planted
    assert (arms["baseline"].expected_traces, arms["baseline"].stored_traces) == (0, 0)
    assert arms["baseline"].planted_losses is None
    assert arms["strategy"].astray_traces == 0


def test_spans_alone_are_stored_traces_of_a_strategy_that_says_so(
    setup: WorkerSetup, migrated_store: Path, tmp_path: Path
) -> None:
    """What is expected of a store is the strategy's to say, and not read off what came."""
    arms = timed(setup, ArmPlan(SPANS_ALONE, "log_trace-1in1", "", "exported", "sqlite", {}), migrated_store, tmp_path)
    assert arms["strategy"].planted_losses == 3 + 4 + 12
    assert (arms["strategy"].expected_traces, arms["strategy"].stored_traces) == (19, 19)
