"""Which packages a worker imports, read from the sources of the modules that it is made of."""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import harness

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ENTRIES = ("harness.worker", "harness.stores.__main__")
"""What runs in a worker's environment, but for the provider and the strategy."""

UNSEEN = ("opentelemetry-exporter-otlp-proto-http",)
"""What MLflow needs for its export over OTLP, imports by itself and does not bring."""

_OWN = Path(harness.__file__).resolve().parent


@lru_cache
def needed_distributions(targets: tuple[str, ...]) -> tuple[str, ...]:
    """The distributions whose modules a worker imports, at once or later, by name.

    Args:
        targets: Import paths of its provider and its strategy, ``package.module:Class`` or
            ``path/to/file.py:Class``.
    """
    places = {file for entry in ENTRIES for file in _files(entry)}
    foreign: set[str] = set()
    for target in targets:
        place = target.rpartition(":")[0]
        if place.endswith(".py") or "/" in place:
            places.add(Path(place).absolute())
        elif found := _files(place):
            places.update(found)
        else:
            foreign.add(place)
    tops = {module.partition(".")[0] for module in foreign | _foreign_modules(places)}
    return tuple(sorted({*UNSEEN, *_distributions(tops - sys.stdlib_module_names)}))


def _foreign_modules(places: set[Path]) -> set[str]:
    """The modules of others that some files import, and the files of our own that they import."""
    foreign: set[str] = set()
    seen: set[Path] = set()
    while places - seen:
        place = (places - seen).pop()
        seen.add(place)
        for module in _imports(ast.parse(place.read_bytes())):
            if found := _files(module):
                places.update(found)
            elif module.partition(".")[0] != harness.__name__:
                foreign.add(module)
    return foreign


def _imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a source names, but for those that only a type checker imports."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            # What is imported from a package may be a module of it.
            yield from (f"{node.module}.{name.name}" for name in node.names)
        else:
            yield from _imports(node)


def _files(module: str) -> list[Path]:
    """The files that an import of one of our own modules runs, or of one that belongs to no distribution."""
    top, *rest = module.split(".")
    if top == harness.__name__:
        place, found = _OWN, [_OWN / "__init__.py"]
    else:
        loose = _loose(top)
        if loose is None:
            return []
        place, found = loose, [loose / "__init__.py" if loose.is_dir() else loose]
    for part in rest:
        place /= part
        found += [place / "__init__.py", place.with_name(f"{part}.py")]
    return [file for file in found if file.is_file()]


@lru_cache
def _loose(top: str) -> Path | None:
    """Where a package stands that no distribution brought, such as one on a person's ``PYTHONPATH``."""
    if top in sys.stdlib_module_names or list(_distributions({top})):
        return None
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _distributions(tops: Iterable[str]) -> Iterator[str]:
    """The distributions that bring some top-level modules: of several, the one of the same name."""
    others: list[str] = []
    for top in tops:
        try:
            yield distribution(top).metadata["Name"].lower()
        except PackageNotFoundError:
            others.append(top)
    if others:
        known = packages_distributions()
        for top in others:
            yield from (name.lower() for name in known.get(top, ()))
