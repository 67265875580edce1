"""The calibration's table, for a terminal and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from harness import __version__
from harness.calibration.planting.plants import KINDS
from harness.calibration.planting.reasons import NOT_PLANTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.calibration.completeness import Calibration

SHOWN_VERSIONS = ("mlflow", "openai", "mistralai", "python")

_METHOD = (
    "For each seed the harness runs real SDKs against its simulator under a reference strategy, which records "
    "everything in its place (`harness/calibration/reference.py`). Then the stored JSON of one trace at a time is "
    "edited, by code that shares nothing with the judge (`harness/calibration/planting/`, held apart by an import "
    "contract), and the call is judged anew. A defect counts as found if the harmed fact gets the verdict that it "
    "should, in each convention where it was recorded before, and no fact that rests on other data changes its "
    "verdict. A rewrite that states the same must change no verdict at all."
)
_VERDICTS = (
    "Dropped must be `missing` (or `elsewhere` where the other convention's copy is left), altered and duplicated "
    "`wrong`, moved `elsewhere`. For a dash the reason stands below, or the samples show no such value."
)
_SPOILT = (
    "Facts that some good traces did not show as recorded, so that nothing was planted there (the time to the first "
    "token depends on how busy the machine is):"
)
_DECISIONS = (
    "Decisions: a number or truth value as text is a defect, because what adds counts up cannot read it. So are a "
    "number in single precision, white space after a text, another Unicode form and another case of letters, because "
    "another value was sent. White space and key order inside a tool call's arguments are harmless, because they are "
    "JSON."
)
_NOT_TRIED = (
    "Not planted at all: several defects at once, damage to the gateway's or the worker's own records, differences in "
    "what the application gets, and traces of LangChain, whose shapes the reference strategy does not write."
)


def console_table(found: Calibration) -> Table:
    """Found of planted by fact and kind, and unblamed of tried for all harmless rewrites."""
    table = Table(title="planted defects: found / planted", title_justify="left")
    table.add_column("fact")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for fact in found.planted_facts():
        table.add_row(fact, *(_share(found.total(fact, kind)) for kind in KINDS))
    table.add_section()
    table.add_row("all", *(_share(found.total(None, kind)) for kind in KINDS))
    return table


def summary(found: Calibration) -> str:
    """Both results in one sentence."""
    right, planted = found.total()
    unblamed, rewrites = found.total(kind="harmless")
    return (
        f"{right} of {planted} planted defects were found, "
        f"and {unblamed} of {rewrites} harmless rewrites went without blame."
    )


def markdown(found: Calibration, command: str) -> str:
    """The whole page, made by a command."""
    return (
        "\n".join([*_head(found, command), *_defects(found), *_rewrites(found), *_limits(found), *_ways(found)]) + "\n"
    )


def _share(counts: tuple[int, int]) -> str:
    right, tried = counts
    return f"{right} / {tried}" if tried else "-"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines, with an empty one after it."""
    return [_row(*head), _row(*("---" for _ in head)), *(_row(*row) for row in rows), ""]


def _head(found: Calibration, command: str) -> list[str]:
    versions = ", ".join(f"{name} {found.versions[name]}" for name in SHOWN_VERSIONS if name in found.versions)
    seeds = ", ".join(map(str, found.seeds))
    made = (
        f"Made by `{command}`; no number is typed by hand. Harness {__version__}, facts version {found.facts_version}, "
        f"{versions}; providers {', '.join(found.providers)}; {len(found.seeds)} seeds ({seeds}); {found.calls} calls."
    )
    return ["# Calibration of completeness", "", f"**{summary(found)}**", "", made, "", _METHOD, ""]


def _defects(found: Calibration) -> list[str]:
    rows = [[fact, *(_share(found.total(fact, kind)) for kind in KINDS)] for fact in found.planted_facts()]
    total = ["**all**", *(_share(found.total(None, kind)) for kind in KINDS)]
    troubles = [f"- {sentence}" for sentence in found.sentences()]
    return [
        *("## Planted defects: found / planted", "", _VERDICTS, ""),
        *markdown_table(["fact", *KINDS], [*rows, total]),
        *("## What was not taken as it should be", ""),
        *(troubles or ["Nothing."]),
        "",
    ]


def _rewrites(found: Calibration) -> list[str]:
    rows = (
        [way, _share((score.right, score.tried))]
        for (_, kind, way), score in sorted(found.scores.items())
        if kind == "harmless"
    )
    return ["## Harmless rewrites: without blame / tried", "", *markdown_table(["rewrite", "calls"], rows)]


def _limits(found: Calibration) -> list[str]:
    reasons = ([fact, kind, reason] for (fact, kind), reason in sorted(NOT_PLANTED.items()) if fact in found.recorded)
    unreached = ([fact, reason or "no sample asks for it"] for fact, reason in found.unreached())
    spoilt = (
        [fact, convention, f"{count} of {found.applicable[convention, fact]}"]
        for (convention, fact), count in sorted(found.spoilt.items())
    )
    return [
        *("## What cannot be planted", ""),
        *markdown_table(["fact", "kind", "why"], reasons),
        *("Facts of the table that no good trace shows:", ""),
        *markdown_table(["fact", "why"], unreached),
        *(_SPOILT, ""),
        *markdown_table(["fact", "convention", "calls without it"], spoilt),
        *(_DECISIONS, "", _NOT_TRIED, ""),
    ]


def _ways(found: Calibration) -> list[str]:
    rows = (
        [fact, kind, way, _share((score.right, score.tried))]
        for (fact, kind, way), score in sorted(found.scores.items())
        if kind != "harmless"
    )
    return ["## Every plant", "", *markdown_table(["fact", "kind", "how", "found"], rows)]
