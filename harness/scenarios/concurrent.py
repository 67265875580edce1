"""Scenarios of several calls at once: threads and tasks, cancellation and giving up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.scenarios.application import Application


def awaited(operation: str) -> Any:
    """One call with a single answer, awaited."""

    async def run(app: Application) -> str:
        return app.text(operation, await app.call_async(operation))

    return run


async def async_stream(app: Application) -> str:
    """One stream, iterated asynchronously to its end."""
    return app.text("stream_async", await app.stream_async())


async def async_stream_left(app: Application) -> int:
    """A stream that is iterated asynchronously and left after some chunks."""
    return len(await app.stream_async(leave_after=int(app.option("after"))))


async def gather(app: Application) -> list[str]:
    """Several calls under ``asyncio.gather``."""
    values = await asyncio.gather(*(app.call_async(step=step) for step in app.reserve(int(app.option("calls")))))
    return [app.text("chat_async", value) for value in values]


async def cancel(app: Application) -> str:
    """A task that is cancelled while it waits for the answer."""
    task = asyncio.create_task(app.call_async())
    await asyncio.sleep(float(app.option("after_s")))
    task.cancel()
    try:
        return app.text("chat_async", await task)
    except asyncio.CancelledError:
        return "cancelled"


async def wait_for(app: Application) -> str:
    """A call under ``asyncio.wait_for`` whose time is over before the answer comes."""
    value = await app.call_async(give_up_after_s=float(app.option("timeout_s")))
    return "" if value is None else app.text("chat_async", value)


def threads(app: Application) -> list[str]:
    """Several calls in a bare pool of threads: nothing of the caller's context reaches them."""
    steps = app.reserve(int(app.option("calls")))
    with ThreadPoolExecutor(len(steps)) as pool:
        values = list(pool.map(lambda step: app.call(step=step), steps))
    return [app.text("chat", value) for value in values]


def threads_copied(app: Application) -> list[str]:
    """Several calls in a pool of threads, each run in a copy of the caller's context."""
    steps = app.reserve(int(app.option("calls")))
    with ThreadPoolExecutor(len(steps)) as pool:
        futures = [pool.submit(copy_context().run, lambda step=step: app.call(step=step)) for step in steps]
        values = [future.result() for future in futures]
    return [app.text("chat", value) for value in values]
