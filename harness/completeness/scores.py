"""From judgements to counts and scores."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from harness.completeness.facts import STRUCTURE_PREFIX, fact_order
from harness.completeness.join import cases_of, join_cell
from harness.completeness.judge import CONVENTIONS, judge_case
from harness.results import CompletenessResult, FactCount, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.completeness.join import Join
    from harness.records import CellRecords
    from harness.results import Convention, Judgement


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
    join = join_cell(records)
    judgements: list[Judgement] = []
    notes = [*join.notes, *_wire_notes(join)]
    expects = records.cell.expects_traces
    for unit in join.units if expects else ():
        if unit.expected or unit.traces:
            for case in cases_of(unit, join, notes):
                judgements += judge_case(case)
    if not expects and join.orphaned:
        notes.append(f"the strategy expects no traces, but {len(join.orphaned)} were stored; they count as orphans")
    scores, reasons = _scores(judgements, records, join)
    stored = sum(len(unit.traces) for unit in join.units)
    expected = [unit for unit in join.units if unit.expected or unit.traces] if expects else []
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
        facts=count_facts(judgements),
        judgements=tuple(judgements),
        notes=tuple(notes),
        otel_recall_by_level=recall_by_level(judgements),
    )


def count_facts(judgements: Iterable[Judgement]) -> tuple[FactCount, ...]:
    """How each fact fared, MLflow's convention first, in the order of the table of facts, then by level."""
    counts = Counter([(one.convention, one.fact, one.level, one.verdict) for one in judgements])
    rows = {(convention, fact, level) for convention, fact, level, _ in counts}
    keys = sorted(rows, key=lambda key: (CONVENTIONS.index(key[0]), fact_order(key[1]), str(key[2])))
    return tuple(
        FactCount(
            fact=fact,
            convention=convention,
            level=level,
            recorded=counts[convention, fact, level, "recorded"],
            elsewhere=counts[convention, fact, level, "elsewhere"],
            wrong=counts[convention, fact, level, "wrong"],
            missing=counts[convention, fact, level, "missing"],
        )
        for convention, fact, level in keys
    )


def recall_by_level(judgements: Sequence[Judgement]) -> dict[str, float]:
    """OpenTelemetry's recall at each requirement level that applied, the strictest first."""
    found = {level: recall([one for one in judgements if one.level == level], "otel") for level in get_args(Level)}
    return {level: score for level, score in found.items() if score is not None}


def recall(judgements: Sequence[Judgement], convention: Convention) -> float | None:
    """Recorded facts over applicable facts in one convention; ``None`` where nothing applies."""
    verdicts = Counter([one.verdict for one in judgements if one.convention == convention])
    return verdicts["recorded"] / verdicts.total() if verdicts else None


def wire_recall(judgements: Sequence[Judgement]) -> float | None:
    """Recall in MLflow's places over what the wire shows, the structure facts (``trace.*``) left out."""
    return recall([one for one in judgements if not one.fact.startswith(STRUCTURE_PREFIX)], "mlflow")


def fidelity(judgements: Sequence[Judgement]) -> float | None:
    """1 - wrong / (recorded + elsewhere + wrong) in MLflow's places; ``None`` where nothing was found."""
    verdicts = Counter(one.verdict for one in judgements if one.convention == "mlflow")
    found = verdicts["recorded"] + verdicts["elsewhere"] + verdicts["wrong"]
    return 1 - verdicts["wrong"] / found if found else None


def _scores(
    judgements: Sequence[Judgement], records: CellRecords, join: Join
) -> tuple[dict[str, float | None], dict[str, str]]:
    scores = {
        "recall": recall(judgements, "mlflow"),
        "wire_recall": wire_recall(judgements),
        "otel_recall": recall(judgements, "otel"),
        "fidelity": fidelity(judgements),
    }
    if not records.cell.expects_traces:
        reason = f"the strategy {records.cell.tracing!r} expects no traces"
    elif not join.calls:
        reason = "the completeness pass has no calls"
    else:
        reason = "no fact applies"
    reasons = {name: reason for name, score in scores.items() if score is None}
    if "fidelity" in reasons and judgements:
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
