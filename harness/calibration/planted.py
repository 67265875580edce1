"""A strategy that costs a known delay: each call spins for it, and says how long it really spun.

Only what a worker may load stands here, and it does not import MLflow: what is planted is a delay and
nothing else.
"""

from __future__ import annotations

import re
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.tracing.none import NoTracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.providers import Operation

_DELAY = re.compile(r"(\d+)us")


class PlantedDelay(NoTracing):
    """Spins before each call, inside what is timed.

    It spins because a sleep of 50 us takes 130. What was realised is the truth that an estimate is
    held against: another process may have had the core meanwhile.

    Args:
        style: The delay, such as ``200us``.
        depth: Empty.
    """

    name = "planted"

    def __init__(self, *, style: str = "", depth: str = "") -> None:
        found = _DELAY.fullmatch(style)
        if found is None or depth:
            raise ConfigError(f"the planted delay is given as tracing.style, such as 200us, but got {style or depth!r}")
        super().__init__()
        self._delay_ns = int(found[1]) * 1000
        self._realised_ns: list[int] = []

    def wrap(self, operation: Operation) -> Callable[..., Any]:
        """The operation's call behind the delay."""
        return self._delayed(operation.call)

    def complete(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call behind the delay."""
        return self._delayed(call)

    def stream(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call behind the delay."""
        return self._delayed(call)

    def take_planted_ns(self) -> tuple[int, ...]:
        """How long each call since the last time spun, in the order of the calls."""
        realised = tuple(self._realised_ns)
        self._realised_ns.clear()
        return realised

    def source(self) -> str:
        """In words."""
        return f"a busy loop of {self._delay_ns} ns before each call"

    def _delayed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def delayed(**request: Any) -> Any:
            begun_ns = perf_counter_ns()
            until_ns = begun_ns + self._delay_ns
            while (now_ns := perf_counter_ns()) < until_ns:
                pass
            self._realised_ns.append(now_ns - begun_ns)
            return call(**request)

        return delayed
