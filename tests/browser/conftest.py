"""A real sweep in a real store, a real ``mlflow ui`` over it, and Debian's Chromium to look at it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.processes import python_module
from tests.browser.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow.entities import Run
    from playwright.sync_api import Browser, Page

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
SCRIPT = "<script>document.title = 'hacked'</script>"
SAMPLES = (
    {"id": "sum", "prompt": "What is 17 + 25? Number only.", "expected": "42"},
    {"id": "capital", "prompt": "Capital of France? One word.", "stream": True, "expected": "Paris"},
    {"id": "script", "prompt": f"Say what this does: {SCRIPT}", "expected": SCRIPT},
    {
        "id": "thanks",
        "prompt": "Say thanks in French. One word.",
        "parameters": {"temperature": 0},
        "expected": "Merci",
    },
)
TINY = (
    "measure.forks=4",
    "measure.max_forks=4",
    "measure.blocks=2",
    "measure.calls_per_block=6",
    "measure.warmup_calls=4",
    "measure.period_ms=20",
)
EXPERIMENT = "tracing-harness"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where screenshots go, and a store to look at instead of a small one of the suite's own."""
    group = parser.getgroup("browser")
    group.addoption("--screenshots", metavar="DIR", help="folder for screenshots; without it they are not kept")
    group.addoption("--ui-store", metavar="FILE", help="SQLite store with a sweep to look at, in place of a small one")
    group.addoption("--ui-experiment", metavar="NAME", default=EXPERIMENT, help="the experiment in it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


class Shown(NamedTuple):
    """A sweep, and the server that shows it.

    Attributes:
        url: Of the server, without a slash at its end.
        experiment_id: Of its experiment.
        parent: The latest sweep's run.
        cells: The runs of its cells.
        report: Its report as a file.
    """

    url: str
    experiment_id: str
    parent: Run
    cells: tuple[Run, ...]
    report: Path

    @property
    def experiment(self) -> str:
        """The address of the experiment in MLflow's UI."""
        return f"{self.url}/#/experiments/{self.experiment_id}"

    def run(self, run: Run, place: str = "") -> str:
        """The address of a run's page."""
        return f"{self.experiment}/runs/{run.info.run_id}{place}"

    def cell(self, tracing: str) -> Run:
        """The run of a cell."""
        return next(run for run in self.cells if run.data.params["tracing"] == tracing)


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one small sweep, or the one that was asked for."""
    if asked := request.config.getoption("--ui-store"):
        return Path(asked).absolute()
    folder = tmp_path_factory.mktemp("sweep")
    lines = "".join(json.dumps(sample) + "\n" for sample in SAMPLES)
    (folder / "prompts.jsonl").write_text(lines, encoding="utf-8")
    arguments = ("-m", "provider=openai", "tracing=none,manual,autolog", "prompts.path=prompts.jsonl", *TINY)
    done = subprocess.run(
        python_module("harness", *arguments), cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def ui_url(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real ``mlflow ui`` over the store, on this machine alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("ui")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [
                *python_module("mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{store}"),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(port, server, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    import httpx

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"mlflow ui did not come up: {log.read_text(encoding='utf-8')[-2000:]}")


@pytest.fixture(scope="session")
def shown(request: pytest.FixtureRequest, store: Path, ui_url: str, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The latest sweep of the store."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    name = request.config.getoption("--ui-experiment", default=EXPERIMENT)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None, f"{store} has no experiment {name!r}"
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    parent = [run for run in runs if run.data.tags.get("harness.kind") == "sweep"][-1]
    cells = tuple(run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id)
    folder = tmp_path_factory.mktemp("report")
    report = Path(client.download_artifacts(parent.info.run_id, "report.html", str(folder)))
    return Shown(ui_url, experiment.experiment_id, parent, cells, report)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window; Playwright's own build is not asked for."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if found is None:
        pytest.fail("there is no Chromium on this machine: `apt-get install chromium`")
    # Chromium's own sandbox needs user namespaces, which root in a container often may not make.
    own = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=[*own, *quiet])
        yield chromium
        chromium.close()


class Look:
    """Opens pages that are watched, and takes screenshots of them."""

    def __init__(self, browser: Browser, host: str, folder: Path | None) -> None:
        self._browser = browser
        self._host = host
        self._folder = folder
        self._opened: list[tuple[Any, Watch]] = []

    def page(self, width: int = 1600, height: int = 1000, scheme: Any = "light") -> Page:
        """A page of its own, whose every request and complaint is watched."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, service_workers="block"
        )
        context.set_default_timeout(60_000)
        self._opened.append((context, Watch(context, self._host)))
        return context.new_page()

    def shot(self, page: Page, name: str, *, whole: bool = False) -> None:
        """Keep what the page looks like, where that was asked for."""
        if self._folder is not None:
            page.wait_for_timeout(400)
            page.screenshot(path=self._folder / f"{name}.png", full_page=whole)

    def watches(self) -> list[Watch]:
        """What was seen of all pages."""
        return [watch for _, watch in self._opened]

    def close(self) -> None:
        """Close all pages."""
        for context, _ in self._opened:
            context.close()


@pytest.fixture
def look(browser: Browser, ui_url: str, request: pytest.FixtureRequest) -> Iterator[Look]:
    """Opens watched pages; afterwards nothing may have left the machine, and no error may be ours."""
    asked = request.config.getoption("--screenshots", default=None)
    folder = None if asked is None else Path(asked)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    looking = Look(browser, ui_url.removeprefix("http://"), folder)
    try:
        yield looking
        assert [text for watch in looking.watches() for text in watch.unexplained()] == []
    finally:
        looking.close()


@pytest.fixture
def open_page(look: Look) -> Callable[..., Page]:
    """Open an address of MLflow's UI."""

    def opened(url: str, **how: Any) -> Page:
        page = look.page(**how)
        # As a person who has switched the sidebar to runs; frames inside the page may not remember anything.
        page.add_init_script(
            "if (window === window.top) window.localStorage.setItem('mlflow.workflowType_v1', '\"machine_learning\"')"
        )
        page.goto(url)
        return page

    return opened
