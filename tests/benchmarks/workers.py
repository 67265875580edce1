"""Worker processes whose clock is a benchmark's timer.

pytest-benchmark reads its timer before and after each round. ``seconds_in_calls`` is such a timer:
it stands still but for the latency of calls, as the worker measured it around the SDK. What it
takes to ask the worker, to pace it and to start the next one is no part of a round.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from harness.config import DEFAULT_MODELS, DIALECTS
from harness.experiment import PLACEHOLDER_KEY, hidden_variables
from harness.experiment.arm import ArmProcess
from harness.experiment.plan import sample_order
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.processes import idle_polling, pinned, split_cpus
from harness.prompts import resolve_prompts
from harness.records import Block, Exchange, read_jsonl
from harness.stores.counting import count_traces
from harness.stores.throwaway import TEMPLATE_EXPERIMENT, copy_template
from harness.worker import WorkerSetup

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from harness.config import HarnessConfig

PRIME_CALLS = 3


class Timing(NamedTuple):
    """How the calls of one benchmark are made.

    Attributes:
        forks: Worker processes, one after the other.
        calls: Measured calls of each.
        warmup_calls: Calls before them, back to back and then drained.
        period_ms: From the start of one measured call to the next one's.
    """

    forks: int = int(os.environ.get("BENCH_FORKS", "4"))
    calls: int = int(os.environ.get("BENCH_CALLS", "25"))
    warmup_calls: int = 20
    period_ms: float = 80.0


class _Clock:
    elapsed_ns = 0


def seconds_in_calls() -> float:
    """The latency of all calls so far: pytest-benchmark's timer."""
    return _Clock.elapsed_ns / 1e9


class _Fork(NamedTuple):
    process: ArmProcess
    store: Path | None


class TimedWorkers:
    """All forks of one strategy: ``next_call`` prepares a call, ``call`` makes it.

    Each is a fresh process with a gateway before it and a throwaway store behind it; those whose turn has
    not come are stopped.

    Attributes:
        costs: Costs beyond latency by name, one value for each fork that has ended.
        drain_rates_per_s: Traces a second that reached the store in the warm-up burst, likewise; empty without a store.
        expected_by_fork: Traces that each fork should have stored.
        lost_by_fork: How many of them were not there.
        mlflow_imported: Whether each worker had MLflow among its modules in the end, as it says itself.
    """

    def __init__(self, config: HarnessConfig, timing: Timing, folder: Path, template: Path) -> None:
        self.timing, self._config, self._folder, self._template = timing, config, folder, template
        self._samples = resolve_prompts(config.prompts).samples
        self._cell = uuid.uuid4().hex[:12]
        self._ending = contextlib.ExitStack()
        self._waiting: list[_Fork] = []
        self._current: _Fork | None = None
        self._made = 0
        self._due_ns = 0
        self._first_chunk_ns: list[int] = []
        self.costs: dict[str, list[float]] = {}
        self.drain_rates_per_s: list[float] = []
        self.expected_by_fork: list[int] = []
        self.lost_by_fork: list[int] = []
        self.mlflow_imported: list[bool] = []
        self.traces_expected = self.traces_lost = self._calls_sent = 0

    def __enter__(self) -> Self:
        arm_cpus, own_cpus = split_cpus()
        try:
            self._exchanges = self._folder / "exchanges.jsonl"
            config = GatewayConfig(records_path=self._exchanges, samples=self._samples, seed=self._config.seed)
            self._gateway = self._ending.enter_context(Gateway.start(config, cpus=own_cpus))
            self._waiting = [self._start(fork) for fork in range(self.timing.forks)]
            for fork in self._waiting:
                fork.process.wait_ready()
                fork.process.pin(arm_cpus)
                fork.process.rest()
            self._ending.enter_context(pinned(own_cpus))
            self._idle_polling = self._ending.enter_context(idle_polling())
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def _start(self, fork: int) -> _Fork:
        config = self._config
        folder = self._folder / f"fork{fork}"
        folder.mkdir()
        store = None if config.tracing.name == "none" else folder / "store.db"
        artifacts = None if store is None else copy_template(self._template, store)
        backend = config.provider.backend
        setup = WorkerSetup(
            role="timing",
            cell=self._cell,
            fork=fork,
            arm="strategy",
            provider_target=config.provider.target,
            backend=backend,
            model=config.provider.model or DEFAULT_MODELS[backend],
            base_url=self._gateway.base_url(DIALECTS[backend]),
            api_key=PLACEHOLDER_KEY,
            timeout_s=config.endpoint.timeout_s,
            strategy_target=config.tracing.target,
            style=config.tracing.style,
            depth=config.tracing.depth,
            tracking_uri=None if store is None else f"sqlite:///{store}",
            experiment=None if store is None else TEMPLATE_EXPERIMENT,
            store_path=None if store is None else str(store),
            artifacts_path=None if artifacts is None else str(artifacts),
            samples=self._samples,
            prime_calls=PRIME_CALLS,
        )
        hidden = hidden_variables(config.endpoint.key_env)
        # As in a cell's timing pass, whatever a person's shell has set.
        process = ArmProcess(setup, folder, hidden, environment={"PYTHONHASHSEED": "random"})
        return _Fork(self._ending.enter_context(process), store)

    def next_call(self) -> None:
        """Wait until the next call is due; where a fork has made all its calls, end it and warm the next one up."""
        if self._current is None or self._made == self.timing.calls:
            self.end_fork()
            self._current = self._waiting.pop(0)
            self._current.process.resume()
            self._warm_up(self._current)
        time.sleep(max(0, self._due_ns - time.perf_counter_ns()) / 1e9)

    def call(self) -> None:
        """Make one call; the timer moves on by what the worker measured."""
        block = self._block("measured", PRIME_CALLS + self.timing.warmup_calls + self._made, 1)
        self._made += 1
        self._due_ns = block.start_ns[0] + int(self.timing.period_ms * 1e6)
        self._first_chunk_ns += [one for one in block.first_chunk_ns if one is not None]
        _Clock.elapsed_ns += block.latency_ns[0]

    def end_fork(self) -> None:
        """Drain the fork that has made its calls, count its traces, and let it end."""
        if self._current is None:
            return
        process, store = self._current
        drained = process.ask("drain", timeout_s=self._config.measure.drain_timeout_s)
        self._add_cost("cpu_ms_per_call", drained["cpu_ns"] / self._made / 1e6)
        if self._first_chunk_ns:
            self._add_cost("first_chunk_p50_ms", statistics.median(self._first_chunk_ns) / 1e6)
        totals = process.finish()
        self.mlflow_imported.append(totals["mlflow_imported"])
        self._calls_sent += totals["calls_made"]
        before = (self.traces_expected, self.traces_lost)
        if store is not None:
            self.traces_expected += totals["expected_traces"]
            self.traces_lost += max(0, totals["expected_traces"] - count_traces(store).whole)
        self._current, self._made, self._first_chunk_ns = None, 0, []
        self.expected_by_fork.append(self.traces_expected - before[0])
        self.lost_by_fork.append(self.traces_lost - before[1])

    def check_exchanges(self) -> None:
        """See that every call reached the gateway under its id, once the last fork has ended."""
        self._gateway.stop()
        ids = [exchange.call_id for exchange in read_jsonl(self._exchanges, Exchange)]
        assert None not in ids
        assert len(set(ids)) == self._calls_sent

    def check_modules(self) -> None:
        """See that MLflow is where it is traced with, and nowhere else."""
        traces = self._config.tracing.name != "none"
        assert self.mlflow_imported == [traces] * self.timing.forks

    def _warm_up(self, fork: _Fork) -> None:
        block = self._block("warmup", PRIME_CALLS, self.timing.warmup_calls)
        drained = fork.process.ask("drain", timeout_s=self._config.measure.drain_timeout_s)
        if fork.store is not None:
            last_ns = block.start_ns[-1] + block.latency_ns[-1]
            drain_ns = max(0, (drained["last_write_ns"] or 0) - last_ns)
            self._add_cost("drain_ms_per_trace", drain_ns / self.timing.warmup_calls / 1e6)
            burst_ns = last_ns + drain_ns - block.start_ns[0]
            self.drain_rates_per_s.append(self.timing.warmup_calls * 1e9 / burst_ns)
        self._due_ns = time.perf_counter_ns()

    def _block(self, kind: str, first_repetition: int, calls: int) -> Block:
        assert self._current is not None
        fork = self.timing.forks - len(self._waiting) - 1
        order = sample_order(self._config.seed, fork, len(self._samples), first_repetition, calls)
        answer = self._current.process.ask(
            "block", kind=kind, block=0, position=0, first_repetition=first_repetition, order=order, period_ns=0
        )
        block = Block.model_validate(answer["block"])
        assert not any(block.errors), block.errors
        return block

    def _add_cost(self, name: str, value: float) -> None:
        self.costs.setdefault(name, []).append(value)

    def described(self) -> dict[str, Any]:
        """How the calls were made, for whoever compares."""
        return {
            "warmup_calls": self.timing.warmup_calls,
            "period_ms": self.timing.period_ms,
            "idle_polling": self._idle_polling,
        }
