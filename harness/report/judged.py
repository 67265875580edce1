"""Judgements in few words: for the assessments on a trace, and for a table of every difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.report.format import count, evidence

if TYPE_CHECKING:
    from harness.results import CompletenessResult, Judgement, TransparencyFinding, Verdict

_FACTS_NAMED = 20
_VALUE_LENGTH = 80
_DECIMALS = 4
_NOT_RECORDED: tuple[Verdict, ...] = ("wrong", "missing", "elsewhere")


class TraceVerdict(NamedTuple):
    """What is said about one trace, in the places of MLflow.

    Attributes:
        completeness: recorded / applicable facts, rounded as people read it.
        fidelity: 1 - wrong / found facts; ``None`` where nothing was found.
        transparent: Whether the application got the same as without tracing; ``None`` if that is
            not known of this trace's calls.
        differences: What is missing, wrong or elsewhere, in Markdown.
        wrong: What is wrong, in Markdown.
        opaque: What the application got differently, in Markdown.
    """

    trace_id: str
    completeness: float
    fidelity: float | None
    transparent: bool | None
    differences: str
    wrong: str
    opaque: str


def trace_verdicts(completeness: CompletenessResult) -> tuple[TraceVerdict, ...]:
    """One verdict for each trace that belongs to a judged call, in the order of the calls."""
    judged: dict[str, list[Judgement]] = {}
    for judgement in completeness.judgements:
        if judgement.convention == "mlflow" and judgement.trace_id is not None:
            judged.setdefault(judgement.trace_id, []).append(judgement)
    opaque: dict[str, list[TransparencyFinding]] = {}
    for finding in completeness.transparency:
        if finding.trace_id is not None:
            opaque.setdefault(finding.trace_id, []).append(finding)
    # Only a count says which calls were compared, so a trace is cleared only if all of them were.
    all_compared = completeness.transparency_compared == completeness.calls
    return tuple(
        _verdict(trace_id, judged.get(trace_id, []), opaque.get(trace_id, []), all_compared=all_compared)
        for trace_id in dict.fromkeys((*judged, *opaque))
        if judged.get(trace_id)
    )


def _verdict(
    trace_id: str, judged: list[Judgement], opaque: list[TransparencyFinding], *, all_compared: bool
) -> TraceVerdict:
    by_verdict: dict[Verdict, list[Judgement]] = {}
    for judgement in judged:
        by_verdict.setdefault(judgement.verdict, []).append(judgement)
    recorded = len(by_verdict.get("recorded", ()))
    wrong = by_verdict.get("wrong", [])
    found = recorded + len(by_verdict.get("elsewhere", ())) + len(wrong)
    faults = [judgement for verdict in _NOT_RECORDED for judgement in by_verdict.get(verdict, ())]
    summary = f"{recorded} of {count(len(judged), 'fact')} recorded right, where MLflow looks."
    return TraceVerdict(
        trace_id=trace_id,
        completeness=round(recorded / len(judged), _DECIMALS),
        fidelity=round(1 - len(wrong) / found, _DECIMALS) if found else None,
        transparent=False if opaque else True if all_compared else None,
        differences=_listing(summary, [_fault(judgement) for judgement in faults]),
        wrong=_listing(
            f"{len(wrong)} of {count(found, 'value')} in the trace are wrong.", [_fault(one) for one in wrong]
        ),
        opaque=_listing(
            f"With tracing the application gets something else: {count(len(opaque), 'difference')}."
            if opaque
            else "The application gets the same as without tracing.",
            [_opaque(finding) for finding in opaque],
        ),
    )


def fact_name(judgement: Judgement) -> str:
    """The fact, with the request that it is of where that is not the first."""
    return f"{judgement.fact} (request {judgement.request + 1})" if judgement.request else judgement.fact


def _fault(judgement: Judgement) -> str:
    text = f"{judgement.verdict} {_code(fact_name(judgement))}: the wire shows {_value(judgement.wire)}"
    if judgement.verdict == "wrong":
        return f"{text}, the trace {_value(judgement.traced)} in {_code(judgement.place)}"
    if judgement.verdict == "elsewhere":
        return f"{text}, found in {_code(judgement.place)}"
    return f"{text}, nothing in {_code(judgement.place)}"


def _opaque(finding: TransparencyFinding) -> str:
    where = f"{finding.aspect} {_code(finding.place)}" if finding.place else finding.aspect
    return f"{where}: without tracing {_value(finding.without)}, with it {_value(finding.with_tracing)}"


def _listing(summary: str, lines: list[str]) -> str:
    more = [f"and {len(lines) - _FACTS_NAMED} more"] if len(lines) > _FACTS_NAMED else []
    return "\n".join([summary, *(f"- {line}" for line in (*lines[:_FACTS_NAMED], *more))])


def _value(value: object) -> str:
    return _code(evidence(value, _VALUE_LENGTH))


def _code(text: str) -> str:
    """A text that Markdown shows as it is."""
    return f"`{text.replace('`', chr(39))}`"
