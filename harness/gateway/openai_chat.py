"""OpenAI's chat completions on the wire."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Any

from harness.gateway.models import is_reasoning
from harness.gateway.template import DONE, Single, Stream, event_of, id_gap, number_gap, turns
from harness.gateway.tokens import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.gateway.content import Choice, Content, Usage, Voice
    from harness.gateway.requests import Request
    from harness.gateway.tools import ToolCall


def single(content: Content, voice: Voice) -> Single:
    """A single answer; reasoning models give no ``logprobs``."""
    numbers = count()
    document = {
        "id": id_gap("chatcmpl"),
        "object": "chat.completion",
        "created": number_gap("created"),
        "model": content.model,
        "choices": [_choice(content, index, choice, numbers) for index, choice in enumerate(content.choices)],
        **({} if content.usage is None else {"usage": _usage(content.usage)}),
        "service_tier": "default",
        "system_fingerprint": _fingerprint(content.model),
    }
    return Single.of(document, voice.entry, max(1, *(choice.token_count for choice in content.choices)))


def stream(request: Request, content: Content, voice: Voice) -> Stream:
    """Each choice's role stands before its first token; usage comes last, and only if it was asked for."""
    writer = _Chunks(request, content)
    indexed = list(enumerate(content.choices))
    rounds = turns(
        [writer.chunk(index, _opening(choice)) for index, choice in indexed],
        [[writer.chunk(index, delta) for delta in writer.deltas(choice)] for index, choice in indexed],
    )
    rounds[-1] += [writer.chunk(index, {}, choice.finish_reason) for index, choice in indexed]
    if request.include_usage and content.usage is not None:
        rounds[-1].append(event_of({**writer.head, "choices": [], "usage": _usage(content.usage)}))
    rounds[-1].append(DONE)
    return Stream.of(rounds, voice.entry, lambda _count: event_of({"error": stream_error(voice)}))


def stream_error(voice: Voice) -> dict[str, Any]:
    """What an error in the middle of a stream says."""
    entry = voice.entry
    return {
        "message": entry.error_message or "The server had an error while processing your request. Sorry about that!",
        "type": entry.error_type or "server_error",
        "param": None,
        "code": entry.error_code,
    }


class _Chunks:
    """The events of one stream."""

    def __init__(self, request: Request, content: Content) -> None:
        self._usage = {"usage": None} if request.include_usage else {}
        self._numbers = count()
        self.head = {
            "id": id_gap("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": number_gap("created"),
            "model": content.model,
            "system_fingerprint": _fingerprint(content.model),
        }

    def chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        """One event of a choice."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event_of({**self.head, "choices": [choice], **self._usage})

    def deltas(self, choice: Choice) -> Iterator[dict[str, Any]]:
        """What each event adds: pieces of the text, of a refusal, then each call's name and its arguments."""
        for piece in choice.pieces:
            yield {"content": piece}
        for piece in choice.refusal or ():
            yield {"refusal": piece}
        for index, call in enumerate(choice.calls):
            yield {"tool_calls": [{"index": index, **_call(call._replace(arguments=""), self._numbers)}]}
            for piece in pieces(call.arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _opening(choice: Choice) -> dict[str, Any]:
    if choice.text is not None:
        return {"role": "assistant", "content": "", "refusal": None}
    return {"role": "assistant", "content": None} | ({} if choice.refusal is None else {"refusal": ""})


def _choice(content: Content, index: int, choice: Choice, numbers: Iterator[int]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text,
        **({"tool_calls": [_call(call, numbers) for call in choice.calls]} if choice.calls else {}),
        "refusal": None if choice.refusal is None else "".join(choice.refusal),
        "annotations": [],
    }
    logprobs = {} if content.reasoning else {"logprobs": None}
    return {"index": index, "message": message, **logprobs, "finish_reason": choice.finish_reason}


def _call(call: ToolCall, numbers: Iterator[int]) -> dict[str, Any]:
    return {
        "id": id_gap(f"call_{next(numbers)}"),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@lru_cache
def _fingerprint(model: str) -> str | None:
    """OpenAI's name for what serves a model; reasoning models and the first GPT-4 give none."""
    if is_reasoning(model) or model == "gpt-4-0613":
        return None
    return f"fp_{blake2b(model.encode(), digest_size=5).hexdigest()}"
