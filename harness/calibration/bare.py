"""The loop that an application without the harness would write, run in a worker beside the worker's own."""

from __future__ import annotations

import contextlib
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from harness.errors import WorkerError
from harness.providers.openai import OpenAIProvider
from harness.records import CALL_ID_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.worker import Worker


def bare_block(worker: Worker, command: dict[str, Any]) -> dict[str, Any]:
    """Make calls with the SDK in a plain loop: no hook, no context variable, no clock and no record for a call.

    The client is the worker's own with its request hook taken off. A client of its own would bring a difference
    that is not the harness's: two clients that are set up alike differ by tens of microseconds a call, now this
    way and now that, by where their objects lie in memory. It sends one call id with all requests, as a fixed
    header: without one the gateway would keep whole bodies, and so be busier with these calls than with the worker's.

    Args:
        worker: A worker of the openai provider under no tracing; its requests are used.
        command: ``order`` lists indexes of samples, all of them the same and at least three: what the
            simulator answers follows from the sample that the call id names.

    Returns:
        ``begun_ns`` when the second call began, and ``ended_ns`` when the last began: the first finds cold caches.
    """
    requests = [worker.requests[index][1] for index in command["order"]]
    with _without_hook(worker, worker.call_id(0, worker.requests[command["order"][0]][0])):
        create = worker.provider.complete
        create(**requests[0])
        begun_ns = perf_counter_ns()
        for request in requests[1:-1]:
            create(**request)
        ended_ns = perf_counter_ns()
        create(**requests[-1])
    return {"begun_ns": begun_ns, "ended_ns": ended_ns}


@contextlib.contextmanager
def _without_hook(worker: Worker, call_id: str) -> Iterator[None]:
    """The worker's HTTP client as an application has it, but for a fixed header."""
    if not isinstance(worker.provider, OpenAIProvider):
        raise WorkerError(f"the bare loop is written for openai, and the provider is {worker.provider.name}")
    http = worker.provider.http
    hooks, http.event_hooks = http.event_hooks, {}
    http.headers[CALL_ID_HEADER] = call_id
    try:
        yield
    finally:
        del http.headers[CALL_ID_HEADER]
        http.event_hooks = hooks
