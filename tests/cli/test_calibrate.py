"""``harness calibrate`` as a person meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from harness.cli import main
from harness.processes import python_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks learns what can be set, and one line that works."""
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", "completeness", "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "example: harness calibrate completeness --seeds 2 --output my-calibration" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "0"), "--seeds is 0, it must be at least 1"),
        (("--samples", "nothing"), "unknown prompt set 'nothing' in --samples"),
        (("--samples", "absent.jsonl"), "absent.jsonl"),
        (("--output", "/dev/null/folder"), "--output '/dev/null/folder' cannot be made"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The offender is named before anything runs, and the exit status is 2."""
    assert main(["calibrate", "completeness", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.calibration
@pytest.mark.timeout(1800)
def test_every_planted_defect_is_found_over_the_default_seeds(
    harness: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The whole self-proof, as `make calibrate` runs it."""
    done = harness("calibrate", "completeness", "--output", "page", timeout_s=1700)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    page = (tmp_path / "page" / "completeness.md").read_text(encoding="utf-8")
    assert "5 seeds" in page
    assert "## What was not taken as it should be\n\nNothing." in page


@pytest.mark.calibration
@pytest.mark.timeout(300)
def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    """No traceback, status 130, and no process is left."""
    process = subprocess.Popen(
        python_module("harness", "calibrate", "completeness", "--seeds", "1", "--samples", "short"),
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = ""
    while "completeness (" not in said:
        said += process.stderr.readline()
        assert process.poll() is None, said
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said + rest
    left = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert f"{process.pid} " not in left
