"""The embedded model's server as its parent sees it: started, asked for its address, ended.

Whoever needs a model writes::

    with embedded_model() as base_url:
        client = openai.OpenAI(base_url=base_url, api_key="unused")
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from harness.embedded.installed import installed_weights
from harness.embedded.settings import ModelServerConfig
from harness.errors import ModelServerError
from harness.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator


class ModelServer(Served):
    """A running model server process."""

    module = "harness.embedded"
    name = "the embedded model's server"
    error = ModelServerError

    @classmethod
    def begin(cls, *, threads: int = 1, cpus: tuple[int, ...] = ()) -> Self:
        """Start the embedded model's server; ``wait_ready`` waits until it listens, which takes about a second.

        Args:
            threads: Threads that compute.
            cpus: Cores that it may run on; empty for all.

        Raises:
            EndpointError: If the embedded model is not installed.
        """
        return cls(ModelServerConfig(weights_path=installed_weights(), threads=threads, cpus=cpus))

    @property
    def base_url(self) -> str:
        """Where OpenAI's SDK is pointed at, with the version path; waits for the server."""
        return f"http://127.0.0.1:{self.port}/v1"


@contextlib.contextmanager
def embedded_model(*, threads: int = 1, cpus: tuple[int, ...] = ()) -> Iterator[str]:
    """Run the embedded model's server for a while.

    It answers ``/chat/completions``, ``/completions``, ``/responses`` and ``/models`` below its base URL as
    llama.cpp does, one request at a time: chat, streams with usage, ``response_format`` with a JSON schema,
    ``grammar`` (GBNF), ``logprobs``. A request that says nothing else is answered at temperature 0, the same
    text each time, in at most ``MAX_TOKENS`` tokens. It knows no embeddings, and small as it is it calls no tools
    of its own accord; what to do about tools is the gateway's business.

    The process dies with the thread that started it, and listens on 127.0.0.1 only.

    Args:
        threads: Threads that compute.
        cpus: Cores that it may run on; empty for all.

    Yields:
        Its OpenAI-compatible base URL, with the version path (``http://127.0.0.1:PORT/v1``).

    Raises:
        EndpointError: If the embedded model is not installed; the sentence says how to install it.
        ModelServerError: If the process did not come up, or had died before its end.
    """
    with ModelServer.begin(threads=threads, cpus=cpus) as server:
        yield server.base_url
