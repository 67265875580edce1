"""Scenarios of one's own, as a user would write them in a file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

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


async def left_behind(app: Application) -> None:
    """Starts a call and does not wait for it."""
    task = asyncio.create_task(app.call_async())
    await asyncio.sleep(0.02)
    assert not task.done()


def never_awaited(app: Application) -> Any:
    """Forgets to await: nothing is sent."""
    return app.call_async()


def same_step(app: Application) -> None:
    """Gives two calls one step."""
    step = app.reserve(1)[0]
    app.call(step=step)
    app.call(step=step)


def undecided(app: Application) -> str:
    """Asks another question each time."""
    messages = ({"role": "user", "content": f"Is {uuid4().hex} a good number?"},)
    return app.text("chat", app.call(sample=app.sample.model_copy(update={"messages": messages})))
