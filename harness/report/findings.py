"""What tracing changed, lost or bent, gravest first, in MLflow's places.

Findings keep one example for each cell and fact, so that the evidence can be looked up and the
list ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.report.format import ABSENT, clip, clip_pair, evidence_pair, listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.report.view import CellView, SweepView
    from harness.results import (
        CompletenessResult,
        Judgement,
        TransparencyFinding,
    )

Kind = Literal["different", "lost", "duplicated", "orphaned", "wrong", "missing", "elsewhere"]

KINDS: dict[Kind, tuple[str, str]] = {
    "different": (
        "Calls that tracing changed",
        "The application gets something else than without tracing: the gravest that tracing can do.",
    ),
    "lost": ("Traces lost", "A call that should have a trace has none."),
    "duplicated": ("Traces duplicated", "A call has more than one trace."),
    "orphaned": ("Traces orphaned", "A trace that belongs to no call."),
    "wrong": ("Wrong values", "The trace holds another value than the wire shows."),
    "missing": ("Missing values", "The wire shows a value, the trace holds none."),
    "elsewhere": ("Values elsewhere", "The value is in the trace, in a place where no tool looks for it."),
}
"""The kinds of findings, gravest first: a heading and what it means."""

TRACE = "trace"
"""What findings about whole traces have in the place of a fact."""

_SCENARIOS_NAMED = 3
_VALUE_LENGTH = 160


class Example(NamedTuple):
    """One cell's share of a finding, with one example as evidence.

    Attributes:
        found: How often it was found in this cell.
        of: Out of how many; ``None`` where there is no total.
        untraced: How many of them only repeat that the call has no trace at all.
        note: In words what else is known, such as the pass.
        scenarios: The scenarios that it was found in, the example's first; empty where none is known.
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
    scenarios: str = ""


class Finding(NamedTuple):
    """One fact that fared badly in the same way, over all cells."""

    kind: Kind
    fact: str
    examples: tuple[Example, ...]

    @property
    def found(self) -> int:
        """How often, over all cells."""
        return sum(example.found for example in self.examples)


def _example(cell: CellView, judged: list[Judgement], of: int | None) -> Example:
    """The first judgement that has a trace to look at stands for the others."""
    example = next((judgement for judgement in judged if judgement.trace_id), judged[0])
    wire, traced = evidence_pair(example.wire, example.traced)
    return Example(
        cell=cell,
        found=len(judged),
        of=of,
        untraced=sum(judgement.trace_id is None for judgement in judged),
        sample_id=example.sample_id,
        wire=wire,
        traced=ABSENT if example.verdict == "missing" else traced,
        place=example.place,
        trace_id=example.trace_id or ABSENT,
        scenarios=_scenarios((example, *judged)),
    )


def _scenarios(found: Iterable[Judgement | TransparencyFinding]) -> str:
    """Their scenarios, each once, the first ones by name."""
    names = list(dict.fromkeys(one.scenario for one in found if one.scenario))
    more = len(names) - _SCENARIOS_NAMED
    return listed(names if more <= 0 else [*names[:_SCENARIOS_NAMED], f"{more} more"])


def _trace_example(cell: CellView, found: int, of: int | None, note: str) -> Example:
    return Example(cell, found, of, 0, ABSENT, ABSENT, ABSENT, ABSENT, ABSENT, note)


def _lost_example(cell: CellView, completeness: CompletenessResult) -> Example:
    """The traces that a cell's completeness pass lost, with a call that has none."""
    example = _trace_example(cell, completeness.traces_lost, completeness.traces_expected, "completeness pass")
    lost = [judgement for judgement in completeness.judgements if judgement.trace_id is None]
    if lost:
        return example._replace(sample_id=lost[0].sample_id, scenarios=_scenarios(lost))
    row = next((row for row in cell.result.rows if row.trace_id is None), None)
    return example if row is None else example._replace(sample_id=row.sample_id)


def _different_findings(cells: tuple[CellView, ...]) -> list[Finding]:
    """What the application got differently, by what differs."""
    by_aspect: dict[str, list[Example]] = {}
    for cell in cells:
        completeness = cell.result.completeness
        aspects: dict[str, list[TransparencyFinding]] = {}
        for finding in completeness.transparency if completeness else ():
            aspects.setdefault(finding.aspect, []).append(finding)
        for aspect, found in aspects.items():
            example = next((finding for finding in found if finding.trace_id), found[0])
            without, traced = _got(example.without, example.with_tracing)
            by_aspect.setdefault(aspect, []).append(
                Example(
                    cell=cell,
                    found=len({finding.call_id for finding in found}),
                    of=completeness.transparency_compared if completeness else None,
                    untraced=len({finding.call_id for finding in found if finding.trace_id is None}),
                    sample_id=example.sample_id,
                    wire=without,
                    traced=traced,
                    place=example.place or ABSENT,
                    trace_id=example.trace_id or ABSENT,
                    scenarios=_scenarios((example, *found)),
                )
            )
    return [Finding("different", aspect, tuple(examples)) for aspect, examples in by_aspect.items()]


def _got(without: str | None, traced: str | None) -> tuple[str, str]:
    if without is None or traced is None:
        return clip(without or ABSENT, _VALUE_LENGTH), clip(traced or ABSENT, _VALUE_LENGTH)
    return clip_pair(without, traced, _VALUE_LENGTH)


def _trace_findings(cells: tuple[CellView, ...]) -> list[Finding]:
    examples: dict[Kind, list[Example]] = {"lost": [], "duplicated": [], "orphaned": []}
    for cell in cells:
        completeness, overhead = cell.result.completeness, cell.result.overhead
        if completeness is not None:
            if completeness.traces_lost:
                examples["lost"].append(_lost_example(cell, completeness))
            if completeness.traces_duplicated:
                examples["duplicated"].append(
                    _trace_example(cell, completeness.traces_duplicated, None, "completeness pass")
                )
            if completeness.traces_orphaned:
                examples["orphaned"].append(
                    _trace_example(cell, completeness.traces_orphaned, None, "completeness pass")
                )
        if overhead is not None and overhead.traces_lost:
            examples["lost"].append(_trace_example(cell, overhead.traces_lost, overhead.traces_expected, "timing pass"))
    return [Finding(kind, TRACE, tuple(rows)) for kind, rows in examples.items() if rows]


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
        _different_findings(view.cells) + _trace_findings(view.cells) + of_facts,
        key=lambda finding: (order.index(finding.kind), -finding.found, finding.fact),
    )
