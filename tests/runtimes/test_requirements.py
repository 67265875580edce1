"""Requirements: those that mean the same every day are taken, and no password among them is written down."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from harness.config import HarnessConfig, ProviderConfig, RuntimeConfig, TracingConfig
from harness.errors import ConfigError
from harness.experiment import public_config
from harness.processes import python_module
from harness.runtimes import runtime_label
from harness.runtimes.environments import MARKER, make_environment
from harness.runtimes.recipe import Recipe, own_distributions, recipe_of
from harness.runtimes.requirements import pinned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "ghp-made-up-token"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECRET = f"mlflow @ git+https://someone:{TOKEN}@host.invalid/mlflow.git"
PYTHON = "3.11.7"


def config(*packages: str) -> HarnessConfig:
    return HarnessConfig(
        provider=ProviderConfig(target="harness.providers.openai:OpenAIProvider"),
        tracing=TracingConfig(target="harness.tracing.autolog:Autolog"),
        runtime=RuntimeConfig(packages=list(packages)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "mlflow==3.10.1",
        "mlflow[genai]==3.10.1",
        "mlflow===3.10.1",
        "mlflow==3.10.1,!=3.10.2",
        'openai==2.47.0; python_version>="3.11"',
        f"mlflow @ git+https://host/mlflow.git@{COMMIT}",
        f"mlflow @ git+https://host/mlflow.git@{COMMIT}#subdirectory=libs",
        f"mlflow @ https://host/mlflow-3.whl#sha256={'0' * 64}",
    ],
)
def test_what_names_one_content_is_taken(text: str) -> None:
    """A version, a commit and a hash stay what they are."""
    assert pinned(text, PYTHON) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mlflow", "leaves the version open"),
        ("mlflow>=3,<4", "such as mlflow==1.2.3"),
        ("mlflow==3.10.*", "leaves the version open"),
        ("mlflow~=3.10.1", "leaves the version open"),
        ("mlflow @ git+https://host/mlflow.git", "names no commit"),
        ("mlflow @ git+https://host/mlflow.git@master", "names no commit"),
        ("mlflow @ https://host/mlflow-3.whl", "without its hash"),
        ("mlflow @ hg+https://host/mlflow", "cannot be kept to one content"),
        ("mlflow @ file:///no/such/file.whl", r"cannot be read \(No such file or directory\)"),
        ("mlflow @ file:///usr", "names a folder"),
        ('openai==2.47.0; python_version<"3.9"', r"does not apply to Python 3\.11\.7"),
        ('openai==2.47.0; extra=="other"', "nothing would be installed"),
    ],
)
def test_what_may_change_from_day_to_day_is_refused(text: str, said: str) -> None:
    """One sentence that names the requirement and what to write instead."""
    with pytest.raises(ConfigError, match=said) as error:
        pinned(text, PYTHON)
    assert str(error.value).startswith("runtime.packages: ")
    assert "\n" not in str(error.value)


def test_another_file_of_the_same_name_makes_another_environment(tmp_path: Path) -> None:
    """The bytes of a local file are part of what an environment is made of."""
    file = tmp_path / "mlflow-3.0-py3-none-any.whl"
    digests = []
    for content in (b"one", b"two", b"one"):
        file.write_bytes(content)
        recipe = recipe_of(config(f"mlflow @ {file.as_uri()}"))
        assert recipe.contents == (hashlib.sha256(content).hexdigest(),)
        digests.append(recipe.digest)
    assert digests[0] == digests[2] != digests[1]


def test_another_version_of_anything_that_the_harness_has_makes_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the requirements leave open is as in the harness, so an upgrade of that counts, too."""
    before = recipe_of(config("mlflow==3.10.1"))
    about = tmp_path / "broughtalong-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: BroughtAlong\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    after = recipe_of(config("mlflow==3.10.1"))
    assert ("broughtalong", "1.0") in after.preferred
    assert before.digest != after.digest


def test_no_record_and_no_label_has_a_password() -> None:
    """Label, configuration, what is told, and the environment's name are those of the address without it."""
    wanted = config(f"{SECRET}@{COMMIT}")
    other = config(f"{SECRET}@{COMMIT}".replace(TOKEN, "another-token"))
    recipe = recipe_of(wanted)
    texts = [runtime_label(wanted.runtime), json.dumps(public_config(wanted)), recipe.words]
    assert all(TOKEN not in text and "[redacted]@host.invalid" in text for text in texts)
    assert recipe.digest == recipe_of(other).digest
    assert TOKEN in recipe.requirements[0]


@pytest.mark.parametrize("text", [SECRET, f"mlflow = {SECRET.partition('@')[2]}"])
def test_no_refusal_has_a_password(text: str, tmp_path: Path) -> None:
    """Neither of what is no requirement, nor of what leaves its content open."""
    ran = subprocess.run(
        python_module("harness", f"runtime.packages=[{text}]"),
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert ran.returncode == 2
    assert "[redacted]@host.invalid" in ran.stderr
    assert TOKEN not in ran.stderr + ran.stdout


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which a server on this machine gives its files to one who has the token."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://someone:{TOKEN}@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.calibration
def test_nothing_in_an_environment_has_a_password(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the marker nor anything that pip leaves; nor what is told meanwhile, nor what is said of a failure."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder, address = served
    name = "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        archive.writestr(
            "small-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("small-1.0.dist-info/RECORD", "")
    right = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    told: list[str] = []

    def recipe(sha256: str) -> Recipe:
        text = f"small @ {address}/{name}#sha256={sha256}"
        pinned(text, PYTHON)
        return Recipe((text,), (), sys.executable, PYTHON, own_distributions())

    made = make_environment(recipe(right), told.append)
    assert made.versions["small"] == "1.0"
    assert "[redacted]@127.0.0.1" in (made.folder / MARKER).read_text()
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    with pytest.raises(ConfigError) as error:
        make_environment(recipe("0" * 64), told.append)
    assert "small" in str(error.value)
    assert TOKEN not in " ".join([*told, str(error.value)])
