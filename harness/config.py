"""The configuration's schema: one mutable dataclass a Hydra group (Hydra needs them so).

``conf/`` holds values only. Every number carries its unit in its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from harness.records import Dialect, ProcessEnding

if TYPE_CHECKING:
    from collections.abc import Mapping

STYLES = ("decorator", "wrapper", "context")
DEPTHS = ("plain", "careful")
MISSING = "???"
"""What OmegaConf takes for a value that has to be given."""

BACKENDS = ("openai", "mistralai")
DIALECTS: dict[str, Dialect] = {"openai": "openai", "mistralai": "mistral"}
"""The wire format that each backend speaks."""

LEVELS = ("untraced", "disabled", "sampled_out", "dropped", "exported")
"""How far a strategy goes, each a step beyond the one before: not installed; installed, then tracing
disabled; every trace sampled out; spans made and dropped instead of exported; exported."""
DESTINATIONS = ("sqlite", "server", "collector")
"""Where timed traces go: a SQLite file, an MLflow server over HTTP, or an OTLP collector on loopback."""
COLLECTORS = ("on", "off", "freeze")
IDLE_STATES = ("poll", "sleep")
RESTS = ("stop", "drain")
PROCESS_ENDINGS: tuple[ProcessEnding, ...] = get_args(ProcessEnding)
ALL = "all"
TIMINGS = ("recorded", "none", "simulated")
DEFAULT_MODELS = {"openai": "gpt-4o-mini", "mistralai": "mistral-small-latest"}


@dataclass
class ProviderConfig:
    """A real SDK, and how one sample is sent with it.

    Attributes:
        name: How the provider is called in runs and reports.
        backend: Whose wire format it speaks: ``openai`` or ``mistralai``.
        target: Import path of the class, ``package.module:Class`` or ``path/to/file.py:Class``.
        model: The model that is asked for; ``None`` takes the backend's in ``DEFAULT_MODELS``.
    """

    name: str = "openai"
    backend: str = "openai"
    target: str = MISSING
    model: str | None = None


@dataclass
class PromptsConfig:
    """A prompt set: a name among the ones that come along, or a file.

    Attributes:
        name: Name of the set.
        path: A JSONL or CSV file of one's own; it replaces the named set.
        limit: Use only the first so many samples; ``None`` uses all.
        scenario: Run every sample under this scenario, in place of its own; empty leaves them.
    """

    name: str = "chat"
    path: str | None = None
    limit: int | None = None
    scenario: str = ""


@dataclass
class ExportConfig:
    """MLflow's own switches; ``None`` leaves each as MLflow has it.

    Attributes:
        asynchronous: Whether traces are written to the store in the background.
        batch_processor: Whether ended spans are handed to the exporter in batches by a thread of
            their own; without effect where ``asynchronous`` is off.
        queue_size: Writes that may wait for the store; what comes to a full queue is dropped. 0 is without bound.
        workers: Threads that write to the store.
        batch_size: Spans in a batch.
        interval_ms: How long an incomplete batch waits.
        buffer_size: Unfinished traces that are kept; more push the oldest out.
        buffer_ttl_s: How long an unfinished trace is kept.
        sampling_ratio: Share of traces that are recorded, from 0 to 1.
        disabled: Whether tracing is disabled again after it was turned on.
        otlp: Whether spans also go over OTLP, in OpenTelemetry's GenAI conventions, to a collector on loopback.
    """

    asynchronous: bool | None = None
    batch_processor: bool | None = None
    queue_size: int | None = None
    workers: int | None = None
    batch_size: int | None = None
    interval_ms: int | None = None
    buffer_size: int | None = None
    buffer_ttl_s: int | None = None
    sampling_ratio: float | None = None
    disabled: bool = False
    otlp: bool = False


@dataclass
class TracingConfig:
    """A tracing strategy.

    Attributes:
        name: ``none``, ``manual``, ``autolog``, ``around`` (a manual span around autolog), ``both``
            (autolog of LangChain and of the SDK beneath it), or a name of one's own.
        target: Import path of the class.
        style: The style of manual spans; without effect elsewhere, so that a sweep over several
            strategies may set it.
        depth: Manual tracing's depth; likewise.
        level: How far the strategy goes, one of ``LEVELS``.
        against: The level of the arm that it is timed against: ``untraced``, or the same strategy at a lower level.
        into: Where timed traces go, one of ``DESTINATIONS``; those of the completeness pass always go to the store.
        export: MLflow's switches; without effect on ``none``.
    """

    name: str = "none"
    target: str = MISSING
    style: str = ""
    depth: str = ""
    level: str = "exported"
    against: str = "untraced"
    into: str = "sqlite"
    export: ExportConfig = field(default_factory=ExportConfig)


@dataclass
class LatencyConfig:
    """What the simulator waits, a function of (seed, sample, repetition) and equal in both arms.

    Attributes:
        kind: ``none``, ``fixed`` or ``lognormal``.
        first_token_ms: Wait before the first token: the value, or the lognormal's median.
        per_token_ms: Wait before each further token: the value, or the lognormal's median.
        sigma: Shape of the lognormal (standard deviation of the logarithm).
    """

    kind: str = "none"
    first_token_ms: float = 0.0
    per_token_ms: float = 0.0
    sigma: float = 0.0


@dataclass
class EndpointConfig:
    """What answers behind the gateway.

    Attributes:
        name: How the endpoint is called in runs and reports.
        kind: ``simulator``, ``forward`` or ``replay``.
        backend: Whose wire format it speaks; empty for both. With ``replay`` it says whose format
            recordings are in, where they do not show it.
        base_url: Where to forward to, with the version path (``https://host/v1``).
        key_env: Name of the environment variable that holds the key; empty for none.
        timeout_s: How long a forwarded answer may take.
        latency: The simulator's waiting; with ``replay`` that of ``timing=simulated``.
        path: Recorded exchanges to answer from: a file or a folder.
        timing: What a recorded answer waits: as ``recorded``, ``none``, or ``simulated`` as
            ``latency`` says.
    """

    name: str = "simulator"
    kind: str = "simulator"
    backend: str = ""
    base_url: str | None = None
    key_env: str = ""
    timeout_s: float = 120.0
    latency: LatencyConfig = field(default_factory=LatencyConfig)
    path: str | None = None
    timing: str = "recorded"


@dataclass
class MeasureConfig:
    """How much is measured.

    Attributes:
        name: How it is called in runs and reports.
        forks: Fresh pairs of worker processes; under 4 there is no interval and no verdict.
        max_forks: Forks are added until the precision is reached or this many were run.
        blocks: Measured blocks of each arm in each fork.
        calls_per_block: Calls in a block; the first of each is flagged and not analysed.
        warmup_calls: Calls of the burst before the first measured block.
        period_ms: Least time from one call's start to the next, in every cell alike; raised where
            the store drains more slowly. The closer it comes to what a trace costs, the more calls
            meet the export of earlier ones. Openai's autolog, five forks each: differences of
            1.9 to 3.4 ms at 42 ms, 1.6 to 2.1 at 66 ms, 1.5 to 2.8 at 90 ms.
            0 is back to back, for a strategy that stores nothing.
        max_load: The load may be at most this share of the measured drain rate.
        margin_ms: Equivalence margin of added p50.
        margin_relative: The margin may instead be this share of the baseline's p50; the larger counts.
        precision_ms: Half-width of added p50 to stop at; 0 for none.
        precision_relative: The same as a share of the traced p50; the larger of both counts.
        rest: How the resting arm is kept from disturbing the other: its process is stopped
            (``stop``), or it has drained (``drain``).
        timing: Whether the timing pass is run.
        drain_timeout_s: How long a drain may take before the cell fails.
        losses: Process endings after which stored traces are counted: a list of them, one alone, or
            ``all``. Each takes a fresh process.
        exit_timeout_s: How long a process may take to end by itself before it is killed.
        ending_calls: Calls before each of these endings but ``burst``. No multiple of the sizes in which
            exporters send: what is left over for the next batch is what an abrupt end loses.
        burst_calls: Calls of ``burst``, back to back and then drained.
        loads: Further loads under which both arms are timed, such as ``threads:8``, ``asyncio:32``,
            ``payload:100000`` (bytes), ``chunks:1000`` or ``saturation``: a list of them, or ``all``.
            They run in the first ``forks`` forks, after their measured blocks.
        load_calls: Calls of one arm in one fork under a load; more where many run at once (5 for each),
            fewer where they are large. From 60 on they support p95.
        saturation_from_per_s: Calls a second that a saturation begins with; each step offers twice as
            many, to one beyond the first loss. The last one comes back to back and makes at least
            ``burst_calls``. The first fork finds the rates, and all others run the same.
        saturation_step_s: How long a step of a saturation offers its rate.
        saturation_max_s: After so long of calls at given rates (drains and counting left out) only the step
            back to back follows.
        pin: Whether both arms share one core and the gateway has another.
        idle: What a core does that has nothing to do while calls are timed: it looks for work (``poll``), where the
            kernel lets this process ask for that, or it may sleep (``sleep``), and waking it is part of a call.
        gc: Python's garbage collector in the arms: ``on``; ``off``, from the end of the warm-up; or ``freeze``:
            what stands after the warm-up is left alone. ``off`` and ``freeze`` change what is measured: an
            application pays for the collections that tracing's objects bring about.
        hash_seed: ``PYTHONHASHSEED`` of the arms; ``None`` leaves it to chance, another in each process. A fixed
            one makes forks more alike than an application's processes are, which draw theirs.
        budget_s: Wall-clock time of the timing pass after which no fork is added, once 4 were run (or ``forks``,
            where those are fewer); 0 for no limit.
    """

    name: str = "quick"
    forks: int = 4
    max_forks: int = 4
    blocks: int = 4
    calls_per_block: int = 9
    warmup_calls: int = 30
    period_ms: float = 60.0
    max_load: float = 0.7
    margin_ms: float = 0.5
    margin_relative: float = 0.0
    precision_ms: float = 0.0
    precision_relative: float = 0.0
    rest: str = "stop"
    timing: bool = True
    drain_timeout_s: float = 120.0
    losses: Any = field(default_factory=list)  # OmegaConf knows no union of a list and a text
    exit_timeout_s: float = 30.0
    ending_calls: int = 23
    burst_calls: int = 2000
    loads: Any = field(default_factory=list)
    load_calls: int = 40
    saturation_from_per_s: float = 25.0
    saturation_step_s: float = 15.0
    saturation_max_s: float = 120.0
    pin: bool = True
    idle: str = "poll"
    gc: str = "on"
    hash_seed: int | None = None
    budget_s: float = 0.0


@dataclass
class StoreConfig:
    """Where people read: the MLflow store.

    Attributes:
        name: How it is called.
        uri: Any MLflow tracking URI; a relative SQLite path is taken from the current folder.
        experiment: Name of the MLflow experiment.
    """

    name: str = "sqlite"
    uri: str = MISSING
    experiment: str = "tracing-harness"


@dataclass
class RuntimeConfig:
    """The environment of the workers.

    Attributes:
        name: ``current`` is the harness's own environment.
        packages: Requirements such as ``mlflow==3.16.1`` that the workers' own environment has instead of the
            harness's versions; empty for the harness's environment. Each names one version, a commit
            (``name @ git+https://...@COMMIT``) or a file; environments are made once and kept.
        python: Interpreter for that environment; empty for the harness's own.
    """

    name: str = "current"
    packages: list[str] = field(default_factory=list)
    python: str = ""


@dataclass
class SweepConfig:
    """Set by the command line, so that every job of a sweep, wherever a launcher runs it, finds its parent.

    Attributes:
        sweep_id: Short id of the sweep; empty outside one.
        run_id: MLflow run id of the parent; empty if the job has to make its own.
        work_dir: Folder for what lives as long as the sweep; empty for a temporary one.
        count: How many cells the sweep has.
        command: The command line, as a report prints it.
    """

    sweep_id: str = ""
    run_id: str = ""
    work_dir: str = ""
    count: int = 1
    command: str = ""


@dataclass
class HarnessConfig:
    """The whole configuration of one cell."""

    provider: ProviderConfig = field(default_factory=ProviderConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    seed: int = 20240917


def data_folder(name: str) -> Path:
    """Where ``conf`` or ``datasets`` stands: inside the installed package, or beside it in a checkout."""
    inside = Path(str(files("harness"))) / name
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / name


def measure_of(config: Mapping[str, Any]) -> MeasureConfig:
    """The measure part of a recorded configuration; keys of other versions are left out."""
    known = MeasureConfig.__dataclass_fields__
    return MeasureConfig(**{key: value for key, value in config.get("measure", {}).items() if key in known})
