"""pip, run in an environment that is being made, and what it said in one sentence."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.processes import child_environment, end
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIREMENT", "PIP_CONSTRAINT")
"""Settings of pip by which a person's shell would have it install something else or somewhere else."""

_LONGEST = 600


class PipError(Exception):
    """What pip refused, in its own words on one line."""


def run_pip(python: Path, *arguments: str, held: int, tell: Callable[[str], None]) -> None:
    """Run pip in an environment.

    Args:
        python: The environment's interpreter.
        arguments: What pip is asked.
        held: A file descriptor that pip keeps open, so that the lock behind it lasts as long as pip does,
            even where this process is killed.
        tell: Called with each line that pip says.

    Raises:
        PipError: If it failed.
    """
    environment = child_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_NO_COLOR="1")
    for name in _ELSEWHERE:
        environment.pop(name, None)
    process = subprocess.Popen(
        # -I: what stands on PYTHONPATH is no part of the environment.
        [str(python), "-I", "-m", "pip", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
        cwd=os.sep,
        pass_fds=(held,),
        text=True,
        errors="replace",
    )
    said: list[str] = []
    try:
        assert process.stdout is not None  # noqa: S101  # it was asked for
        with process.stdout:
            for line in process.stdout:
                said.append(line.rstrip())
                tell(said[-1])
        status = process.wait()
    finally:
        end(process)
    if status != 0:
        raise PipError(_reason(said) or f"pip ended with status {status}")


def make_virtual_environment(python: str, folder: Path, *, held: int) -> None:
    """Make an empty environment with pip in it.

    Raises:
        ConfigError: If the interpreter cannot make one.
    """
    ran = subprocess.run(
        [python, "-I", "-m", "venv", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        pass_fds=(held,),
        check=False,
        env=child_environment(),
    )
    if ran.returncode != 0:
        said = " ".join((ran.stderr.strip() or ran.stdout.strip()).split())[-_LONGEST:]
        raise ConfigError(
            f"runtime.packages needs an environment of its own, and {python} cannot make one ({said}); install "
            "Python's venv and ensurepip, or name another interpreter in runtime.python"
        )


def _reason(said: list[str]) -> str:
    """The line that says why pip failed, and what conflicts where it says that."""
    errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR:")]
    conflict = list(_conflict(said))
    if conflict:
        return without_secrets("; ".join(conflict))[:_LONGEST]
    return without_secrets(errors[-1] if errors else (said or [""])[-1])[:_LONGEST]


def _conflict(said: list[str]) -> Iterator[str]:
    inside = False
    for line in said:
        if line.startswith("The conflict is caused by"):
            inside = True
        elif inside and line.startswith(" "):
            yield line.strip()
        elif inside:
            return
