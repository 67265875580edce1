"""Sides made by hand from sweeps that are made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.comparison import ComparedPair, ComparisonResult, Line, Side, compare
from harness.gate import Margins, Scope, read_document
from harness.report import cells_json
from tests.report.conftest import Spec, build

if TYPE_CHECKING:
    from harness.results import Estimate, SweepResult

SPECS = (
    Spec("openai", "none", added_ms=0.01),
    Spec("openai", "manual", "decorator/plain", added_ms=3.1),
    Spec("openai", "autolog", added_ms=4.1),
)
AUTOLOG = 2


def side(sweep: SweepResult, name: str, *cells: int) -> Side:
    """A sweep, or some cells of it by their places."""
    run = read_document(name, cells_json(sweep))
    chosen = tuple(run.cells[place] for place in cells) if cells else run.cells
    run = run.model_copy(update={"identity": name, "cells": chosen})
    return Side(f"sweep {name}", name, run, {cell.cell.cell_id: cell for cell in sweep.cells})


def made(specs: tuple[Spec, ...] = SPECS, **changes: Any) -> SweepResult:
    """A sweep whose tails are as calm as its medians."""
    return build(specs, **changes)


def with_forks(sweep: SweepResult, name: str, values: tuple[float, ...], place: int = AUTOLOG) -> SweepResult:
    """A sweep in which a cell's estimate has these values."""
    cell = sweep.cells[place]
    assert cell.overhead is not None
    estimates = dict(cell.overhead.estimates)
    estimate: Estimate = estimates[name]
    update = {"value": sum(values) / len(values), "per_fork": values, "forks": len(values)}
    estimates[name] = estimate.model_copy(update=update)
    changed = cell.model_copy(update={"overhead": cell.overhead.model_copy(update={"estimates": estimates})})
    return sweep.model_copy(update={"cells": (*sweep.cells[:place], changed, *sweep.cells[place + 1 :])})


def compared(a: SweepResult, b: SweepResult, scope: Scope = "all", **margins: float) -> ComparisonResult:
    """The comparison of two sweeps."""
    return compare(side(a, "one"), side(b, "two"), Margins(**margins), scope)


def pair_of(result: ComparisonResult, word: str = "autolog") -> ComparedPair:
    """The one pair with this word in its title."""
    (found,) = [pair for pair in result.pairs if word in pair.title]
    return found


def line_of(result: ComparisonResult, quantity: str, word: str = "autolog") -> Line:
    """The one line of a quantity."""
    (found,) = [line for line in pair_of(result, word).lines if line.quantity == quantity]
    return found
