"""``harness compare``: what changed between two sweeps or two cells."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from rich.markdown import Markdown
from rich.text import Text

from harness.cli.console import ERR, OUT
from harness.cli.output import make_folder, write_text
from harness.cli.report import open_store
from harness.cli.runs import run_of_file
from harness.cli.sweep import read_sweep, store_failed
from harness.comparison import Side, compare, compare_html, compare_markdown
from harness.errors import EXIT_BAD_INPUT, EXIT_OK, InputError
from harness.gate import Form, Margins, Scope, read_document
from harness.report import cells_json
from harness.report.format import utc
from harness.tracking.named import find_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.tracking import Store
    from harness.tracking.named import Named


class _Found(NamedTuple):
    """A side, and where it came from; both ``None`` of a file."""

    side: Side
    store: Store | None
    named: Named | None


def main(given: list[str]) -> int:
    """Compare two sweeps or cells; returns 0, or 2 if they must not be compared.

    Raises:
        InputError: If one cannot be found or read, or an argument cannot work.
        StoreError: If the store did not take the result.
    """
    arguments = _parser().parse_intermixed_args(given)
    margins = Margins(absolute_ms=arguments.margin_ms, relative=arguments.margin_relative, loss=arguments.loss_margin)
    margins.check()
    a, b = (_find(letter, getattr(arguments, letter.lower()), arguments.overrides) for letter in "AB")
    if a.side.run.identity == b.side.run.identity:
        raise InputError(f"A and B are one, {a.side.title}; name two")
    result = compare(a.side, b.side, margins, arguments.only)
    if result.refusals:
        sys.stderr.write(f"harness: {result.refusal()}\n")
        return EXIT_BAD_INPUT
    markdown = compare_markdown(result)
    if OUT.is_terminal:
        OUT.print(Markdown(markdown))
    else:
        sys.stdout.write(markdown)
    texts = {"compare.md": markdown, "compare.html": compare_html(result)}
    if arguments.output is not None:
        make_folder("--output", arguments.output)
        for name, text in texts.items():
            write_text("--output", arguments.output / name, text)
        ERR.print(Text(f"Wrote {' and '.join(texts)} to {arguments.output.absolute()}"), soft_wrap=True)
    if not arguments.no_log and b.store is not None and b.named is not None:
        _log(b.store, b.named, _folder(a.side, b), texts)
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness compare",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Say what changed from A to B, what did not, and what can't be said: two sweeps, or two cells. Cells that\n"
            "are the same but for the strategy, its switches or the versions are held against each other. What must\n"
            "not be compared is refused: other prompts, another endpoint, class of machine, measure or seed."
        ),
        epilog=(
            "A and B are a sweep or a cell in the store: latest, an id (its own or its MLflow run's), its beginning,\n"
            "or the run's name; or cells.json of a sweep, or a folder with one. `harness list` shows what there is.\n"
            "The result is printed as Markdown, and kept as an artifact of B's sweep run, under compare/.\n\n"
            "examples\n"
            "  harness compare 3f2a91bc latest\n"
            "  harness compare 81c04e9d2a77 b2f6630c1d5e --output autolog-or-manual\n"
            "  harness compare before/cells.json latest --only completeness\n\n"
            "exit status: 0 compared, whatever came out; 2 bad input, or the two must not be compared"
        ),
    )
    default = Margins()
    parser.add_argument("a", metavar="A", help="what was before, or the one strategy")
    parser.add_argument("b", metavar="B", help="what came after, or the other one")
    parser.add_argument("--only", choices=get_args(Scope), default="all", help="what to compare (default: all)")
    parser.add_argument(
        "--margin-ms",
        type=float,
        default=default.absolute_ms,
        help="costs that differ by less count as equivalent, in milliseconds (default: %(default)s)",
    )
    parser.add_argument(
        "--margin-relative",
        type=float,
        default=default.relative,
        help="or by less than this share of the whole cost, of at most three times what tracing adds; the larger "
        "counts (default: %(default)s)",
    )
    parser.add_argument(
        "--loss-margin",
        type=float,
        default=default.loss,
        help="shares of lost traces that differ by less count as equivalent (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write compare.md and compare.html into a folder")
    parser.add_argument("--no-log", action="store_true", help="keep nothing in MLflow")
    parser.add_argument("overrides", nargs="*", help="such as store.uri=sqlite:///other.db")
    return parser


def _find(letter: str, name: str, overrides: Sequence[str]) -> _Found:
    run = run_of_file(letter, name)
    if run is None:
        store = open_store(overrides)
        named = find_named(store, name, cells=True)
        return _Found(_stored(store, named), store, named)
    if run.form != Form.SWEEP:
        raise InputError(f"{letter} {name!r} is {run.form}; `harness gate` compares these")
    sweep_id = run.identity.rpartition(" ")[2]
    return _Found(Side(f"{run.identity} ({name})", sweep_id, run, {}), None, None)


def _stored(store: Store, named: Named) -> Side:
    """A sweep or a cell of the store, judged anew from its raw records."""
    only = None if named.cell is None else str(named.cell.info.run_id)
    sweep = read_sweep(store, str(named.sweep.info.run_id), only)
    own_id = named.ids[0]
    run = read_document(named.title, cells_json(sweep))
    if only is None:
        title = named.title
    else:
        run = run.model_copy(update={"identity": f"cell {own_id}"})
        title = f"{named.title} ({', '.join(cell.label for cell in run.cells) or named.name})"
    if not run.cells:
        raise InputError(f"{title} left no records, so there is nothing to compare")
    begun_ns = min(cell.cell.started_unix_ns for cell in sweep.cells)
    return Side(title, own_id, run, {cell.cell.cell_id: cell for cell in sweep.cells}, utc(begun_ns))


def _folder(a: Side, b: _Found) -> str:
    """Where the result lies among B's artifacts; a cell's lie with its sweep, so its id is told as well."""
    return f"compare/{a.name}" if b.named is None or b.named.cell is None else f"compare/{a.name}/{b.side.name}"


def _log(store: Store, named: Named, folder: str, texts: dict[str, str]) -> None:
    run_id = str(named.sweep.info.run_id)
    try:
        store.log_texts(run_id, {f"{folder}/{name}": text for name, text in texts.items()})
    except Exception as error:  # each kind of store has errors of its own
        raise store_failed(store.uri, error) from error
    where = f"experiment {store.experiment!r}, run {named.sweep.info.run_name!r} ({run_id})"
    ERR.print(Text(f"In MLflow: artifact {folder}/compare.html of {where}"), soft_wrap=True)
