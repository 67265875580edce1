"""``calibrate completeness``: good traces for each seed, defects planted in them, and what the judge found."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.calibration.planting.plants import KINDS
from harness.calibration.planting.reasons import NOT_PLANTED, NOT_REACHED
from harness.calibration.trials import Trial, judge_whole, trials
from harness.completeness import FACTS, FACTS_VERSION
from harness.experiment import record_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harness.config import HarnessConfig
    from harness.experiment.progress import Progress
    from harness.records import CellRecords
    from harness.tracking import Store

REFERENCE = "harness.calibration.reference:ReferenceTracing"
CALLS_PER_PLANT = 2
CALLS_PER_REWRITE = 25
"""Calls of one cell that are edited in one way, drawn by chance."""
EXAMPLES = 3
"""Troubles of one plant that are shown."""


class Score:
    """How one plant, or one rewrite, fared."""

    def __init__(self) -> None:
        self.tried = 0
        self.right = 0
        self.troubles: list[str] = []

    def add(self, trial: Trial, where: str) -> None:
        """Count a trial."""
        self.tried += 1
        self.right += not trial.trouble
        if trial.trouble and len(self.troubles) < EXAMPLES:
            self.troubles.append(f"{where}, {trial.sample_id}: {trial.trouble}")


@dataclass
class Calibration:
    """All trials so far.

    Attributes:
        seeds: Those that were run.
        calls: Calls whose traces were edited.
        scores: By fact, kind and way; harmless rewrites have no fact and the kind ``harmless``.
        recorded: Facts that the good traces show as recorded, in either convention.
        spoilt: Convention and fact to how many calls did not have it recorded before anything was planted.
        applicable: Convention and fact to how many calls it applied to.
        versions: Package name to version.
    """

    seeds: list[int] = field(default_factory=list)
    providers: list[str] = field(default_factory=list)
    calls: int = 0
    scores: dict[tuple[str, str, str], Score] = field(default_factory=dict)
    recorded: set[str] = field(default_factory=set)
    spoilt: Counter[tuple[str, str]] = field(default_factory=Counter)
    applicable: Counter[tuple[str, str]] = field(default_factory=Counter)
    versions: dict[str, str] = field(default_factory=dict)
    facts_version: int = FACTS_VERSION

    def add_cell(self, records: CellRecords, seed: int, step: Callable[[str], None]) -> None:
        """Run all trials on one cell's good traces.

        Args:
            records: The cell.
            seed: The seed that it was made with.
            step: Called after each trial.
        """
        self.versions = dict(records.cell.versions)
        self.calls += len(records.calls_of("strategy"))
        for convention, fact, verdict in judge_whole(records):
            self.applicable[convention, fact] += 1
            if verdict == "recorded":
                self.recorded.add(fact)
            else:
                self.spoilt[convention, fact] += 1
        where = f"{records.cell.provider}, seed {seed}"
        for trial in trials(records, seed, CALLS_PER_PLANT, CALLS_PER_REWRITE):
            self.scores.setdefault((trial.fact, trial.kind, trial.way), Score()).add(trial, where)
            step("")

    def total(self, fact: str | None = None, kind: str | None = None) -> tuple[int, int]:
        """Trials that the judge took as it should, and all, of one fact, one kind, or both."""
        chosen = [
            score
            for (of, how, _), score in self.scores.items()
            if (fact is None or of == fact) and (how == kind if kind else how != "harmless")
        ]
        return sum(score.right for score in chosen), sum(score.tried for score in chosen)

    def planted_facts(self) -> list[str]:
        """The facts in which anything was planted, in the order of the judge's table."""
        facts = {fact for fact, kind, _ in self.scores if kind != "harmless"}
        order = {fact.name: rank for rank, fact in enumerate(FACTS)}
        return sorted(facts, key=lambda fact: (order.get(fact, len(order)), fact))

    def uncovered(self) -> list[tuple[str, str]]:
        """Facts that the good traces hold and kinds of defects that were not planted in them, without a reason."""
        tried = {(fact, kind) for fact, kind, _ in self.scores}
        return [
            (fact, kind)
            for fact in sorted(self.recorded)
            for kind in KINDS
            if (fact, kind) not in tried and (fact, kind) not in NOT_PLANTED
        ]

    def unreached(self) -> list[tuple[str, str]]:
        """Facts of the judge's table that no good trace shows as recorded, with the reason, if there is one."""
        names = sorted({fact.name for fact in FACTS} - self.recorded)
        return [(name, NOT_REACHED.get(name, "")) for name in names]

    def sentences(self) -> list[str]:
        """What is not as it should be, one sentence each."""
        found = []
        for (fact, kind, way), score in sorted(self.scores.items()):
            wrong = score.tried - score.right
            if wrong:
                what = f"harmless rewrite blamed: {way}" if kind == "harmless" else f"missed: {fact} {kind}, {way}"
                found.append(f"{what}: {wrong} of {score.tried}; {score.troubles[0]}")
        found += [f"not planted: {fact} {kind}, and no reason is given" for fact, kind in self.uncovered()]
        return found


def calibrate(configs: Iterable[HarnessConfig], store: Store, progress: Progress) -> Calibration:
    """Make good traces with each configuration, and plant every defect in them.

    Raises:
        HarnessError: If good traces could not be made.
    """
    found = Calibration()
    for config in configs:
        progress.cell(f"{config.provider.name}, seed {config.seed}")
        records = record_cell(config, store, progress)
        progress.stage("planting")
        found.add_cell(records, config.seed, progress.step)
        found.seeds += [config.seed] if config.seed not in found.seeds else []
        found.providers += [config.provider.name] if config.provider.name not in found.providers else []
        right, tried = found.total()
        progress.cell_done(f"{right} of {tried} planted defects found so far")
    return found


def seeds_from(first: int, count: int) -> Sequence[int]:
    """Seeds for a number of runs, drawn from a first one, which is among them."""
    draw = random.Random(first)  # noqa: S311  # reproducible, not secret
    return [first, *(draw.randrange(2**31) for _ in range(count - 1))]
