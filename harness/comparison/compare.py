"""The comparison of two sides."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from harness.comparison.costs import cost_lines
from harness.comparison.evidence import with_evidence
from harness.comparison.facts import count_lines, moves, score_lines
from harness.comparison.family import judge
from harness.comparison.losses import ending_lines, timed_lines
from harness.comparison.pairing import key_differences, pair_cells, title_of, why_not
from harness.comparison.results import ComparedPair, ComparisonResult
from harness.gate.runs import differing
from harness.gate.sweeps import STRATEGY_OF
from harness.report.format import count, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.comparison.facts import Move
    from harness.comparison.family import Candidate
    from harness.comparison.pairing import Pairing
    from harness.comparison.results import Line, Side
    from harness.gate.results import Margins, Scope
    from harness.gate.runs import GatedCell

_COMPARABLE = "ok"


class _Found(NamedTuple):
    """A pair before it is known how many comparisons there are."""

    a: GatedCell
    b: GatedCell
    moves: list[Move]
    lines: list[Line | Candidate]


def compare(a: Side, b: Side, margins: Margins, scope: Scope = "all") -> ComparisonResult:
    """Say what changed from the first to the second, what did not, and what cannot be said.

    Raises:
        InputError: If two cells of one side cannot be told apart.
        ConfigError: If a margin is none.
    """
    margins.check()
    pairing = pair_cells(a.run, b.run)
    refusals = why_not(a.run, b.run, pairing, scope)
    result = ComparisonResult(
        a=a.title,
        b=b.title,
        a_when=a.when,
        b_when=b.when,
        margins=margins,
        scope=scope,
        refusals=refusals,
        only_costs=scope == "all" and bool(pairing.pairs) and not why_not(a.run, b.run, pairing, "completeness"),
        harmless=_harmless(pairing.pairs, scope),
        notes=tuple(_notes(pairing)),
    )
    if refusals:
        return result
    found = [_found(one, other, margins, scope) for one, other in pairing.pairs if _compared(one) and _compared(other)]
    lines, tests = judge([line for pair in found for line in pair.lines])
    if not lines:
        reasons = " ".join(result.notes) or f"neither has any {'completeness or cost' if scope == 'all' else scope}"
        return result.model_copy(update={"refusals": (f"there is nothing to compare: {reasons.rstrip('.')}",)})
    judged = iter(lines)
    pairs = tuple(_pair(one, [next(judged) for _ in one.lines], a, b) for one in found)
    return result.model_copy(update={"pairs": pairs, "tests": tests})


def _found(a: GatedCell, b: GatedCell, margins: Margins, scope: Scope) -> _Found:
    facts: list[Move] = []
    lines: list[Line | Candidate] = []
    if scope != "cost":
        if a.completeness is not None and b.completeness is not None and not _sampled(a, b):
            facts = moves(a.completeness, b.completeness)
        lines += [*score_lines(a, b, facts), *count_lines(a, b), *ending_lines(a, b, margins)]
    if scope != "completeness":
        lines += [*timed_lines(a, b, margins), *cost_lines(a, b, margins)]
    return _Found(a, b, facts, lines)


def _sampled(*cells: GatedCell) -> bool:
    return any(cell.completeness is not None and cell.completeness.sampled for cell in cells)


def _ran(cell: GatedCell) -> bool:
    return cell.status == _COMPARABLE


def _compared(cell: GatedCell) -> bool:
    """An untraced cell records nothing, and costs nothing that is not noise."""
    return _ran(cell) and not cell.is_baseline


def _pair(found: _Found, lines: Sequence[Line], a: Side, b: Side) -> ComparedPair:
    differs = key_differences(found.a, found.b)
    return ComparedPair(
        title=title_of(found.a, found.b, differs),
        a=found.a.label,
        b=found.b.label,
        differs=differs,
        lines=tuple(lines),
        moves=with_evidence(found.moves, a.results.get(found.a.cell_id), b.results.get(found.b.cell_id)),
    )


def _harmless(pairs: Sequence[tuple[GatedCell, GatedCell]], scope: Scope) -> tuple[tuple[str, str, str, int], ...]:
    """What differs and may, each with the number of pairs that it is true of."""
    found: Counter[tuple[str, str, str]] = Counter()
    for a, b in pairs:
        found.update(one for one in differing(a.versions, b.versions) if not _is_strategy_of_one(*one))
        if scope == "completeness":
            # They forbid a comparison of costs; what a trace holds is compared, and may be their doing.
            found.update(differing(a.environment, b.environment))
            found.update(differing(a.cost_conditions, b.cost_conditions, both=True))
    return tuple((*difference, cells) for difference, cells in sorted(found.items()))


def _is_strategy_of_one(name: str, old: str, new: str) -> bool:
    """Whether it is only where another strategy comes from, which the pair's title says already."""
    return name.startswith(STRATEGY_OF) and not (old and new)


def _notes(pairing: Pairing) -> Iterator[str]:
    for which, other, cells in (("A", "B", pairing.only_a), ("B", "A", pairing.only_b)):
        if cells:
            verb = "is" if len(cells) == 1 else "are"
            labels = listed([cell.label for cell in cells])
            yield f"{count(len(cells), 'cell')} of {which} {verb} not in {other}, and not compared: {labels}."
    for a, b in pairing.pairs:
        told = [
            f"{cell.status} in {which}{f' ({cell.reason.rstrip(chr(46))})' if cell.reason else ''}"
            for which, cell in (("A", a), ("B", b))
            if not _ran(cell)
        ]
        if told:
            yield f"{title_of(a, b, key_differences(a, b))} was not compared: it is {' and '.join(told)}."
