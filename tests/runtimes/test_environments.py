"""Environments of other versions: how they are named, made, waited for, and refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from harness.config import HarnessConfig, ProviderConfig, RuntimeConfig, TracingConfig
from harness.errors import ConfigError
from harness.processes import python_module
from harness.runtimes import SeparateRuntime, prepare_runtimes
from harness.runtimes.environments import MARKER, find_environment, make_environment
from harness.runtimes.needs import needed_distributions
from harness.runtimes.recipe import Recipe, environments_folder, own_distributions, recipe_of

if TYPE_CHECKING:
    from pathlib import Path

OPENAI = "harness.providers.openai:OpenAIProvider"
AUTOLOG = "harness.tracing.autolog:Autolog"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return environments_folder()


def wheel(folder: Path, name: str, version: str, *requires: str, body: str = "") -> Path:
    """A pure package with one module, as a wheel."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n{body}",
        f"{about}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *(f"Requires-Dist: {r}" for r in requires),
            ]
        )
        + "\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"]))
    return path


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the one place where pip looks."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def recipe(*requirements: str) -> Recipe:
    return Recipe(requirements, (), sys.executable, "3", own_distributions())


def config(*packages: str, python: str = "") -> HarnessConfig:
    return HarnessConfig(
        provider=ProviderConfig(target=OPENAI),
        tracing=TracingConfig(target=AUTOLOG),
        runtime=RuntimeConfig(packages=list(packages), python=python),
    )


def test_the_order_of_requirements_does_not_matter() -> None:
    """Two runtimes that name the same packages share an environment."""
    assert recipe_of(config("a==1", "b==2")).digest == recipe_of(config("b==2", "a == 1")).digest


@pytest.mark.parametrize(
    "other",
    [
        Recipe(("a==2",), (("b", "1"),), "/python", "3.11.7"),
        Recipe(("a==1",), (("b", "2"),), "/python", "3.11.7"),
        Recipe(("a==1",), (("b", "1"),), "/other/python", "3.11.7"),
        Recipe(("a==1",), (("b", "1"),), "/python", "3.11.8"),
        Recipe(("a==1",), (("b", "1"),), "/python", "3.11.7", (("brought-along", "2"),)),
        Recipe(("a==1",), (("b", "1"),), "/python", "3.11.7", (), ("5891b5b5",)),
    ],
)
def test_all_that_an_environment_is_made_of_is_in_its_name(other: Recipe) -> None:
    """A version, anything that the harness has, an interpreter or a file's bytes make another environment."""
    assert other.digest != Recipe(("a==1",), (("b", "1"),), "/python", "3.11.7").digest


def test_needs_are_read_from_what_the_worker_imports() -> None:
    """The SDK of the provider, MLflow and Pydantic are needed; other SDKs and the harness's own tools are not."""
    found = needed_distributions((OPENAI, AUTOLOG))
    assert {"mlflow", "openai", "pydantic"} <= set(found)
    assert not {"mistralai", "langchain", "hydra-core", "uvicorn", "llm-tracing-harness"} & set(found)


def test_a_provider_from_a_file_brings_its_own_needs(tmp_path: Path) -> None:
    """What a file of one's own imports is needed, but for what only a type checker imports."""
    file = tmp_path / "own.py"
    file.write_text("from typing import TYPE_CHECKING\nimport rich.text\nif TYPE_CHECKING:\n    import uvicorn\n")
    found = needed_distributions((f"{file}:Own", AUTOLOG))
    assert "rich" in found
    assert "uvicorn" not in found


def test_a_package_is_installed_once_and_found_again(offline: Path) -> None:
    """The second time nothing is done, even where pip could find nothing any more."""
    wheel(offline, "smallpackage", "1.0")
    wheel(offline, "smallpackage", "2.0")
    made = make_environment(recipe("smallpackage==1.0"), lambda _: None)
    assert made.versions["smallpackage"] == "1.0"
    shutil.rmtree(offline)
    told: list[str] = []
    assert make_environment(recipe("smallpackage==1.0"), told.append) == made
    assert not told
    printed = subprocess.run(
        [made.python, "-I", "-c", "import smallpackage; print(smallpackage.VERSION)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert printed.stdout.strip() == "1.0"


@pytest.mark.calibration
def test_the_rest_has_the_harnesss_versions(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a package that requirements leave open, pip takes the version that the harness has, not the newest."""
    installed = offline.parent / "installed"
    about = installed / "restpackage-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: restpackage\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(installed)
    for version in ("0.9", "1.0", "2.0"):
        wheel(offline, "restpackage", version)
    wheel(offline, "askedpackage", "1.0", "restpackage")
    wheel(offline, "askedpackage", "0.5", "restpackage<1")
    assert make_environment(recipe("askedpackage==1.0"), lambda _: None).versions["restpackage"] == "1.0"
    assert make_environment(recipe("askedpackage==0.5"), lambda _: None).versions["restpackage"] == "0.9"


def test_what_cannot_be_found_is_one_sentence_and_leaves_nothing(offline: Path, cache: Path) -> None:
    """The reason that pip gives is in the sentence, and no half environment stays."""
    assert offline.is_dir()
    with pytest.raises(
        ConfigError, match=r"no_such==1.*pip says No matching distribution found for no_such==1"
    ) as error:
        make_environment(recipe("no_such==1"), lambda _: None)
    assert "\n" not in str(error.value)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


@pytest.mark.calibration
def test_a_conflict_names_who_wants_what(offline: Path) -> None:
    """The sentence says what each side asks for."""
    wheel(offline, "lowpackage", "1.0")
    wheel(offline, "highpackage", "1.0", "lowpackage>=2")
    with pytest.raises(ConfigError, match=r"highpackage 1\.0 depends on lowpackage>=2"):
        make_environment(recipe("highpackage==1.0", "lowpackage==1.0"), lambda _: None)


@pytest.mark.calibration
def test_a_broken_off_build_is_not_taken_for_whole(offline: Path, cache: Path) -> None:
    """An environment without its marker, as a killed build leaves it, is made anew."""
    wheel(offline, "smallpackage", "1.0")
    wanted = recipe("smallpackage==1.0")
    remains = cache / wanted.digest / "bin"
    remains.mkdir(parents=True)
    (remains / "python").symlink_to(sys.executable)
    assert find_environment(wanted) is None
    assert make_environment(wanted, lambda _: None).versions["smallpackage"] == "1.0"


@pytest.mark.parametrize("marker", ["{}", "[]", '{"versions": {}}', '{"versions": null}', "{", ""])
def test_a_marker_that_does_not_say_what_is_installed_is_none(offline: Path, cache: Path, marker: str) -> None:
    """Such an environment is made anew, as one without a marker."""
    wheel(offline, "smallpackage", "1.0")
    wanted = recipe("smallpackage==1.0")
    (cache / wanted.digest / "bin").mkdir(parents=True)
    (cache / wanted.digest / "bin" / "python").symlink_to(sys.executable)
    (cache / wanted.digest / MARKER).write_text(marker)
    assert find_environment(wanted) is None


@pytest.mark.calibration
def test_packages_that_break_their_python_are_one_sentence(offline: Path, cache: Path) -> None:
    """Where the new interpreter cannot list what it has, that is told, and nothing stays."""
    wheel(offline, "sitecustomize", "1.0", body="raise SystemExit('no more')\n")
    with pytest.raises(ConfigError, match=r"sitecustomize==1\.0 breaks the Python.*no more") as error:
        make_environment(recipe("sitecustomize==1.0"), lambda _: None)
    assert "\n" not in str(error.value)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_an_interpreter_that_makes_no_usual_environment_is_refused(tmp_path: Path, cache: Path) -> None:
    """The sentence names it, and nothing stays."""
    odd = tmp_path / "python"
    odd.write_text('#!/bin/sh\nfor last; do :; done\nmkdir -p "$last/bin"\n')
    odd.chmod(0o755)
    with pytest.raises(ConfigError, match=r"/python makes environments without lib/python\*/site-packages"):
        make_environment(recipe("smallpackage==1.0")._replace(python=str(odd)), lambda _: None)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


@pytest.mark.parametrize(("days", "said"), [(0, "today"), (1, "1 day ago"), (400, "400 days ago")])
def test_the_age_of_a_kept_environment_is_told(cache: Path, days: int, said: str) -> None:
    """Once for all cells that share it, with where it is."""
    cells = [config("mlflow==3.10.1")] * 2
    folder = cache / recipe_of(cells[0]).digest
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / MARKER).write_text('{"versions": {"mlflow": "3.10.1"}}')
    then = time.time() - days * 86_400 - 60
    os.utime(folder / MARKER, (then, then))
    told: list[str] = []
    prepare_runtimes(cells, told.append)
    (line,) = told
    assert line.startswith("environment with mlflow==3.10.1: made on 20")
    assert line.endswith(f", {said}, in {folder}")


def _make(found: multiprocessing.Queue[tuple[int, list[str]]]) -> None:
    told: list[str] = []
    made = make_environment(recipe("smallpackage==1.0"), told.append)
    found.put(((made.folder / MARKER).stat().st_mtime_ns, told))


@pytest.mark.calibration
def test_two_at_once_make_one(offline: Path) -> None:
    """Of two processes that want the same environment one makes it, and the other waits and takes it."""
    wheel(offline, "smallpackage", "1.0")
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[tuple[int, list[str]]] = context.Queue()
    makers = [context.Process(target=_make, args=(found,)) for _ in range(2)]
    for maker in makers:
        maker.start()
    results = [found.get(timeout=200) for _ in makers]
    for maker in makers:
        maker.join()
    assert len({written for written, _ in results}) == 1
    assert sorted(any("waiting" in line for line in told) for _, told in results) == [False, True]


@pytest.mark.calibration
def test_only_our_own_package_is_seen_from_outside(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's interpreter finds the harness, and none of the packages that stand in the harness's environment."""
    wheel(offline, "smallpackage", "1.0")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    wanted = recipe("smallpackage==1.0")
    place = tmp_path / "place"
    place.mkdir()
    runtime = SeparateRuntime(wanted, make_environment(wanted, lambda _: None), place)
    command = runtime.command("harness")
    asked = "import harness, importlib.util, json; print(json.dumps(importlib.util.find_spec('mlflow') is None))"
    ran = subprocess.run(
        [*command[: command.index("-m")], "-c", asked],
        env=runtime.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(ran.stdout) is True


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("runtime.packages=[mlflow=3]", "'mlflow=3' is not a requirement"),
        ("runtime.packages=[openai==2.47.0,OpenAI]", "names openai twice"),
        ("runtime.python=/no/such/python", "runtime.python='/no/such/python' is not a program that runs"),
    ],
)
def test_what_is_no_requirement_is_refused_at_once(tmp_path: Path, override: str, said: str) -> None:
    """One sentence, status 2, no traceback, before anything is started."""
    ran = subprocess.run(
        python_module("harness", override),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert ran.returncode == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.calibration
def test_a_requirement_that_cannot_be_installed_ends_with_status_2(offline: Path, tmp_path: Path) -> None:
    """Before anything is measured or written, in one sentence after what was being done."""
    assert offline.is_dir()
    ran = subprocess.run(
        python_module("harness", "runtime.packages=[no_such==1]"),
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("harness: runtime.packages=no_such==1 cannot be installed: pip says ")
    assert not (tmp_path / "mlflow.db").exists()
