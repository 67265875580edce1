"""The simulator's waiting: planned as a pure function, kept to deadlines, and measured."""

from __future__ import annotations

import asyncio
import math
import random
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.gateway.settings import LatencySettings

_NS_PER_MS = 1_000_000
_TIMER_SLACK_NS = _NS_PER_MS // 2


def planned_waits_ns(settings: LatencySettings, seed: int, sample: str, repetition: int, count: int) -> tuple[int, ...]:
    """What to wait before each of ``count`` tokens, in nanoseconds.

    A pure function of its arguments, so both arms and all forks wait alike; the waits for fewer
    tokens are a prefix of the waits for more. A lognormal wait is
    ``median * exp(sigma * z)`` with ``z`` from a standard normal distribution.
    """
    if settings.kind == "none" or count == 0:
        return (0,) * count
    medians_ns = [settings.first_token_ms * _NS_PER_MS] + [settings.per_token_ms * _NS_PER_MS] * (count - 1)
    if settings.kind == "fixed":
        return tuple(round(median_ns) for median_ns in medians_ns)
    # Seeding with a text is stable over processes and versions of Python (it hashes with SHA-512).
    draw = random.Random(f"{seed}/{sample}/{repetition}")  # noqa: S311 - simulation, not cryptography
    return tuple(round(median_ns * math.exp(settings.sigma * draw.gauss(0.0, 1.0))) for median_ns in medians_ns)


async def wait_until(deadline_ns: int, unless: asyncio.Task[None]) -> None:
    """Return when ``perf_counter_ns`` has reached the deadline or the task is done.

    On a free core that is some microseconds late.

    uvloop's timers count whole milliseconds and fire up to one early or half of one late, so only
    whole milliseconds are slept. The rest is spent in turns of the event loop, so that other
    connections are served meanwhile; it burns 1 to 2 ms of CPU a wait.
    """
    sleep_ms = (deadline_ns - perf_counter_ns() - _TIMER_SLACK_NS) // _NS_PER_MS
    if sleep_ms > 0:
        await asyncio.wait({unless}, timeout=sleep_ms / 1000)
    while perf_counter_ns() < deadline_ns and not unless.done():  # noqa: ASYNC110 - no event tells a clock's advance
        await asyncio.sleep(0)
