"""What was found about the noise between forks: for a terminal, and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from harness import __version__
from harness.calibration.noise import DEFAULT, MIN_TRIALS, SETTINGS, spreads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.calibration.noise import NoiseRun, Spread, Trial

_HEADINGS = ("setting", "forks", "spread [95%], us", "of the default's", "told apart", "a fork, s", "measuring, s",
             "pace, ms", "half-width a minute buys [95%], us", "others' CPU")  # fmt: skip
SHOWN_VERSIONS = ("mlflow", "openai", "python")

_METHOD = (
    "One fork is a fresh pair of processes, one traced and one not (under `none` neither is), timed in interleaved "
    "blocks; its difference is traced p50 minus untraced p50. The spread is the standard deviation of the forks' "
    "differences, with the interval of the chi-square distribution. Each setting differs from the default in what "
    "its row says. A round has every setting once for each strategy in random order, so that a drift of the machine "
    "favours none. All settings of a round ask for the same samples in the same order."
)
_READING = (
    "The ratio to the default has the interval of the F distribution at a level that holds for all comparisons of a "
    "strategy together (Bonferroni, 95%): `lower` or `higher` stands only where that interval leaves 1 out. Both "
    "intervals take the differences for normal; with long tails they are too narrow. The half-width that a minute buys "
    "is 1.96 times the spread over the root of the forks that a minute has room for, the start of their processes "
    "included: what counts where time is short."
)
_CAUTION = (
    "What lowers the spread is not for that alone better: without the garbage collector, or with one hash seed for "
    "all, every fork leaves out something that an application's processes have, and a narrow interval then holds for "
    "less than it seems to."
)


def console_table(trials: Sequence[Trial], strategy: str) -> Table:
    """The spreads of one strategy."""
    table = Table(title=f"tracing={strategy}: spread between forks", title_justify="left")
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for row in _rows(spreads(trials, strategy)):
        table.add_row(*row)
    return table


def sentence(trials: Sequence[Trial], strategy: str) -> str:
    """What was told apart from the default, in one sentence."""
    found = spreads(trials, strategy)
    default = next((one for one in found if one.setting == DEFAULT), None)
    if default is None:
        return f"Under {strategy} nothing can be said: the default has under {MIN_TRIALS} forks."
    others = [one for one in found if one.told_apart]
    begun = f"Under {strategy} forks differ by {_interval(default.sd_ms)} us in the default"
    if not others:
        return f"{begun}; no other setting's spread was told apart from that."
    told = [f"{one.setting} is {one.told_apart} ({_ratio(one)} times)" for one in others]
    return f"{begun}; {'; '.join(told)}."


def markdown(run: NoiseRun, trials: Sequence[Trial], command: str) -> str:
    """The whole page, made by a command."""
    strategies = list(dict.fromkeys(one.strategy for one in trials))
    versions = ", ".join(f"{name} {run.versions[name]}" for name in SHOWN_VERSIONS if name in run.versions)
    machine = run.machine
    made = (
        f"Made by `{command}`; no number is typed by hand. Harness {__version__}, {versions}; provider {run.provider}; "
        f"seed {run.seed}; {len(trials)} forks in {1 + max((one.round for one in trials), default=-1)} rounds. "
        f"Machine: {machine.cpu_model}, {machine.cpu_count} cores, kernel {machine.kernel}, stores on "
        f"{machine.work_filesystem or 'an unknown file system'}, arms on core {_cores(machine.arm_cpus)}, gateway on "
        f"core {_cores(machine.gateway_cpus)}{', both of one physical core' if machine.shared_core else ''}. "
        f"The trials themselves stand in `noise.jsonl` beside this page."
    )
    lines = ["# What lowers the noise between forks", "", made, ""]
    for strategy in strategies:
        lines += [f"**{sentence(trials, strategy)}**", ""]
    lines += [_METHOD, "", _READING, "", _CAUTION, ""]
    for strategy in strategies:
        lines += [f"## tracing={strategy}", "", *_table(_HEADINGS, _rows(spreads(trials, strategy))), ""]
    overrides = ([setting.name, " ".join(f"`{key}`" for key in setting.overrides) or "-"] for setting in SETTINGS)
    return "\n".join([*lines, "## The settings", "", *_table(("setting", "what differs"), overrides)]) + "\n"


def _rows(found: Sequence[Spread]) -> Iterator[list[str]]:
    for one in found:
        yield [
            one.setting,
            str(one.forks),
            _interval(one.sd_ms),
            "-" if one.ratio is None else _ratio(one),
            one.told_apart or "-",
            f"{one.fork_s:.1f}",
            f"{one.measuring_s:.1f}",
            f"{one.period_ms:.0f}",
            _interval(one.minute_ms),
            f"{100 * one.foreign_share:.0f}%",
        ]


def _interval(values_ms: tuple[float, float, float]) -> str:
    value, low, high = (1e3 * part for part in values_ms)
    return f"{value:.0f} [{low:.0f}, {high:.0f}]"


def _ratio(one: Spread) -> str:
    assert one.ratio is not None  # noqa: S101 - asked for where there is one
    return f"{one.ratio[0]:.2f} [{one.ratio[1]:.2f}, {one.ratio[2]:.2f}]"


def _cores(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "any"


def _table(headings: Sequence[str], rows: Iterator[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
