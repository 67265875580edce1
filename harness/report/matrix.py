"""How each fact fared: by cell, by scenario, and by OpenTelemetry's requirement level."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

from harness.report.evidence import witnesses
from harness.report.format import ABSENT, listed, percent
from harness.results import Level, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.report.evidence import Witness
    from harness.report.view import CellView, SweepView
    from harness.results import Convention, FactCount, Judgement

_FAULTS: tuple[Verdict, ...] = ("wrong", "missing", "elsewhere")


class MatrixEntry(NamedTuple):
    """How one fact fared in one cell: the worst verdict that occurred, and an example of each."""

    counts: FactCount
    gravest: Verdict
    witnesses: tuple[Witness, ...] = ()

    @property
    def applicable(self) -> int:
        """In how many calls the fact applies."""
        return self.counts.recorded + self.counts.elsewhere + self.counts.wrong + self.counts.missing

    @property
    def told(self) -> str:
        """How often each verdict that occurred fell: ``38 recorded, 2 wrong of 40``."""
        fell = [f"{getattr(self.counts, verdict)} {verdict}" for verdict, _ in self.parts]
        return f"{', '.join(fell)} of {self.applicable}"

    @property
    def share(self) -> str:
        """The share recorded, in percent."""
        return percent(self.counts.recorded / self.applicable)

    @property
    def parts(self) -> tuple[tuple[Verdict, float], ...]:
        """The verdicts that occurred, each with its share in percent, for a bar."""
        pairs: tuple[tuple[Verdict, int], ...] = (
            ("recorded", self.counts.recorded),
            ("elsewhere", self.counts.elsewhere),
            ("wrong", self.counts.wrong),
            ("missing", self.counts.missing),
        )
        return tuple((verdict, round(100 * number / self.applicable, 2)) for verdict, number in pairs if number)


class Matrix(NamedTuple):
    """Facts by cells: ``rows`` pair a fact with one entry a cell, ``None`` where it does not apply."""

    cells: tuple[CellView, ...]
    rows: tuple[tuple[str, tuple[MatrixEntry | None, ...]], ...]


def _entry(fact: FactCount | None, seen: tuple[Witness, ...]) -> MatrixEntry | None:
    if fact is None or not fact.recorded + fact.elsewhere + fact.wrong + fact.missing:
        return None
    if fact.wrong:
        return MatrixEntry(fact, "wrong", seen)
    if fact.missing:
        return MatrixEntry(fact, "missing", seen)
    return MatrixEntry(fact, "elsewhere" if fact.elsewhere else "recorded", seen)


def _merged(facts: Iterable[FactCount]) -> dict[str, FactCount]:
    """Counts by fact: OpenTelemetry's may come in several levels."""
    found: dict[str, FactCount] = {}
    for fact in facts:
        before = found.get(fact.fact)
        found[fact.fact] = (
            fact
            if before is None
            else before.model_copy(
                update={
                    "level": None,
                    "recorded": before.recorded + fact.recorded,
                    "elsewhere": before.elsewhere + fact.elsewhere,
                    "wrong": before.wrong + fact.wrong,
                    "missing": before.missing + fact.missing,
                }
            )
        )
    return found


def matrix(view: SweepView, convention: Convention) -> Matrix:
    """How each fact fared in each cell that has facts in this convention."""
    by_cell = {
        cell.number: _merged(fact for fact in cell.result.completeness.facts if fact.convention == convention)
        for cell in view.cells
        if cell.result.completeness is not None
    }
    cells = tuple(cell for cell in view.cells if by_cell.get(cell.number))
    names = list(dict.fromkeys(fact for cell in cells for fact in by_cell[cell.number]))
    seen = {cell.number: witnesses(cell, convention) for cell in cells}
    rows = tuple(
        (
            name,
            tuple(_entry(by_cell[cell.number].get(name), seen[cell.number].get(name, ())) for cell in cells),
        )
        for name in names
    )
    return Matrix(cells, rows)


class LevelRow(NamedTuple):
    """One cell's OpenTelemetry recall by requirement level, in the order of ``LEVELS``; a dash where none applied."""

    cell: CellView
    shares: tuple[str, ...]


LEVELS: tuple[Level, ...] = get_args(Level)
"""OpenTelemetry's requirement levels, the strictest first."""


def recall_by_level(view: SweepView) -> list[LevelRow]:
    """A row for each cell of which any level is known."""
    return [
        LevelRow(cell, tuple(percent(shares.get(level)) for level in LEVELS))
        for cell in view.cells
        if cell.result.completeness is not None and (shares := cell.result.completeness.otel_recall_by_level)
    ]


class ScenarioRow(NamedTuple):
    """How one scenario fared in one cell, in MLflow's places.

    Attributes:
        scenario: Its name.
        calls: Judged calls.
        lost: Those of them without a trace.
        recall: recorded / applicable facts, in percent.
        fidelity: 1 - wrong / found, in percent.
        faults: Each verdict that occurred in a call with a trace, and its facts in words.
    """

    scenario: str
    calls: int
    lost: int
    recall: str
    fidelity: str
    faults: tuple[tuple[Verdict, str], ...]


class Scenarios(NamedTuple):
    """The scenarios of one cell."""

    cell: CellView
    rows: tuple[ScenarioRow, ...]


def by_scenario(view: SweepView) -> list[Scenarios]:
    """The cells whose calls are of several scenarios, with a row a scenario."""
    found = []
    for cell in view.cells:
        judged: dict[str, list[Judgement]] = {}
        for judgement in cell.result.completeness.judgements if cell.result.completeness else ():
            if judgement.convention == "mlflow":
                judged.setdefault(judgement.scenario, []).append(judgement)
        if len(judged) > 1:
            found.append(Scenarios(cell, tuple(_scenario_row(name, of_it) for name, of_it in judged.items())))
    return found


def _scenario_row(scenario: str, judged: list[Judgement]) -> ScenarioRow:
    verdicts = {verdict: sum(one.verdict == verdict for one in judged) for verdict in get_args(Verdict)}
    found = verdicts["recorded"] + verdicts["elsewhere"] + verdicts["wrong"]
    return ScenarioRow(
        scenario=scenario or ABSENT,
        calls=len({one.call_id for one in judged}),
        lost=len({one.call_id for one in judged if one.trace_id is None}),
        recall=percent(verdicts["recorded"] / len(judged)),
        fidelity=percent(1 - verdicts["wrong"] / found if found else None),
        faults=tuple((verdict, text) for verdict in _FAULTS if (text := _faulty_facts(judged, verdict))),
    )


def _faulty_facts(judged: list[Judgement], verdict: Verdict) -> str:
    """The facts that fared so in calls that have a trace, each with how often where that is more than once."""
    times: dict[str, int] = {}
    for one in judged:
        if one.verdict == verdict and one.trace_id is not None:
            times[one.fact] = times.get(one.fact, 0) + 1
    return listed([f"{fact} ({number})" if number > 1 else fact for fact, number in times.items()])
