"""What went wrong with the traces, gravest first, and how each fact fared in each cell.

Both are in MLflow's places unless another convention is asked for. Findings keep one example
for each cell and fact, so that the evidence can be looked up and the list ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.report.format import ABSENT, evidence, percent

if TYPE_CHECKING:
    from harness.report.view import CellView, SweepView
    from harness.results import CompletenessResult, Convention, FactCount, Judgement, Verdict

Kind = Literal["lost", "duplicated", "orphaned", "wrong", "missing", "elsewhere"]

KINDS: dict[Kind, tuple[str, str]] = {
    "lost": ("Traces lost", "A call that should have a trace has none."),
    "duplicated": ("Traces duplicated", "A call has more than one trace."),
    "orphaned": ("Traces orphaned", "A trace that belongs to no call."),
    "wrong": ("Wrong values", "The trace holds another value than the wire shows."),
    "missing": ("Missing values", "The wire shows a value, the trace holds none."),
    "elsewhere": ("Values elsewhere", "The value is in the trace, in a place where no tool looks for it."),
}
"""The kinds of findings, gravest first: a heading and what it means."""

_TRACE = "trace"


class Example(NamedTuple):
    """One cell's share of a finding, with one example as evidence.

    Attributes:
        found: How often it was found in this cell.
        of: Out of how many; ``None`` where there is no total.
        untraced: How many of them only repeat that the call has no trace at all.
        note: In words what else is known, such as the pass.
    """

    cell: CellView
    found: int
    of: int | None
    untraced: int
    sample_id: str
    wire: str
    traced: str
    place: str
    trace_id: str
    note: str = ""


class Finding(NamedTuple):
    """One fact that fared badly in the same way, over all cells."""

    kind: Kind
    fact: str
    examples: tuple[Example, ...]

    @property
    def found(self) -> int:
        """How often, over all cells."""
        return sum(example.found for example in self.examples)


class MatrixEntry(NamedTuple):
    """How one fact fared in one cell; ``gravest`` is the worst verdict that occurred."""

    counts: FactCount
    gravest: Verdict

    @property
    def applicable(self) -> int:
        """In how many calls the fact applies."""
        return self.counts.recorded + self.counts.elsewhere + self.counts.wrong + self.counts.missing

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


def _example(cell: CellView, judged: list[Judgement], of: int | None) -> Example:
    """The first judgement that has a trace to look at stands for the others."""
    example = next((judgement for judgement in judged if judgement.trace_id), judged[0])
    return Example(
        cell=cell,
        found=len(judged),
        of=of,
        untraced=sum(judgement.trace_id is None for judgement in judged),
        sample_id=example.sample_id,
        wire=evidence(example.wire),
        traced=ABSENT if example.verdict == "missing" else evidence(example.traced),
        place=example.place,
        trace_id=example.trace_id or ABSENT,
    )


def _trace_example(cell: CellView, found: int, of: int | None, sample_id: str, note: str) -> Example:
    return Example(cell, found, of, 0, sample_id, ABSENT, ABSENT, ABSENT, ABSENT, note)


def _lost_sample(cell: CellView, completeness: CompletenessResult) -> str:
    """The sample of a call without a trace, where the judgements or the rows tell one."""
    for judgement in completeness.judgements:
        if judgement.trace_id is None:
            return judgement.sample_id
    return next((row.sample_id for row in cell.result.rows if row.trace_id is None), ABSENT)


def _trace_findings(cells: tuple[CellView, ...]) -> list[Finding]:
    examples: dict[Kind, list[Example]] = {"lost": [], "duplicated": [], "orphaned": []}
    for cell in cells:
        completeness, overhead = cell.result.completeness, cell.result.overhead
        if completeness is not None:
            expected = completeness.traces_expected
            if completeness.traces_lost:
                sample = _lost_sample(cell, completeness)
                examples["lost"].append(
                    _trace_example(cell, completeness.traces_lost, expected, sample, "completeness pass")
                )
            if completeness.traces_duplicated:
                examples["duplicated"].append(
                    _trace_example(cell, completeness.traces_duplicated, None, ABSENT, "completeness pass")
                )
            if completeness.traces_orphaned:
                examples["orphaned"].append(
                    _trace_example(cell, completeness.traces_orphaned, None, ABSENT, "completeness pass")
                )
        if overhead is not None and overhead.traces_lost:
            examples["lost"].append(
                _trace_example(cell, overhead.traces_lost, overhead.traces_expected, ABSENT, "timing pass")
            )
    return [Finding(kind, _TRACE, tuple(rows)) for kind, rows in examples.items() if rows]


def findings(view: SweepView) -> list[Finding]:
    """All findings in MLflow's places: by gravity, then the most frequent first."""
    judged: dict[tuple[Kind, str], dict[int, list[Judgement]]] = {}
    totals: dict[tuple[str, int], int] = {}
    for cell in view.cells:
        if cell.result.completeness is None:
            continue
        for judgement in cell.result.completeness.judgements:
            if judgement.convention != "mlflow":
                continue
            totals[judgement.fact, cell.number] = totals.get((judgement.fact, cell.number), 0) + 1
            if judgement.verdict != "recorded":
                by_cell = judged.setdefault((judgement.verdict, judgement.fact), {})
                by_cell.setdefault(cell.number, []).append(judgement)
    of_facts = []
    for (kind, fact), by_cell in judged.items():
        examples = [
            _example(view.cells[number - 1], by_cell[number], totals[fact, number]) for number in sorted(by_cell)
        ]
        # Where no trace is, every fact is missing: that is told once, as a lost trace.
        kept = tuple(example for example in examples if example.untraced < example.found)
        if kept:
            of_facts.append(Finding(kind, fact, kept))
    order = list(KINDS)
    return sorted(
        _trace_findings(view.cells) + of_facts,
        key=lambda finding: (order.index(finding.kind), -finding.found, finding.fact),
    )


def _entry(fact: FactCount | None) -> MatrixEntry | None:
    if fact is None or not fact.recorded + fact.elsewhere + fact.wrong + fact.missing:
        return None
    if fact.wrong:
        return MatrixEntry(fact, "wrong")
    if fact.missing:
        return MatrixEntry(fact, "missing")
    return MatrixEntry(fact, "elsewhere" if fact.elsewhere else "recorded")


def matrix(view: SweepView, convention: Convention) -> Matrix:
    """How each fact fared in each cell that has facts in this convention."""
    by_cell = {
        cell.number: {fact.fact: fact for fact in cell.result.completeness.facts if fact.convention == convention}
        for cell in view.cells
        if cell.result.completeness is not None
    }
    cells = tuple(cell for cell in view.cells if by_cell.get(cell.number))
    names = list(dict.fromkeys(fact for cell in cells for fact in by_cell[cell.number]))
    rows = tuple((name, tuple(_entry(by_cell[cell.number].get(name)) for cell in cells)) for name in names)
    return Matrix(cells, rows)
