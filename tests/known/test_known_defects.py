"""What MLflow 3.17.2 is known to get wrong with today's SDKs is found by real cells, with its evidence.

Each test asserts a finding. On the day a newer MLflow mends one, the test fails and says so: the
row in ``harness/completeness/known.py`` then goes, and the changelog names the version.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mlflow
import pytest

from harness.cli.sweep import read_sweep
from harness.completeness.known import KNOWN, KNOWN_LOSSES
from harness.processes import python_module
from harness.prompts import builtin_path
from harness.tracking import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import CellResult, DefectFinding


class Sought(NamedTuple):
    """Where a defect is looked for, and what its evidence has to be.

    Attributes:
        cell: Provider and strategy.
        wire: What the wire shows, as text, or a part of it.
        traced: What the trace shows, as text, or a part of it.
        traced_calls: Whether the evidence has a trace; ``False`` where the defect is that there is none.
    """

    cell: str
    wire: str
    traced: str
    traced_calls: bool = True


SOUGHT: dict[str, Sought] = {
    "openai_stream_left_untraced": Sought("openai / autolog [otlp=true]", "events", "no trace", traced_calls=False),
    "openai_streamed_tool_calls_lost": Sought("openai / autolog [otlp=true]", "best_run", "only in events"),
    "openai_stream_finish_reason_stop": Sought("openai / autolog [otlp=true]", "length", "stop"),
    "openai_stream_without_usage_no_tokens": Sought("openai / autolog [otlp=true]", "without usage", "None"),
    "openai_embeddings_usage_not_lifted": Sought("openai / autolog [otlp=true]", "", ""),
    "retries_invisible": Sought("openai / autolog [otlp=true]", "3", "None"),
    "long_stream_loses_chunk_events": Sought("openai / autolog [otlp=true]", "323", "128"),
    "openai_request_model_is_answering": Sought(
        "openai / autolog [otlp=true]", "gpt-4o-mini", "gen_ai.request.model: "
    ),
    "openai_stream_error_null_output": Sought("openai / autolog [otlp=true]", "", "None"),
    "openai_raw_stream_repr": Sought("openai / autolog [otlp=true]", "Hej", "<APIResponse"),
    "mistral_streams_untraced": Sought("mistralai / autolog [otlp=true]", "events", "no trace", traced_calls=False),
    "mistral_embeddings_untraced": Sought(
        "mistralai / autolog [otlp=true]", "status 200", "no trace", traced_calls=False
    ),
    "mistral_model_asked_not_answering": Sought(
        "mistralai / autolog [otlp=true]", "mistral-small-2", "mistral-small-latest"
    ),
    "mistral_wait_for_returns_none": Sought("mistralai / autolog [otlp=true]", "Error", "ok: null", traced_calls=False),
    "langchain_drops_answer_facts": Sought("langchain (openai) / autolog [otlp=true]", "chatcmpl-", "None"),
    "langchain_cancelled_untraced": Sought(
        "langchain (openai) / autolog [otlp=true]", "", "no trace", traced_calls=False
    ),
    "threads_split_trace": Sought("openai / around decorator [queue_size=20]", "1", "traces"),
    "decorated_generator_left_lost": Sought(
        "openai / manual decorator/plain [queue_size=20]", "3 chunks read", "no trace", traced_calls=False
    ),
}
LOSSES = ("os_exit_loses_queued", "sigterm_loses_queued", "burst_loses_traces")


# A short queue overflows in a short burst; MLflow's own takes two thousand calls, and its loss is the same.
SWEEPS = (
    "-m provider=openai,mistralai,langchain tracing=autolog tracing.export.otlp=true prompts=traffic",
    (
        "-m provider=openai tracing=around,manual tracing.export.queue_size=20 prompts.path=few.jsonl"
        " measure.losses=[os._exit,SIGTERM,burst] measure.burst_calls=150"
    ),
)
FEW = ("turn-one", "stream-left", "threads")


class Found(NamedTuple):
    """The sweeps that look for all of them.

    Attributes:
        cells: By label.
        reports: The Markdown reports of the sweeps, together.
    """

    cells: dict[str, CellResult]
    reports: str

    def finding(self, label: str, defect: str) -> DefectFinding | None:
        """What a cell says of a defect; ``None`` if it could not show it."""
        completeness = self.cells[label].completeness
        assert completeness is not None, self.cells[label].cell.reason
        return next((one for one in completeness.defects if one.defect == defect), None)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, begin_store: Callable[[Path], None]) -> Found:
    """Cells over every shape of traffic, through the command line and a store of their own."""
    folder = tmp_path_factory.mktemp("known")
    begin_store(folder)
    lines = builtin_path("traffic").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "few.jsonl").write_text("".join(line for line in lines if json.loads(line)["id"] in FEW), "utf-8")
    for arguments in SWEEPS:
        done = subprocess.run(
            python_module("harness", *arguments.split(), "measure.timing=false"),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    store = Store(f"sqlite:///{folder / 'mlflow.db'}", "tracing-harness")
    cells: dict[str, CellResult] = {}
    reports = []
    for sweep_id in store.sweep_ids():
        run = store.find_sweep(sweep_id)
        assert run is not None
        cells |= {cell.cell.label: cell for cell in read_sweep(store, run.info.run_id).cells}
        path = store.client.download_artifacts(run.info.run_id, "report.md", str(folder))
        reports.append(Path(path).read_text(encoding="utf-8"))
    return Found(cells, "\n".join(reports))


def test_every_known_defect_is_looked_for() -> None:
    """A row without a test is a claim that nobody checks."""
    forked = {"forked_child_stores_nothing"}  # it never ends: tests/experiment/test_losses.py waits for it
    assert {row.name for row in KNOWN} == set(SOUGHT)
    assert {row.name for row in KNOWN_LOSSES} == set(LOSSES) | forked


@pytest.mark.calibration  # a sweep over every shape of traffic: minutes
@pytest.mark.timeout(500)
@pytest.mark.parametrize("defect", SOUGHT)
def test_a_known_defect_is_found_with_its_evidence(found: Found, defect: str) -> None:
    """The scenario shows it, and the finding names the trace, the wire's value and the traced one."""
    sought = SOUGHT[defect]
    finding = found.finding(sought.cell, defect)
    assert finding is not None, f"no call of {sought.cell} could show it"
    assert finding.status == "found", f"MENDED in mlflow {mlflow.__version__}: {finding.title}. Take the row out."
    assert 0 < finding.calls <= finding.applicable
    assert sought.wire in str(finding.wire)
    assert sought.traced in str(finding.traced)
    assert finding.call_id
    assert (finding.trace_id is not None) == sought.traced_calls


@pytest.mark.calibration  # a sweep over every shape of traffic: minutes
@pytest.mark.timeout(500)
@pytest.mark.parametrize("defect", LOSSES)
def test_what_an_abrupt_end_loses_is_found(found: Found, defect: str) -> None:
    """Traces that are queued when the process ends are counted as lost, and named as a known defect."""
    finding = found.finding("openai / manual decorator/plain [queue_size=20]", defect)
    assert finding is not None
    assert finding.status == "found", f"MENDED in mlflow {mlflow.__version__}: {finding.title}. Take the row out."


@pytest.mark.calibration  # a sweep over every shape of traffic: minutes
@pytest.mark.timeout(500)
@pytest.mark.parametrize("defect", [*SOUGHT, *LOSSES])
def test_the_report_names_it(found: Found, defect: str) -> None:
    """A person reads the defect's title in the report, as found."""
    titles = {row.name: row.title for row in KNOWN} | {row.name: row.title for row in KNOWN_LOSSES}
    assert titles[defect] in unescaped(found.reports)


@pytest.mark.calibration  # a sweep over every shape of traffic: minutes
@pytest.mark.timeout(500)
def test_cancellation_is_reported_as_changed_by_tracing(found: Found) -> None:
    """A call that should have been cancelled and gave None is the gravest kind of finding."""
    completeness = found.cells["mistralai / autolog [otlp=true]"].completeness
    assert completeness is not None
    changed = {(one.sample_id, one.aspect) for one in completeness.transparency}
    assert changed == {("cancel", "cancellation"), ("wait-for", "cancellation")}


@pytest.mark.calibration  # a sweep over every shape of traffic: minutes
@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    "label",
    [
        "openai / autolog [otlp=true]",
        "langchain (openai) / autolog [otlp=true]",
        "openai / around decorator [queue_size=20]",
        "openai / manual decorator/plain [queue_size=20]",
    ],
)
def test_nothing_else_changes_what_the_application_gets(found: Found, label: str) -> None:
    """Where tracing changes nothing, the comparison of both arms blames nothing."""
    completeness = found.cells[label].completeness
    assert completeness is not None
    assert completeness.transparency == ()
    assert completeness.transparency_compared


def unescaped(markdown: str) -> str:
    """Markdown without the backslashes that keep its signs from meaning something."""
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", markdown)
