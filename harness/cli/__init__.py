"""The command line: verbs first, the rest goes to Hydra.

This module alone decides what is imported when: ``--help`` must not wait for Hydra and MLflow.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from harness import __version__
from harness.cli.requirements import with_quoted_requirements
from harness.errors import EXIT_INTERRUPTED, ConfigError, HarnessError
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

HELP = """\
usage: harness [-m] [KEY=VALUE ...]      run one cell, or with -m a sweep of cells
       harness VERB [...]                VERB --help says more

Runs real SDKs over a prompt set under a tracing strategy, checks every trace against what
really went over the wire, measures what tracing costs, and writes both into MLflow.

examples
  harness provider=openai prompts=short tracing=autolog
  harness provider=langchain provider.backend=mistralai tracing=manual tracing.style=context tracing.depth=careful
  harness -m provider=openai,mistralai,langchain tracing=none,manual,autolog
  harness prompts.path=my_prompts.jsonl tracing=autolog measure.timing=false
  harness endpoint=replay endpoint.path=recorded/records provider=openai tracing=autolog

verbs
  list             show the sweeps of the store, or the cells of one
  report SWEEP     make a sweep's report anew from its raw records
  compare A B      say what changed between two sweeps or two cells, what did not, and what can't be said
  gate             compare a run with a stored one, and fail where something got worse
  levels           take a strategy's cost apart, from untraced to exported
  calibrate WHAT   prove the harness on what is known: completeness, overhead; or find what disturbs it: noise

groups (KEY=OPTION)
{groups}

Any key of the configuration can be set, such as seed=7, measure.forks=8, store.uri=http://127.0.0.1:5000
or endpoint.base_url=http://127.0.0.1:8000/v1; `harness --cfg job` prints them all.

exit status: 0 all cells ran; 1 a cell failed; 2 bad configuration or input; 130 interrupted
"""
HYDRA_FLAGS = (
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--hydra-help",
    "--shell-completion",
    "-sc",
    "--resolve",
    "--package",
    "-p",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Errors that a person can mend are printed as one sentence on standard error.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # SIGINT, too: a shell starts background jobs with it ignored, and whoever sends it then means it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _dispatch(given)
    except HarnessError as error:
        sys.stderr.write(f"harness: {without_secrets(str(error))}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("harness: interrupted\n")
        return EXIT_INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End cleanly, keeping what was measured."""
    del number, frame
    raise KeyboardInterrupt


def _dispatch(given: list[str]) -> int:
    if given and given[0] in VERBS:
        return VERBS[given[0]](given[1:])
    if any(argument in ("-h", "--help", "help") for argument in given):
        sys.stdout.write(HELP.format(groups=_groups()))
        return 0
    if "--version" in given:
        sys.stdout.write(f"harness {__version__}\n")
        return 0
    if any(argument.split("=")[0] in HYDRA_FLAGS for argument in given):
        return _hydra(given)
    multirun = any(argument in ("-m", "--multirun") for argument in given)
    overrides = [with_quoted_requirements(argument) for argument in given if argument not in ("-m", "--multirun")]
    for argument in overrides:
        if argument.startswith("-"):
            raise ConfigError(f"unknown flag {argument!r}; the flags are: -m, --help, --version, --cfg job")
        if "=" not in argument and not argument.startswith("~"):
            raise ConfigError(
                f"unknown verb {argument!r}; the verbs are: {', '.join(VERBS)}; everything else is KEY=VALUE, "
                "such as provider=openai"
            )
    from harness.cli.compose import compose_cells  # noqa: PLC0415  # imports Hydra, which takes half a second

    cells = compose_cells(overrides, multirun=multirun)
    # Only now, so that bad input is refused at once.
    from harness.cli.sweep import run_sweep  # noqa: PLC0415  # imports MLflow, which takes seconds

    return run_sweep(cells, overrides, multirun=multirun)


def _groups() -> str:
    """The groups and their options, read from the folder itself: Hydra would take half a second."""
    from harness.config import data_folder  # noqa: PLC0415  # not needed by the verbs

    folders = sorted(path for path in data_folder("conf").iterdir() if path.is_dir())
    return "\n".join(
        f"  {folder.name:<10} {', '.join(sorted(path.stem for path in folder.glob('*.yaml')))}" for folder in folders
    )


def _hydra(given: list[str]) -> int:
    """Let Hydra answer its own flags."""
    from harness.cli.sweep import hydra_main  # noqa: PLC0415  # imports MLflow, which takes seconds

    before, sys.argv = sys.argv, ["harness", *given]
    try:
        hydra_main()
    except SystemExit as stop:
        return 0 if stop.code in (None, 0) else 2
    finally:
        sys.argv = before
    return 0


def _report(given: list[str]) -> int:
    from harness.cli.report import main as report  # noqa: PLC0415  # imports MLflow, which takes seconds

    return report(given)


def _calibrate(given: list[str]) -> int:
    from harness.cli.calibrate import main as calibrate  # noqa: PLC0415  # imports MLflow, which takes seconds

    return calibrate(given)


def _levels(given: list[str]) -> int:
    from harness.cli.levels import main as levels  # noqa: PLC0415  # imports Hydra, which takes half a second

    return levels(given)


def _list(given: list[str]) -> int:
    from harness.cli.listing import main as list_sweeps  # noqa: PLC0415  # imports MLflow, which takes seconds

    return list_sweeps(given)


def _compare(given: list[str]) -> int:
    from harness.cli.compare import main as compare  # noqa: PLC0415  # imports MLflow, which takes seconds

    return compare(given)


def _gate(given: list[str]) -> int:
    from harness.cli.gate import main as gate  # noqa: PLC0415  # imports what reports are made with

    return gate(given)


VERBS: dict[str, Callable[[list[str]], int]] = {
    "list": _list,
    "report": _report,
    "compare": _compare,
    "gate": _gate,
    "levels": _levels,
    "calibrate": _calibrate,
}
