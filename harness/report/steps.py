"""Where a strategy's cost goes, level by level: tables of the steps, and their sum beside the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import ABSENT, quantity

if TYPE_CHECKING:
    from harness.results import CostStep, Estimate, StepSum, SweepResult

QUANTITIES = {"p50_ms": "added latency, median", "cpu_ms_per_call": "added CPU time per call"}
MEANINGS = {
    "disabled": "installed, then tracing disabled",
    "sampled_out": "every trace sampled out",
    "dropped": "spans made and dropped",
    "exported": "spans handed to the exporter, which writes or sends them",
}
"""A level to what is done there that is not done below."""

LEAD = (
    "Each step from one level to the next was timed in a cell of its own; the steps' means and variances "
    "are added, and the sum is held against cells that timed the whole. The CPU time is the application's: "
    "a server's or collector's own stands in the ledgers. There is no synchronous way into a collector: "
    "MLflow exports over OTLP in batches only. Spans go there as MLflow has them, and are translated to "
    "OpenTelemetry's GenAI conventions only with tracing.export.otlp=true. Levels below exported have a SQLite store "
    "wherever traces go later, so the step to a server or a collector puts that in SQLite's place: its memory, imports "
    "and first calls would show savings that are none of tracing's, and are not given."
)
"""What has to be said before any step."""


class StepRow(NamedTuple):
    """One way out: each step, their sum, the whole, and whether the two agree, as texts."""

    way: str
    steps: tuple[str, ...]
    total: str
    whole: str
    difference: str
    verdict: str


class StepTable(NamedTuple):
    """One quantity of one strategy, a row for each way in which the traces left.

    Attributes:
        label: Provider and strategy.
        title: The quantity in words.
        levels: The level that each step reaches.
        sums: What the rows show.
        sentences: One for each row.
    """

    label: str
    title: str
    levels: tuple[str, ...]
    rows: tuple[StepRow, ...]
    sums: tuple[StepSum, ...]
    sentences: tuple[str, ...]


def step_tables(sweep: SweepResult) -> list[StepTable]:
    """A table for each strategy and quantity, in the order of the sweep; none where no cell was at another level."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[StepSum]] = {}
    for one in sweep.steps:
        levels = tuple(step.level for step in one.steps)
        groups.setdefault((one.label, one.quantity, levels), []).append(one)
    return [
        StepTable(
            label,
            QUANTITIES.get(name, name),
            levels,
            tuple(_row(one) for one in sums),
            tuple(sums),
            tuple(one.sentence for one in sums),
        )
        for (label, name, levels), sums in groups.items()
    ]


def way_of(one: StepSum) -> str:
    """How traces left, in words."""
    if one.into == "collector":
        return "into an OTLP collector, in batches"
    place = "an MLflow server over HTTP" if one.into == "server" else "SQLite"
    ways = {True: "in the background", False: "synchronously", None: "as MLflow has it"}
    return f"into {place}, {ways[one.asynchronous]}"


def _row(one: StepSum) -> StepRow:
    steps = tuple(_step_text(step) for step in one.steps)
    return StepRow(way_of(one), steps, _text(one.total), _step_text(one.whole), _text(one.difference), one.verdict)


def _step_text(step: CostStep) -> str:
    return ABSENT if step.estimate is None else _text(step.estimate)


def _text(estimate: Estimate) -> str:
    return quantity(estimate.value, estimate.unit, estimate.low, estimate.high)
