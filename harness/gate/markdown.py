"""What the gate found, as Markdown for a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.gate.results import SHARE
from harness.report.format import ABSENT, number, percent
from harness.report.marking import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.gate.results import Comparison, GateResult, Outcome

_SECTIONS: tuple[tuple[Outcome, str], ...] = (
    ("worse", "Worse"),
    ("inconclusive", "Inconclusive: the data do not say"),
    ("better", "Better"),
)


def gate_markdown(result: GateResult, *, strict: bool) -> str:
    """The verdict, then every finding in a sentence, then all comparisons in a table that is folded."""
    lines = [f"## Tracing gate: {_verdict(result, strict=strict)}", "", escape(result.summary()), ""]
    lines += [f"Baseline `{_code(result.baseline)}`, current run `{_code(result.current)}`.", ""]
    for outcome, title in _SECTIONS:
        lines += _section(title, (one.sentence for one in result.of(outcome)))
    lines += _section("Versions that changed", result.changes)
    lines += _section("Notes", result.notes)
    if result.comparisons:
        lines += ["<details><summary>All comparisons</summary>", "", *_table(result.comparisons), "", "</details>", ""]
    return "\n".join(lines)


def _verdict(result: GateResult, *, strict: bool) -> str:
    if result.refusals:
        return "not compared"
    return "failed" if result.fails(strict=strict) else "passed"


def _section(title: str, sentences: Iterable[str]) -> list[str]:
    rows = [f"- {escape(sentence)}" for sentence in sentences]
    return [f"### {title}", "", *rows, ""] if rows else []


def _table(comparisons: Iterable[Comparison]) -> Iterator[str]:
    yield "| cell | quantity | outcome | baseline | current | rise, 95% | margin | smallest rise that it could see |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for one in comparisons:
        low, high = _shown(one, one.low), _shown(one, one.high)
        rise = ABSENT if ABSENT in (low, high) else f"[{low}, {high}]"
        values = [_shown(one, one.baseline), _shown(one, one.current), rise]
        limits = [_shown(one, one.margin), _shown(one, one.smallest_rise)]
        texts = map(escape, (one.cell, one.quantity, one.outcome, *values, *limits))
        yield f"| {' | '.join(texts)} |"


def _shown(comparison: Comparison, value: float | None) -> str:
    if value is None:
        return ABSENT
    if comparison.unit == SHARE:
        return percent(value)
    return f"{number(value)} {comparison.unit}" if comparison.unit else number(value, decimals=0)


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")
