"""Vectors in the encoding that a client asks for: numbers, or base64 of little-endian 32-bit floats."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any


def in_encoding(text: str, encoding: str) -> str:
    """An answer with its vectors written as ``float`` or ``base64``.

    An answer that has them so already, or that is none with vectors, stays as it came.
    """
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return text
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        return text
    convert = {"base64": _as_base64, "float": _as_numbers}.get(encoding)
    if convert is None:
        return text
    try:
        converted = [{**item, "embedding": convert(item.get("embedding"))} for item in data]
    except (ValueError, TypeError, struct.error, binascii.Error, OverflowError):
        return text
    if converted == data:
        return text
    return json.dumps({**answer, "data": converted}, ensure_ascii=False, separators=(",", ":"))


def _as_base64(vector: Any) -> Any:
    if not isinstance(vector, list):
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _as_numbers(vector: Any) -> Any:
    if not isinstance(vector, str):
        return vector
    data = base64.b64decode(vector, validate=True)
    return [_shortest(number) for number in struct.unpack(f"<{len(data) // 4}f", data)]


def _shortest(number: float) -> float:
    """The shortest decimal number that is the same 32-bit float, which is how endpoints write it."""
    for digits in range(6, 9):
        short = float(f"{number:.{digits}g}")
        if struct.pack("<f", short) == struct.pack("<f", number):
            return short
    return float(f"{number:.9g}")
