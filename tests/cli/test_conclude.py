"""How a sweep ends where its report cannot be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.cli.sweep import _told_as_ours
from harness.errors import ReportError
from harness.tracking import SWEEP_TAG, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_mistake_in_the_report_is_not_blamed_on_the_store(
    tmp_path: Path, begin_store: Callable[[Path], None]
) -> None:
    """The sentence says whose mistake it is, where the records are, and how to go on."""
    begin_store(tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", "mistakes")
    run_id = store.start_run("sweep", {SWEEP_TAG: "abc12345"})
    told = r"KeyError: .new ending.*mistake in the harness.*harness report abc12345"
    with pytest.raises(ReportError, match=told), _told_as_ours(store, run_id):
        raise KeyError("new ending")
