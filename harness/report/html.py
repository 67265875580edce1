"""The report as one self-contained HTML file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report.cell_ledger import ledger
from harness.report.defects import STATUSES, known_defects
from harness.report.dominance import dominance_sentences
from harness.report.environment import environment
from harness.report.findings import KINDS, TRACE, findings
from harness.report.format import ABSENT, count, duration, utc
from harness.report.links import links_sentence, run_link, trace_link
from harness.report.loads import CHECKS as LOAD_CHECKS
from harness.report.loads import COLUMNS as LOAD_COLUMNS
from harness.report.loads import MEANINGS as LOAD_MEANINGS
from harness.report.loads import STEP_COLUMNS as LOAD_STEPS
from harness.report.loads import load_results
from harness.report.losses import loss_table, not_run
from harness.report.matrix import LEVELS, by_scenario, matrix, recall_by_level
from harness.report.quantities import COLUMNS, QUANTILES_LEAD, estimate_shown, why_no_overhead, why_no_shift
from harness.report.reading import terms
from harness.report.soundness import comparisons_sentence, cost_rows, sound_rows
from harness.report.steps import LEAD, MEANINGS, step_tables
from harness.report.upgrades import how_judged, runtime_words, upgrades
from harness.report.verdicts import cautions, cell_numbers, verdicts
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from harness.report.findings import Finding
    from harness.report.load_figures import LoadFigure
    from harness.report.view import CellView, SweepView
    from harness.results import SweepResult


class Scatter(NamedTuple):
    """Cost against completeness in one setting, drawn for wide and for narrow pages."""

    words: str
    wide: Markup
    narrow: Markup
    sentences: list[str]


class Panels(NamedTuple):
    """The latency distributions of one provider in one setting."""

    title: str
    figures: list[tuple[CellView, Markup, Markup | None]]


class Source(NamedTuple):
    """One strategy's source text, and the cells that ran it."""

    cells: tuple[CellView, ...]
    text: str


def _provider_colours(view: SweepView) -> dict[str, int]:
    providers = dict.fromkeys(cell.provider for cell in view.cells)
    return {provider: index for index, provider in enumerate(providers)}


def _figures(view: SweepView) -> tuple[list[Scatter], list[Panels]]:
    # Matplotlib takes half a second to import, and the command line needs the other reports far more often.
    from harness.report.cost_figure import cost_against_completeness  # noqa: PLC0415 - see above
    from harness.report.figures import distributions  # noqa: PLC0415
    from harness.report.shift_figure import shift_figures  # noqa: PLC0415

    colours = _provider_colours(view)
    scatters, panels = [], []
    for index, setting in enumerate(view.settings):
        members = [view.cells[number - 1] for number in setting.numbers]
        wide = cost_against_completeness(members, colours, f"cost{index}", 760)
        narrow = cost_against_completeness(members, colours, f"cost{index}n", 340)
        if wide is not None and narrow is not None:
            scatters.append(Scatter(setting.words, wide, narrow, dominance_sentences(members)))
        for provider in dict.fromkeys(cell.provider for cell in members):
            own = [cell for cell in members if cell.provider == provider]
            drawn = distributions(own, f"ecdf{index}")
            shifts = shift_figures(own, f"shift{index}")
            if drawn:
                title = f"{provider} ({setting.words})" if setting.words else provider
                panels.append(Panels(title, [(cell, figure, shifts.get(cell.number)) for cell, figure in drawn]))
    return scatters, panels


def _steps(sweep: SweepResult) -> dict[str, Any]:
    """The cost taken apart: tables with their figures, drawn for wide and for narrow pages."""
    from harness.report.steps_figure import by_scale, steps_figure  # noqa: PLC0415 - as in ``_figures``

    tables = step_tables(sweep)
    drawn = [
        (
            table,
            [
                (steps_figure(part, f"steps{index}-{place}"), steps_figure(part, f"steps{index}-{place}n", 340))
                for place, part in enumerate(by_scale(table))
            ],
        )
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


def breakable(text: str) -> Markup:
    """A name that a narrow column may break after its dots, slashes and underscores."""
    return Markup(re.sub(r"([./_])", r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped before anything is added


def template_environment(*packages: str) -> Environment:
    """Templates of these packages and of the reports, everything escaped."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "harness.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"breakable": breakable, "cells": cell_numbers}
    return made


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
        "environment": environment(view),
        "comparisons": comparisons_sentence(view),
        "cost_rows": cost_rows,
        "defects": [(status, [one for one in defects if one.status == status]) for status in STATUSES],
        "estimate_shown": estimate_shown,
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
        "ledger": ledger,
        "links": links_sentence(sweep),
        "run_link": lambda run_id: run_link(sweep, run_id),
        "trace_link": lambda trace_id: trace_link(sweep, trace_id),
        "matrices": [(matrix(view, "mlflow"), "MLflow"), (matrix(view, "otel"), "OpenTelemetry GenAI")],
        "panels": panels,
        "quantiles_lead": QUANTILES_LEAD,
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
        "why_no_shift": why_no_shift,
    }
    return template_environment().get_template("report.html.j2").render(context).lstrip() + "\n"
