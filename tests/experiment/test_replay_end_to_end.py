"""Record a cell, then measure again from its records: the command line, real SDKs, the real gateway."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from harness.processes import python_module
from harness.records import CellRecords, read_cell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.records import Exchange

TINY = (
    "measure.forks=1",
    "measure.max_forks=1",
    "measure.blocks=2",
    "measure.calls_per_block=2",
    "measure.warmup_calls=2",
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        python_module("harness", *arguments),
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def records_in(folder: Path) -> tuple[Path, CellRecords]:
    (path,) = folder.rglob("records")
    return path, read_cell(path)


def wire(exchanges: tuple[Exchange, ...]) -> list[Any]:
    """What went over the wire in the completeness pass, without its times."""
    return [
        (
            one.request_body,
            one.status,
            one.response_headers,
            one.response_body,
            None if one.chunks is None else [chunk.data for chunk in one.chunks],
        )
        for one in exchanges
        if one.request_body is not None
    ]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, begin_store: Callable[[Path], None]) -> tuple[Path, CellRecords]:
    """Records of a cell against the simulator: single and streamed answers."""
    folder = tmp_path_factory.mktemp("recorded")
    begin_store(folder)
    done = run(folder, "provider=openai", "prompts=short", "prompts.limit=4", "tracing=none", "measure.timing=false")
    assert done.returncode == 0, done.stderr
    return records_in(folder)


def test_a_replay_is_the_recording(recorded: tuple[Path, CellRecords], tmp_path: Path) -> None:
    """Another strategy sends the same and gets the same bytes; every call of the timing pass is answered, too."""
    path, before = recorded
    done = run(tmp_path / "again", "endpoint=replay", f"endpoint.path={path}", "tracing=autolog", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    _, after = records_in(tmp_path / "again")
    assert wire(after.exchanges) == wire(before.exchanges)
    assert [call.text for call in after.calls] == [call.text for call in before.calls]
    assert after.cell.prompts == "short"
    assert {error for block in after.blocks for error in block.errors} == {None}
    assert len(after.exchanges) > len(before.exchanges)


def test_what_the_recording_does_not_hold_is_the_calls_error(
    recorded: tuple[Path, CellRecords], tmp_path: Path
) -> None:
    """One changed recording fails its call with the difference; the other calls are answered."""
    path, before = recorded
    changed = tmp_path / "changed"
    changed.mkdir()
    lines = (path / "exchanges.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["request_body"] = first["request_body"].replace('"model":"gpt-4o-mini"', '"model":"gpt-4o-mini","seed":5')
    assert "seed" in first["request_body"]
    (changed / "exchanges.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]))
    (changed / "samples.jsonl").write_text((path / "samples.jsonl").read_text())
    done = run(
        tmp_path / "again", "endpoint=replay", f"endpoint.path={changed}", "tracing=none", "measure.timing=false"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, after = records_in(tmp_path / "again")
    assert [call.outcome for call in after.calls_of("strategy")] == ["error", "ok", "ok", "ok"]
    calls, recorded_calls = after.calls_of("strategy"), before.calls_of("strategy")
    assert "seed asked is absent, recorded was 5" in (calls[0].error_message or "")
    assert [call.text for call in calls[1:]] == [call.text for call in recorded_calls[1:]]
