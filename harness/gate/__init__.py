"""The gate: holds one run against a stored one, and says what got worse beyond noise.

Pure functions of two documents: ``cells.json`` of two sweeps, or two files of the suite in
``tests/benchmarks``. Costs are compared by the values of single forks, facts one by one.
"""

from harness.gate.compare import compare
from harness.gate.junit import junit_xml
from harness.gate.markdown import gate_markdown
from harness.gate.reading import read_document
from harness.gate.results import Comparison, GateResult, Margins, Outcome, Scope
from harness.gate.runs import Form, GatedCell, Run

__all__ = [
    "Comparison",
    "Form",
    "GateResult",
    "GatedCell",
    "Margins",
    "Outcome",
    "Run",
    "Scope",
    "compare",
    "gate_markdown",
    "junit_xml",
    "read_document",
]
