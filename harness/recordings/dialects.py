"""Whose wire format a recorded exchange is in, told from what it holds.

Evidence is asked in the order of its strength: the host, the path, headers that only one provider
sends, the shape of the answer, words that only one provider's requests have, the model's name, and
last where the recording says that it comes from. OpenAI's dialect is that of every compatible
server, which may well serve a Mistral model, so a model's name counts less than an answer's shape.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.recordings.requests import EMBEDDINGS, RESPONSES, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Dialect

_MISTRAL_MODEL = re.compile(r"(open-)?(mistral|mixtral|ministral|magistral|codestral|pixtral|devstral|voxtral)")
_OPENAI_MODEL = re.compile(r"(ft:)?(gpt-|chatgpt-|o[1-9](-|$)|text-embedding-|davinci|babbage|computer-use-)")
_MISTRAL_WORDS = ("random_seed", "safe_prompt", "prompt_mode", "output_dtype", "output_dimension")
_OPENAI_WORDS = (
    *("seed", "max_completion_tokens", "stream_options", "logprobs", "logit_bias", "user", "store", "service_tier"),
    *("reasoning_effort", "functions", "function_call", "dimensions", "modalities", "verbosity"),
)
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_OPENAI_ID = re.compile(r"(chatcmpl|resp)[-_]")


class Evidence(NamedTuple):
    """What of an exchange may tell its dialect; texts are empty where the recording does not say."""

    host: str
    path: str
    request_headers: dict[str, str]
    response_headers: dict[str, str]
    request: dict[str, Any]
    answer: str
    source: str


def dialect_of(evidence: Evidence) -> Dialect | None:
    """The dialect that the strongest evidence names; ``None`` if there is none."""
    return next((found for found in _opinions(evidence) if found is not None), None)


def _opinions(evidence: Evidence) -> Iterator[Dialect | None]:
    yield _named(evidence.host)
    yield _by_path(evidence.path)
    yield _by_headers(evidence.request_headers, evidence.response_headers)
    yield _by_answer(evidence.answer, kind_of(evidence.path))
    yield _by_words(evidence.request)
    yield _by_model(evidence.request.get("model"))
    yield _named(evidence.source)


def _either(mistral: bool, openai: bool) -> Dialect | None:
    """The one of two signs that is there; both together say nothing."""
    if mistral == openai:
        return None
    return "mistral" if mistral else "openai"


def _named(text: str) -> Dialect | None:
    lowered = text.lower()
    return _either("mistral" in lowered, "openai" in lowered)


def _by_path(path: str) -> Dialect | None:
    mistral = path.endswith(("#stream", "%23stream")) or "/fim/" in path
    return _either(mistral, kind_of(path) == RESPONSES or "/openai/" in path)


def _by_headers(request: dict[str, str], response: dict[str, str]) -> Dialect | None:
    agent = request.get("user-agent", "").lower()
    names = [*request, *response]
    return _either(
        "mistral" in agent or any("mistral" in name for name in names),
        "openai/" in agent or any(name.startswith(("openai-", "x-stainless-")) for name in names),
    )


def _by_answer(text: str, kind: str) -> Dialect | None:
    answer = _first_object(text)
    if answer is None:
        return None
    if isinstance(answer.get("error"), dict):
        return "openai"
    if answer.get("object") == "error" or isinstance(answer.get("detail"), list):
        return "mistral"
    answer_id = answer.get("id")
    if kind == EMBEDDINGS and isinstance(answer.get("data"), list):
        return "openai" if answer_id is None else "mistral"
    openai = "system_fingerprint" in answer or (isinstance(answer_id, str) and _OPENAI_ID.match(answer_id) is not None)
    return _either(isinstance(answer_id, str) and _HEX_ID.fullmatch(answer_id) is not None, openai)


def _first_object(text: str) -> dict[str, Any] | None:
    """The answer as an object; of a stream, its first event."""
    if text.lstrip().startswith(("data:", "event:", "id:", ":")):
        data = (line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:"))
        text = next(data, "")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _by_words(request: dict[str, Any]) -> Dialect | None:
    return _either(any(word in request for word in _MISTRAL_WORDS), any(word in request for word in _OPENAI_WORDS))


def _by_model(model: object) -> Dialect | None:
    if not isinstance(model, str):
        return None
    return _either(_MISTRAL_MODEL.match(model) is not None, _OPENAI_MODEL.match(model) is not None)
