"""From the trials of ``calibrate noise`` to what they say of each setting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import ndtri

from harness.calibration.deviations import (
    MIN_COMPARED,
    Pair,
    Ratio,
    bonferroni,
    deviation,
    geometric_mean,
    ratio_of,
    scatter_of,
)
from harness.calibration.noise_trials import DEFAULT, SETTINGS
from harness.calibration.spreads import LEVEL, Interval, kurtosis_of, robust_sd, sd_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.calibration.noise_trials import Trial

MIN_TRIALS = 3
"""Under so many forks of a setting nothing is said of their spread."""
_S_PER_MINUTE = 60


class Spread(NamedTuple):
    """The spread of the forks under one setting.

    Attributes:
        forks: How many there were.
        sd_ms: Standard deviation of their differences, with its 95% interval.
        robust_ms: The same from the middle half of them alone.
        deviation_ms: Trimmed mean absolute deviation of their differences from the median.
        fork_s: Mean wall-clock time of one of them.
        period_ms: The calls' pace, mean over forks.
        minute_ms: Half-width of the 95% interval of added p50 that a minute of such forks buys, with its interval.
        ratio: Deviation over that of the default, in the rounds that have both; ``None`` for the default, and where
            too few rounds have both.
        foreign_share: Mean share of the machine's CPU time that others took.
        stolen_share: The same of what the hypervisor gave to others.
    """

    setting: str
    forks: int
    sd_ms: Interval
    robust_ms: float
    deviation_ms: float
    fork_s: float
    period_ms: float
    minute_ms: Interval
    ratio: Ratio | None
    foreign_share: float
    stolen_share: float


def spreads(trials: Sequence[Trial], strategy: str) -> list[Spread]:
    """The spread under each setting of one strategy, in the order of ``SETTINGS``.

    The intervals of the ratios hold for all comparisons of the strategy together (Bonferroni), at 95%.
    """
    differences = _differences(trials, strategy)
    kurtosis = kurtosis_of([list(by_round.values()) for by_round in differences.values()])
    pairs = _pairs(differences)
    level = bonferroni(len(pairs))
    found = []
    for name, by_round in differences.items():
        values = list(by_round.values())
        of = [one for one in trials if (one.strategy, one.setting) == (strategy, name)]
        fork_s = _mean([one.fork_s for one in of])
        sd, low, high = sd_interval(values, kurtosis)
        # Of n forks it is z s / sqrt(n), and a minute has 60 / fork_s of them.
        minute = float(ndtri((1 + LEVEL) / 2)) * math.sqrt(fork_s / _S_PER_MINUTE)
        found.append(
            Spread(
                setting=name,
                forks=len(of),
                sd_ms=(sd, low, high),
                robust_ms=robust_sd(values),
                deviation_ms=deviation(values),
                fork_s=fork_s,
                period_ms=_mean([one.period_ms for one in of]),
                minute_ms=(minute * sd, minute * low, minute * high),
                ratio=ratio_of(pairs[name], level) if name in pairs else None,
                foreign_share=_mean([one.foreign_share for one in of]),
                stolen_share=_mean([one.stolen_share for one in of]),
            )
        )
    return found


def together(trials: Sequence[Trial]) -> dict[str, Ratio]:
    """By setting, the geometric mean over all strategies of its ratios to the default.

    Settings that not every strategy has enough forks of are left out; so are all, if there is one strategy only.
    """
    by_strategy = [_pairs(_differences(trials, strategy)) for strategy in strategies_of(trials)]
    if len(by_strategy) < 2:
        return {}
    common = [name for name in by_strategy[0] if all(name in one for one in by_strategy)]
    level = bonferroni(len(common))
    found = {name: geometric_mean([one[name] for one in by_strategy], level) for name in common}
    return {name: ratio for name, ratio in found.items() if ratio is not None}


def strategies_of(trials: Sequence[Trial]) -> list[str]:
    """The strategies that were tried: ``none`` first, then by name."""
    return sorted({one.strategy for one in trials}, key=lambda name: (name != "none", name))


def _differences(trials: Sequence[Trial], strategy: str) -> dict[str, dict[int, float]]:
    """By setting, in the order of ``SETTINGS``, each round's difference; settings with too few are left out."""
    groups = {
        setting.name: {
            one.round: one.difference_ms for one in trials if (one.strategy, one.setting) == (strategy, setting.name)
        }
        for setting in SETTINGS
    }
    return {name: by_round for name, by_round in groups.items() if _enough(list(by_round.values()))}


def _pairs(differences: dict[str, dict[int, float]]) -> dict[str, Pair]:
    """By setting, its values and the default's, of the rounds that have both: others may be of a noisier day."""
    default = differences.get(DEFAULT, {})
    scatter = scatter_of([list(by_round.values()) for by_round in differences.values()])
    pairs = {}
    for name, by_round in differences.items():
        both = [number for number in by_round if number in default]
        pair = Pair([by_round[number] for number in both], [default[number] for number in both], scatter)
        if name != DEFAULT and len(both) >= MIN_COMPARED and deviation(pair.ours) and deviation(pair.theirs):
            pairs[name] = pair
    return pairs


def _enough(values: Sequence[float]) -> bool:
    """Whether there is a spread: values that are all equal would be a broken clock, and zero divides nothing."""
    return len(values) >= MIN_TRIALS and len(set(values)) > 1


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
