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
VerdictName = Literal["slower", "faster", "equivalent", "inconclusive", "not judged"]
ChangeVerdict = Literal["worse", "not worse", "better", "inconclusive"]
SumVerdict = Literal["agree", "disagree", "inconclusive", "can't say"]
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
        status: ``found``: the cell's evidence shows it; ``mended``: the scenario that shows it ran in a version newer
            than those that it was seen in, and it was not there; ``not found``: likewise in one that is not newer.
            Rows whose scenario did not run are left out.
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
    status: Literal["found", "mended", "not found"]
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
        recall_low: Lower bound of the 95% interval of ``recall`` over samples, for other prompts like these: see
            ``harness.completeness.spread``. Of this very prompt set ``recall`` is a count and has no error. ``None``
            without one; where there is a recall, ``reasons["recall_interval"]`` says why.
        recall_high: Upper bound.
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
    recall_low: float | None = None
    recall_high: float | None = None


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
        baseline_low: Lower bound of its 95% interval over forks; ``None`` without one.
        baseline_high: Upper bound.
        reason: Why there is no value or no interval, in one sentence.
        ratio: Traced / untraced, geometric mean over forks: 2 is twice as much. ``None`` where an arm
            of a fork has nothing above zero to divide. It stands only beside ``baseline``.
        ratio_low: Lower bound of the ratio's interval; ``None`` without one.
        ratio_high: Upper bound.
    """

    name: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    forks: int
    per_fork: tuple[float, ...] = ()
    baseline: float | None = None
    baseline_low: float | None = None
    baseline_high: float | None = None
    reason: str | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None

    @property
    def ratio_contradicts(self) -> bool:
        """Whether of difference and ratio one shows a difference and the other does not.

        They weigh the forks differently: the difference in milliseconds, the ratio in shares of each fork's baseline.
        """
        if self.low is None or self.high is None or self.ratio_low is None or self.ratio_high is None:
            return False
        return (self.low <= 0 <= self.high) != (self.ratio_low <= 1 <= self.ratio_high)


class SteadyState(Record):
    """Whether what was measured holds from the first measured call to the last.

    Attributes:
        steady: ``True`` if the change of added p50 is known to lie within the margin, ``False`` if it
            is known not to be zero and may leave the margin; ``None`` where the forks do not say.
        changes: ``added_p50_ms``, ``strategy_p50_ms``, ``baseline_p50_ms``: each fork's median over
            the second half of its analysed calls minus that over the first.
        later: Added p50 over the second halves alone.
        later_verdict: The verdict that the second halves would give alone; ``None`` without an interval.
        warmup_calls: Calls of the warm-up burst in each arm and fork, the fewest.
        settled_after: By arm, how many of them passed until the rest was level; ``None`` if they were
            too few or did not become level within the first half of the burst.
        sentence: All of that in words.
    """

    steady: bool | None
    changes: dict[str, Estimate]
    later: Estimate | None = None
    later_verdict: VerdictName | None = None
    warmup_calls: int = 0
    settled_after: dict[str, int | None] = Field(default_factory=dict)
    sentence: str


class Drift(Record):
    """Whether the machine, or the cost, changed from the first fork to the last.

    Attributes:
        changes: ``baseline_p50_ms`` and ``added_p50_ms``: rise of the straight line through the forks,
            from the first fork to the last.
        seen: Those of them that were seen: the interval leaves the equivalence margin and excludes zero.
        sentence: In words.
    """

    changes: dict[str, Estimate]
    sentence: str
    seen: tuple[str, ...] = ()


class ForkDisturbance(Record):
    """What others took of the machine while one fork's measured blocks ran, in cores.

    Attributes:
        blocks: Measured blocks that were watched.
        flagged_blocks: Those in which others took more than the limit.
        others_cores: CPU time of processes that are not the cell's, for each second; 1 is one core.
        stolen_cores: Time that the hypervisor gave to others, likewise.
    """

    fork: int
    blocks: int
    flagged_blocks: int
    others_cores: float
    stolen_cores: float


class Disturbance(Record):
    """What else the machine did during the measured blocks, and whether it decided the verdict.

    Attributes:
        load_1min: Load average when the cell began: in a sweep mostly that of the cell before it.
        blocks: Measured blocks of the complete forks, both arms.
        watched_blocks: Those of which the machine's doings are known.
        flagged_blocks: Those in which others took more than ``limit_cores``. They are kept.
        limit_cores: Cores' worth of CPU, stolen time included, beyond which a block is flagged.
        others_cores: Over all watched blocks, as in ``ForkDisturbance``; ``None`` if none was watched.
        stolen_cores: Likewise.
        lowest_mhz: Mean clock of the cores in the block in which it was lowest; ``None`` where the kernel
            does not say it.
        highest_mhz: In the one in which it was highest.
        forks: Fork by fork.
        without: Added p50 without the flagged blocks and their partners in the other arm; ``None`` if
            none was flagged or what is left does not support it.
        without_verdict: The verdict that it would give; ``None`` without an interval.
        sentence: In words.
    """

    load_1min: float
    blocks: int
    watched_blocks: int
    flagged_blocks: int
    limit_cores: float
    others_cores: float | None = None
    stolen_cores: float | None = None
    lowest_mhz: float | None = None
    highest_mhz: float | None = None
    forks: tuple[ForkDisturbance, ...] = ()
    without: Estimate | None = None
    without_verdict: VerdictName | None = None
    sentence: str


class QuantileShift(Record):
    """What the strategy adds at one quantile of the latencies: a point of the shift function.

    Attributes:
        percent: The quantile in percent, such as 90.
        added: Traced minus untraced quantile, per-fork differences and their mean, in ms.
    """

    percent: int
    added: Estimate


class OverheadResult(Record):
    """What tracing costs in one cell, always against the cell's own ``none`` arm.

    Attributes:
        forks: Complete pairs of arms.
        calls_per_fork: Analysed calls of one arm in one fork (each block's first is left out).
        estimates: By name: ``p50_ms``, ``p95_ms``, ``p99_ms``, ``first_chunk_p50_ms``, of streams of more than one
            chunk ``per_chunk_us`` and ``stream_end_p50_ms``,
            ``cpu_ms_per_call``, ``drain_ms_per_trace``, ``stored_bytes_per_trace``,
            ``peak_memory_mib``, ``import_cpu_ms``, and where they were recorded ``first_call_ms``,
            ``first_call_cpu_ms`` and ``first_calls_cpu_ms``.
        verdict: On added p50. ``not judged`` where the data forbid a verdict.
        sentence: The verdict in words.
        smallest_effect_ms: Half-width of the interval of added p50: what a precision is asked of. A true effect of
            this size is told from none in hardly more than half of such runs.
        smallest_found_ms: The smallest true effect that is told from none in 80% of runs with this spread; ``None``
            without an interval, and in results of older analyses.
        equivalence_margin_ms: The margin that ``equivalent`` refers to.
        traces_expected: Traces that the strategy's arms should have stored.
        traces_lost: How many of them were not there after the drain.
        expected_by_fork: Traces that each fork should have stored; empty in results of older analyses.
        lost_by_fork: How many of them were not there, likewise.
        drain_rate_per_s: Traces a second that reach the store in a back-to-back burst; ``None`` where chance decides
            which calls leave one.
        load_rate_per_s: Calls a second in the measured blocks.
        flagged_calls: Calls kept but not analysed (warm-up, first of a block).
        failed_calls: Timed calls that raised.
        is_floor: Whether this cell is an A/A test whose result is a noise floor.
        p_no_difference: p-value of "tracing adds nothing to p50"; below 0.05 where the 95% interval
            excludes zero. ``None`` without an interval.
        p_no_equivalence: p-value of "it adds or saves the margin or more"; below 0.05 where the 95%
            interval lies within the margin.
        steady: Whether what was measured held until the last call; ``None`` in records of older analyses.
        drift: Whether it held from fork to fork.
        disturbance: What else the machine did.
        warnings: What a reader of the verdict has to know beside it, one sentence each.
        shift: What is added at each quantile that enough calls support, in ascending order; empty in results of
            older analyses.
    """

    forks: int
    calls_per_fork: int
    estimates: dict[str, Estimate]
    verdict: VerdictName
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
    smallest_found_ms: float | None = None
    p_no_difference: float | None = None
    p_no_equivalence: float | None = None
    steady: SteadyState | None = None
    drift: Drift | None = None
    disturbance: Disturbance | None = None
    warnings: tuple[str, ...] = ()
    expected_by_fork: tuple[int, ...] = ()
    lost_by_fork: tuple[int, ...] = ()
    shift: tuple[QuantileShift, ...] = ()


class CorrectedVerdict(Record):
    """What is left of one verdict once it is held as one of many comparisons of a sweep.

    Attributes:
        comparisons: Verdicts of the sweep, of cells and of loads, which the correction is for.
        verdict: The verdict that is left.
        stands: Whether that is the verdict that was given by itself.
        p_no_difference: The p-value of the result, adjusted for the comparisons.
        p_no_equivalence: Likewise.
        sentence: In words.
    """

    comparisons: int
    verdict: VerdictName
    stands: bool
    p_no_difference: float
    p_no_equivalence: float
    sentence: str


class LoadDisturbance(Record):
    """What else the machine did while the arms ran one load, and whether the verdict hangs on it.

    Attributes:
        runs: Runs of the load: one for each arm and fork, of a saturation one for each step, too.
        watched_runs: Those of which the machine's doings are known.
        flagged_runs: Those in which others took more than ``limit_cores``. They are kept.
        limit_cores: As in ``Disturbance``.
        others_cores: Over all watched runs; ``None`` if none was watched.
        stolen_cores: Likewise.
        flagged_forks: Forks with a flagged run.
        short_runs: Watched runs that were too short for the kernel's counters to tell who ran; they may be flagged.
        without_verdict: The verdict of the other forks alone; ``None`` where none was flagged, and where too few
            are left.
        decides: Whether the verdict hangs on the flagged forks: without them it is another, or cannot be told.
        sentence: In words.
    """

    runs: int
    watched_runs: int
    flagged_runs: int
    limit_cores: float
    others_cores: float | None = None
    stolen_cores: float | None = None
    flagged_forks: tuple[int, ...] = ()
    short_runs: int = 0
    without_verdict: VerdictName | None = None
    decides: bool = False
    sentence: str


class LoadStep(Record):
    """One offered rate of a saturation.

    Attributes:
        offered_per_s: Calls a second that were to begin; ``None``: back to back.
        forks: Forks that tried it.
        calls_per_fork: Calls of one arm in one fork.
        achieved_per_s: Calls a second that the strategy's arm made; ``baseline`` is the other arm's.
        lost_share: Share of its traces that were not whole in the store after a drain: the mean over forks, and by
            ``per_fork`` each one's; there is no interval.
        traces_expected: Traces that the strategy's arms should have stored.
        traces_lost: How many of them were not there.
        held_s: How long the strategy's arm was at it, mean over forks; ``None`` in results of older analyses.
        stored_per_s: Whole traces a second that reached the store, from the first call to its last write.
    """

    offered_per_s: float | None
    forks: int
    calls_per_fork: int
    achieved_per_s: Estimate
    lost_share: Estimate
    traces_expected: int
    traces_lost: int
    held_s: float | None = None
    stored_per_s: Estimate | None = None


class LoadResult(Record):
    """What tracing costs under one further load, against the cell's own ``none`` arm under the same.

    Attributes:
        load: The load as the configuration names it.
        forks: Forks in which both arms ran it.
        calls_per_fork: Calls of one arm in one fork.
        estimates: By name: ``p50_ms``, ``p95_ms``, ``throughput_per_s`` (differences), ``throughput_ratio``, the
            same as ``sustained_per_s`` and ``sustained_ratio`` with the drain counted in, ``cpu_ms_per_call``,
            ``peak_memory_mib``; of streams ``first_chunk_p50_ms``, ``per_chunk_us`` (from the first chunk to the
            last, for each after the first) and ``stream_end_p50_ms`` (from the last chunk to the end of the
            call); where traces are stored ``drain_ms_per_trace`` and ``stored_bytes_per_trace``. Of a saturation
            ``highest_without_loss_per_s`` and ``loss_begins_per_s``, the ends of a bracket over forks, and
            ``stored_per_s``.
        verdict: On added p50; ``None`` for a saturation, which is about loss.
        sentence: The verdict in words.
        traces_expected: Traces that the strategy's arms should have stored.
        traces_lost: How many of them were not there after the drain.
        failed_calls: Calls of both arms that raised.
        is_floor: Whether both arms were untraced, so that the result is a noise floor.
        steps: Of a saturation, its rates in ascending order.
        p_no_difference: As in ``OverheadResult``; ``None`` for a saturation.
        p_no_equivalence: Likewise.
        steady: Whether added p50 held from the first half of each fork's calls to the second; ``None`` for a
            saturation, and in results of older analyses. Drift from fork to fork is not looked for.
        disturbance: What else the machine did; ``None`` in results of older analyses.
        exceeds_drain: Whether calls came faster than the store took their traces, so that the cost is a burst's.
    """

    load: str
    forks: int
    calls_per_fork: int
    estimates: dict[str, Estimate]
    verdict: VerdictName | None
    sentence: str
    traces_expected: int
    traces_lost: int
    failed_calls: int
    is_floor: bool
    steps: tuple[LoadStep, ...] = ()
    p_no_difference: float | None = None
    p_no_equivalence: float | None = None
    steady: SteadyState | None = None
    disturbance: LoadDisturbance | None = None
    exceeds_drain: bool = False


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
        loads: What tracing costs under further loads, where that was measured.
    """

    cell: CellRecord
    run_id: str | None
    completeness: CompletenessResult | None
    overhead: OverheadResult | None
    losses: tuple[Loss, ...] = ()
    rows: tuple[RowScore, ...] = ()
    latencies: tuple[Latencies, ...] = ()
    loads: tuple[LoadResult, ...] = ()


class CostStep(Record):
    """What it costs to go from one level to another, as one cell measured it.

    Attributes:
        cell_id: The cell; ``None`` where the sweep has none.
        level: The level that was reached, one of ``harness.config.LEVELS``.
        against: The level below.
        estimate: What the step adds; ``None`` where it was not measured or must not be judged.
        reason: Why there is no estimate, or none with an interval.
    """

    cell_id: str | None
    level: str
    against: str
    estimate: Estimate | None
    reason: str | None = None


class StepSum(Record):
    """One quantity of a strategy's cost taken apart, and the sum held against the cost from end to end.

    Attributes:
        label: Provider and strategy, without the levels.
        into: Where the traces went.
        asynchronous: Whether they were exported in the background; ``None``: as their MLflow does by itself.
        quantity: Name of the estimate: ``p50_ms`` or ``cpu_ms_per_call``.
        steps: The steps from ``untraced`` to ``exported``, from the lowest.
        whole: The step from ``untraced`` to ``exported``, measured in cells of its own.
        total: The steps' sum; no value where one of them has none.
        difference: The sum minus the whole.
        verdict: Whether the interval of the difference lies within the margin; ``inconclusive`` where it includes zero
            and leaves the margin.
        margin_ms: How far they may lie apart and still agree; ``None`` where there is no whole, and in results of
            older analyses.
        p_adjusted: Of a difference as large as this one if sum and whole are equal, corrected for all the sweep's sums;
            ``None`` without an interval, and in results of older analyses, which did not correct.
        comparisons: Sums that the correction is for.
        sentence: The verdict in words.
    """

    label: str
    into: str
    asynchronous: bool | None
    quantity: str
    steps: tuple[CostStep, ...]
    whole: CostStep
    total: Estimate
    difference: Estimate
    verdict: SumVerdict
    sentence: str
    margin_ms: float | None = None
    p_adjusted: float | None = None
    comparisons: int = 0


class CostChange(Record):
    """What an upgrade changed in one cost that tracing adds.

    Attributes:
        quantity: Name of the estimate, such as ``p50_ms``.
        unit: Of all these numbers.
        value: After minus before; ``None`` where ``reason`` says why there is none.
        low: Lower bound of its unadjusted 95% interval.
        high: Upper bound.
        margin: The largest rise that counts as none: the measure's equivalence margin.
        p_adjusted: Of a difference beyond the margin, corrected for all comparisons of the sweep's upgrades.
        verdict: ``worse`` or ``better`` beyond the margin by that p-value, ``not worse`` where the whole
            interval lies below the margin, else ``inconclusive``.
        reason: Why it is inconclusive, where the interval alone does not say it.
    """

    quantity: str
    unit: str = "ms"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float
    p_adjusted: float | None = None
    verdict: ChangeVerdict
    reason: str | None = None


class Upgrade(Record):
    """Two cells of a sweep that are alike but for what their workers ran in.

    Attributes:
        before: Id of the cell that comes first in the sweep.
        after: Id of the other.
        costs: What changed in cost; empty where a cell was not timed.
        comparisons: Differences of all the sweep's upgrades that were tested, which the correction is for.
    """

    before: str
    after: str
    costs: tuple[CostChange, ...] = ()
    comparisons: int = 0


class SweepResult(Record):
    """All cells of a sweep, for tables and reports.

    Attributes:
        cells_expected: How many cells the command asked for; fewer in ``cells`` means that some
            left no result at all.
        floors_ms: Provider label to the A/A noise floor of added p50: the farther bound
            of the A/A cell's interval.
        steps: The cost taken apart by levels, where the sweep has cells for it.
        floors: The same for every quantity of the ledger that the A/A cell has an interval of: provider
            label to the quantity's name to its floor in the quantity's unit.
        corrections: By cell id, the verdict as one of the sweep's many comparisons; A/A cells and
            cells that were not judged have none.
        load_corrections: By cell id and load, the same of the verdicts under further loads; both are held together.
        upgrades: Pairs of cells that differ in their runtime alone, and what that changed in cost.
        experiment_id: The MLflow experiment that holds the runs and traces; empty where nobody said.
        ui_address: Where MLflow's UI of that store is to be found, such as ``http://127.0.0.1:5000``; empty likewise.
    """

    sweep_id: str
    command: str
    cells_expected: int
    cells: tuple[CellResult, ...]
    floors_ms: dict[str, float]
    floors: dict[str, dict[str, float]] = Field(default_factory=dict)
    corrections: dict[str, CorrectedVerdict] = Field(default_factory=dict)
    load_corrections: dict[str, dict[str, CorrectedVerdict]] = Field(default_factory=dict)
    started_unix_ns: int
    ended_unix_ns: int
    steps: tuple[StepSum, ...] = ()
    upgrades: tuple[Upgrade, ...] = ()
    experiment_id: str = ""
    ui_address: str = ""
