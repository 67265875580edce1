"""The main job as a person runs it: the command line, real SDKs, the real gateway, a real store.

Timing here is as small as it can be: these tests say what is there, not how fast it is.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.experiment.analysis import analyse_cell
from harness.processes import python_module
from harness.records import CellRecords, read_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

TINY = (
    "measure.forks=1",
    "measure.max_forks=1",
    "measure.blocks=2",
    "measure.calls_per_block=3",
    "measure.warmup_calls=3",
)
EXAMPLES = Path(__file__).parent.parent / "examples"


class Sweep(NamedTuple):
    """What a finished command line left."""

    done: subprocess.CompletedProcess[str]
    folder: Path
    client: MlflowClient
    parent: Run
    cells: list[Run]

    def artifact(self, run: Run, name: str) -> Path:
        return Path(self.client.download_artifacts(run.info.run_id, name))

    def records(self, run: Run) -> CellRecords:
        return read_cell(self.artifact(run, "records"))


def command_line(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        python_module("harness", *arguments),
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read(folder: Path, done: subprocess.CompletedProcess[str], uri: str | None = None) -> Sweep:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tracing-harness")
    assert experiment is not None, done.stderr
    runs = list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))
    parents = [run for run in runs if run.data.tags.get("harness.kind") == "sweep"]
    cells = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    return Sweep(done, folder, client, parents[0], cells)


def sweep(folder: Path, *arguments: str, uri: str | None = None) -> Sweep:
    process = command_line(folder, *arguments)
    out, err = process.communicate(timeout=230)
    return read(folder, subprocess.CompletedProcess(process.args, process.returncode, out, err), uri)


@pytest.fixture(scope="module")
def main_sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """One sweep over none and autolog, with both passes."""
    folder = tmp_path_factory.mktemp("main")
    return sweep(folder, "-m", "provider=openai", "tracing=none,autolog", "prompts=short", *TINY)


@pytest.fixture(autouse=True)
def begun_store(tmp_path: Path, begin_store: Callable[[Path], None]) -> None:
    """Sweeps in a test's own folder find a store; that they make one where there is none, the main sweep shows."""
    begin_store(tmp_path)


@pytest.fixture(scope="module")
def three_sdks(tmp_path_factory: pytest.TempPathFactory, begin_store: Callable[[Path], None]) -> Sweep:
    """Completeness alone, over all SDKs and backends."""
    folder = tmp_path_factory.mktemp("three")
    begin_store(folder)
    arguments = ("tracing=autolog", "prompts=short", "measure.timing=false")
    return sweep(folder, "-m", "provider=openai,mistralai,langchain", *arguments)


def test_a_sweep_ends_well(main_sweep: Sweep) -> None:
    """All cells run, the exit status is 0, and the table and the place of the report are printed."""
    assert main_sweep.done.returncode == 0, main_sweep.done.stderr
    assert "openai / autolog" in main_sweep.done.stdout
    assert "report.html" in main_sweep.done.stdout
    assert "make ui" in main_sweep.done.stdout


def test_one_parent_run_and_one_child_a_cell(main_sweep: Sweep) -> None:
    """The sweep has a run of its own that has ended, and each cell's run is its child."""
    assert main_sweep.parent.info.status == "FINISHED"
    assert [(run.data.params["provider"], run.data.params["tracing"]) for run in main_sweep.cells] == [
        ("openai", "none"),
        ("openai", "autolog"),
    ]
    assert {run.info.status for run in main_sweep.cells} == {"FINISHED"}


def test_params_and_metrics_have_the_names_that_scripts_rely_on(main_sweep: Sweep) -> None:
    """Params and metrics of a traced cell are there under their names."""
    autolog = main_sweep.cells[1].data
    assert {"provider", "provider.backend", "prompts", "tracing", "tracing.style", "endpoint", "measure"} <= set(
        autolog.params
    )
    assert {
        "completeness.recall",
        "completeness.otel_recall",
        "completeness.fidelity",
        "traces.expected",
        "traces.stored",
        "traces.lost",
        "overhead.cpu_ms_per_call",
        "overhead.drain_ms_per_trace",
        "overhead.stored_bytes_per_trace",
        "overhead.traces_lost",
    } <= set(autolog.metrics)
    assert autolog.metrics["traces.expected"] == autolog.metrics["traces.stored"] > 0
    assert "version.mlflow" in autolog.tags
    assert "version.openai" in autolog.tags
    assert autolog.tags["machine.cpu_count"] == str(os.cpu_count())


def test_where_the_time_went_is_told(main_sweep: Sweep) -> None:
    """A cell's stages are metrics, stand in its record with the writing itself, and in both reports."""
    for run in main_sweep.cells:
        record = main_sweep.records(run).cell
        assert {"starting", "completeness", "warm_up", "measuring", "counting", "writing"} <= set(record.stages_s)
        assert run.data.metrics["stages.measuring_s"] == record.stages_s["measuring"] > 0
        assert run.data.metrics["stages.not_measuring_share"] == record.not_measuring_share
    assert "### Where the time went" in main_sweep.artifact(main_sweep.parent, "report.md").read_text(encoding="utf-8")
    html = main_sweep.artifact(main_sweep.parent, "report.html").read_text(encoding="utf-8")
    assert "Time that was not measuring" in html


def test_every_measured_block_has_its_sample_of_the_machine(main_sweep: Sweep) -> None:
    """What the machine did meanwhile stands in the records of every cell."""
    for run in main_sweep.cells:
        records = main_sweep.records(run)
        measured = {(block.fork, block.position) for block in records.blocks if block.kind == "measured"}
        assert {(sample.fork, sample.position) for sample in records.machine} == measured


def test_one_fork_gives_no_interval(main_sweep: Sweep) -> None:
    """With fewer than four forks no interval is logged, and the report says why."""
    assert "overhead.p50_ci_low_ms" not in main_sweep.cells[1].data.metrics
    assert "floor.p50_ms" not in main_sweep.cells[1].data.metrics
    assert "fork" in main_sweep.artifact(main_sweep.parent, "report.md").read_text(encoding="utf-8")


def test_none_expects_no_traces_and_has_no_recall(main_sweep: Sweep) -> None:
    """The untraced cell stores nothing and is not given a score."""
    metrics = main_sweep.cells[0].data.metrics
    assert metrics["traces.expected"] == metrics["traces.stored"] == 0
    assert "completeness.recall" not in metrics


def test_the_untraced_worker_never_imports_mlflow(main_sweep: Sweep) -> None:
    """The weight of MLflow's import is in the traced arm alone."""
    arms = main_sweep.records(main_sweep.cells[1]).arms
    import_ns = {arm.arm: arm.import_cpu_ns for arm in arms}
    assert import_ns["strategy"] > 1.5 * import_ns["baseline"]


def test_memory_is_that_of_each_process(main_sweep: Sweep) -> None:
    """The traced process's peak is well above the untraced one's: neither shows the parent's."""
    memory = {arm.arm: arm.peak_memory_bytes for arm in main_sweep.records(main_sweep.cells[1]).arms}
    assert memory["strategy"] > 1.3 * memory["baseline"]


def test_both_arms_keep_to_one_core_that_is_not_the_gateways(main_sweep: Sweep) -> None:
    """The recorded affinity of both arms is the arms' core."""
    records = main_sweep.records(main_sweep.cells[1])
    assert {arm.cpus for arm in records.arms} == {records.cell.machine.arm_cpus}


def test_every_call_has_an_exchange_and_every_exchange_a_call(main_sweep: Sweep) -> None:
    """Calls of both passes and the gateway's exchanges match one to one."""
    for run in main_sweep.cells:
        records = main_sweep.records(run)
        ids = [exchange.call_id for exchange in records.exchanges]
        assert None not in ids
        assert len(ids) == len(set(ids))
        completeness = [name for name in ids if name and "/completeness/" in name]
        assert sorted(completeness) == sorted(call.call_id for call in records.calls)
        timed = sum(len(block.latency_ns) for block in records.blocks)
        assert len(ids) - len(completeness) >= timed


def test_the_timing_pass_keeps_no_texts(main_sweep: Sweep) -> None:
    """Timed exchanges hold times, sizes and digests; completeness exchanges hold what was said."""
    for exchange in main_sweep.records(main_sweep.cells[1]).exchanges:
        timed = "/timing/" in str(exchange.call_id)
        assert (exchange.request_body is None) == timed
        assert exchange.request_digest


def test_no_secret_is_recorded(main_sweep: Sweep) -> None:
    """Whatever the SDK sends as its key stands nowhere in the records."""
    folder = main_sweep.artifact(main_sweep.cells[1], "records")
    for path in folder.iterdir():
        assert "Bearer held" not in path.read_text(encoding="utf-8")
    headers = [exchange.request_headers for exchange in main_sweep.records(main_sweep.cells[1]).exchanges]
    assert all("redacted" in headers["authorization"] for headers in headers if headers)


def test_traces_belong_to_the_cell_and_its_run(main_sweep: Sweep) -> None:
    """Each trace names its call and sample, and the cell's run shows it."""
    records = main_sweep.records(main_sweep.cells[1])
    assert {trace.call_id for trace in records.traces} == {call.call_id for call in records.calls_of("strategy")}
    assert all(trace.metadata["harness.sample"] for trace in records.traces)
    linked = main_sweep.client.search_traces(
        locations=[main_sweep.parent.info.experiment_id], run_id=main_sweep.cells[1].info.run_id
    )
    assert {trace.info.trace_id for trace in linked} == {trace.trace_id for trace in records.traces}


def test_traces_are_told_apart_by_tags(main_sweep: Sweep) -> None:
    """People filter the trace table by cell, sample, strategy and sweep; a call's id is no tag."""
    records = main_sweep.records(main_sweep.cells[1])
    found = main_sweep.client.search_traces(
        locations=[main_sweep.parent.info.experiment_id],
        filter_string=f"tags.`harness.cell` = '{records.cell.cell_id}' AND tags.`harness.strategy` = 'autolog'",
    )
    assert {trace.info.tags["harness.sample"] for trace in found} == {sample.sample_id for sample in records.samples}
    for trace in found:
        assert trace.info.tags["harness.scenario"] in ("chat", "stream")
        assert trace.info.tags["harness.provider"] == "openai"
        assert trace.info.tags["harness.sweep_id"] == records.cell.sweep_id
        assert "harness.call_id" not in trace.info.tags


def test_latencies_of_blocks_are_steps_of_metrics(main_sweep: Sweep) -> None:
    """The line chart of a cell's run has one point for each measured block, at the block's place in the cell."""
    run = main_sweep.cells[1].info.run_id
    blocks = [block for block in main_sweep.records(main_sweep.cells[1]).blocks if block.kind == "measured"]
    steps = []
    for arm in ("strategy", "baseline"):
        history = main_sweep.client.get_metric_history(run, f"block.{arm}_p50_ms")
        assert len(history) == len([block for block in blocks if block.arm == arm])
        steps += [metric.step for metric in history]
    assert sorted(steps) == list(range(len(blocks)))


def test_a_cells_run_says_what_was_found(main_sweep: Sweep) -> None:
    """Its description has both verdicts and where their evidence stands, and its tags are there to group by."""
    tags = main_sweep.cells[1].data.tags
    for told in ("openai / autolog", "Completeness:", "Cost:", "facts.json"):
        assert told in tags["mlflow.note.content"]
    assert (tags["harness.strategy"], tags["harness.provider"]) == ("autolog", "openai")
    assert tags["harness.verdict"] == "not judged"
    tables = [one["path"] for one in json.loads(tags["mlflow.loggedArtifacts"])]
    assert set(tables) == {"facts.json", "differences.json", "eval_results_table.json"}


def test_figures_stand_beside_the_runs(main_sweep: Sweep) -> None:
    """The sweep has a table of its cells, each cell its latencies."""
    assert main_sweep.artifact(main_sweep.parent, "cells_table.json").exists()
    for run in main_sweep.cells:
        assert (main_sweep.artifact(run, "figures") / "latencies.svg").exists()


def test_outputs_are_evaluated_row_by_row(main_sweep: Sweep) -> None:
    """The evaluation table holds prompts, outputs and targets with a score each."""
    table = json.loads(main_sweep.artifact(main_sweep.cells[1], "eval_results_table.json").read_text(encoding="utf-8"))
    columns = table["columns"]
    for name in ("prompt", "output", "expected", "exact_match/score", "token_overlap/score", "latency_ms/score"):
        assert any(name in column for column in columns), columns
    exact = [row[columns.index("exact_match/score")] for row in table["data"]]
    assert len(exact) == len(main_sweep.records(main_sweep.cells[1]).calls_of("strategy"))
    assert set(exact) <= {0.0, 1.0, None}
    assert 1.0 in exact


def test_the_prompt_set_is_an_input(main_sweep: Sweep) -> None:
    """The cell's run names the prompt set as a dataset, with its digest."""
    inputs = main_sweep.cells[1].inputs
    assert inputs is not None
    digest = main_sweep.cells[1].data.tags["harness.prompt_set_digest"]
    assert [(given.dataset.name, given.dataset.digest) for given in inputs.dataset_inputs][:1] == [
        ("short", digest[:8])
    ]


def test_the_sweep_has_its_report(main_sweep: Sweep) -> None:
    """Report, Markdown and cells are artifacts, and the description begins with the verdict."""
    html = main_sweep.artifact(main_sweep.parent, "report.html").read_text(encoding="utf-8")
    assert "openai / autolog" in html
    cells = json.loads(main_sweep.artifact(main_sweep.parent, "cells.json").read_text(encoding="utf-8"))
    assert len(cells["cells"]) == 2
    assert "openai" in main_sweep.parent.data.tags["mlflow.note.content"].splitlines()[0]


def test_nothing_else_is_left_in_the_folder(main_sweep: Sweep) -> None:
    """Besides the store and its artifacts the current folder stays as it was."""
    assert {path.name for path in main_sweep.folder.iterdir()} <= {"mlflow.db", "mlartifacts"}


def test_the_report_is_made_anew_from_records(main_sweep: Sweep) -> None:
    """``harness report`` gives the same cells as the sweep did."""
    process = command_line(
        main_sweep.folder, "report", main_sweep.parent.data.tags["harness.sweep_id"], "--output", "again"
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err + out
    again = (main_sweep.folder / "again" / "cells.json").read_text(encoding="utf-8")
    assert again == main_sweep.artifact(main_sweep.parent, "cells.json").read_text(encoding="utf-8")
    for path in (main_sweep.folder / "again").iterdir():
        path.unlink()
    (main_sweep.folder / "again").rmdir()


def test_three_sdks_are_traced_by_autolog(three_sdks: Sweep) -> None:
    """Each SDK's cell ran, and recall is a share."""
    assert three_sdks.done.returncode == 0, three_sdks.done.stderr
    recalls = {run.data.params["provider"]: run.data.metrics["completeness.recall"] for run in three_sdks.cells}
    assert set(recalls) == {"openai", "mistralai", "langchain"}
    assert all(0 < recall <= 1 for recall in recalls.values())


def test_mistral_streams_are_found_untraced(three_sdks: Sweep) -> None:
    """MLflow's Mistral autolog leaves no trace of a stream: the harness has to notice."""
    cell = next(run for run in three_sdks.cells if run.data.params["provider"] == "mistralai")
    streams = sum(call.stream for call in three_sdks.records(cell).calls_of("strategy"))
    assert streams > 0
    assert cell.data.metrics["traces.lost"] == streams


def without_ids_and_times(value: Any) -> Any:
    """A cell's summary without what must differ between two sweeps."""
    if isinstance(value, dict):
        dropped = ("_id", "_ns", "run_id", "latency", "trace", "span", "hostname", "load", "sweep")
        return {key: without_ids_and_times(inner) for key, inner in value.items() if not any(d in key for d in dropped)}
    if isinstance(value, list):
        return [without_ids_and_times(inner) for inner in value]
    return value


@pytest.mark.calibration
def test_two_sweeps_with_one_seed_are_equally_complete(three_sdks: Sweep, tmp_path: Path) -> None:
    """The same seed gives the same completeness once ids and times are removed."""
    from harness.experiment.analysis import analyse_cell

    arguments = ("tracing=autolog", "prompts=short", "measure.timing=false")
    other = sweep(tmp_path, "-m", "provider=openai,mistralai,langchain", *arguments)

    def found(one: Sweep) -> list[Any]:
        results = [analyse_cell(one.records(run)).completeness for run in one.cells]
        return [
            [(j.sample_id, j.fact, j.convention, j.verdict, j.place) for j in result.judgements]
            for result in results
            if result is not None
        ]

    assert found(three_sdks) == found(other)
    assert len(found(other)) == 3


def test_a_failed_cell_is_a_result(tmp_path: Path) -> None:
    """The other cells run, the report names the reason, and the exit status is 1."""
    (tmp_path / "broken.py").write_text(
        "from harness.tracing.none import NoTracing\n"
        "class Broken(NoTracing):\n"
        "    def install(self, *args, **kwargs):\n"
        "        raise RuntimeError('the strategy fell over')\n",
        encoding="utf-8",
    )
    targets = "tracing.target=broken.py:Broken,harness.tracing.none:NoTracing"
    found = sweep(tmp_path, "-m", "tracing=custom", targets, "prompts=short", "measure.timing=false")
    assert found.done.returncode == 1
    assert "the strategy fell over" in found.done.stdout
    assert [run.info.status for run in found.cells] == ["FAILED", "FINISHED"]
    assert "the strategy fell over" in found.artifact(found.parent, "report.html").read_text(encoding="utf-8")
    assert found.parent.info.status == "FAILED"


def test_own_prompts_provider_and_strategy_work_from_files(tmp_path: Path) -> None:
    """A CSV, a provider and a strategy of one's own run without touching the package."""
    (tmp_path / "mine.csv").write_text("id,prompt,expected\none,Say one.,One\ntwo,Say two.,Two\n", encoding="utf-8")
    found = sweep(
        tmp_path,
        "provider=custom",
        "provider.name=mine",
        f"provider.target={EXAMPLES / 'own_provider.py'}:PlainHttp",
        "tracing=custom",
        "tracing.name=mine",
        f"tracing.target={EXAMPLES / 'own_strategy.py'}:TeamTag",
        "prompts.path=mine.csv",
        *TINY,
    )
    assert found.done.returncode == 0, found.done.stdout + found.done.stderr
    assert found.cells[0].data.params["prompts"] == "mine"
    assert found.cells[0].data.params["provider"] == "mine"
    records = found.records(found.cells[0])
    assert [call.text for call in records.calls_of("strategy")] == ["One", "Two"]
    assert found.cells[0].data.metrics["traces.stored"] == 2


@pytest.mark.calibration
def test_an_application_that_does_not_repeat_itself_is_not_blamed_on_tracing(tmp_path: Path) -> None:
    """A scenario of one's own runs untraced a second time: what it does not repeat, tracing did not change."""
    own = Path(__file__).parent.parent / "scenarios" / "own_scenario.py"
    line = {"id": "dice", "scenario": f"{own}:undecided", "messages": [{"role": "user", "content": "Is it?"}]}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    found = sweep(tmp_path, "provider=openai", "tracing=autolog", "prompts.path=mine.jsonl", "measure.timing=false")
    assert found.done.returncode == 0, found.done.stdout + found.done.stderr
    result = analyse_cell(found.records(found.cells[0])).completeness
    assert result is not None
    assert (result.traces_stored, result.transparency_compared, result.transparency) == (1, 1, ())
    assert any("does not repeat itself" in note for note in result.notes)


@pytest.mark.calibration
def test_a_server_can_be_the_store(tmp_path: Path, migrated_store: Path) -> None:
    """Runs, traces and artifacts go to an MLflow server as they go to a file."""
    import shutil
    import socket

    import httpx

    shutil.copyfile(migrated_store, tmp_path / "server.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *python_module("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"),
            *("--artifacts-destination", str(tmp_path / "artifacts")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                httpx.get(f"{uri}/health").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        arguments = ("tracing=autolog", "prompts=short", "prompts.limit=4", "measure.timing=false")
        found = sweep(tmp_path, "store=server", f"store.uri={uri}", *arguments, uri=uri)
        assert found.done.returncode == 0, found.done.stdout + found.done.stderr
        assert found.cells[0].data.metrics["traces.stored"] == 4
        assert "openai / autolog" in found.artifact(found.parent, "report.html").read_text(encoding="utf-8")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def descendants(pid: int) -> set[int]:
    """All processes below one, however many sessions deep."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found: set[int] = set()
    queue = [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            found.add(child)
            queue.append(child)
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run; zombies do not."""
    running = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z":
                running.add(pid)
        except OSError:
            continue
    return running


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in iter(process.stderr.readline, ""):
        if text in line:
            return
    pytest.fail(f"the command ended without saying {text!r}")


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """A folder for temporary files of one command, so that what it leaves can be seen."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before


def left_over(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith("harness-")]


@pytest.mark.calibration
@pytest.mark.timeout(1800)
def test_killing_the_parent_at_random_moments_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    """Ten times kill -9 at a random moment: nothing runs on, no folder is left, finished cells stay."""
    moments = random.Random(7)
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process = command_line(folder, "-m", "tracing=none,autolog", "prompts=short", *TINY)
        time.sleep(moments.uniform(1, 45))
        below = descendants(process.pid)
        process.kill()
        _, said = process.communicate()
        for _ in range(200):
            if not alive(below) and not left_over(temporary):
                break
            time.sleep(0.05)
        assert not alive(below)
        assert not left_over(temporary)
        finished = said.count(": ok")
        if "cell 1/2" in said:
            found = read(folder, subprocess.CompletedProcess([], 0, "", ""))
            ended = [run for run in found.cells if run.info.status == "FINISHED"]
            assert len(ended) >= finished
            assert all(found.records(run).calls for run in ended)


def kill(process: subprocess.Popen[str], temporary: Path) -> None:
    """Kill the command line with -9; every process below it ends, and no folder is left."""
    below = descendants(process.pid)
    assert below
    process.kill()
    process.communicate()
    for _ in range(200):
        if not alive(below) and not left_over(temporary):
            break
        time.sleep(0.05)
    assert not alive(below)
    assert not left_over(temporary)


def test_killing_the_parent_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    """Kill -9 while arms are timed leaves no process and no folder."""
    process = command_line(tmp_path, "tracing=none", "prompts=short", *TINY)
    wait_for_line(process, "timing, fork 1")
    kill(process, temporary)


@pytest.mark.calibration  # two sweeps: more than a minute
@pytest.mark.parametrize("moment", ["completeness", "timing, fork 1"])
def test_what_was_finished_when_the_parent_was_killed_stays(moment: str, tmp_path: Path, temporary: Path) -> None:
    """Kill -9 in the second cell: the first one stays in the store, and the next command ends what is left open."""
    process = command_line(tmp_path, "-m", "tracing=none,autolog", "prompts=short", *TINY)
    wait_for_line(process, "cell 2/2")
    wait_for_line(process, moment)
    kill(process, temporary)
    found = read(tmp_path, subprocess.CompletedProcess([], 0, "", ""))
    assert found.cells[0].info.status == "FINISHED"
    assert found.records(found.cells[0]).calls
    # The next command ends the runs that the killed one could not.
    sweep(tmp_path, "tracing=none", "prompts=short", "prompts.limit=1", "measure.timing=false")
    states = {run.info.run_id: run.info.status for run in found.client.search_runs([found.parent.info.experiment_id])}
    assert "RUNNING" not in states.values()


def test_a_gateway_that_dies_is_no_finding_about_tracing(tmp_path: Path) -> None:
    """The cell fails with the reason, and nothing is judged of what the dead gateway refused."""
    late = {"prompt": "Say one.", "script": [{"delay_ms": 1500}]}
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps({"id": f"s{number}", **late}) + "\n" for number in range(2)), encoding="utf-8")
    process = command_line(tmp_path, "tracing=none", f"prompts.path={own}", "measure.timing=false")
    wait_for_line(process, "completeness")
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(process.pid)}
    (gateway,) = (pid for pid, command in commands.items() if b"harness.gateway" in command)
    # In the second half the arm without tracing is at work.
    time.sleep(4.5)
    os.kill(gateway, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert "the gateway had ended with status -9" in out
    assert "changed" not in out


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path, temporary: Path) -> None:
    """SIGINT in the timing pass ends with the cell's records, a report, and nothing left running."""
    process = command_line(
        tmp_path, "-m", "tracing=autolog,none", "prompts=short", "measure.forks=2", "measure.blocks=2"
    )
    wait_for_line(process, "timing, fork 2")
    below = descendants(process.pid)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert not alive(below)
    assert not left_over(temporary)
    found = read(tmp_path, subprocess.CompletedProcess([], 130, out, err))
    records = found.records(found.cells[0])
    assert records.cell.status == "interrupted"
    assert records.calls
    assert {arm.fork for arm in records.arms} == {0}
    assert [run.info.status for run in found.cells] == ["KILLED"]
    assert found.parent.info.status == "KILLED"
    assert "interrupted" in found.artifact(found.parent, "report.md").read_text(encoding="utf-8")


@pytest.mark.calibration
def test_forks_are_added_until_the_budget_ends(tmp_path: Path) -> None:
    """A precision out of reach is paid for with forks up to ``max_forks``; the A/A cell gives the floor."""
    budget = ("measure.forks=4", "measure.max_forks=5", "measure.precision_ms=0.000001")
    calls = ("measure.blocks=1", "measure.calls_per_block=11", "measure.warmup_calls=3", "measure.period_ms=5")
    found = sweep(tmp_path, "tracing=none", "prompts=short", "prompts.limit=4", *budget, *calls)
    assert found.done.returncode == 0, found.done.stderr
    assert {arm.fork for arm in found.records(found.cells[0]).arms} == {0, 1, 2, 3, 4}
    assert found.records(found.cells[0]).cell.stopped_by == "max_forks"
    # What is known stands beside the number of the next fork, and once at the end.
    assert re.search(r"timing, fork 5; added p50 \S+ ms ± \S+, asked ± 1e-06", found.done.stderr)
    assert re.search(r"added p50 \S+ ms ± \S+, asked ± 1e-06 after 5 forks", found.done.stderr)
    html = found.artifact(found.parent, "report.html").read_text(encoding="utf-8")
    assert "stopped by measure.max_forks after 5 forks, half-width" in html
    metrics = found.cells[0].data.metrics
    assert metrics["overhead.p50_ci_low_ms"] <= metrics["overhead.p50_ms"] <= metrics["overhead.p50_ci_high_ms"]
    bounds = (metrics["overhead.p50_ci_low_ms"], metrics["overhead.p50_ci_high_ms"])
    assert metrics["floor.p50_ms"] == pytest.approx(max(abs(bound) for bound in bounds))
    assert (
        metrics["overhead.p50_ratio_ci_low"] <= metrics["overhead.p50_ratio"] <= metrics["overhead.p50_ratio_ci_high"]
    )
    assert metrics["floor.cpu_ms_per_call"] > 0
    assert "overhead.p95_ms" not in metrics


@pytest.mark.calibration
def test_a_cell_whose_calls_all_fail_is_a_failed_one(tmp_path: Path) -> None:
    """An endpoint that refuses every call fails the cell with the first error, and no timing is tried."""
    url = "endpoint.base_url=http://127.0.0.1:9/v1"
    found = sweep(tmp_path, "endpoint=url", url, "provider=mistralai", "prompts=short", "prompts.limit=2", *TINY)
    assert found.done.returncode == 1
    assert "every call failed, the first with" in found.done.stdout
    assert [run.info.status for run in found.cells] == ["FAILED"]
    assert "overhead.p50_ms" not in found.cells[0].data.metrics


@pytest.mark.calibration
def test_bad_input_that_a_worker_finds_ends_with_status_2(
    harness: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Autolog for a provider without a flavour is the person's to mend: one sentence, exit status 2."""
    target = f"provider.target={EXAMPLES / 'own_provider.py'}:PlainHttp"
    done = harness("provider=custom", target, "tracing=autolog", "prompts=short", "measure.timing=false")
    assert done.returncode == 2
    assert "flavo" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_exchange_without_a_call_id_fails_the_cell(
    tmp_path: Path, harness: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A provider that does not send the call id leaves a hole in the truth, and the cell says so."""
    (tmp_path / "silent.py").write_text(
        (EXAMPLES / "own_provider.py").read_text(encoding="utf-8").replace("[attach_call_id]", "[]"), encoding="utf-8"
    )
    done = harness(
        "provider=custom",
        "provider.target=silent.py:PlainHttp",
        "prompts=short",
        "prompts.limit=2",
        "measure.timing=false",
    )
    assert done.returncode == 1
    assert "without a call id" in done.stdout
