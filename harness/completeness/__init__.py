"""Completeness: what a call's exchanges prove, held against what its trace holds.

Pure functions of records. ``judge_cell`` is the way in; ``FACTS`` is the table of what is judged.
"""

from harness.completeness.facts import FACTS, FACTS_VERSION, Fact, facts_for
from harness.completeness.places import Place
from harness.completeness.scores import judge_cell
from harness.completeness.wire import CallWire, WireRequest, observe, observe_call

__all__ = [
    "FACTS",
    "FACTS_VERSION",
    "CallWire",
    "Fact",
    "Place",
    "WireRequest",
    "facts_for",
    "judge_cell",
    "observe",
    "observe_call",
]
