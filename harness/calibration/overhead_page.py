"""The overhead calibration's tables, for a terminal and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

from harness.calibration.bar import COVERAGE, FALSE_ALARMS, LEAST_AA, LEAST_OF_A_DELAY, share_text
from harness.calibration.equivalence import USUAL_MARGIN_MS
from harness.calibration.page import markdown_table
from harness.calibration.rates import POWER, caught_from
from harness.calibration.share import CALLS, LIMIT_US, PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.calibration.bar import Opinion, Proof, Row
    from harness.calibration.equivalence import Equivalence
    from harness.calibration.share import Share

_METHOD = (
    "Every cell runs the real OpenAI SDK against the harness's gateway in fresh worker processes, as any timed cell "
    "does, and is judged by the same analysis. Nothing is exported. In an A/A cell both arms are untraced. In the "
    "others the strategy's arm spins before each call, inside what is timed, and records how long it really spun: the "
    "truth of a cell is the median of that over the analysed calls of each fork, averaged over forks, as added p50 is. "
    "The cells ran in random order."
)
_PACE = (
    "Calls are paced, as those of all other cells are (60 to 80 ms from start to start there), and `measure.idle=poll` "
    "has the kernel keep idle cores awake where it lets the harness ask. Both are there because of what an earlier "
    "calibration on two cores showed, whose calls followed each other back to back: a delay of 1 ms was overestimated "
    "by 0.14 to 0.26 ms in 5 of 5 cells, because the gateway falls idle during the delay, in one arm only, and has to "
    "be woken."
)
_VERDICTS = (
    "The equivalence margin is 0 here, so no cell is called equivalent, and a verdict is slower or faster where the "
    "interval excludes zero. For an A/A cell that holds without exception: each such interval is a false alarm. The "
    "verdict on a planted delay is withdrawn (inconclusive) where the cost is seen to change from the first half of "
    "each fork's calls to the second and the later half alone would be judged otherwise. That befell {withdrawn} of "
    "the planted cells, and lowers their power."
)
_BAR = (
    f"A rate misses the bar where its whole exact 95% interval lies on the wrong side: that of the false alarms above "
    f"{FALSE_ALARMS:.0%}, that of the coverage below {COVERAGE:.0%}, over all delays together or at one of them. "
    f"Otherwise it is *not shown* to be worse than its limit, which is not the same as shown to be better. A rate that "
    f"is exactly at its limit misses the bar in at most 2.5% of calibrations. Fewer than {LEAST_AA} A/A cells or "
    f"{LEAST_OF_A_DELAY} of a delay are too few to judge, and the bar is missed. Each planted loss has to be found "
    f"exactly, and the upper bound of the harness's own share of a call to be at most {LIMIT_US:g} us."
)
_COLUMNS = (
    "A false alarm is an A/A cell that is called slower or faster. Power is the share of the cells that are called "
    "slower. Shares stand with their exact binomial 95% intervals (Clopper-Pearson)."
)
_EQUIVALENCE = (
    f"The same intervals, held against a margin: first the usual one (`measure.margin_ms`, {USUAL_MARGIN_MS:g} ms), "
    f"then the delay that each cell realised. With the margin there the verdict `equivalent` is always wrong, and "
    f"wrong most often: the interval's level allows 2.5%. By the interval alone; a verdict that is withdrawn "
    f"makes it rarer."
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
    "call's start to the next. Both use one client, from which the bare loop takes the hook: two clients that are set "
    "up alike differ by tens of microseconds a call, by where their objects lie in memory. The bare loop sends a fixed "
    "call id, so that the gateway does the same for both: what one more header costs is in both loops and not in the "
    "share."
)
_BESIDE = (
    "On the same samples, with what a person who uses them would get. `pyperf compare_to` reads a run for each fork, "
    "with a value for each block (the mean of its analysed calls: pyperf's values are means over loops), and tests all "
    "values as if they were independent (Student's t). Nobody would give it each single call as a value; that row "
    "shows what becomes of that test when calls are pooled. pytest-benchmark's `--benchmark-compare-fail` compares "
    "one statistic of all calls with a fixed threshold (a rule counts as saying faster if it fails with the arms "
    "exchanged). pytest-benchmark's own comparison table shows ratios and passes no verdict."
)
_NOT_SHOWN = (
    "- The number of forks is fixed here. `measure=standard` and `rigorous` add forks until the interval is narrow "
    "enough; that such intervals cover the truth as well is tested by simulation only "
    "(`tests/overhead/test_overhead_coverage.py`).\n"
    "- No arm exports traces. What export does to a fork (threads, a store, collections of garbage) adds noise to one "
    "arm only, and nothing here says how well the interval holds then. Simulation says that it covers too seldom where "
    "one arm alone has a strongly skewed effect (`harness/overhead/intervals.py`).\n"
    "- The delay is the same in every call, and p50 alone is held against it: not p95, CPU, drain, bytes or loads.\n"
    "- Calls start closer to each other here than in other cells, which pace them so that stores keep up. The loops of "
    "which the harness's own share is the difference run back to back: what colder caches add to it between paced "
    "calls is not in it.\n"
    "- One SDK, one prompt set and one machine."
)


class Made(NamedTuple):
    """How a page came about.

    Attributes:
        command: The command line.
        settings: Name to value of what cells have in common.
        versions: Package name to version.
        machine: What the machine is, in words.
        figure: File name of the figure beside the page.
    """

    command: str
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    machine: str
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


def markdown(proof: Proof, made: Made) -> str:
    """The whole page."""
    parts = [
        *_head(proof, made),
        *_bar(proof),
        *_delays(proof, made),
        *_equivalences(proof),
        *_lost(proof),
        *_share(proof.share),
        *_beside(proof),
        *("## What this does not show", "", _NOT_SHOWN),
    ]
    return "\n".join(parts).rstrip() + "\n"


_HEAD = (
    "planted",
    "cells",
    "realised, us",
    "bias (standard error), us",
    "mean half-width, us",
    "called slower",
    "called slower or faster",
    "interval contains the truth",
)


def _cells(row: Row) -> list[str]:
    error = "" if row.bias_error_us is None else f" ({row.bias_error_us:.1f})"
    return [
        _named(row.planted),
        str(row.cells),
        f"{row.truth_us:.1f}",
        f"{row.bias_us:+.1f}{error}",
        f"{row.half_width_us:.1f}",
        str(row.slower),
        str(row.differs),
        str(row.covers),
    ]


def _named(planted: str) -> str:
    return planted or "nothing (A/A)"


def _head(proof: Proof, made: Made) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    settings = "; ".join(f"{name}: {value}" for name, value in made.settings.items())
    baseline = "" if proof.baseline_ms is None else f" An untraced call took {proof.baseline_ms:.2f} ms (p50)."
    when = "" if proof.meanwhile is None else f" {proof.meanwhile}"
    return [
        "# Calibration of overhead",
        "",
        f"**{proof.summary()}**",
        "",
        f"Made by `{made.command}`; no result is typed by hand. Each cell's seed follows from the first and its name.",
        "",
        f"Settings: {settings}. Versions: {versions}. Machine: {made.machine}.{baseline}",
        "",
        f"{_unfinished(proof.unfinished)}{when}",
        "",
        *(_METHOD, "", _PACE, ""),
        _VERDICTS.format(withdrawn=proof.withdrawn()),
        "",
    ]


def _unfinished(count: int | None) -> str:
    if count is None:
        return "Whether cells failed or were broken off and run again was not noted."
    if not count:
        return "Every cell that was begun finished."
    return f"{count} cells were begun and did not finish (they failed or were broken off), and were run again."


def _bar(proof: Proof) -> list[str]:
    misses = [f"- {sentence}" for sentence in proof.misses()]
    return ["## The bar", "", _BAR, "", *_caught(proof), "**What misses it:**", "", *(misses or ["Nothing."]), ""]


def _caught(proof: Proof) -> Iterator[str]:
    """Which true rates the cells would have shown to be worse than the limits."""
    if said := [*_would_show(proof)]:
        yield f"What these cells would have shown, in {POWER:.0%} of such runs: {'; '.join(said)}."
        yield ""


def _would_show(proof: Proof) -> Iterator[str]:
    of = proof.false_alarms().of
    alarms = caught_from(FALSE_ALARMS, of)
    if alarms is not None:
        yield f"a true false-alarm rate of {alarms:.1%} or more ({of} cells)"
    # A coverage below 95% is a rate of misses above 5%.
    for cells in dict.fromkeys([proof.coverage.of, *(row.cells for row in proof.delays)]):
        missed = caught_from(1 - COVERAGE, cells)
        if missed is not None:
            yield f"a true coverage of {1 - missed:.1%} or less ({cells} cells)"


def _delays(proof: Proof, made: Made) -> list[str]:
    return [
        *("## Planted delays", "", _COLUMNS, ""),
        *markdown_table(_HEAD, (_cells(row) for row in proof.rows)),
        f"![Estimates with their intervals against what was realised]({made.figure})",
        "",
    ]


def _equivalences(proof: Proof) -> list[str]:
    head = ("planted", "realised, us", f"called equivalent within {USUAL_MARGIN_MS:g} ms", "which is",
            "wrongly called equivalent, with the margin at the delay itself")  # fmt: skip
    return [
        *("## Called equivalent", "", _EQUIVALENCE, ""),
        *markdown_table(head, (_equivalence_cells(one) for one in proof.equivalences)),
    ]


def _equivalence_cells(one: Equivalence) -> list[str]:
    judged = {True: "wrong", False: "right", None: "right in some"}[one.wrong]
    return [_named(one.planted), f"{one.truth_us:.1f}", str(one.within), judged, str(one.at_truth)]


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
    return ["judged by", "false alarms", *(f"found slower, {row.planted}" for row in proof.delays)]


def _opinion_cells(opinion: Opinion) -> list[str]:
    return [opinion.way, str(opinion.false_alarms), *(str(one) for one in opinion.power.values())]


def _beside(proof: Proof) -> list[str]:
    rows = (_opinion_cells(one) for one in proof.opinions)
    return ["## Beside other tools", "", _BESIDE, "", *markdown_table(_opinion_head(proof), rows)]
