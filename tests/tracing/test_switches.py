"""MLflow's switches as values of the configuration: each really does what its name says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.checks import check_config
from harness.config import ExportConfig, HarnessConfig, ProviderConfig, TracingConfig
from harness.errors import ConfigError
from harness.processes import child_environment
from harness.tracing.switches import (
    apply_switches,
    expected_share,
    otlp_environment,
    switch_environment,
    without_switches,
)

HOUR_MS = 3_600_000
CASES: dict[str, dict[str, Any]] = {
    "as it comes": {"action": "at_once", "export": {}},
    "synchronous": {"action": "at_once", "export": {"asynchronous": False}},
    "disabled": {"action": "at_once", "export": {"disabled": True}},
    "disabled and synchronous": {"action": "at_once", "export": {"asynchronous": False, "disabled": True}},
    "batch on": {"action": "not_by_itself", "export": {"batch_size": 512, "interval_ms": HOUR_MS}},
    "batch off": {
        "action": "by_itself",
        "export": {"batch_processor": False, "batch_size": 512, "interval_ms": HOUR_MS},
    },
    "short interval": {"action": "by_itself", "export": {"batch_size": 512, "interval_ms": 100}},
    "small batch": {"action": "by_itself", "export": {"batch_size": 3, "interval_ms": HOUR_MS}},
    "large batch": {"action": "not_by_itself", "export": {"batch_size": 3, "interval_ms": HOUR_MS}},
    "burst": {"action": "many", "export": {"workers": 4}},
    "burst at a short queue": {"action": "many", "export": {"queue_size": 1, "workers": 1, "batch_size": 1}},
    "sampled none": {"action": "many", "export": {"sampling_ratio": 0.0}},
    "sampled half": {"action": "many", "export": {"sampling_ratio": 0.5}},
    "sampled all": {"action": "many", "export": {"sampling_ratio": 1.0}},
    "unfinished": {"action": "unfinished", "export": {}},
    "small buffer": {"action": "unfinished", "export": {"buffer_size": 2}},
    "short-lived buffer": {"action": "unfinished", "export": {"buffer_ttl_s": 1}},
}


# What uses it is left to the weekly job: only another MLflow changes what MLflow's switches do.
@pytest.fixture(scope="module")
def seen(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every case saw."""
    folder = tmp_path_factory.mktemp("switches")
    job = {"template": str(migrated_store), "folder": str(folder), "cases": CASES}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "switch_subject.py"), json.dumps(job)],
        check=False,
        cwd=folder,
        env=without_switches(child_environment()),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.calibration
def test_default_is_deferred(seen: dict[str, Any]) -> None:
    """As MLflow comes, a trace is stored after the drain and not before."""
    assert seen["as it comes"] == {"before": 0, "after": 1}


@pytest.mark.calibration
def test_synchronous_export(seen: dict[str, Any]) -> None:
    """With the asynchronous export off, a trace is in the store when the call is over."""
    assert seen["synchronous"] == {"before": 1, "after": 1}


@pytest.mark.calibration
@pytest.mark.parametrize("case", ["disabled", "disabled and synchronous"])
def test_disabled(seen: dict[str, Any], case: str) -> None:
    """Tracing that is disabled after it was turned on leaves nothing."""
    assert seen[case] == {"before": 0, "after": 0}


@pytest.mark.calibration
@pytest.mark.parametrize("case", ["batch on", "large batch"])
def test_batches_wait(seen: dict[str, Any], case: str) -> None:
    """A batch that is not full waits for its interval, unless it is drained."""
    assert seen[case] == {"before": 0, "after": 2}


@pytest.mark.calibration
@pytest.mark.parametrize("case", ["batch off", "short interval", "small batch"])
def test_batches_end(seen: dict[str, Any], case: str) -> None:
    """Without batches, with a short interval or with a full batch, traces come without a drain."""
    assert seen[case] == {"arrived": True}


@pytest.mark.calibration
def test_workers(seen: dict[str, Any]) -> None:
    """There are no more writing threads than were asked for; how many of them a burst needs is the machine's affair."""
    assert seen["burst at a short queue"]["workers"] == 1
    assert 1 <= seen["burst"]["workers"] <= 4


@pytest.mark.calibration
def test_short_queue_loses(seen: dict[str, Any]) -> None:
    """A burst into a queue of one is mostly dropped; into MLflow's own queue it is not."""
    assert 0 < seen["burst at a short queue"]["stored"] < 60
    assert seen["burst"]["stored"] == 80


@pytest.mark.calibration
def test_sampling(seen: dict[str, Any]) -> None:
    """The ratio is the share of traces that are stored; half of 80 is off by 25 once in ten million times."""
    assert seen["sampled none"]["stored"] == 0
    assert 15 < seen["sampled half"]["stored"] < 65
    assert seen["sampled all"]["stored"] == 80


@pytest.mark.calibration
def test_buffer(seen: dict[str, Any]) -> None:
    """Unfinished traces beyond the buffer's size, or older than it keeps them, are lost."""
    assert seen["unfinished"]["stored"] == 5
    assert seen["small buffer"]["stored"] == 2
    assert seen["short-lived buffer"]["stored"] == 0


def test_default_sets_nothing() -> None:
    """What is left to MLflow is not in the environment."""
    assert switch_environment(ExportConfig()) == {}


def test_values_as_mlflow_reads_them() -> None:
    """Truth is in lower case, and zero is a value."""
    export = ExportConfig(asynchronous=False, batch_processor=True, queue_size=0, sampling_ratio=0.0)
    assert switch_environment(export) == {
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
        "MLFLOW_USE_BATCH_SPAN_PROCESSOR": "true",
        "MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE": "0",
        "MLFLOW_TRACE_SAMPLING_RATIO": "0.0",
    }


def test_otlp_names_the_collector() -> None:
    """Spans go to the collector and to the store, in OpenTelemetry's words."""
    assert switch_environment(ExportConfig(otlp=True), "http://127.0.0.1:1/v1/traces") == {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
        "MLFLOW_ENABLE_OTEL_GENAI_SEMCONV": "true",
    }
    with pytest.raises(ConfigError, match="needs a collector"):
        switch_environment(ExportConfig(otlp=True))


def test_what_takes_spans_alone_does_not_ask_for_their_translation() -> None:
    """MLflow translates spans to OpenTelemetry's GenAI conventions only where it is told to."""
    assert otlp_environment("http://127.0.0.1:1/v1/traces", alone=True) == {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "false",
    }


def test_the_shells_switches_are_kept_out() -> None:
    """A variable that would change what a cell measures does not reach a worker; any other does."""
    shell = {
        "PATH": "/bin",
        "MLFLOW_TRACE_SAMPLING_RATIO": "0.1",
        "MLFLOW_TRACKING_TOKEN": "t",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://elsewhere",
    }
    assert without_switches(shell) == {"PATH": "/bin", "MLFLOW_TRACKING_TOKEN": "t"}


def test_disabling_without_mlflow_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that never imported MLflow has nothing to disable, and does not import it for that."""
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    apply_switches(ExportConfig(disabled=True))
    assert "mlflow" not in sys.modules


@pytest.mark.parametrize(
    ("export", "share"),
    [({}, 1.0), ({"sampling_ratio": 0.25}, 0.25), ({"disabled": True}, 0.0), ({"otlp": True}, 1.0)],
)
def test_expected_share(export: dict[str, Any], share: float) -> None:
    """Which share of the calls leaves a trace follows from the switches."""
    assert expected_share(ExportConfig(**export)) == share


def config(**tracing: Any) -> HarnessConfig:
    """A configuration that is right but for its tracing."""
    provider = ProviderConfig(target="harness.providers.openai:OpenAIProvider")
    return HarnessConfig(provider=provider, tracing=TracingConfig(target="harness.tracing.none:NoTracing", **tracing))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("queue_size", -1, "tracing.export.queue_size=-1 is below 0"),
        ("workers", 0, "tracing.export.workers=0 is below 1"),
        ("batch_size", 0, "tracing.export.batch_size=0 is below 1"),
        ("interval_ms", 0, "tracing.export.interval_ms=0 is below 1"),
        ("buffer_size", 0, "tracing.export.buffer_size=0 is below 1"),
        ("buffer_ttl_s", 0, "tracing.export.buffer_ttl_s=0 is below 1"),
        ("sampling_ratio", 1.5, "tracing.export.sampling_ratio=1.5 is not between 0 and 1"),
        ("sampling_ratio", -0.1, "tracing.export.sampling_ratio=-0.1 is not between 0 and 1"),
        ("sampling_ratio", float("nan"), "tracing.export.sampling_ratio=nan is not between 0 and 1"),
    ],
)
def test_values_that_cannot_be(key: str, value: Any, said: str) -> None:
    """A value that MLflow would trip over, or quietly ignore, is refused in one sentence."""
    with pytest.raises(ConfigError) as refused:
        check_config(config(name="autolog", export=ExportConfig(**{key: value})))
    assert str(refused.value) == said


def test_no_tracing_has_no_switches() -> None:
    """A sweep over strategies may turn switches; they are blank where nothing is traced."""
    swept = config(name="none", style="context", depth="careful", export=ExportConfig(sampling_ratio=0.5))
    swept.endpoint.name = "simulator"
    check_config(swept)
    assert swept.tracing == TracingConfig(name="none", target="harness.tracing.none:NoTracing")


@pytest.mark.parametrize(
    ("name", "style", "depth", "left"),
    [
        ("around", "context", "careful", ("context", "")),
        ("both", "context", "careful", ("", "")),
        ("manual", "context", "careful", ("context", "careful")),
        ("mine", "own", "words", ("own", "words")),
    ],
)
def test_style_and_depth_stay_where_they_say_something(
    name: str, style: str, depth: str, left: tuple[str, str]
) -> None:
    """What has no effect on a strategy is blanked; a strategy of one's own takes what it is given."""
    swept = config(name=name, style=style, depth=depth)
    check_config(swept)
    assert (swept.tracing.style, swept.tracing.depth) == left


def test_around_needs_a_style() -> None:
    """An unknown style is refused with the options."""
    with pytest.raises(ConfigError, match=r"unknown style 'tap' in tracing.style; the options are: context, dec"):
        check_config(config(name="around", style="tap"))
