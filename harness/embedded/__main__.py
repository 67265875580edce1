"""The model server's process: configuration in on standard input, one line out, then llama.cpp's HTTP API.

The first line of standard input is a ``ModelServerConfig`` as JSON; the end of standard input ends the
server. Standard output carries one JSON line: ``{"port", "pid"}`` once it listens, or ``{"error"}`` with
exit status 2.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
import xllamacpp
from pydantic import ValidationError

from harness.embedded.settings import ModelServerConfig
from harness.errors import EXIT_BAD_INPUT, EXIT_OK
from harness.processes import die_with_parent

if TYPE_CHECKING:
    from typing import Any

_HTTP_THREADS = 4
_GREEDY_SEED = 0
# llama.cpp says on standard error what it does; the parent shows the end of that where something failed.
_ERRORS_ONLY = 1


def main() -> int:
    """Run one model server."""
    # Ctrl-C reaches the whole foreground group; only the parent may act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    try:
        config = ModelServerConfig.model_validate_json(sys.stdin.buffer.readline())
        if config.cpus:
            os.sched_setaffinity(0, config.cpus)
        # It listens when this returns.
        server = xllamacpp.Server(_parameters(config))
    except (ValidationError, OSError, RuntimeError) as error:
        _say({"error": " ".join(str(error).split())})
        return EXIT_BAD_INPUT
    _say({"port": urlsplit(server.listening_address).port, "pid": os.getpid()})
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # Its destructor ends the server's threads.
    del server
    return EXIT_OK


def _parameters(config: ModelServerConfig) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_threads_http = _HTTP_THREADS
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.cors_origins = ""
    parameters.verbosity = _ERRORS_ONLY
    parameters.model.path = str(config.weights_path)
    parameters.model_alias = {config.model}
    parameters.n_gpu_layers = 0
    parameters.n_ctx = config.context_tokens
    parameters.fit_params = False
    # One request at a time, one number of threads, nothing kept from earlier prompts: what shares a batch or
    # comes from the cache is added up in another order, and the text may then be another one.
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = config.threads
    parameters.cpuparams_batch.n_threads = config.threads
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    parameters.cache_idle_slots = False
    parameters.n_ctx_checkpoints = 0
    # What a request does not say.
    parameters.sampling.temp = 0.0
    parameters.sampling.seed = _GREEDY_SEED
    parameters.n_predict = config.max_tokens
    return parameters


def _say(message: dict[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
