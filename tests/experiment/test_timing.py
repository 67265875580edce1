"""The timing pass with real workers and a real gateway: knobs, budget, what is watched and told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.config import MeasureConfig
from harness.experiment.arm import ArmProcess
from harness.experiment.progress import Silent
from harness.experiment.stages import Stages
from harness.experiment.timing import ArmPlan, TimingPass, TimingPlan
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.processes import allowed_cpus, split_cpus
from harness.prompts import Sample
from harness.worker import WorkerSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = (Sample(id="capital", messages=({"role": "user", "content": "Capital of France?"},)),)
NONE = ArmPlan("harness.tracing.none:NoTracing", "", "", "untraced", "", {})
TINY = {"forks": 1, "max_forks": 1, "blocks": 2, "calls_per_block": 3, "warmup_calls": 2, "period_ms": 1.0}


class Watching(Silent):
    """Notes the stages, and what stands in the arms' environment while a fork is timed."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.hash_seeds: set[str] = set()
        self.timing: TimingPass | None = None

    def stage(self, text: str, total: int | None = None) -> None:
        del total
        self.stages.append(text)
        if text.startswith("timing") and self.timing is not None:
            for state in self.timing._states():
                environment = Path(f"/proc/{state.process.pid}/environ").read_bytes().split(b"\0")
                self.hash_seeds |= {one.decode() for one in environment if one.startswith(b"PYTHONHASHSEED=")}


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
        strategy_target=NONE.strategy_target,
        style="",
        depth="",
        samples=SAMPLES,
    )


@pytest.fixture
def timing(setup: WorkerSetup, tmp_path: Path) -> Iterator[Callable[..., TimingPass]]:
    """Make timing passes of two untraced arms; they are closed afterwards."""
    made: list[TimingPass] = []

    def make(progress: Silent | None = None, **measured: Any) -> TimingPass:
        measure = MeasureConfig(**{**TINY, **measured})
        plan = TimingPlan(setup, {"strategy": NONE, "baseline": NONE}, measure, 3, tmp_path, tmp_path, ())
        made.append(TimingPass(plan, progress or Silent(), Stages()))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_each_measured_block_has_its_sample_of_the_machine(timing: Callable[..., TimingPass]) -> None:
    """One sample a block, at the block's place, that encloses the block's calls and its CPU time."""
    passed = timing()
    passed.run(lambda: True)
    blocks = {(block.fork, block.position): block for block in passed.blocks if block.kind == "measured"}
    samples = {(sample.fork, sample.position): sample for sample in passed.machine}
    assert len(passed.machine) == 4
    assert samples.keys() == blocks.keys()
    for place, sample in samples.items():
        block = blocks[place]
        assert sample.begin_ns <= block.start_ns[0]
        assert block.start_ns[-1] + block.latency_ns[-1] <= sample.begin_ns + sample.wall_ns
        # A tick is 10 ms, and both arms, the gateway and this process are counted.
        assert sample.own_cpu_ns <= sample.busy_cpu_ns + 50_000_000
    spent = passed.stages.seconds()
    measured_ns = sum(sum(block.latency_ns) for block in blocks.values())
    assert measured_ns / 1e9 <= spent["measuring"] <= sum(sample.wall_ns for sample in passed.machine) / 1e9
    assert {"starting", "warm_up", "measuring", "draining", "counting"} <= set(spent)


def test_pinning_and_hash_seeds_are_as_configured(timing: Callable[..., TimingPass]) -> None:
    """Pinned arms have the arms' core and fixed seeds; without, any core, and chance whatever the shell says."""
    for seed, pin, said, cpus in (
        (5, True, "PYTHONHASHSEED=5", split_cpus()[0]),
        (None, False, "PYTHONHASHSEED=random", allowed_cpus()),
    ):
        watching = Watching()
        passed = timing(watching, hash_seed=seed, pin=pin)
        watching.timing = passed
        passed.run(lambda: True)
        assert watching.hash_seeds == {said}
        assert {run.cpus for run in passed.arms} == {cpus}


def test_the_garbage_collector_is_set_after_the_warm_up(
    timing: Callable[..., TimingPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each arm is asked once, between its warm-up's drain and its first measured block; the default asks nothing."""
    asked: list[tuple[str, str]] = []
    ask = ArmProcess.ask

    def noting(self: ArmProcess, op: str, **fields: Any) -> dict[str, Any]:
        answer = ask(self, op, **fields)
        asked.append((self.name, f"{op} {fields.get('kind', '')}".strip()))
        return answer

    monkeypatch.setattr(ArmProcess, "ask", noting)
    timing(gc="freeze").run(lambda: True)
    for arm in ("timing-0-strategy", "timing-0-baseline"):
        ops = [op for name, op in asked if name == arm]
        assert ops[:4] == ["block warmup", "drain", "collect", "block measured"]
        assert ops.count("collect") == 1


@pytest.mark.parametrize(
    ("mode", "enabled", "freezes"), [("on", True, False), ("off", False, False), ("freeze", True, True)]
)
def test_a_worker_sets_its_collector(
    setup: WorkerSetup, tmp_path: Path, mode: str, enabled: bool, freezes: bool
) -> None:
    """``off`` disables it, ``freeze`` leaves what stands to itself and goes on collecting, ``on`` leaves it."""
    with ArmProcess(setup, tmp_path) as arm:
        arm.wait_ready()
        state = arm.ask("collect", mode=mode)
        arm.finish()
    assert state["enabled"] == enabled
    assert (state["frozen_objects"] > 1000) == freezes


def test_the_budget_ends_the_adding_of_forks(timing: Callable[..., TimingPass]) -> None:
    """Real forks are added until the time has gone, and what was told stands beside the fork's number."""
    watching = Watching()
    passed = timing(watching, max_forks=60, budget_s=0.2, precision_ms=1e-9, blocks=1)
    passed.run(lambda: False, lambda: f"{len(passed.arms) // 2} known")
    forks = len({run.fork for run in passed.arms})
    assert 1 <= forks < 60
    assert passed.stopped_by == "budget"
    assert "timing, fork 1; 0 known" in watching.stages


FAR, GONE = 0.0, 99.0


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ((0, FAR, False, {}), (True, "")),
        ((3, FAR, True, {}), (True, "")),
        ((4, FAR, True, {}), (False, "")),
        ((4, FAR, False, {"precision_ms": 0.1}), (True, "")),
        ((4, FAR, True, {"precision_ms": 0.1}), (False, "precision")),
        ((8, FAR, False, {"precision_ms": 0.1}), (False, "max_forks")),
        ((5, GONE, False, {"precision_ms": 0.1}), (False, "budget")),
        ((5, GONE, True, {"precision_ms": 0.1}), (False, "precision")),
        # An interval takes four forks, whatever the budget.
        ((3, GONE, False, {"precision_ms": 0.1}), (True, "")),
        ((5, GONE, False, {"precision_ms": 0.1, "forks": 6}), (False, "budget")),
        ((1, GONE, True, {"forks": 1}), (False, "")),
        ((5, GONE, False, {"precision_ms": 0.1, "budget_s": 0.0}), (True, "")),
    ],
)
def test_when_forks_are_added(
    timing: Callable[..., TimingPass], asked: tuple[int, float, bool, dict[str, float]], answered: tuple[bool, str]
) -> None:
    """Until the planned forks, then until the precision, the most forks or the budget; each end is named."""
    done, elapsed_s, reached, measured = asked
    passed = timing(**{"forks": 4, "max_forks": 8, "budget_s": 10.0, **measured})
    assert (passed._goes_on(done, elapsed_s, lambda: reached), passed.stopped_by) == answered


def test_the_precision_is_asked_for_once_after_each_fork(timing: Callable[..., TimingPass]) -> None:
    """From the planned forks on it is asked after each fork, and not in between."""
    asked: list[int] = []
    passed = timing(max_forks=3, precision_ms=1e-9, blocks=1)

    def enough() -> bool:
        asked.append(len(passed.arms) // 2)
        return False

    passed.run(enough)
    assert asked == [1, 2, 3]
    assert passed.stopped_by == "max_forks"
