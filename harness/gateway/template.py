"""Answers as bytes with gaps: everything but ids and times is serialised beforehand.

A gap is named for what fills it. While an answer is put together it stands between two zero
bytes, which JSON text never holds, so no text of an answer can be taken for one.
"""

from __future__ import annotations

import re
import string
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.scripts import ScriptedAnswer

DONE = b"data: [DONE]\n\n"
_GAP = re.compile(rb"\0(\w+)\0")
_SEAM = b"\1"
"""Stands between the events of a stream; JSON text never holds it either."""
_BASE62 = (string.ascii_letters + string.digits).encode()
_TO_BASE62 = bytes(_BASE62[byte % len(_BASE62)] for byte in range(256))
_EPOCH_S, _EPOCH_SPAN_S = 1_700_000_000, 1 << 25
"""Answers are created at some second of the year that follows November 14, 2023."""


def _letters(digest: bytes, count: int) -> bytes:
    return digest[:count].translate(_TO_BASE62)


def _created(digest: bytes) -> int:
    return _EPOCH_S + int.from_bytes(digest[-4:]) % _EPOCH_SPAN_S


_FILLERS: dict[str, Callable[[bytes], bytes]] = {
    "chatcmpl": lambda digest: b"chatcmpl-" + _letters(digest, 29),
    "hex": lambda digest: digest[:16].hex().encode(),
    "resp": lambda digest: b"resp_" + digest[:24].hex().encode(),
    "msg": lambda digest: b"msg_" + digest[:24].hex().encode(),
    "rs": lambda digest: b"rs_" + digest[:24].hex().encode(),
    "fc": lambda digest: b"fc_" + digest[:24].hex().encode(),
    "call": lambda digest: b"call_" + _letters(digest, 24),
    "tool": lambda digest: _letters(digest, 9),
    "created": lambda digest: b"%d" % _created(digest),
    "completed": lambda digest: b"%d" % (_created(digest) + 1),
}
"""What fills a gap, a function of 32 bytes; a gap ``name_index`` gets 32 bytes of its own."""


def id_gap(name: str) -> orjson.Fragment:
    """A gap for a text value."""
    return orjson.Fragment(b'"\0%s\0"' % name.encode())


def number_gap(name: str) -> orjson.Fragment:
    """A gap for a number."""
    return orjson.Fragment(b"\0%s\0" % name.encode())


class Gapped:
    """Bytes with gaps, to be filled for each exchange."""

    def __init__(self, raw: bytes) -> None:
        # Texts stand at even places, the gaps between them at odd ones.
        self._parts = _GAP.split(raw)
        names = list(dict.fromkeys(self._parts[1::2]))
        self._fillers = [(name, _FILLERS[name.decode().partition("_")[0]], b"_" in name) for name in names]
        self._places = [names.index(name) for name in self._parts[1::2]]

    def fill(self, digest: bytes) -> bytes:
        """The bytes with every gap filled from 32 bytes of this exchange's own."""
        values = [
            filler(blake2b(digest + name, digest_size=32).digest() if indexed else digest)
            for name, filler, indexed in self._fillers
        ]
        parts = self._parts.copy()
        parts[1::2] = map(values.__getitem__, self._places)
        return b"".join(parts)


class Single(NamedTuple):
    """A single answer.

    Attributes:
        tokens: So many tokens it is waited for.
    """

    body: Gapped
    tokens: int

    @classmethod
    def of(cls, document: dict[str, Any], entry: ScriptedAnswer, tokens: int = 1) -> Single:
        """A document, perhaps with gaps in it; broken, if the script says so."""
        raw = orjson.dumps(document)
        return cls(Gapped(_halved(raw) if entry.malformed else raw), tokens)


class Stream(NamedTuple):
    """A streamed answer: rounds of events, one round a token (and a choice each has an event in it).

    Attributes:
        sizes: How many events each round has.
    """

    text: Gapped
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, rounds: list[list[bytes]], entry: ScriptedAnswer, error: Callable[[int], bytes]) -> Stream:
        """A stream; broken, if the script says so.

        Args:
            rounds: The events, perhaps with gaps in them.
            entry: What the script says.
            error: Gives the event that reports an error after so many other events.
        """
        if entry.chunk_delay_ms:
            rounds = _one_a_round(rounds)
        if entry.malformed:
            rounds = _with_half_an_event(rounds)
        if entry.error_after is not None:
            rounds = _ended(rounds, entry.error_after, error)
        text = _SEAM.join(event for events in rounds for event in events)
        return cls(Gapped(text), tuple(len(events) for events in rounds))

    def fill(self, digest: bytes) -> list[list[bytes]]:
        """The events of each round."""
        events = self.text.fill(digest).split(_SEAM)
        rounds = []
        place = 0
        for size in self.sizes:
            rounds.append(events[place : place + size])
            place += size
        return rounds


def event_of(document: dict[str, Any]) -> bytes:
    """A document as an event without a name."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def turns(starts: list[bytes], tokens: Iterable[list[bytes]]) -> list[list[bytes]]:
    """Rounds of events: each choice's start stands before its first token, then one token of each in turn."""
    tokens = list(tokens)
    rounds: list[list[bytes]] = [[] for _ in range(max(1, *(len(events) for events in tokens)))]
    for start, events in zip(starts, tokens, strict=True):
        rounds[0].append(start)
        for place, event in zip(rounds, events, strict=False):
            place.append(event)
    return rounds


def _halved(raw: bytes) -> bytes:
    """The first half, without a gap that it would cut."""
    half = raw[: len(raw) // 2]
    return half[: half.rindex(b"\0")] if half.count(b"\0") % 2 else half


def _one_a_round(rounds: list[list[bytes]]) -> list[list[bytes]]:
    """Each event in a round of its own; the closing mark goes out together with the last one."""
    events = [event for events in rounds for event in events]
    if events[-1] == DONE and len(events) > 1:
        return [*([event] for event in events[:-2]), events[-2:]]
    return [[event] for event in events]


def _with_half_an_event(rounds: list[list[bytes]]) -> list[list[bytes]]:
    """The event in the middle is cut short."""
    middle = sum(len(events) for events in rounds) // 2
    bent = [list(events) for events in rounds]
    for events in bent:
        if middle < len(events):
            name, _, data = events[middle].rpartition(b"data: ")
            events[middle] = name + b"data: " + _halved(data) + b"\n\n"
            break
        middle -= len(events)
    return bent


def _ended(rounds: list[list[bytes]], count: int, error: Callable[[int], bytes]) -> list[list[bytes]]:
    """So many events, then the error; no closing mark follows it, nor stands before it."""
    rounds = [*rounds[:-1], [event for event in rounds[-1] if event != DONE]]
    left = count
    kept: list[list[bytes]] = []
    for events in rounds:
        kept.append(events[:left])
        left -= len(kept[-1])
        if left == 0:
            break
    kept[-1] = [*kept[-1], error(count - left)]
    return kept
