"""The report as one self-contained HTML file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report.defects import STATUSES, known_defects
from harness.report.findings import KINDS, TRACE, findings
from harness.report.format import ABSENT, count, duration, listed, number, quantity, utc
from harness.report.loads import CHECKS as LOAD_CHECKS
from harness.report.loads import COLUMNS as LOAD_COLUMNS
from harness.report.loads import MEANINGS as LOAD_MEANINGS
from harness.report.loads import STEP_COLUMNS as LOAD_STEPS
from harness.report.loads import load_results
from harness.report.losses import loss_table, not_run
from harness.report.matrix import LEVELS, by_scenario, matrix, recall_by_level
from harness.report.quantities import COLUMNS, why_no_overhead
from harness.report.reading import terms
from harness.report.soundness import comparisons_sentence, cost_rows, sound_rows
from harness.report.stages import not_measuring, stages_shown
from harness.report.steps import LEAD, MEANINGS, step_tables
from harness.report.upgrades import how_judged, runtime_words, upgrades
from harness.report.verdicts import cautions, cell_numbers, verdicts
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.report.findings import Finding
    from harness.report.load_figures import LoadFigure
    from harness.report.view import CellView, SweepView
    from harness.results import OverheadResult, SweepResult

_MIB = 2**20


class Scatter(NamedTuple):
    """Cost against completeness in one setting, drawn for wide and for narrow pages."""

    words: str
    wide: Markup
    narrow: Markup


class Panels(NamedTuple):
    """The latency distributions of one provider in one setting."""

    title: str
    figures: list[tuple[CellView, Markup]]


class Source(NamedTuple):
    """One strategy's source text, and the cells that ran it."""

    cells: tuple[CellView, ...]
    text: str


class Fact(NamedTuple):
    """One fact about where the cells ran: each value with the cells that have it, in words."""

    name: str
    values: tuple[tuple[str, str], ...]


def _provider_colours(view: SweepView) -> dict[str, int]:
    providers = dict.fromkeys(cell.provider for cell in view.cells)
    return {provider: index for index, provider in enumerate(providers)}


def _figures(view: SweepView) -> tuple[list[Scatter], list[Panels]]:
    # Matplotlib takes half a second to import, and the command line needs the other reports far more often.
    from harness.report.figures import cost_against_completeness, distributions  # noqa: PLC0415 - see above

    colours = _provider_colours(view)
    scatters, panels = [], []
    for index, setting in enumerate(view.settings):
        members = [view.cells[number - 1] for number in setting.numbers]
        wide = cost_against_completeness(members, colours, f"cost{index}", 760)
        narrow = cost_against_completeness(members, colours, f"cost{index}n", 340)
        if wide is not None and narrow is not None:
            scatters.append(Scatter(setting.words, wide, narrow))
        for provider in dict.fromkeys(cell.provider for cell in members):
            own = [cell for cell in members if cell.provider == provider]
            drawn = distributions(own, f"ecdf{index}")
            if drawn:
                panels.append(Panels(f"{provider} ({setting.words})" if setting.words else provider, drawn))
    return scatters, panels


def _steps(sweep: SweepResult) -> dict[str, Any]:
    """The cost taken apart: tables with their figures, drawn for wide and for narrow pages."""
    from harness.report.steps_figure import steps_figure  # noqa: PLC0415 - as in ``_figures``

    tables = step_tables(sweep)
    drawn = [
        (table, steps_figure(table, f"steps{index}"), steps_figure(table, f"steps{index}n", 340))
        for index, table in enumerate(tables)
    ]
    levels = max((table.levels for table in tables), key=len, default=())
    return {"step_figures": drawn, "step_lead": LEAD, "step_levels": levels, "step_meanings": MEANINGS}


def _load_panels(view: SweepView) -> list[tuple[str, list[tuple[CellView, int]], list[LoadFigure]]]:
    """For each setting its words, its cells with their colours, and the figures of their loads."""
    if not any(cell.result.loads for cell in view.cells):
        return []
    from harness.report.load_figures import colour_index, load_figures  # noqa: PLC0415 - as above

    panels = []
    for index, setting in enumerate(view.settings):
        members = [view.cells[number - 1] for number in setting.numbers]
        members = [cell for cell in members if cell.result.loads]
        if drawn := load_figures(members, f"load{index}"):
            panels.append((setting.words, [(cell, colour_index(cell)) for cell in members], drawn))
    return panels


def _runs(cells: tuple[CellView, ...]) -> list[list[CellView]]:
    """Neighbouring cells of one provider, for headings over several columns."""
    runs: list[list[CellView]] = []
    for cell in cells:
        if runs and runs[-1][-1].provider == cell.provider:
            runs[-1].append(cell)
        else:
            runs.append([cell])
    return runs


def _sources(view: SweepView) -> list[Source]:
    cells: dict[str, list[CellView]] = {}
    for cell in view.cells:
        cells.setdefault(cell.result.cell.strategy_source, []).append(cell)
    return [Source(tuple(members), text) for text, members in cells.items() if text.strip()]


class Kind(NamedTuple):
    """All findings of one kind: its heading, what it means, how many in words."""

    kind: str
    title: str
    meaning: str
    counted: str
    findings: list[Finding]


def _by_kind(view: SweepView) -> list[Kind]:
    found = findings(view)
    grouped = []
    for kind, (title, meaning) in KINDS.items():
        of_kind = [finding for finding in found if finding.kind == kind]
        total = sum(finding.found for finding in of_kind)
        if not of_kind:
            continue
        if kind == "different":
            # One call may differ in several ways.
            counted = count(sum(cell.opaque for cell in view.cells), "call")
        elif of_kind[0].fact == TRACE:
            counted = count(total, "trace")
        else:
            counted = f"{total} in {count(len(of_kind), 'fact')}"
        grouped.append(Kind(kind, title, meaning, counted, of_kind))
    return grouped


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


def _environment(view: SweepView) -> list[Fact]:
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


def _answers(cell: CellView) -> str:
    """How the answers of the completeness pass fared against the expected ones, in words."""
    exact = [row.exact_match for row in cell.result.rows if row.exact_match is not None]
    overlap = [row.token_overlap for row in cell.result.rows if row.token_overlap is not None]
    if not exact and not overlap:
        return ""
    parts = []
    if exact:
        parts.append(f"{sum(value == 1.0 for value in exact)} of {len(exact)} match the expected answer exactly")
    if overlap:
        parts.append(f"mean token overlap {number(sum(overlap) / len(overlap), decimals=2)}")
    return listed(parts)


def _or_why(text: str, why: str) -> str:
    return f"{ABSENT} ({why})" if text == ABSENT else text


def _timing_ledger(cell: CellView, overhead: OverheadResult) -> list[tuple[str, str]]:
    load, drain = overhead.load_rate_per_s, overhead.drain_rate_per_s
    smallest = quantity(overhead.smallest_effect_ms, "ms")
    floor = cell.shown["floor"]
    period = quantity(cell.result.cell.period_ms, "ms")
    return [
        ("Forks", str(overhead.forks)),
        ("Analysed calls a fork and arm", str(overhead.calls_per_fork)),
        ("Smallest effect this run could have seen", _or_why(smallest, "added p50 has no interval")),
        ("Equivalence margin", quantity(overhead.equivalence_margin_ms, "ms")),
        ("A/A floor of the provider", _or_why(floor.text, (floor.reason or "").rstrip("."))),
        ("Load", _or_why(f"{number(load)} calls/s" if load is not None else ABSENT, "not measured")),
        ("Drain rate", _or_why(f"{number(drain)} traces/s" if drain is not None else ABSENT, "nothing was drained")),
        ("Pace, least time from start to start", _or_why(period, "not recorded")),
        ("Calls kept but not analysed", str(overhead.flagged_calls)),
        ("Timed calls that failed", str(overhead.failed_calls)),
        ("Traces lost while timing", f"{overhead.traces_lost} of {overhead.traces_expected}"),
    ]


def _ledger(cell: CellView) -> list[tuple[str, str]]:
    """The counts and rates that a cell's estimates rest on; the verdict in words comes first."""
    record, completeness, overhead = cell.result.cell, cell.result.completeness, cell.result.overhead
    facts = [("Verdict", overhead.sentence)] if overhead is not None else []
    facts += [
        ("Cell", record.cell_id),
        ("MLflow run", _or_why(cell.result.run_id or ABSENT, "it never got one")),
        ("Time taken", duration(record.ended_unix_ns - record.started_unix_ns)),
    ]
    if record.stages_s:
        facts.append(("Time by stage", stages_shown(record)))
        facts.append(("Time that was not measuring", _or_why(not_measuring(record), "nothing was timed")))
    if completeness is not None:
        facts.append(("Calls of the completeness pass", str(completeness.calls)))
    if overhead is not None:
        facts += _timing_ledger(cell, overhead)
    answers = _answers(cell)
    return [*facts, *([("Answers", answers)] if answers else [])]


def breakable(text: str) -> Markup:
    """A name that a narrow column may break after its dots, slashes and underscores."""
    return Markup(re.sub(r"([./_])", r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped before anything is added


def template_environment(*packages: str) -> Environment:
    """Templates of these packages and of the reports, everything escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "harness.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": breakable, "cells": cell_numbers}
    return environment


def html_report(sweep: SweepResult) -> str:
    """One HTML file with everything: verdict, table, figures, evidence, ledger, sources, method.

    It loads nothing, runs no script, and is the same bytes for the same sweep. Every text from
    outside is escaped.
    """
    view = sweep_view(sweep)
    scatters, panels = _figures(view)
    defects = known_defects(view)
    context: dict[str, Any] = {
        "absent": ABSENT,
        "cautions": cautions(view),
        "cells_word": count(len(view.cells), "cell"),
        "colours": _provider_colours(view),
        "columns": COLUMNS,
        "elapsed": duration(sweep.ended_unix_ns - sweep.started_unix_ns),
        "environment": _environment(view),
        "comparisons": comparisons_sentence(view),
        "cost_rows": cost_rows,
        "defects": [(status, [one for one in defects if one.status == status]) for status in STATUSES],
        "findings": _by_kind(view),
        "levels": LEVELS,
        "load_checks": LOAD_CHECKS,
        "load_columns": LOAD_COLUMNS,
        "load_meanings": LOAD_MEANINGS,
        "load_steps": LOAD_STEPS,
        "load_panels": _load_panels(view),
        "loads": load_results(view),
        "losses": loss_table(view),
        "upgrades": upgrades(view),
        "upgrades_judged": how_judged(view),
        "runtime_words": runtime_words,
        "not_run": not_run(view),
        "recall_by_level": recall_by_level(view),
        "scenarios": by_scenario(view),
        "ledger": _ledger,
        "matrices": [(matrix(view, "mlflow"), "MLflow"), (matrix(view, "otel"), "OpenTelemetry GenAI")],
        "panels": panels,
        "providers": list(_provider_colours(view)),
        "runs": _runs,
        "scatters": scatters,
        "soundness": sound_rows(view),
        "sources": _sources(view),
        **_steps(sweep),
        "started": utc(sweep.started_unix_ns),
        "sweep": sweep,
        "terms": terms(view),
        "verdicts": verdicts(view),
        "view": view,
        "why_no_overhead": why_no_overhead,
    }
    return template_environment().get_template("report.html.j2").render(context).lstrip() + "\n"
