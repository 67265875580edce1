from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from harness.results import FactCount, RowScore
from harness.tracking import Store
from harness.tracking.figures import LATENCIES_FILE, cell_figures
from harness.tracking.links import NOTE_LIMIT, with_links
from harness.tracking.tables import SWEEP_FILE, fact_table, sweep_table, table_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.report.conftest import MakeSweep


def test_facts_of_cells_have_the_same_first_column(make_sweep: MakeSweep) -> None:
    """By it MLflow's UI holds one cell's facts against another's; convention and level keep its entries apart."""
    found = make_sweep().cells[1].completeness
    assert found is not None
    leveled = FactCount(fact="usage", convention="otel", level="opt_in", recorded=1, elsewhere=2, wrong=0, missing=0)
    table = fact_table(found.model_copy(update={"facts": (*found.facts, leveled)}))
    assert table is not None
    assert len(set(table["fact"])) == len(table["fact"])
    words = dict(zip(table["fact"], table["verdicts"], strict=True))
    assert words["mlflow trace.one_per_call"] == "recorded"
    assert words["mlflow response.finish_reason"] == "24 of 40 calls recorded, 16 of 40 calls missing"
    assert words["otel opt_in usage"] == "1 of 3 calls recorded, 2 of 3 calls elsewhere"


def test_nothing_judged_is_no_table(make_sweep: MakeSweep) -> None:
    """An empty table would say less than none."""
    untraced = make_sweep().cells[0].completeness
    assert untraced is not None
    assert fact_table(untraced) is None


def test_latency_that_is_not_judged_is_not_in_the_sweeps_table(make_sweep: MakeSweep) -> None:
    """Where traces were lost the row has the verdict and no number; a failed cell has its status alone."""
    table = sweep_table(make_sweep())
    assert table is not None
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    assert [(row["verdict"], row["added_p50_ms"] is None) for row in rows[2:5]] == [
        ("slower", False),
        ("equivalent", False),
        ("not judged", True),
    ]
    failed = next(row for row in rows if row["status"] == "failed")
    assert {key for key, value in failed.items() if value} == {
        "cell", "found", "provider", "strategy", "prompts", "endpoint", "status",
    }  # fmt: skip


def test_table_is_what_the_ui_reads(make_sweep: MakeSweep) -> None:
    """Columns and rows, as ``log_table`` writes them, with what was not measured as null."""
    table = sweep_table(make_sweep())
    assert table is not None
    read = json.loads(table_text(table))
    assert read["columns"][:2] == ["cell", "found"]
    assert len(read["data"]) == 9
    assert {len(row) for row in read["data"]} == {len(read["columns"])}


def test_figures_are_files_of_their_own(make_sweep: MakeSweep) -> None:
    """Each is XML with a size and every colour that it uses, in both colour schemes, and loads nothing."""
    sweep = make_sweep()
    cells = cell_figures(sweep)
    assert set(cells) == {cell.run_id for cell in sweep.cells if cell.latencies}
    for text in (figures[LATENCIES_FILE] for figures in cells.values()):
        root = ET.fromstring(text)  # noqa: S314  # our own
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.attrib["width"]) > 100
        style = text[text.index("<style>") : text.index("</style>")]
        for variable in set(re.findall(r"var\((--\w+)\)", text)):
            assert style.count(f"{variable}:") >= (1 if variable == "--sans" else 2), variable
        assert not re.search(r"(href=\"|url\()(?!#)", text.replace("http://www.w3.org/", ""))


def test_making_a_report_again_replaces_tables_and_figures(
    make_sweep: MakeSweep, store_uri: str, tmp_path: Path
) -> None:
    """``harness report`` may be asked for again and again; the table keeps one row a cell."""
    store = Store(store_uri, "again")
    runs = [store.start_run(f"cell {index}", {}) for index in range(9)]
    sweep = make_sweep()
    known = [cell.model_copy(update={"run_id": run}) for cell, run in zip(sweep.cells, runs, strict=True)]
    sweep = sweep.model_copy(update={"cells": tuple(known)})
    parent = store.start_run("sweep", {})
    for _ in range(2):
        store.log_sweep(parent, sweep, "What was found.")
    path = store.client.download_artifacts(parent, SWEEP_FILE, str(tmp_path))
    with open(path, encoding="utf-8") as file:  # noqa: PTH123  # MLflow gives a text
        assert len(json.load(file)["data"]) == 9
    tag = store.client.get_run(parent).data.tags["mlflow.loggedArtifacts"]
    assert json.loads(tag) == [{"path": SWEEP_FILE, "type": "table"}]
    assert [file.path for file in store.client.list_artifacts(runs[1], "figures")] == [LATENCIES_FILE]


def row(sample: str, trace: str | None) -> RowScore:
    """A call of a sample, with its trace."""
    values = dict.fromkeys(("prompt", "output", "expected", "exact_match", "token_overlap", "error"))
    return RowScore.model_validate({**values, "prompt": "p", "sample_id": sample, "latency_ms": 1.0, "trace_id": trace})


def test_description_ends_with_links(make_sweep: MakeSweep) -> None:
    """They lead to the report, the cells and the traces."""
    sweep = make_sweep()
    traced = [
        cell.model_copy(update={"rows": (row("a]b", f"tr-{index}"), row("c", None))} if cell.rows else {})
        for index, cell in enumerate(sweep.cells)
    ]
    note = with_links("Found.\n", sweep.model_copy(update={"cells": tuple(traced)}), "7", "r0")
    assert note.startswith(
        "Found.\n\n**Look closer:** [the whole report](#/experiments/7/runs/r0/artifacts/report.html)"
    )
    links = re.findall(r"\[((?:\\.|[^\]\\])*)\]\((\S+?)\)", note)
    assert [words for words, _ in links] == [
        "the whole report",
        "the cells in charts",
        "their tables",
        "the traces",
        "the cells side by side",
    ]


def test_untraced_sweep_has_no_link_to_traces(make_sweep: MakeSweep) -> None:
    """A link leads nowhere that is empty."""
    assert "traces" not in with_links("Found.\n", make_sweep(), "7", "r0")


def test_long_description_has_the_links_that_fit(make_sweep: MakeSweep) -> None:
    """MLflow takes no more than its limit of a description, and what was found comes first."""
    for length in (NOTE_LIMIT - 10, NOTE_LIMIT - 200, NOTE_LIMIT - 300):
        note = with_links("x" * length, make_sweep(), "7", "r0")
        assert note.startswith("x" * length)
        assert len(note) <= NOTE_LIMIT
        assert ("Look closer" in note) == (length < NOTE_LIMIT - 10)
