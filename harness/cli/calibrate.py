"""``harness calibrate``: plants what is known, and says whether the harness finds it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from harness.calibration.completeness import REFERENCE, calibrate, seeds_from
from harness.calibration.page import console_table, markdown, summary
from harness.calibration.samples import write_samples
from harness.calibration.wording import shown_path
from harness.cli import calibrate_overhead
from harness.cli.compose import compose_cells
from harness.cli.console import OUT, make_progress
from harness.cli.noise import add_noise, run_noise
from harness.cli.output import make_folder, write_text
from harness.cli.sweep import temporary_files_in
from harness.errors import EXIT_CELL_FAILED, EXIT_OK, ConfigError
from harness.processes import WorkFolder
from harness.tracking import Store, make_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config import HarnessConfig

PROVIDERS = ("openai", "mistralai")
SEEDS = 5
FIRST_SEED = 20240917
PAGE = "completeness.md"


def main(given: list[str]) -> int:
    """Run one calibration.

    Raises:
        InputError: If an argument cannot work.
    """
    parser = argparse.ArgumentParser(prog="harness calibrate", description="Prove the harness on what is known.")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    completeness = kinds.add_parser(
        "completeness",
        help="plant defects in good traces and see whether each is found",
        allow_abbrev=False,
        description="Plant every kind of defect in the stored JSON of good traces, rewrite others harmlessly, and say "
        "whether each defect is found and no rewrite blamed. Exit status 1 if not.",
        epilog="example: harness calibrate completeness --seeds 2 --output my-calibration",
    )
    completeness.add_argument("--seeds", type=int, default=SEEDS, help=f"how many seeds to run (default: {SEEDS})")
    completeness.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help=f"seed of the first run (default: {FIRST_SEED})"
    )
    completeness.add_argument("--output", type=Path, help=f"folder to write {PAGE} to (default: the table is printed)")
    completeness.add_argument(
        "--samples", default="default", metavar="SET", help="default, a prompt set's name, or a file of one's own"
    )
    add_noise(kinds)
    calibrate_overhead.add_parser(kinds)
    arguments = parser.parse_args(given)
    verbs = {"completeness": _completeness, "noise": run_noise, "overhead": calibrate_overhead.run}
    return verbs[arguments.what](arguments)


def _completeness(arguments: argparse.Namespace) -> int:
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds is {arguments.seeds}, it must be at least 1")
    if arguments.output is not None:
        make_folder("--output", arguments.output)
    with WorkFolder() as folder, temporary_files_in(folder.path):
        samples = folder.path / "samples.jsonl"
        write_samples(arguments.samples, samples)
        database = folder.path / "calibration.db"
        make_template(database)
        configs = _configs(seeds_from(arguments.first_seed, arguments.seeds), samples, f"sqlite:///{database}")
        store = Store(configs[0].store.uri, configs[0].store.experiment)
        progress = make_progress(len(configs))
        progress.start()
        try:
            found = calibrate(configs, store, progress)
        finally:
            progress.stop()
    OUT.print(console_table(found))
    OUT.print(Text(summary(found)), soft_wrap=True)
    sentences = found.sentences()
    for sentence in sentences:
        OUT.print(Text(sentence, style="red"), soft_wrap=True)
    if arguments.output is not None:
        path = arguments.output / PAGE
        write_text("--output", path, markdown(found, _command(arguments)))
        OUT.print(f"Wrote {path.absolute()}", soft_wrap=True)
    return EXIT_CELL_FAILED if sentences else EXIT_OK


def _configs(seeds: Sequence[int], samples: Path, uri: str) -> list[HarnessConfig]:
    """A cell for each seed and provider."""
    fixed = [
        "tracing=custom",
        "tracing.name=reference",
        f"tracing.target={REFERENCE}",
        f"prompts.path={samples}",
        "measure.timing=false",
        f"store.uri={uri}",
    ]
    return [
        compose_cells([f"provider={provider}", f"seed={seed}", *fixed], multirun=False)[0]
        for seed in seeds
        for provider in PROVIDERS
    ]


def _command(arguments: argparse.Namespace) -> str:
    parts = ["harness", "calibrate", "completeness", "--seeds", str(arguments.seeds)]
    parts += ["--first-seed", str(arguments.first_seed)] if arguments.first_seed != FIRST_SEED else []
    parts += ["--samples", arguments.samples] if arguments.samples != "default" else []
    return shlex.join([*parts, "--output", shown_path(arguments.output)])
