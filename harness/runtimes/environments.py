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
import time
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import ConfigError
from harness.runtimes.pip import PipError, make_virtual_environment, run_pip
from harness.runtimes.recipe import environments_folder
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.runtimes.recipe import Recipe

MARKER = "complete.json"
"""Written last: an environment without it was broken off and is made anew."""

_DAY_S = 86_400

_LIST = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions() if d.metadata['Name']}))"
)


class Environment(NamedTuple):
    """An environment that is whole.

    Attributes:
        folder: Where it stands.
        versions: Everything that is installed in it, by canonical name.
        made_unix_s: When it was made.
    """

    folder: Path
    versions: dict[str, str]
    made_unix_s: float

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return _python(self.folder)

    @property
    def age(self) -> str:
        """When it was made, in words."""
        days = max(0, int((time.time() - self.made_unix_s) // _DAY_S))
        date = datetime.fromtimestamp(self.made_unix_s, tz=UTC).date()
        return f"made on {date}, {'today' if not days else '1 day ago' if days == 1 else f'{days} days ago'}"


def find_environment(recipe: Recipe) -> Environment | None:
    """The environment of a recipe if it is there and whole."""
    return _whole(environments_folder() / recipe.digest)


def _whole(folder: Path) -> Environment | None:
    try:
        made_unix_s = (folder / MARKER).stat().st_mtime
        marker: Any = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    versions = marker.get("versions") if isinstance(marker, dict) else None
    if not (isinstance(versions, dict) and versions and _python(folder).exists()):
        return None
    return Environment(folder, versions, made_unix_s)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


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
        try:
            _install(recipe, folder, held, tell)
        except PipError as error:
            raise ConfigError(f"runtime.packages={recipe.words} cannot be installed: pip says {error}") from error
        versions = _installed(recipe, folder, held)
        about = recipe._replace(requirements=recipe.shown)._asdict() | {"versions": versions}
        marker = folder / f"{MARKER}.new"
        marker.write_text(json.dumps(about, indent=1), encoding="utf-8")
        marker.rename(folder / MARKER)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Environment(folder, versions, (folder / MARKER).stat().st_mtime)


def _installed(recipe: Recipe, folder: Path, held: int) -> dict[str, str]:
    """Everything that is installed, by canonical name.

    Raises:
        ConfigError: If the new interpreter does not say it.
    """
    listed = subprocess.run(
        [_python(folder), "-I", "-c", _LIST], capture_output=True, text=True, check=False, pass_fds=(held,)
    )
    if listed.returncode != 0:
        said = (listed.stderr.strip().splitlines() or [f"it ended with status {listed.returncode}"])[-1]
        raise ConfigError(
            f"runtime.packages={recipe.words} breaks the Python that it is installed for, which cannot list its "
            f"packages any more ({without_secrets(said)}); name other versions"
        )
    found: dict[str, str] = json.loads(listed.stdout)
    return {canonicalize_name(name): number for name, number in sorted(found.items())}


def _install(recipe: Recipe, folder: Path, held: int, tell: Callable[[str], None]) -> None:
    """Find out which of the harness's versions fit, and install.

    pip keeps what is installed wherever it fits. So it is first asked, without installing, what it would do
    if the harness's packages were there, and then held to that.
    """
    wanted = [*recipe.requirements, *(name for name, _ in recipe.needs)]
    site = next((folder / "lib").glob("python*/site-packages"), None)
    if site is None:
        raise ConfigError(
            f"{recipe.python} makes environments without lib/python*/site-packages, where packages are looked for; "
            "name another interpreter in runtime.python"
        )
    seen = site / "harness-preferences.pth"
    report = folder / "resolved.json"
    tell("asking pip what fits")
    seen.write_text("".join(f"{place}\n" for place in _own_places()), encoding="utf-8")
    try:
        run_pip(
            _python(folder), "install", "--dry-run", "--report", str(report), *wanted,
            held=held, tell=lambda _: None,
        )  # fmt: skip
        changed = _resolved(report)
    finally:
        seen.unlink()
        # It has the addresses that were asked for.
        report.unlink(missing_ok=True)
    constraints = folder / "constraints.txt"
    pins = dict(recipe.preferred) | changed
    # What is asked for may be a file or an address, which a version would contradict.
    for requirement in map(Requirement, recipe.requirements):
        if requirement.url is not None:
            pins.pop(canonicalize_name(requirement.name), None)
    constraints.write_text("".join(f"{name}=={number}\n" for name, number in pins.items()), encoding="utf-8")
    tell("installing")
    run_pip(
        _python(folder), "install", "--constraint", str(constraints), *wanted,
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
        tell(os.path.basename(" ".join(without_secrets(line).split())).partition(" (")[0])  # noqa: PTH119  # a URL's last part
    elif line.startswith("Installing collected packages"):
        tell(f"installing {line.count(',') + 1} packages")
