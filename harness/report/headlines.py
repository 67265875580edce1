"""The gravest findings in a few sentences of plain text, for a terminal and for a run's description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.defects import known_defects
from harness.report.findings import KINDS, TRACE, findings
from harness.report.format import ABSENT, clip, clip_pair, count, listed
from harness.report.losses import loss_table

if TYPE_CHECKING:
    from harness.report.findings import Example, Finding, Kind
    from harness.report.view import SweepView

_LISTED: dict[Kind, int] = {"different": 6, "lost": 4, "duplicated": 1, "orphaned": 1, "wrong": 4, "missing": 3}
"""How many findings of a kind are told in a sentence each; the report has all."""

_VALUE_LENGTH = 60


def headlines(view: SweepView) -> list[str]:
    """One sentence a finding, gravest first, then what is known by name and what is lost at the end of a process."""
    found = findings(view)
    lines: list[str] = []
    for kind, limit in _LISTED.items():
        of_kind = [sentence for finding in found if finding.kind == kind for sentence in _sentences(finding)]
        lines += of_kind[:limit]
        if len(of_kind) > limit:
            lines.append(f"{KINDS[kind][0]}: {len(of_kind) - limit} more in report.html.")
    return lines + _defect_lines(view) + _loss_lines(view)


def _sentences(finding: Finding) -> list[str]:
    """A sentence with the evidence of its first example; lost traces have one for each pass."""
    if finding.fact != TRACE:
        return [_fact_sentence(finding)]
    title = KINDS[finding.kind][0]
    passes = dict.fromkeys(example.note for example in finding.examples)
    by_pass = {note: [one for one in finding.examples if one.note == note] for note in passes}
    return [f"{title}: {_often(examples)}, {note}{_scenario(examples[0])}." for note, examples in by_pass.items()]


def _fact_sentence(finding: Finding) -> str:
    example = finding.examples[0]
    wire, traced = clip_pair(example.wire, example.traced, _VALUE_LENGTH)
    place = clip(example.place, _VALUE_LENGTH)
    where = f" in {place}" if place != ABSENT else ""
    seen = {
        "different": f"without tracing {_or_nothing(wire)}, with it {_or_nothing(traced)}{where}",
        "missing": f"wire {wire}",
    }.get(finding.kind, f"wire {wire}, trace {traced}{where}")
    trace = f"; trace {example.trace_id}" if example.trace_id != ABSENT else ""
    often = _often(list(finding.examples))
    return f"{KINDS[finding.kind][0]}: {finding.fact}, {often} ({seen}{trace}){_scenario(example)}."


def _often(examples: list[Example]) -> str:
    found, of = sum(one.found for one in examples), [one.of for one in examples]
    total = "" if None in of else f" of {sum(one or 0 for one in of)}"
    where = examples[0].cell.name
    return f"{found}{total} in {where if len(examples) == 1 else f'{len(examples)} cells, such as {where}'}"


def _scenario(example: Example) -> str:
    return f", scenario {example.scenarios}" if example.scenarios else ""


def _or_nothing(text: str) -> str:
    return "nothing" if text == ABSENT else text


def _defect_lines(view: SweepView) -> list[str]:
    known = known_defects(view)
    found = [defect.defect for defect in known if defect.status == "found"]
    lines = [f"Known defects found: {listed(found)}."] if found else []
    return lines + [
        f"Known defect mended: {defect.title.rstrip('.')}." for defect in known if defect.status == "mended"
    ]


def _loss_lines(view: SweepView) -> list[str]:
    lines = []
    for ending, entries in loss_table(view).rows:
        lossy = [entry for entry in entries if entry is not None and (entry.lost or entry.incomplete)]
        if lossy:
            lost, expected = sum(entry.lost for entry in lossy), sum(entry.expected for entry in lossy)
            incomplete = sum(entry.incomplete for entry in lossy)
            more = f" and {incomplete} more left incomplete" if incomplete else ""
            lines.append(f"Ending by {ending}: {lost} of {expected} traces lost{more} in {count(len(lossy), 'cell')}.")
    return lines
