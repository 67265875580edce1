"""The collector's process: configuration in on standard input, one line out, then OTLP over HTTP.

The first line of standard input is a ``CollectorConfig`` as JSON; the end of standard input ends the
collector. Standard output carries one JSON line: ``{"port", "pid"}`` once it listens, or
``{"error"}`` with exit status 2.
"""

from __future__ import annotations

import os
import signal
import sys

from pydantic import ValidationError

from harness.collector.server import serve
from harness.collector.settings import CollectorConfig
from harness.errors import EXIT_BAD_INPUT, EXIT_CELL_FAILED, EXIT_OK
from harness.gateway.server import bind, say
from harness.processes import die_with_parent


def main() -> int:
    """Run one collector."""
    # Ctrl-C reaches the whole foreground group; only the parent may act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    try:
        config = CollectorConfig.model_validate_json(sys.stdin.buffer.readline())
        if config.cpus:
            os.sched_setaffinity(0, config.cpus)
        config.spans_path.open("wb").close()
        listener = bind()
    except (ValidationError, OSError) as error:
        say({"error": " ".join(str(error).split())})
        return EXIT_BAD_INPUT
    try:
        serve(config, listener)
    except OSError as error:
        print(f"the collector failed: {error}", file=sys.stderr)  # noqa: T201 - standard error is its log
        return EXIT_CELL_FAILED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
