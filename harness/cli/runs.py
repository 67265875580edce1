"""Runs as a command line names them: a file, or a sweep or a cell in the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.gate import read_document

if TYPE_CHECKING:
    from harness.gate import Run

CELLS_FILE = "cells.json"


def run_of_file(what: str, name: str) -> Run | None:
    """A run by file or folder; ``None`` where the name can only be one of the store.

    Args:
        what: What messages call the argument, such as ``--baseline``.
        name: As it was given.

    Raises:
        InputError: If it is a file or a folder that cannot be read, or looks like one that is not there.
    """
    if not name:
        return None
    path = Path(name)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        if is_folder:
            path /= CELLS_FILE
            is_file = path.is_file()
        text = path.read_bytes() if is_file else None
    except OSError as error:
        raise InputError(f"{what} {name!r} cannot be read: {error.strerror}") from error
    if text is not None:
        return read_document(str(path), text)
    if is_folder:
        raise InputError(f"{what} {name!r} is a folder without {CELLS_FILE}; name a file in it")
    # Names of cells hold slashes, too, but with blanks around.
    if " / " not in name and (path.suffix or len(path.parts) > 1):
        raise InputError(f"{what} {name!r}: there is no such file or folder")
    return None
