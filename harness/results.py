"""What the analyses find: judgements, scores, estimates and verdicts, as frozen values.

They are made from records alone and carry everything that tables and reports need, so the
report depends on no analysis and the analyses do not depend on each other.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import Field, InstanceOf

from harness.records import CellRecord, Loss, Record

Verdict = Literal["recorded", "elsewhere", "wrong", "missing"]
Convention = Literal["mlflow", "otel"]
Level = Literal["required", "conditionally_required", "recommended", "opt_in"]
Aspect = Literal["outcome", "value", "type", "chunks", "exception", "cancellation", "requests"]


class Judgement(NamedTuple):
    """One fact of one call, held against the call's trace.

    Not a checked record like the others: a cell has hundreds of thousands of them, and checking each
    takes a fifth of the time of judging it.

    Attributes:
        fact: Name of the fact, such as ``usage.input_tokens``.
        convention: Whose places were searched.
        verdict: ``recorded``: right and in its place; ``elsewhere``: the value is there, in a
            place no tool reads; ``wrong``: another value stands there; ``missing``.
        wire: The value that the call's exchanges prove.
        traced: The value that the trace holds, ``None`` where it holds none.
        place: Where the value was found, or where it should have been.
        trace_id: The evidence; ``None`` if the call has no trace.
        request: Which of the call's requests to a model the fact is of, from 0: an agent makes
            several. Facts about the whole call stand under 0.
        level: OpenTelemetry's requirement level of the place; ``None`` in MLflow's convention.
    """

    call_id: str
    sample_id: str
    fact: str
    convention: Convention
    verdict: Verdict
    place: str
    scenario: str = ""
    request: int = 0
    level: Level | None = None
    wire: Any = None
    traced: Any = None
    trace_id: str | None = None
    span_id: str | None = None


class FactCount(Record):
    """How one fact fared over all calls of a cell, in one convention (and, for OpenTelemetry, at one level)."""

    fact: str
    convention: Convention
    level: Level | None = None
    recorded: int
    elsewhere: int
    wrong: int
    missing: int


class TransparencyFinding(Record):
    """Something that the application got differently because the strategy was on: the gravest finding there is.

    Attributes:
        call_id: The call under the strategy.
        aspect: What differs.
        place: Where in it, such as ``choices[0].message.content`` or ``chunks[3]``; may be empty.
        without: What the application got (of ``requests``: sent) without tracing, as text.
        with_tracing: What it got with the strategy, as text.
        trace_id: The call's trace, if it has one.
    """

    call_id: str
    sample_id: str
    scenario: str = ""
    aspect: Aspect
    place: str = ""
    without: str | None
    with_tracing: str | None
    trace_id: str | None = None


class DefectFinding(Record):
    """A defect of a tracing library that is known by name, and whether this cell met it.

    Attributes:
        defect: Name of its row in the table of known defects.
        title: What is wrong, in one sentence.
        versions: The versions that it was seen in, in words.
        status: ``found``: the cell's evidence shows it; ``mended``: the scenario that shows it ran
            and it was not there; rows whose scenario did not run are left out.
        calls: Calls that met it.
        applicable: Calls that could have.
        call_id: The first of them, or the first that could have.
        trace_id: Its trace; ``None`` where the defect is that there is none.
        wire: What the wire shows there.
        traced: What the trace shows there.
    """

    defect: str
    title: str
    versions: str = ""
    status: Literal["found", "mended"]
    calls: int
    applicable: int
    call_id: str | None = None
    sample_id: str | None = None
    trace_id: str | None = None
    wire: Any = None
    traced: Any = None


class CompletenessResult(Record):
    """The completeness of one cell.

    Attributes:
        calls: Calls that were made.
        traces_expected: One a call for a strategy that traces, 0 for ``none``.
        traces_stored: Traces that were read back and belong to a call.
        traces_lost: Calls that should have a trace and have none.
        traces_duplicated: Traces beyond the first of their call.
        traces_orphaned: Traces that belong to no call.
        recall: recorded / applicable facts in MLflow's places; ``None`` where nothing applies.
        wire_recall: Recall over the facts that the wire shows, in MLflow's places; the structure
            facts (``trace.*``), which most traces have anyway, are left out. ``None`` where nothing
            applies.
        otel_recall: Recall in the places of OpenTelemetry's GenAI conventions.
        fidelity: 1 - wrong / (recorded + elsewhere + wrong) in MLflow's places; ``None`` where
            nothing was found.
        reasons: For each score that is ``None``, why.
        facts: Counts by fact and convention.
        judgements: Every judgement, in the order of the calls.
        notes: What could not be decided (ambiguous spans, for example), one sentence each.
        otel_recall_by_level: OpenTelemetry's recall at each requirement level that applied.
        transparency: Differences between what the application got with and without the strategy.
        transparency_compared: Calls that were compared; ``None`` if none could be, and
            ``reasons["transparency"]`` says why.
        defects: Known defects that the cell's scenarios could show.
        facts_version: Version of the table of facts that was judged by; 0 where nobody said.
    """

    calls: int
    traces_expected: int
    traces_stored: int
    traces_lost: int
    traces_duplicated: int
    traces_orphaned: int
    recall: float | None
    wire_recall: float | None = None
    otel_recall: float | None
    fidelity: float | None
    reasons: dict[str, str]
    facts: tuple[FactCount, ...]
    judgements: tuple[InstanceOf[Judgement], ...]
    notes: tuple[str, ...] = ()
    otel_recall_by_level: dict[str, float] = Field(default_factory=dict)
    transparency: tuple[TransparencyFinding, ...] = ()
    transparency_compared: int | None = None
    defects: tuple[DefectFinding, ...] = ()
    facts_version: int = 0


class Estimate(Record):
    """A measured quantity with its 95% interval.

    Attributes:
        name: Name with its unit, such as ``p50_ms``.
        unit: The unit alone, for display.
        value: The mean of the per-fork differences; ``None`` if the data cannot support it.
        low: Lower bound of the interval; ``None`` without one.
        high: Upper bound.
        forks: How many forks it rests on.
        per_fork: The per-fork differences.
        baseline: The same quantity of the ``none`` arm, mean over forks, where it has one.
        reason: Why there is no value or no interval, in one sentence.
    """

    name: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    forks: int
    per_fork: tuple[float, ...] = ()
    baseline: float | None = None
    reason: str | None = None


class OverheadResult(Record):
    """What tracing costs in one cell, always against the cell's own ``none`` arm.

    Attributes:
        forks: Complete pairs of arms.
        calls_per_fork: Analysed calls of one arm in one fork (each block's first is left out).
        estimates: By name: ``p50_ms``, ``p95_ms``, ``p99_ms``, ``first_chunk_p50_ms``,
            ``cpu_ms_per_call``, ``drain_ms_per_trace``, ``stored_bytes_per_trace``,
            ``peak_memory_mib``, ``import_cpu_ms``.
        verdict: On added p50. ``not judged`` where the data forbid a verdict.
        sentence: The verdict in words.
        smallest_effect_ms: Half-width of the interval of added p50: an effect smaller than this
            could not have been told from none in this run.
        equivalence_margin_ms: The margin that ``equivalent`` refers to.
        traces_expected: Traces that the strategy's arms should have stored.
        traces_lost: How many of them were not there after the drain.
        drain_rate_per_s: Traces a second that reach the store in a back-to-back burst.
        load_rate_per_s: Calls a second in the measured blocks.
        flagged_calls: Calls kept but not analysed (warm-up, first of a block).
        failed_calls: Timed calls that raised.
        is_floor: Whether this cell is an A/A test whose result is a noise floor.
    """

    forks: int
    calls_per_fork: int
    estimates: dict[str, Estimate]
    verdict: Literal["slower", "faster", "equivalent", "inconclusive", "not judged"]
    sentence: str
    smallest_effect_ms: float | None
    equivalence_margin_ms: float
    traces_expected: int
    traces_lost: int
    drain_rate_per_s: float | None
    load_rate_per_s: float | None
    flagged_calls: int
    failed_calls: int
    is_floor: bool


class RowScore(Record):
    """One row of a cell's evaluation table: a prompt, its answer, and how it scored.

    Attributes:
        exact_match: 1.0 or 0.0 against the expected answer, ``None`` where there is none.
        token_overlap: F1 of the bags of lower-cased word tokens, ``None`` where there is none.
        latency_ms: Of the call in the completeness pass, traced: not a measurement of overhead.
    """

    sample_id: str
    prompt: str
    output: str | None
    expected: str | None
    exact_match: float | None
    token_overlap: float | None
    latency_ms: float
    error: str | None
    trace_id: str | None


class Latencies(Record):
    """Analysed latencies of one arm in one fork, in milliseconds, for figures."""

    fork: int
    arm: Literal["strategy", "baseline"]
    latency_ms: tuple[float, ...]


class CellResult(Record):
    """One cell with everything that was found out about it.

    Attributes:
        run_id: The cell's MLflow run, ``None`` if it never got one.
        completeness: ``None`` if the pass did not finish; the cell's reason says why.
        overhead: Likewise.
        losses: Traces lost by the way in which a process ended, where that was tried.
    """

    cell: CellRecord
    run_id: str | None
    completeness: CompletenessResult | None
    overhead: OverheadResult | None
    losses: tuple[Loss, ...] = ()
    rows: tuple[RowScore, ...] = ()
    latencies: tuple[Latencies, ...] = ()


class SweepResult(Record):
    """All cells of a sweep, for tables and reports.

    Attributes:
        cells_expected: How many cells the command asked for; fewer in ``cells`` means that some
            left no result at all.
        floors_ms: Provider label to the A/A noise floor of added p50: the larger absolute bound
            of the A/A cell's interval.
    """

    sweep_id: str
    command: str
    cells_expected: int
    cells: tuple[CellResult, ...]
    floors_ms: dict[str, float]
    started_unix_ns: int
    ended_unix_ns: int
