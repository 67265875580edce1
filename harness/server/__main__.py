"""The server's process: configuration in on standard input, one line out, then MLflow's REST API.

The first line of standard input is a ``ServerConfig`` as JSON; the end of standard input ends the
server. Standard output carries one JSON line: ``{"port", "pid"}`` once it listens, or
``{"error"}`` with exit status 2.
"""

from __future__ import annotations

import os
import signal
import sys

import uvloop
from pydantic import ValidationError

from harness.errors import EXIT_BAD_INPUT, EXIT_OK
from harness.gateway.server import Server, announce, bind, run_server, say, uvicorn_config
from harness.processes import die_with_parent
from harness.server.settings import ServerConfig


def main() -> int:
    """Run one server."""
    # Ctrl-C reaches the whole foreground group; only the parent may act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    try:
        config = ServerConfig.model_validate_json(sys.stdin.buffer.readline())
        if config.cpus:
            os.sched_setaffinity(0, config.cpus)
        listener = bind()
    except (ValidationError, OSError) as error:
        say({"error": " ".join(str(error).split())})
        return EXIT_BAD_INPUT
    # What ``mlflow server`` sets for the processes that it starts; read when the application is imported.
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{config.store_path}",
        "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{config.store_path}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": config.artifacts_path.as_uri(),
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    # Seconds of import, and only after the environment is as it has to be.
    from mlflow.server.fastapi_app import app  # noqa: PLC0415
    from mlflow.server.handlers import initialize_backend_stores  # noqa: PLC0415

    initialize_backend_stores(f"sqlite:///{config.store_path}", default_artifact_root=config.artifacts_path.as_uri())
    server = Server(uvicorn_config(app), listening=lambda: announce(listener))
    uvloop.run(run_server(server, listener))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
