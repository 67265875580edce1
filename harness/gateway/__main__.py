"""The gateway's process: configuration in on standard input, one line out, then HTTP.

The first line of standard input is a ``GatewayConfig`` as JSON; the end of standard input ends the
gateway. Standard output carries one JSON line: ``{"port", "pid", "refused_port"}`` once it listens, or
``{"error", "type"}`` with exit status 2.
"""

from __future__ import annotations

import os
import signal
import sys

from pydantic import ValidationError

from harness.errors import EXIT_BAD_INPUT, EXIT_CELL_FAILED, EXIT_OK, InputError
from harness.gateway.server import bind, say, serve
from harness.gateway.settings import GatewayConfig
from harness.processes import die_with_parent


def main() -> int:
    """Run one gateway."""
    # Ctrl-C reaches the whole foreground group; only the parent may act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    try:
        config = GatewayConfig.model_validate_json(sys.stdin.buffer.readline())
        if config.cpus:
            os.sched_setaffinity(0, config.cpus)
        # Opened once before, so that a file that cannot be written is a bad start and not a late surprise.
        config.records_path.open("wb").close()
        listener = bind()
        # Bound and never listened at: the kernel refuses connections, and nobody else can take the port.
        refusing = bind()
    except (InputError, ValidationError, OSError) as error:
        say({"error": _sentence(error), "type": type(error).__name__})
        return EXIT_BAD_INPUT
    try:
        serve(config, listener, refusing)
    except InputError as error:
        say({"error": str(error), "type": type(error).__name__})
        return EXIT_BAD_INPUT
    except OSError as error:
        print(f"the gateway failed: {error}", file=sys.stderr)  # noqa: T201 - standard error is its log
        return EXIT_CELL_FAILED
    return EXIT_OK


def _sentence(error: Exception) -> str:
    """One sentence that holds no input: the input holds the key."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the line"
        return f"the gateway's configuration is wrong at {place}: {first['msg']}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
