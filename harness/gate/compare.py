"""The comparison of two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.gate.costs import cost_pairs
from harness.gate.exact import completeness_comparisons
from harness.gate.family import judge
from harness.gate.losses import ending_pairs, failure_pairs, loss_pairs
from harness.gate.matching import changes, match_cells, refusals
from harness.gate.results import Comparison, GateResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.gate.family import Tested
    from harness.gate.matching import Match
    from harness.gate.results import Margins, Scope
    from harness.gate.runs import GatedCell, Run

_STATUS = "status"
_COMPARABLE = "ok"
_SUBJECTS = {"all": "cost or completeness", "completeness": "completeness", "cost": "cost"}


def compare(baseline: Run, current: Run, margins: Margins, scope: Scope = "all") -> GateResult:
    """Hold a run against a stored one.

    Raises:
        InputError: If two cells of one run cannot be told apart.
        ConfigError: If a margin is none.
    """
    margins.check()
    matches = match_cells(baseline, current)
    result = GateResult(
        baseline=baseline.name,
        current=current.name,
        margins=margins,
        scope=scope,
        refusals=refusals(baseline, current, matches, scope),
        changes=changes(matches, scope),
        notes=(*baseline.notes, *current.notes, *_new_cells(matches)),
    )
    if result.refusals:
        return result
    exact: list[Comparison] = []
    tested: list[Tested] = []
    for before, after in matches:
        if before is None:
            continue
        exact += _of_status(before, after)
        if after is None or before.status != _COMPARABLE or after.status != _COMPARABLE:
            continue
        if scope != "cost":
            exact += completeness_comparisons(before, after, margins)
            tested += ending_pairs(before, after, margins)
        if scope != "completeness":
            tested += loss_pairs(before, after, margins)
            tested += failure_pairs(before, after, margins)
            tested += cost_pairs(before, after, margins)
    if not tested and all(one.quantity == _STATUS and one.outcome != "worse" for one in exact):
        nothing = f"{baseline.name} has no {_SUBJECTS[scope]} that {current.name} could be held against"
        return result.model_copy(update={"refusals": (nothing,)})
    order = {one.baseline.label: place for place, one in enumerate(matches) if one.baseline is not None}
    found = sorted((*exact, *judge(tested)), key=lambda one: order[one.cell])
    tests = sum(pair.p_value is not None for pair in tested)
    return result.model_copy(update={"comparisons": tuple(found), "tests": tests})


def _new_cells(matches: list[Match]) -> Iterator[str]:
    for before, after in matches:
        if before is None and after is not None:
            yield f"{after.label} is new: the baseline has nothing to hold it against."


def _of_status(before: GatedCell, after: GatedCell | None) -> Iterator[Comparison]:
    """A cell that is gone or ended otherwise than before."""
    label = before.label
    if after is None:
        sentence = f"{label}: the cell is missing in the current run."
        yield Comparison(cell=label, quantity=_STATUS, outcome="worse", sentence=sentence)
    elif before.status == _COMPARABLE and after.status != _COMPARABLE:
        sentence = (
            f"{label}: the cell ran in the baseline and is {after.status} now: {after.reason or 'no reason given'}"
        )
        yield Comparison(cell=label, quantity=_STATUS, outcome="worse", sentence=f"{sentence.rstrip('.')}.")
    elif before.status != _COMPARABLE and after.status == _COMPARABLE:
        sentence = f"{label}: the cell was {before.status} in the baseline and runs now; it was not compared."
        yield Comparison(cell=label, quantity=_STATUS, outcome="better", sentence=sentence)
    elif before.status != _COMPARABLE:
        sentence = f"{label}: the cell is {after.status}, as in the baseline; it was not compared."
        yield Comparison(cell=label, quantity=_STATUS, outcome="not worse", sentence=sentence)
