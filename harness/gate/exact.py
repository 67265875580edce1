"""What is compared exactly: facts one by one, counts of what should not be, traces lost.

The same prompts give the same facts, so nothing here is left to chance, but where traces are lost
by the way in which a process ends.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.gate.results import SHARE, Comparison
from harness.report.format import count, listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.gate.results import Margins, Outcome
    from harness.gate.runs import Completeness, GatedCell, Lost, Verdicts

COUNTS = {
    "traces_lost": "lost traces",
    "traces_duplicated": "duplicated traces",
    "traces_orphaned": "orphaned traces",
    "transparency_differences": "differences that the application saw",
}
_CONVENTION = {"recall": "mlflow", "otel_recall": "otel", "fidelity": "mlflow"}
_SCORE_NAMES = {"recall": "recall", "otel_recall": "otel recall", "fidelity": "fidelity"}
_FACTS_NAMED = 12
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
        names = listed([flow.partition("/")[2] for flow in gone[:_FACTS_NAMED]])
        sentence = f"{label}: {count(len(gone), 'sample')} of the baseline {was} not judged now: {names}."
        yield Comparison(cell=label, quantity="samples", outcome="worse", sentence=sentence)
    for score, name in _SCORE_NAMES.items():
        if old.scores[score] is None and new.scores[score] is None:
            continue
        if sampled:
            sentence = f"{label}: {name} is inconclusive: {_SAMPLED}."
            yield Comparison(cell=label, quantity=name, outcome="inconclusive", sentence=sentence)
        else:
            yield _score(label, score, old, new, margins)
    for key, name in COUNTS.items():
        yield from _count(label, name, old.counts[key], new.counts[key])


def timed_comparisons(before: GatedCell, after: GatedCell) -> Iterator[Comparison]:
    """Traces that were lost while calls were timed."""
    if before.timed is not None and after.timed is not None and (before.timed.expected or after.timed.expected):
        yield _lost(before.label, "traces lost while timed", before.timed, after.timed)


def ending_comparisons(before: GatedCell, after: GatedCell) -> Iterator[Comparison]:
    """Traces that were lost by the way in which processes ended."""
    for ending in (name for name in before.endings if name in after.endings):
        old, new = before.endings[ending], after.endings[ending]
        if old.expected or new.expected:
            yield _lost(before.label, f"traces lost by {ending}", old, new)


def _score(label: str, score: str, old: Completeness, new: Completeness, margins: Margins) -> Comparison:
    """One score, by the facts that it is made of."""
    name, convention = _SCORE_NAMES[score], _CONVENTION[score]
    before, after = old.verdicts.get(convention, {}), new.verdicts.get(convention, {})
    count_of = _turned_wrong if score == "fidelity" else _recorded_no_more
    lost = {fact: gone for fact in before if fact in after if (gone := count_of(before[fact], after[fact]))}
    won = sum(count_of(after[fact], before[fact]) for fact in before if fact in after)
    total = sum(sum(counts.values()) for fact in before.values() for counts in fact.by_flow.values())
    share = sum(lost.values()) / total if total else 0.0
    outcome: Outcome = "worse" if share > margins.recall else "better" if won and not lost else "not worse"
    went = f"{label}: {name} went from {percent(old.scores[score])} to {percent(new.scores[score])}"
    verb = "wrong that were not" if score == "fidelity" else "recorded no more"
    if lost:
        facts = _named(lost, before, after)
        tolerated = "" if outcome == "worse" else f", within the margin of {percent(margins.recall)}"
        sentence = f"{went}: {_are(sum(lost.values()))} {verb}{tolerated}: {facts}."
    elif won:
        sentence = f"{went}: {_are(won)} {'wrong' if score == 'fidelity' else 'missed'} no more."
    else:
        sentence = f"{went}: no fact got worse."
    return Comparison(
        cell=label,
        quantity=name,
        outcome=outcome,
        sentence=sentence,
        baseline=old.scores[score],
        current=new.scores[score],
        unit=SHARE,
    )


def _recorded_no_more(before: Verdicts, after: Verdicts) -> int:
    """Facts that were recorded, still apply, and now have another verdict."""
    gone = 0
    for flow, counts in before.by_flow.items():
        now = after.by_flow.get(flow, {})
        gone += max(0, min(counts.get("recorded", 0), sum(now.values())) - now.get("recorded", 0))
    return gone


def _turned_wrong(before: Verdicts, after: Verdicts) -> int:
    """Facts that are wrong and were not."""
    return sum(
        max(0, counts.get("wrong", 0) - before.by_flow.get(flow, {}).get("wrong", 0))
        for flow, counts in after.by_flow.items()
    )


def _named(lost: dict[str, int], before: dict[str, Verdicts], after: dict[str, Verdicts]) -> str:
    """The facts with how often and what they are now: ``usage.input_tokens (12 times, now missing)``."""
    named = []
    for fact, gone in sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:_FACTS_NAMED]:
        grew: Counter[str] = Counter()
        for counts in after[fact].by_flow.values():
            grew.update(counts)
        for counts in before[fact].by_flow.values():
            grew.subtract(counts)
        now = [verdict for verdict in ("wrong", "elsewhere", "missing") if grew[verdict] > 0]
        told = f", now {listed(now, 'or')}" if now else ""
        named.append(f"{fact} ({count(gone, 'time')}{told})")
    more = len(lost) - len(named)
    return ", ".join(named) + (f", and {count(more, 'more fact')}" if more else "")


def _are(number: int) -> str:
    return "1 fact is" if number == 1 else f"{number} facts are"


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


def _lost(label: str, name: str, old: Lost, new: Lost) -> Comparison:
    """Shares of lost traces: where none was lost before, each one now is a finding; else one run says little."""
    share_old, share_new = _share(old), _share(new)
    outcome: Outcome = "not worse"
    if new.lost and not old.lost:
        outcome = "worse"
    elif old.lost and not new.lost:
        outcome = "better"
    elif share_new > share_old:
        outcome = "inconclusive"
    tail = ": inconclusive, how many are lost is another number each time" if outcome == "inconclusive" else ""
    sentence = f"{label}: {name} went from {old.lost} of {old.expected} to {new.lost} of {new.expected}{tail}."
    return Comparison(
        cell=label,
        quantity=name,
        outcome=outcome,
        sentence=sentence,
        baseline=share_old,
        current=share_new,
        unit=SHARE,
    )


def _share(one: Lost) -> float:
    return one.lost / one.expected if one.expected else 0.0
