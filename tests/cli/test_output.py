"""Where verbs write what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.cli.output import make_folder, write_text
from harness.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("folder", ["/dev/null/folder", "/proc"])
def test_a_folder_that_takes_no_files_is_refused_before_anything_is_measured(folder: str, tmp_path: Path) -> None:
    """One sentence names the flag and the folder, whether it cannot be made or cannot be written to."""
    with pytest.raises(InputError, match=rf"--output '{folder}' cannot be made or written to: "):
        make_folder("--output", tmp_path / folder)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder in the place of the page is said, with no traceback."""
    (tmp_path / "page.md").mkdir()
    with pytest.raises(InputError, match=r"--output '.*page\.md' cannot be written: Is a directory"):
        write_text("--output", tmp_path / "page.md", "text")


def test_what_is_written_is_utf_8_and_nothing_else_is_left(tmp_path: Path) -> None:
    """The probe of the folder leaves no file."""
    make_folder("--output", tmp_path / "new")
    write_text("--output", tmp_path / "new" / "page.md", "±")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.md"]
    assert (tmp_path / "new" / "page.md").read_bytes() == "±".encode()
