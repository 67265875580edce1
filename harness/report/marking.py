"""Texts and tables as Markdown has them, with nothing from outside taken for markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$#&!])")


def escape(text: str) -> str:
    """A text that Markdown prints as it is: on one line, no markup, no HTML, no table bars."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def escape_sentence(text: str) -> str:
    """Like ``escape``, but an interval keeps its brackets: ``[3.8, 4.6]`` is no markup."""
    return re.sub(r"\\\[([−+\-\d., \N{NO-BREAK SPACE}]+)\\\]", r"[\1]", escape(text))  # noqa: RUF001 - our minus


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table; its texts must be escaped."""
    titles = list(headings)
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
