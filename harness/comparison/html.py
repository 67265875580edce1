"""A comparison as one self-contained HTML file, in the look of the reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.comparison import sections
from harness.report.html import template_environment

if TYPE_CHECKING:
    from harness.comparison.results import ComparisonResult

_COLOURS = {"worse": "var(--alarm)", "mixed": "var(--elsewhere)", "better": "var(--recorded)"}


def compare_html(result: ComparisonResult) -> str:
    """The page: it loads nothing, runs no script, and is the same bytes for the same result.

    Every text from outside is escaped.
    """
    template = template_environment("harness.comparison").get_template("compare.html.j2")
    return template.render(result=result, sections=sections, colours=_COLOURS).lstrip() + "\n"
