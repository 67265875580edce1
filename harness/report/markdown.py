"""The report as GitHub-flavoured Markdown, and its short form for a run's description."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.report.defects import known_defects
from harness.report.dominance import dominance_sentences
from harness.report.findings import KINDS, findings
from harness.report.format import ABSENT, clip, clip_pair, count, duration, number, quantity, utc
from harness.report.headlines import headlines
from harness.report.links import with_trace_links
from harness.report.loads import CHECKS as LOAD_CHECKS
from harness.report.loads import COLUMNS as LOAD_COLUMNS
from harness.report.loads import STEP_COLUMNS as LOAD_STEPS
from harness.report.loads import load_results
from harness.report.losses import loss_table, not_run
from harness.report.marking import escape
from harness.report.marking import escape_sentence as _escape_sentence
from harness.report.marking import table as _table
from harness.report.matrix import LEVELS, by_scenario, recall_by_level
from harness.report.quantities import COLUMNS, QUANTILES_LEAD, estimate_shown
from harness.report.reading import column_terms, terms
from harness.report.soundness import comparisons_sentence, cost_rows, sound_rows
from harness.report.stages import not_measuring, stages_shown
from harness.report.steps import LEAD, step_tables
from harness.report.upgrades import how_judged, runtime_words, upgrades
from harness.report.verdicts import cautions, cell_numbers, verdicts
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.records import Machine
    from harness.report.findings import Example, Finding
    from harness.report.pictures import Picture, Section
    from harness.report.view import CellView, SweepView
    from harness.results import SweepResult

DESCRIPTION_LIMIT = 7500
"""Characters of a description; MLflow silently cuts a tag's value at 8000."""

_WHERE = "All figures and all evidence: artifact report.html of this run."
_HEADLINES_LIMIT = 2500
"""Characters of a description that findings may take, so that the table has room."""

_FINDINGS_OF_A_KIND = 30
_PERCENTS = (10, 30, 50, 70, 90, 95, 99)
"""Quantiles of the latencies that Markdown has room for."""

_RATES = ("Load /s", "Drain /s", "Pace")
_SHORT_COLUMNS = ("recall", "fidelity", "traces", "added", "cpu", "drain")


def _added(cell: CellView) -> str:
    text = cell.shown["added"].text
    return f"{text}, {cell.verdict}" if cell.verdict and not cell.shown["added"].absent else text


def _row(cell: CellView, keys: tuple[str, ...]) -> list[str]:
    word = f"**{cell.status}**" if cell.broken else cell.status
    status = word if cell.status == "ok" else f"{word}: {escape(clip(cell.reason or '', 120))}"
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
        points = [f"- {_escape_sentence(point)}" for point in verdict.points]
        lines += [*points, ""] if points else []
    lines += [f"> {_escape_sentence(caution)}" for caution in cautions(view)]
    return lines if not lines or not lines[-1] else [*lines, ""]


def _absence_lines(view: SweepView) -> list[str]:
    lines = []
    for absence in view.absences:
        where = f" ({cell_numbers(absence.numbers)})" if absence.numbers else ""
        lines.append(f"- {escape(', '.join(absence.what))}{where}: {_escape_sentence(absence.reason)}")
    return lines or ["- Nothing: every quantity of every cell has a value and an interval."]


def _finding_row(finding: Finding, example: Example) -> list[str]:
    total = f"{example.found} of {example.of}" if example.of is not None else str(example.found)
    sample = f"{example.sample_id} ({example.scenarios})" if example.scenarios else example.sample_id
    sides = clip_pair(example.wire, example.traced, 80)
    seen = [clip(sample, 80), *sides, clip(example.place, 80), example.trace_id]
    return [escape(finding.fact), escape(example.cell.name), total, *map(escape, seen)]


def _finding_lines(found: list[Finding]) -> list[str]:
    lines = []
    for kind, (title, meaning) in KINDS.items():
        rows = [
            _finding_row(finding, example) for finding in found if finding.kind == kind for example in finding.examples
        ]
        if not rows:
            continue
        sides = ("Without tracing", "With tracing") if kind == "different" else ("On the wire", "In the trace")
        headings = ("Fact", "Cell", "Calls", "Sample (scenario)", *sides, "Place", "Trace")
        lines += [f"### {title}", "", meaning, "", *_table(headings, rows[:_FINDINGS_OF_A_KIND])]
        if len(rows) > _FINDINGS_OF_A_KIND:
            lines += ["", f"{len(rows) - _FINDINGS_OF_A_KIND} more stand in report.html."]
        lines.append("")
    return lines or [
        "No call was changed, no trace lost, and no fact is wrong, missing or elsewhere; known defects follow.",
        "",
    ]


def _defect_lines(view: SweepView) -> list[str]:
    rows = [
        [
            defect.status,
            escape(f"{'' if defect.status == 'found' else f'{defect.status}: '}{defect.title}"),
            escape(entry.cell.name),
            f"{entry.calls} of {entry.applicable}",
            *(escape(clip(text, 80)) for text in (entry.sample_id, entry.wire, entry.traced, entry.trace_id)),
        ]
        for defect in known_defects(view)
        for entry in defect.entries
    ]
    headings = ("Status", "Defect", "Cell", "Calls", "Sample", "On the wire", "In the trace", "Trace")
    return _table(headings, rows) if rows else ["No scenario ran that shows any of them."]


def _loss_lines(view: SweepView) -> list[str]:
    losses = loss_table(view)
    if not losses.rows:
        return ["No cell tried how a process may end."]
    rows = (
        [escape(ending), *("·" if entry is None else entry.text for entry in entries)]
        for ending, entries in losses.rows
    )
    return _table(("How the process ended", *(escape(cell.name) for cell in losses.cells)), rows)


def _load_lines(view: SweepView) -> list[str]:
    loads = load_results(view)
    lines = []
    if loads.rows:
        rows = (
            [row.load, escape(row.cell.name), row.verdict, *(row.text(key) for key in LOAD_COLUMNS)]
            for row in loads.rows
        )
        lines += [*_table(("Load", "Cell", "Verdict", *LOAD_COLUMNS.values()), rows), "", LOAD_CHECKS, ""]
        lines += [
            f"- {row.load}, {escape(row.cell.name)}: {_escape_sentence(doubt)}"
            for row in loads.rows
            for doubt in row.doubts
        ]
        lines.append("")
    lines += [f"**{escape(cell.name)}**, saturation: {_escape_sentence(text)}\n" for cell, text in loads.sentences]
    if loads.saturation:
        steps = ([escape(row.cell.name), *(getattr(row, key) for key in LOAD_STEPS)] for row in loads.saturation)
        lines += [*_table(("Cell", *LOAD_STEPS.values()), steps), ""]
    for gap in loads.missing:
        what = f"{', '.join(gap.loads)} ({cell_numbers(gap.numbers)})" if gap.loads else cell_numbers(gap.numbers)
        lines.append(f"- {escape(what)}: {_escape_sentence(gap.reason)}")
    return lines or ["No cell was timed."]


def _upgrade_lines(view: SweepView) -> list[str]:
    found = upgrades(view)
    if not found:
        return []
    lines = ["## What other versions changed", "", _escape_sentence(how_judged(view)), ""]
    for one in found:
        cells = (one.before, one.after)
        lines += [f"### {escape(one.title)}", ""]
        rows = [[name, escape(old), escape(new), ""] for name, old, new in one.versions]
        rows += [[row.title, *map(_escape_sentence, row.texts)] for row in one.rows]
        rows += [[escape(change.fact), change.before, change.after, ""] for change in one.facts]
        headings = ("", *(f"Cell {cell.number}: {escape(runtime_words(cell))}" for cell in cells))
        lines += [*_table((*headings, "After minus before [95%]"), rows), ""]
    return lines


def _level_lines(view: SweepView) -> list[str]:
    rows = [[escape(row.cell.name), *row.shares] for row in recall_by_level(view)]
    if not rows:
        return []
    headings = ("Cell", *(level.replace("_", " ") for level in LEVELS))
    return ["## OpenTelemetry's recall by requirement level", "", *_table(headings, rows), ""]


def _scenario_lines(view: SweepView) -> list[str]:
    lines = []
    for group in by_scenario(view):
        rows = (
            [
                escape(row.scenario),
                str(row.calls),
                str(row.lost),
                row.recall,
                row.fidelity,
                "; ".join(f"{verdict}: {escape(names)}" for verdict, names in row.faults),
            ]
            for row in group.rows
        )
        headings = ("Scenario", "Calls", "Lost", "Recall", "Fidelity", "Not recorded")
        lines += [f"### {escape(group.cell.name)}", "", *_table(headings, rows), ""]
    return ["## Scenario by scenario", "", *lines] if lines else []


def _not_run_lines(view: SweepView) -> list[str]:
    lines = [
        f"- {escape(', '.join(part.scenarios) or 'samples')} "
        f"({count(part.samples, 'sample')} in {cell_numbers(part.numbers)}): {_escape_sentence(part.reason)}"
        for part in not_run(view)
    ]
    return ["### What could not be run", "", *lines, ""] if lines else []


def _precision_rows(view: SweepView) -> Iterable[list[str]]:
    for cell in view.cells:
        overhead = cell.result.overhead
        if overhead is None:
            continue
        load, drain = number(overhead.load_rate_per_s), number(overhead.drain_rate_per_s)
        counts = [overhead.forks, overhead.calls_per_fork, overhead.flagged_calls, overhead.failed_calls]
        smallest = quantity(overhead.smallest_found_ms, "ms")
        pace = quantity(cell.result.cell.period_ms, "ms")
        yield [str(cell.number), escape(cell.name), *map(str, counts), smallest, load, drain, pace]


def _sentence_lines(view: SweepView) -> list[str]:
    """The verdict of each cell in full: what it rests on, what stands beside it, and what ended its forks."""
    return [
        f"- {cell.number} {escape(cell.name)}: {_escape_sentence(cell.result.overhead.sentence)}"
        for cell in view.cells
        if cell.result.overhead is not None
    ]


def _step_lines(sweep: SweepResult, drawn: Sequence[Picture]) -> list[str]:
    lines = []
    for table in step_tables(sweep):
        headings = (
            "Traces go",
            *map(escape, table.levels),
            "Sum of the steps",
            "End to end",
            "Sum minus whole",
            "Sum and whole",
        )
        rows = ([row.way, *row.steps, row.total, row.whole, row.difference, row.verdict] for row in table.rows)
        lines += [f"### {escape(table.label)}: {table.title}", "", *_table(headings, rows), ""]
        lines += [*(f"- {_escape_sentence(sentence)}" for sentence in table.sentences), ""]
    return ["## Where the cost goes", "", _escape_sentence(LEAD), "", *_shown(drawn, "steps"), *lines] if lines else []


def _shown(drawn: Sequence[Picture], section: Section) -> list[str]:
    return [line for one in drawn if one.section == section for line in (f"![{escape(one.alt)}]({one.file})", "")]


def _cost_lines(view: SweepView, drawn: Sequence[Picture]) -> list[str]:
    """Cost against completeness: the figure, and which strategies another one dominates."""
    lines = _shown(drawn, "cost")
    for setting in view.settings:
        members = [view.cells[number - 1] for number in setting.numbers]
        lines += [f"- {_escape_sentence(sentence)}" for sentence in dominance_sentences(members)]
    return ["## Cost against completeness", "", *lines, ""] if lines else []


def _quantile_lines(view: SweepView) -> list[str]:
    """What is added to fast, usual and slow calls, for the cells of which intervals are known."""
    rows = []
    for cell in view.cells:
        shift = cell.result.overhead.shift if cell.result.overhead is not None else ()
        texts = {one.percent: estimate_shown(one.added).text for one in shift if one.added.low is not None}
        if texts:
            rows.append([str(cell.number), escape(cell.name), *(texts.get(percent, ABSENT) for percent in _PERCENTS)])
    headings = ("#", "Cell", *(f"p{percent} [95%]" for percent in _PERCENTS))
    return (
        ["## What is added to fast and to slow calls", "", QUANTILES_LEAD, "", *_table(headings, rows), ""]
        if rows
        else []
    )


def _cost_rows(view: SweepView) -> Iterable[list[str]]:
    for cell in view.cells:
        for row in cost_rows(cell):
            if not row.added.absent:
                against = (row.untraced, row.ratio, row.floor.text)
                yield [str(cell.number), escape(cell.name), escape(row.words), row.added.text, *against]


def _sound_lines(view: SweepView) -> list[str]:
    rows = [
        [str(row.cell.number), escape(row.cell.name)]
        + [_escape_sentence(text) for text in (row.verdict, row.among_many, row.steady, row.drift, row.machine)]
        for row in sound_rows(view)
    ]
    if not rows:
        return ["No cell was timed."]
    sentence = comparisons_sentence(view)
    headings = ("#", "Cell", "Verdict", "As one of many", "From the first calls to the last", "From fork to fork")
    return [*([_escape_sentence(sentence), ""] if sentence else []), *_table((*headings, "The machine"), rows)]


def _stage_lines(view: SweepView) -> list[str]:
    """Where the time of the cells went that were timed."""
    rows = [
        [str(cell.number), escape(cell.name), not_measuring(record), stages_shown(record)]
        for cell in view.cells
        if (record := cell.result.cell).not_measuring_share is not None
    ]
    headings = ("#", "Cell", "Not measuring", "Time by stage")
    return ["### Where the time went", "", *_table(headings, rows), ""] if rows else []


def _cores(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "not pinned"


def _pinned(machine: Machine) -> str:
    shared = ", threads of one physical core" if machine.shared_core else ""
    idle = ", idle cores kept awake" if machine.idle_polling else ""
    return f"arms {_cores(machine.arm_cpus)}; gateway {_cores(machine.gateway_cpus)}{shared}{idle}"


def _environment_lines(view: SweepView) -> list[str]:
    grouped: dict[tuple[str, ...], list[int]] = {}
    for cell in view.cells:
        record = cell.result.cell
        machine = record.machine
        told = (
            machine.hostname,
            f"{machine.cpu_model}, {machine.cpu_count} cores",
            machine.kernel,
            _pinned(machine),
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


def _reading_lines(view: SweepView) -> list[str]:
    return [
        f"- **{escape(name)}**: {_escape_sentence(meaning)}" for name, meaning in (*terms(view), *column_terms(view))
    ]


def _fenced(text: str) -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence, text, fence]


def markdown_report(sweep: SweepResult, drawn: Sequence[Picture] = ()) -> str:
    """The report for people who read Markdown: verdict, table, what is open, findings, precision, environment.

    Args:
        sweep: The sweep.
        drawn: Figures that lie beside the report in files of their own; each is shown in its section.
    """
    view = sweep_view(sweep)
    lines = ["# What tracing records, misses and costs", "", *_verdict_lines(view)]
    lines += ["Words and headings are explained under [How to read this](#how-to-read-this).", ""]
    lines += ["## All cells", "", *_cells_table(view, tuple(column.key for column in COLUMNS)), ""]
    lines += _cost_lines(view, drawn)
    lines += ["## Findings", "", *_finding_lines(findings(view))]
    lines += ["## Known defects", "", *_defect_lines(view), ""]
    lines += ["## Traces lost when a process ends", "", *_loss_lines(view), ""]
    lines += _upgrade_lines(view)
    lines += ["## What was not found out", "", *_absence_lines(view), "", *_not_run_lines(view)]
    lines += _level_lines(view) + _scenario_lines(view)
    lines += ["## Under load", "", *_shown(drawn, "loads"), *_load_lines(view), ""]
    precision = ("#", "Cell", "Forks", "Calls a fork", "Flagged", "Failed", "Smallest effect", *_RATES)
    lines += ["## How precise the timing is", "", *_table(precision, _precision_rows(view)), ""]
    lines += [*_sentence_lines(view), ""]
    lines += _quantile_lines(view)
    lines += _step_lines(sweep, drawn)
    costs = ("#", "Cell", "Cost", "Added [95%]", "Untraced [95%]", "Times untraced [95%]", "A/A floor")
    lines += ["## Costs beside their baselines", "", *_table(costs, _cost_rows(view)), ""]
    lines += ["## How sound the timing is", "", *_sound_lines(view), ""]
    lines += _stage_lines(view)
    lines += ["## How to read this", "", *_reading_lines(view), ""]
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


def _headline_lines(view: SweepView) -> list[str]:
    lines = [f"- {with_trace_links(view.sweep, _escape_sentence(sentence))}" for sentence in headlines(view)]
    return [*(lines or ["- None."]), ""]


def description(sweep: SweepResult) -> str:
    """The verdict, the gravest findings, the table and what is open, short enough for a run's description."""
    view = sweep_view(sweep)
    room = DESCRIPTION_LIMIT - len(_WHERE) - 2
    sections = []
    for heading, lines, rest, most in (
        ([], _verdict_lines(view), "{} more lines in report.md.", room),
        (["**Gravest findings**", ""], _headline_lines(view), "{} more in report.md.", _HEADLINES_LIMIT),
        ([], [*_cells_table(view, _SHORT_COLUMNS), ""], "{} more rows in report.md.", room),
        (["**What was not found out**", ""], _absence_lines(view), "{} more in report.md.", room),
    ):
        free = min(room - 40, most) - sum(len(line) + 1 for line in heading)
        fitted = [*heading, *_fitting(lines, free, rest), ""]
        room -= sum(len(line) + 1 for line in fitted)
        sections += fitted
    return re.sub("\n{3,}", "\n\n", "\n".join(sections)).rstrip() + "\n\n" + _WHERE + "\n"
