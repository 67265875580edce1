"""The built-in endpoint: answers that are a pure function of the seed and the call.

What an answer says depends on the seed, the sample and the request, so both arms, all forks and
all repetitions get the same text. Its id and time of creation also depend on pass, fork,
repetition, step and attempt, but not on the arm: with and without tracing an application is to
get the same values. Two sweeps with one seed get the same ids.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import orjson

from harness.gateway.content import Voice
from harness.gateway.endpoints import CHAT
from harness.gateway.latency import planned_waits_ns
from harness.gateway.refusals import RefusedError, refusing
from harness.gateway.script import UNSCRIPTED, Scripts, with_headers
from harness.gateway.template import Single, Stream
from harness.gateway.wires import WIRES, Headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.gateway.endpoints import Endpoint
    from harness.gateway.settings import GatewayConfig
    from harness.records import CallId, Dialect
    from harness.scripts import ScriptedAnswer

_PLANS_KEPT = 512
_LARGE_BODY_BYTES = 1 << 16
_LARGE_PLANS_KEPT = 8
_LARGEST_PLANNED_BODY_BYTES = 1 << 23
"""Of large bodies few are kept: each is held with an answer that may be as large."""
_NS_PER_MS = 1_000_000
_BODILESS = frozenset({204, 205, 304})
"""Statuses after which no body comes; bytes sent all the same would be taken for the next answer."""
_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_JSON = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """What to send for one call.

    Attributes:
        body: The body of a single answer or an error, ``None`` for a stream.
        rounds: The events of a stream, grouped by the wait that stands before them.
        waits_ns: Waits before the tokens: before a single answer all of them, in a stream one
            before each round; empty for an error without a delay.
        cut_after: The connection is closed after so many bytes of a body or events of a stream, if
            it has more than that.
    """

    status: int
    headers: Headers
    body: bytes | None
    rounds: list[list[bytes]] | None
    waits_ns: tuple[int, ...]
    cut_after: int | None = None


class _Refusal(NamedTuple):
    status: int
    body: bytes


_Plan = Single | Stream | _Refusal
"""Everything about an answer that does not differ from call to call."""


class Simulator:
    """Answers requests without a network.

    An instance counts how often each call was attempted, and how far each flow has come in its
    sample's script; other than that it has no state that shows.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._seed = config.seed
        self._latency = config.latency
        self._samples = {sample.id: sample for sample in config.samples}
        self._attempts: Counter[str] = Counter()
        self._scripts = Scripts()
        # A timing pass sends the same few bodies over and over.
        self._small_plan = lru_cache(_PLANS_KEPT)(self._plan)
        self._large_plan = lru_cache(_LARGE_PLANS_KEPT)(self._plan)

    def answer(self, dialect: Dialect, body: bytes, call: CallId | None, endpoint: Endpoint = CHAT) -> Answer:
        """Answer a request.

        Args:
            dialect: The wire format that was asked in.
            body: The request's body.
            call: The call that it belongs to; without one, or with a sample that the prompt set
                does not have, the answer is a function of the body.
            endpoint: What was asked for.
        """
        known = self._samples.get(call.sample) if call is not None else None
        sample = _digest_name(body) if known is None else known.id
        place = self._scripts.take(known, call)
        entry = self._entry(sample, place)
        digest = self._digest(call, sample)
        plan = self._planner(len(body))(endpoint, dialect, body, sample, place)
        wire = WIRES[dialect]
        if entry.status in _BODILESS:
            waits_ns: tuple[int, ...] = (round(entry.delay_ms * _NS_PER_MS),)
            headers = wire.headers(digest, 0, limits=True)
            return Answer(entry.status, with_headers(headers, entry), b"", None, waits_ns)
        if isinstance(plan, _Refusal):
            headers = [*wire.error_headers(digest, plan.status, limits=endpoint.always_limits), _length(plan.body)]
            waits_ns = (round(entry.delay_ms * _NS_PER_MS),) if entry.delay_ms else ()
            return Answer(plan.status, with_headers(headers, entry), plan.body, None, waits_ns, entry.cut_after)
        waits_ns = self._waits_ns(plan, entry, sample, 0 if call is None else call.repetition)
        if isinstance(plan, Stream):
            headers = [_STREAM, *wire.headers(digest, waits_ns[0] // _NS_PER_MS, limits=endpoint.always_limits)]
            rounds = plan.fill(digest)
            return Answer(entry.status, with_headers(headers, entry), None, rounds, waits_ns, entry.cut_after)
        text = plan.body.fill(digest)
        headers = [_JSON, *wire.headers(digest, sum(waits_ns) // _NS_PER_MS, limits=True), _length(text)]
        return Answer(entry.status, with_headers(headers, entry), text, None, waits_ns, entry.cut_after)

    def _planner(self, size_bytes: int) -> Callable[..., _Plan]:
        if size_bytes <= _LARGE_BODY_BYTES:
            return self._small_plan
        return self._large_plan if size_bytes <= _LARGEST_PLANNED_BODY_BYTES else self._plan

    def _entry(self, sample: str, place: int) -> ScriptedAnswer:
        return UNSCRIPTED if place < 0 else self._samples[sample].script[place]

    def _waits_ns(self, plan: Single | Stream, entry: ScriptedAnswer, sample: str, repetition: int) -> tuple[int, ...]:
        count = len(plan.sizes) if isinstance(plan, Stream) else plan.tokens
        waits_ns = planned_waits_ns(self._latency, self._seed, sample, repetition, count)
        if not entry.delay_ms and not entry.chunk_delay_ms:
            return waits_ns
        first_ns = waits_ns[0] + round(entry.delay_ms * _NS_PER_MS)
        further_ns = round(entry.chunk_delay_ms * _NS_PER_MS) if isinstance(plan, Stream) else 0
        return (first_ns, *(wait_ns + further_ns for wait_ns in waits_ns[1:]))

    def _digest(self, call: CallId | None, sample: str) -> bytes:
        """32 bytes of this attempt of this call, the same in both arms and whatever the cell is called."""
        if call is None:
            name = counted = f"{self._seed}/{sample}"
        else:
            name = f"{self._seed}/{call.phase}/{call.fork}/{call.repetition}/{call.sample}/{call.step}"
            counted = str(call)
        attempt = self._attempts[counted]
        self._attempts[counted] = attempt + 1
        return blake2b(f"{name}/{attempt}".encode(), digest_size=32).digest()

    def _plan(self, endpoint: Endpoint, dialect: Dialect, body: bytes, sample: str, place: int) -> _Plan:
        entry = self._entry(sample, place)
        known = self._samples.get(sample)
        voice = Voice(f"{self._seed}/{sample}", None if known is None else known.expected, entry)
        try:
            if entry.status >= 400:
                raise refusing(dialect).scripted(entry, _model(body))
            return endpoint.answer(dialect, body, voice)
        except RefusedError as refused:
            text = WIRES[dialect].error(refused)
            return _Refusal(refused.status, text[: len(text) // 2] if entry.malformed else text)
        except orjson.JSONEncodeError:
            # What can be read can be too deep to be written again.
            unreadable = refusing(dialect).wrong_value("body", "it is nested too deeply")
            return _Refusal(unreadable.status, WIRES[dialect].error(unreadable))


def _model(body: bytes) -> str:
    """The model that a request names, for an error's text."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return str(document.get("model", "")) if isinstance(document, dict) else ""


def _digest_name(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)
