"""Stores to copy: made once for each schema of MLflow, and never taken damaged."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from harness.stores.throwaway import TEMPLATE_EXPERIMENT, make_template

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def places(store: Path) -> dict[str, str]:
    """The store's experiments, each with the place of its artifacts."""
    with contextlib.closing(sqlite3.connect(store)) as opened:
        return dict(opened.execute("SELECT name, artifact_location FROM experiments"))


def test_a_store_is_kept_and_one_that_is_damaged_is_made_again(cache: Path, tmp_path: Path) -> None:
    """Each has its own place for artifacts; nothing but the store is left in the cache."""
    made = []
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        made.append(tmp_path / name / "store.db")
        make_template(made[-1])
        kept = list(cache.rglob("*.db"))
        assert len(kept) == 1
        assert list(kept[0].parent.iterdir()) == kept
        if name == "second":
            kept[0].write_bytes(b"no database")
    for store in made:
        assert places(store)[TEMPLATE_EXPERIMENT] == (store.parent / "artifacts").as_uri()
    assert kept[0].read_bytes()[:15] == b"SQLite format 3"


def test_without_a_cache_folder_a_store_is_made_all_the_same(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where the folder should be."""
    cache.write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    make_template(tmp_path / "store.db")
    assert TEMPLATE_EXPERIMENT in places(tmp_path / "store.db")
