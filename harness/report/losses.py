"""Traces lost by the way in which a process ended, and samples that could not be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

from harness.records import ProcessEnding
from harness.report.format import count, number

if TYPE_CHECKING:
    from harness.records import Loss
    from harness.report.view import CellView, SweepView

ENDINGS: dict[ProcessEnding, str] = {
    "drain": "after a drain",
    "normal": "at the end of the script",
    "sys.exit": "sys.exit()",
    "exception": "an exception that nobody caught",
    "os._exit": "os._exit()",
    "SIGTERM": "SIGTERM",
    "SIGKILL": "SIGKILL",
    "fork": "a forked child that ends",
    "fork-after-calls": "a forked child whose parent had traced",
    "burst": "a burst, then a drain",
}
"""Each ending in words."""


class LossEntry(NamedTuple):
    """What one ending cost one cell.

    Attributes:
        lost: Traces that are not there.
        incomplete: Traces that are there without a root that ended, or without their metadata.
        expected: Traces that should be there.
        note: What else was seen.
    """

    lost: int
    incomplete: int
    expected: int
    note: str

    @property
    def text(self) -> str:
        """As a table shows it, such as ``204 of 2000, 674 more incomplete``."""
        more = f", {self.incomplete} more incomplete" if self.incomplete else ""
        return f"{self.lost} of {self.expected}{more}"


class LossTable(NamedTuple):
    """Endings by cells: ``rows`` pair an ending in words with one entry a cell, ``None`` where it was not tried."""

    cells: tuple[CellView, ...]
    rows: tuple[tuple[str, tuple[LossEntry | None, ...]], ...]


def loss_table(view: SweepView) -> LossTable:
    """Traces lost of those expected, for each ending that was tried in any cell."""
    cells = tuple(cell for cell in view.cells if cell.result.losses)
    rows = []
    for ending in get_args(ProcessEnding):
        entries = tuple(_entry([loss for loss in cell.result.losses if loss.ending == ending]) for cell in cells)
        if any(entries):
            rows.append((ENDINGS[ending], entries))
    return LossTable(cells, tuple(rows))


def _entry(losses: list[Loss]) -> LossEntry | None:
    expected = sum(loss.expected_traces for loss in losses)
    stored = sum(loss.stored_traces for loss in losses)
    if not expected and not stored:
        return None
    incomplete = stored - sum(loss.complete_traces for loss in losses)
    notes = [f"{stored} of {expected} stored after {count(sum(loss.calls for loss in losses), 'call')}"]
    if incomplete:
        notes.append(f"{incomplete} of them without an end or their metadata")
    notes += [f"exit status {loss.exit_status}" for loss in losses if loss.exit_status is not None]
    notes += [f"{number(loss.sent_per_s)} calls/s" for loss in losses if loss.sent_per_s is not None]
    return LossEntry(max(0, expected - stored), incomplete, expected, ", ".join(notes))


class NotRun(NamedTuple):
    """Samples that could not be run for one reason.

    Attributes:
        scenarios: Their scenarios, each once.
        samples: How many, in each cell.
        numbers: The cells, by number.
    """

    reason: str
    scenarios: tuple[str, ...]
    samples: int
    numbers: tuple[int, ...]


def not_run(view: SweepView) -> list[NotRun]:
    """What was not applicable: one entry for a reason, and the cells that had it for as many samples."""
    found: dict[tuple[str, tuple[str, ...], int], list[int]] = {}
    for cell in view.cells:
        by_reason: dict[str, list[str]] = {}
        for sample in cell.result.cell.not_applicable:
            by_reason.setdefault(sample.reason, []).append(sample.scenario)
        for reason, scenarios in by_reason.items():
            key = (reason, tuple(dict.fromkeys(filter(None, scenarios))), len(scenarios))
            found.setdefault(key, []).append(cell.number)
    return [NotRun(*key, tuple(numbers)) for key, numbers in found.items()]
