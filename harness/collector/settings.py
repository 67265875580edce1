"""What a collector process is told at its start, as one JSON line on its standard input."""

from __future__ import annotations

from pathlib import Path

from harness.records import Record

TRACES_PATH = "/v1/traces"


class CollectorConfig(Record):
    """What a collector process is told at its start.

    Attributes:
        spans_path: Where received spans are written, one ``ReceivedSpan`` a line; a file that is there is replaced.
        keep: Whether they are: while calls are timed the collector takes everything and keeps nothing.
        raw: Whether requests are written as they came and read afterwards: what takes the spans of timed calls is to
            spend its time on taking them, not on the harness's parser.
        cpus: Cores that it may run on; empty for all.
    """

    spans_path: Path
    keep: bool = True
    raw: bool = False
    cpus: tuple[int, ...] = ()
