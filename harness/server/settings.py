"""What a server process is told at its start, as one JSON line on its standard input."""

from __future__ import annotations

from pathlib import Path

from harness.records import Record


class ServerConfig(Record):
    """What a server process is told at its start.

    Attributes:
        store_path: A migrated SQLite store that nobody else writes to.
        artifacts_path: Folder for artifacts such as attachments.
        cpus: Cores that it may run on; empty for all.
    """

    store_path: Path
    artifacts_path: Path
    cpus: tuple[int, ...] = ()
