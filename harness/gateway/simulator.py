"""The built-in endpoint: answers that are a pure function of the seed and the call.

What an answer says depends on the seed, the sample and the request, so both arms, all forks and
all repetitions get the same text. Its id and time of creation also depend on pass, fork, arm,
repetition and attempt, so no two exchanges of a cell share an id, and two sweeps with one seed
get the same ids.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from harness.gateway.latency import planned_waits_ns
from harness.gateway.requests import ChatRequest, RefusedError, read_request
from harness.gateway.tokens import pieces, prompt_tokens
from harness.gateway.wires import WIRES, Choice, Content, Headers, SingleWire, StreamWire
from harness.gateway.wording import seeded_text

if TYPE_CHECKING:
    from harness.gateway.settings import GatewayConfig
    from harness.records import CallId, Dialect

_PLANS_KEPT = 512
_TEXTS_KEPT = 4096
_LARGEST_PLANNED_BODY_BYTES = 1 << 16
_EPOCH_S, _EPOCH_SPAN_S = 1_700_000_000, 1 << 25
"""Answers are created at some second of the year that follows November 14, 2023."""


class Answer(NamedTuple):
    """What to send for one call.

    Attributes:
        body: The body of a single answer or an error, ``None`` for a stream.
        rounds: The events of a stream, grouped by the wait that stands before them.
        waits_ns: Waits before the tokens: before a single answer all of them, in a stream one
            before each round; empty for an error.
    """

    status: int
    headers: Headers
    body: bytes | None
    rounds: list[list[bytes]] | None
    waits_ns: tuple[int, ...]


class _Refusal(NamedTuple):
    status: int
    body: bytes


class _Plan(NamedTuple):
    """Everything about an answer that does not differ from call to call."""

    wire: SingleWire | StreamWire
    rounds: int


class Simulator:
    """Answers chat requests without a network.

    An instance counts how often each call was attempted; other than that it has no state that
    shows.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._seed = config.seed
        self._latency = config.latency
        self._samples = {sample.id: sample for sample in config.samples}
        self._attempts: Counter[str] = Counter()
        # A timing pass sends the same few bodies over and over.
        self._remembered_plan = lru_cache(_PLANS_KEPT)(self._plan)
        self._remembered_text = lru_cache(_TEXTS_KEPT)(self._text)

    def answer(self, dialect: Dialect, body: bytes, call: CallId | None) -> Answer:
        """Answer a request.

        Args:
            dialect: The wire format that was asked in.
            body: The request's body.
            call: The call that it belongs to; without one, or with a sample that the prompt set
                does not have, the answer is a function of the body.
        """
        sample = call.sample if call is not None and call.sample in self._samples else _digest_name(body)
        digest = self._digest(call, sample)
        wire = WIRES[dialect]
        plan = (self._remembered_plan if len(body) <= _LARGEST_PLANNED_BODY_BYTES else self._plan)(
            dialect, body, sample
        )
        if isinstance(plan, _Refusal):
            headers = wire.error_headers(digest, plan.status)
            return Answer(plan.status, [*headers, _length(plan.body)], plan.body, None, ())
        repetition = call.repetition if call is not None else 0
        waits_ns = planned_waits_ns(self._latency, self._seed, sample, repetition, plan.rounds)
        headers = wire.headers(
            digest, sum(waits_ns[:1] if isinstance(plan.wire, StreamWire) else waits_ns) // 1_000_000
        )
        answer_id = wire.answer_id(digest)
        created = b"%d" % (_EPOCH_S + int.from_bytes(digest[-4:]) % _EPOCH_SPAN_S)
        if isinstance(plan.wire, StreamWire):
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), *headers]
            return Answer(200, headers, None, plan.wire.render(answer_id, created), waits_ns)
        text = plan.wire.render(answer_id, created)
        headers = [(b"content-type", b"application/json"), *headers, _length(text)]
        return Answer(200, headers, text, None, waits_ns)

    def _digest(self, call: CallId | None, sample: str) -> bytes:
        """32 bytes that belong to this attempt of this call alone, whatever the cell is called."""
        if call is None:
            name = f"{self._seed}/{sample}"
        else:
            name = f"{self._seed}/{call.phase}/{call.fork}/{call.arm}/{call.repetition}/{call.sample}"
        attempt = self._attempts[name]
        self._attempts[name] = attempt + 1
        return blake2b(f"{name}/{attempt}".encode(), digest_size=32).digest()

    def _plan(self, dialect: Dialect, body: bytes, sample: str) -> _Plan | _Refusal:
        wire = WIRES[dialect]
        try:
            request = read_request(dialect, body)
        except RefusedError as refused:
            return _Refusal(refused.status, wire.error(refused))
        content = self._content(request, sample)
        rounds = max(1, *(len(choice.pieces) for choice in content.choices))
        return _Plan(wire.stream(request, content) if request.stream else wire.single(request, content), rounds)

    def _content(self, request: ChatRequest, sample: str) -> Content:
        seed = f"{self._seed}/{sample}"
        return Content(
            choices=tuple(_choice(self._remembered_text(sample, index), request) for index in range(request.choices)),
            prompt_tokens=prompt_tokens(request.messages, request.tools),
            seed=seed,
        )

    def _text(self, sample: str, index: int) -> str:
        """The sample's expected answer where it has one; further choices are always made up."""
        known = self._samples.get(sample)
        if index == 0 and known is not None and known.expected is not None:
            return known.expected
        return seeded_text(f"{self._seed}/{sample}/{index}")


def _choice(text: str, request: ChatRequest) -> Choice:
    """Cut a text as the request wants it: before the first stop text, then after so many tokens."""
    ends = [place for stop in request.stop if (place := text.find(stop)) >= 0]
    parts = pieces(text[: min(ends)] if ends else text)
    if request.max_tokens is not None and len(parts) > request.max_tokens:
        return Choice(parts[: request.max_tokens], "length")
    return Choice(parts, "stop")


def _digest_name(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)
