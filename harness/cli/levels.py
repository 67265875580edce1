"""``harness levels``: what a strategy costs, taken apart level by level, as one sweep."""

from __future__ import annotations

import argparse
import shlex
from itertools import pairwise

from harness.cli.compose import compose_cells
from harness.config import DESTINATIONS, LEVELS
from harness.errors import ConfigError, unknown_option

OWN_KEYS = ("tracing.level", "tracing.against", "tracing.into", "tracing.export.asynchronous")
"""What this verb sets in each cell."""


def main(given: list[str]) -> int:
    """Run one sweep over all levels.

    Raises:
        InputError: If an argument cannot work; nothing was run then.
    """
    parser = argparse.ArgumentParser(
        prog="harness levels",
        allow_abbrev=False,
        description="Take a strategy's cost apart. Each step from one level to the next is timed in a cell of its own "
        f"({' - '.join(LEVELS)}), the last one for every destination, exported in the background and synchronously "
        "(not into a collector, where MLflow exports in batches only); "
        "the whole is timed in further cells, and the report holds the sum of the steps against it.",
        epilog="example: harness levels provider=openai tracing=autolog measure=standard --into sqlite,server",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for a sweep; a strategy is needed")
    parser.add_argument(
        "--into",
        default=",".join(DESTINATIONS),
        metavar="LIST",
        help=f"where traces go: some of {', '.join(DESTINATIONS)} (default: all)",
    )
    arguments = parser.parse_intermixed_args(given)
    batches = batches_of(arguments.overrides, _destinations(arguments.into))
    cells = [cell for batch in batches for cell in compose_cells(batch, multirun=True)]
    if any(not cell.measure.timing for cell in cells):
        raise ConfigError("measure.timing=false leaves nothing to take apart; choose another measure")
    # Only now, so that bad input is refused at once.
    from harness.cli.sweep import run_batches  # noqa: PLC0415  # imports MLflow, which takes seconds

    return run_batches(cells, [(batch, True) for batch in batches], shlex.join(["harness", "levels", *given]))


def batches_of(overrides: list[str], destinations: list[str]) -> list[list[str]]:
    """The overrides of every step, of the whole, and of two untraced arms, whose difference is the noise floor.

    Raises:
        ConfigError: If a key is among them that differs from cell to cell, or no strategy.
    """
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key in OWN_KEYS:
            raise ConfigError(f"{override} cannot be given here: harness levels sets {key} in each cell; leave it out")
    strategies = [override for override in overrides if override.startswith("tracing=")]
    if not strategies or "none" in strategies[-1].partition("=")[2].split(","):
        raise ConfigError("harness levels takes a strategy apart, and tracing=none is none; give tracing=autolog, say")
    floor = [override for override in overrides if not override.startswith(("tracing=", "tracing."))]
    batches = [[*floor, "tracing=none"]]
    lower = LEVELS[:-1]
    for against, level in pairwise(lower):
        batches.append([*overrides, f"tracing.against={against}", f"tracing.level={level}"])
    for into in destinations:
        # MLflow exports over OTLP in batches only.
        ways = (
            [""] if into == "collector" else ["tracing.export.asynchronous=true", "tracing.export.asynchronous=false"]
        )
        for way in ways:
            for against in (lower[-1], lower[0]):
                way_out = [f"tracing.against={against}", f"tracing.into={into}", way]
                batches.append([*overrides, *filter(None, way_out)])
    return batches


def _destinations(text: str) -> list[str]:
    given = [part.strip() for part in text.split(",")]
    for name in given:
        if name not in DESTINATIONS:
            raise unknown_option("destination", name, "--into", DESTINATIONS)
    return list(dict.fromkeys(given))
