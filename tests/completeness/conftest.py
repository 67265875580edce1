"""One call as plain data, with a trace that holds every fact; tests bend it before it is judged."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from harness.completeness import judge_cell
from harness.records import Call, CellRecord, CellRecords, Chunk, Exchange, Machine, StoredTrace

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import CompletenessResult, Convention, Judgement, Verdict

MS = 1_000_000
EPOCH_NS = 1_700_000_000_000_000_000
MONOTONIC_NS = 5_000_000_000
"""The monotonic clock's reading at ``EPOCH_NS``."""

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of Norway?"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
TOOL_CALLS = [
    {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Oslo", "days": 2}'},
    }
]
PARAMETERS: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 20,
    "stop": ["END"],
    "seed": 7,
    "logit_bias": {"11": -5},
}
USAGE = {
    "prompt_tokens": 112,
    "completion_tokens": 35,
    "total_tokens": 147,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 21},
}
OTEL_PARAMETERS = {
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.max_tokens": 20,
    "gen_ai.request.stop_sequences": ["END"],
    "gen_ai.request.seed": 7,
}
ERROR = {"message": "The rate limit of 'gpt' is exceeded.", "type": "rate_limit_error", "code": "rate_limited"}


@dataclass
class Scene:
    """One call, its exchanges and its traces as plain data.

    Times in ``ms`` count from the call's start.
    """

    dialect: str
    request: dict[str, Any]
    answer: dict[str, Any]
    call: dict[str, Any]
    exchanges: list[dict[str, Any]]
    traces: list[dict[str, Any]]
    expects_traces: bool = True
    more: list[Scene] = field(default_factory=list)

    @property
    def trace(self) -> dict[str, Any]:
        return self.traces[0]

    @property
    def span(self) -> dict[str, Any]:
        """The model span."""
        spans: list[dict[str, Any]] = self.trace["spans"]
        return spans[-1]

    @property
    def attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = self.span["attributes"]
        return attributes

    def records(self) -> CellRecords:
        scenes = [self, *self.more]
        return CellRecords(
            _cell(expects_traces=self.expects_traces),
            tuple(Call(**scene.call) for scene in scenes),
            tuple(Exchange(**one) for scene in scenes for one in scene.exchanges),
            tuple(StoredTrace(**copy.deepcopy(one)) for scene in scenes for one in scene.traces),
            (),
            (),
        )

    def judge(self) -> CompletenessResult:
        return judge_cell(self.records())

    def judgement(self, fact: str, convention: Convention = "mlflow") -> Judgement:
        found = [one for one in self.judge().judgements if (one.fact, one.convention) == (fact, convention)]
        assert len(found) == 1, f"{fact} in {convention} was judged {len(found)} times"
        return found[0]

    def verdict(self, fact: str, convention: Convention = "mlflow") -> Verdict:
        return self.judgement(fact, convention).verdict

    def verdicts(self) -> dict[tuple[str, str], Verdict]:
        return {(one.convention, one.fact): one.verdict for one in self.judge().judgements}

    def applies(self, fact: str, convention: Convention = "mlflow") -> bool:
        return (convention, fact) in self.verdicts()


def at_unix(ms: float) -> int:
    """A wall clock time."""
    return EPOCH_NS + round(ms * MS)


def at_monotonic(ms: float) -> int:
    """The monotonic clock's reading at the same moment."""
    return MONOTONIC_NS + round(ms * MS)


def event(payload: dict[str, Any] | str) -> str:
    """A server-sent event."""
    return f"data: {payload if isinstance(payload, str) else json.dumps(payload)}\n\n"


def scene(  # noqa: PLR0913 - each is one thing that scenes differ in
    *,
    sample: str = "s1",
    dialect: str = "openai",
    stream: bool = False,
    tools: bool = False,
    failed: bool = False,
    conventions: tuple[str, ...] = ("mlflow", "otel"),
) -> Scene:
    """A call whose trace holds every fact in its place, in the conventions that are asked for."""
    asked = "gpt-4o-mini" if dialect == "openai" else "mistral-small-latest"
    request: dict[str, Any] = {"model": asked, "messages": copy.deepcopy(MESSAGES), **copy.deepcopy(PARAMETERS)}
    request |= {"tools": copy.deepcopy(TOOLS)} if tools else {}
    request |= {"stream": True} if stream else {}
    message: dict[str, Any] = {"role": "assistant", "content": None if tools else "It is Oslo, of course."}
    message |= {"tool_calls": copy.deepcopy(TOOL_CALLS)} if tools else {}
    answer = {
        "id": f"chatcmpl-{sample}-9f3",
        "model": f"{asked}-2024-07-18",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if tools else "length"}],
        "usage": copy.deepcopy(USAGE),
    }
    call_id = f"cell/completeness/0/strategy/0/{sample}"
    call = {
        "call_id": call_id,
        "sample_id": sample,
        "stream": stream,
        "start_unix_ns": at_unix(0),
        "start_ns": at_monotonic(0),
        "end_ns": at_monotonic(100),
        "outcome": "error" if failed else "ok",
        "error_type": "openai.RateLimitError" if failed else None,
        "error_message": f"Error code: 429 - {ERROR['message']}" if failed else None,
        "first_chunk_ns": at_monotonic(32) if stream and not failed else None,
    }
    made = Scene(dialect, request, answer, call, [], [])
    made.exchanges.append(exchange(made, failed=failed))
    made.traces.append(trace(made, conventions, failed=failed))
    return made


def exchange(
    made: Scene, *, number: int = 0, failed: bool = False, begin_ms: float = 10, length_ms: float = 80
) -> dict[str, Any]:
    """One exchange of a scene, failed or good."""
    body = json.dumps(made.request)
    one: dict[str, Any] = {
        "exchange_id": number,
        "call_id": made.call["call_id"],
        "dialect": made.dialect,
        "method": "POST",
        "path": "/v1/chat/completions",
        "received_unix_ns": at_unix(begin_ms),
        "received_ns": at_monotonic(begin_ms),
        "request_body": body,
        "request_size_bytes": len(body),
        "request_digest": str(hash(body)),
        "status": 429 if failed else 200,
        "last_byte_ns": at_monotonic(begin_ms + length_ms),
        "completed": True,
    }
    if failed:
        wrapped = {"error": ERROR} if made.dialect == "openai" else {"object": "error", **ERROR}
        one["response_body"] = json.dumps(wrapped)
    elif made.call["stream"]:
        one["chunks"] = tuple(
            Chunk(sent_ns=at_monotonic(begin_ms + 10 + 10 * position), data=data)
            for position, data in enumerate(chunks(made.answer))
        )
    else:
        one["response_body"] = json.dumps(made.answer)
    return one


def chunks(answer: dict[str, Any]) -> list[str]:
    """An answer as the events of a stream: role, content in pieces, finish reason, usage, end."""
    base = {"id": answer["id"], "model": answer["model"], "object": "chat.completion.chunk"}
    deltas: list[tuple[int, dict[str, Any], str | None]] = []
    for choice in answer["choices"]:
        index, message = choice["index"], choice["message"]
        text = message.get("content") or ""
        deltas.append((index, {"role": "assistant", "content": "" if text else None}, None))
        deltas += [(index, {"content": piece}, None) for piece in (text[:5], text[5:]) if piece]
        for position, call in enumerate(message.get("tool_calls") or ()):
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            head = {"index": position, "id": call["id"], "type": "function"}
            deltas.append((index, {"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]}, None))
            deltas += [
                (index, {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}, None)
                for piece in (arguments[:7], arguments[7:])
            ]
        deltas.append((index, {}, choice["finish_reason"]))
    events: list[dict[str, Any]] = [
        {**base, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}
        for index, delta, reason in deltas
    ]
    events.append({**base, "choices": [], "usage": answer["usage"]})
    return [*map(event, events), event("[DONE]")]


def trace(made: Scene, conventions: tuple[str, ...], *, failed: bool) -> dict[str, Any]:
    """A trace with a root and a model span that holds every fact."""
    attributes: dict[str, Any] = {"mlflow.spanType": "CHAT_MODEL"}
    attributes |= _mlflow_attributes(made, failed=failed) if "mlflow" in conventions else {}
    attributes |= _otel_attributes(made, failed=failed) if "otel" in conventions else {}
    events = _events(made) if "mlflow" in conventions and made.call["stream"] and not failed else []
    if failed:
        exception = {"exception.type": "RateLimitError", "exception.message": made.call["error_message"]}
        events.append({"name": "exception", "time_unix_ns": at_unix(95), "attributes": exception})
    status = "ERROR" if failed else "OK"
    root = {"mlflow.spanInputs": {"question": 1}} | ({} if failed else {"mlflow.spanOutputs": {"reply": 2}})
    return {
        "trace_id": f"tr-{made.call['sample_id']}",
        "call_id": made.call["call_id"],
        "state": status,
        "metadata": {},
        "tags": {},
        "spans": [
            span("root", None, (1, 99), root, status=status),
            span("model", "root", (2, 98), attributes, status=status, events=events),
        ],
    }


def span(  # noqa: PLR0913 - the fields of a span
    span_id: str,
    parent_id: str | None,
    ms: tuple[float, float],
    attributes: dict[str, Any],
    *,
    status: str = "OK",
    events: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A stored span from begin and end in milliseconds."""
    return {
        "span_id": span_id,
        "parent_id": parent_id,
        "name": span_id,
        "start_unix_ns": at_unix(ms[0]),
        "end_unix_ns": at_unix(ms[1]),
        "status": status,
        "attributes": attributes,
        "events": events or [],
    }


def _mlflow_attributes(made: Scene, *, failed: bool) -> dict[str, Any]:
    inputs = {key: copy.deepcopy(value) for key, value in made.request.items() if key != "tools"}
    found: dict[str, Any] = {"mlflow.spanInputs": inputs}
    if "tools" in made.request:
        found["mlflow.chat.tools"] = copy.deepcopy(made.request["tools"])
    if failed:
        return found
    return found | {
        "mlflow.llm.model": made.answer["model"],
        "mlflow.chat.tokenUsage": {
            "input_tokens": 112,
            "output_tokens": 35,
            "total_tokens": 147,
            "cache_read_input_tokens": 64,
        },
        "mlflow.spanOutputs": {
            "id": made.answer["id"],
            "choices": copy.deepcopy(made.answer["choices"]),
            "usage": {"completion_tokens_details": {"reasoning_tokens": 21}},
        },
    }


def _otel_attributes(made: Scene, *, failed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai" if made.dialect == "openai" else "mistral_ai",
        "gen_ai.request.model": made.request["model"],
        "gen_ai.input.messages": [
            {"role": one["role"], "parts": [{"type": "text", "content": one["content"]}]}
            for one in made.request["messages"]
        ],
        **copy.deepcopy(OTEL_PARAMETERS),
    }
    if "tools" in made.request:
        found["gen_ai.tool.definitions"] = [{"type": "function", "name": "get_weather"}]
    if made.request.get("stream"):
        found["gen_ai.request.stream"] = True
    if failed:
        return found | {"error.type": "rate_limit_error", "http.response.status_code": 429}
    choice = made.answer["choices"][0]
    parts = [{"type": "text", "content": choice["message"]["content"]}] if choice["message"]["content"] else []
    parts += [
        {
            "type": "tool_call",
            "id": call["id"],
            "name": call["function"]["name"],
            "arguments": json.loads(call["function"]["arguments"]),
        }
        for call in choice["message"].get("tool_calls") or ()
    ]
    if made.request.get("stream"):
        found["gen_ai.response.time_to_first_chunk"] = 0.012
    return found | {
        "gen_ai.response.model": made.answer["model"],
        "gen_ai.response.id": made.answer["id"],
        "gen_ai.response.finish_reasons": [choice["finish_reason"]],
        "gen_ai.output.messages": [{"role": "assistant", "parts": parts, "finish_reason": choice["finish_reason"]}],
        "gen_ai.usage.input_tokens": 112,
        "gen_ai.usage.output_tokens": 35,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.reasoning.output_tokens": 21,
    }


def _events(made: Scene) -> list[dict[str, Any]]:
    """Chunk events a millisecond after the wire's, so blurred that they prove times and nothing else."""
    return [
        {
            "name": f"mlflow.chunk.item.{position}",
            "time_unix_ns": at_unix(21 + 10 * position),
            "attributes": {
                "mlflow.chunk.value": json.dumps({"choices": [{"delta": {"content": "." * (position > 0)}}]})
            },
        }
        for position in range(len(made.exchanges[0]["chunks"]) - 1)
    ]


def _cell(*, expects_traces: bool) -> CellRecord:
    machine = Machine(
        hostname="h", cpu_model="c", cpu_count=2, memory_bytes=1, kernel="k", python="3.11", load_1min=0.0
    )
    return CellRecord(
        cell_id="cell",
        sweep_id="sweep",
        provider="openai",
        backend="openai",
        prompts="chat",
        tracing="manual" if expects_traces else "none",
        style="",
        endpoint="simulator",
        measure="quick",
        seed=1,
        strategy_source="",
        expects_traces=expects_traces,
        config={},
        versions={},
        machine=machine,
        prompt_set_digest="",
        sample_count=1,
        started_unix_ns=1,
        ended_unix_ns=2,
        status="ok",
    )


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    """Makes scenes; its arguments are those of ``scene``."""
    return scene


class Parts:
    """The pieces that scenes are bent with."""

    exchange = staticmethod(exchange)
    span = staticmethod(span)
    event = staticmethod(event)
    chunks = staticmethod(chunks)
    at_unix = staticmethod(at_unix)
    at_monotonic = staticmethod(at_monotonic)


@pytest.fixture(scope="session")
def parts() -> type[Parts]:
    """The pieces that scenes are bent with."""
    return Parts
