"""Embeddings in both dialects: vectors that are a pure function of the text, near where words are shared."""

from __future__ import annotations

import base64
import math
import re
import struct
from functools import lru_cache
from hashlib import shake_128
from itertools import repeat
from operator import add, mul
from typing import TYPE_CHECKING, Any

from harness.gateway.requests import EMBEDDINGS_TYPES, is_of, read_document, read_integer
from harness.gateway.template import Single, id_gap
from harness.gateway.tokens import pieces

if TYPE_CHECKING:
    from harness.gateway.content import Voice
    from harness.gateway.refusals import Refusing
    from harness.records import Dialect

_DIMENSIONS = {"text-embedding-3-large": 3072, "mistral-embed": 1024}
_USUAL_DIMENSIONS = 1536
_FIXED = frozenset({"text-embedding-ada-002", "mistral-embed"})
"""Models whose vectors have one length only."""
_SNAPSHOTS = {"text-embedding-ada-002": "text-embedding-ada-002-v2"}
_DIMENSIONS_KEY: dict[Dialect, str] = {"openai": "dimensions", "mistral": "output_dimension"}
_ENCODINGS = ("float", "base64")
_DECIMALS = 9
_WORD = re.compile(r"\w+")
_MOST_INPUTS = 2048

Input = str | tuple[int, ...]


def answer_embeddings(dialect: Dialect, body: bytes, voice: Voice) -> Single:
    """Answer a request for embeddings.

    Raises:
        RefusedError: As the dialect's endpoint would.
    """
    document, refuse = read_document(dialect, body, ("input",), EMBEDDINGS_TYPES)
    inputs = _inputs(document["input"], refuse)
    size = _size(dialect, document, refuse)
    encoding = document.get("encoding_format") or "float"
    if encoding not in _ENCODINGS:
        raise refuse.wrong_value("encoding_format", f"expected one of {', '.join(_ENCODINGS)}")
    vectors = [_vector(text, size) for text in inputs]
    values = [_base64(vector) if encoding == "base64" else vector for vector in vectors]
    model = voice.entry.model or _SNAPSHOTS.get(document["model"], document["model"])
    tokens = sum(len(pieces(text)) if isinstance(text, str) else len(text) for text in inputs)
    if voice.entry.usage is not None and voice.entry.usage.input_tokens is not None:
        tokens = voice.entry.usage.input_tokens
    write = _mistral if dialect == "mistral" else _openai
    answer = write(values, model, tokens)
    if voice.entry.omit_usage:
        del answer["usage"]
    return Single.of(answer, voice.entry)


def _openai(values: list[Any], model: str, tokens: int) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(values)],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _mistral(values: list[Any], model: str, tokens: int) -> dict[str, Any]:
    return {
        "id": id_gap("hex"),
        "object": "list",
        "data": [{"object": "embedding", "embedding": value, "index": index} for index, value in enumerate(values)],
        "model": model,
        "usage": {
            "prompt_audio_seconds": None,
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "completion_tokens": 0,
            "request_count": None,
            "prompt_token_details": None,
        },
    }


def _inputs(value: Any, refuse: Refusing) -> list[Input]:
    """Texts, or texts as token numbers; one or several."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise refuse.wrong_type("input", (str, list))
    if value and all(is_of(item, (int,)) for item in value):
        value = [value]
    if not value or len(value) > _MOST_INPUTS:
        raise refuse.wrong_value("input", f"expected 1 to {_MOST_INPUTS} texts")
    texts: list[Input] = []
    for item in value:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, list) and all(is_of(token, (int,)) for token in item):
            texts.append(tuple(item))
        else:
            raise refuse.wrong_type("input", (str, list))
    if not all(texts):
        raise refuse.wrong_value("input", "a text must not be empty")
    return texts


def _size(dialect: Dialect, document: dict[str, Any], refuse: Refusing) -> int:
    model = document["model"]
    most = _DIMENSIONS.get(model, _USUAL_DIMENSIONS)
    key = _DIMENSIONS_KEY[dialect]
    size = read_integer(document, key, refuse, most)
    if size is not None and model in _FIXED:
        raise refuse.wrong_value(key, "this model does not support specifying dimensions")
    return size or most


@lru_cache(256)
def _vector(text: Input, size: int) -> list[float]:
    """A vector of length 1: the sum of one direction for each word, so that texts that share words are near."""
    words = _WORD.findall(text.lower()) if isinstance(text, str) else [str(token) for token in text]
    total = [0] * size
    for word in words or [str(text)]:
        total = list(map(add, total, _direction(word, size)))
    length = math.sqrt(sum(map(mul, total, total))) or 1.0
    return [round(value / length, _DECIMALS) for value in total]


@lru_cache(512)
def _direction(word: str, size: int) -> list[int]:
    """Odd numbers from -255 to 255, so no direction is zero."""
    return list(map(add, map(mul, shake_128(word.encode()).digest(size), repeat(2)), repeat(-255)))


def _base64(vector: list[float]) -> str:
    """Four bytes a number, the lowest first."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
