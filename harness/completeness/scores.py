"""From judgements to counts and scores."""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, get_args

from harness.completeness.facts import FACTS_VERSION, STRUCTURE_PREFIX, fact_order
from harness.completeness.join import cases_of, join_cell
from harness.completeness.judge import CONVENTIONS, judge_case
from harness.completeness.known import Tally, Witness
from harness.completeness.spread import recall_spread
from harness.completeness.transparency import compare_arms
from harness.records import CallId
from harness.results import CompletenessResult, FactCount, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.completeness.join import Case, Join
    from harness.completeness.transparency import Comparison
    from harness.records import Call, CellRecords
    from harness.results import Convention, Judgement, TransparencyFinding, Verdict

    Verdicts = Counter[tuple[Convention, str, Level | None, Verdict]]


def judge_cell(records: CellRecords) -> CompletenessResult:
    """Judge the completeness of one cell.

    Only the calls, exchanges and traces of the completeness pass count. A strategy that expects
    no traces has no scores, and a trace that turns up all the same is an orphan.

    Args:
        records: The cell's raw records.

    Returns:
        Counts, scores with the reason for each that is ``None``, and every judgement.

    Raises:
        UnattributedError: If an exchange carries no call id.
        CellError: If a call went well and the gateway saw no exchange of it.
    """
    with _no_collections():
        return _judge(records)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the cyclic garbage collector off: judging makes millions of values and no cycles among them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _judge(records: CellRecords) -> CompletenessResult:
    join = join_cell(records)
    judgements: list[Judgement] = []
    tally = Tally(records.cell)
    notes = [*join.notes, *_wire_notes(join)]
    expects = records.cell.expects_traces
    comparison = compare_arms(records, _trace_ids(join))
    notes += comparison.notes
    others = _Others(records, comparison)
    sampled = records.cell.expected_share < 1.0
    # Where calls are sampled by chance, a trace that is not there is none that was expected.
    expected = [unit for unit in join.units if unit.traces or (unit.expected and not sampled)] if expects else []
    for unit in expected:
        for call, cases in _by_call(cases_of(unit, join, notes)):
            found = tuple(one for case in cases for one in judge_case(case))
            judgements += found
            tally.add(others.witness(call, cases, found))
    half = [trace.trace_id for trace in join.orphaned if expects and not trace.metadata]
    if half:
        ids = ", ".join(half)
        notes.append(
            f"{len(half)} trace(s) are half written, without the metadata that would tie them to a call: {ids}"
        )
    if expects and sampled:
        notes.append(
            f"traces are sampled ({records.cell.expected_share:.0%} of them): {len(expected)} of {len(join.units)} "
            "were there and are judged; none counts as lost"
        )
    if not expects and join.orphaned:
        notes.append(f"the strategy expects no traces, but {len(join.orphaned)} were stored; they count as orphans")
    verdicts = tally_verdicts(judgements)
    scores, reasons = _scores(verdicts, records, join, comparison)
    spread = recall_spread(judgements)
    if isinstance(spread, str) and scores["recall"] is not None:
        reasons["recall_interval"] = spread
    stored = sum(len(unit.traces) for unit in join.units)
    return CompletenessResult(
        calls=len(join.calls),
        traces_expected=len(expected),
        traces_stored=stored,
        traces_lost=sum(not unit.traces for unit in expected),
        traces_duplicated=sum(max(len(unit.traces) - 1, 0) for unit in join.units),
        traces_orphaned=len(join.orphaned),
        recall=scores["recall"],
        wire_recall=scores["wire_recall"],
        otel_recall=scores["otel_recall"],
        fidelity=scores["fidelity"],
        reasons=reasons,
        facts=count_facts(verdicts),
        judgements=tuple(judgements),
        notes=tuple(notes),
        otel_recall_by_level=recall_by_level(verdicts),
        transparency=comparison.findings,
        transparency_compared=comparison.compared,
        defects=tally.findings(records.losses) if expects else (),
        facts_version=FACTS_VERSION,
        recall_low=None if isinstance(spread, str) else spread.low,
        recall_high=None if isinstance(spread, str) else spread.high,
    )


class _Others:
    """What else is known of a call: what it was without tracing, and what differed."""

    def __init__(self, records: CellRecords, comparison: Comparison) -> None:
        ids = ((CallId.parse(call.call_id), call) for call in records.calls)
        self._plain = {
            str(one._replace(arm="strategy")): call for one, call in ids if one.arm == "baseline" and one.fork == 0
        }
        self._differences: defaultdict[str, list[TransparencyFinding]] = defaultdict(list)
        for finding in comparison.findings:
            self._differences[finding.call_id].append(finding)

    def witness(self, call: Call, cases: tuple[Case, ...], judgements: tuple[Judgement, ...]) -> Witness:
        plain = self._plain.get(str(CallId.parse(call.call_id))) if self._plain else None
        differences = tuple(self._differences.get(call.call_id, ()))
        return Witness(call, cases, judgements, plain, differences, cases[0].subject.flow)


def _by_call(cases: list[Case]) -> Iterator[tuple[Call, tuple[Case, ...]]]:
    for _, group in groupby(cases, key=lambda case: case.subject.call.call_id):
        found = tuple(group)
        yield found[0].subject.call, found


def _trace_ids(join: Join) -> dict[str, str]:
    """Call id to the trace in which the call is looked for."""
    found: dict[str, str] = {}
    for unit in join.units:
        own = {trace.call_id: trace.trace_id for trace in reversed(unit.traces)}
        for call in unit.calls if unit.traces else ():
            found[call.call_id] = own.get(call.call_id, unit.traces[0].trace_id)
    return found


def tally_verdicts(judgements: Iterable[Judgement]) -> Verdicts:
    """How often each verdict fell, by convention, fact, level and verdict."""
    return Counter([(one.convention, one.fact, one.level, one.verdict) for one in judgements])


def count_facts(verdicts: Verdicts) -> tuple[FactCount, ...]:
    """How each fact fared, MLflow's convention first, in the order of the table of facts, then by level."""
    rows = {(convention, fact, level) for convention, fact, level, _ in verdicts}
    keys = sorted(rows, key=lambda key: (CONVENTIONS.index(key[0]), fact_order(key[1]), str(key[2])))
    return tuple(
        FactCount(
            fact=fact,
            convention=convention,
            level=level,
            recorded=verdicts[convention, fact, level, "recorded"],
            elsewhere=verdicts[convention, fact, level, "elsewhere"],
            wrong=verdicts[convention, fact, level, "wrong"],
            missing=verdicts[convention, fact, level, "missing"],
        )
        for convention, fact, level in keys
    )


def recall_by_level(verdicts: Verdicts) -> dict[str, float]:
    """OpenTelemetry's recall at each requirement level that applied, the strictest first."""
    found = {
        level: recall(Counter({key: count for key, count in verdicts.items() if key[2] == level}), "otel")
        for level in get_args(Level)
    }
    return {level: score for level, score in found.items() if score is not None}


def recall(verdicts: Verdicts, convention: Convention) -> float | None:
    """Recorded facts over applicable facts in one convention; ``None`` where nothing applies."""
    applicable = sum(count for key, count in verdicts.items() if key[0] == convention)
    recorded = sum(count for key, count in verdicts.items() if key[0] == convention and key[3] == "recorded")
    return recorded / applicable if applicable else None


def wire_recall(verdicts: Verdicts) -> float | None:
    """Recall in MLflow's places over what the wire shows, the structure facts (``trace.*``) left out."""
    shown = {key: count for key, count in verdicts.items() if not key[1].startswith(STRUCTURE_PREFIX)}
    return recall(Counter(shown), "mlflow")


def fidelity(verdicts: Verdicts) -> float | None:
    """1 - wrong / (recorded + elsewhere + wrong) in MLflow's places; ``None`` where nothing was found."""
    found = {key: count for key, count in verdicts.items() if key[0] == "mlflow" and key[3] != "missing"}
    wrong = sum(count for key, count in found.items() if key[3] == "wrong")
    return 1 - wrong / sum(found.values()) if found else None


def _scores(
    verdicts: Verdicts, records: CellRecords, join: Join, comparison: Comparison
) -> tuple[dict[str, float | None], dict[str, str]]:
    scores = {
        "recall": recall(verdicts, "mlflow"),
        "wire_recall": wire_recall(verdicts),
        "otel_recall": recall(verdicts, "otel"),
        "fidelity": fidelity(verdicts),
    }
    if not records.cell.expects_traces:
        reason = f"the strategy {records.cell.tracing!r} expects no traces"
    elif not join.calls:
        reason = "the completeness pass has no calls"
    else:
        reason = "no fact applies"
    reasons = {name: reason for name, score in scores.items() if score is None}
    if comparison.reason and records.calls:
        reasons["transparency"] = comparison.reason
    if "fidelity" in reasons and verdicts:
        reasons["fidelity"] = "no fact was found in any trace"
    return scores, reasons


def _wire_notes(join: Join) -> list[str]:
    """What on the wire could not be judged."""
    notes = []
    for call_id, wire in join.wires.items():
        malformed = [text for request in wire.requests for text in request.malformed]
        if malformed:
            notes.append(
                f"call {call_id}: {len(malformed)} text(s) on the wire could not be read, "
                f"the first is {malformed[0][:80]!r}"
            )
        if wire.other_paths:
            notes.append(f"call {call_id}: exchanges on {', '.join(wire.other_paths)} were not judged")
    return notes
