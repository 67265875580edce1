"""A comparison as Markdown, for a terminal and for a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.comparison.sections import (
    NOT_APPLICABLE,
    NOTHING_CHANGED,
    NOTHING_KEPT,
    NOTHING_UNSAID,
    changed,
    conventions,
    differences,
    how_judged,
    kept,
    moved,
    subject,
    unsaid,
    verdict_of,
)
from harness.report.format import clip
from harness.report.marking import escape, escape_sentence, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.comparison.results import ComparedPair, ComparisonResult, FactMove
    from harness.comparison.sections import Told

_MOVES_AT_MOST = 30
_VALUE_LENGTH = 60


def compare_markdown(result: ComparisonResult) -> str:
    """What changed, what did not, what can't be said; then side by side, with an example of each fact."""
    lines = ["# What changed from A to B", "", escape_sentence(subject(result)), ""]
    lines += [f"**{escape_sentence(result.summary())}**", ""]
    lines += ["## What changed", "", *_bullets(changed(result), NOTHING_CHANGED, with_word=True), ""]
    lines += ["## What did not change", "", *_kept(result), ""]
    lines += ["## What can't be said", "", *_bullets(unsaid(result), NOTHING_UNSAID, with_word=False)]
    lines += [*(f"- {escape_sentence(note)}" for note in result.notes), ""]
    lines += ["## Side by side", ""]
    for pair in result.pairs:
        lines += _side_by_side(pair)
    lines += _differences(result)
    lines += ["## How it was judged", "", *(f"- {escape_sentence(sentence)}" for sentence in how_judged(result))]
    return "\n".join(lines) + "\n"


def _bullets(found: list[Told], nothing: str, *, with_word: bool) -> Iterator[str]:
    for one in found:
        word = f"**{one.word}**: " if with_word else ""
        pair = f"{escape(one.pair)}: " if one.pair else ""
        yield f"- {word}{pair}{escape_sentence(one.sentence)}."
    if not found:
        yield f"- {nothing}"


def _kept(result: ComparisonResult) -> Iterator[str]:
    found = kept(result)
    for title, sentences in found:
        if title:
            yield f"- {escape(title)}: {escape_sentence('; '.join(sentences))}."
        else:
            yield from (f"- {escape_sentence(sentence)}." for sentence in sentences)
    if not found:
        yield f"- {NOTHING_KEPT}"


def _side_by_side(pair: ComparedPair) -> list[str]:
    rows = [[name, escape(old), escape(new), "", ""] for name, old, new in pair.differs]
    rows += [
        [line.quantity, *map(escape_sentence, (line.a, line.b, line.difference, verdict_of(line)))]
        for line in pair.lines
    ]
    lines = [f"### {escape(pair.title)}", "", *table(("", "A", "B", "B minus A [95%]", "Verdict"), rows), ""]
    for convention, name in conventions().items():
        found = moved(pair, convention)
        if found:
            headings = ("Fact", "A → B", "Times", "Sample", "On the wire", "A's trace", "B's trace")
            shown = found[:_MOVES_AT_MOST]
            lines += [f"Facts that fare otherwise in {name}'s places:", "", *table(headings, map(_move, shown)), ""]
            if len(found) > len(shown):
                lines += [f"{len(found) - len(shown)} more stand in compare.html.", ""]
    return lines


def _move(move: FactMove) -> list[str]:
    turned = f"{move.was or NOT_APPLICABLE} → {move.now or NOT_APPLICABLE}"
    values = (escape_sentence(clip(value, _VALUE_LENGTH)) for value in (move.wire, move.a, move.b))
    return [escape(move.fact), turned, str(move.times), escape(move.sample), *values]


def _differences(result: ComparisonResult) -> list[str]:
    found = differences(result)
    if not found:
        return []
    rows = [[escape(name), escape(old), escape(new), where] for name, old, new, where in found]
    return ["## What differs besides, and may", "", *table(("", "A", "B", "Of"), rows), ""]
