"""Files that verbs write where a person says."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from harness.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def make_folder(flag: str, folder: Path) -> None:
    """Make a folder for results, and see that files can be made in it: what was measured for an hour must land.

    Args:
        flag: What the person gave it with.
        folder: Made with its parents if it is not there.

    Raises:
        InputError: If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{flag} {str(folder)!r} cannot be made or written to: {error.strerror}") from error


def write_text(flag: str, path: Path, text: str) -> None:
    """Write a result, as UTF-8.

    Raises:
        InputError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{flag} {str(path)!r} cannot be written: {error.strerror}") from error
