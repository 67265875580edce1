"""Embeddings, in the OpenAI and the Mistral wire format."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from harness.completeness.answers import WireResponse, dicts, in_order, text
from harness.completeness.chat import read_usage

_FLOAT32_BYTES = 4


def read_response(payload: dict[str, Any]) -> WireResponse | None:
    """A list of vectors; ``None`` if the payload is none."""
    if not (payload.get("id") or payload.get("data")):
        return None
    vectors = in_order(dicts(payload.get("data")))
    return WireResponse(
        model=text(payload.get("model")),
        response_id=text(payload.get("id")),
        choices=(),
        usage=read_usage(payload.get("usage"))._replace(output_tokens=None),
        vector_lengths=tuple(dimensions(one.get("embedding")) or 0 for one in vectors),
    )


def dimensions(vector: Any) -> int | None:
    """How many dimensions a vector has: a list of numbers, or 32-bit floats in base64; ``None`` if it is neither."""
    if isinstance(vector, list):
        return len(vector) if all(isinstance(one, (int, float)) for one in vector) else None
    if not isinstance(vector, str):
        return None
    try:
        return len(base64.b64decode(vector, validate=True)) // _FLOAT32_BYTES
    except (binascii.Error, ValueError):
        return None
