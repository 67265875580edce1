"""Raw records: what workers and the gateway saw, frozen and checked when made.

Every analysis reads these and nothing else. A file of records is JSON Lines, one record a
line. Times named ``*_ns`` are nanoseconds; without ``unix`` in the name they are readings of
``time.perf_counter_ns``, which on Linux is one monotonic clock for all processes of a machine;
with ``unix`` they are nanoseconds since the epoch, the clock that spans carry.

``SCHEMA_VERSION`` history:

1. first version.
2. a call id has a step within its flow; calls carry their scenario, operation and what the
   application observed; process endings (``Loss``), samples that a cell ran and could not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import CellError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA_VERSION = 3

CALL_ID_HEADER = "x-harness-call-id"
"""The request header that ties an exchange to its call; never forwarded to a real endpoint."""

CALL_ID_METADATA = "harness.call_id"
"""The trace metadata key that ties a trace to its call, or to its flow, in the completeness pass."""

CONTROL_FORK = 1
"""In the completeness pass the fork of calls that repeat the baseline's, to see whether they repeat themselves."""

Arm = Literal["strategy", "baseline"]
Pass = Literal["completeness", "timing", "loss", "load"]
Dialect = Literal["openai", "mistral"]
Outcome = Literal["ok", "error", "left", "cancelled"]
StoppedBy = Literal["", "precision", "budget", "max_forks"]
LadderEnd = Literal["", "loss", "pace", "time"]
Mode = Literal["single", "stream", "async", "async_stream"]
ProcessEnding = Literal[
    "drain", "normal", "sys.exit", "exception", "os._exit", "SIGTERM", "SIGKILL", "fork", "fork-after-calls", "burst"
]


class CallId(NamedTuple):
    """Names one call, and with it the answer that the simulator has to give.

    Its text form, ``cell/pass/fork/arm/repetition/sample/step``, travels in ``CALL_ID_HEADER`` and
    stands in trace metadata under ``CALL_ID_METADATA``. Sample ids contain no slash. Without its
    step it names the flow: one run of a sample's scenario, which may make several calls.

    Attributes:
        cell: The cell's id.
        phase: The pass that the call belongs to.
        fork: Index of the fork from 0; 0 in the completeness pass, and in the loss pass the place of
            the process ending among ``ProcessEnding``.
        arm: The side of the comparison.
        repetition: Index of the flow within its arm and fork, from 0.
        sample: The sample's id.
        step: Index of the call within its flow, from 0.
    """

    cell: str
    phase: Pass
    fork: int
    arm: Arm
    repetition: int
    sample: str
    step: int = 0

    def __str__(self) -> str:
        return f"{self.flow}/{self.step}"

    @property
    def flow(self) -> str:
        """The text that names the flow."""
        return f"{self.cell}/{self.phase}/{self.fork}/{self.arm}/{self.repetition}/{self.sample}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form of a call, or that of a flow, which is taken for its first call.

        Raises:
            ValueError: If the text is of neither form.
        """
        parts = text.split("/")
        if len(parts) not in (6, 7):
            raise ValueError(f"not a call id: {text!r}")
        cell, phase, fork, arm, repetition, sample = parts[:6]
        if phase not in get_args(Pass) or arm not in ("strategy", "baseline"):
            raise ValueError(f"not a call id: {text!r}")
        step = int(parts[6]) if len(parts) == 7 else 0
        return cls(cell, phase, int(fork), arm, int(repetition), sample, step)  # type: ignore[arg-type]


class Record(BaseModel):
    """A frozen value that is checked when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Chunk(Record):
    """One streamed event as it left the gateway."""

    sent_ns: int
    data: str


class Exchange(Record):
    """One HTTP request and its response as the gateway saw them.

    In every pass but completeness bodies, headers and chunk texts are ``None``: only times, sizes and
    digests are kept; under a load not the times of a stream's events either, of which there may be
    thousands. Secrets in headers are replaced before a record is made.

    Attributes:
        exchange_id: Order of arrival at this gateway, from 0.
        call_id: From the request's header; ``None`` makes the exchange unattributed.
        dialect: The wire format of the path that was asked for.
        path: Path as asked for, without the gateway's dialect prefix.
        received_unix_ns: Wall clock when the whole request had been read.
        received_ns: The monotonic clock at the same moment.
        request_body: The request's body as text.
        status: HTTP status that was sent; ``None`` if no response was begun.
        first_byte_ns: When the response was begun.
        last_byte_ns: When the last byte had been handed to the socket.
        response_body: The whole body for a single answer, ``None`` for a stream.
        chunks: The events of a stream, ``None`` for a single answer.
        chunk_sent_ns: Times of the events of a stream in the timing pass.
        completed: Whether the whole answer went out.
        error: Why it did not, in words (client gone, upstream unreachable).
        latency_planned_ns: What the simulator was to wait in total; ``None`` when forwarded.
        latency_realised_ns: What it really waited.
    """

    schema_version: int = SCHEMA_VERSION
    exchange_id: int
    call_id: str | None
    dialect: Dialect
    method: str
    path: str
    received_unix_ns: int
    received_ns: int
    request_headers: dict[str, str] | None = None
    request_body: str | None = None
    request_size_bytes: int
    request_digest: str
    status: int | None = None
    response_headers: dict[str, str] | None = None
    first_byte_ns: int | None = None
    last_byte_ns: int | None = None
    response_body: str | None = None
    chunks: tuple[Chunk, ...] | None = None
    chunk_sent_ns: tuple[int, ...] | None = None
    response_size_bytes: int = 0
    response_digest: str = ""
    completed: bool = False
    error: str | None = None
    latency_planned_ns: int | None = None
    latency_realised_ns: int | None = None


class Observation(Record):
    """What the application got from one call, in a form that two arms can be compared by.

    Attributes:
        value_type: Type of the value with its module; ``None`` without a value (an exception, a stream).
        value: The value as canonical JSON text; its ``repr`` where it is no data.
        chunk_types: Types of a stream's chunks with their modules, each once, in the order of their
            first appearance.
        chunks: A stream's chunks as canonical JSON texts.
        container_type: Type of what the call returned for a stream, with its module.
        error_type: Type of the exception with its module.
        error_bases: Its base classes, from the nearest to ``BaseException``.
        error_text: ``str`` of the exception.
        error_facts: What applications read from an exception: ``status_code``, ``body``, ``code``
            and the like, as canonical JSON texts.
    """

    value_type: str | None = None
    value: str | None = None
    chunk_types: tuple[str, ...] = ()
    chunks: tuple[str, ...] | None = None
    container_type: str | None = None
    error_type: str | None = None
    error_bases: tuple[str, ...] = ()
    error_text: str | None = None
    error_facts: dict[str, str] = Field(default_factory=dict)


class Call(Record):
    """One SDK invocation as application code sees it, in the completeness pass.

    Attributes:
        flow_id: The run of a scenario that it belongs to; the call's own id without the step.
        flow_traced: Whether the strategy puts a span of its own around the whole flow, so that the
            flow's calls belong into one trace.
        scenario: Name of the scenario.
        operation: What of the SDK was called, such as ``chat`` or ``embeddings``.
        mode: How it was called.
        stream: Whether the application asked for a stream.
        start_ns: Before the SDK was called.
        end_ns: After its value was complete (a stream: exhausted, or left) or it raised.
        first_chunk_ns: When the first chunk of a stream reached the application.
        chunk_ns: When each chunk of a stream reached the application; empty in older records.
        chunk_count: Chunks that the application got; ``None`` for a single answer.
        outcome: How it ended: with a value, with an exception, a stream that the application left
            (or never read), a call that it cancelled or gave up on.
        prompt: Text of the last user message, for tables.
        expected: The sample's expected answer, where it has one.
        text: What the application reads as the answer.
        value_type: Type of the value or of a stream's chunks, with its module.
        error_type: Type of the exception, with its module.
        observed: What the application got, for the comparison with the arm without tracing.
    """

    schema_version: int = SCHEMA_VERSION
    call_id: str
    flow_id: str = ""
    flow_traced: bool = False
    sample_id: str
    scenario: str = ""
    operation: str = "chat"
    mode: Mode = "single"
    stream: bool
    start_unix_ns: int
    start_ns: int
    end_ns: int
    first_chunk_ns: int | None = None
    chunk_ns: tuple[int, ...] = ()
    chunk_count: int | None = None
    outcome: Outcome
    prompt: str = ""
    expected: str | None = None
    text: str | None = None
    value_type: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    observed: Observation | None = None


class SpanEvent(Record):
    """One event of a stored span."""

    name: str
    time_unix_ns: int
    attributes: dict[str, Any]


class StoredSpan(Record):
    """One span as it was read back from the store; attribute values are decoded JSON."""

    span_id: str
    parent_id: str | None
    name: str
    start_unix_ns: int
    end_unix_ns: int | None
    status: Literal["OK", "ERROR", "UNSET"]
    status_message: str = ""
    attributes: dict[str, Any]
    events: tuple[SpanEvent, ...] = ()


class StoredTrace(Record):
    """One trace as it was read back from the store.

    Attributes:
        call_id: From the trace's metadata; ``None`` if the strategy left a trace that is tied
            to no call.
        source: Where it was read: from the store, or from what an OTLP collector received (then it
            has no metadata, and its id is the store's for the same trace).
        state: MLflow's trace state, such as ``"OK"``, ``"ERROR"`` or ``"IN_PROGRESS"``.
        metadata: Trace metadata, values as stored (texts, some of them JSON).
    """

    schema_version: int = SCHEMA_VERSION
    trace_id: str
    call_id: str | None
    source: Literal["store", "otlp"] = "store"
    state: str
    metadata: dict[str, str]
    tags: dict[str, str]
    spans: tuple[StoredSpan, ...]


class Block(Record):
    """A handful of consecutive timed calls by one arm of one fork.

    The tuples have one entry a call, in the order of the calls.

    Attributes:
        fork: Index of the fork, from 0.
        arm: The side of the comparison.
        kind: ``"warmup"`` blocks are kept but not analysed.
        block: Index of the block within its arm and fork, from 0.
        position: Place of the block in the order in which the fork's blocks ran, from 0.
        first_repetition: Repetition of the first call.
        sample_ids: What was asked.
        start_ns: When each call began.
        latency_ns: From before the SDK was called to when its value was complete.
        first_chunk_ns: From before the call to a stream's first chunk; ``None`` for a single answer.
        errors: Exception type and message of a failed call, else ``None``.
        last_chunk_ns: From before the call to a stream's last chunk, else ``None``; empty in older records, and where
            no call of the block was a stream.
        chunks: Chunks that a stream gave, else ``None``; empty likewise.
        cpu_ns: CPU time of all threads of the arm's process over the block.
        planted_ns: In a calibration, the delay that the strategy itself added to each call; else empty.
    """

    schema_version: int = SCHEMA_VERSION
    fork: int
    arm: Arm
    kind: Literal["warmup", "measured"]
    block: int
    position: int
    first_repetition: int
    sample_ids: tuple[str, ...]
    start_ns: tuple[int, ...]
    latency_ns: tuple[int, ...]
    first_chunk_ns: tuple[int | None, ...]
    errors: tuple[str | None, ...]
    cpu_ns: int
    planted_ns: tuple[int, ...] = ()
    last_chunk_ns: tuple[int | None, ...] = ()
    chunks: tuple[int | None, ...] = ()


class ArmRun(Record):
    """What one arm of one fork cost beyond the latency of its calls.

    Attributes:
        pid: The worker process.
        cpus: The cores that the process was allowed to run on while it was timed.
        import_cpu_ns: CPU time to import the provider and the strategy in the fresh process and to
            turn tracing on, taken while other processes import on the same cores.
        first_call_ns: The process's first call, from start to end, taken while other processes import: what the
            strategy imports and opens when it first traces is part of it. ``None`` in older records.
        first_call_cpu_ns: CPU time of all threads during that call; ``None`` likewise.
        first_calls_cpu_ns: The same from that call on to the end of the drain after the last of the first calls.
        first_calls: How many these were; they are made before the warm-up.
        warmup_calls: Calls of the warm-up burst (back to back, then drained).
        warmup_ns: From the burst's first call to the store's last write for it; for an arm
            that stores nothing, to the end of its last call.
        warmup_drain_ns: From the end of the burst's last call to the store's last write.
        measured_calls: Calls in measured blocks.
        measured_cpu_ns: CPU time of all threads from the first measured call to the end of the
            drain that follows the last one.
        drain_ns: That last drain, as the caller of the flush waits for it.
        expected_traces: Traces that the strategy should have stored in this arm; where calls are sampled, those that
            were begun.
        stored_traces: Whole traces found in the arm's store after the drain: MLflow writes a trace twice, and one of
            which either write is missing is no stored one. Of an arm that should leave none, every trace of
            which anything was written.
        stored_bytes: Growth of the arm's store over all its calls, with the files that MLflow moves out of traces;
            ``None`` without a store, and for a collector, which stores nothing.
        peak_memory_bytes: Peak resident memory of the process.
        destination: Where the arm's traces went: ``""`` for an arm that traces nothing, else as
            ``tracing.into`` names it.
        destination_cpu_ns: CPU time of the server or the collector that took them, over the measured calls
            and the last drain: no part of ``measured_cpu_ns``, because it is not the application's. ``None``
            where the arm writes its store itself.
        destination_cpu_step_ns: What ``destination_cpu_ns`` counts in: in older records the kernel's ticks.
        planted_losses: In a calibration, the traces that the strategy itself kept from being stored whole; ``None``
            of any other.
        astray_traces: Of an arm whose traces all go to a collector, those of which anything came to the store
            instead, or as well.
    """

    schema_version: int = SCHEMA_VERSION
    fork: int
    arm: Arm
    pid: int
    cpus: tuple[int, ...]
    import_cpu_ns: int
    warmup_calls: int
    warmup_ns: int
    warmup_drain_ns: int
    measured_calls: int
    measured_cpu_ns: int
    drain_ns: int
    expected_traces: int
    stored_traces: int
    stored_bytes: int | None
    peak_memory_bytes: int
    destination: str = ""
    destination_cpu_ns: int | None = None
    destination_cpu_step_ns: int = 10_000_000
    first_call_ns: int | None = None
    first_call_cpu_ns: int | None = None
    first_calls_cpu_ns: int | None = None
    first_calls: int = 0
    planted_losses: int | None = None
    astray_traces: int = 0


class Loss(Record):
    """How many traces of one worker process reached the store, by the way in which it ended.

    Attributes:
        ending: How the process ended: after a proper drain, normally, by ``sys.exit``, by an
            exception that nobody caught, by ``os._exit``, by a signal, in a forked child that made
            the calls and ended normally (of a parent that had made none, or a few that were drained and
            are not counted), or after a drained burst of calls.
        calls: Calls that were made before the end, all of them finished for the application.
        expected_traces: One a call for a strategy that traces.
        stored_traces: Traces of them that the store holds afterwards; several of one call count once.
        complete_traces: Stored traces that have a root span that ended, and what was tied to them.
        untied_traces: Stored traces without the metadata that was tied to them: MLflow writes a trace's
            spans first and the trace itself (its metadata with previews, session and token usage, and
            its tags) second, and either write may be lost.
        exit_status: What the parent saw, of a forked child its own parent: the status, or minus the
            signal; ``None`` if the process did not end by itself in time and was killed.
        sent_per_s: Calls a second while they were made.
        waited_ns: How long the parent waited for further writes after the process had ended.
    """

    schema_version: int = SCHEMA_VERSION
    ending: ProcessEnding
    calls: int
    expected_traces: int
    stored_traces: int
    complete_traces: int
    untied_traces: int = 0
    exit_status: int | None
    sent_per_s: float | None = None
    waited_ns: int = 0


class LoadRun(Record):
    """What one arm of one fork did under one further load.

    The exchanges of its calls are checked to be there, and not kept.

    The tuples have one entry for each call that went well, in the order in which they began.

    Attributes:
        load: The load as the configuration names it, such as ``threads:8`` or ``payload:100000``.
        position: Place in the order in which the fork's loads ran, from 0.
        calls: Calls that were analysed.
        warmup_calls: Calls before them, at the same concurrency and then drained.
        wall_ns: From the first call's start to the last one's end.
        cpu_ns: CPU time of all threads from the first call to the end of the drain that followed.
        drain_ns: From the last call's end to the store's last write.
        latency_ns: From before the SDK was called to when its value was complete.
        first_chunk_ns: Of streams, to the first chunk; empty where nothing was streamed.
        last_chunk_ns: Of streams, to the last chunk; empty where nothing was streamed, and in older records.
        chunks: Of streams, the chunks of each call; empty where nothing was streamed.
        errors: Calls that raised; they have no entry in the tuples.
        first_error: Type and message of the first exception; empty if none was raised.
        offered_per_s: Of a step of a saturation, the rate at which calls were to begin; ``None`` where they
            came back to back, as under all other loads.
        expected_traces: Traces that the strategy should have stored of these calls and the warm-up's; of a
            saturation without the warm-up's, whose calls come at once.
        stored_traces: Whole traces of them found after the drain, as of an ``ArmRun``: a full queue may drop the
            spans of a trace, or the trace and keep its spans.
        stored_bytes: Growth of the arm's store, with the files that MLflow moves out of traces; ``None`` without a
            store.
        peak_memory_bytes: Peak resident memory of the process from the first call to the end of the drain, what earlier
            loads left behind in it included; ``None`` where the kernel does not let it be reset, and in older records.
        ladder_ended_by: Of a saturation's last step, the one back to back, what ended the doubling of the rates
            before it: a step beyond the first loss had been run, calls could not keep up with the rate, or the
            time was over. Every fork runs the rates of the first one.
    """

    schema_version: int = SCHEMA_VERSION
    fork: int
    arm: Arm
    load: str
    position: int
    calls: int
    warmup_calls: int = 0
    wall_ns: int
    cpu_ns: int
    drain_ns: int = 0
    latency_ns: tuple[int, ...]
    first_chunk_ns: tuple[int, ...] = ()
    last_chunk_ns: tuple[int, ...] = ()
    chunks: tuple[int, ...] = ()
    errors: int = 0
    first_error: str = ""
    offered_per_s: float | None = None
    expected_traces: int = 0
    stored_traces: int = 0
    stored_bytes: int | None = None
    peak_memory_bytes: int | None = None
    ladder_ended_by: LadderEnd = ""


class SkippedLoad(Record):
    """A load that was asked for and not run.

    Attributes:
        reason: Why, in one sentence.
    """

    load: str
    reason: str


class MachineSample(Record):
    """What the machine did while one block or one load of an arm ran, so that a disturbance from outside can be seen.

    CPU times are of all cores together, from ``/proc/stat``, to its tick of 10 ms.

    Attributes:
        fork: Index of the fork.
        position: Place of the block in the order in which the fork's blocks ran; the same as ``Block.position``. Of a
            load the same as ``LoadRun.position``.
        begin_ns: When it began.
        wall_ns: How long it took.
        busy_cpu_ns: CPU time that was not idle, stolen time left out.
        own_cpu_ns: CPU time of the processes of the cell: both arms, gateway, stores, and the parent.
        stolen_cpu_ns: Time that the hypervisor gave to others.
        frequency_mhz: Mean clock of the cores, where the kernel says it.
        load: The load that ran, with its warm-up and its drains; empty where it was a block.
    """

    schema_version: int = SCHEMA_VERSION
    fork: int
    position: int
    begin_ns: int
    wall_ns: int
    busy_cpu_ns: int
    own_cpu_ns: int
    stolen_cpu_ns: int
    frequency_mhz: float | None = None
    load: str = ""


class NotApplicable(Record):
    """A sample that the cell's provider cannot run.

    Attributes:
        reason: Why, in one sentence.
    """

    sample_id: str
    scenario: str
    reason: str


class SentSample(Record):
    """One sample of the cell's prompt set, so that its exchanges can be asked for again.

    Attributes:
        fields: What the sample says, without what it leaves at its default.
    """

    schema_version: int = SCHEMA_VERSION
    sample_id: str
    fields: dict[str, Any]


class Machine(Record):
    """The machine that a cell was measured on; comparisons across machines are refused.

    Attributes:
        work_filesystem: Type of the file system that the arms' throwaway stores stand on: in
            memory (``tmpfs``) a synchronous write costs next to nothing.
        shared_core: Whether the arms' core and the gateway's are hardware threads of one physical core, so
            that each slows the other down; ``None`` where nothing is pinned or the kernel does not say.
        idle_polling: Whether the kernel was asked to keep idle cores awake while calls were timed, and took it.
    """

    hostname: str
    cpu_model: str
    cpu_count: int
    memory_bytes: int
    kernel: str
    python: str
    load_1min: float
    work_filesystem: str = ""
    arm_cpus: tuple[int, ...] = ()
    gateway_cpus: tuple[int, ...] = ()
    shared_core: bool | None = None
    idle_polling: bool = False


def levels_label(level: str, against: str, into: str) -> str:
    """What of a cell's levels is not as it mostly is, such as ``level=dropped, against=sampled_out``; else empty."""
    given = {"level": (level, "exported"), "against": (against, "untraced"), "into": (into, "sqlite")}
    return ", ".join(f"{name}={value}" for name, (value, usual) in given.items() if value != usual)


class CellRecord(Record):
    """What a cell was, and how it ended.

    Attributes:
        cell_id: Unique within all sweeps.
        backend: The wire dialect's provider behind a framework (``provider.backend``); equals
            ``provider`` where the SDK is its own backend.
        style: Manual tracing's style and depth, such as ``"decorator/plain"``; ``""`` elsewhere.
        switches: MLflow's switches that the configuration turns, such as ``"asynchronous=false"``;
            ``""`` where MLflow is as it comes.
        strategy_source: Source text of the strategy, as the report prints it.
        expects_traces: Whether the strategy should leave one trace a call.
        expected_share: Share of the calls that should leave one: between 0 and 1 calls are sampled by
            chance, and a missing trace is not a lost one.
        config: The resolved configuration, without secrets.
        versions: Package name to version, plus ``python``.
        prompt_set_digest: SHA-256 of the samples in their canonical form.
        period_ms: Pace of the timed calls, start to start.
        completeness_done: Whether the completeness pass ended and its traces were read back; without
            that nothing can be said about what is missing.
        status: How it ended.
        reason: Why it failed, in one sentence.
        input_error: Whether it failed by bad input, which a worker can find late.
        not_applicable: Samples that the provider or the strategy cannot run, with the reasons.
        skipped_loads: Loads that could not be run, with the reasons.
        level: How far the strategy went, as ``tracing.level`` names it.
        against: The level of the arm that it was timed against.
        into: Where timed traces went.
        runtime: What the workers ran in: ``""`` for the harness's own environment, else its requirements.
        compares_values: Whether the endpoint gives both arms the same answer, so that what the
            application gets can be compared value by value.
        stopped_by: What ended the adding of forks: the asked precision was reached, ``measure.budget_s`` was
            spent, ``measure.max_forks`` were run; ``""`` where none were to be added or the cell broke off.
        stages_s: Stage to its seconds, from the cell's start to the end of its writing; each moment counts
            for one stage. ``measuring`` is the time in measured blocks, ``waiting`` that of another timing.
        planted_losses: In a calibration, the traces that the strategy itself kept from being stored whole in the
            completeness pass; ``None`` of any other.
    """

    schema_version: int = SCHEMA_VERSION
    cell_id: str
    sweep_id: str
    provider: str
    backend: str
    prompts: str
    tracing: str
    style: str
    endpoint: str
    measure: str
    seed: int
    switches: str = ""
    strategy_source: str
    expects_traces: bool
    expected_share: float = 1.0
    config: dict[str, Any]
    versions: dict[str, str]
    machine: Machine
    prompt_set_digest: str
    sample_count: int
    period_ms: float | None = None
    started_unix_ns: int
    ended_unix_ns: int
    completeness_done: bool = True
    status: Literal["ok", "failed", "interrupted", "not applicable"]
    reason: str | None = None
    input_error: bool = False
    not_applicable: tuple[NotApplicable, ...] = ()
    compares_values: bool = True
    skipped_loads: tuple[SkippedLoad, ...] = ()
    level: str = "exported"
    against: str = "untraced"
    into: str = "sqlite"
    runtime: str = ""
    stopped_by: StoppedBy = ""
    stages_s: dict[str, float] = Field(default_factory=dict)
    planted_losses: int | None = None

    @property
    def not_measuring_share(self) -> float | None:
        """Share of its own time that went into neither measured blocks nor loads; ``None`` if nothing was timed."""
        total_s = sum(self.stages_s.values()) - self.stages_s.get("waiting", 0.0)
        measuring_s = self.stages_s.get("measuring", 0.0) + self.stages_s.get("loads", 0.0)
        return 1 - measuring_s / total_s if measuring_s > 0 else None

    @property
    def provider_label(self) -> str:
        """The provider with its backend, for example ``langchain (openai)``."""
        return self.provider if self.backend in ("", self.provider) else f"{self.provider} ({self.backend})"

    @property
    def strategy_label(self) -> str:
        """The strategy with its style and what is turned, for example ``manual decorator/plain``."""
        turned = ", ".join(filter(None, (levels_label(self.level, self.against, self.into), self.switches)))
        switches = f" [{turned}]" if turned else ""
        return f"{self.tracing}{' ' + self.style if self.style else ''}{switches}"

    @property
    def label(self) -> str:
        """The cell in the words that people use, for example ``openai / manual decorator/plain``."""
        runtime = f" on {self.runtime}" if self.runtime else ""
        return f"{self.provider_label} / {self.strategy_label}{runtime}"


class CellRecords(NamedTuple):
    """All raw records of one cell."""

    cell: CellRecord
    calls: tuple[Call, ...]
    exchanges: tuple[Exchange, ...]
    traces: tuple[StoredTrace, ...]
    blocks: tuple[Block, ...]
    arms: tuple[ArmRun, ...]
    losses: tuple[Loss, ...] = ()
    samples: tuple[SentSample, ...] = ()
    loads: tuple[LoadRun, ...] = ()
    machine: tuple[MachineSample, ...] = ()

    def calls_of(self, arm: Arm) -> tuple[Call, ...]:
        """The calls of one arm: under the strategy, or of the same application without tracing."""
        return tuple(call for call in self.calls if CallId.parse(call.call_id).arm == arm)


R = TypeVar("R", bound=Record)


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Write records to a file, one a line, replacing what was there."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(record.model_dump_json() + "\n")


def read_jsonl(path: Path, kind: type[R]) -> Iterator[R]:
    """Read the records of a file.

    Raises:
        CellError: If a line is not a record of this kind and schema version.
    """
    with path.open("r", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                raise CellError(f"{path}, line {number}: not a record of kind {kind.__name__}") from error


CELL_FILE = "cell.json"
RECORD_FILES: dict[str, type[Record]] = {
    "calls.jsonl": Call,
    "exchanges.jsonl": Exchange,
    "traces.jsonl": StoredTrace,
    "blocks.jsonl": Block,
    "arms.jsonl": ArmRun,
    "losses.jsonl": Loss,
    "samples.jsonl": SentSample,
    "loads.jsonl": LoadRun,
    "machine.jsonl": MachineSample,
}


def cell_text(cell: CellRecord) -> str:
    """What stands in ``CELL_FILE``."""
    return cell.model_dump_json(indent=2) + "\n"


def write_cell(directory: Path, records: CellRecords) -> None:
    """Write a cell's records into a directory, which is made if it does not exist."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CELL_FILE).write_text(cell_text(records.cell), encoding="utf-8")
    for name, values in zip(RECORD_FILES, records[1:], strict=True):
        write_jsonl(directory / name, values)


def read_cell(directory: Path, *, timed_exchanges: bool = True) -> CellRecords:
    """Read a cell's records back; a file that is not there has no records.

    Args:
        directory: Where ``write_cell`` wrote them.
        timed_exchanges: Whether to keep the exchanges of timed calls. No analysis reads them, and of a
            million calls they fill gigabytes. Without them each is checked all the same, and one that
            belongs to no call is kept, for that is a finding.

    Raises:
        CellError: If the directory holds no cell, or a line in it is damaged.
    """
    path = directory / CELL_FILE
    try:
        cell = CellRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise CellError(f"{path}: not the record of a cell") from error
    parts = [
        tuple(
            record
            for record in read_jsonl(directory / name, kind)
            if timed_exchanges or not (isinstance(record, Exchange) and _is_timed(record))
        )
        if (directory / name).exists()
        else ()
        for name, kind in RECORD_FILES.items()
    ]
    return CellRecords(cell, *parts)  # type: ignore[arg-type]


def _is_timed(exchange: Exchange) -> bool:
    try:
        return exchange.call_id is not None and CallId.parse(exchange.call_id).phase == "timing"
    except ValueError:
        return False
