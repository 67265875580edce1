"""``harness list`` and ``harness compare`` as a person uses them: real sweeps in a real store."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.cli import main
from harness.processes import python_module

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = "<script>alert('from a prompt')</script>"
WAIT_S = 300.0

pytestmark = pytest.mark.timeout(3 * WAIT_S)


class Done(NamedTuple):
    """How a command line ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Lived(NamedTuple):
    """A folder with a store that has two sweeps: manual and autolog in plain, then autolog alone."""

    folder: Path
    first: str
    second: str

    def run(self, *arguments: str) -> Done:
        return run_in(self.folder, *arguments)

    def cells(self, sweep: str) -> dict[str, str]:
        """Strategy to the cell's id."""
        listed = json.loads(self.run("list", sweep, "--json").stdout)
        return {cell["strategy"]: cell["id"] for cell in listed}


def run_in(folder: Path, *arguments: str) -> Done:
    """Run the command line in this process: importing MLflow anew takes seconds each time."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            status = main(arguments)
        except SystemExit as stop:  # how argparse leaves
            status = int(stop.code or 0)
    return Done(status, stdout.getvalue(), stderr.getvalue())


def run_alone(folder: Path, *arguments: str, **environment: str) -> Done:
    """Run it in a process of its own."""
    done = subprocess.run(
        python_module("harness", *arguments),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, begin_store: Callable[[Path], None]) -> Lived:
    folder = tmp_path_factory.mktemp("lived")
    begin_store(folder)
    prompts = [{"id": "nasty", "prompt": f"Say {SCRIPT} | `x`"}, {"id": "plain", "prompt": "Say hi."}]
    text = "".join(json.dumps(prompt) + "\n" for prompt in prompts)
    (folder / "mine.jsonl").write_text(text, encoding="utf-8")
    usual = ("prompts.path=mine.jsonl", "measure.timing=false")
    for arguments in (("-m", "tracing=manual,autolog", *usual), ("tracing=autolog", *usual)):
        done = run_alone(folder, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    sweeps = json.loads(run_in(folder, "list", "--json").stdout)
    return Lived(folder, sweeps[1]["id"], sweeps[0]["id"])


def artifacts(lived: Lived, sweep: str, path: str) -> dict[str, str]:
    """The artifacts under a path of a sweep's run, by name."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{lived.folder / 'mlflow.db'}")
    (run_id,) = [one["run_id"] for one in json.loads(lived.run("list", "--json").stdout) if one["id"] == sweep]
    folder = Path(client.download_artifacts(run_id, path))
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}


def test_list_shows_the_latest_first_in_lines_for_scripts(lived: Lived) -> None:
    """One tab-separated line a sweep under a heading, and nothing else on standard output."""
    done = lived.run("list")
    assert done.returncode == 0, done.stderr
    heading, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert heading == ["id", "name", "when", "cells", "providers", "strategies", "prompts", "measure", "run id"]
    assert [row[0] for row in rows] == [lived.second, lived.first]
    assert [row[3] for row in rows] == ["1 ok", "2 ok"]
    assert rows[1][5] == "manual decorator/plain, autolog"
    assert rows[1][4] == "openai"


def test_list_shows_the_cells_of_a_sweep(lived: Lived) -> None:
    """By the sweep's name or the beginning of its id; the ids are what compare takes."""
    done = lived.run("list", lived.first[:6])
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    assert [row[1] for row in rows] == ["openai / manual decorator/plain", "openai / autolog"]
    assert lived.run("list", f"sweep {lived.first}").stdout == done.stdout


def test_list_says_what_to_do_where_there_is_none(lived: Lived) -> None:
    """An experiment without sweeps names those that have some, and is not made."""
    done = lived.run("list", "store.experiment=nothing")
    assert (done.returncode, done.stdout) == (0, "")
    assert "There is no sweep in experiment 'nothing'" in done.stderr
    assert "make run" in done.stderr
    assert "'tracing-harness' (2 sweeps)" in done.stderr
    assert "'nothing'" not in lived.run("list").stderr
    assert json.loads(lived.run("list", "--json", "store.experiment=nothing").stdout) == []


def test_two_sweeps_are_compared_and_kept_in_mlflow(lived: Lived) -> None:
    """The same strategy twice: nothing changed; the page lies with the second sweep."""
    done = lived.run("compare", lived.first, "latest", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# What changed from A to B\n")
    assert "Nothing that could be told." in done.stdout
    assert "openai / manual decorator/plain" in done.stdout
    assert "1 cell of A is not in B, and not compared" in done.stdout
    assert (lived.folder / "out" / "compare.md").read_text(encoding="utf-8") == done.stdout
    kept = artifacts(lived, lived.second, f"compare/{lived.first}")
    assert kept["compare.md"] == done.stdout
    assert kept["compare.html"] == (lived.folder / "out" / "compare.html").read_text(encoding="utf-8")


def test_two_cells_are_compared_in_both_directions(lived: Lived) -> None:
    """Autolog records what plain manual tracing does not, and the other way round; a prompt's script is text."""
    cells = lived.cells(lived.first)
    manual, autolog = cells["manual decorator/plain"], cells["autolog"]
    there = lived.run("compare", manual, autolog, "--output", "cells", "--no-log")
    back = lived.run("compare", autolog, manual, "--no-log")
    assert (there.returncode, back.returncode) == (0, 0), there.stderr + back.stderr
    assert "In MLflow" not in there.stderr
    assert "recall went from" in there.stdout
    better = [line for line in there.stdout.splitlines() if line.startswith("- **better")]
    assert any("usage.input\\_tokens" in line for line in there.stdout.splitlines() if "missing → recorded" in line)
    assert better
    assert any("recorded → missing" in line for line in back.stdout.splitlines())
    html = (lived.folder / "cells" / "compare.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert re.search(r"(?<!\\)<script", there.stdout) is None


def test_a_cell_finds_its_partner_in_a_sweep(lived: Lived) -> None:
    """Of the sweep's cells the one that is the same is compared."""
    done = lived.run("compare", lived.cells(lived.second)["autolog"], lived.first, "--no-log")
    assert done.returncode == 0, done.stderr
    assert "recall is the same" in done.stdout


def test_a_file_is_compared_with_the_store(lived: Lived) -> None:
    """`cells.json` that was kept has no evidence, but all verdicts."""
    assert lived.run("report", lived.first, "--output", "kept").returncode == 0
    done = lived.run("compare", "kept/cells.json", lived.second, "--no-log")
    assert done.returncode == 0, done.stderr
    assert "recall is the same" in done.stdout
    assert lived.run("compare", "kept", lived.first).returncode == 2


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("nope", "latest", "there is no sweep or cell 'nope' in experiment 'tracing-harness'"),
        ("latest", "latest", "A and B are one"),
        ("openai / autolog", "latest", "'openai / autolog' is the name of several"),
        ("nope.json", "latest", "A 'nope.json': there is no such file or folder"),
        ("mine.jsonl", "latest", "mine.jsonl is not JSON"),
        ("", "latest", "there is no sweep or cell ''"),
    ],
)
def test_what_cannot_be_found_is_refused_in_one_sentence(lived: Lived, a: str, b: str, said: str) -> None:
    """Exit status 2, one line on standard error, nothing on standard output."""
    done = lived.run("compare", a, b)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr


def test_what_must_not_be_compared_is_refused_in_one_sentence(lived: Lived) -> None:
    """Other prompts: exit status 2, and the difference is named."""
    cells = lived.run("report", lived.second, "--output", "other")
    assert cells.returncode == 0
    path = lived.folder / "other" / "cells.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["sweep_id"] = "other"
    for cell in document["cells"]:
        cell["prompt_set_digest"] = "0" * 64
    path.write_text(json.dumps(document), encoding="utf-8")
    done = lived.run("compare", "other", lived.second)
    assert (done.returncode, done.stdout) == (2, "")
    assert "must not be compared: prompt-set digest of " in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_store_is_made_by_looking(tmp_path: Path) -> None:
    """Where there is no store, nothing is left behind, and the sentence says what to do."""
    done = run_in(tmp_path, "list")
    assert done.returncode == 2
    assert "there is no store" in done.stderr
    assert "make run" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["list", "compare", "report"])
def test_help_has_an_example(verb: str, lived: Lived) -> None:
    """Each verb's help shows how it is called."""
    done = lived.run(verb, "--help")
    assert done.returncode == 0
    assert f"harness {verb} " in done.stdout.partition("example")[2]


def test_a_report_is_the_same_bytes_each_time(lived: Lived) -> None:
    """From records alone: whatever the hash seed, the folder and the zone of the clock are."""
    here = lived.run("report", lived.first, "--output", "one")
    elsewhere = {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo"}
    there = run_alone(lived.folder, "report", lived.first, "--output", "two", **elsewhere)
    for done in (here, there):
        assert done.returncode == 0, done.stderr
    for name in ("report.html", "report.md", "cells.json"):
        one, two = ((lived.folder / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two, name
