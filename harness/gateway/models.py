"""Which model answers when a model is asked for: the dated name behind an alias."""

from __future__ import annotations

import re

MISSING_MODEL_PREFIX = "this-model-does-not-exist"
"""Models whose names begin so are unknown to the simulator; it knows every other."""

_OPENAI_SNAPSHOTS = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4": "gpt-4-0613",
    "gpt-4-turbo": "gpt-4-turbo-2024-04-09",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o1": "o1-2024-12-17",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}
_OPENAI_OTHER_DATE = "-2025-01-01"
_OPENAI_DATED = re.compile(r"-(\d{4}|\d{4}-\d{2}-\d{2})$")
_OPENAI_REASONING = re.compile(r"(o\d|gpt-5)(-|$)")

_MISTRAL_SNAPSHOTS = {
    "codestral-latest": "codestral-2508",
    "magistral-medium-latest": "magistral-medium-2507",
    "magistral-small-latest": "magistral-small-2507",
    "ministral-3b-latest": "ministral-3b-2410",
    "ministral-8b-latest": "ministral-8b-2410",
    "mistral-large-latest": "mistral-large-2411",
    "mistral-medium-latest": "mistral-medium-2508",
    "mistral-small-latest": "mistral-small-2506",
    "pixtral-large-latest": "pixtral-large-2411",
}
_MISTRAL_OTHER_DATE = "-2506"


def openai_snapshot(model: str) -> str:
    """The dated name under which OpenAI answers; a name that is dated already stays as it is."""
    if model in _OPENAI_SNAPSHOTS:
        return _OPENAI_SNAPSHOTS[model]
    return model if _OPENAI_DATED.search(model) else model + _OPENAI_OTHER_DATE


def is_reasoning(model: str) -> bool:
    """Whether OpenAI's model of this name spends tokens on reasoning."""
    return _OPENAI_REASONING.match(model) is not None


def mistral_snapshot(model: str) -> str:
    """The dated name behind a ``-latest`` alias; Mistral answers other names as they were asked."""
    if model in _MISTRAL_SNAPSHOTS:
        return _MISTRAL_SNAPSHOTS[model]
    return model.removesuffix("-latest") + _MISTRAL_OTHER_DATE if model.endswith("-latest") else model
