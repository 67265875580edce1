"""Progress for people: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import TaskID

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
ERR = Console(stderr=True, highlight=False)


class LiveProgress:
    """Two bars: the sweep's cells, and the steps of the stage that is under way."""

    def __init__(self, count: int) -> None:
        self._cells = Progress(
            TextColumn("[bold]cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=OUT
        )
        self._stage = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=OUT
        )
        self._all = self._cells.add_task("", total=count)
        self._current: TaskID | None = None
        self._label = ""
        # The display redraws twice a second: it shares a core with the gateway while arms are timed.
        self._live = Live(Group(self._stage, self._cells), console=OUT, refresh_per_second=2, transient=True)

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Stop drawing and clear the display."""
        self._live.stop()

    def cell(self, label: str) -> None:
        """A cell begins."""
        self._label = label

    def stage(self, text: str, total: int | None = None) -> None:
        """A stage of the cell begins."""
        if self._current is not None:
            self._stage.remove_task(self._current)
        self._current = self._stage.add_task(f"[bold]{self._label}[/bold]  {text}", total=total)

    def step(self, text: str = "") -> None:
        """One step is done."""
        del text
        if self._current is not None:
            self._stage.advance(self._current)

    def note(self, text: str) -> None:
        """A line that stays above the display."""
        self._live.console.print(Text(f"  {self._label}: {text}", style="dim"))

    def cell_done(self, text: str) -> None:
        """The cell has ended."""
        if self._current is not None:
            self._stage.remove_task(self._current)
            self._current = None
        self._cells.advance(self._all)
        self._live.console.print(Text(f"{self._label}: {text}"))


class PlainProgress:
    """One line a stage, with the seconds since the start."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._number = 0
        self._begun_s = time.monotonic()
        self._label = ""

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Nothing to clear."""

    def cell(self, label: str) -> None:
        """A cell begins."""
        self._number += 1
        self._label = label
        self._say("begins")

    def stage(self, text: str, total: int | None = None) -> None:
        """A stage of the cell begins."""
        self._say(text + (f" ({total})" if total else ""))

    def step(self, text: str = "") -> None:
        """Steps are not shown."""

    def note(self, text: str) -> None:
        """A remark."""
        self._say(text)

    def cell_done(self, text: str) -> None:
        """The cell has ended."""
        self._say(text)

    def _say(self, text: str) -> None:
        seconds = time.monotonic() - self._begun_s
        # A record of what ran belongs to standard error; standard output holds the result.
        ERR.print(Text(f"[{seconds:7.1f} s] cell {self._number}/{self._count} {self._label}: {text}"), soft_wrap=True)


def make_progress(count: int) -> LiveProgress | PlainProgress:
    """The display that suits where the output goes."""
    return LiveProgress(count) if OUT.is_terminal else PlainProgress(count)
