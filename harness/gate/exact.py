"""What is compared exactly: facts one by one, samples, and counts of what should not be.

The same prompts give the same facts, so nothing here is left to chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.gate.facts import SCORE_NAMES, score_comparison
from harness.gate.results import Comparison
from harness.report.format import count, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.gate.results import Margins, Outcome
    from harness.gate.runs import GatedCell

COUNTS = {
    "traces_lost": "lost traces",
    "traces_duplicated": "duplicated traces",
    "traces_orphaned": "orphaned traces",
    "transparency_differences": "differences that the application saw",
}
_SAMPLES_NAMED = 12
_SAMPLED = "chance decides which calls are traced"


def completeness_comparisons(before: GatedCell, after: GatedCell, margins: Margins) -> Iterator[Comparison]:
    """Scores, counts, and whether the same samples were run."""
    old, new, label = before.completeness, after.completeness, before.label
    if old is None or new is None:
        if old is not None or new is not None:
            which = "baseline" if old is None else "current run"
            sentence = f"{label}: completeness is inconclusive: the {which} has none."
            yield Comparison(cell=label, quantity="completeness", outcome="inconclusive", sentence=sentence)
        return
    sampled = old.sampled or new.sampled
    if not sampled and (gone := sorted(old.flows - new.flows)):
        was = "was" if len(gone) == 1 else "were"
        names = listed([flow.partition("/")[2] for flow in gone[:_SAMPLES_NAMED]])
        sentence = f"{label}: {count(len(gone), 'sample')} of the baseline {was} not judged now: {names}."
        yield Comparison(cell=label, quantity="samples", outcome="worse", sentence=sentence)
    for score, name in SCORE_NAMES.items():
        if old.scores[score] is None and new.scores[score] is None:
            continue
        if sampled:
            sentence = f"{label}: {name} is inconclusive: {_SAMPLED}."
            yield Comparison(cell=label, quantity=name, outcome="inconclusive", sentence=sentence)
        else:
            yield score_comparison(label, score, old, new, margins)
    for key, name in COUNTS.items():
        yield from _count(label, name, old.counts[key], new.counts[key])


def _count(label: str, name: str, old: int | None, new: int | None) -> Iterator[Comparison]:
    # What is usually not there is told of where it is.
    if not old and not new and name != COUNTS["traces_lost"]:
        return
    if old is None or new is None:
        which = "baseline" if old is None else "current run"
        sentence = f"{label}: {name} are inconclusive: the {which} did not count them."
        yield Comparison(cell=label, quantity=name, outcome="inconclusive", sentence=sentence)
        return
    outcome: Outcome = "worse" if new > old else "better" if new < old else "not worse"
    went = f"went from {old} to {new}" if new != old else f"stayed at {old}"
    sentence = f"{label}: {name} {went}."
    yield Comparison(cell=label, quantity=name, outcome=outcome, sentence=sentence, baseline=old, current=new)
