"""``calibrate noise``: what lowers the spread between forks, found by trying.

Each setting differs from the default in one thing. One trial is one fork (a fresh pair of
processes) under one setting. A round has every setting once for each strategy, in random order,
so that a drift of the machine favours none of them. What is compared is the standard deviation of
the forks' differences, traced p50 minus untraced p50; under ``none`` both arms are equal.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import chdtri, fdtri, ndtri

from harness.errors import CellError, ConfigError
from harness.experiment import record_cell
from harness.experiment.progress import Silent
from harness.overhead import analyse
from harness.records import Machine, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.config import HarnessConfig
    from harness.experiment.progress import Progress
    from harness.records import CellRecords
    from harness.tracking import Store

DEFAULT = "default"
MIN_TRIALS = 3
"""Under so many forks of a setting nothing is said of their spread."""


class Setting(NamedTuple):
    """One way of measuring.

    Attributes:
        overrides: What differs from ``measure=quick`` with one fork.
        stores: Whether it can be for a strategy that stores; a store is never sent more than it drains.
    """

    name: str
    overrides: tuple[str, ...]
    stores: bool = True


SETTINGS = (
    Setting(DEFAULT, ()),
    Setting("not-pinned", ("measure.pin=false",)),
    Setting("cores-may-sleep", ("measure.idle=sleep",)),
    Setting("gc-off", ("measure.gc=off",)),
    Setting("gc-freeze", ("measure.gc=freeze",)),
    Setting("hash-seed-fixed", ("measure.hash_seed=0",)),
    Setting("warm-up-5", ("measure.warmup_calls=5",)),
    Setting("warm-up-100", ("measure.warmup_calls=100",)),
    Setting("pace-0-ms", ("measure.period_ms=0",), stores=False),
    Setting("pace-20-ms", ("measure.period_ms=20",), stores=False),
    Setting("pace-80-ms", ("measure.period_ms=80",)),
    # As many calls are analysed as in the default: the first of each block is not.
    Setting("blocks-of-5", ("measure.calls_per_block=5", "measure.blocks=8")),
    Setting("blocks-of-17", ("measure.calls_per_block=17", "measure.blocks=2")),
)
STRATEGIES = ("none", "autolog")


class NoiseRun(Record):
    """What has to be equal for trials to be held against each other; the first line of their file."""

    seed: int
    provider: str
    versions: dict[str, str]
    machine: Machine
    settings: dict[str, tuple[str, ...]]


class Trial(Record):
    """One fork under one setting.

    Attributes:
        seed: The seed of its samples' and blocks' order.
        difference_ms: Traced p50 minus untraced p50.
        baseline_ms: Untraced p50.
        fork_s: Wall-clock time of all of it, the start of its processes included.
        measuring_s: Of that, the time in measured blocks.
        period_ms: The calls' pace, start to start, as it was in the end.
        foreign_share: CPU time that others took while it was measured, of all that the machine has.
        stolen_share: The same of what the hypervisor gave to others.
    """

    strategy: str
    setting: str
    round: int
    seed: int
    difference_ms: float
    baseline_ms: float
    fork_s: float
    measuring_s: float
    period_ms: float
    foreign_share: float
    stolen_share: float


class Spread(NamedTuple):
    """The spread of the forks under one setting.

    Attributes:
        forks: How many there were.
        sd_ms: Standard deviation of their differences, with its 95% interval.
        fork_s: Mean wall-clock time of one of them.
        minute_ms: Half-width of the 95% interval of added p50 that a minute of such forks buys, with its interval.
        ratio: Spread over that of the default, with its interval (see ``spreads``); ``None`` for the default.
        foreign_share: Mean share of the machine's CPU time that others took.
    """

    setting: str
    forks: int
    sd_ms: tuple[float, float, float]
    fork_s: float
    measuring_s: float
    period_ms: float
    minute_ms: tuple[float, float, float]
    ratio: tuple[float, float, float] | None
    foreign_share: float

    @property
    def told_apart(self) -> str:
        """What the interval of the ratio says: ``lower``, ``higher``, or nothing."""
        if self.ratio is None:
            return ""
        return "lower" if self.ratio[2] < 1 else "higher" if self.ratio[1] > 1 else ""


def sd_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Standard deviation and its two-sided interval from the chi-square distribution.

    NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.8. It takes the values for normal:
    with long tails the interval is too narrow.
    """
    degrees = len(values) - 1
    centre = math.fsum(values) / len(values)
    squares = math.fsum((value - centre) ** 2 for value in values)
    tail = (1 - level) / 2
    # chdtri is the inverse of the upper tail.
    low, high = (math.sqrt(squares / float(chdtri(degrees, p))) for p in (tail, 1 - tail))
    return math.sqrt(squares / degrees), low, high


def ratio_interval(ours: Sequence[float], theirs: Sequence[float], level: float) -> tuple[float, float, float]:
    """Ratio of two standard deviations and its two-sided interval from the F distribution.

    NIST/SEMATECH e-Handbook, section 1.3.5.9; it, too, takes the values for normal.
    """
    ratio = sd_interval(ours)[0] / sd_interval(theirs)[0]
    degrees = (len(ours) - 1, len(theirs) - 1)
    tail = (1 - level) / 2
    low, high = (ratio / math.sqrt(float(fdtri(*degrees, p))) for p in (1 - tail, tail))
    return ratio, low, high


def spreads(trials: Sequence[Trial], strategy: str) -> list[Spread]:
    """The spread under each setting of one strategy, in the order of ``SETTINGS``.

    The intervals of the ratios hold for all comparisons of the strategy together (Bonferroni), at 95%.
    """
    by_setting = {
        setting.name: of
        for setting in SETTINGS
        if len(of := [one for one in trials if (one.strategy, one.setting) == (strategy, setting.name)]) >= MIN_TRIALS
    }
    # Equal differences in all forks would be a broken clock, and a spread of zero divides nothing.
    by_setting = {name: of for name, of in by_setting.items() if len({one.difference_ms for one in of}) > 1}
    comparisons = max(1, len(by_setting) - 1)
    default = [one.difference_ms for one in by_setting.get(DEFAULT, [])]
    found = []
    for name, of in by_setting.items():
        differences = [one.difference_ms for one in of]
        fork_s = _mean([one.fork_s for one in of])
        sd, low, high = sd_interval(differences)
        # Of n forks it is z s / sqrt(n), and a minute has 60 / fork_s of them.
        minute = float(ndtri(0.975)) * math.sqrt(fork_s / 60)
        found.append(
            Spread(
                setting=name,
                forks=len(of),
                sd_ms=(sd, low, high),
                fork_s=fork_s,
                measuring_s=_mean([one.measuring_s for one in of]),
                period_ms=_mean([one.period_ms for one in of]),
                minute_ms=(minute * sd, minute * low, minute * high),
                ratio=ratio_interval(differences, default, 1 - 0.05 / comparisons)
                if default and name != DEFAULT
                else None,
                foreign_share=_mean([one.foreign_share for one in of]),
            )
        )
    return found


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
        self.trials = _resume(run, path)

    def run(self, forks: int, minutes: float, progress: Progress) -> None:
        """Run trials until each setting has so many forks in all, or the time has gone.

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
        """What each round has still to run, in random order."""
        done = Counter((one.round, one.strategy, one.setting) for one in self.trials)
        for number in range(forks):
            draw = random.Random(f"{self.run_record.seed}/order/{number}")  # noqa: S311  # reproducible, not secret
            keys = draw.sample(list(self.configs), len(self.configs))
            if plan := [key for key in keys if not done[number, *key]]:
                yield number, plan

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
            for strategy in dict.fromkeys(one.strategy for one in self.trials)
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
    wall_ns = sum(sample.wall_ns for sample in records.machine) * cell.machine.cpu_count
    foreign_ns = sum(max(0, sample.busy_cpu_ns - sample.own_cpu_ns) for sample in records.machine)
    stolen_ns = sum(sample.stolen_cpu_ns for sample in records.machine)
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
        foreign_share=foreign_ns / wall_ns,
        stolen_share=stolen_ns / wall_ns,
    )


def _resume(run: NoiseRun, path: Path) -> list[Trial]:
    """The trials of the file; one without them is begun."""
    if not path.exists():
        path.write_text(run.model_dump_json() + "\n", encoding="utf-8")
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        before = NoiseRun.model_validate_json(lines[0])
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{path} does not begin with what its trials share; choose another --output") from error
    if differing := _differing(before, run):
        raise ConfigError(f"{path} holds trials with another {differing}; choose another --output")
    # A line that a kill broke off is no trial.
    if lines[1:] and not _is_json(lines[-1]):
        path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    return list(_trials(path))


def _trials(path: Path) -> Iterator[Trial]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        try:
            yield Trial.model_validate_json(line)
        except ValueError as error:
            raise CellError(f"{path}, line {number}: not a trial") from error


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _differing(before: NoiseRun, now: NoiseRun) -> str:
    """The first thing that two runs differ in; empty if they can be one."""
    for name in ("seed", "provider", "settings", "versions"):
        if getattr(before, name) != getattr(now, name):
            return name
    ours, theirs = (one.machine.model_dump(exclude={"load_1min"}) for one in (before, now))
    return next((f"machine ({name})" for name in ours if ours[name] != theirs[name]), "")


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
