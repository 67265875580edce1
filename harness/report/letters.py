"""The verdict on every fact of every request in one letter each: enough to tell two runs apart fact by fact.

Nothing that was said in a call is among it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.records import CallId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.results import Judgement, Verdict

LETTERS: dict[str, Verdict] = {"r": "recorded", "e": "elsewhere", "m": "missing", "w": "wrong"}
"""From the best verdict to the gravest."""

NOT_APPLICABLE = "-"

_LETTER_OF = {verdict: letter for letter, verdict in LETTERS.items()}
_GRAVITY = f"{NOT_APPLICABLE}{''.join(LETTERS)}"


def verdict_letters(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """The verdicts by convention and fact, one letter a judged request.

    Returns:
        ``flows``: for each judged request the run of a sample's scenario that it belongs to, as
        ``repetition/sample``; ``letters``: what each letter means; ``verdicts``: by convention and fact a text
        with one letter a request, in the order of ``flows``.
    """
    requests: dict[tuple[str, int], int] = {}
    for one in judgements:
        requests.setdefault((one.call_id, one.request), len(requests))
    found: dict[str, dict[str, list[str]]] = {}
    for one in judgements:
        row = found.setdefault(one.convention, {}).setdefault(one.fact, [NOT_APPLICABLE] * len(requests))
        at = requests[one.call_id, one.request]
        # Should a fact be judged twice, the graver verdict counts.
        row[at] = max(row[at], _LETTER_OF[one.verdict], key=_GRAVITY.index)
    calls = [CallId.parse(call_id) for call_id, _ in requests]
    return {
        "flows": [f"{call.repetition}/{call.sample}" for call in calls],
        "letters": LETTERS | {NOT_APPLICABLE: "not applicable"},
        "verdicts": {name: {fact: "".join(row) for fact, row in facts.items()} for name, facts in found.items()},
    }
