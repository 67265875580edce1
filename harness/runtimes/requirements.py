"""Requirements that mean the same today and next year, so that a kept environment never goes stale."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement

from harness.errors import ConfigError
from harness.urls import without_secrets

if TYPE_CHECKING:
    from packaging.specifiers import Specifier

_COMMIT = re.compile(r"@[0-9a-f]{40}$", re.IGNORECASE)
_HASH = re.compile(r"(?:^|&)sha256=[0-9a-f]{64}(?:&|$)", re.IGNORECASE)


def pinned(text: str, python_version: str) -> str:
    """The SHA-256 of the file that a requirement names; empty where it names none.

    Args:
        text: The requirement.
        python_version: Of the interpreter that it is for, such as ``3.11.7``.

    Raises:
        ConfigError: If it does not apply to that interpreter, or what it means may change from one day to another.
    """
    requirement = Requirement(text)
    shown = f"runtime.packages: {without_secrets(text)!r}"
    python = {
        "python_version": ".".join(python_version.split(".")[:2]),
        "python_full_version": python_version,
        "implementation_version": python_version,
    }
    if requirement.marker is not None and not requirement.marker.evaluate(python):
        raise ConfigError(
            f"{shown} does not apply to Python {python_version} on this machine, so nothing would be installed; "
            "leave it out, or change what stands after the semicolon"
        )
    if requirement.url is not None:
        return _pinned_address(requirement.url, shown)
    if not any(map(_is_exact, requirement.specifier)):
        raise ConfigError(
            f"{shown} leaves the version open, so that it would mean another one from day to day; name one version, "
            f"such as {requirement.name}==1.2.3"
        )
    return ""


def _is_exact(specifier: Specifier) -> bool:
    return specifier.operator == "===" or (specifier.operator == "==" and not specifier.version.endswith(".*"))


def _pinned_address(url: str, shown: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _digest(Path(unquote(parts.path)), shown)
    if parts.scheme.startswith("git+"):
        if not _COMMIT.search(parts.path):
            raise ConfigError(
                f"{shown} names no commit, and a branch or a tag may move; end its address in @COMMIT (40 digits)"
            )
    elif parts.scheme in ("http", "https"):
        if not _HASH.search(parts.fragment):
            raise ConfigError(
                f"{shown} names a file on a server without its hash, so that it may change; end its address in "
                "#sha256= and the hash"
            )
    else:
        raise ConfigError(
            f"{shown} is at an address that cannot be kept to one content; use name==version, a file "
            "(file:///path/name-1.2.3-py3-none-any.whl), a commit (git+https://...@COMMIT) or https://...#sha256=HASH"
        )
    return ""


def _digest(path: Path, shown: str) -> str:
    if path.is_dir():
        raise ConfigError(
            f"{shown} names a folder, whose content may change unseen; build a wheel of it with "
            "`pip wheel --no-deps` and name that file"
        )
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read ({error.strerror}); name a wheel or an archive") from error
