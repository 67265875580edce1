"""Which cells may be compared, and what keeps the others apart.

A setting is everything but provider and strategy that shapes a result: the machine, the
package versions, the prompt set, the endpoint, how much was measured, the seed. Cells are
compared within one setting only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.results import CellResult, SweepResult

MACHINE = "machine"
VERSION = "version"
DIGEST = "prompt-set digest"
RUNTIME = "runtime"
_REFUSED = (MACHINE, VERSION, DIGEST)
_OF = (VERSION, DIGEST, "model", "samples")
_NOT_A_CONDITION = ("provider", "prompts", "tracing", "sweep", "store", "runtime")
"""Groups of the configuration that the record's own fields stand for, or that change no result."""


class Aspect(NamedTuple):
    """One thing that two cells may differ in: its kind, and the name within its kind."""

    kind: str
    name: str

    def __str__(self) -> str:
        """The aspect as a noun: ``version of mlflow``, ``hostname``, ``prompts``, ``model of openai``."""
        if self.kind == MACHINE:
            return self.name
        return f"{self.kind} of {self.name}" if self.kind in _OF else f"{self.kind} {self.name}".strip()

    def with_value(self, value: str) -> str:
        """The aspect and its value in few words: ``mlflow 3.17.2``, ``hostname bench-1``, ``prompts chat``."""
        return f"{self.name if self.kind == VERSION else self} {shortened(self, value)}"


class Difference(NamedTuple):
    """Aspects in which the same cells differ: each combination of values with the numbers of its cells."""

    aspects: tuple[Aspect, ...]
    values: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]


class Setting(NamedTuple):
    """Cells that were measured under the same conditions.

    Attributes:
        words: What sets them apart from the sweep's other settings; empty if there is one only.
        numbers: The cells' numbers, from 1, in the order of the sweep.
    """

    words: str
    numbers: tuple[int, ...]


def provider_label(cell: CellResult) -> str:
    """The provider in the words that people use, with its backend where that is another one."""
    return cell.cell.label.split(" / ", 1)[0]


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), value[key])
    else:
        yield prefix, str(value)


def _aspects(result: CellResult) -> dict[Aspect, str]:
    """Everything the cell is known to have, what people choose first; what was not recorded is left out."""
    cell = result.cell
    found = {Aspect(name, ""): str(getattr(cell, name)) for name in ("prompts", "endpoint", "measure", "seed")}
    found[Aspect(RUNTIME, "")] = cell.runtime or "current"
    provider = cell.config.get("provider")
    if isinstance(provider, dict) and "model" in provider:
        found[Aspect("model", provider_label(result))] = str(provider["model"])
    for path, value in _leaves("", {key: cell.config[key] for key in cell.config if key not in _NOT_A_CONDITION}):
        group, _, name = path.partition(".")
        found[Aspect(group, name)] = value
    found[Aspect("samples", cell.prompts)] = str(cell.sample_count)
    machine = cell.machine.model_dump(exclude={"load_1min"})
    found |= {Aspect(MACHINE, name.replace("_", " ")): str(value) for name, value in machine.items() if value != ()}
    found[Aspect(DIGEST, cell.prompts)] = cell.prompt_set_digest
    found |= {Aspect(VERSION, package): version for package, version in sorted(cell.versions.items())}
    return found


def _varying(per_cell: list[dict[Aspect, str]]) -> list[Aspect]:
    """Aspects with more than one value among the cells that have them."""
    values: dict[Aspect, set[str]] = {}
    for aspects in per_cell:
        for aspect, value in aspects.items():
            values.setdefault(aspect, set()).add(value)
    return [aspect for aspect, seen in values.items() if len(seen) > 1]


def _telling(per_cell: list[dict[Aspect, str]], varying: list[Aspect]) -> list[Aspect]:
    """The first aspects that together tell all settings apart; the others would only repeat them."""
    telling: list[Aspect] = []
    distinct = 1
    for aspect in varying:
        keys = {tuple(aspects.get(part) for part in (*telling, aspect)) for aspects in per_cell}
        if len(keys) > distinct:
            telling.append(aspect)
            distinct = len(keys)
    return telling


def shortened(aspect: Aspect, value: str) -> str:
    """The value as it is printed: a digest is cut, all else is whole."""
    return value[:12] if aspect.kind == DIGEST else value


def settings(sweep: SweepResult) -> tuple[Setting, ...]:
    """The sweep's settings in the order of their first cells; one of them covers every cell if nothing differs."""
    per_cell = [_aspects(result) for result in sweep.cells]
    telling = _telling(per_cell, _varying(per_cell))
    numbers: dict[tuple[str | None, ...], list[int]] = {}
    words: dict[tuple[str | None, ...], str] = {}
    for number, aspects in enumerate(per_cell, start=1):
        key = tuple(aspects.get(aspect) for aspect in telling)
        numbers.setdefault(key, []).append(number)
        words[key] = ", ".join(aspect.with_value(aspects[aspect]) for aspect in telling if aspect in aspects)
    return tuple(Setting(words[key], tuple(members)) for key, members in numbers.items())


def _is_runtimes_own(version: Aspect, per_cell: list[dict[Aspect, str]]) -> bool:
    """Whether a version differs only between runtimes, which somebody asked for."""
    found: dict[str, set[str]] = {}
    for aspects in per_cell:
        if version in aspects:
            found.setdefault(aspects[Aspect(RUNTIME, "")], set()).add(aspects[version])
    return all(len(versions) == 1 for versions in found.values())


def refused_differences(sweep: SweepResult) -> tuple[Difference, ...]:
    """What nobody asked to vary and yet differs between cells: machine, versions, prompts of one name.

    Aspects that part the cells in the same way are one difference.
    """
    per_cell = [_aspects(result) for result in sweep.cells]
    by_parting: dict[tuple[tuple[int, ...], ...], dict[Aspect, tuple[str, ...]]] = {}
    for aspect in _varying(per_cell):
        if aspect.kind not in _REFUSED or (aspect.kind == VERSION and _is_runtimes_own(aspect, per_cell)):
            continue
        having: dict[str, list[int]] = {}
        for number, aspects in enumerate(per_cell, start=1):
            if aspect in aspects:
                having.setdefault(aspects[aspect], []).append(number)
        parting = tuple(tuple(members) for members in having.values())
        by_parting.setdefault(parting, {})[aspect] = tuple(shortened(aspect, value) for value in having)
    return tuple(
        Difference(
            tuple(by_aspect),
            tuple((tuple(values[index] for values in by_aspect.values()), part) for index, part in enumerate(parting)),
        )
        for parting, by_aspect in by_parting.items()
    )
