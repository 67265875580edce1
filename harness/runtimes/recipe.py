"""What an environment is made of, and where it is kept."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.caches import cache_folder
from harness.errors import ConfigError
from harness.runtimes.needs import needed_distributions
from harness.runtimes.requirements import pinned
from harness.urls import without_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from harness.config import HarnessConfig

FORMAT = 2
"""Counted up where environments are made in another way: those of before are not taken then."""

LEAST_PYTHON = (3, 11)
_ASK_VERSION = "import platform; print(platform.python_version())"


class Recipe(NamedTuple):
    """What an environment is made of.

    Attributes:
        requirements: The packages that were asked for, sorted. An address among them may hold a password.
        needs: Distributions that the worker needs besides, each with the harness's own version, which is
            taken wherever the requirements allow it; empty for one that the harness does not have.
        python: The interpreter.
        python_version: Its version.
        preferred: Everything that the harness has, by canonical name with its version: what the requirements
            leave open is as here, down to what they bring along.
        contents: SHA-256 of each local file among the requirements, in their order; empty for the others.
    """

    requirements: tuple[str, ...]
    needs: tuple[tuple[str, str], ...]
    python: str
    python_version: str
    preferred: tuple[tuple[str, str], ...] = ()
    contents: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Names the environment: the same for the same recipe, whatever password it is fetched with."""
        parts = (FORMAT, platform.machine(), self._replace(requirements=self.shown))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def shown(self) -> tuple[str, ...]:
        """The requirements without secrets."""
        return tuple(map(without_secrets, self.requirements))

    @property
    def words(self) -> str:
        """The requirements as people read them."""
        return " ".join(self.shown) or f"Python {self.python_version}"


def recipe_of(config: HarnessConfig) -> Recipe:
    """The recipe of the environment that a cell's workers need.

    Raises:
        ConfigError: If the interpreter cannot be used, or a requirement leaves open what it means.
    """
    python = config.runtime.python or sys.executable
    python_version = _python_version(python)
    requirements = sorted(map(Requirement, config.runtime.packages), key=str)
    named = {canonicalize_name(one.name) for one in requirements}
    needs = needed_distributions((config.provider.target, config.tracing.target))
    return Recipe(
        requirements=tuple(map(str, requirements)),
        needs=tuple((name, _own_version(name)) for name in needs if canonicalize_name(name) not in named),
        python=python,
        python_version=python_version,
        preferred=own_distributions(),
        contents=tuple(pinned(str(one), python_version) for one in requirements),
    )


def own_distributions() -> tuple[tuple[str, str], ...]:
    """Everything that the harness has, by canonical name with its version; of two, the one that is imported."""
    return _distributions_on(tuple(sys.path))


@lru_cache
def _distributions_on(path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for one in distributions(path=list(path)):
        # What a broken removal leaves behind has no name.
        if one.metadata["Name"]:
            found.setdefault(canonicalize_name(one.metadata["Name"]), one.version)
    return tuple(sorted(found.items()))


def environments_folder() -> Path:
    """Where environments are kept: in the person's cache folder."""
    return cache_folder("runtimes")


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
