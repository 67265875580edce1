"""The overhead calibration's tables, for a terminal and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

from harness.calibration.bar import COVERAGE, FALSE_ALARMS, share_text
from harness.calibration.page import markdown_table
from harness.calibration.share import CALLS, LIMIT_US, PAIRS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.calibration.bar import Opinion, Proof, Row
    from harness.calibration.share import Share

_METHOD = (
    "Every cell runs the real OpenAI SDK against the harness's gateway in fresh worker processes, as any timed cell "
    "does, and is judged by the same analysis. Nothing is exported, so calls follow each other at once. In an A/A "
    "cell both arms are untraced. In the others the strategy's arm spins before each call, inside what is timed, and "
    "records how long it really spun: the truth of a cell is the median of that over the analysed calls of each fork, "
    "averaged over forks, as added p50 is. The cells ran in random order. No equivalence margin is set, so an interval "
    "that excludes zero is always a verdict of slower or faster."
)
_COLUMNS = (
    "A false alarm is an A/A cell that is called slower or faster. Power is the share of the cells that are called "
    "slower. Shares stand with their exact binomial 95% intervals (Clopper-Pearson)."
)
_LOSSES = (
    "MLflow writes a trace twice: its spans, and the trace itself. A strategy ends every trace and drops some of these "
    "writes. In a cell such as `3of12` each process drops both of so many of its first 12 calls. In `log_trace-1in3` "
    "and `log_spans-1in3` one of the two is dropped, of any call with that chance, the measured ones and the last ones "
    "among them. Half a trace is a lost one. The completeness pass is one process, the timing pass one for each fork. "
    "Planted is what the strategy says that it dropped."
)
_SHARE_FOUND = (
    "{text} over {count} forks (95% interval), to be at most "
    f"{LIMIT_US:g} us; a call in the bare loop takes {{bare_us:.0f}} us. Forks: {{forks}}."
)
_SHARE_METHOD = (
    "It is the worker's loop with all that it does for a call (context variable, request hook, clocks, the call's "
    "record) against `for request in requests: create(**request)`. Both loops run in one untraced process, "
    f"{PAIRS} pairs of blocks of {CALLS} calls in random order; the difference is over the whole loop, from one "
    "call's start to the next. The bare client sends a fixed call id, so that the gateway does the same for both: "
    "what one more header costs is in both loops and not in the share."
)
_BESIDE = (
    "On the same samples, with what a person who uses them would get: `pyperf compare_to` reads one run for each fork "
    "and tests all values as if they were independent (Student's t); pytest-benchmark's `--benchmark-compare-fail` "
    "compares one statistic of all values with a fixed threshold (a rule counts as saying faster if it fails with the "
    "arms exchanged). Its comparison table shows ratios and passes no verdict."
)


class Made(NamedTuple):
    """How a page came about.

    Attributes:
        command: The command line.
        settings: Name to value of what cells have in common.
        versions: Package name to version.
        machine: What the machine is, by name.
        figure: File name of the figure beside the page.
    """

    command: str
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    machine: Mapping[str, object]
    figure: str


def console_table(proof: Proof) -> Table:
    """The rows of A/A and each delay."""
    table = Table(title="planted delays", title_justify="left")
    for name in _HEAD:
        table.add_column(name, justify="left" if name == _HEAD[0] else "right")
    for row in proof.rows:
        table.add_row(*_cells(row))
    return table


def opinions_table(proof: Proof) -> Table:
    """What each tool says of the same cells."""
    table = Table(title="the same samples judged by", title_justify="left")
    for name in _opinion_head(proof):
        table.add_column(name)
    for opinion in proof.opinions:
        table.add_row(*_opinion_cells(opinion))
    return table


def summary(proof: Proof) -> str:
    """The result in a few sentences."""
    exact = sum(one.exact for one in proof.lost)
    share = "" if proof.share is None else f" The harness's own share of a call is {share_text(proof.share)}."
    return (
        f"False alarms: {proof.false_alarms()}, to be at most {FALSE_ALARMS:.0%}. Coverage: {proof.coverage}, to be at "
        f"least {COVERAGE:.0%}. Planted losses were found exactly in {exact} of {len(proof.lost)} cells.{share}"
    )


def markdown(proof: Proof, made: Made) -> str:
    """The whole page."""
    parts = [*_head(proof, made), *_delays(proof, made), *_lost(proof), *_share(proof.share), *_beside(proof)]
    return "\n".join(parts).rstrip() + "\n"


_HEAD = (
    "planted",
    "cells",
    "realised, us",
    "bias, us",
    "mean half-width, us",
    "called slower",
    "called slower or faster",
    "interval contains the truth",
)


def _cells(row: Row) -> list[str]:
    error = "" if row.bias_error_us is None else f" ± {row.bias_error_us:.1f}"
    return [
        row.planted or "nothing (A/A)",
        str(row.cells),
        f"{row.truth_us:.1f}",
        f"{row.bias_us:+.1f}{error}",
        f"{row.half_width_us:.1f}",
        str(row.slower),
        str(row.differs),
        str(row.covers),
    ]


def _head(proof: Proof, made: Made) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    machine = ", ".join(f"{name} {value}" for name, value in made.machine.items())
    settings = ", ".join(f"{name} {value}" for name, value in made.settings.items())
    baseline = "" if proof.baseline_ms is None else f" An untraced call took {proof.baseline_ms:.2f} ms (p50)."
    misses = [f"- {sentence}" for sentence in proof.misses()]
    return [
        "# Calibration of overhead",
        "",
        f"**{summary(proof)}**",
        "",
        f"Made by `{made.command}`; no number is typed by hand. Each cell's seed follows from the first and its name.",
        "",
        f"Settings: {settings}. Versions: {versions}. Machine: {machine}.{baseline}",
        "",
        _METHOD,
        "",
        "## What misses the bar",
        "",
        *(misses or ["Nothing."]),
        "",
    ]


def _delays(proof: Proof, made: Made) -> list[str]:
    return [
        *("## Planted delays", "", _COLUMNS, ""),
        *markdown_table(_HEAD, (_cells(row) for row in proof.rows)),
        f"![Estimates with their intervals against what was realised]({made.figure})",
        "",
    ]


def _lost(proof: Proof) -> list[str]:
    rows = (
        [
            one.trial.name,
            *(
                f"{found} found, {planted} planted, of {expected}"
                for found, planted, expected in zip(one.found, one.planted, one.expected, strict=True)
            ),
        ]
        for one in proof.lost
    )
    head = ("cell", "lost in the completeness pass", "lost in the timing pass")
    return ["## Planted losses", "", _LOSSES, "", *markdown_table(head, rows)]


def _share(share: Share | None) -> list[str]:
    if share is None:
        return []
    forks = ", ".join(f"{value:.1f}" for value in share.per_fork_us)
    return [
        "## The harness's own share of a call",
        "",
        _SHARE_FOUND.format(text=share_text(share), count=len(share.per_fork_us), bare_us=share.bare_us, forks=forks),
        "",
        _SHARE_METHOD,
        "",
    ]


def _opinion_head(proof: Proof) -> list[str]:
    return ["judged by", "false alarms", *(f"found slower, {delay}" for delay in _delays_of(proof))]


def _delays_of(proof: Proof) -> Sequence[str]:
    return [row.planted for row in proof.rows if row.planted]


def _opinion_cells(opinion: Opinion) -> list[str]:
    return [opinion.way, str(opinion.false_alarms), *(str(one) for one in opinion.power.values())]


def _beside(proof: Proof) -> list[str]:
    rows = (_opinion_cells(one) for one in proof.opinions)
    return ["## Beside it", "", _BESIDE, "", *markdown_table(_opinion_head(proof), rows)]
