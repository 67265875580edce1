"""Where things are kept that are dear to make and may be removed at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """A folder for one kind of things in the person's cache folder; it need not be there yet.

    Args:
        name: The kind.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return home / "llm-tracing-harness" / name
