"""From judgements to counts and scores."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.completeness.facts import STRUCTURE_PREFIX, fact_order
from harness.completeness.join import join_cell
from harness.completeness.judge import CONVENTIONS, judge_call
from harness.results import CompletenessResult, FactCount

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
    if expects:
        for subject in join.subjects:
            found, remarks = judge_call(subject, join.traces.get(subject.call.call_id, ()))
            judgements += found
            notes += remarks
    elif join.orphaned:
        notes.append(f"the strategy expects no traces, but {len(join.orphaned)} were stored; they count as orphans")
    scores, reasons = _scores(judgements, records, join)
    stored = sum(len(traces) for traces in join.traces.values())
    return CompletenessResult(
        calls=len(join.subjects),
        traces_expected=len(join.subjects) if expects else 0,
        traces_stored=stored,
        traces_lost=len(join.subjects) - len(join.traces) if expects else 0,
        traces_duplicated=stored - len(join.traces),
        traces_orphaned=len(join.orphaned),
        recall=scores["recall"],
        wire_recall=scores["wire_recall"],
        otel_recall=scores["otel_recall"],
        fidelity=scores["fidelity"],
        reasons=reasons,
        facts=count_facts(judgements),
        judgements=tuple(judgements),
        notes=tuple(notes),
    )


def count_facts(judgements: Iterable[Judgement]) -> tuple[FactCount, ...]:
    """How each fact fared, MLflow's convention first, in the order of the table of facts."""
    counts = Counter([(one.convention, one.fact, one.verdict) for one in judgements])
    pairs = {(convention, fact) for convention, fact, _ in counts}
    keys = sorted(pairs, key=lambda key: (CONVENTIONS.index(key[0]), fact_order(key[1])))
    return tuple(
        FactCount(
            fact=fact,
            convention=convention,
            recorded=counts[convention, fact, "recorded"],
            elsewhere=counts[convention, fact, "elsewhere"],
            wrong=counts[convention, fact, "wrong"],
            missing=counts[convention, fact, "missing"],
        )
        for convention, fact in keys
    )


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
    elif not join.subjects:
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
    for call, wire in join.subjects:
        if wire.malformed:
            notes.append(
                f"call {call.call_id}: {len(wire.malformed)} text(s) on the wire could not be read, "
                f"the first is {wire.malformed[0][:80]!r}"
            )
        if wire.other_paths:
            notes.append(f"call {call.call_id}: exchanges on {', '.join(wire.other_paths)} were not judged")
        if not wire.same_request:
            notes.append(f"call {call.call_id}: its exchanges asked for different things; only the last is judged")
    return notes
