"""What is asked for the good traces: samples that together show every fact that a chat can show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import unknown_option
from harness.prompts import builtin_names, builtin_path, load_prompts

if TYPE_CHECKING:
    from harness.prompts import Sample

SETS = {"short": None, "stream": None, "traffic": None, "chat": 12}
"""Prompt sets among the default samples, and how many of each; all where there is no number."""

_WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city on a day.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "day": {"type": "integer"}, "metric": {"type": "boolean"}},
            "required": ["city"],
        },
    },
}
_CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time in a zone.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    },
}
_CALLS = [
    {"name": "weather", "arguments": {"city": "Malmö", "day": 3, "metric": True}},
    {"name": "clock", "arguments": {"zone": "Europe/Stockholm"}},
]
_USAGE = {"input_tokens": 1207, "output_tokens": 391, "cached_tokens": 1024, "reasoning_tokens": 256}
_TEXT = "Café, naïve, déjà vu: three words with accents.\n\n1. The first point.\n2. The second point."

OWN_SAMPLES: tuple[dict[str, Any], ...] = (
    {
        "id": "plant-parameters",
        "system": "You are terse.",
        "prompt": "Name three metals and say what each is used for.",
        "parameters": {
            "temperature": 0.3,
            "top_p": 0.9,
            "max_tokens": 200,
            "seed": 1234,
            "stop": ["END", "###"],
            "presence_penalty": 0.5,
            "frequency_penalty": 0.25,
        },
        "script": [{"content": _TEXT}],
    },
    {
        "id": "plant-usage",
        "prompt": "Think hard, then say one sentence.",
        "script": [{"content": "It depends on what is measured, and by whom.", "usage": _USAGE}],
    },
    {
        "id": "plant-usage-stream",
        "prompt": "Think hard, then say one sentence as it comes.",
        "parameters": {"stream_options": {"include_usage": True}},
        "stream": True,
        "script": [{"content": "It comes in pieces, and the pieces come in order.", "usage": _USAGE}],
    },
    {
        "id": "plant-tools",
        "prompt": "What is the weather in Malmö in three days, and what time is it there?",
        "tools": [_WEATHER, _CLOCK],
        "scenario": "chat",
        "script": [{"tool_calls": _CALLS, "finish_reason": "tool_calls"}],
    },
    {
        "id": "plant-tools-stream",
        "prompt": "The same again, as a stream, please.",
        "tools": [_WEATHER, _CLOCK],
        "stream": True,
        "script": [{"tool_calls": _CALLS, "finish_reason": "tool_calls"}],
    },
    {
        "id": "plant-tool-result",
        "messages": [
            {"role": "user", "content": "What is the weather in Malmö?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "call00001",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Malmö", "day": 3}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call00001", "name": "weather", "content": '{"celsius": 7}'},
            {"role": "assistant", "content": "Seven degrees."},
            {"role": "user", "content": "And is that warm for the season?"},
        ],
        "tools": [_WEATHER],
        "scenario": "chat",
        "script": [{"content": "A little warmer than usual, yes."}],
    },
    {
        "id": "plant-choices",
        "prompt": "Give me two slogans for a bakery.",
        "parameters": {"n": 2, "temperature": 1.0},
    },
    {
        "id": "plant-cut",
        "prompt": "Tell me a long story about a lighthouse.",
        "parameters": {"max_tokens": 9},
        "script": [{"content": "Once upon a time there was a", "finish_reason": "length"}],
    },
    {
        "id": "plant-long-stream",
        "prompt": "Count slowly.",
        "stream": True,
        "script": [{"tokens": 60}],
    },
    {
        "id": "plant-other-model",
        "prompt": "Which model are you? Say it in a sentence.",
        "script": [{"content": "I am not the one you asked for.", "model": "answering-model-2025-11-13"}],
    },
    {
        "id": "plant-structured",
        "prompt": "Return the capital of Portugal as JSON.",
        "parameters": {"response_format": {"type": "json_object"}},
        "script": [{"content": '{"capital": "Lisbon", "population": 545796}'}],
    },
    {
        "id": "plant-refusal",
        "prompt": "Say something that you would rather not say.",
        "script": [{"refusal": "I would rather not say that.", "content": ""}],
    },
    {
        "id": "plant-embeddings",
        "messages": [{"role": "user", "content": "A first text."}, {"role": "user", "content": "And a second one."}],
        "scenario": "embeddings",
    },
    {
        "id": "plant-responses",
        "system": "You are terse.",
        "prompt": "Say in a sentence what a token is.",
        "parameters": {"temperature": 0.3, "max_tokens": 300, "instructions": "Answer in English, please."},
        "scenario": "responses",
        "script": [{"content": "A token is a piece of text that a model counts as one.", "usage": _USAGE}],
    },
    {
        "id": "plant-responses-tools",
        "prompt": "What is the weather in Malmö in three days?",
        "tools": [_WEATHER],
        "scenario": "responses",
        "script": [{"tool_calls": _CALLS[:1]}],
    },
    {
        "id": "plant-responses-stream",
        "prompt": "Say in a sentence what a stream is.",
        "scenario": "responses_stream",
        "script": [{"content": "A stream is an answer that comes in pieces, in order."}],
    },
    {
        "id": "plant-responses-incomplete",
        "prompt": "Tell me everything.",
        "scenario": "responses",
        "script": [{"content": "It began with a", "response_status": "incomplete", "finish_reason": "length"}],
    },
    {
        "id": "plant-responses-failed",
        "prompt": "Try this one.",
        "scenario": "responses",
        "script": [{"response_status": "failed", "error_message": "The model gave up half way."}],
    },
    {
        "id": "plant-tool-turns",
        "prompt": "Find the weather, then tell me what to wear.",
        "tools": [_WEATHER],
        "scenario": "tools",
        "script": [{"tool_calls": _CALLS[:1]}, {"content": "Wear a coat and a hat, it is seven degrees."}],
    },
    {
        "id": "plant-async",
        "prompt": "Answer when you can.",
        "scenario": "async",
        "script": [{"content": "Here it is, a little later than asked."}],
    },
    {
        "id": "plant-stream-left",
        "prompt": "Tell me more than I want to hear.",
        "stream": True,
        "scenario": "stream_left",
        "script": [{"tokens": 20}],
    },
    {
        "id": "plant-retry",
        "prompt": "Answer on the third attempt.",
        "scenario": "retry",
        "script": [
            {"status": 503, "headers": {"retry-after-ms": "1"}},
            {"status": 429, "headers": {"retry-after-ms": "1"}},
            {"content": "Third time lucky, as they say."},
        ],
    },
    {
        "id": "plant-not-found",
        "prompt": "Ask for something that is not there.",
        "scenario": "chat",
        "script": [{"status": 404, "error_type": "invalid_request_error", "error_message": "No such deployment here."}],
    },
    {
        "id": "plant-unauthorised",
        "prompt": "Ask without leave.",
        "stream": True,
        "script": [{"status": 401, "error_type": "authentication_error", "error_message": "Nobody let you in today."}],
    },
)
"""Chat samples with what the plain prompt sets do not show: tools, choices, counts, retries, failures."""


def write_samples(name: str, path: Path) -> None:
    """Write the samples that a calibration asks, as a prompt set.

    Args:
        name: ``default``, the name of a prompt set that comes along, or a file.
        path: The file to write.

    Raises:
        ConfigError: If there is no such set.
        PromptSetError: If a file is no prompt set.
    """
    lines = [json.dumps(sample, ensure_ascii=False) for sample in OWN_SAMPLES] if name == "default" else []
    lines += [_line(sample) for sample in _sets(name)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sets(name: str) -> list[Sample]:
    if name == "default":
        # Two sets may use one id, so each sample is called after its set as well.
        return [
            sample.model_copy(update={"id": f"{one}.{sample.id}"})
            for one, limit in SETS.items()
            for sample in load_prompts(builtin_path(one), limit=limit).samples
        ]
    if name in builtin_names():
        return list(load_prompts(builtin_path(name)).samples)
    from_file = _file(name)
    if from_file is None:
        raise unknown_option("prompt set", name, "--samples", ("default", *builtin_names(), "a file of one's own"))
    return list(load_prompts(from_file).samples)


def _file(name: str) -> Path | None:
    path = Path(name)
    return path if path.suffix in (".jsonl", ".csv") else None


def _line(sample: Sample) -> str:
    fields = sample.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(fields, ensure_ascii=False)
