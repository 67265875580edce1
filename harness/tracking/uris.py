"""Addresses of stores: made absolute, and checked before use."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.errors import EndpointError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*:")


def absolute_uri(uri: str) -> str:
    """The same store from any folder: relative SQLite and file paths are taken from the current one."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return f"{prefix}{Path(uri.removeprefix(prefix)).absolute()}"
    if _SCHEME.match(uri) or uri.startswith(("databricks", "uc")):
        return uri
    return Path(uri).absolute().as_uri()


def check_store(uri: str) -> None:
    """Refuse a store that cannot be used, before anything is measured.

    Raises:
        EndpointError: Naming the store and what is wrong with it.
    """
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if path.is_dir():
            raise EndpointError(f"store.uri {uri!r} is a folder; name a file, such as sqlite:///mlflow.db")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise EndpointError(f"store.uri {uri!r} lies in {path.parent}, which is not a folder one can write to")
        if path.exists():
            if not os.access(path, os.R_OK | os.W_OK):
                raise EndpointError(f"store.uri {uri!r} is a file that one cannot write to")
            with path.open("rb") as file:
                if file.read(15) not in (b"", b"SQLite format 3"):
                    raise EndpointError(f"store.uri {uri!r} is a file that is not a SQLite database")
