"""Export requests as they came, kept to be read later: while calls are timed nobody's parser is to cost anything.

One request is a line of JSON (``type``, ``encoding``, ``length``) and then its body of so many bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.collector.otlp import read_export

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.collector.spans import ReceivedSpan


def raw_request(body: bytes, content_type: str, content_encoding: str) -> bytes:
    """A request as it is kept."""
    head = {"type": content_type, "encoding": content_encoding, "length": len(body)}
    return json.dumps(head).encode() + b"\n" + body


def read_requests(kept: bytes) -> Iterator[ReceivedSpan]:
    """The spans of all requests that were kept whole; the last one may be being written now.

    Raises:
        BadExportError: If a request is of no known type or encoding, or cannot be read.
        ValueError: If what was kept is damaged.
    """
    place = 0
    while (line_end := kept.find(b"\n", place)) >= 0:
        head = json.loads(kept[place:line_end])
        place = line_end + 1 + head["length"]
        if place > len(kept):
            return
        yield from read_export(kept[line_end + 1 : place], head["type"], head["encoding"])
