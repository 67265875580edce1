"""One chat completion from chunks, for what the simulator of the conformance suite does not send."""

from __future__ import annotations

from typing import Any

from harness.providers.completions import answer_from, merged_chunks, text_of


def chunk(delta: dict[str, Any], index: int = 0, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"id": "a", "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}], **more}


def test_choices_are_kept_apart() -> None:
    """Interleaved choices are joined each by itself, in the order of their index."""
    whole = merged_chunks(
        [
            chunk({"content": "b1"}, index=1),
            chunk({"content": "a1"}),
            chunk({"content": "a2"}, finish_reason="stop"),
            chunk({"content": "b2"}, index=1, finish_reason="length"),
        ]
    )
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["a1a2", "b1b2"]
    assert [choice["finish_reason"] for choice in whole["choices"]] == ["stop", "length"]


def test_parallel_tool_calls() -> None:
    """Arguments that come in pieces are joined, call by call."""
    pieces = [
        {"index": 0, "id": "t0", "function": {"name": "clock", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"zone"'}},
        {"index": 1, "id": "t1", "function": {"name": "map", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": ': "UTC"}'}},
    ]
    whole = merged_chunks(chunk({"tool_calls": [piece]}) for piece in pieces)
    assert whole["choices"][0]["message"]["tool_calls"] == [
        {"id": "t0", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}},
        {"id": "t1", "type": "function", "function": {"name": "map", "arguments": "{}"}},
    ]
    assert answer_from(whole).text == ""


def test_usage_in_a_chunk_without_choices() -> None:
    """The last chunk may hold nothing but the usage."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    answer = answer_from(merged_chunks([chunk({"content": "x"}, model="m"), {"choices": [], "usage": usage}]))
    assert (answer.text, answer.model, answer.usage) == ("x", "m", (1, 2, 3))


def test_refusals_are_joined() -> None:
    """A refusal is streamed beside the content."""
    whole = merged_chunks([chunk({"refusal": "I will "}), chunk({"refusal": "not."})])
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": "I will not."}


def test_content_in_parts() -> None:
    """Typed parts are joined to a text, and texts and parts may follow each other."""
    parts = [{"type": "text", "text": "b"}]
    whole = merged_chunks([chunk({"content": "a"}), chunk({"content": parts}), chunk({"content": "c"})])
    assert text_of(whole["choices"][0]["message"]["content"]) == "abc"


def test_content_of_other_types_has_no_text() -> None:
    """Parts without a text, and no content at all, are empty texts."""
    assert text_of([{"type": "image_url", "image_url": "x"}]) == text_of(None) == text_of([]) == ""
