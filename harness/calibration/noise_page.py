"""What was found about the noise between forks: for a terminal, and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from harness import __version__
from harness.calibration.noise_found import MIN_TRIALS, spreads, strategies_of, together
from harness.calibration.noise_trials import DEFAULT, SETTINGS
from harness.calibration.page import markdown_table
from harness.calibration.spreads import MIN_TOGETHER, POWER
from harness.calibration.wording import machine_text, when_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.calibration.noise_found import Spread
    from harness.calibration.noise_trials import NoiseRun, Trial
    from harness.calibration.spreads import Interval, Ratio

_HEADINGS = ("setting", "forks", "spread [95%], us", "of the middle half, us", "of the default's", "told apart",
             "could be seen", "a fork, s", "pace, ms", "half-width a minute buys [95%], us", "others' CPU",
             "stolen")  # fmt: skip
_ON_THE_PAGE_ONLY = ("of the middle half, us", "pace, ms", "others' CPU", "stolen")
"""What a terminal has no room for."""
_MOST_TIMES = 100
"""A bound so far out says only that the forks say nothing."""
_TOGETHER = ("setting", "of the default's", "told apart", "could be seen")
SHOWN_VERSIONS = ("mlflow", "openai", "python")
_NS_PER_S = 1e9

_METHOD = (
    "One fork is a fresh pair of processes, one traced and one not (under `none` neither is), timed in interleaved "
    "blocks; its difference is traced p50 minus untraced p50. The spread is the standard deviation of the forks' "
    "differences, and beside it what the middle half of them alone would give: where that is much smaller, a few "
    "forks make the spread. Each setting differs from the default in what its row says. A round has every setting "
    "once for each strategy in random order, so that a drift of the machine favours none, and a setting is held "
    "against the default of its own rounds. All settings of a round ask for the same samples in the same order."
)
_READING = (
    "The ratio to the default has the interval of the F distribution at a level that holds for all comparisons of a "
    "table together (Bonferroni, 95%): `lower` or `higher` stands only where that interval leaves 1 out. Its degrees "
    "of freedom, and those of the spread's own interval, are lowered for the long tails that forks have (Shoemaker "
    "2003; see `harness/calibration/spreads.py`). Not told apart is inconclusive and does not mean that a "
    f"setting does nothing: beside it stands which true ratios could be seen, in {POWER:.0%} of such experiments or "
    "more. The half-width that a minute buys is 1.96 times the spread over the root of the forks that a minute "
    "has room for, the start of their processes included: what counts where time is short."
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


def sentence(trials: Sequence[Trial], strategy: str) -> str:
    """What was told apart from the default, and what could have been, in one sentence."""
    found = spreads(trials, strategy)
    default = next((one for one in found if one.setting == DEFAULT), None)
    if default is None:
        return f"Under {strategy} nothing can be said: the default has under {MIN_TRIALS} forks."
    ratios = {one.setting: one.ratio for one in found if one.ratio is not None}
    begun = f"Under {strategy} forks differ by {_interval(default.sd_ms)} us (standard deviation) in the default"
    return f"{'; '.join([begun, *_told(ratios)])}."


def markdown(run: NoiseRun, trials: Sequence[Trial], command: str) -> str:
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
        lines += [f"**{sentence(trials, strategy)}**", ""]
    both = together(trials)
    if both:
        lines += [f"**On average over {' and '.join(strategies)}: {'; '.join(_told(both))}.**", ""]
    lines += [_METHOD, "", _READING, "", _CAUTION, ""]
    for strategy in strategies:
        lines += [f"## tracing={strategy}", "", *markdown_table(_HEADINGS, _rows(spreads(trials, strategy)))]
    if both:
        rows = ([name, *_ratio_cells(ratio)] for name, ratio in both.items())
        told = _BOTH.format(strategies=" and ".join(f"`{name}`" for name in strategies), least=MIN_TOGETHER)
        lines += ["## Over all strategies", "", told, "", *markdown_table(_TOGETHER, rows)]
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


def _told(ratios: dict[str, Ratio]) -> Iterator[str]:
    """What was told apart, each in a clause, and what could have been where nothing was."""
    for name, ratio in ratios.items():
        if ratio.told_apart:
            yield f"{name} is {ratio.told_apart} ({_ratio(ratio)} times)"
    unsure = {name: ratio for name, ratio in ratios.items() if not ratio.told_apart}
    if unsure:
        yield f"{_unseen(list(unsure.values()))} ({', '.join(unsure)})"


def _unseen(unsure: Sequence[Ratio]) -> str:
    """That nothing was told apart, and what would have been: of several the least favourable."""
    low, high = min(one.seen[0] for one in unsure), max(one.seen[1] for one in unsure)
    seen = f"could have been seen in {POWER:.0%} of such runs"
    if high > _MOST_TIMES:
        return f"inconclusive: no ratio up to {_MOST_TIMES:.0f} {seen}, because a few forks lie far out"
    return f"inconclusive: only ratios above {high:.2f} or below {low:.2f} {seen}"


def _rows(found: Sequence[Spread]) -> Iterator[list[str]]:
    for one in found:
        yield [
            one.setting,
            str(one.forks),
            _interval(one.sd_ms),
            f"{1e3 * one.robust_ms:.0f}",
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
    seen = f"nothing up to {_MOST_TIMES:.0f} times" if high > _MOST_TIMES else f"under {low:.2f}, above {high:.2f}"
    return [_ratio(ratio), ratio.told_apart or "inconclusive", seen]


def _settings(trials: Sequence[Trial]) -> Iterator[list[str]]:
    for setting in SETTINGS:
        tried = sum(one.setting == setting.name for one in trials)
        differs = " ".join(f"`{key}`" for key in setting.overrides) or "-"
        yield [setting.name, differs, f"{tried} forks" if tried else "no"]


def _interval(values_ms: Interval) -> str:
    value, low, high = (1e3 * part for part in values_ms)
    return f"{value:.0f} [{low:.0f}, {'any' if high > _MOST_TIMES * value else f'{high:.0f}'}]"


def _ratio(ratio: Ratio) -> str:
    value, low, high = ratio.value
    return f"{value:.2f} [{low:.2f}, {'any' if high > _MOST_TIMES else f'{high:.2f}'}]"
