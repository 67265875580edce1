"""The parts of a comparison as every form of it prints them, in plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.comparison.results import CHANGED, KEPT, WORDS
from harness.report.format import count, listed, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.comparison.results import ComparedPair, ComparisonResult, FactMove, Line

NOTHING_CHANGED = "Nothing that could be told."
NOTHING_KEPT = "Nothing that could be told."
NOTHING_UNSAID = "Nothing: each quantity has a verdict."
NOT_APPLICABLE = "does not apply"

_CONVENTIONS = {"mlflow": "MLflow", "otel": "OpenTelemetry"}
_ORDER = ("worse", "mixed", "better")


class Told(NamedTuple):
    """A finding in one sentence.

    Attributes:
        word: The verdict in people's words.
        verdict: The verdict, for its colour.
        pair: What it is about; empty where there is only one pair.
    """

    verdict: str
    word: str
    pair: str
    sentence: str


def changed(result: ComparisonResult) -> list[Told]:
    """What changed, the worse before the better; within that in the order of the pairs."""
    found = _told(result, CHANGED)
    return sorted(found, key=lambda one: _ORDER.index(one.verdict))


def unsaid(result: ComparisonResult) -> list[Told]:
    """What can't be said, in the order of the pairs."""
    return _told(result, ("inconclusive",))


def kept(result: ComparisonResult) -> list[tuple[str, list[str]]]:
    """What did not change: for each pair its title, empty where there is only one, and sentences."""
    return [(_title(result, pair), [line.sentence for line in pair.of(KEPT)]) for pair in result.pairs if pair.of(KEPT)]


def _told(result: ComparisonResult, verdicts: tuple[str, ...]) -> list[Told]:
    return [
        Told(line.verdict, WORDS[line.verdict], _title(result, pair), line.sentence)
        for pair in result.pairs
        for line in pair.lines
        if line.verdict in verdicts
    ]


def _title(result: ComparisonResult, pair: ComparedPair) -> str:
    return pair.title if len(result.pairs) > 1 else ""


def verdict_of(line: Line) -> str:
    """The verdict in a table's square, with its corrected p-value where it has one."""
    tested = line.p_no_equivalence if line.verdict == "equivalent" else line.p_no_difference
    if tested is None or line.verdict == "inconclusive":
        return WORDS[line.verdict]
    return f"{WORDS[line.verdict]} ({'p under 0.001' if tested < 0.001 else f'p {tested:.3f}'})"


def differences(result: ComparisonResult) -> list[tuple[str, str, str, str]]:
    """What differs and may: name, both values, and of which pairs where it is not all."""
    return [
        (name, old or "not set", new or "not set", "" if cells == len(result.pairs) else count(cells, "pair"))
        for name, old, new, cells in result.harmless
    ]


def moved(pair: ComparedPair, convention: str) -> list[FactMove]:
    """The facts of a pair that have another verdict in the places of one convention."""
    return [move for move in pair.moves if move.convention == convention]


def conventions() -> dict[str, str]:
    """Each convention with its name."""
    return _CONVENTIONS


def how_judged(result: ComparisonResult) -> Iterator[str]:
    """How the verdicts came about, one sentence or two each."""
    yield (
        "Cells are paired by provider, backend, prompts, strategy and endpoint; where each side has one cell left that "
        "makes the same calls, these two are a pair, and what they differ in is named. Untraced cells are noise "
        "floors, and not compared."
    )
    if result.scope != "cost":
        yield (
            "What traces hold is compared exactly, fact by fact and request by request: the same prompts give the same "
            "facts, so chance has no part in it."
        )
    if result.scope == "completeness":
        return
    margins = result.margins
    yield (
        "A cost is what tracing adds to the cell's own untraced arm. B minus A has the uncorrected 95% interval of "
        "Welch's t over the forks of both. It is equivalent where that interval lies within the margin, else worse or "
        f"better where it excludes zero. The margin is {quantity(margins.absolute_ms, 'ms')} or "
        f"{percent(margins.relative)} of the whole cost (of at most three times what tracing adds), whichever is "
        f"larger, and the smaller one of A and B; for bytes it is {percent(margins.relative)}, for shares of lost "
        f"traces {percent(margins.loss)}. Where the untraced arms differ, the machine or the SDK may have made a "
        "difference: a cost then changed only if it did by more than that, and is not called equivalent."
    )
    if result.tests:
        yield (
            "Verdicts that rest on samples are corrected together: each of the two claims, a difference and an "
            f"equivalence, by Holm's procedure at 5% for {count(result.tests, 'comparison')}. Where neither is left, "
            "nothing can be said."
        )


def subject(result: ComparisonResult) -> str:
    """What A and B are."""
    parts = [
        f"{letter} is {title}{f', measured {when}' if when else ''}"
        for letter, title, when in (("A", result.a, result.a_when), ("B", result.b, result.b_when))
    ]
    compared = f" Compared: {result.pairs[0].title}." if len(result.pairs) == 1 else ""
    return f"{listed(parts)}.{compared}"
