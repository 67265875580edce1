"""The loop around the calls that are timed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from harness.providers.callid import CALL_ID
from harness.timed import Asked, Timed

if TYPE_CHECKING:
    from collections.abc import Iterator


def _unused(**request: Any) -> Any:
    raise AssertionError(f"not asked for: {request}")


def _single(request: dict[str, Any], call_id: str = "a") -> Asked:
    return Asked(request, call_id, stream=False)


def _stream(pieces: int, call_id: str = "a") -> Asked:
    return Asked({"pieces": pieces}, call_id, stream=True)


def _pieces(pieces: int) -> Iterator[int]:
    yield from range(pieces)


def _broken(pieces: int) -> Iterator[int]:
    yield from range(pieces)
    raise ConnectionError("cut off")


def test_each_call_is_made_under_its_own_id_and_none_is_left_behind() -> None:
    seen: list[str | None] = []
    Timed().run([_single({}, "a"), _single({}, "b")], lambda: seen.append(CALL_ID.get()), _unused)
    assert seen == ["a", "b"]
    assert CALL_ID.get() is None


def test_readings_enclose_the_call() -> None:
    inside: list[int] = []
    timed = Timed().run([_single({"clock": inside})] * 3, lambda clock: clock.append(len(clock)), _unused)
    assert inside == [0, 1, 2]
    assert all(start_ns <= end_ns for start_ns, end_ns in zip(timed.start_ns, timed.end_ns, strict=True))
    assert timed.start_ns == sorted(timed.start_ns)
    assert timed.latency_ns == tuple(e - s for s, e in zip(timed.start_ns, timed.end_ns, strict=True))
    assert timed.first_chunk_ns == (None, None, None)
    assert timed.of_streams == {}


def test_an_exception_is_the_outcome_of_its_call_alone() -> None:
    def fails_on(number: int) -> int:
        return 1 // number

    timed = Timed().run([_single({"number": 1}), _single({"number": 0}), _single({"number": 2})], fails_on, _unused)
    assert len(timed.start_ns) == 3
    assert timed.described_errors() == (None, "builtins.ZeroDivisionError: integer division or modulo by zero", None)


def test_what_is_no_exception_ends_the_loop_and_leaves_no_id() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Timed().run([_single({})], interrupted, _unused)
    assert CALL_ID.get() is None


def test_streams_are_read_to_their_end() -> None:
    timed = Timed().run([_stream(3), _stream(0), _single({})], lambda: None, _pieces)
    first_ns, *none = timed.first_chunk_ns
    assert first_ns is not None
    assert none == [None, None]
    assert timed.of_streams["chunks"] == (3, 0, None)
    last_ns, *none = timed.of_streams["last_chunk_ns"]
    assert last_ns is not None
    assert first_ns <= last_ns <= timed.latency_ns[0]
    assert none == [None, None]


def test_a_stream_that_breaks_off_keeps_when_its_chunks_came() -> None:
    timed = Timed().run([_stream(2)], _unused, _broken)
    assert timed.described_errors() == ("builtins.ConnectionError: cut off",)
    assert timed.first_chunk_ns[0] is not None
    assert timed.of_streams["chunks"] == (None,)


def test_answers_are_let_go_one_by_one() -> None:
    """Kept answers would grow the heap that the garbage collector walks, more with each call."""
    alive = 0
    most = 0

    class Answer:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    Timed().run([_single({})] * 5, Answer, _unused)
    assert most == 1
    assert alive == 0


def test_calls_begin_no_closer_than_the_period() -> None:
    timed = Timed().run([_single({})] * 4, lambda: None, _unused, period_ns=2_000_000)
    gaps = [later - earlier for earlier, later in zip(timed.start_ns, timed.start_ns[1:], strict=False)]
    assert min(gaps) > 1_000_000


def test_a_late_call_moves_the_ones_after_it() -> None:
    """Calls that are overdue are not made up for in a burst: each is the period after the one before began."""
    timed = Timed().run([_single({"s": wait_s}) for wait_s in (0.01, 0.0, 0.0)], _wait, _unused, 5_000_000)
    assert timed.start_ns[2] - timed.start_ns[1] > 4_000_000


def _wait(s: float) -> None:
    threading.Event().wait(s)
