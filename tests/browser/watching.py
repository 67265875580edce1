"""What a page did that it should not: requests that leave the machine, errors on the console."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Route

INSIDE = ("data", "blob", "about", "file")
"""Schemes that reach no network."""


class Known(NamedTuple):
    """Something of MLflow's own pages that is none of our doing.

    Attributes:
        name: What it is.
        pattern: Of the console's text or the request's address.
        why: Why it may be let pass.
    """

    name: str
    pattern: str
    why: str


MLFLOW_REQUESTS: tuple[Known, ...] = ()
"""Addresses outside of the machine that MLflow's own pages ask for. They are cut off as all others are, and listed."""

MLFLOW_CONSOLE: tuple[Known, ...] = (
    Known(
        "who is logged in",
        r"404 .*/ajax-api/2\.0/mlflow/users/current\)",
        "every page asks it, and a server without log-in does not know the address",
    ),
    Known(
        "a table that is laid out in two steps",
        r"ResizeObserver loop completed with undelivered notifications",
        "the browser says so where MLflow's table of traces is slow to find its width, and draws it a frame later",
    ),
)
"""Errors that MLflow's own pages write to the console with any store."""


class Watch:
    """Everything that the pages of one browser context asked for and complained of.

    Args:
        context: Its requests that would leave the machine are cut off from now on.
        host: The one host and port that may be asked.
    """

    def __init__(self, context: BrowserContext, host: str) -> None:
        self._host = host
        self.requests: list[str] = []
        self.left: list[str] = []
        self.errors: list[str] = []
        context.route("**/*", self._take)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._fail(error.error))

    def _take(self, route: Route) -> None:
        url = route.request.url
        self.requests.append(url)
        parts = urlsplit(url)
        if parts.scheme in INSIDE or parts.netloc == self._host:
            route.continue_()
        else:
            self.left.append(url)
            route.abort()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _fail(self, error: Error) -> None:
        self.errors.append(f"uncaught: {error.message}")

    def unexplained(self) -> list[str]:
        """What no line of the lists above explains, a request that was cut off and its error on the console alike."""
        found = [f"request to {url}" for url in self.left if not explained(url, MLFLOW_REQUESTS)]
        known = (*MLFLOW_CONSOLE, *MLFLOW_REQUESTS)
        return found + [f"console: {text}" for text in self.errors if not explained(text, known)]


def explained(text: str, known: tuple[Known, ...]) -> bool:
    """Whether one of these is what the text is about."""
    return any(re.search(one.pattern, text) for one in known)
