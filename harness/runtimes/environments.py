"""Virtual environments for workers: made once, kept in the cache folder, and then used without a network.

Where the requirements leave a choice, an environment has the harness's own versions, so that two
runtimes differ in what was asked for and in what that brings with it, and in nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.utils import canonicalize_name

from harness.errors import ConfigError
from harness.runtimes.pip import PipError, make_virtual_environment, run_pip
from harness.runtimes.recipe import environments_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.runtimes.recipe import Recipe

MARKER = "complete.json"
"""Written last: an environment without it was broken off and is made anew."""

_LIST = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)


class Environment(NamedTuple):
    """An environment that is whole.

    Attributes:
        folder: Where it stands.
        versions: Everything that is installed in it, by canonical name.
    """

    folder: Path
    versions: dict[str, str]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


def find_environment(recipe: Recipe) -> Environment | None:
    """The environment of a recipe if it is there and whole."""
    folder = environments_folder() / recipe.digest
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = Environment(folder, marker["versions"])
    return found if found.python.exists() else None


def make_environment(recipe: Recipe, tell: Callable[[str], None]) -> Environment:
    """The environment of a recipe, made if it is not there; others who want it meanwhile wait.

    Args:
        recipe: What it is made of.
        tell: Called with what is being done, a line now and then.

    Raises:
        ConfigError: If the requirements cannot be installed; nothing of it is left then.
    """
    if (found := find_environment(recipe)) is not None:
        return found
    home = environments_folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _lock(home / f"{recipe.digest}.lock", lambda: tell("waiting for another process that makes it")) as held:
            if (found := find_environment(recipe)) is not None:
                return found
            return _make(recipe, home / recipe.digest, held, tell)
    except OSError as error:
        raise ConfigError(
            f"runtime.packages needs an environment in {home}, which cannot be written ({error.strerror}); set "
            "XDG_CACHE_HOME to a folder with room"
        ) from error


@contextlib.contextmanager
def _lock(path: Path, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold a lock on a file; the kernel frees it when the last process that holds it open has ended."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _make(recipe: Recipe, folder: Path, held: int, tell: Callable[[str], None]) -> Environment:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        tell("making an empty environment")
        make_virtual_environment(recipe.python, folder, held=held)
        environment = Environment(folder, {})
        try:
            _install(recipe, environment, held, tell)
        except PipError as error:
            raise ConfigError(f"runtime.packages={recipe.words} cannot be installed: pip says {error}") from error
        listed = subprocess.run(
            [environment.python, "-I", "-c", _LIST], capture_output=True, text=True, check=True, pass_fds=(held,)
        )
        installed: dict[str, str] = json.loads(listed.stdout)
        versions: dict[str, str] = {canonicalize_name(name): number for name, number in sorted(installed.items())}
        marker = folder / f"{MARKER}.new"
        marker.write_text(json.dumps({**recipe._asdict(), "versions": versions}, indent=1), encoding="utf-8")
        marker.rename(folder / MARKER)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Environment(folder, versions)


def _install(recipe: Recipe, environment: Environment, held: int, tell: Callable[[str], None]) -> None:
    """Find out which of the harness's versions fit, and install.

    pip keeps what is installed wherever it fits. So it is first asked, without installing, what it would do
    if the harness's packages were there, and then held to that.
    """
    wanted = [*recipe.requirements, *(name for name, _ in recipe.needs)]
    site = next((environment.folder / "lib").glob("python*/site-packages"))
    seen = site / "harness-preferences.pth"
    report = environment.folder / "resolved.json"
    tell("asking pip what fits")
    seen.write_text("".join(f"{place}\n" for place in _own_places()), encoding="utf-8")
    try:
        run_pip(
            environment.python, "install", "--dry-run", "--report", str(report), *wanted,
            held=held, tell=lambda _: None,
        )  # fmt: skip
    finally:
        seen.unlink()
    changed = _resolved(report)
    constraints = environment.folder / "constraints.txt"
    pins = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions()} | changed
    # What is asked for may be a file or an address, which a version would contradict.
    for requirement in recipe.requirements:
        if "@" in requirement:
            pins.pop(canonicalize_name(requirement.partition("@")[0].partition("[")[0].strip()), None)
    constraints.write_text("".join(f"{name}=={number}\n" for name, number in pins.items()), encoding="utf-8")
    tell("installing")
    run_pip(
        environment.python, "install", "--constraint", str(constraints), *wanted,
        held=held, tell=lambda line: _tell_some(line, tell),
    )  # fmt: skip


def _own_places() -> list[str]:
    """The folders in which the harness's own packages stand."""
    return list(dict.fromkeys(str(Path(str(one.locate_file(""))).absolute()) for one in distributions()))


def _resolved(report: Path) -> dict[str, str]:
    """What pip would install, name to version."""
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {canonicalize_name(one["metadata"]["name"]): one["metadata"]["version"] for one in found}


def _tell_some(line: str, tell: Callable[[str], None]) -> None:
    """Downloads, and the last step; pip says much more."""
    if line.strip().startswith(("Downloading ", "Building wheel")):
        tell(os.path.basename(" ".join(line.split())).partition(" (")[0])  # noqa: PTH119  # a URL's last part
    elif line.startswith("Installing collected packages"):
        tell(f"installing {line.count(',') + 1} packages")
