"""How a worker makes the calls that are timed: one after the other, each beginning when it is due.

What happens here between two calls is the harness's own share of a call, which ``harness calibrate overhead``
measures and holds against a limit. Between calls the processor's caches are full of the SDK's code, so that each line
costs several times what it costs in a tight loop: hence local names, and lists of numbers instead of an object a call.
"""

from __future__ import annotations

import time
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.observing import type_name
from harness.providers.callid import CALL_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Asked(NamedTuple):
    """One call that is to be made.

    Attributes:
        request: Keyword arguments of the application's function.
        call_id: What the call is known by on the wire.
        stream: Whether the answer is read piece by piece.
    """

    request: dict[str, Any]
    call_id: str
    stream: bool


class _Streamed(NamedTuple):
    """When a stream's first and last chunk came, and how many there were; ``None`` where it broke off."""

    first_chunk_ns: int | None
    last_chunk_ns: int | None
    chunks: int | None


class Timed:
    """Clock readings of calls, in nanoseconds of the monotonic clock, in the order in which they were made.

    Attributes:
        start_ns: When each call began.
        end_ns: When it had answered, or a stream had ended.
        errors: The exceptions, by the call's place.
    """

    def __init__(self) -> None:
        self.start_ns: list[int] = []
        self.end_ns: list[int] = []
        self.errors: dict[int, Exception] = {}
        self._streamed: dict[int, _Streamed] = {}

    def run(
        self,
        calls: Sequence[Asked],
        complete: Callable[..., Any],
        stream: Callable[..., Any],
        period_ns: int = 0,
    ) -> Timed:
        """Make calls as an application would, and read the clocks around each.

        An exception of the SDK is a result; whatever is not an ``Exception`` ends the worker. What the SDK
        gives is let go after its end was read: keeping it would grow the heap that the collector walks.

        Args:
            calls: In the order in which they are made.
            complete: Makes a call that answers at once.
            stream: Makes one that gives chunks.
            period_ns: From one call's start to the next one's; 0 for back to back.
        """
        name_call, clock, sleep = CALL_ID.set, perf_counter_ns, time.sleep
        begun, ended = self.start_ns.append, self.end_ns.append
        token = name_call(None)
        due_ns = clock()
        try:
            for request, call_id, streamed in calls:
                if (wait_ns := due_ns - clock()) > 0:
                    sleep(wait_ns / 1e9)
                name_call(call_id)
                value = None
                start_ns = clock()
                try:
                    value = self._read(stream, request) if streamed else complete(**request)
                except Exception as caught:  # noqa: BLE001  # any exception of any SDK is the call's outcome
                    self.errors[len(self.end_ns)] = caught
                ended(clock())
                begun(start_ns)
                value = None  # noqa: F841  # let go after the clock was read
                due_ns = max(due_ns, start_ns) + period_ns
        finally:
            CALL_ID.reset(token)
        return self

    def _read(self, stream: Callable[..., Any], request: dict[str, Any]) -> list[Any]:
        """Read a stream to its end; gives the chunks, so that they are let go after the clock was read."""
        first_ns = last_ns = count = None
        chunks: list[Any] = []
        try:
            for chunk in stream(**request):
                last_ns = perf_counter_ns()
                if first_ns is None:
                    first_ns = last_ns
                chunks.append(chunk)
            count = len(chunks)
        finally:
            self._streamed[len(self.end_ns)] = _Streamed(first_ns, last_ns, count)
        return chunks

    @property
    def latency_ns(self) -> tuple[int, ...]:
        """From each call's start to its end."""
        return tuple(end_ns - start_ns for start_ns, end_ns in zip(self.start_ns, self.end_ns, strict=True))

    @property
    def first_chunk_ns(self) -> tuple[int | None, ...]:
        """From each call's start to its first chunk; ``None`` where none came."""
        return self._since_start("first_chunk_ns")

    @property
    def of_streams(self) -> dict[str, tuple[int | None, ...]]:
        """When each call's last chunk came, and how many there were; nothing where no call gave a chunk."""
        if all(one.last_chunk_ns is None for one in self._streamed.values()):
            return {}
        counts = ((self._streamed[place].chunks if place in self._streamed else None) for place in self._places())
        return {"last_chunk_ns": self._since_start("last_chunk_ns"), "chunks": tuple(counts)}

    def described_errors(self) -> tuple[str | None, ...]:
        """Each call's exception, by its type and its message."""
        found = (self.errors.get(place) for place in self._places())
        return tuple(None if error is None else f"{type_name(type(error))}: {error}" for error in found)

    def _places(self) -> range:
        return range(len(self.start_ns))

    def _since_start(self, reading: str) -> tuple[int | None, ...]:
        """A reading of each stream's chunks, from its call's start."""
        found = []
        for place, start_ns in enumerate(self.start_ns):
            at_ns = getattr(self._streamed[place], reading) if place in self._streamed else None
            found.append(None if at_ns is None else at_ns - start_ns)
        return tuple(found)
