"""Scripts as the simulator follows them: which entry is due, and what it does to an answer's headers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.scripts import ScriptedAnswer

if TYPE_CHECKING:
    from harness.gateway.wires import Headers
    from harness.prompts import Sample
    from harness.records import CallId

UNSCRIPTED = ScriptedAnswer()
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
"""Headers that say where an answer ends: the server's own business."""


class Scripts:
    """Counts how far each flow has come in its script."""

    def __init__(self) -> None:
        self._exchanges: Counter[str] = Counter()

    def take(self, sample: Sample | None, call: CallId | None) -> int:
        """Use up the next entry of a flow's script; its index, -1 without a script."""
        if sample is None or call is None or not sample.script:
            return -1
        taken = self._exchanges[call.flow]
        self._exchanges[call.flow] = taken + 1
        return min(taken, len(sample.script) - 1)


def with_headers(headers: Headers, entry: ScriptedAnswer) -> Headers:
    """Headers with those of the script, which take the place of others of the same name."""
    further = {
        name.strip().lower().encode("latin-1", "ignore"): " ".join(value.split()).encode("latin-1", "replace")
        for name, value in entry.headers.items()
        if name.strip().lower() not in _FRAMING
    }
    return [*((name, value) for name, value in headers if name not in further), *further.items()]
