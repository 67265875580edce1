"""``calibrate noise``: what lowers the spread between forks, found by trying.

Each setting differs from the default in one thing. One trial is one fork (a fresh pair of
processes) under one setting. A round has every setting once for each strategy, in random order,
so that a drift of the machine favours none of them; a setting is held against the default of its own
rounds. What is compared is how far the forks' differences, traced p50 minus untraced p50, lie from their
median; under ``none`` both arms are equal.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from harness.calibration.meanwhile import shares
from harness.calibration.noise_found import spreads, strategies_of
from harness.calibration.noise_trials import DEFAULT, Trial, resume
from harness.errors import CellError
from harness.experiment import record_cell
from harness.experiment.progress import Silent
from harness.overhead import analyse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.calibration.noise_trials import NoiseRun
    from harness.config import HarnessConfig
    from harness.experiment.progress import Progress
    from harness.records import CellRecords
    from harness.tracking import Store


class NoiseExperiment:
    """Runs rounds of trials; every trial is kept in a file as soon as it is there, and another run goes on from it.

    Args:
        run: What the trials share.
        configs: By strategy and setting, the cell of one fork.
        store: Only named to the workers; nothing is written to it.
        path: The file of trials.

    Raises:
        ConfigError: If the file holds trials of something else.
        CellError: If it is damaged.
    """

    def __init__(self, run: NoiseRun, configs: dict[tuple[str, str], HarnessConfig], store: Store, path: Path) -> None:
        self.run_record = run
        self.configs = configs
        self.store = store
        self.path = path
        self.trials = resume(run, path)

    def run(self, forks: int, minutes: float, progress: Progress) -> None:
        """Run whole rounds until there are so many in all, or the time has gone.

        Raises:
            HarnessError: If a fork could not be measured.
        """
        end_s = time.monotonic() + 60 * minutes
        for number, plan in self._rounds(forks):
            progress.cell(f"round {number + 1}")
            progress.stage("forks", len(plan))
            for strategy, setting in plan:
                if time.monotonic() >= end_s:
                    progress.cell_done("the time has gone")
                    return
                self._add(self._trial(strategy, setting, number))
                progress.step(f"{strategy}, {setting}")
            progress.cell_done(self._told())

    def _rounds(self, forks: int) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """The rounds that are still to run, each in random order.

        One that was broken off is not finished later, nor is a setting added to one that is there: its trials would
        not have been run one after the other.
        """
        done: dict[int, set[tuple[str, str]]] = {}
        for one in self.trials:
            done.setdefault(one.round, set()).add((one.strategy, one.setting))
        whole = sum(keys >= self.configs.keys() for keys in done.values())
        first = max(done, default=-1) + 1
        for number in range(first, first + forks - whole):
            draw = random.Random(f"{self.run_record.seed}/order/{number}")  # noqa: S311  # reproducible, not secret
            yield number, draw.sample(list(self.configs), len(self.configs))

    def _trial(self, strategy: str, setting: str, number: int) -> Trial:
        config = self.configs[strategy, setting]
        # The same seed for a round's settings: they ask for the same samples in the same order.
        config.seed = random.Random(f"{self.run_record.seed}/{strategy}/{number}").randrange(2**31)  # noqa: S311
        records = record_cell(config, self.store, Silent(), completeness=False)
        return _trial_of(records, analyse_of(records, config), (strategy, setting, number, config.seed))

    def _add(self, trial: Trial) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(trial.model_dump_json() + "\n")
        self.trials.append(trial)

    def _told(self) -> str:
        told = [
            f"{strategy} {spread.sd_ms[0] * 1e3:.0f} us over {spread.forks} forks"
            for strategy in strategies_of(self.trials)
            for spread in spreads(self.trials, strategy)
            if spread.setting == DEFAULT
        ]
        return f"spread of the default: {', '.join(told)}" if told else "done"


def analyse_of(records: CellRecords, config: HarnessConfig) -> tuple[float, float]:
    """The one fork's difference of p50, and its untraced p50, in ms.

    Raises:
        CellError: If it has none.
    """
    p50 = analyse(records, config.measure).estimates["p50_ms"]
    if not p50.per_fork or p50.baseline is None:
        raise CellError(f"a fork of {records.cell.label} gave no p50: {p50.reason}")
    return p50.per_fork[0], p50.baseline


def _trial_of(records: CellRecords, p50_ms: tuple[float, float], key: tuple[str, str, int, int]) -> Trial:
    cell = records.cell
    taken = shares(records)
    if taken is None:
        raise CellError(f"a fork of {cell.label} was measured without a look at what else the machine did")
    strategy, setting, number, seed = key
    return Trial(
        strategy=strategy,
        setting=setting,
        round=number,
        seed=seed,
        difference_ms=p50_ms[0],
        baseline_ms=p50_ms[1],
        fork_s=sum(cell.stages_s.values()) - cell.stages_s.get("waiting", 0.0),
        measuring_s=cell.stages_s.get("measuring", 0.0),
        period_ms=cell.period_ms or 0.0,
        foreign_share=taken[0],
        stolen_share=taken[1],
        begun_unix_ns=cell.started_unix_ns,
    )
