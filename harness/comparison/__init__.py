"""What changed between two sweeps, or two cells: in both directions, and what cannot be said.

Pure functions of what sweeps left. A gate asks one thing, whether anything got worse; a comparison
tells what became better or worse, what is the same, what is equivalent within a margin, and for the
rest why nothing can be said. It refuses what the gate refuses.
"""

from harness.comparison.compare import compare
from harness.comparison.html import compare_html
from harness.comparison.markdown import compare_markdown
from harness.comparison.results import ComparedPair, ComparisonResult, FactMove, Line, Side

__all__ = [
    "ComparedPair",
    "ComparisonResult",
    "FactMove",
    "Line",
    "Side",
    "compare",
    "compare_html",
    "compare_markdown",
]
