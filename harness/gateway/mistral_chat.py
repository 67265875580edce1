"""Mistral's chat completions on the wire."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any

from harness.gateway.template import DONE, Single, Stream, event_of, id_gap, number_gap, turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.gateway.content import Choice, Content, Usage, Voice
    from harness.gateway.requests import Request

_PADDING = "abcdefghijklmnopqrstuvwxyz0123456789"


def single(content: Content, voice: Voice) -> Single:
    """A single answer; usage stands before the choices."""
    numbers = count()
    document = {
        "id": id_gap("hex"),
        "created": number_gap("created"),
        "model": content.model,
        **_usage(content.usage),
        "object": "chat.completion",
        "choices": [
            {
                "index": index,
                "finish_reason": choice.finish_reason,
                "message": {
                    "role": "assistant",
                    "tool_calls": _calls(choice, numbers) or None,
                    "content": "".join(_pieces(choice)),
                },
            }
            for index, choice in enumerate(content.choices)
        ],
    }
    return Single.of(document, voice.entry, max(1, *(choice.token_count for choice in content.choices)))


def stream(_request: Request, content: Content, voice: Voice) -> Stream:
    """Usage stands in the last event, whether it was asked for or not; so do a choice's calls, each whole."""
    draw = random.Random(f"{voice.seed}/padding")  # noqa: S311 - simulation, not cryptography
    head = {
        "id": id_gap("hex"),
        "object": "chat.completion.chunk",
        "created": number_gap("created"),
        "model": content.model,
    }

    def chunk(index: int, delta: dict[str, Any], finish_reason: str | None = None, **others: Any) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
        return event_of({**head, "choices": [choice], **others})

    def padding() -> str:
        """Recent streams pad each event but the first to a random length."""
        return _PADDING[: draw.randint(1, len(_PADDING))]

    numbers = count()
    indexed = list(enumerate(content.choices))
    rounds = turns(
        [chunk(index, {"role": "assistant", "content": ""}) for index, _ in indexed],
        [[chunk(index, {"content": piece}, p=padding()) for piece in _pieces(choice)] for index, choice in indexed],
    )
    for index, choice in indexed:
        calls = _calls(choice, numbers)
        delta = {"content": "", **({"tool_calls": calls} if calls else {})}
        usage = _usage(content.usage) if index == len(indexed) - 1 else {}
        rounds[-1].append(chunk(index, delta, choice.finish_reason, **usage, p=padding()))
    rounds[-1].append(DONE)
    return Stream.of(rounds, voice.entry, lambda _count: event_of(_error(voice)))


def _error(voice: Voice) -> dict[str, Any]:
    """What an error in the middle of a stream says."""
    entry = voice.entry
    return {
        "object": "error",
        "message": entry.error_message or "Service unavailable.",
        "type": entry.error_type or "internal_server_error",
        "param": None,
        "code": entry.error_code or "1000",
    }


def _pieces(choice: Choice) -> tuple[str, ...]:
    """The text; Mistral has no place of its own for a refusal."""
    return choice.pieces + (choice.refusal or ())


def _calls(choice: Choice, numbers: Iterator[int]) -> list[dict[str, Any]]:
    return [
        {
            "id": id_gap(f"tool_{next(numbers)}"),
            "function": {"name": call.name, "arguments": call.arguments},
            "index": index,
        }
        for index, call in enumerate(choice.calls)
    ]


def _usage(usage: Usage | None) -> dict[str, Any]:
    """The key and what stands there; nothing where it is left out."""
    if usage is None:
        return {}
    cached = {"prompt_tokens_details": {"cached_tokens": usage.cached_tokens}} if usage.cached_tokens else {}
    return {
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "total_tokens": usage.total_tokens,
            "completion_tokens": usage.output_tokens,
            **cached,
        }
    }
