"""What both arms do under further loads: real workers, a real gateway, real stores, tiny sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.config import ExportConfig, MeasureConfig
from harness.driving import load_samples, sample_of
from harness.experiment.loads import _ForkLoads
from harness.experiment.progress import Silent
from harness.experiment.timing import ArmPlan, TimingPass, TimingPlan
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.loads import Load
from harness.prompts import Sample
from harness.records import CallId, Exchange, read_cell, read_jsonl
from harness.tracing.switches import switch_environment
from harness.worker import WorkerSetup

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from harness.records import LoadRun

    Run = Callable[..., tuple[TimingPass, list[Exchange]]]

SAMPLES = (
    Sample(id="capital", messages=({"role": "user", "content": "Capital of France?"},)),
    Sample(id="story", messages=({"role": "user", "content": "Tell me a story"},), stream=True),
)
OWN_PROVIDER = Path(__file__).parents[1] / "examples" / "own_provider.py"
PROVIDERS = {
    "openai": ("harness.providers.openai:OpenAIProvider", "openai", "gpt-4o-mini"),
    "mistralai": ("harness.providers.mistralai:MistralProvider", "mistralai", "mistral-small-latest"),
    "langchain": ("harness.providers.langchain:LangChainProvider", "openai", "gpt-4o-mini"),
    "own": (f"{OWN_PROVIDER}:PlainHttp", "openai", "gpt-4o-mini"),
}
BASELINE = ArmPlan("harness.tracing.none:NoTracing", "", "", "untraced", "", {})
MANUAL = ArmPlan("harness.tracing.manual:ManualTracing", "decorator", "plain", "exported", "sqlite", {})
AUTOLOG = ArmPlan("harness.tracing.autolog:Autolog", "", "", "exported", "sqlite", {})
DIALECTS: dict[str, Any] = {"openai": "openai", "mistralai": "mistral"}


@pytest.fixture
def run(migrated_store: Path, tmp_path: Path) -> Run:
    """Run one fork of the timing pass with loads; gives the pass and what the gateway recorded."""

    def timed(  # noqa: PLR0913  # what a test may want to be different
        provider: str,
        strategy: ArmPlan,
        loads: list[str],
        *,
        export: ExportConfig | None = None,
        endpoint_kind: str = "simulator",
        enough: bool = True,
        expected_share: float = 1.0,
        **measured: Any,
    ) -> tuple[TimingPass, list[Exchange]]:
        target, backend, model = PROVIDERS[provider]
        small: dict[str, Any] = {"blocks": 1, "calls_per_block": 2, "warmup_calls": 2, "period_ms": 1.0}
        small |= {"forks": 1, "max_forks": 1, "load_calls": 4}
        measure = MeasureConfig(loads=loads, **{**small, **measured})
        records = tmp_path / "exchanges.jsonl"
        settings = GatewayConfig(records_path=records, samples=(*SAMPLES, *load_samples(loads)), seed=7)
        with Gateway.start(settings) as gateway:
            setup = WorkerSetup(
                role="timing",
                cell="cell-1",
                fork=0,
                arm="strategy",
                provider_target=target,
                backend=backend,
                model=model,
                base_url=gateway.base_url(DIALECTS[backend]),
                api_key="made-up",
                timeout_s=60.0,
                strategy_target=strategy.strategy_target,
                style=strategy.style,
                depth=strategy.depth,
                expected_share=expected_share,
                samples=SAMPLES,
            )
            plan = TimingPlan(
                base=setup,
                arms={
                    "strategy": strategy._replace(environment=switch_environment(export or ExportConfig())),
                    "baseline": BASELINE,
                },
                measure=measure,
                seed=3,
                template=migrated_store,
                folder=tmp_path,
                hidden=(),
                endpoint_kind=endpoint_kind,
            )
            timing = TimingPass(plan, Silent())
            try:
                timing.run(lambda: enough)
            finally:
                timing.close()
        return timing, list(read_jsonl(records, Exchange))

    return timed


def of(timing: TimingPass, load: str, arm: str) -> list[LoadRun]:
    """The runs of one load by one arm, in order."""
    return [one for one in timing.loads.runs if (one.load, one.arm) == (load, arm)]


def test_openai_under_every_kind_of_steady_load(run: Run) -> None:
    """Both arms make the same calls, each attributed; traces are counted; the arm's own totals stay as they were."""
    loads = ["threads:2", "asyncio:3", "payload:20000", "chunks:50"]
    timing, exchanges = run("openai", AUTOLOG, loads)
    calls = {"threads:2": 10, "asyncio:3": 15, "payload:20000": 4, "chunks:50": 4}
    for load in loads:
        (strategy,), (baseline,) = of(timing, load, "strategy"), of(timing, load, "baseline")
        for one in (strategy, baseline):
            assert (one.calls, one.errors, one.first_error) == (calls[load], 0, "")
            assert len(one.latency_ns) == one.calls
            assert max(one.latency_ns) <= one.wall_ns
            assert one.cpu_ns > 0
        made = strategy.calls + strategy.warmup_calls
        assert (strategy.expected_traces, strategy.stored_traces) == (made, made)
        assert (baseline.expected_traces, baseline.stored_traces, baseline.stored_bytes) == (0, 0, None)
        assert strategy.stored_bytes is not None
        assert strategy.stored_bytes > 0
    asked = {one.call_id for one in exchanges}
    assert None not in asked
    assert len(timing.loads.answered) == len(set(timing.loads.answered))
    assert set(timing.loads.answered) <= asked
    assert len(timing.loads.answered) == sum(one.calls + one.warmup_calls for one in timing.loads.runs)
    for block in timing.blocks:
        nothing = (None,) * len(block.latency_ns)
        times = zip(block.first_chunk_ns, block.last_chunk_ns or nothing, block.chunks or nothing, strict=True)
        for (first, last, chunks), latency_ns in zip(times, block.latency_ns, strict=True):
            assert (first is None) == (last is None) == (chunks is None)
            if first is not None and last is not None and chunks is not None:
                assert first < last <= latency_ns
                assert chunks > 1
    assert any(block.chunks for block in timing.blocks)
    for arm in timing.arms:
        traced = 3 + 2 + 2 if arm.arm == "strategy" else 0
        assert (arm.expected_traces, arm.stored_traces) == (traced, traced)


def test_sizes_reach_the_wire_and_stay_out_of_the_records(run: Run) -> None:
    """A payload is as large both ways as it says, a stream as long; what is kept of them is small."""
    timing, exchanges = run("openai", MANUAL, ["payload:1000000", "chunks:2000"], load_calls=2)
    large = [one for one in exchanges if CallId.parse(one.call_id or "").sample == "load-payload-1000000"]
    assert len(large) == 2 * 3
    for one in large:
        assert one.request_size_bytes >= 1_000_000
        assert one.response_size_bytes >= 1_000_000
    long = [one for one in exchanges if CallId.parse(one.call_id or "").sample == "load-chunks-2000"]
    assert len(long) == 2 * 3
    assert max(len(one.model_dump_json()) for one in large + long) < 2000
    (streamed,) = of(timing, "chunks:2000", "strategy")
    assert len(streamed.first_chunk_ns) == len(streamed.last_chunk_ns) == len(streamed.chunks) == 2
    for first, last, end in zip(streamed.first_chunk_ns, streamed.last_chunk_ns, streamed.latency_ns, strict=True):
        assert first < last <= end
    assert all(2000 <= chunks <= 2003 for chunks in streamed.chunks)
    (stored,) = of(timing, "payload:1000000", "strategy")
    assert stored.stored_bytes is not None
    assert stored.stored_bytes > 1_000_000


@pytest.mark.calibration
def test_saturation_goes_one_step_beyond_the_first_loss_in_every_fork(run: Run) -> None:
    """Rates double until a step after the queue overflowed, and end back to back; the second fork runs the same."""
    timing, _ = run(
        "openai",
        MANUAL,
        ["saturation"],
        export=ExportConfig(queue_size=20),
        forks=2,
        max_forks=2,
        saturation_from_per_s=20.0,
        saturation_step_s=0.5,
        burst_calls=60,
    )
    first, second = ([one for one in of(timing, "saturation", "strategy") if one.fork == fork] for fork in (0, 1))
    offered = [one.offered_per_s for one in first]
    assert offered == [*(20.0 * 2**step for step in range(len(offered) - 1)), None]
    assert [one.offered_per_s for one in second] == offered
    assert [one.offered_per_s for one in of(timing, "saturation", "baseline")] == offered * 2
    # Ten calls fit into the queue at once; sixty back to back are more than it holds and the store can take.
    lossy = [one.stored_traces < one.expected_traces for one in first]
    assert not lossy[0]
    assert lossy[-1]
    assert first[-1].ladder_ended_by in ("loss", "pace")
    if first[-1].ladder_ended_by == "loss":
        assert lossy.index(True) == len(lossy) - 3
    assert {one.ladder_ended_by for one in (*first[:-1], *second[:-1])} == {""}
    for one in (*first, *second):
        assert one.expected_traces == one.calls
        assert 0 < one.stored_traces <= one.calls
    assert all(one.stored_traces == one.expected_traces == 0 for one in of(timing, "saturation", "baseline"))


def test_time_that_is_over_is_that_of_calls_and_leaves_the_step_back_to_back(run: Run) -> None:
    """Drains (a second each) and counting take none of a saturation's time; its end is recorded with the last step."""
    timing, _ = run(
        "openai",
        MANUAL,
        ["saturation"],
        saturation_from_per_s=2.0,
        saturation_step_s=1.0,
        saturation_max_s=1.1,
        burst_calls=5,
    )
    steps = [(one.offered_per_s, one.ladder_ended_by) for one in of(timing, "saturation", "strategy")]
    # Two calls half a second apart, then four a quarter apart: only with the second step the time is over.
    assert steps == [(2.0, ""), (4.0, ""), (None, "time")]


@pytest.mark.parametrize(
    ("strategy", "switches", "reason"),
    [
        (BASELINE, {}, "stores no traces"),
        pytest.param(MANUAL, {"sampling_ratio": 0.5}, "chance decides", marks=pytest.mark.calibration),
    ],
)
def test_a_saturation_that_can_count_no_loss_is_skipped(
    run: Run, strategy: ArmPlan, switches: dict[str, float], reason: str
) -> None:
    """Where nothing is stored, or nobody knows how much should be, it is left out with the reason; the rest runs."""
    export = ExportConfig(**switches)  # type: ignore[arg-type]
    share = switches.get("sampling_ratio", 1.0)
    timing, _ = run("openai", strategy, ["saturation", "threads:1"], load_calls=2, export=export, expected_share=share)
    assert {one.load for one in timing.loads.runs} == {"threads:1"}
    assert reason in timing.loads.skipped["saturation"]


def test_each_load_of_an_arm_has_its_sample_of_the_machine(run: Run) -> None:
    """A sample bears the load's name and place, and no block is mistaken for it; each run has its peak of memory."""
    timing, _ = run("openai", BASELINE, ["threads:2", "payload:100000"], load_calls=2)
    places = {(one.fork, one.position, one.load) for one in timing.loads.runs}
    samples = {(one.fork, one.position, one.load): one for one in timing.machine if one.load}
    assert set(samples) == places
    assert len(places) == 4
    for one in timing.loads.runs:
        assert samples[one.fork, one.position, one.load].wall_ns >= one.wall_ns
        assert one.peak_memory_bytes is None or one.peak_memory_bytes > 2**24
    assert sum(not one.load for one in timing.machine) == 2


def failing(style: str) -> ArmPlan:
    """An arm whose first drain under a load goes wrong."""
    return ArmPlan(f"{Path(__file__).parent / 'failing_strategy.py'}:Failing", style, "", "exported", "", {})


def test_a_load_that_breaks_off_is_left_out_and_the_others_go_on(run: Run) -> None:
    """The reason names fork, arm and exception; the next load, and the next fork, are measured."""
    timing, _ = run("openai", failing("raise"), ["threads:1", "threads:2"], load_calls=2, forks=2, max_forks=2)
    (skipped, *more) = timing.loads.skipped_loads()
    assert (
        skipped.reason
        == "in fork 0 it broke off: the strategy arm failed with builtins.RuntimeError: the exporter gave up"
    )
    other = {"threads:1": "threads:2", "threads:2": "threads:1"}[skipped.load]
    assert len([one for one in of(timing, other, "strategy") if one.fork == 0]) == 1
    assert {one.fork for one in timing.loads.runs if one.arm == "strategy"} == {0, 1}
    assert len(more) <= 1
    assert len(timing.arms) == 4


@pytest.mark.parametrize(("style", "said"), [("exit", "ended with status 3"), ("hang", "did not answer within 2 s")])
def test_a_worker_that_is_lost_under_a_load_ends_its_fork_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, style: str, said: str
) -> None:
    """Its blocks and totals stay, the load is not tried again, and the next fork is timed."""
    monkeypatch.setattr(_ForkLoads, "_timeout_s", lambda *_: 2.0)
    timing, _ = run("openai", failing(style), ["threads:1"], load_calls=2, forks=2, max_forks=2)
    (skipped,) = timing.loads.skipped_loads()
    assert said in skipped.reason
    assert {one.fork for one in timing.arms} == {0, 1}
    assert len(timing.arms) == 4
    assert {one.fork for one in timing.blocks if one.kind == "measured"} == {0, 1}
    assert not of(timing, "threads:1", "strategy")


@pytest.mark.parametrize(
    ("provider", "strategy"),
    [("mistralai", MANUAL), ("langchain", AUTOLOG)],
)
@pytest.mark.calibration
def test_other_providers_under_load(run: Run, provider: str, strategy: ArmPlan) -> None:
    """Threads, tasks, payloads and chunks of the other SDKs are made and traced alike."""
    loads = ["threads:2", "asyncio:2", "payload:1000", "chunks:10"]
    timing, exchanges = run(provider, strategy, loads, load_calls=2)
    assert timing.loads.skipped == {}
    for load in loads:
        (traced,) = of(timing, load, "strategy")
        made = traced.calls + traced.warmup_calls
        assert (traced.errors, traced.first_error) == (0, "")
        assert (traced.expected_traces, traced.stored_traces) == (made, made)
    assert all(one.call_id is not None for one in exchanges)
    (streamed,) = of(timing, "chunks:10", "baseline")
    assert all(9 <= chunks <= 13 for chunks in streamed.chunks)


def test_a_load_that_nothing_can_answer_is_skipped_with_the_reason(run: Run) -> None:
    """Another endpoint than the simulator takes no payloads, and a provider's own is not flooded."""
    timing, _ = run("openai", BASELINE, ["threads:1", "payload:100", "saturation"], endpoint_kind="forward")
    assert {one.load for one in timing.loads.runs} == {"threads:1"}
    assert {one.load for one in timing.loads.skipped_loads()} == {"payload:100", "saturation"}
    assert "simulator" in timing.loads.skipped["payload:100"]
    assert "flood" in timing.loads.skipped["saturation"]


def test_a_provider_without_asynchronous_calls_runs_the_other_loads(run: Run) -> None:
    """What the provider does not offer is skipped with a sentence that says so; the rest is measured."""
    timing, _ = run("own", BASELINE, ["threads:2", "asyncio:2"], load_calls=2)
    assert {one.load for one in timing.loads.runs} == {"threads:2"}
    assert timing.loads.skipped == {"asyncio:2": "provider plain-http has no operation 'chat_async'"}


def test_loads_run_in_the_first_forks_alone(run: Run) -> None:
    """Forks that are added for the precision of the paced calls have no loads."""
    timing, _ = run("openai", BASELINE, ["threads:1"], load_calls=2, max_forks=2, enough=False)
    assert {one.fork for one in timing.arms} == {0, 1}
    assert {one.fork for one in timing.loads.runs} == {0}


@pytest.mark.calibration  # half a minute; the parts have tests of their own
def test_the_command_line_records_loads_and_logs_what_they_cost(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Loads are in the cell's records, its metrics and its report; their many exchanges are not kept."""
    from mlflow.tracking import MlflowClient

    done = harness(
        "tracing=manual", "prompts=short", "prompts.limit=2", "measure=loads", "measure.loads=[threads:2]",
        "measure.forks=1", "measure.load_calls=4", "measure.warmup_calls=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tracing-harness")
    assert experiment is not None
    (cell,) = client.search_runs([experiment.experiment_id], "tags.`harness.kind` = 'cell'")
    records = read_cell(Path(client.download_artifacts(cell.info.run_id, "records")))
    assert [(one.load, one.calls) for one in records.loads] == [("threads:2", 10)] * 2
    assert not [one for one in records.exchanges if CallId.parse(one.call_id or "").phase == "load"]
    assert cell.data.metrics["load.threads_2.traces_lost"] == 0
    assert cell.data.metrics["load.threads_2.throughput_ratio"] > 0
    assert cell.data.metrics["traces.orphaned"] == 0


@pytest.mark.parametrize("size", [1, 88, 1000])
def test_a_payload_has_its_size(size: int) -> None:
    """Prompt and scripted answer have exactly as many bytes as the load says."""
    sample = sample_of(Load("payload", size))
    assert sample is not None
    assert len(sample.messages[0]["content"].encode()) == size
    assert len((sample.script[0].content or "").encode()) == size
