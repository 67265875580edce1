"""OpenAI's Responses API on the wire."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, Any

import orjson

from harness.gateway.content import compose
from harness.gateway.responses_requests import read_responses
from harness.gateway.template import Single, Stream, id_gap, number_gap
from harness.gateway.tokens import pieces
from harness.gateway.wording import seeded_text

if TYPE_CHECKING:
    from harness.gateway.content import Choice, Content, Voice
    from harness.gateway.requests import Request
    from harness.records import Dialect

_OBSCURED = string.ascii_letters + string.digits
_OBSCURED_LENGTH = 16
_REASON_BY_FINISH = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FAILURE = ("server_error", "The model failed to generate a response.")

Item = dict[str, Any]


def answer_responses(_dialect: Dialect, body: bytes, voice: Voice) -> Single | Stream:
    """Answer a request to the Responses API.

    Raises:
        RefusedError: As the endpoint would.
    """
    request = read_responses(body)
    answer = _Answer(request, compose("openai", request, voice), voice)
    return answer.stream() if request.stream else answer.single()


class _Answer:
    """One answer, single or streamed."""

    def __init__(self, request: Request, content: Content, voice: Voice) -> None:
        scripted = voice.entry.response_status
        self._request = request
        self._content = content
        self._voice = voice
        self._choice: Choice = content.choices[0]
        self._reason = _REASON_BY_FINISH.get(self._choice.finish_reason)
        if scripted == "incomplete" and self._reason is None:
            # Something must be missing: half of the text is.
            self._reason = _REASON_BY_FINISH["length"]
            kept = self._choice.pieces[: (len(self._choice.pieces) + 1) // 2]
            self._choice = self._choice._replace(pieces=kept)
        self._status = scripted or ("incomplete" if self._reason else "completed")

    def single(self) -> Single:
        """A single answer."""
        output = [] if self._status == "failed" else [item for item, _ in self._items()]
        return Single.of(self._document(self._status, output), self._voice.entry, max(1, self._choice.token_count))

    def stream(self) -> Stream:
        """A stream; one that fails does so in the middle."""
        events = _Events(self._request, self._voice)
        for name in ("created", "in_progress"):
            events.add(f"response.{name}", response=self._document("in_progress", []))
        items = self._items()
        for index, (item, steps) in enumerate(items):
            steps(events, index, item)
        if self._status == "failed":
            events.halve()
            items = []
        events.add(f"response.{self._status}", response=self._document(self._status, [item for item, _ in items]))
        return Stream.of(events.rounds, self._voice.entry, lambda count: _error(self._voice, count))

    def _items(self) -> list[tuple[Item, Any]]:
        """The items of the output, each with the function that streams it."""
        items: list[tuple[Item, Any]] = []
        if self._content.reasoning:
            items.append(({"id": id_gap("rs_0"), "type": "reasoning", "summary": self._summary()}, _stream_reasoning))
        if self._choice.text is not None or self._choice.refusal is not None:
            items.append((self._message(), _stream_message))
        for number, call in enumerate(self._choice.calls):
            item = {
                "id": id_gap(f"fc_{number}"),
                "type": "function_call",
                "status": self._item_status,
                "arguments": call.arguments,
                "call_id": id_gap(f"call_{number}"),
                "name": call.name,
            }
            items.append((item, _stream_call))
        return items

    @property
    def _item_status(self) -> str:
        return "incomplete" if self._status == "incomplete" else "completed"

    def _summary(self) -> list[Item]:
        """A summary of the reasoning, if one was asked for."""
        if not (self._request.document.get("reasoning") or {}).get("summary"):
            return []
        return [{"type": "summary_text", "text": seeded_text(f"{self._voice.seed}/summary")}]

    def _message(self) -> Item:
        part: Item
        if self._choice.refusal is not None:
            part = {"type": "refusal", "refusal": "".join(self._choice.refusal)}
        else:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": self._choice.text}
        return {
            "id": id_gap("msg_0"),
            "type": "message",
            "status": self._item_status,
            "content": [part],
            "role": "assistant",
        }

    def _document(self, status: str, output: list[Item]) -> dict[str, Any]:
        """The response as it stands at some moment; what was asked for comes back in it."""
        asked = self._request.document
        ended = status != "in_progress"
        reasoning = asked.get("reasoning") or {}
        text = asked.get("text") or {}
        return {
            "id": id_gap("resp"),
            "object": "response",
            "created_at": number_gap("created"),
            "status": status,
            "background": False,
            "completed_at": number_gap("completed") if status == "completed" else None,
            "error": self._error() if status == "failed" else None,
            "frequency_penalty": 0.0,
            "incomplete_details": {"reason": self._reason} if status == "incomplete" else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "max_tool_calls": asked.get("max_tool_calls"),
            "model": self._content.model,
            "output": output,
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "presence_penalty": 0.0,
            "previous_response_id": asked.get("previous_response_id"),
            "prompt_cache_key": asked.get("prompt_cache_key"),
            "prompt_cache_retention": asked.get("prompt_cache_retention"),
            "reasoning": {
                "effort": reasoning.get("effort") or ("medium" if self._content.reasoning else None),
                "summary": reasoning.get("summary"),
            },
            "safety_identifier": asked.get("safety_identifier"),
            "service_tier": "default" if ended else "auto",
            "store": asked.get("store") is not False,
            "temperature": _number(asked.get("temperature")),
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": [_tool(tool) for tool in asked.get("tools") or ()],
            "top_logprobs": 0,
            "top_p": _number(asked.get("top_p")),
            "truncation": asked.get("truncation") or "disabled",
            **({} if self._content.usage is None else {"usage": self._usage() if self._is_counted(status) else None}),
            "user": asked.get("user"),
            "metadata": asked.get("metadata") or {},
        }

    def _is_counted(self, status: str) -> bool:
        return status in ("completed", "incomplete")

    def _usage(self) -> dict[str, Any]:
        usage = self._content.usage
        assert usage is not None  # noqa: S101 - for the type checker
        return {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.total_tokens,
        }

    def _error(self) -> dict[str, Any]:
        code, message = _FAILURE
        entry = self._voice.entry
        return {"code": entry.error_code or code, "message": entry.error_message or message}


class _Events:
    """Collects the events of a stream, numbered, in rounds of one token each."""

    def __init__(self, request: Request, voice: Voice) -> None:
        options = request.document.get("stream_options") or {}
        self._obscured = options.get("include_obfuscation") is not False
        self._draw = random.Random(f"{voice.seed}/obfuscation")  # noqa: S311 - simulation, not cryptography
        self._count = 0
        self._in_token = False
        self.rounds: list[list[bytes]] = [[]]

    def add(self, kind: str, **fields: Any) -> None:
        """Add an event; its fields stand in alphabetical order after its type."""
        self.rounds[-1].append(_event(kind, self._count, fields))
        self._count += 1

    def add_token(self, kind: str, delta: str, **fields: Any) -> None:
        """Add an event that brings a token."""
        if self._in_token:
            self.rounds.append([])
        self._in_token = True
        if self._obscured:
            # Padded to a multiple of some length, so that its size does not betray the token.
            length = _OBSCURED_LENGTH - len(delta) % _OBSCURED_LENGTH
            fields["obfuscation"] = "".join(self._draw.choices(_OBSCURED, k=length))
        self.add(kind, delta=delta, **fields)

    def halve(self) -> None:
        """Forget the second half."""
        self.rounds = self.rounds[: (len(self.rounds) + 1) // 2]
        self._count = sum(len(events) for events in self.rounds)


def _event(kind: str, number: int, fields: dict[str, Any]) -> bytes:
    document = {"type": kind, **dict(sorted({**fields, "sequence_number": number}.items()))}
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(document))


def _error(voice: Voice, number: int) -> bytes:
    """The event that reports an error in the middle of a stream."""
    code, message = _FAILURE
    fields = {"code": voice.entry.error_code or code, "message": voice.entry.error_message or message, "param": None}
    return _event("error", number, fields)


def _stream_reasoning(events: _Events, index: int, item: Item) -> None:
    events.add("response.output_item.added", item={**item, "summary": []}, output_index=index)
    for number, part in enumerate(item["summary"]):
        place = {"item_id": item["id"], "output_index": index, "summary_index": number}
        events.add("response.reasoning_summary_part.added", part={**part, "text": ""}, **place)
        for piece in pieces(part["text"]):
            events.add_token("response.reasoning_summary_text.delta", piece, **place)
        events.add("response.reasoning_summary_text.done", text=part["text"], **place)
        events.add("response.reasoning_summary_part.done", part=part, **place)
    events.add("response.output_item.done", item=item, output_index=index)


def _stream_message(events: _Events, index: int, item: Item) -> None:
    (part,) = item["content"]
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    key = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if key == "refusal" else "response.output_text"
    extra: Item = {} if key == "refusal" else {"logprobs": []}
    events.add("response.output_item.added", item={**item, "status": "in_progress", "content": []}, output_index=index)
    events.add("response.content_part.added", part={**part, key: ""}, **place)
    for piece in pieces(part[key]):
        events.add_token(f"{name}.delta", piece, **extra, **place)
    events.add(f"{name}.done", **{key: part[key]}, **extra, **place)
    events.add("response.content_part.done", part=part, **place)
    events.add("response.output_item.done", item=item, output_index=index)


def _stream_call(events: _Events, index: int, item: Item) -> None:
    place = {"item_id": item["id"], "output_index": index}
    started = {**item, "status": "in_progress", "arguments": ""}
    events.add("response.output_item.added", item=started, output_index=index)
    for piece in pieces(item["arguments"]):
        events.add_token("response.function_call_arguments.delta", piece, **place)
    events.add("response.function_call_arguments.done", arguments=item["arguments"], **place)
    events.add("response.output_item.done", item=item, output_index=index)


def _tool(tool: Any) -> Any:
    """A tool as it comes back."""
    if tool.get("type") != "function":
        return tool
    return {
        "type": "function",
        "description": tool.get("description"),
        "name": tool["name"],
        "parameters": tool.get("parameters"),
        "strict": tool.get("strict") is not False,
    }


def _number(value: Any) -> float:
    return 1.0 if value is None else float(value)
