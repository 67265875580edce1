"""The harness's own share of a call: the worker's loop against the loop that an application would write.

Both loops run in one process with one client, in blocks that take turns in random order. No SDK is patched, so
nothing asks for two processes, and what differs between processes and clients (memory layout, hash seed) then falls
out of the difference. The fork is a fresh process, and the interval is over forks.
"""

from __future__ import annotations

import contextlib
import random
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.config import DEFAULT_MODELS, DIALECTS
from harness.errors import UnattributedError
from harness.experiment import PLACEHOLDER_KEY
from harness.experiment.arm import ArmProcess
from harness.experiment.timing import FORKS_AT_ONCE, PRIME_CALLS
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.overhead.intervals import mean, t_interval
from harness.processes import WorkFolder, idle_polling, pinned, split_cpus, timing_lock
from harness.prompts import resolve_prompts
from harness.records import Exchange, read_jsonl
from harness.worker import WorkerSetup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.calibration.state import State
    from harness.config import HarnessConfig
    from harness.experiment.progress import Progress
    from harness.prompts import Sample

BARE = "harness.calibration.bare:bare_block"
PAIRS = 160
CALLS = 10
"""Pairs of blocks in a fork, and calls in a block."""
LIMIT_US = 20.0


class Share(NamedTuple):
    """What the harness adds to a call, in microseconds.

    Attributes:
        value_us: Mean over forks of the median over pairs of blocks of (worker's loop minus bare loop) a call.
        low_us: Lower bound of its 95% interval; ``None`` under 4 forks.
        bare_us: A call in the bare loop, likewise.
        per_fork_us: The forks' differences.
    """

    value_us: float
    low_us: float | None
    high_us: float | None
    bare_us: float
    per_fork_us: tuple[float, ...]


def share_of(forks: Sequence[Sequence[Sequence[float]]]) -> Share | None:
    """The share from each fork's pairs of (worker's, bare) nanoseconds a call; ``None`` without a fork."""
    if not forks:
        return None
    differences = [median(worker_ns - bare_ns for worker_ns, bare_ns in pairs) / 1e3 for pairs in forks]
    interval = t_interval(differences)
    low, high = (None, None) if isinstance(interval, str) else interval
    bare_us = mean([median(bare_ns for _, bare_ns in pairs) / 1e3 for pairs in forks])
    return Share(mean(differences), low, high, bare_us, tuple(differences))


def fork_name(fork: int) -> str:
    """The name that a fork is kept under."""
    return f"share-{fork:03d}"


def missing_batches(forks: int, state: State) -> int:
    """How many batches of forks are not kept yet."""
    return -(-sum(not state.has(fork_name(fork)) for fork in range(forks)) // FORKS_AT_ONCE)


def measure_share(config: HarnessConfig, forks: int, state: State, progress: Progress) -> None:
    """Measure the forks that are not kept yet.

    Args:
        config: A cell of the openai provider; its prompts' first sample, seed and endpoint are used.
        forks: How many there are to be.
        state: Where they are kept.
        progress: Told of each batch.

    Raises:
        HarnessError: If a worker or the gateway failed.
    """
    missing = [fork for fork in range(forks) if not state.has(fork_name(fork))]
    for first in range(0, len(missing), FORKS_AT_ONCE):
        batch = missing[first : first + FORKS_AT_ONCE]
        progress.cell("own share of a call")
        for fork, pairs in _run(config, batch, progress).items():
            state.keep(fork_name(fork), pairs)
        progress.cell_done(f"forks {batch[0]} to {batch[-1]} measured")


def _run(config: HarnessConfig, forks: Sequence[int], progress: Progress) -> dict[int, list[tuple[float, float]]]:
    """Measure some forks; gives each one's pairs of nanoseconds a call."""
    arm_cpus, parent_cpus = split_cpus()
    sample = resolve_prompts(config.prompts, config.endpoint, config.provider.backend).samples[0]
    with WorkFolder() as folder, timing_lock(lambda: progress.note("another timing runs on this machine")):
        exchanges = folder.path / "exchanges.jsonl"
        gateway_config = GatewayConfig(records_path=exchanges, samples=(sample,), seed=config.seed)
        with Gateway.start(gateway_config, cpus=parent_cpus) as gateway, contextlib.ExitStack() as ending:
            progress.stage("starting processes", len(forks))
            workers = {fork: _start(config, sample, fork, gateway, folder.path) for fork in forks}
            for worker in workers.values():
                ending.enter_context(worker)
            for worker in workers.values():
                worker.wait_ready()
                worker.rest()
                progress.step()
            progress.stage("measuring", len(forks))
            found = {}
            with pinned(parent_cpus), idle_polling():
                for fork, worker in workers.items():
                    worker.pin(arm_cpus)
                    worker.resume()
                    found[fork] = _pairs(worker, random.Random(f"{config.seed}/share/{fork}"))  # noqa: S311  # reproducible
                    worker.finish()
                    progress.step()
        if any(exchange.call_id is None for exchange in read_jsonl(exchanges, Exchange)):
            raise UnattributedError("unattributed: exchanges of the own share reached the gateway without a call id")
    return found


def _start(config: HarnessConfig, sample: Sample, fork: int, gateway: Gateway, folder: Path) -> ArmProcess:
    provider = config.provider
    setup = WorkerSetup(
        role="timing",
        cell="share",
        fork=fork,
        arm="baseline",
        provider_target=provider.target,
        backend=provider.backend,
        model=provider.model or DEFAULT_MODELS[provider.backend],
        base_url=gateway.base_url(DIALECTS[provider.backend]),
        api_key=PLACEHOLDER_KEY,
        timeout_s=config.endpoint.timeout_s,
        strategy_target=config.tracing.target,
        style="",
        depth="",
        samples=(sample,),
        prime_calls=PRIME_CALLS,
    )
    return ArmProcess(setup, folder)


def _pairs(worker: ArmProcess, draw: random.Random) -> list[tuple[float, float]]:
    """Both loops in turn; the first pair warms up and is left out."""
    found = []
    for number in range(PAIRS + 1):
        took: dict[str, float] = {}
        for loop in draw.sample(("worker", "bare"), 2):
            took[loop] = _worker_ns(worker, number) if loop == "worker" else _bare_ns(worker)
        found.append((took["worker"], took["bare"]))
    return found[1:]


def _worker_ns(worker: ArmProcess, number: int) -> float:
    """Nanoseconds a call in the worker's loop, from the second call's start to the last one's."""
    answer: dict[str, Any] = worker.ask(
        "block",
        kind="measured",
        block=number,
        position=number,
        first_repetition=PRIME_CALLS + number * CALLS,
        order=[0] * CALLS,
        period_ns=0,
    )["block"]
    start_ns = answer["start_ns"]
    return float(start_ns[-1] - start_ns[1]) / (CALLS - 2)


def _bare_ns(worker: ArmProcess) -> float:
    """The same in the bare loop."""
    answer = worker.ask("run", target=BARE, order=[0] * CALLS)
    return float(answer["ended_ns"] - answer["begun_ns"]) / (CALLS - 2)
