"""What the gate found, as JUnit XML: one test case a cell and quantity."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from harness.gate.results import Comparison, GateResult

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form."""


def junit_xml(result: GateResult, *, strict: bool) -> str:
    """A test suite that CI servers read: worse is a failure, inconclusive is skipped (a failure with ``strict``).

    Where the runs must not be compared, the one test case is an error.
    """
    suite = ET.Element("testsuite", name="harness gate")
    counts = {"failure": 0, "skipped": 0, "error": 0}
    for one in result.comparisons:
        kind = _kind(one, strict=strict)
        _case(suite, one.cell, one.quantity, kind, one.sentence)
        if kind:
            counts[kind] += 1
    if result.refusals:
        _case(suite, "harness gate", "comparable", "error", result.summary())
        counts["error"] += 1
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _kind(one: Comparison, *, strict: bool) -> str:
    if one.outcome == "worse" or (strict and one.outcome == "inconclusive"):
        return "failure"
    return "skipped" if one.outcome == "inconclusive" else ""


def _case(suite: ET.Element, cell: str, quantity: str, kind: str, sentence: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=_text(cell), name=_text(quantity))
    if kind:
        ET.SubElement(case, kind, message=_text(sentence))
    else:
        ET.SubElement(case, "system-out").text = _text(sentence)


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
