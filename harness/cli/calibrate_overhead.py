"""``harness calibrate overhead``: plants known delays and losses, and says whether the harness finds them."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from harness import __version__
from harness.calibration.bar import LEAST_AA, LEAST_OF_A_DELAY
from harness.calibration.code import measuring_code
from harness.calibration.overhead import DELAY, LOSING, Asked, missing, proof, run_missing
from harness.calibration.overhead_figure import figure
from harness.calibration.overhead_page import Made, console_table, markdown, opinions_table
from harness.calibration.share import CALLS, PAIRS, missing_batches
from harness.calibration.state import MEASURING_CODE, State, conditions, tool_versions
from harness.calibration.trial import LOSSES, Configs, Counts
from harness.calibration.wording import machine_text, shown_path
from harness.cli.compose import compose_cells
from harness.cli.console import ERR, OUT, make_progress
from harness.cli.output import make_folder, write_text
from harness.cli.sweep import temporary_files_in
from harness.config import MeasureConfig
from harness.errors import EXIT_CELL_FAILED, EXIT_OK, ConfigError
from harness.machine import package_versions, this_machine
from harness.overhead.intervals import MIN_FORKS
from harness.processes import WorkFolder, idle_polling, split_cpus
from harness.prompts import resolve_prompts
from harness.tracking import Store, make_template

if TYPE_CHECKING:
    import argparse

    from harness.calibration.bar import Proof
    from harness.config import HarnessConfig
    from harness.records import Machine

DEFAULTS: dict[str, Any] = {
    "cells": 100,
    "planted": 30,
    "delays": "50,200,1000",
    "losses": len(LOSSES),
    # 32 could not tell 15 us from 20.
    "share_forks": 96,
    "forks": 4,
    "blocks": 6,
    "calls": 15,
    "seed": 20240917,
    "state": Path("harness-calibration-overhead"),
}
_LEAST = {"cells": 0, "planted": 0, "losses": 0, "share_forks": 0, "forks": MIN_FORKS, "blocks": 1, "calls": 12}
"""The least that works: fewer forks give no interval, fewer calls no p50."""
_HELP = {
    "cells": f"A/A cells, at least {LEAST_AA} for a judgement",
    "planted": f"cells for each delay, at least {LEAST_OF_A_DELAY} for a judgement",
    "delays": "planted delays in microseconds",
    "losses": "cells that lose traces",
    "share_forks": "forks for the harness's own share of a call",
    "forks": "forks of a cell",
    "blocks": "blocks of each arm in a fork",
    "calls": "calls in a block",
    "seed": "seed that all others follow from",
    "state": "folder where finished cells are kept; the same command goes on there",
}
_WARMUP_CALLS = 30
_PERIOD_MS = 8.0
_SHOWN_VERSIONS = ("python", "openai", "httpx2", "mlflow")
PAGE, FIGURE = "overhead.md", "overhead.svg"


def add_parser(kinds: Any) -> None:
    """Add the verb's switches to those of ``harness calibrate``."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "overhead",
        help="plant delays and losses and see whether they are found, in about three quarters of an hour",
        allow_abbrev=False,
        description="Run cells with equal arms, with known delays and with known losses, and say how often the verdict "
        "is right and the interval contains the truth. Whatever is finished is kept: the same command goes on where it "
        f"was stopped. Exit status 1 if the bar is missed; fewer than {LEAST_AA} A/A cells or {LEAST_OF_A_DELAY} of "
        "a delay are too few to judge, and miss it.",
        epilog="example: harness calibrate overhead --cells 200 --output my-calibration",
    )
    for name, value in DEFAULTS.items():
        switch = f"--{name.replace('_', '-')}"
        parser.add_argument(switch, type=type(value), default=value, help=f"{_HELP[name]} (default: {value})")
    parser.add_argument("--output", type=Path, help=f"folder to write {PAGE} and {FIGURE} to (default: printed only)")


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing, and print what was found.

    Raises:
        InputError: If an argument cannot work, or the state was made under other conditions.
    """
    asked = _asked(arguments)
    if arguments.output is not None:
        make_folder("--output", arguments.output)
    with idle_polling() as granted:
        machine = this_machine(*split_cpus()).model_copy(update={"idle_polling": granted})
    state = State(arguments.state, conditions(machine, _shared(arguments)))
    _run_missing(arguments, asked, state)
    found = proof(asked, state)
    _print(found)
    if arguments.output is not None:
        made = _made(arguments, machine)
        page = arguments.output / PAGE
        write_text("--output", arguments.output / FIGURE, figure(found))
        write_text("--output", page, markdown(found, made))
        OUT.print(f"Wrote {page.absolute()}", soft_wrap=True)
    return EXIT_CELL_FAILED if found.misses() else EXIT_OK


def _asked(arguments: argparse.Namespace) -> Asked:
    for name, least in _LEAST.items():
        if getattr(arguments, name) < least:
            switch = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{switch} is {getattr(arguments, name)}, it must be at least {least}")
    delays = [part.strip() for part in arguments.delays.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in delays):
        raise ConfigError(f"--delays is {arguments.delays!r}, it must be microseconds such as 50,200,1000")
    delays_us = tuple(sorted({int(part) for part in delays}))
    counts = Counts(arguments.cells, arguments.planted, arguments.losses, delays_us)
    return Asked(counts, arguments.share_forks, arguments.seed)


def _shared(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all cells have in common, by name: whatever the configuration has that is not its default."""
    configs = _configs(arguments, Path(), "sqlite:///calibration.db")
    usual = MeasureConfig()
    found: dict[str, Any] = {
        f"{kind} {name}": value
        for kind, config in configs._asdict().items()
        for name, value in asdict(config.measure).items()
        if value != getattr(usual, name)
    }
    aa = configs.aa
    found["prompts"] = resolve_prompts(aa.prompts, aa.endpoint, aa.provider.backend).digest
    return found | {"seed": arguments.seed, "pairs of the share": PAIRS, "calls of the share": CALLS}


def _run_missing(arguments: argparse.Namespace, asked: Asked, state: State) -> None:
    with WorkFolder() as folder, temporary_files_in(folder.path):
        make_template(folder.path / "template.db")
        database = folder.path / "calibration.db"
        shutil.copyfile(folder.path / "template.db", database)
        configs = _configs(arguments, folder.path, f"sqlite:///{database}")
        store = Store(configs.aa.store.uri, configs.aa.store.experiment)
        ERR.print(Text(f"{missing(asked, state)} of {len(asked.trials)} cells are to be run"), soft_wrap=True)
        progress = make_progress(missing(asked, state) + missing_batches(asked.share_forks, state))
        progress.start()
        try:
            run_missing(asked, configs, state, store, progress)
        finally:
            progress.stop()


def _configs(arguments: argparse.Namespace, folder: Path, uri: str) -> Configs:
    """What all cells have in common, and what each kind of cell has of its own."""
    forks = (f"measure.forks={arguments.forks}", f"measure.max_forks={arguments.forks}")

    def config(*own: str) -> HarnessConfig:
        fixed = ("provider=openai", "prompts=short", "measure.margin_ms=0", f"store.uri={uri}", *forks)
        composed = compose_cells([*fixed, *own], multirun=False)[0]
        # Where a cell finds the store to copy.
        composed.sweep.work_dir = str(folder)
        return composed

    def custom(name: str, target: str, style: str) -> tuple[str, ...]:
        return ("tracing=custom", f"tracing.name={name}", f"tracing.target={target}", f"tracing.style={style}")

    timed = (
        f"measure.blocks={arguments.blocks}",
        f"measure.calls_per_block={arguments.calls}",
        f"measure.warmup_calls={_WARMUP_CALLS}",
        # Calls are paced as those of other cells are: back to back, a delay would also let the gateway fall idle.
        f"measure.period_ms={_PERIOD_MS}",
    )
    # A loss is counted, not timed: a handful of calls will do.
    few = ("measure.blocks=1", "measure.calls_per_block=6", "measure.warmup_calls=12")
    return Configs(
        aa=config("tracing=none", *timed),
        delay=config(*custom("planted", DELAY, "1us"), *timed),
        loss=config(*custom("losing", LOSING, "1of12"), *few),
    )


def _print(found: Proof) -> None:
    OUT.print(console_table(found))
    OUT.print(opinions_table(found))
    OUT.print(Text(found.summary()), soft_wrap=True)
    for sentence in found.misses():
        OUT.print(Text(sentence, style="red"), soft_wrap=True)


def _made(arguments: argparse.Namespace, machine: Machine) -> Made:
    versions = {**package_versions(), **tool_versions()}
    return Made(
        command=_command(arguments),
        settings={
            "forks a cell": arguments.forks,
            "blocks of each arm in a fork": arguments.blocks,
            "calls in a block": arguments.calls,
            "warm-up calls": _WARMUP_CALLS,
            "ms from one call's start to the next": f"{_PERIOD_MS:g}",
            "first seed": arguments.seed,
        },
        versions={
            "harness": f"{__version__} ({MEASURING_CODE} {measuring_code()})",
            **{name: versions[name] for name in (*_SHOWN_VERSIONS, *tool_versions()) if name in versions},
        },
        machine=machine_text(machine),
        figure=FIGURE,
    )


def _command(arguments: argparse.Namespace) -> str:
    parts = ["harness", "calibrate", "overhead"]
    for name, value in DEFAULTS.items():
        given = getattr(arguments, name)
        if given != value and name != "state":
            parts += [f"--{name.replace('_', '-')}", str(given)]
    return shlex.join([*parts, "--output", shown_path(arguments.output)])
