"""Documents of sweeps made by hand, to be changed and compared."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from harness.gate import GateResult, Margins, Scope, compare, read_document
from harness.report import cells_json
from tests.report.conftest import Spec, build

if TYPE_CHECKING:
    from harness.gate import Comparison

SPECS = (
    Spec("openai", "none", added_ms=0.01),
    Spec("openai", "manual", "decorator/plain", added_ms=3.1),
    Spec("openai", "autolog", added_ms=4.1),
)
AUTOLOG = 2
"""Place of the cell that most tests change."""

Document = dict[str, Any]


def document(specs: tuple[Spec, ...] = SPECS, **changes: Any) -> Document:
    """``cells.json`` of a sweep, parsed."""
    made: Document = json.loads(cells_json(build(specs, **changes)))
    for cell in made["cells"]:
        # The tail of these cells is so noisy that equal runs may differ beyond the margin.
        if cell["overhead"] is not None:
            p95 = cell["overhead"]["estimates"]["p95_ms"]
            p95["per_fork"] = [p95["value"] + (one - p95["value"]) / 4 for one in p95["per_fork"]]
    return made


def gate(baseline: Document, current: Document, scope: Scope = "all", **margins: float) -> GateResult:
    """The comparison of two documents."""
    stored, new = read_document("stored", json.dumps(baseline)), read_document("new", json.dumps(current))
    return compare(stored, new, Margins(**margins), scope)


def forks_of(cell: Document, name: str, centre: float, spread: float, seed: int = 0) -> None:
    """Give a cell's estimate eight forks around a value."""
    dice = random.Random(f"{name}{seed}")
    values = [centre + dice.gauss(0, spread) for _ in range(8)]
    estimate = {"name": name, "unit": "ms", "low": None, "high": None, "forks": 8, "reason": None, "baseline": 1.5}
    cell["overhead"]["estimates"][name] = estimate | {"value": sum(values) / 8, "per_fork": values}


class Find(Protocol):
    """Finds the one comparison of a quantity of the autolog cell."""

    def __call__(self, result: GateResult, quantity: str) -> Comparison:
        """Find it."""


@pytest.fixture
def find() -> Find:
    def find_one(result: GateResult, quantity: str) -> Comparison:
        (found,) = [one for one in result.comparisons if one.quantity == quantity and "autolog" in one.cell]
        return found

    return find_one
