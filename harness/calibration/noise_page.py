"""What was found about the noise between forks: for a terminal, and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from harness import __version__
from harness.calibration.deviations import MIN_TOGETHER, POWER, TRIMMED_PERCENT
from harness.calibration.noise_found import spreads, strategies_of, together
from harness.calibration.noise_said import MOST_TIMES, presets_sentence, ratio_text, sentence, told
from harness.calibration.noise_trials import SETTINGS
from harness.calibration.page import markdown_table
from harness.calibration.wording import machine_text, when_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.calibration.deviations import Ratio
    from harness.calibration.noise_found import Spread
    from harness.calibration.noise_said import Presets
    from harness.calibration.noise_trials import NoiseRun, Trial
    from harness.calibration.spreads import Interval

_HEADINGS = ("setting", "forks", "standard deviation [95%], us", "of the middle half, us",
             "mean absolute deviation, us", "of the default's", "told apart", "could be seen", "a fork, s", "pace, ms",
             "half-width a minute buys [95%], us", "others' CPU", "stolen")  # fmt: skip
_ON_THE_PAGE_ONLY = ("of the middle half, us", "mean absolute deviation, us", "pace, ms", "others' CPU", "stolen")
"""What a terminal has no room for."""
_TOGETHER = ("setting", "of the default's", "told apart", "could be seen")
SHOWN_VERSIONS = ("mlflow", "openai", "python")
_NS_PER_S = 1e9

_METHOD = (
    "One fork is a fresh pair of processes, one traced and one not (under `none` neither is), timed in interleaved "
    "blocks; its difference is traced p50 minus untraced p50. Each setting differs from the default in what its row "
    "says. A round has every setting once for each strategy in random order, so that a drift of the machine favours "
    "none, and a setting is held against the default of its own rounds. All settings of a round ask for the same "
    "samples in the same order."
)
_COLUMNS = (
    "How far the forks' differences lie apart is told in three ways. The standard deviation counts every fork, and "
    "most of all one that lies far out; the width of the intervals that sweeps report follows it. What the middle half "
    "of the forks alone would give as a standard deviation says how an ordinary fork fares: where it is much smaller, "
    "a few forks make the standard deviation. The mean absolute deviation from the median is how far a fork lies from "
    f"the median fork on average, without the farthest {TRIMMED_PERCENT}% (rounded down): this is what is compared, "
    "because one fork far out does not decide it. So `higher` and `lower` are about the bulk of the forks; how often "
    "one lies far out is not compared. These columns count all forks of a setting, the ratio those of "
    "rounds that have the default as well: the columns of settings with other rounds may differ by a noisier day."
)
_READING = (
    "The ratio of the mean absolute deviations (trimmed: Keselman and others 2008; Yuen 1974; the interval of its "
    "logarithm after Bonett and Seier 2003; formulas and simulations in `harness/calibration/deviations.py`) has an "
    "interval at a level that holds for all comparisons of a table together (Bonferroni, 95%): `lower` or `higher` "
    "stands only where that interval leaves 1 out. Not told apart is inconclusive and does not mean that a setting "
    f"does nothing: beside it stands which true ratios could be seen, in {POWER:.0%} of such experiments. The "
    "half-width that a minute buys is 1.96 times the standard deviation over the root of the forks that a minute has "
    "room for, the start of their processes included: what counts where time is short. It and the standard deviation "
    "have intervals of the chi-square distribution, at 95% each, with degrees of freedom lowered for the long tails "
    "that forks have (Shoemaker 2003; see `harness/calibration/spreads.py`)."
)
_CAUTION = (
    "What lowers the spread is not for that alone better: without the garbage collector, or with one hash seed for "
    "all, every fork leaves out something that an application's processes have, and a narrow interval then holds for "
    "less than it seems to."
)
_BOTH = (
    "The geometric mean of the ratios under {strategies}: what a setting does on average over them. It rests on more "
    "forks than either ratio, so it sees smaller effects; but a setting may do something under one strategy only, and "
    "this does not say under which. At least {least} forks of a setting are needed under each."
)


def console_table(trials: Sequence[Trial], strategy: str) -> Table:
    """The spreads of one strategy."""
    table = Table(title=f"tracing={strategy}: spread between forks", title_justify="left")
    shown = [number for number, heading in enumerate(_HEADINGS) if heading not in _ON_THE_PAGE_ONLY]
    for number in shown:
        table.add_column(_HEADINGS[number], justify="right" if number else "left")
    for row in _rows(spreads(trials, strategy)):
        table.add_row(*(row[number] for number in shown))
    return table


def headline(trials: Sequence[Trial], strategy: str, presets: Presets) -> str:
    """What one strategy's forks say, and what the presets make of it."""
    return f"{sentence(trials, strategy)} {presets_sentence(trials, strategy, presets)}".rstrip()


def markdown(run: NoiseRun, trials: Sequence[Trial], command: str, presets: Presets) -> str:
    """The whole page, made by a command."""
    strategies = strategies_of(trials)
    versions = ", ".join(f"{name} {run.versions[name]}" for name in SHOWN_VERSIONS if name in run.versions)
    asleep = " (but under `cores-may-sleep`)" if run.machine.idle_polling else ""
    made = (
        f"Made by `{command}`; no number is typed by hand. Harness {__version__}, {versions}; provider {run.provider}; "
        f"seed {run.seed}. {_spent(trials)} Machine: {machine_text(run.machine)}{asleep}. The trials themselves stand "
        "in `noise.jsonl` beside this page."
    )
    lines = ["# What lowers the noise between forks", "", made, ""]
    for strategy in strategies:
        lines += [f"**{headline(trials, strategy, presets)}**", ""]
    both = together(trials)
    if both:
        lines += [f"**{told(both, 'on average over ' + ' and '.join(strategies))}**", ""]
    lines += [_METHOD, "", _COLUMNS, "", _READING, "", _CAUTION, ""]
    for strategy in strategies:
        lines += [f"## tracing={strategy}", "", *markdown_table(_HEADINGS, _rows(spreads(trials, strategy)))]
    if both:
        rows = ([name, *_ratio_cells(ratio)] for name, ratio in both.items())
        average = _BOTH.format(strategies=" and ".join(f"`{name}`" for name in strategies), least=MIN_TOGETHER)
        lines += ["## Over all strategies", "", average, "", *markdown_table(_TOGETHER, rows)]
    lines += ["## The settings", "", *markdown_table(("setting", "what differs", "tried"), _settings(trials))]
    return "\n".join(lines).rstrip() + "\n"


def _spent(trials: Sequence[Trial]) -> str:
    """What the experiment took, from the trials themselves: it may have had several sittings."""
    if not trials:
        return "Nothing was tried."
    minutes = sum(one.fork_s for one in trials) / 60
    begun = [(one.begun_unix_ns, one.fork_s) for one in trials if one.begun_unix_ns is not None]
    when = "at a time that was not kept"
    if begun:
        ended_unix_ns = max(unix_ns + int(fork_s * _NS_PER_S) for unix_ns, fork_s in begun)
        when = f"from {when_text(min(unix_ns for unix_ns, _ in begun), ended_unix_ns)}"
    rounds = len({one.round for one in trials})
    return f"{len(trials)} forks in {rounds} rounds, {minutes:.0f} minutes in all, {when}."


def _rows(found: Sequence[Spread]) -> Iterator[list[str]]:
    for one in found:
        yield [
            one.setting,
            str(one.forks),
            _interval(one.sd_ms),
            f"{1e3 * one.robust_ms:.0f}",
            f"{1e3 * one.deviation_ms:.0f}",
            *_ratio_cells(one.ratio),
            f"{one.fork_s:.1f}",
            f"{one.period_ms:.0f}",
            _interval(one.minute_ms),
            f"{one.foreign_share:.1%}",
            f"{one.stolen_share:.1%}",
        ]


def _ratio_cells(ratio: Ratio | None) -> list[str]:
    if ratio is None:
        return ["-", "-", "-"]
    low, high = ratio.seen
    seen = f"nothing up to {MOST_TIMES:.0f} times" if high > MOST_TIMES else f"under {low:.2f}, above {high:.2f}"
    return [ratio_text(ratio), ratio.told_apart or "inconclusive", seen]


def _settings(trials: Sequence[Trial]) -> Iterator[list[str]]:
    for setting in SETTINGS:
        tried = sum(one.setting == setting.name for one in trials)
        differs = " ".join(f"`{key}`" for key in setting.overrides) or "-"
        yield [setting.name, differs, f"{tried} forks" if tried else "no"]


def _interval(values_ms: Interval) -> str:
    value, low, high = (1e3 * part for part in values_ms)
    return f"{value:.0f} [{low:.0f}, {'any' if high > MOST_TIMES * value else f'{high:.0f}'}]"
