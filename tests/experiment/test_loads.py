"""What both arms do under further loads: real workers, a real gateway, real stores, tiny sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.config import ExportConfig, MeasureConfig
from harness.driving import load_samples, sample_of
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
    assert len(streamed.first_chunk_ns) == len(streamed.chunks) == 2
    assert all(2000 <= chunks <= 2003 for chunks in streamed.chunks)
    (stored,) = of(timing, "payload:1000000", "strategy")
    assert stored.stored_bytes is not None
    assert stored.stored_bytes > 1_000_000


def test_saturation_ends_where_traces_are_lost(run: Run) -> None:
    """Rates double until a small queue overflows; what is lost is counted after a drain, and nothing comes after it."""
    timing, _ = run(
        "openai",
        MANUAL,
        ["saturation"],
        export=ExportConfig(queue_size=3),
        saturation_from_per_s=5.0,
        saturation_step_s=1.0,
        burst_calls=60,
    )
    strategy, baseline = of(timing, "saturation", "strategy"), of(timing, "saturation", "baseline")
    offered = [one.offered_per_s for one in strategy]
    assert offered == [one.offered_per_s for one in baseline]
    steps = [5.0 * 2**step for step in range(len(offered))]
    assert offered in (steps, [*steps[:-1], None])
    assert [one.stored_traces < one.expected_traces for one in strategy] == [False] * (len(offered) - 1) + [True]
    assert all(one.expected_traces == one.calls for one in strategy)
    assert all(one.stored_traces == one.expected_traces == 0 for one in baseline)


def test_saturation_of_an_arm_that_stores_nothing_ends_back_to_back_or_in_time(run: Run) -> None:
    """Without loss the steps end when the time is over."""
    timing, _ = run(
        "openai", BASELINE, ["saturation"], saturation_from_per_s=20.0, saturation_step_s=0.2, saturation_max_s=0.1
    )
    assert [one.offered_per_s for one in timing.loads.runs] == [20.0, 20.0]


@pytest.mark.parametrize(
    ("provider", "strategy"),
    [("mistralai", MANUAL), pytest.param("langchain", AUTOLOG, marks=pytest.mark.calibration)],
)
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
