"""What an answer says, before it is written in a dialect."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.gateway.models import is_reasoning, mistral_snapshot, openai_snapshot
from harness.gateway.refusals import refusing
from harness.gateway.schemas import SchemaError, value_of
from harness.gateway.tokens import pieces
from harness.gateway.tools import ToolCall, json_text, made_up_call
from harness.gateway.wording import seeded_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.gateway.requests import Request
    from harness.records import Dialect
    from harness.scripts import ScriptedAnswer

SNAPSHOTS: dict[Dialect, Callable[[str], str]] = {"openai": openai_snapshot, "mistral": mistral_snapshot}

_CACHE_LEAST_TOKENS, _CACHE_STEP_TOKENS = 1024, 128
_REASONING_STEP_TOKENS, _REASONING_MOST_STEPS = 64, 4


class Voice(NamedTuple):
    """From what an answer is made.

    Attributes:
        seed: Everything that is made up is a function of it.
        expected: The sample's expected answer, where it has one.
        entry: What the script says.
    """

    seed: str
    expected: str | None
    entry: ScriptedAnswer


class Choice(NamedTuple):
    """One alternative answer, in tokens.

    Attributes:
        pieces: Of the text.
        finish_reason: In chat completions' words.
        calls: Tool calls.
        refusal: Pieces of a refusal; ``None`` for none.
    """

    pieces: tuple[str, ...]
    finish_reason: str
    calls: tuple[ToolCall, ...] = ()
    refusal: tuple[str, ...] | None = None

    @property
    def text(self) -> str | None:
        """The text; ``None`` where calls or a refusal stand in its place."""
        if not self.pieces and (self.calls or self.refusal is not None):
            return None
        return "".join(self.pieces)

    @property
    def token_count(self) -> int:
        """Tokens of everything in it."""
        called = sum(len(pieces(call.name)) + len(pieces(call.arguments)) for call in self.calls)
        return len(self.pieces) + called + len(self.refusal or ())


class Usage(NamedTuple):
    """Token counts; those of reasoning are part of the output, the cached ones of the input."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


class Content(NamedTuple):
    """What an answer says.

    Attributes:
        model: The model that answers.
        usage: ``None`` where it is left out.
        reasoning: Whether the model is one that reasons.
    """

    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None
    reasoning: bool


def compose(dialect: Dialect, request: Request, voice: Voice) -> Content:
    """What a request is answered.

    Raises:
        RefusedError: If a schema in the request allows no answer.
    """
    model = voice.entry.model or SNAPSHOTS[dialect](request.model)
    reasoning = dialect == "openai" and is_reasoning(model)
    choices = tuple(_choice(dialect, request, voice, index) for index in range(request.choices))
    usage = None if voice.entry.omit_usage else _usage(request, voice, choices, reasoning=reasoning)
    return Content(model, choices, usage, reasoning)


def _usage(request: Request, voice: Voice, choices: tuple[Choice, ...], *, reasoning: bool) -> Usage:
    spent = _reasoning_tokens(voice.seed) * len(choices) if reasoning else 0
    counted = Usage(
        input_tokens=request.prompt_tokens,
        output_tokens=sum(choice.token_count for choice in choices) + spent,
        cached_tokens=_cached_tokens(request.prompt_tokens),
        reasoning_tokens=spent,
    )
    if voice.entry.usage is None:
        return counted
    return counted._replace(**voice.entry.usage.model_dump(exclude_none=True))


def _cached_tokens(prompt_tokens: int) -> int:
    """OpenAI caches prompts from 1024 tokens on, in steps of 128; here as if it always hit."""
    if prompt_tokens < _CACHE_LEAST_TOKENS:
        return 0
    return prompt_tokens // _CACHE_STEP_TOKENS * _CACHE_STEP_TOKENS


def _reasoning_tokens(seed: str) -> int:
    """Tokens that a reasoning model would have spent before it answers."""
    draw = random.Random(f"{seed}/reasoning")  # noqa: S311 - simulation, not cryptography
    return _REASONING_STEP_TOKENS * draw.randint(1, _REASONING_MOST_STEPS)


def _choice(dialect: Dialect, request: Request, voice: Voice, index: int) -> Choice:
    entry = voice.entry
    if entry.refusal is not None and index == 0:
        choice = Choice((), "stop", refusal=pieces(entry.refusal))
    elif calls := _calls(dialect, request, voice, index):
        # OpenAI ends the call of a tool that was named with "stop".
        reason = "stop" if request.named and dialect == "openai" and not entry.tool_calls else "tool_calls"
        choice = Choice(pieces(entry.content or "") if index == 0 else (), reason, calls)
    else:
        choice = Choice(_text_pieces(dialect, request, voice, index), "stop")
    choice = _limited(choice, request.max_tokens)
    return choice if entry.finish_reason is None else choice._replace(finish_reason=entry.finish_reason)


def _calls(dialect: Dialect, request: Request, voice: Voice, index: int) -> tuple[ToolCall, ...]:
    """The script's calls, or one that the request forces; none right after a tool's result, so that agents end."""
    if request.tools and voice.entry.tool_calls:
        return tuple(ToolCall(call.name, json_text(call.arguments)) for call in voice.entry.tool_calls)
    if not request.forced or request.after_tool or voice.entry.content is not None:
        return ()
    return (made_up_call(request.forced, f"{voice.seed}/{index}/call", refusing(dialect)),)


def _text_pieces(dialect: Dialect, request: Request, voice: Voice, index: int) -> tuple[str, ...]:
    """The text as the script and the request want it: of its length, up to the first stop text."""
    text = _text(dialect, request, voice, index)
    parts = pieces(text)
    if voice.entry.tokens is not None:
        parts = _stretched(text or seeded_text(f"{voice.seed}/{index}"), voice.entry.tokens)
        text = "".join(parts)
    ends = [place for stop in request.stop if (place := text.find(stop)) >= 0]
    return pieces(text[: min(ends)]) if ends else parts


def _text(dialect: Dialect, request: Request, voice: Voice, index: int) -> str:
    """The script's text, the sample's expected answer, or a made-up one; further choices are always made up."""
    if index == 0:
        if voice.entry.content is not None:
            return voice.entry.content
        if voice.expected is not None:
            return voice.expected
    seed = f"{voice.seed}/{index}"
    if request.schema is None:
        return seeded_text(seed)
    try:
        return json_text(value_of(request.schema, seed))
    except SchemaError as error:
        place = "response_format" if "response_format" in request.document else "text.format"
        raise refusing(dialect).wrong_value(place, f"invalid schema: {error}") from error


def _stretched(text: str, count: int) -> tuple[str, ...]:
    """So many tokens of a text that is said over and over."""
    parts = list(pieces(text))
    again = pieces(f" {text}")
    while len(parts) < count:
        parts += again
    return tuple(parts[:count])


def _limited(choice: Choice, max_tokens: int | None) -> Choice:
    """An answer cut after so many tokens."""
    if max_tokens is None or choice.token_count <= max_tokens:
        return choice
    text = choice.pieces[:max_tokens]
    refusal = None if choice.refusal is None else choice.refusal[:max_tokens]
    left = max_tokens - len(text) - len(refusal or ())
    calls: list[ToolCall] = []
    for call in choice.calls:
        left -= len(pieces(call.name))
        if left < 0:
            break
        arguments = pieces(call.arguments)[:left]
        left -= len(arguments)
        calls.append(ToolCall(call.name, "".join(arguments)))
    return Choice(text, "length", tuple(calls), refusal)


ANY_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "confidence": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["answer", "confidence"],
}
"""What is made up where any JSON object will do."""
