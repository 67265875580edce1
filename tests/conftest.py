"""Fixtures that every test may use: a quiet environment, and a migrated store to copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.processes import QUIET_ENVIRONMENT, python_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Before anything imports MLflow: it reads some of these then.
os.environ.update(QUIET_ENVIRONMENT)


LONGEST = (
    *("test_known_defects", "test_sweep_end_to_end", "test_loads", "test_losses", "test_modes", "test_switches"),
    "test_list_and_compare",
)
"""Files that run for minutes. Begun last, they would leave all but one of several test processes idle at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; otherwise the order stays."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite store; a fresh one would take seconds in every test."""
    from harness.tracking import make_template

    path = tmp_path_factory.mktemp("template") / "template.db"
    make_template(path)
    return path


@pytest.fixture
def store_uri(migrated_store: Path, tmp_path: Path) -> str:
    """The URI of a fresh store of the test's own."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(migrated_store, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def begin_store(migrated_store: Path) -> Callable[[Path], None]:
    """Begin the command line's default store in a folder; it would take seconds to migrate a new one."""

    def begin(folder: Path) -> None:
        if not (folder / "mlflow.db").exists():
            shutil.copyfile(migrated_store, folder / "mlflow.db")

    return begin


@pytest.fixture
def harness(tmp_path: Path, begin_store: Callable[[Path], None]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a folder of the test's own, as a person would."""

    def run(*arguments: str, timeout_s: float = 200.0, **environment: str) -> subprocess.CompletedProcess[str]:
        begin_store(tmp_path)
        return subprocess.run(
            python_module("harness", *arguments),
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run
