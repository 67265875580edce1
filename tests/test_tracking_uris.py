from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.tracking import absolute_uri

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:5000", "postgresql://host/db", "databricks", "databricks-uc", "file:./mlruns"]
)
def test_a_uri_with_a_scheme_stays_as_it_is(uri: str) -> None:
    """What names its store for good is not touched."""
    assert absolute_uri(uri) == uri


def test_a_relative_sqlite_path_is_taken_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that run elsewhere find the same file."""
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert absolute_uri(f"sqlite:///{tmp_path}/x.db") == f"sqlite:///{tmp_path}/x.db"
    assert absolute_uri("sqlite:///") == f"sqlite:///{tmp_path}"
