"""What an environment is made of, and where it is kept."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import ConfigError
from harness.runtimes.needs import needed_distributions

if TYPE_CHECKING:
    from harness.config import HarnessConfig

FORMAT = 1
"""Counted up where environments are made in another way: those of before are not taken then."""

LEAST_PYTHON = (3, 11)
_ASK_VERSION = "import platform; print(platform.python_version())"


class Recipe(NamedTuple):
    """What an environment is made of.

    Attributes:
        requirements: The packages that were asked for, sorted.
        needs: Distributions that the worker needs besides, each with the harness's own version, which is
            taken wherever the requirements allow it; empty for one that the harness does not have.
        python: The interpreter.
        python_version: Its version.
    """

    requirements: tuple[str, ...]
    needs: tuple[tuple[str, str], ...]
    python: str
    python_version: str

    @property
    def digest(self) -> str:
        """Names the environment: the same for the same recipe."""
        parts = (FORMAT, self.requirements, self.needs, self.python, self.python_version, platform.machine())
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def words(self) -> str:
        """The requirements as people read them."""
        return " ".join(self.requirements) or f"Python {self.python_version}"


def recipe_of(config: HarnessConfig) -> Recipe:
    """The recipe of the environment that a cell's workers need.

    Raises:
        ConfigError: If the interpreter cannot be used.
    """
    requirements = list(map(Requirement, config.runtime.packages))
    named = {canonicalize_name(one.name) for one in requirements}
    needs = needed_distributions((config.provider.target, config.tracing.target))
    python = config.runtime.python or sys.executable
    return Recipe(
        requirements=tuple(sorted(map(str, requirements))),
        needs=tuple((name, _own_version(name)) for name in needs if canonicalize_name(name) not in named),
        python=python,
        python_version=_python_version(python),
    )


def environments_folder() -> Path:
    """Where environments are kept: in the person's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return home / "llm-tracing-harness" / "runtimes"


def _own_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@lru_cache
def _python_version(python: str) -> str:
    """The version of an interpreter.

    Raises:
        ConfigError: If it does not run, or is too old for the harness.
    """
    if python == sys.executable:
        return platform.python_version()
    try:
        ran = subprocess.run([python, "-I", "-c", _ASK_VERSION], capture_output=True, text=True, timeout=60, check=True)
        found = ran.stdout.strip()
        numbers = tuple(int(part) for part in found.split(".")[:2])
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ConfigError(
            f"runtime.python={python!r} is not a Python interpreter that runs; give the path of one, or leave it empty"
        ) from error
    if numbers < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        raise ConfigError(f"runtime.python={python!r} is Python {found}; workers need {least} or later")
    return found
