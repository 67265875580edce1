"""Requirements on the command line: quoted as Hydra's grammar wants it, so that people need not."""

from __future__ import annotations

import re

KEY = "runtime.packages="
_PARTS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[][,]|[^][,'"]+""")


def with_quoted_requirements(override: str) -> str:
    """``runtime.packages=[mlflow==3.10.1]`` with its requirements quoted; any other override as it is.

    Hydra takes no second ``=`` in a value. What a person has quoted stays, and has to be quoted where it
    holds a comma or brackets.
    """
    if not override.startswith(KEY):
        return override
    parts = _PARTS.findall(override.removeprefix(KEY))
    return KEY + "".join(part if part[0] in "[],'\"" or not part.strip() else f"'{part.strip()}'" for part in parts)
