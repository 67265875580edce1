"""A digest of the code that measures, so that a calibration says of which code it is."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BESIDE = ("__main__.py", "calibration", "cli", "comparison", "completeness", "gate", "overhead", "report", "tracking")
"""What works on kept records, or steers a calibration: it measures nothing."""
MEASURES = ("bare.py", "losing.py", "planted.py", "share.py")
"""The modules of ``calibration`` that run inside cells all the same."""
_DIGITS = 12


def measuring_code(package: Path | None = None) -> str:
    """The first 12 hexadecimal digits of a SHA-256 over the modules that take part in a measurement.

    Comments, docstrings and layout do not change it.

    Args:
        package: The folder of the package; the harness's own if not given.
    """
    package = package or Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in _modules(package):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode())
        digest.update(ast.dump(_without_docstrings(ast.parse(path.read_bytes()))).encode())
    return digest.hexdigest()[:_DIGITS]


def _modules(package: Path) -> Iterator[Path]:
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in BESIDE:
            yield path
    for name in MEASURES:
        yield package / "calibration" / name


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not _is_text(one)]
    return tree


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone: a docstring, or one that describes the name before it."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
