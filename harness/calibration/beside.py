"""What pyperf and pytest-benchmark say of the same samples.

Both are asked themselves: pyperf by its ``compare_to`` over two of its files, with a run for each fork;
pytest-benchmark by the checks of its ``--benchmark-compare-fail`` over its own statistics. Its
comparison table shows ratios and passes no verdict.

A value of pyperf is the mean over a loop, and few of them make a run: that is a block and its mean. To give it
each call as a value is not how it is used, and stands in a row of its own for what it shows: the more values
are taken for independent that share a process, the more often equal arms are called different.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from harness.errors import CellError
from harness.processes import child_environment, python_module

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.calibration.trial import Found
    from harness.records import Arm
    from harness.results import Latencies

Said = Literal["slower", "faster", "no difference"]
PyperfValue = Literal["each block's mean", "each single call"]
PYPERF_VALUES: tuple[PyperfValue, ...] = get_args(PyperfValue)
"""What pyperf is given as a value, the usual first."""
RULES = ("min:5%", "median:5%", "mean:5%")
"""The rules of pytest-benchmark that are tried."""
MS_PER_S = 1e3
_LINE = re.compile(r"^(?:(?P<name>[\w-]+): )?Mean \+- std dev: .*x (?P<said>slower|faster)$", re.MULTILINE)


def opinions() -> dict[str, Callable[[Sequence[Found]], list[Said]]]:
    """The ways of judging that are installed: what each says of some cells, in their order."""
    found: dict[str, Callable[[Sequence[Found]], list[Said]]] = {}
    if find_spec("pyperf"):
        for values in PYPERF_VALUES:
            found[f"pyperf compare_to, {values} a value"] = lambda cells, values=values: pyperf_says(cells, values)  # type: ignore[misc]
    if find_spec("pytest_benchmark"):
        for rule in RULES:
            found[f"pytest-benchmark {rule}"] = lambda cells, rule=rule: pytest_benchmark_says(cells, rule)  # type: ignore[misc]
    return found


def pyperf_says(cells: Sequence[Found], values: PyperfValue = PYPERF_VALUES[0]) -> list[Said]:
    """The verdict of ``python -m pyperf compare_to`` on each cell.

    Args:
        cells: The cells.
        values: What a value is: one of ``PYPERF_VALUES``.

    Raises:
        CellError: If pyperf failed.
    """
    if not cells:
        return []
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for arm in ("baseline", "strategy"):
            path = Path(folder) / f"{arm}.json"
            _pyperf_suite(cells, arm, values).dump(str(path))
            files.append(str(path))
        done = subprocess.run(
            python_module("pyperf", "compare_to", *files),
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise CellError(f"pyperf compare_to ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    # With one benchmark alone it leaves the name out.
    said = {line["name"] or cells[0].trial.name: line["said"] for line in _LINE.finditer(done.stdout)}
    return [said.get(cell.trial.name, "no difference") for cell in cells]  # type: ignore[misc]


def _pyperf_suite(cells: Sequence[Found], arm: Arm, values: PyperfValue) -> Any:
    # Not needed to run the harness, so it may be absent.
    pyperf: Any = import_module("pyperf")

    def run(name: str, latency_ms: Sequence[float]) -> Any:
        values_s = [value / MS_PER_S for value in latency_ms]
        return pyperf.Run(values_s, metadata={"name": name, "unit": "second"}, collect_metadata=False)

    def taken(cell: Found) -> Sequence[Latencies]:
        return cell.samples if values == "each single call" else cell.block_means

    return pyperf.BenchmarkSuite(
        [
            pyperf.Benchmark([run(cell.trial.name, one.latency_ms) for one in taken(cell) if one.arm == arm])
            for cell in cells
        ]
    )


def pytest_benchmark_says(cells: Sequence[Found], rule: str) -> list[Said]:
    """What a rule of ``--benchmark-compare-fail`` says of each cell; ``faster`` if it fails with the arms exchanged."""
    # Not needed to run the harness, so they may be absent.
    stats_of: Any = import_module("pytest_benchmark.stats").Stats
    check: Any = import_module("pytest_benchmark.utils").parse_compare_fail(rule)
    said: list[Said] = []
    for cell in cells:
        numbers = {}
        for arm in ("baseline", "strategy"):
            stats = stats_of()
            for one in cell.samples:
                if one.arm == arm:
                    for value in one.latency_ms:
                        stats.update(value / MS_PER_S)
            numbers[arm] = stats.as_dict()
        if check.fails(numbers["strategy"], numbers["baseline"]):
            said.append("slower")
        elif check.fails(numbers["baseline"], numbers["strategy"]):
            said.append("faster")
        else:
            said.append("no difference")
    return said
