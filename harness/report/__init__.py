"""Reports of a sweep: pure functions from ``SweepResult`` to texts and tables.

Nothing here reads a clock, a file of records or the network, so the same sweep gives the same
bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.console import console_table
from harness.report.data import cells_json
from harness.report.headlines import headlines
from harness.report.html import html_report
from harness.report.markdown import description, markdown_report
from harness.report.verdicts import verdicts
from harness.report.view import sweep_view

if TYPE_CHECKING:
    from harness.results import SweepResult

__all__ = [
    "cells_json",
    "console_table",
    "description",
    "finding_sentences",
    "html_report",
    "markdown_report",
    "report_files",
    "verdict_sentences",
]


def report_files(sweep: SweepResult) -> dict[str, str]:
    """Everything that a sweep's report consists of, by file name: HTML, Markdown with its figures, and JSON."""
    # Matplotlib takes half a second to import, and a terminal needs no figure.
    from harness.report.pictures import pictures  # noqa: PLC0415 - see above

    drawn = pictures(sweep_view(sweep))
    return {
        "report.html": html_report(sweep),
        "report.md": markdown_report(sweep, drawn),
        "cells.json": cells_json(sweep),
        **{one.file: one.text for one in drawn},
    }


def verdict_sentences(sweep: SweepResult) -> list[str]:
    """The verdict in plain text: where the cost goes, one or two sentences for each provider and setting, then CPU."""
    cpu = [one.sentence for one in sweep.steps if one.quantity != "p50_ms"]
    return [*(str(verdict) for verdict in verdicts(sweep_view(sweep))), *cpu]


def finding_sentences(sweep: SweepResult) -> list[str]:
    """The gravest findings in plain text, one sentence each; the report has all of them."""
    return headlines(sweep_view(sweep))
