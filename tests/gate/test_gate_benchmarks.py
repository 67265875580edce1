"""The benchmark suite run for real, and its file compared."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import InputError
from harness.gate import Margins, compare, read_document
from tests.benchmarks.page import page

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.gate import GateResult

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.calibration  # the suite itself runs: more than half a minute

SUITE = "tests/benchmarks/test_strategies_benchmark.py"
FORKS, CALLS = 2, 5

Document = dict[str, Any]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """What pytest-benchmark stores of two strategies of one provider, in two forks of five calls."""
    path = tmp_path_factory.mktemp("suite") / "bench.json"
    outer = ("PYTEST_XDIST", "PYTEST_CURRENT", "COV_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", SUITE, "-q", "-k", "openai and single and (none or autolog)"),
            *("--benchmark-enable", "--benchmark-only", f"--benchmark-json={path}"),
        ],
        cwd=ROOT,
        env={**environment, "BENCH_FORKS": str(FORKS), "BENCH_CALLS": str(CALLS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document: Document = json.loads(path.read_text(encoding="utf-8"))
    return document


def of(document: Document, strategy: str) -> Document:
    (found,) = [one for one in document["benchmarks"] if one["params"]["strategy"] == strategy]
    return dict(found)


def many_forks(document: Document) -> Document:
    """The same with four forks of eight calls each, all near what was measured, and a store that keeps up."""
    made = copy.deepcopy(document)
    for one in made["benchmarks"]:
        base = min(one["stats"]["data"])
        one["stats"]["data"] = [base * (1 + fork / 100 + call / 1000) for fork in range(4) for call in range(8)]
        one["extra_info"]["harness"]["forks"] = 4
        one["extra_info"]["harness"]["drain_rates_per_s"] = [100.0] * 4
    return made


def gate(before: Document, after: Document) -> GateResult:
    return compare(read_document("a", json.dumps(before)), read_document("b", json.dumps(after)), Margins())


@pytest.mark.timeout(1200)
def test_every_round_is_a_call_that_a_worker_timed(stored: Document) -> None:
    """Benchmarks stand in their group, with as many rounds as there were calls, on the workers' clock."""
    for strategy in ("none", "autolog"):
        found = of(stored, strategy)
        assert found["group"] == "openai: single"
        assert found["options"]["timer"] == "seconds_in_calls"
        assert len(found["stats"]["data"]) == FORKS * CALLS
        assert all(seconds > 0 for seconds in found["stats"]["data"])


@pytest.mark.timeout(1200)
def test_completeness_and_versions_stand_beside_the_times(stored: Document) -> None:
    """They come from a pass of its own: as many calls as samples, whatever was timed."""
    extra = of(stored, "autolog")["extra_info"]
    assert extra["calls"] == extra["traces_expected"] == extra["traces_stored"] == 12
    assert 0 < extra["recall"] <= 1
    assert {"mlflow", "openai", "python"} <= extra["versions"].keys()
    assert of(stored, "none")["extra_info"]["recall"] is None


@pytest.mark.timeout(1200)
def test_autolog_does_not_leak_into_none(stored: Document) -> None:
    """The workers of none never had MLflow among their modules; those of autolog stored every call that they made."""
    none, autolog = (of(stored, name)["extra_info"]["harness"] for name in ("none", "autolog"))
    assert (none["traces_expected"], none["traces_lost"]) == (0, 0)
    assert none["mlflow_imported"] == [False] * FORKS
    assert autolog["mlflow_imported"] == [True] * FORKS
    made = 3 + autolog["timing"]["warmup_calls"] + CALLS
    assert (autolog["traces_expected"], autolog["traces_lost"]) == (FORKS * made, 0)
    assert len(autolog["costs"]["cpu_ms_per_call"]) == FORKS
    assert autolog["expected_by_fork"] == [made] * FORKS
    assert autolog["lost_by_fork"] == [0] * FORKS
    assert len(autolog["drain_rates_per_s"]) == FORKS
    assert none["drain_rates_per_s"] == []


@pytest.mark.timeout(1200)
def test_a_file_equals_itself(stored: Document) -> None:
    """Two forks support no verdict on costs, which is said; facts are compared all the same."""
    result = gate(stored, stored)
    assert not result.fails(strict=False)
    assert {one.quantity for one in result.of("inconclusive")} == {"added p50", "CPU per call", "drain per trace"}
    assert {"recall", "fidelity", "lost traces"} <= {one.quantity for one in result.of("not worse")}


@pytest.mark.timeout(1200)
def test_a_slower_strategy_is_found_beside_its_own_none(stored: Document) -> None:
    """What both benchmarks of a group have in common, the machine's own slowness, is no finding."""
    before = many_forks(stored)
    slower, slower_machine = copy.deepcopy(before), copy.deepcopy(before)
    for document, strategies in ((slower, ("autolog",)), (slower_machine, ("none", "autolog"))):
        for one in document["benchmarks"]:
            if one["params"]["strategy"] in strategies:
                one["stats"]["data"] = [seconds + 0.2 for seconds in one["stats"]["data"]]
    (found,) = gate(before, slower).of("worse")
    assert "openai / autolog (chat): added p50 rose from " in found.sentence
    assert "by 200 ms" in found.sentence
    assert gate(before, slower_machine).of("worse") == ()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one["stats"].pop("data"), "has no time of single rounds; store it with --benchmark-json"),
        (lambda one: one["stats"]["data"].pop(), "has 9 rounds, which 2 forks cannot share"),
        (lambda one: one["extra_info"]["harness"].pop("cell"), "is damaged: cell: Field required"),
    ],
)
def test_a_file_that_lacks_something_is_refused(
    stored: Document, change: Callable[[Document], object], said: str
) -> None:
    """In one sentence that says what."""
    damaged = copy.deepcopy(stored)
    change(damaged["benchmarks"][0])
    with pytest.raises(InputError) as refused:
        read_document("x.json", json.dumps(damaged))
    assert said in str(refused.value)


@pytest.mark.timeout(1200)
def test_other_benchmarks_of_the_file_are_left_out(stored: Document) -> None:
    """And counted."""
    more = copy.deepcopy(stored)
    more["benchmarks"].append({**more["benchmarks"][0], "fullname": "other", "extra_info": {}})
    assert gate(stored, more).notes == ("1 benchmark of b is of no tracing strategy and was left out.",)


@pytest.mark.timeout(1200)
def test_other_calls_a_fork_are_refused(stored: Document) -> None:
    """A median of fewer calls is another measure."""
    fewer = copy.deepcopy(stored)
    for one in fewer["benchmarks"]:
        one["stats"]["data"] = one["stats"]["data"][:8]
    assert "timing.calls a fork is 5 in the baseline and 4" in gate(stored, fewer).summary()


@pytest.mark.timeout(1200)
def test_the_page_has_a_row_for_each_benchmark(stored: Document) -> None:
    """Strategies with what their traces hold; what else was timed stands apart."""
    more = copy.deepcopy(stored)
    other = {"calls": 1_000_000, "cpu_s": 17.26, "peak_bytes": 2**29}
    more["benchmarks"].append({**more["benchmarks"][0], "name": "test_help", "extra_info": other})
    rows = [line for line in page(more).splitlines() if line.startswith("|")]
    assert [row.split(" | ")[1:3] for row in rows if "openai: single" in row] == [["none", "10"], ["autolog", "10"]]
    (autolog,) = (row for row in rows if "autolog" in row)
    assert autolog.endswith("| 100.0% | 100.0% | 0 |")
    assert [row.split(" | ")[3] for row in rows if row.startswith("| help")] == [
        "1,000,000 calls, 17.26 s of CPU, at most 512 MiB of memory |"
    ]
    assert "How fast the tool itself is" not in page(stored)
