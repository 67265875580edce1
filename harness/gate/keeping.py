"""Under which name CI keeps a baseline, so that it finds one that a run may be compared with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.completeness.facts import FACTS_VERSION
from harness.gate.sweeps import MachineDocument, machine_conditions, python_minor
from harness.report.data import CELLS_SCHEMA_VERSION

if TYPE_CHECKING:
    from harness.records import Machine

PREFIX = "baseline"


def baseline_name(machine: Machine) -> str:
    """A name of letters, digits, dots and dashes: one for all machines of a class and documents that can be compared.

    It has the class of the machine as the gate compares it, the minor version of Python, the schema of
    ``cells.json`` and the version of the facts.
    """
    conditions = machine_conditions(MachineDocument.model_validate(machine.model_dump()))
    cpu, count, memory, filesystem, arms, idle = conditions.values()
    parts = (
        f"{PREFIX}-cells{CELLS_SCHEMA_VERSION}-facts{FACTS_VERSION}-python{python_minor(machine.python)}",
        f"{cpu}-x{count}-{memory}-{filesystem or 'unknown'}-arms{arms}-idle-{idle}",
    )
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts)).strip("-").lower()
