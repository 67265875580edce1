"""Where the cells ran: machine, versions, prompts, seed and noise floor, each value with the cells that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import count, number
from harness.report.verdicts import cell_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.report.view import CellView, SweepView

_MIB = 2**20


class Fact(NamedTuple):
    """One fact about where the cells ran: each value with the cells that have it, in words."""

    name: str
    values: tuple[tuple[str, str], ...]


def _facts_of(cell: CellView) -> Iterable[tuple[str, str]]:
    record = cell.result.cell
    machine = record.machine
    cores = {"arms": machine.arm_cpus, "gateway": machine.gateway_cpus}
    yield "Host", machine.hostname
    yield "Processor", f"{machine.cpu_model}, {count(machine.cpu_count, 'core')}"
    yield "Memory", f"{number(machine.memory_bytes / _MIB, decimals=0)} MiB"
    yield "Kernel", machine.kernel
    yield "File system of the timed stores", machine.work_filesystem or "not recorded"
    yield (
        "Load average when the cell began (1 min: in a sweep mostly the cell before it)",
        number(machine.load_1min, decimals=2),
    )
    for what, pinned in cores.items():
        yield f"Cores of the {what}", ", ".join(map(str, pinned)) or "not pinned"
    if machine.shared_core is not None:
        yield "Arms and gateway on one physical core", "yes" if machine.shared_core else "no"
    yield "Idle cores", "kept awake while calls were timed" if machine.idle_polling else "may sleep"
    yield "Python", machine.python
    for package, version in sorted(record.versions.items()):
        if package != "python":
            yield f"Version of {package}", version
    yield f"Prompt set {record.prompts}", f"{count(record.sample_count, 'sample')}, SHA-256 {record.prompt_set_digest}"
    yield "Endpoint", record.endpoint
    yield "Measure", record.measure
    yield "Seed", str(record.seed)
    floor = cell.shown["floor"]
    yield "A/A floor of added p50", floor.text if floor.reason is None else f"{floor.text} ({floor.reason.rstrip('.')})"


def environment(view: SweepView) -> list[Fact]:
    """The facts of all cells, in the order of first mention."""
    having: dict[str, dict[str, list[int]]] = {}
    for cell in view.cells:
        for name, value in _facts_of(cell):
            having.setdefault(name, {}).setdefault(value, []).append(cell.number)

    def where(numbers: list[int]) -> str:
        return "" if len(numbers) == len(view.cells) else cell_numbers(tuple(numbers))

    return [
        Fact(name, tuple((value, where(numbers)) for value, numbers in values.items()))
        for name, values in having.items()
    ]
