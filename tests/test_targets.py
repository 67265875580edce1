"""Classes by import path: what is found, and what is said when nothing is."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import pytest

from harness.errors import ConfigError
from harness.targets import load_target

if TYPE_CHECKING:
    from pathlib import Path


def test_class_of_a_module() -> None:
    """``package.module:Class`` gives the class."""
    assert load_target("collections:OrderedDict") is OrderedDict


def test_class_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``path/to/file.py:Class`` is taken from the current folder, and imported once."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "part.py").write_text("class Part:\n    size = 3\n")
    monkeypatch.chdir(tmp_path)
    part = load_target("own/part.py:Part")
    assert part.__name__ == "Part"
    assert load_target(f"{tmp_path}/own/part.py:Part") is part


def test_dataclasses_in_a_file(tmp_path: Path) -> None:
    """A file's module can be found by its classes, as dataclasses with deferred annotations need."""
    file = tmp_path / "data.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Data:\n    n: int\n"
    )
    assert load_target(f"{file}:Data")(n=1).n == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "is not of the form"),
        ("collections", "is not of the form"),
        (":OrderedDict", "is not of the form"),
        ("collections:", "is not of the form"),
        ("collections:Ordered Dict", "is not of the form"),
        (".relative:Part", "does not name a module: '.relative'"),
        ("no_such_package.part:Part", "there is no module 'no_such_package'"),
        ("collections.no_such_module:Part", "there is no module 'collections.no_such_module'"),
        ("no/such/file.py:Part", "there is no file 'no/such/file.py'"),
        ("harness.errors:NoSuchError", "unknown class 'NoSuchError' .* CellError, .*ConfigError"),
        ("harness.errors:EXIT_OK", "names a int, not a class"),
        ("harness.errors:unknown_option", "names a function, not a class"),
    ],
)
def test_what_is_not_there(target: str, message: str) -> None:
    """Each error names the target and what is wrong with it."""
    with pytest.raises(ConfigError, match=message):
        load_target(target)


def test_not_python(tmp_path: Path) -> None:
    """A file that is not Python source is refused as such."""
    (tmp_path / "part.txt").write_text("hello")
    with pytest.raises(ConfigError, match=r"'part\.txt' is not a Python file"):
        load_target(f"{tmp_path}/part.txt:Part")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_thing", "it raised ModuleNotFoundError: No module named 'no_such_thing'"),
        ("1 / 0", "it raised ZeroDivisionError"),
        ("class Part", "it raised SyntaxError"),
    ],
)
@pytest.mark.parametrize("as_module", [False, True])
def test_import_that_raises(
    text: str, message: str, as_module: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error inside the module is told from a module that is not there."""
    (tmp_path / "broken_part.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    target = "broken_part:Part" if as_module else f"{tmp_path}/broken_part.py:Part"
    with pytest.raises(ConfigError, match=message):
        load_target(target)
    with pytest.raises(ConfigError, match=message):
        load_target(target)
