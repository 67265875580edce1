"""The further loads under which both arms are timed: what there is, how it is written, how much of it is run."""

from __future__ import annotations

import re
from typing import NamedTuple

from harness.errors import unknown_option

SATURATION = "saturation"
LARGEST = {"threads": 256, "asyncio": 256, "payload": 4_000_000, "chunks": 100_000}
"""Kind of a load with a size to the largest size: calls at once, calls at once, bytes, chunks."""
USUAL = {
    "threads": (1, 8, 32),
    "asyncio": (1, 8, 32),
    "payload": (100, 1_000, 10_000, 100_000, 1_000_000),
    "chunks": (1, 10, 100, 1_000, 10_000),
}
"""The sizes that ``all`` stands for."""

SATURATION_THREADS = 32
"""Threads that share the calls of a saturation, so that a slow call does not hold up the next ones."""
_CALLS_OF_EACH = 5
_FEWEST_PAYLOADS, _PAYLOAD_BYTES = 10, 4_000_000
_FEWEST_STREAMS, _STREAMED_CHUNKS = 3, 20_000


class Load(NamedTuple):
    """One load: its kind, and its size (calls at once, bytes or chunks), which a saturation does not have."""

    kind: str
    size: int = 0

    def __str__(self) -> str:
        """The load as the configuration names it."""
        return f"{self.kind}:{self.size}" if self.size else self.kind

    @property
    def concurrency(self) -> int:
        """Calls that may be under way at once."""
        if self.kind == SATURATION:
            return SATURATION_THREADS
        return self.size if self.kind in ("threads", "asyncio") else 1

    @property
    def needs_simulator(self) -> bool:
        """Whether only the simulator can give an answer of the size that the load asks for."""
        return self.kind in ("payload", "chunks")

    @property
    def warmup_calls(self) -> int:
        """Calls before the measured ones: each of the calls at once opens a connection of its own."""
        return self.concurrency

    def calls(self, usual: int) -> int:
        """Calls of one arm in one fork, where ``usual`` is ``measure.load_calls``.

        At a concurrency each place makes a few; of large answers fewer are asked for.
        """
        if self.kind == "payload":
            return min(usual, max(_FEWEST_PAYLOADS, _PAYLOAD_BYTES // self.size))
        if self.kind == "chunks":
            return min(usual, max(_FEWEST_STREAMS, _STREAMED_CHUNKS // self.size))
        return max(usual, _CALLS_OF_EACH * self.concurrency)


ALL_LOADS = (*(str(Load(kind, size)) for kind, sizes in USUAL.items() for size in sizes), SATURATION)
"""What ``measure.loads=all`` stands for."""


def in_order(load: Load) -> tuple[int, int]:
    """Key to sort loads by: kinds as in ``LARGEST``, sizes ascending, a saturation last."""
    return (list(LARGEST).index(load.kind) if load.kind in LARGEST else len(LARGEST), load.size)


def parse_load(text: str) -> Load:
    """Read a load as the configuration names it.

    Raises:
        ConfigError: If there is no such load.
    """
    kind, _, size = text.partition(":")
    if text == SATURATION:
        return Load(SATURATION)
    if kind in LARGEST and re.fullmatch("[0-9]{1,9}", size) and 1 <= int(size) <= LARGEST[kind]:
        return Load(kind, int(size))
    sized = (f"{name}:N (N from 1 to {largest})" for name, largest in LARGEST.items())
    raise unknown_option("load", text, "measure.loads", ("all", *sized, SATURATION))
