"""How a cell says what it is doing; the command line shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Takes a cell's progress. Calls come from the main thread and must return at once."""

    def cell(self, label: str) -> None:
        """A cell begins."""

    def stage(self, text: str, total: int | None = None) -> None:
        """A stage of the cell begins; ``total`` is its number of steps, where it is known."""

    def step(self, text: str = "") -> None:
        """One step of the stage is done; ``text`` says what is known by now."""

    def note(self, text: str) -> None:
        """Something that the person should see and that stays."""

    def cell_done(self, text: str) -> None:
        """The cell has ended."""


class Silent:
    """Shows nothing."""

    def cell(self, label: str) -> None:
        """Show nothing."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Show nothing."""

    def step(self, text: str = "") -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def cell_done(self, text: str) -> None:
        """Show nothing."""
