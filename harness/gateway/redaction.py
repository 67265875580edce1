"""Keeping secrets out of records."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REDACTED = "[redacted]"

_SECRET_HEADERS = frozenset({"openai-organization", "openai-project"})
_SECRET_HEADER = re.compile(r"authorization|cookie|secret|credential|password|api-?key|-key$|-token$")
_SECRET_QUERY = re.compile(r"([?&][^=&]*(?:key|token|secret|signature|password)[^=&]*=)[^&]*", re.IGNORECASE)
_SHORTEST_SENT_SECRET = 12
"""Shorter values that a client sends are dummies such as ``test``, which occur in honest text."""


def is_secret_header(name: str) -> bool:
    """Whether a header of this lower-case name carries a secret."""
    return name in _SECRET_HEADERS or _SECRET_HEADER.search(name) is not None


def redact_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], set[str]]:
    """Headers as text with secrets replaced, and the secrets that were found.

    A header that occurs several times is joined with commas.
    """
    shown: dict[str, str] = {}
    secrets: set[str] = set()
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if is_secret_header(name):
            # "Bearer abc": the scheme is no secret, the rest may come back in an error's text.
            secret = value.split(" ", 1)[-1].strip()
            if len(secret) >= _SHORTEST_SENT_SECRET:
                secrets.add(secret)
            shown[name] = REDACTED
        else:
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
    return shown, secrets


def redact_query(path: str) -> str:
    """A path with the values of query parameters that are named like secrets replaced."""
    return _SECRET_QUERY.sub(rf"\1{REDACTED}", path)


def redact_text(text: str, secrets: Iterable[str]) -> str:
    """A text with every occurrence of a secret replaced."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text
