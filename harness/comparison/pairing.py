"""Which cell of the first belongs to which of the second."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.comparison.results import A_AND_B
from harness.gate.matching import Match, match_cells, refusals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.gate.results import Scope
    from harness.gate.runs import GatedCell, Run

CALLS = ("provider", "backend", "prompts", "endpoint", "against")
"""What decides which calls a cell makes, and what its cost is held against: never compared across."""

_UNLABELLED = ("measure", "seed")
"""What a cell's label does not say."""

VARIED = ("tracing", "style", "switches", "level", "into", "measure", "runtime")
"""What two compared cells may differ in, and the report then names."""


class Pairing(NamedTuple):
    """The cells of both sides.

    Attributes:
        pairs: Cells that are held against each other, in the order of the first side.
        only_a: Cells without a partner.
        only_b: Likewise.
    """

    pairs: list[tuple[GatedCell, GatedCell]]
    only_a: list[GatedCell]
    only_b: list[GatedCell]


def pair_cells(a: Run, b: Run) -> Pairing:
    """Pair cells that are the same, then those that make the same calls under another strategy.

    The latter where each side has one such cell left: a person who names two cells, or sweeps of one cell each,
    wants these compared. An untraced cell has a partner only in another.

    Raises:
        InputError: If two cells of one side cannot be told apart.
    """
    told_a, told_b = _told_apart(a), _told_apart(b)
    matches = [
        Match(one.baseline and told_a[_whole(one.baseline)], one.current and told_b[_whole(one.current)])
        for one in match_cells(a, b)
    ]
    partner = {_whole(one.baseline): one.current for one in matches if one.baseline is not None}
    left_a = [one.baseline for one in matches if one.current is None and one.baseline is not None]
    left_b = [one.current for one in matches if one.baseline is None and one.current is not None]
    for cell in left_a:
        own = [one for one in left_a if _calls(one) == _calls(cell)]
        others = [one for one in left_b if _calls(one) == _calls(cell)]
        if len(own) == len(others) == 1:
            partner[_whole(cell)] = others[0]
    cells = [one.baseline for one in matches if one.baseline is not None]
    pairs = [(cell, other) for cell in cells if (other := partner[_whole(cell)]) is not None]
    taken = {_whole(other) for _, other in pairs}
    only_a = [cell for cell in cells if partner[_whole(cell)] is None]
    return Pairing(pairs, only_a, [cell for cell in left_b if _whole(cell) not in taken])


def why_not(a: Run, b: Run, pairing: Pairing, scope: Scope) -> tuple[str, ...]:
    """Why the two must not be compared, one clause each; empty if they may."""
    if not pairing.pairs and len(a.cells) == len(b.cells) == 1:
        return _different_calls(a.cells[0], b.cells[0])
    return refusals(a, b, [Match(*pair) for pair in pairing.pairs], scope, A_AND_B)


def _different_calls(a: GatedCell, b: GatedCell) -> tuple[str, ...]:
    if a.is_baseline != b.is_baseline:
        which = A_AND_B.before if a.is_baseline else A_AND_B.after
        return (f"{which} is untraced, which every report holds its traced cells against already",)
    return tuple(
        f"{name} is {a.key[name] or 'not set'} in A and {b.key[name] or 'not set'} in B"
        for name in CALLS
        if a.key[name] != b.key[name]
    )


def _told_apart(run: Run) -> dict[tuple[str, ...], GatedCell]:
    """The cells by their keys, each label with what else tells it apart from others of its run."""
    names = [name for name in _UNLABELLED if len({cell.key[name] for cell in run.cells}) > 1]
    found = {}
    for cell in run.cells:
        label = ", ".join((cell.label, *(f"{name} {cell.key[name]}" for name in names)))
        found[_whole(cell)] = cell.model_copy(update={"label": label})
    return found


def _whole(cell: GatedCell) -> tuple[str, ...]:
    return tuple(cell.key.values())


def _calls(cell: GatedCell) -> tuple[str, ...]:
    return (*(cell.key[name] for name in CALLS), str(cell.is_baseline))


def key_differences(a: GatedCell, b: GatedCell) -> tuple[tuple[str, str, str], ...]:
    """What the two cells of a pair differ in by themselves: name, and both values."""
    return tuple(
        (name, a.key[name] or "as usual", b.key[name] or "as usual") for name in VARIED if a.key[name] != b.key[name]
    )


def title_of(a: GatedCell, b: GatedCell, differs: Sequence[tuple[str, str, str]]) -> str:
    """What a pair is called."""
    if a.label == b.label and not differs:
        return a.label
    if a.label == b.label:
        return f"{a.label}, {', '.join(f'{name} {old} → {new}' for name, old, new in differs)}"
    return f"{a.label} → {b.label}"
