"""What a model server's process is told at its start, as one JSON line on its standard input."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from harness.records import Record

MODEL = "smollm2-135m-instruct"
"""The name under which the embedded model answers, whatever it is asked for."""

MAX_TOKENS = 128
"""How long an answer gets where the request sets no limit: a small model may otherwise never stop."""


class ModelServerConfig(Record):
    """What a model server's process is told at its start.

    Attributes:
        weights_path: A model in llama.cpp's format (GGUF).
        model: The name under which it answers.
        threads: Threads that compute. Always as many: their number changes the order in which numbers are
            added, and with it the text.
        context_tokens: Longest prompt and answer together.
        max_tokens: How long an answer gets where the request sets no limit.
        cpus: Cores that it may run on; empty for all.
    """

    weights_path: Path
    model: str = MODEL
    threads: int = Field(default=1, ge=1)
    context_tokens: int = Field(default=8192, ge=64)
    max_tokens: int = Field(default=MAX_TOKENS, ge=1)
    cpus: tuple[int, ...] = ()
