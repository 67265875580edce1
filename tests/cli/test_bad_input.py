from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.cli import main
from harness.cli.compose import compose_cells, options

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "offender", "options_named"),
    [
        ("provider=foo", "'foo'", "custom, langchain, mistralai, openai"),
        ("tracing=foo", "'foo'", "around, autolog, both, custom, manual, none"),
        ("measure=fast", "'fast'", "loss, quick, rigorous, standard"),
        ("endpoint=foo", "'foo'", "mistral, openai, replay, simulator, url"),
        ("store=foo", "'foo'", "server, sqlite"),
        ("prompts=foo", "'foo'", "chat, short, stream, traffic"),
        ("provider.bogus=1", "'bogus' in provider", "backend, model, name, target"),
        ("bogus=1", "'bogus'", "endpoint, measure, prompts, provider, runtime, seed, store, tracing"),
        ("+bogus=1", "'bogus'", "endpoint, measure, prompts, provider, runtime, seed, store, tracing"),
        ("+provider.bogus=1", "'bogus' in provider", "backend, model, name, target"),
        ("seed=abc", "seed", "Integer"),
        ("~seed", "seed has no value", "seed=VALUE"),
        ("measure.forks=0", "measure.forks=0", "below 1"),
        ("tracing=manual tracing.style=foo", "'foo' in tracing.style", "context, decorator, wrapper"),
        ("tracing=manual tracing.depth=foo", "'foo' in tracing.depth", "careful, plain"),
        ("provider=langchain provider.backend=foo", "'foo' in provider.backend", "mistralai, openai"),
        ("provider.backend=mistralai", "provider.backend=mistralai", "langchain"),
        ("provider=openai,mistralai", "asks for several cells", "put -m first"),
        ("-m provider=openai,foo", "'foo'", "custom, langchain, mistralai, openai"),
        ("provider=[a", "'provider=[a'", "KEY=VALUE"),
        ("provider=custom", "provider.target has no value", "provider.target=VALUE"),
        ("provider=custom provider.target=nope.py:X", "nope.py", "no file"),
        ("provider=custom provider.target=nopackage.mod:X", "'nopackage'", "no package"),
        ("provider=custom provider.target=foo", "'foo'", "package.module:Class"),
        ("endpoint=url", "endpoint.base_url", "http://127.0.0.1:8000/v1"),
        ("endpoint=url endpoint.base_url=foo", "'foo' is not a URL", "http://127.0.0.1:8000/v1"),
        ("provider=mistralai endpoint=openai", "endpoint=openai", "endpoint=simulator"),
        ("endpoint=url endpoint.base_url=http://me:secret@127.0.0.1/v1", "endpoint.base_url", "endpoint.key_env"),
        ("tracing=custom tracing.name=none tracing.target=a.b:C", "tracing.name=none", "another name"),
        ("tracing=autolog tracing.level=foo", "'foo' in tracing.level", "disabled, dropped, exported, sampled_out"),
        ("tracing=autolog tracing.against=foo", "'foo' in tracing.against", "disabled, dropped, exported, sampled_out"),
        ("tracing=autolog tracing.into=foo", "'foo' in tracing.into", "collector, server, sqlite"),
        ("tracing=none tracing.into=foo", "'foo' in tracing.into", "collector, server, sqlite"),
        ("tracing=none tracing.against=dropped", "tracing.against=dropped cannot be with tracing=none", "autolog"),
        ("tracing=autolog tracing.level=untraced", "tracing.level=untraced", "tracing=none"),
        (
            "tracing=autolog tracing.level=disabled tracing.against=dropped",
            "tracing.against=dropped is not below tracing.level=disabled",
            "untraced, disabled, sampled_out, dropped, exported",
        ),
        ("tracing=autolog tracing.against=exported", "tracing.against=exported is not below", "untraced, disabled"),
        (
            "tracing=autolog tracing.level=dropped tracing.export.sampling_ratio=0.5",
            "tracing.export.sampling_ratio=0.5 cannot be with tracing.level=dropped",
            "leave it out",
        ),
        (
            "tracing=autolog tracing.against=disabled tracing.export.disabled=true",
            "tracing.export.disabled=true cannot be with",
            "leave it out",
        ),
        ("tracing=autolog tracing.level=dropped tracing.into=server", "tracing.into=server has no effect", "exported"),
        (
            "tracing=autolog tracing.level=dropped tracing.export.otlp=true",
            "tracing.export.otlp=true has no effect",
            "exported",
        ),
        (
            "tracing=autolog tracing.into=collector tracing.export.asynchronous=false",
            "tracing.export.asynchronous=false has no effect with tracing.into=collector",
            "tracing.into=sqlite or tracing.into=server",
        ),
        (
            "tracing=autolog tracing.into=collector tracing.export.otlp=true",
            "tracing.export.otlp=true",
            "choose one of them",
        ),
        (
            "tracing=autolog tracing.into=server runtime.packages=[mlflow==3.10.1]",
            "tracing.into=server cannot be with another mlflow",
            "tracing.into=sqlite",
        ),
        ("levels", "tracing=none", "tracing=autolog"),
        ("levels tracing=autolog,none", "tracing=none", "tracing=autolog"),
        ("levels tracing=autolog tracing.level=dropped", "tracing.level=dropped cannot be given", "leave it out"),
        ("levels tracing=autolog tracing.into=server", "tracing.into=server cannot be given", "leave it out"),
        ("levels tracing=autolog --into foo", "'foo' in --into", "collector, server, sqlite"),
        ("levels tracing=autolog measure.timing=false", "measure.timing=false", "another measure"),
        ("levels tracing=autolog provider=foo", "'foo'", "custom, langchain, mistralai, openai"),
        ("measure.period_ms=nan", "measure.period_ms=nan", "below 0"),
        ("measure.max_load=0", "measure.max_load=0", "not above 0"),
        ("measure.budget_s=-1", "measure.budget_s=-1.0", "below 0"),
        ("measure.gc=never", "'never' in measure.gc", "freeze, off, on"),
        ("measure.hash_seed=-1", "measure.hash_seed=-1", "between 0 and 4294967295"),
        ("measure.hash_seed=4294967296", "measure.hash_seed=4294967296", "between 0 and 4294967295"),
        ("measure.idle=doze", "measure.idle", "poll, sleep"),
        ("measure.pin=perhaps", "measure.pin", "perhaps"),
        ("measure.losses=foo", "'foo' in measure.losses", "SIGKILL, SIGTERM, all, burst, drain, exception, fork"),
        ("measure.losses=[drain,foo]", "'foo' in measure.losses", "normal, os._exit, sys.exit"),
        ("measure.losses=3", "'3' in measure.losses", "all, burst, drain"),
        ("measure.burst_calls=0", "measure.burst_calls=0", "below 1"),
        ("measure.ending_calls=0", "measure.ending_calls=0", "below 1"),
        ("measure.loads=foo", "'foo' in measure.loads", "all, asyncio:N (N from 1 to 256), chunks:N"),
        ("measure.loads=[threads:8,payload:0]", "'payload:0' in measure.loads", "payload:N (N from 1 to 4000000)"),
        ("measure.loads=threads", "'threads' in measure.loads", "threads:N (N from 1 to 256)"),
        ("measure.loads=3", "'3' in measure.loads", "saturation"),
        ("measure.loads=all measure.timing=false", "measure.loads=all", "measure.timing=true"),
        ("measure.load_calls=0", "measure.load_calls=0", "below 1"),
        ("measure.saturation_step_s=0", "measure.saturation_step_s=0", "not above 0"),
        ("measure.saturation_max_s=nan", "measure.saturation_max_s=nan", "not above 0"),
        ("endpoint.latency.kind=foo", "'foo'", "fixed, lognormal, none"),
        ("prompts.path=nope.jsonl", "nope.jsonl", "no such file"),
        ("prompts.limit=0", "prompts.limit", "at least 1"),
        ("endpoint=replay", "endpoint.path is needed", "a cell's folder of records"),
        ("endpoint=replay endpoint.path=nowhere", "nowhere", "no such file or folder"),
        ("endpoint=replay endpoint.path=Makefile", "Makefile is no recording", "'request' and 'response'"),
        ("endpoint=replay endpoint.path=. endpoint.timing=fast", "'fast'", "none, recorded, simulated"),
        ("endpoint=replay endpoint.path=. prompts.path=mine.jsonl", "prompts.path='mine.jsonl'", "from the recording"),
        (
            "endpoint=replay endpoint.path=. endpoint.latency.kind=fixed",
            "endpoint.latency.kind=fixed",
            "endpoint.timing=simulated",
        ),
        ("endpoint.path=x.json", "endpoint.path='x.json'", "endpoint=replay"),
        ("prompts.scenario=Two", "prompts.scenario", "a name such as 'stream'"),
        ("store=server", "store.uri has no value", "store.uri=VALUE"),
        ("frobnicate", "unknown verb 'frobnicate'", "report"),
        ("--frob", "unknown flag '--frob'", "--help"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    arguments: str, offender: str, options_named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message is one line that names the offender and the options; the exit status is 2."""
    status = main(arguments.split())
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert offender in printed.err
    assert options_named in printed.err


def test_a_missing_key_names_its_variable(harness: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A cloud endpoint without its key is refused before anything runs, naming the environment variable."""
    done = harness("endpoint=openai", OPENAI_API_KEY="")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_key_that_no_header_can_carry_is_refused_unseen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key with a line end is refused by the name of its variable, and the key is not printed."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret\r")
    assert main(["endpoint=openai"]) == 2
    printed = capsys.readouterr().err
    assert "OPENAI_API_KEY" in printed
    assert "very-secret" not in printed


@pytest.fixture
def store_of_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line in this process sets MLflow's store; importing MLflow anew would take seconds each time."""
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(uri)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////nowhere/at/all/mlflow.db", "foo://bar"])
@pytest.mark.usefixtures("store_of_before")
def test_a_store_that_cannot_be_used_is_named(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that does not answer, or lies where nobody can write, is refused in one sentence with its URI."""
    assert main([f"store.uri={uri}"]) == 2
    said = capsys.readouterr().err
    assert uri in said
    assert "Traceback" not in said


@pytest.mark.usefixtures("store_of_before")
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is another kind of file is refused, and the file stays as it is."""
    path = tmp_path / "notes.db"
    path.write_text("not a database")
    assert main([f"store.uri=sqlite:///{path}"]) == 2
    assert "not a SQLite database" in capsys.readouterr().err
    assert path.read_text() == "not a database"


def test_help_names_every_group_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists each group with its options, and an example."""
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for group, names in options().items():
        assert f"{group:<10} {', '.join(names)}" in printed
    assert "harness -m provider=openai,mistralai,langchain tracing=none,manual,autolog" in printed


def test_a_sweep_is_expanded_in_hydras_order() -> None:
    """Nine cells come from three providers and three strategies, the last group fastest."""
    cells = compose_cells(["provider=openai,mistralai,langchain", "tracing=none,manual,autolog"], multirun=True)
    assert [(cell.provider.name, cell.tracing.name) for cell in cells] == [
        (provider, tracing)
        for provider in ("openai", "mistralai", "langchain")
        for tracing in ("none", "manual", "autolog")
    ]


def test_style_has_no_effect_where_there_is_none() -> None:
    """A style set for a sweep over all strategies stays with manual tracing."""
    cells = compose_cells(
        ["tracing=none,manual,autolog", "tracing.style=context", "tracing.depth=careful"], multirun=True
    )
    assert [(cell.tracing.style, cell.tracing.depth) for cell in cells] == [("", ""), ("context", "careful"), ("", "")]
