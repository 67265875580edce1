"""The tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gateway.tokens import pieces, prompt_tokens


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    """Nothing of a text is lost or doubled."""
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This is a test.", ("This", " is", " a", " test", ".")),
        ("in 2024, internationalization", ("in", " 202", "4", ",", " internat", "ionaliza", "tion")),
        ("a\n\nb  c", ("a", "\n\n", "b", "  ", "c")),
        ("", ()),
    ],
)
def test_pieces_are_words_numbers_marks_and_space(text: str, expected: tuple[str, ...]) -> None:
    """A space belongs to the word after it; long words and numbers are several pieces."""
    assert pieces(text) == expected


def test_a_plain_prompt_counts_as_openai_counts_it() -> None:
    """The overhead is that of the published recipe."""
    assert prompt_tokens([{"role": "user", "content": "Say this is a test"}]) == 12


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "Hello", "name": "Ada"},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": "Hello", "tool_calls": [{"id": "1"}]},
    ],
)
def test_names_parts_and_tool_calls_count(message: dict[str, Any]) -> None:
    """What stands beside a plain text makes a prompt longer."""
    assert prompt_tokens([message]) > prompt_tokens([{"role": message["role"], "content": "Hello"}])


def test_tools_count() -> None:
    """Tools that are offered belong to the prompt."""
    message = {"role": "user", "content": "Hello"}
    assert prompt_tokens([message], [{"type": "function"}]) > prompt_tokens([message])
