"""What a calibration has finished so far, in a folder, so that it can be taken up again."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from harness.calibration.code import measuring_code
from harness.errors import InputError
from harness.machine import package_versions
from harness.records import read_cell, write_cell

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from harness.records import CellRecords, Machine

SCHEMA_VERSION = 1
TOOLS = ("pyperf", "pytest-benchmark")
"""What the same samples are shown to beside the harness; they need not be installed."""
MEASURING_CODE = "measuring code"
"""How a digest of the harness's own modules is called, see ``harness.calibration.code``."""
_FILE = "state.json"
_BEGUN = "begun.jsonl"
_CHANGES = ("load_1min",)
"""What is another each time on the same machine."""


def conditions(machine: Machine, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for cells to belong together: code, versions, machine and settings, by name."""
    described = machine.model_dump(mode="json")
    found: dict[str, Any] = {"schema": SCHEMA_VERSION, MEASURING_CODE: measuring_code()}
    found |= {f"version of {name}": value for name, value in {**package_versions(), **tool_versions()}.items()}
    found |= {f"machine's {name}": value for name, value in described.items() if name not in _CHANGES}
    found |= dict(settings)
    return found


def tool_versions() -> dict[str, str]:
    """The versions of ``TOOLS`` that are installed."""
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class State:
    """Finished parts under their names; a part that was broken off leaves nothing.

    Args:
        folder: Where they are kept; made if it is not there.
        wanted: The conditions of this run, see ``conditions``.

    Raises:
        InputError: If the folder cannot be made or read, or holds parts made under other conditions.
    """

    def __init__(self, folder: Path, wanted: Mapping[str, Any]) -> None:
        self.folder = folder
        path = folder / _FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                if any(folder.iterdir()):
                    raise InputError(f"--state {str(folder)!r} holds other files; give a new folder")
                path.write_text(json.dumps(wanted, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            before = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"--state {str(folder)!r} cannot be used: {error.strerror}") from error
        except ValueError as error:
            raise InputError(f"--state {str(folder)!r}: {path.name} is damaged; give a new folder") from error
        if not isinstance(before, dict):
            raise InputError(f"--state {str(folder)!r}: {path.name} is damaged; give a new folder")
        # As the file holds it: a tuple comes back from JSON as a list.
        now = json.loads(json.dumps(dict(wanted)))
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                raise InputError(
                    f"--state {str(folder)!r} was begun with {name} {before.get(name)!r}, and this run has "
                    f"{now.get(name)!r}: their cells cannot be put together; give another --state"
                )

    def has(self, name: str) -> bool:
        """Whether a part is finished."""
        return self._place(name).exists()

    def begin(self, name: str) -> None:
        """Note that a part is begun, so that one that does not finish is counted."""
        with self._place(_BEGUN).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "begun_unix_ns": time.time_ns()}) + "\n")

    def unfinished(self, finished: Collection[str]) -> int | None:
        """How often a part was begun and did not finish; ``None`` if that was not noted of all parts.

        Args:
            finished: Names of parts that did, each of which has to have been noted.
        """
        try:
            lines = self._place(_BEGUN).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        begun = Counter(json.loads(line)["name"] for line in lines)
        if not begun.keys() >= set(finished):
            return None
        return sum(count - self.has(name) for name, count in begun.items())

    def keep_cell(self, name: str, records: CellRecords) -> None:
        """Keep a cell's records."""
        begun = self.folder / f"{name}.begun"
        shutil.rmtree(begun, ignore_errors=True)
        write_cell(begun, records)
        begun.rename(self._place(name))

    def cell(self, name: str) -> CellRecords:
        """A finished cell's records.

        Raises:
            CellError: If they are damaged.
        """
        return read_cell(self._place(name))

    def keep(self, name: str, value: Any) -> None:
        """Keep a value that JSON can hold."""
        begun = self.folder / f"{name}.begun"
        begun.write_text(json.dumps(value) + "\n", encoding="utf-8")
        begun.rename(self._place(name))

    def value(self, name: str) -> Any:
        """A finished value."""
        return json.loads(self._place(name).read_text(encoding="utf-8"))

    def _place(self, name: str) -> Path:
        return self.folder / name
