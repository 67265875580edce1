"""Defects of tracing libraries that are known by name: which a sweep met, and which it could have met and did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.report.format import ABSENT, evidence

if TYPE_CHECKING:
    from harness.report.view import CellView, SweepView
    from harness.results import DefectFinding

STATUSES: tuple[Literal["found", "mended", "not found"], ...] = ("found", "mended", "not found")


class DefectEntry(NamedTuple):
    """One cell's evidence for, or against, a known defect.

    Attributes:
        calls: Calls that met it.
        applicable: Calls that could have.
    """

    cell: CellView
    calls: int
    applicable: int
    sample_id: str
    wire: str
    traced: str
    trace_id: str


class KnownDefect(NamedTuple):
    """A known defect with the cells in which it has this status."""

    defect: str
    title: str
    versions: str
    status: Literal["found", "mended", "not found"]
    entries: tuple[DefectEntry, ...]


def known_defects(view: SweepView) -> list[KnownDefect]:
    """Found ones first, then those that are mended or were not found, each in the order of first mention.

    A defect that one cell met and another did not stands in both parts.
    """
    found: dict[tuple[str, str], tuple[DefectFinding, list[DefectEntry]]] = {}
    for cell in view.cells:
        for one in cell.result.completeness.defects if cell.result.completeness else ():
            found.setdefault((one.status, one.defect), (one, []))[1].append(_entry(cell, one))
    return [
        KnownDefect(first.defect, first.title, first.versions, first.status, tuple(entries))
        for status in STATUSES
        for (of_status, _), (first, entries) in found.items()
        if of_status == status
    ]


def _entry(cell: CellView, finding: DefectFinding) -> DefectEntry:
    return DefectEntry(
        cell=cell,
        calls=finding.calls,
        applicable=finding.applicable,
        sample_id=finding.sample_id or ABSENT,
        wire=ABSENT if finding.wire is None else evidence(finding.wire),
        traced=ABSENT if finding.traced is None else evidence(finding.traced),
        trace_id=finding.trace_id or ABSENT,
    )
