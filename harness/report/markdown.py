"""The report as GitHub-flavoured Markdown, and its short form for a run's description."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.report.findings import KINDS, findings
from harness.report.format import clip, duration, number, quantity, utc
from harness.report.verdicts import cautions, cell_numbers, verdicts
from harness.report.view import COLUMNS, sweep_view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.report.findings import Example, Finding
    from harness.report.view import CellView, SweepView
    from harness.results import SweepResult

DESCRIPTION_LIMIT = 7500
"""Characters of a description; MLflow silently cuts a tag's value at 8000."""

_FINDINGS_OF_A_KIND = 30
_SHORT_COLUMNS = ("recall", "fidelity", "traces", "added", "cpu", "drain")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$#&!])")


def escape(text: str) -> str:
    """A text that Markdown prints as it is: on one line, no markup, no HTML, no table bars."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    titles = list(headings)
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _added(cell: CellView) -> str:
    text = cell.shown["added"].text
    return f"{text}, {cell.verdict}" if cell.verdict and not cell.shown["added"].absent else text


def _row(cell: CellView, keys: tuple[str, ...]) -> list[str]:
    status = cell.status if cell.status == "ok" else f"**{cell.status}**: {escape(clip(cell.reason or '', 120))}"
    values = {key: shown.text for key, shown in cell.shown.items()}
    values["added"] = _added(cell)
    if cell.troubles:
        values["traces"] += f" ({cell.troubles})"
    return [str(cell.number), escape(cell.name), status, *(values[key] for key in keys)]


def _cells_table(view: SweepView, keys: tuple[str, ...]) -> list[str]:
    titles = {column.key: column.title for column in COLUMNS}
    return _table(("#", "Cell", "Status", *(titles[key] for key in keys)), (_row(cell, keys) for cell in view.cells))


def _verdict_lines(view: SweepView) -> list[str]:
    lines = []
    for verdict in verdicts(view):
        lines += [f"**{escape(verdict.subject)}**: {_escape_sentence(verdict.text)}", ""]
    lines += [f"> {_escape_sentence(caution)}" for caution in cautions(view)]
    return lines if not lines or not lines[-1] else [*lines, ""]


def _escape_sentence(text: str) -> str:
    """Like ``escape``, but an interval keeps its brackets: ``[3.8, 4.6]`` is no markup."""
    return re.sub(r"\\\[([−\d., \N{NO-BREAK SPACE}]+)\\\]", r"[\1]", escape(text))  # noqa: RUF001 - our minus


def _absence_lines(view: SweepView) -> list[str]:
    lines = []
    for absence in view.absences:
        where = f" ({cell_numbers(absence.numbers)})" if absence.numbers else ""
        lines.append(f"- {escape(', '.join(absence.what))}{where}: {_escape_sentence(absence.reason)}")
    return lines or ["- Nothing: every quantity of every cell has a value and an interval."]


def _finding_row(finding: Finding, example: Example) -> list[str]:
    total = f"{example.found} of {example.of}" if example.of is not None else str(example.found)
    seen = [example.sample_id, example.wire, example.traced, example.place, example.trace_id]
    return [escape(finding.fact), escape(example.cell.name), total, *(escape(clip(text, 80)) for text in seen)]


def _finding_lines(found: list[Finding]) -> list[str]:
    lines = []
    for kind, (title, meaning) in KINDS.items():
        rows = [
            _finding_row(finding, example) for finding in found if finding.kind == kind for example in finding.examples
        ]
        if not rows:
            continue
        headings = ("Fact", "Cell", "How often", "Sample", "On the wire", "In the trace", "Place", "Trace")
        lines += [f"### {title}", "", meaning, "", *_table(headings, rows[:_FINDINGS_OF_A_KIND])]
        if len(rows) > _FINDINGS_OF_A_KIND:
            lines += ["", f"{len(rows) - _FINDINGS_OF_A_KIND} more stand in report.html."]
        lines.append("")
    return lines or ["Nothing was lost, wrong, missing or elsewhere.", ""]


def _precision_rows(view: SweepView) -> Iterable[list[str]]:
    for cell in view.cells:
        overhead = cell.result.overhead
        if overhead is None:
            continue
        load, drain = number(overhead.load_rate_per_s), number(overhead.drain_rate_per_s)
        counts = [overhead.forks, overhead.calls_per_fork, overhead.flagged_calls, overhead.failed_calls]
        smallest = quantity(overhead.smallest_effect_ms, "ms")
        yield [str(cell.number), escape(cell.name), *map(str, counts), smallest, load, drain]


def _cores(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "not pinned"


def _environment_lines(view: SweepView) -> list[str]:
    grouped: dict[tuple[str, ...], list[int]] = {}
    for cell in view.cells:
        record = cell.result.cell
        machine = record.machine
        told = (
            machine.hostname,
            f"{machine.cpu_model}, {machine.cpu_count} cores",
            machine.kernel,
            f"arms {_cores(machine.arm_cpus)}; gateway {_cores(machine.gateway_cpus)}",
            ", ".join(
                f"{name} {version}" for name, version in sorted({"python": machine.python, **record.versions}.items())
            ),
            f"{record.prompts}, {record.sample_count} samples, SHA-256 {record.prompt_set_digest}",
            f"{record.endpoint}, {record.measure}",
            str(record.seed),
        )
        grouped.setdefault(told, []).append(cell.number)
    headings = ("Cells", "Host", "Processor", "Kernel", "Pinned to", "Versions", "Prompts", "Endpoint, measure", "Seed")
    return _table(headings, ([cell_numbers(tuple(numbers)), *map(escape, told)] for told, numbers in grouped.items()))


def _fenced(text: str) -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence, text, fence]


def markdown_report(sweep: SweepResult) -> str:
    """The report for people who read Markdown: verdict, table, what is open, findings, precision, environment."""
    view = sweep_view(sweep)
    lines = ["# What tracing records, misses and costs", "", *_verdict_lines(view)]
    lines += ["## All cells", "", *_cells_table(view, tuple(column.key for column in COLUMNS)), ""]
    lines += ["## What was not found out", "", *_absence_lines(view), ""]
    lines += ["## Findings", "", *_finding_lines(findings(view))]
    precision = ("#", "Cell", "Forks", "Calls a fork", "Flagged", "Failed", "Smallest effect", "Load /s", "Drain /s")
    lines += ["## How precise the timing is", "", *_table(precision, _precision_rows(view)), ""]
    lines += ["## Where it was measured", "", *_environment_lines(view), ""]
    elapsed = duration(sweep.ended_unix_ns - sweep.started_unix_ns)
    lines += [f"Sweep {escape(sweep.sweep_id)}, {utc(sweep.started_unix_ns)}, {elapsed}. To repeat it:", ""]
    lines += _fenced(sweep.command or "(the command was not recorded)")
    return "\n".join(lines) + "\n"


def _fitting(lines: list[str], room: int, rest: str) -> list[str]:
    """As many whole lines as fit; the last one then says how many were left out."""
    if sum(len(line) + 1 for line in lines) <= room:
        return lines
    kept: list[str] = []
    used = len(rest) + 8
    for line in lines:
        used += len(line) + 1
        if used > room:
            break
        kept.append(line)
    return [*kept, "", rest.format(len(lines) - len(kept))]


def description(sweep: SweepResult) -> str:
    """The verdict, the table and what is open, in Markdown, short enough for a run's description."""
    view = sweep_view(sweep)
    room = DESCRIPTION_LIMIT
    sections = []
    for heading, lines, rest in (
        ([], _verdict_lines(view), "{} more lines in report.md."),
        ([], [*_cells_table(view, _SHORT_COLUMNS), ""], "{} more rows in report.md."),
        (["**What was not found out**", ""], _absence_lines(view), "{} more in report.md."),
    ):
        fitted = [*heading, *_fitting(lines, room - sum(len(line) + 1 for line in heading) - 40, rest)]
        room -= sum(len(line) + 1 for line in fitted)
        sections += fitted
    return "\n".join(sections).rstrip() + "\n"
