"""Where a cell's time goes."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = "other"


class Stages:
    """Counts each moment from its making on for one stage; an inner stage interrupts its outer one."""

    def __init__(self) -> None:
        self._spent_ns: dict[str, int] = {}
        self._open = [OTHER]
        self._since_ns = time.perf_counter_ns()

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Have what is done inside count for a stage."""
        self._count()
        self._open.append(name)
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    def seconds(self) -> dict[str, float]:
        """Stage to its seconds up to now, in the order of their ends; together they are all the time there was."""
        self._count()
        return {name: spent_ns / 1e9 for name, spent_ns in self._spent_ns.items()}

    def _count(self) -> None:
        now_ns = time.perf_counter_ns()
        name = self._open[-1]
        self._spent_ns[name] = self._spent_ns.get(name, 0) + now_ns - self._since_ns
        self._since_ns = now_ns
