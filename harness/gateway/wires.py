"""The wire formats: what answers, streams, errors and headers look like in each dialect.

Key names, their order, their types and the order of a stream's events are those of real
exchanges with api.openai.com and api.mistral.ai. An answer's id and its time of creation are the
only parts that differ from call to call, so everything else is serialised beforehand, as the
bytes before and after them.
"""

from __future__ import annotations

import random
import string
from abc import ABC, abstractmethod
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import orjson

from harness.gateway.models import is_reasoning, mistral_snapshot, openai_snapshot

if TYPE_CHECKING:
    from harness.gateway.requests import ChatRequest, RefusedError
    from harness.records import Dialect

Headers = list[tuple[bytes, bytes]]

DONE = b"data: [DONE]\n\n"
_OPENING = b'{"id":"'
_CREATED = b'"created":0'
_CACHE_LEAST_TOKENS, _CACHE_STEP_TOKENS = 1024, 128
_BASE62 = (string.ascii_letters + string.digits).encode()
_TO_BASE62 = bytes(_BASE62[byte % len(_BASE62)] for byte in range(256))
_REASONING_STEP_TOKENS, _REASONING_MOST_STEPS = 64, 4


class Choice(NamedTuple):
    """One alternative answer, in tokens."""

    pieces: tuple[str, ...]
    finish_reason: Literal["stop", "length"]


class Content(NamedTuple):
    """What an answer says, before it is written in a dialect."""

    choices: tuple[Choice, ...]
    prompt_tokens: int
    seed: str

    @property
    def cached_tokens(self) -> int:
        """OpenAI caches prompts from 1024 tokens on, in steps of 128; here as if it always hit."""
        if self.prompt_tokens < _CACHE_LEAST_TOKENS:
            return 0
        return self.prompt_tokens // _CACHE_STEP_TOKENS * _CACHE_STEP_TOKENS

    @property
    def reasoning_tokens(self) -> int:
        """Tokens that a reasoning model would have spent before it answers."""
        draw = random.Random(f"{self.seed}/reasoning")  # noqa: S311 - simulation, not cryptography
        return _REASONING_STEP_TOKENS * draw.randint(1, _REASONING_MOST_STEPS)

    @property
    def piece_count(self) -> int:
        """Tokens of all choices."""
        return sum(len(choice.pieces) for choice in self.choices)


class SingleWire(NamedTuple):
    """A single answer as the bytes between and after its id and its time of creation."""

    middle: bytes
    end: bytes

    def render(self, answer_id: bytes, created: bytes) -> bytes:
        """The body of the answer."""
        return b"".join((_OPENING, answer_id, self.middle, created, self.end))


class StreamWire(NamedTuple):
    """A streamed answer: rounds of events, one round a token (and a choice each has an event in it)."""

    middle: bytes
    rounds: tuple[tuple[bytes, ...], ...]

    def render(self, answer_id: bytes, created: bytes) -> list[list[bytes]]:
        """The events of each round; the stream's end follows the last round's."""
        start = b"".join((b"data: ", _OPENING, answer_id, self.middle, created))
        rounds = [[start + end for end in ends] for ends in self.rounds]
        rounds[-1].append(DONE)
        return rounds


class Wire(ABC):
    """One dialect."""

    @abstractmethod
    def answer_id(self, digest: bytes) -> bytes:
        """An id of the dialect's form, made of 32 bytes."""

    @abstractmethod
    def headers(self, digest: bytes, waited_ms: int) -> Headers:
        """The response headers of an answer, without its content type."""

    @abstractmethod
    def error(self, refused: RefusedError) -> bytes:
        """The body of an error."""

    @abstractmethod
    def error_headers(self, digest: bytes, status: int) -> Headers:
        """The response headers of an error."""

    @abstractmethod
    def single(self, request: ChatRequest, content: Content) -> SingleWire:
        """A single answer."""

    @abstractmethod
    def stream(self, request: ChatRequest, content: Content) -> StreamWire:
        """A streamed answer."""

    @abstractmethod
    def no_route(self, method: str, path: str) -> str:
        """What the endpoint says of a path that it does not serve."""


def _split(document: dict[str, Any]) -> SingleWire:
    """Cut a document whose first key is ``id`` and that was created at 0 around these two values."""
    raw = orjson.dumps({"id": "", **document})
    middle, _, end = raw[len(_OPENING) :].partition(_CREATED)
    return SingleWire(middle + _CREATED[:-1], end)


def _interleave(starts: list[dict[str, Any]], tokens: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Rounds of events: each choice's start stands before its first token, then one token of each in turn."""
    longest = max(1, *(len(events) for events in tokens))
    rounds: list[list[dict[str, Any]]] = [[] for _ in range(longest)]
    for start, events in zip(starts, tokens, strict=True):
        rounds[0].append(start)
        for place, event in zip(rounds, events, strict=False):
            place.append(event)
    return rounds


def _stream_wire(rounds: list[list[dict[str, Any]]]) -> StreamWire:
    cut = [[_split(event) for event in events] for events in rounds]
    ends = tuple(tuple(event.end + b"\n\n" for event in events) for events in cut)
    return StreamWire(cut[0][0].middle, ends)


@lru_cache
def _fingerprint(model: str) -> str | None:
    """OpenAI's name for what serves a model; reasoning models and the first GPT-4 give none."""
    snapshot = openai_snapshot(model)
    if is_reasoning(model) or snapshot == "gpt-4-0613":
        return None
    return f"fp_{blake2b(snapshot.encode(), digest_size=5).hexdigest()}"


class OpenAIWire(Wire):
    """OpenAI's chat completions."""

    _STANDING: ClassVar[Headers] = [
        (b"openai-version", b"2020-10-01"),
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-remaining-requests", b"9999"),
    ]

    def answer_id(self, digest: bytes) -> bytes:
        """``chatcmpl-`` and 29 letters or digits."""
        return b"chatcmpl-" + digest[:29].translate(_TO_BASE62)

    def headers(self, digest: bytes, waited_ms: int) -> Headers:
        """Request id, time taken, version and rate limits."""
        return [
            (b"x-request-id", b"req_" + digest[16:].hex().encode()),
            (b"openai-processing-ms", b"%d" % max(1, waited_ms)),
            *self._STANDING,
        ]

    def error(self, refused: RefusedError) -> bytes:
        """The fields below ``error``, indented as OpenAI does."""
        fields = {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.code}
        return orjson.dumps({"error": fields}, option=orjson.OPT_INDENT_2)

    def error_headers(self, digest: bytes, status: int) -> Headers:
        """A 404 comes without version and limits."""
        if status == 404:
            request_id = b"req_" + digest[16:].hex().encode()
            return [(b"content-type", b"application/json; charset=utf-8"), (b"x-request-id", request_id)]
        return [(b"content-type", b"application/json"), *self.headers(digest, 0)]

    def no_route(self, method: str, path: str) -> str:
        """The sentence names the method and the path."""
        return f"Invalid URL ({method} {path})"

    def single(self, request: ChatRequest, content: Content) -> SingleWire:
        """Reasoning models give no ``logprobs``."""
        return _split(
            {
                "object": "chat.completion",
                "created": 0,
                "model": openai_snapshot(request.model),
                "choices": [self._choice(request, index, choice) for index, choice in enumerate(content.choices)],
                "usage": self._usage(request, content),
                "service_tier": "default",
                "system_fingerprint": _fingerprint(request.model),
            }
        )

    def stream(self, request: ChatRequest, content: Content) -> StreamWire:
        """Each choice's role stands before its first token; usage comes last, and only if it was asked for."""
        indexed = list(enumerate(content.choices))
        rounds = _interleave(
            [self._chunk(request, i, {"role": "assistant", "content": "", "refusal": None}) for i, _ in indexed],
            [[self._chunk(request, i, {"content": piece}) for piece in choice.pieces] for i, choice in indexed],
        )
        rounds[-1] += [self._chunk(request, i, {}, choice.finish_reason) for i, choice in indexed]
        if request.include_usage:
            rounds[-1].append({**self._chunk_head(request), "choices": [], "usage": self._usage(request, content)})
        return _stream_wire(rounds)

    def _choice(self, request: ChatRequest, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(choice.pieces),
            "refusal": None,
            "annotations": [],
        }
        logprobs = {} if is_reasoning(request.model) else {"logprobs": None}
        return {"index": index, "message": message, **logprobs, "finish_reason": choice.finish_reason}

    def _chunk_head(self, request: ChatRequest) -> dict[str, Any]:
        return {
            "object": "chat.completion.chunk",
            "created": 0,
            "model": openai_snapshot(request.model),
            "system_fingerprint": _fingerprint(request.model),
        }

    def _chunk(
        self, request: ChatRequest, index: int, delta: dict[str, Any], finish_reason: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if request.include_usage else {}
        return {**self._chunk_head(request), "choices": [choice], **usage}

    def _usage(self, request: ChatRequest, content: Content) -> dict[str, Any]:
        reasoning = content.reasoning_tokens * len(content.choices) if is_reasoning(request.model) else 0
        completion = content.piece_count + reasoning
        return {
            "prompt_tokens": content.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": content.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": content.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


class MistralWire(Wire):
    """Mistral's chat completions."""

    _PADDING: ClassVar[str] = "abcdefghijklmnopqrstuvwxyz0123456789"

    def answer_id(self, digest: bytes) -> bytes:
        """32 hexadecimal digits."""
        return digest[:16].hex().encode()

    def headers(self, digest: bytes, waited_ms: int) -> Headers:  # noqa: ARG002 - the signature is the base class's
        """Mistral's recorded answers carry nothing but their content type."""
        return []

    def error(self, refused: RefusedError) -> bytes:
        """The fields beside ``object``."""
        return orjson.dumps(
            {
                "object": "error",
                "message": refused.message,
                "type": refused.kind,
                "param": refused.param,
                "code": refused.code,
            }
        )

    def error_headers(self, digest: bytes, status: int) -> Headers:  # noqa: ARG002 - the signature is the base class's
        """The same for every status."""
        return [(b"content-type", b"application/json")]

    def no_route(self, method: str, path: str) -> str:  # noqa: ARG002 - the signature is the base class's
        """One sentence for every path."""
        return "no Route matched with those values"

    def single(self, request: ChatRequest, content: Content) -> SingleWire:
        """Usage stands before the choices."""
        return _split(
            {
                "created": 0,
                "model": mistral_snapshot(request.model),
                "usage": self._usage(content),
                "object": "chat.completion",
                "choices": [
                    {
                        "index": index,
                        "finish_reason": choice.finish_reason,
                        "message": {"role": "assistant", "tool_calls": None, "content": "".join(choice.pieces)},
                    }
                    for index, choice in enumerate(content.choices)
                ],
            }
        )

    def stream(self, request: ChatRequest, content: Content) -> StreamWire:
        """Usage stands in the last event, whether it was asked for or not."""
        draw = random.Random(f"{content.seed}/padding")  # noqa: S311 - simulation, not cryptography
        indexed = list(enumerate(content.choices))
        rounds = _interleave(
            [self._chunk(request, i, {"role": "assistant", "content": ""}) for i, _ in indexed],
            [
                [self._chunk(request, i, {"content": piece}) | self._padding(draw) for piece in choice.pieces]
                for i, choice in indexed
            ],
        )
        closing = [self._chunk(request, i, {"content": ""}, choice.finish_reason) for i, choice in indexed]
        closing[-1]["usage"] = self._usage(content)
        rounds[-1] += [chunk | self._padding(draw) for chunk in closing]
        return _stream_wire(rounds)

    def _chunk(
        self, request: ChatRequest, index: int, delta: dict[str, Any], finish_reason: str | None = None
    ) -> dict[str, Any]:
        return {
            "object": "chat.completion.chunk",
            "created": 0,
            "model": mistral_snapshot(request.model),
            "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}],
        }

    def _padding(self, draw: random.Random) -> dict[str, str]:
        """Recent streams pad each event but the first to a random length."""
        return {"p": self._PADDING[: draw.randint(1, len(self._PADDING))]}

    def _usage(self, content: Content) -> dict[str, Any]:
        cached = {"prompt_tokens_details": {"cached_tokens": content.cached_tokens}} if content.cached_tokens else {}
        return {
            "prompt_tokens": content.prompt_tokens,
            "total_tokens": content.prompt_tokens + content.piece_count,
            "completion_tokens": content.piece_count,
            **cached,
        }


WIRES: dict[Dialect, Wire] = {"openai": OpenAIWire(), "mistral": MistralWire()}
