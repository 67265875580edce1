"""``harness calibrate noise``: what lowers the noise between forks, found by trying."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from harness.calibration.noise import NoiseExperiment
from harness.calibration.noise_found import strategies_of
from harness.calibration.noise_page import console_table, headline, markdown
from harness.calibration.noise_trials import DEFAULT, SETTINGS, STRATEGIES, NoiseRun, read_trials
from harness.calibration.wording import shown_path
from harness.cli.compose import compose_cells, options
from harness.cli.console import OUT, make_progress
from harness.cli.output import make_folder, write_text
from harness.cli.sweep import temporary_files_in
from harness.errors import EXIT_OK, ConfigError, unknown_option
from harness.machine import package_versions, this_machine
from harness.processes import WorkFolder, idle_polling, split_cpus
from harness.prompts import resolve_prompts
from harness.tracking import Store, make_template

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from harness.calibration.noise_said import Presets
    from harness.calibration.noise_trials import Trial
    from harness.config import HarnessConfig

FORKS = 40
MINUTES = 60.0
USUAL, ALL = "usual", "all"
"""Names for several settings."""
FIRST_SEED = 20240917
PAGE = "noise.md"
TRIALS = "noise.jsonl"
STORE = "noise.db"
"""A cell needs a store, although a timing alone writes nothing to it."""


def add_noise(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``noise`` to what can be calibrated."""
    noise = kinds.add_parser(
        "noise",
        help="find by experiment what lowers the noise between forks",
        allow_abbrev=False,
        description="Time forks under the default and under settings that differ from it in one thing each (pinning, "
        "idle cores, garbage collector, hash seed, warm-up, pace, size of blocks), in random order, and compare how "
        "far forks spread. Every fork is kept as soon as it was run: the same command goes on where it was stopped, "
        "also with other settings. Few forks see large differences only, and the page says which: give it an hour or "
        "more, or fewer settings, on a machine that does nothing else.",
        epilog="example: harness calibrate noise --settings default,not-pinned --strategies none --minutes 20 "
        "--output my-noise",
    )
    noise.add_argument(
        "--forks", type=int, default=FORKS, help=f"rounds at most, one fork of each setting in each (default: {FORKS})"
    )
    noise.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help=f"no fork is begun after this time (default: {MINUTES:g}); 0: none at all, the page in --output is made "
        "anew from the forks that are kept there",
    )
    noise.add_argument(
        "--settings",
        default=USUAL,
        metavar="A,B",
        help=f"{ALL}, {USUAL} (the default: {', '.join(_usual())}), or some of: "
        f"{', '.join(setting.name for setting in SETTINGS)}",
    )
    noise.add_argument(
        "--strategies", default=",".join(STRATEGIES), metavar="A,B", help="tracing options (default: none,autolog)"
    )
    noise.add_argument("--seed", type=int, default=FIRST_SEED, help=f"seed of every order (default: {FIRST_SEED})")
    noise.add_argument(
        "--output", type=Path, help=f"folder of {PAGE} and {TRIALS} (default: the table is printed, nothing is kept)"
    )


def run_noise(arguments: argparse.Namespace) -> int:
    """Run the experiment.

    Raises:
        InputError: If an argument cannot work, or the folder holds trials of something else.
    """
    _check(arguments)
    if arguments.minutes == 0:
        run, trials = read_trials(arguments.output / TRIALS)
        _tell(run, trials, arguments)
        return EXIT_OK
    with WorkFolder() as folder, temporary_files_in(folder.path):
        configs = _configs(arguments, folder.path)
        make_template(folder.path / "template.db")
        shutil.copyfile(folder.path / "template.db", folder.path / STORE)
        first = next(iter(configs.values()))
        store = Store(first.store.uri, first.store.experiment)
        # Asked for a moment only: one of the settings lets cores sleep.
        with idle_polling() as granted:
            machine = this_machine(*split_cpus()).model_copy(update={"idle_polling": granted})
        run = NoiseRun(
            seed=arguments.seed,
            provider=first.provider.name,
            versions=package_versions(),
            machine=machine,
            settings={setting.name: setting.overrides for setting in SETTINGS},
            measures=measures(folder.path),
            prompts=resolve_prompts(first.prompts, first.endpoint, first.provider.backend).digest,
        )
        experiment = NoiseExperiment(run, configs, store, (arguments.output or folder.path) / TRIALS)
        progress = make_progress(arguments.forks)
        progress.start()
        try:
            experiment.run(arguments.forks, arguments.minutes, progress)
        finally:
            # What was found is told also after Ctrl-C.
            progress.stop()
            _tell(run, experiment.trials, arguments)
    return EXIT_OK


def _tell(run: NoiseRun, trials: Sequence[Trial], arguments: argparse.Namespace) -> None:
    presets = _presets()
    for strategy in strategies_of(trials):
        OUT.print(console_table(trials, strategy))
        OUT.print(Text(headline(trials, strategy, presets)), soft_wrap=True)
    if arguments.output is not None:
        path = arguments.output / PAGE
        text = markdown(run, trials, _command(run, arguments.output, trials), presets)
        write_text("--output", path, text)
        OUT.print(f"Wrote {path.absolute()}", soft_wrap=True)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.forks < 1:
        raise ConfigError(f"--forks is {arguments.forks}, it must be at least 1")
    if not arguments.minutes >= 0:
        raise ConfigError(f"--minutes is {arguments.minutes}, it must be at least 0")
    if arguments.minutes == 0:
        if arguments.output is None:
            raise ConfigError(f"--minutes is 0: that makes a page anew, and takes an --output that holds {TRIALS}")
        return
    if arguments.output is not None:
        make_folder("--output", arguments.output)


def _settings(asked: str) -> list[str]:
    """The names of the settings to try, the default always among them."""
    names = [setting.name for setting in SETTINGS]
    if asked == ALL:
        return names
    if asked == USUAL:
        return _usual()
    for name in asked.split(","):
        if name not in names:
            raise unknown_option("setting", name, "--settings", [USUAL, ALL, *names])
    return [name for name in names if name == DEFAULT or name in asked.split(",")]


def _usual() -> list[str]:
    return [setting.name for setting in SETTINGS if setting.usual]


def measures(folder: Path) -> dict[str, dict[str, Any]]:
    """The whole measure of each setting, the ones that are not asked for as well: they may be, later."""
    return {setting.name: asdict(_config("none", setting.overrides, folder).measure) for setting in SETTINGS}


def _configs(arguments: argparse.Namespace, folder: Path) -> dict[tuple[str, str], HarnessConfig]:
    """The cell of one fork for each strategy and setting, all checked."""
    chosen = _settings(arguments.settings)
    return {
        (strategy, setting.name): _config(strategy, setting.overrides, folder)
        for strategy in arguments.strategies.split(",")
        for setting in SETTINGS
        if setting.name in chosen and (setting.stores or strategy == "none")
    }


def _presets() -> Presets:
    """The measure of each preset that times calls."""
    found = {name: compose_cells([f"measure={name}"], multirun=False)[0].measure for name in options()["measure"]}
    return {name: asdict(measure) for name, measure in found.items() if measure.timing}


def _config(strategy: str, overrides: Sequence[str], folder: Path) -> HarnessConfig:
    one_fork = ("measure=quick", "measure.forks=1", "measure.max_forks=1")
    where = (f"store.uri=sqlite:///{folder / STORE}", f"sweep.work_dir={folder}")
    return compose_cells([f"tracing={strategy}", *one_fork, *overrides, *where], multirun=False)[0]


def _command(run: NoiseRun, output: Path, trials: Sequence[Trial]) -> str:
    """A command for all that was tried, however many sittings that had; how long they took stands beside it."""
    tried = {one.setting for one in trials}
    settings = [setting.name for setting in SETTINGS if setting.name in tried]
    strategies = ",".join(strategies_of(trials))
    parts = ["harness", "calibrate", "noise"]
    parts += ["--settings", ",".join(settings)] if settings != _usual() else []
    parts += ["--strategies", strategies] if strategies != ",".join(STRATEGIES) else []
    parts += ["--seed", str(run.seed)] if run.seed != FIRST_SEED else []
    return shlex.join([*parts, "--output", shown_path(output)])
