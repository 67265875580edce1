"""What the workers run in: the harness's own environment, or one of other versions.

The harness's process, the gateway and the user's store stay with the harness's versions. What
another MLflow writes is made and read by that MLflow: its store may have another schema.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import harness
from harness.errors import WorkerError
from harness.processes import child_environment, python_module
from harness.records import StoredTrace
from harness.runtimes.environments import find_environment, make_environment
from harness.runtimes.recipe import recipe_of
from harness.stores.throwaway import make_template, read_own_traces
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.config import HarnessConfig, RuntimeConfig
    from harness.runtimes.environments import Environment
    from harness.runtimes.recipe import Recipe

_STORE_TIMEOUT_S = 300.0


class OwnTraces(NamedTuple):
    """The traces of a worker's own store, oldest first.

    Attributes:
        records: As records.
        plain: Each as the JSON data that MLflow makes of it.
    """

    records: tuple[StoredTrace, ...]
    plain: tuple[dict[str, Any], ...]


class Runtime(Protocol):
    """What a cell's workers run in.

    Attributes:
        name: Sets its files apart from those of others; empty for the harness's own environment.
        shares_store: Whether its MLflow is of the harness's version, so that both can use one store.
    """

    name: str
    shares_store: bool

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command for one of our own modules."""

    def environment(self) -> dict[str, str]:
        """The variables of a process in it."""

    def make_template(self, path: Path) -> None:
        """Make a migrated store, to be copied for each worker."""

    def read_traces(self, path: Path) -> OwnTraces:
        """All traces of a worker's own store, once the worker has ended."""


class HarnessRuntime:
    """The harness's own environment."""

    name = ""
    shares_store = True

    def command(self, module: str, *arguments: str) -> list[str]:
        """With the harness's interpreter."""
        return python_module(module, *arguments)

    def environment(self) -> dict[str, str]:
        """A child's, as it is."""
        return child_environment()

    def make_template(self, path: Path) -> None:
        """In this process."""
        make_template(path)

    def read_traces(self, path: Path) -> OwnTraces:
        """In this process."""
        found = read_own_traces(path)
        return OwnTraces(tuple(one.record for one in found), tuple(one.plain for one in found))


HARNESS = HarnessRuntime()


class SeparateRuntime:
    """An environment of other versions.

    Args:
        recipe: What it is made of.
        made: The environment.
        folder: An empty folder of this cell's. Our own package is put there alone, so that the environment
            sees it without the packages that stand beside it.
    """

    def __init__(self, recipe: Recipe, made: Environment, folder: Path) -> None:
        self.name = recipe.digest
        self.shares_store = made.versions.get("mlflow") == version("mlflow")
        self._python = made.python
        self._folder = folder
        (folder / harness.__name__).symlink_to(Path(harness.__file__).resolve().parent, target_is_directory=True)

    def command(self, module: str, *arguments: str) -> list[str]:
        """With the environment's interpreter."""
        return [str(self._python), *python_module(module, *arguments)[1:]]

    def environment(self) -> dict[str, str]:
        """A child's, with our own package before what the person has put on the path."""
        places = [str(self._folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return child_environment(PYTHONPATH=os.pathsep.join(places))

    def make_template(self, path: Path) -> None:
        """With its own MLflow.

        Raises:
            WorkerError: If that failed.
        """
        self._store("make", path)

    def read_traces(self, path: Path) -> OwnTraces:
        """With its own MLflow.

        Raises:
            WorkerError: If that failed.
        """
        result = path.with_suffix(".jsonl")
        self._store("read", path, result)
        lines = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()]
        records = tuple(StoredTrace.model_validate(line["record"]) for line in lines)
        return OwnTraces(records, tuple(line["trace"] for line in lines))

    def _store(self, what: str, *paths: Path) -> None:
        ran = subprocess.run(
            self.command("harness.stores", what, *map(str, paths)),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_STORE_TIMEOUT_S,
            start_new_session=True,
            check=False,
        )
        if ran.returncode != 0:
            last = (ran.stderr.strip().splitlines() or ["nothing"])[-1]
            raise WorkerError(f"the runtime's MLflow could not {what} a store of its own; it last said: {last}")


def has_own_environment(config: HarnessConfig) -> bool:
    """Whether a cell's workers run in an environment of their own."""
    return bool(config.runtime.packages or config.runtime.python)


def runtime_label(runtime: RuntimeConfig) -> str:
    """The requirements as people read them, without secrets; empty for the harness's own environment."""
    python = [f"Python at {runtime.python}"] if runtime.python else []
    return ", ".join([" ".join(map(without_secrets, runtime.packages)), *python] if runtime.packages else python)


def prepare_runtimes(configs: Iterable[HarnessConfig], tell: Callable[[str], None]) -> None:
    """See that the environments of all cells' workers are there, and make those that are not.

    Args:
        configs: The cells'.
        tell: Called with what is being done, and with the age of each environment that is there.

    Raises:
        ConfigError: If one cannot be made.
    """
    recipes = {recipe.digest: recipe for recipe in map(recipe_of, filter(has_own_environment, configs))}
    for recipe in recipes.values():
        if (found := find_environment(recipe)) is None:
            make_environment(recipe, partial(_tell_of, recipe, tell))
        else:
            _tell_of(recipe, tell, f"{found.age}, in {found.folder}")


def _tell_of(recipe: Recipe, tell: Callable[[str], None], text: str) -> None:
    tell(f"environment with {recipe.words}: {text}")


def runtime_of(config: HarnessConfig, folder: Path, tell: Callable[[str], None]) -> Runtime:
    """What a cell's workers run in; its environment is made if it is not there.

    Args:
        config: The cell's.
        folder: A folder of the cell's own.
        tell: Called with what is being done, where it takes time.

    Raises:
        ConfigError: If the environment cannot be made.
    """
    if not has_own_environment(config):
        return HARNESS
    recipe = recipe_of(config)
    made = make_environment(recipe, partial(_tell_of, recipe, tell))
    place = folder / "runtime"
    place.mkdir()
    return SeparateRuntime(recipe, made, place)
