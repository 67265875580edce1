"""``harness gate``: a run against a stored one, for CI."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.text import Text

from harness.cli.console import OUT
from harness.cli.output import write_text
from harness.cli.runs import run_of_file
from harness.errors import EXIT_BAD_INPUT, EXIT_CELL_FAILED, EXIT_OK, InputError
from harness.gate import Margins, Scope, compare, gate_markdown, junit_xml, read_document
from harness.gate.keeping import baseline_name
from harness.machine import this_machine
from harness.processes import idle_polling, split_cpus
from harness.report import cells_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.gate import GateResult, Outcome, Run

_STYLES: tuple[tuple[Outcome, str], ...] = (("worse", "red"), ("inconclusive", "yellow"), ("better", "green"))


def main(given: list[str]) -> int:
    """Compare two runs; returns 0 if nothing got worse, 1 if something did, 2 if they must not be compared.

    Raises:
        InputError: If a run cannot be found or read, or an argument cannot work.
    """
    arguments = _parser().parse_args(given)
    margins = Margins(
        absolute_ms=arguments.margin_ms,
        relative=arguments.margin_relative,
        recall=arguments.recall_margin,
        loss=arguments.loss_margin,
    )
    margins.check()
    baseline = _run("--baseline", arguments.baseline, arguments.overrides)
    if arguments.check:
        OUT.print(
            Text(f"{baseline.name} can be compared with: it is {baseline.form}, {baseline.identity}."), soft_wrap=True
        )
        return EXIT_OK
    current = _run("--current", arguments.current, arguments.overrides)
    if baseline.identity == current.identity:
        raise InputError(f"--baseline and --current are one run, {baseline.identity}; name two")
    result = compare(baseline, current, margins, arguments.only)
    if arguments.markdown is not None:
        write_text("--markdown", arguments.markdown, gate_markdown(result, strict=arguments.strict))
    if arguments.junit is not None:
        write_text("--junit", arguments.junit, junit_xml(result, strict=arguments.strict))
    if result.refusals:
        sys.stderr.write(f"harness: {result.summary()}\n")
        return EXIT_BAD_INPUT
    _show(result)
    return EXIT_CELL_FAILED if result.fails(strict=arguments.strict) else EXIT_OK


class _BaselineName(argparse.Action):
    """Prints the name and leaves, as ``--help`` does."""

    def __init__(self, option_strings: Sequence[str], dest: str, **given: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **given)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        with idle_polling() as granted:
            machine = this_machine(*split_cpus()).model_copy(update={"idle_polling": granted})
        OUT.print(Text(baseline_name(machine)), soft_wrap=True)
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness gate",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Compare a run with a stored one. A cost got worse if it rose by more than the margin beyond the noise\n"
            "between forks, corrected for the number of comparisons; completeness, fact by fact. Versions may differ:\n"
            "that is what the gate is for. Prompts, machine class and measure may not."
        ),
        epilog=(
            "RUN is a file (cells.json of a sweep, or the suite's pytest-benchmark file), a folder with cells.json,\n"
            "or a sweep in the store: latest, its id, or its MLflow run's.\n\n"
            "examples\n"
            "  harness gate --baseline baseline/cells.json\n"
            "  harness gate --baseline 3f2a91bc --current latest --margin-ms 0.2 --markdown gate.md\n"
            "  harness gate --baseline main/cells.json --current pr/cells.json --only completeness --junit gate.xml\n\n"
            "exit status: 0 nothing got worse; 1 something did; 2 bad input, or the runs must not be compared"
        ),
    )
    default = Margins()
    parser.add_argument("--baseline", required=True, metavar="RUN", help="the stored run")
    parser.add_argument("--current", default="latest", metavar="RUN", help="the new one (default: latest)")
    parser.add_argument(
        "--margin-ms",
        type=float,
        default=default.absolute_ms,
        help="a cost may rise by so many milliseconds (default: %(default)s)",
    )
    parser.add_argument(
        "--margin-relative",
        type=float,
        default=default.relative,
        help="or by this share of what it was, untraced part included, but of no more than three times what tracing "
        "adds; the larger counts (default: %(default)s)",
    )
    parser.add_argument(
        "--recall-margin",
        type=float,
        default=default.recall,
        help="share of facts that may be recorded no more, or turn wrong (default: %(default)s, each is a finding)",
    )
    parser.add_argument(
        "--loss-margin",
        type=float,
        default=default.loss,
        help="share of its traces by which a run may lose more (default: %(default)s)",
    )
    parser.add_argument("--only", choices=get_args(Scope), default="all", help="what to compare (default: all)")
    parser.add_argument("--strict", action="store_true", help="fail also where the data do not say")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the findings for a pull request")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML, a test case a cell and quantity")
    parser.add_argument(
        "--check", action="store_true", help="only say whether the baseline can be read, compare nothing"
    )
    parser.add_argument(
        "--baseline-name",
        action=_BaselineName,
        help="print under which name to keep a baseline of this machine, and exit",
    )
    parser.add_argument("overrides", nargs="*", help="such as store.uri=sqlite:///other.db")
    return parser


def _run(flag: str, name: str, overrides: Sequence[str]) -> Run:
    """A run by file, folder, or name in the store."""
    return run_of_file(flag, name) or _stored(name, overrides)


def _stored(name: str, overrides: Sequence[str]) -> Run:
    """A sweep of the store, judged anew from its raw records: by today's facts, whenever it was run."""
    # MLflow takes seconds to import, and files do not need it.
    from harness.cli.report import find_sweep  # noqa: PLC0415
    from harness.cli.sweep import read_sweep  # noqa: PLC0415

    store, run_id = find_sweep(name, overrides)
    sweep = read_sweep(store, run_id)
    return read_document(f"sweep {sweep.sweep_id}", cells_json(sweep))


def _show(result: GateResult) -> None:
    for outcome, style in _STYLES:
        for one in result.of(outcome):
            OUT.print(Text(f"{outcome}: ", style=style) + Text(one.sentence), soft_wrap=True)
    for one in result.of("not worse"):
        # What passed, and what it could have missed.
        if one.smallest_rise is not None:
            OUT.print(Text(f"not worse: {one.sentence}", style="dim"), soft_wrap=True)
    for sentence in (*result.changes, *result.notes):
        OUT.print(Text(sentence, style="dim"), soft_wrap=True)
    OUT.print(Text(result.summary()), soft_wrap=True)
