"""Scenarios of one's own, as a user would write them in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.scenarios import Application


def twice(app: Application) -> str:
    """Ask twice and compare."""
    first, second = (app.text("chat", app.call()) for _ in range(2))
    return "agreed" if first == second else "differed"


def broken(app: Application) -> str:
    """A scenario with a mistake of its own."""
    app.call()
    raise KeyError("forgotten")


def unheard_of(app: Application) -> str:
    """Asks for what no SDK has."""
    return app.text("telepathy", app.call("telepathy"))
