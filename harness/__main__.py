"""The console command ``harness``."""

from __future__ import annotations

import os
import sys

from harness.cli import main as run
from harness.processes import QUIET_ENVIRONMENT


def main() -> None:
    """Run the command line and exit with its status."""
    # Before MLflow is imported: it reads some of these then.
    os.environ.update(QUIET_ENVIRONMENT)
    # A server that dies in a sweep is tried for a quarter of a minute a request, not for several minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    sys.exit(run())


if __name__ == "__main__":
    main()
