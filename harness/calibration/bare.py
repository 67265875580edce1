"""The loop that an application without the harness would write, run in a worker beside the worker's own."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from openai import DefaultHttpxClient, OpenAI

from harness.errors import WorkerError
from harness.providers.openai import LIMITS, OpenAIProvider
from harness.records import CALL_ID_HEADER, CallId

if TYPE_CHECKING:
    from harness.worker import Worker

_CLIENTS: dict[int, OpenAI] = {}
"""The bare client of a worker, by the worker's identity: made once, so that its connection lives as long."""


def bare_block(worker: Worker, command: dict[str, Any]) -> dict[str, Any]:
    """Make calls with the SDK in a plain loop: no hook, no context variable, no clock and no record for a call.

    The client is set up as the provider's, without its request hook. It sends one call id with all requests, as a
    fixed header: without one the gateway would keep whole bodies, and so be busier with these calls than with
    the worker's.

    Args:
        worker: A worker of the openai provider; its requests are used.
        command: ``order`` lists indexes of samples, all of them the same and at least three: what the
            simulator answers follows from the sample that the call id names.

    Returns:
        ``begun_ns`` when the second call began, and ``ended_ns`` when the last began: the first finds cold caches.
    """
    if id(worker) not in _CLIENTS:
        _CLIENTS[id(worker)] = _bare_client(worker, worker.requests[command["order"][0]][0].id)
    client = _CLIENTS[id(worker)]
    requests = [worker.requests[index][1] for index in command["order"]]
    create = client.chat.completions.create
    create(**requests[0])
    begun_ns = perf_counter_ns()
    for request in requests[1:-1]:
        create(**request)
    ended_ns = perf_counter_ns()
    create(**requests[-1])
    return {"begun_ns": begun_ns, "ended_ns": ended_ns}


def _bare_client(worker: Worker, sample_id: str) -> OpenAI:
    if not isinstance(worker.provider, OpenAIProvider):
        raise WorkerError(f"the bare loop is written for openai, and the provider is {worker.provider.name}")
    setup = worker.setup
    call_id = CallId(setup.cell, setup.role, setup.fork, "baseline", 0, sample_id)
    return OpenAI(
        base_url=f"{setup.base_url}/v1",
        api_key=setup.api_key,
        timeout=setup.timeout_s,
        default_headers={CALL_ID_HEADER: str(call_id)},
        http_client=DefaultHttpxClient(limits=LIMITS, trust_env=False),
    )
