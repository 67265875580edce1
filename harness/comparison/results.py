"""What a comparison finds, as frozen values that carry all that is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.gate.results import Margins, Scope
from harness.gate.runs import Sides
from harness.records import Record
from harness.report.format import count, listed

if TYPE_CHECKING:
    from harness.gate.runs import Run
    from harness.results import CellResult

LineVerdict = Literal["worse", "better", "mixed", "same", "equivalent", "inconclusive"]

CHANGED: tuple[LineVerdict, ...] = ("worse", "better", "mixed")
KEPT: tuple[LineVerdict, ...] = ("same", "equivalent")
WORDS: dict[LineVerdict, str] = {
    "worse": "worse",
    "better": "better",
    "mixed": "better and worse",
    "same": "the same",
    "equivalent": "equivalent",
    "inconclusive": "can't be said",
}
"""Verdicts in people's words."""

A_AND_B = Sides("A", "B")
"""What sentences call the two sides."""


class Side(NamedTuple):
    """What is compared: a sweep or one cell of it.

    Attributes:
        title: In people's words, such as ``sweep 3f2a91bc``.
        name: Short and fit for a folder's name: the id of the sweep or of the cell.
        run: Its cells as the gate reads them.
        results: Everything that is known of them, by cell id; empty where there is only ``cells.json``.
        when: When it was measured, in words; empty if nobody said.
    """

    title: str
    name: str
    run: Run
    results: dict[str, CellResult]
    when: str = ""


class Line(Record):
    """One quantity of one pair.

    Attributes:
        quantity: Such as ``added p50`` or ``recall``.
        a: The value of the first, as it is printed; a dash where there is none.
        b: The value of the second.
        difference: B minus A with its interval, as it is printed; empty where the comparison is exact.
        sentence: What was found, whole and in plain text, without the pair.
        p_no_difference: Corrected for all comparisons that chance may touch; ``None`` where it is exact or impossible.
        p_no_equivalence: Likewise.
    """

    quantity: str
    verdict: LineVerdict
    a: str
    b: str
    difference: str = ""
    sentence: str
    p_no_difference: float | None = None
    p_no_equivalence: float | None = None


class FactMove(Record):
    """A fact that has another verdict in the second than in the first, in one way.

    Attributes:
        convention: Whose places were searched: ``mlflow`` or ``otel``.
        was: The verdict in the first; empty where the fact did not apply.
        now: The verdict in the second.
        times: Of so many requests.
        sample: The first sample that shows it.
        wire: What the wire shows there, as compact JSON; empty where the records are not at hand.
        a: What the first one's trace holds there.
        b: What the second one's trace holds there.
        a_trace_id: The evidence, where there is a trace.
        b_trace_id: Likewise.
    """

    convention: str
    fact: str
    was: str
    now: str
    times: int
    sample: str
    wire: str = ""
    a: str = ""
    b: str = ""
    a_trace_id: str = ""
    b_trace_id: str = ""


class ComparedPair(Record):
    """Two cells that are held against each other.

    Attributes:
        title: What both are, and where they differ.
        a: Label of the first.
        b: Label of the second.
        differs: What the cells themselves differ in: name, value in A, value in B.
        lines: The quantities, the gravest groups first.
        moves: Facts that have another verdict, in MLflow's places first.
    """

    title: str
    a: str
    b: str
    differs: tuple[tuple[str, str, str], ...] = ()
    lines: tuple[Line, ...] = ()
    moves: tuple[FactMove, ...] = ()

    def of(self, verdicts: tuple[LineVerdict, ...]) -> tuple[Line, ...]:
        """The lines with one of these verdicts."""
        return tuple(line for line in self.lines if line.verdict in verdicts)


class ComparisonResult(Record):
    """Everything that one comparison found.

    Attributes:
        a: The first, in people's words.
        b: The second.
        refusals: Why they must not be compared, one clause each; nothing else was compared then.
        only_costs: Whether completeness alone could be compared in spite of the refusals.
        pairs: In the order of A's cells.
        harmless: What differs and may: name, value in A, value in B, of how many pairs.
        notes: What has no partner, and what was left out, one sentence each.
        tests: Comparisons that chance may touch, which the correction is for.
    """

    a: str
    b: str
    a_when: str = ""
    b_when: str = ""
    margins: Margins
    scope: Scope = "all"
    refusals: tuple[str, ...] = ()
    only_costs: bool = False
    pairs: tuple[ComparedPair, ...] = ()
    harmless: tuple[tuple[str, str, str, int], ...] = ()
    notes: tuple[str, ...] = ()
    tests: int = 0

    def count_of(self, verdicts: tuple[LineVerdict, ...]) -> int:
        """How many quantities came out so."""
        return sum(len(pair.of(verdicts)) for pair in self.pairs)

    def refusal(self) -> str:
        """Why nothing was compared, in one sentence."""
        advice = "; `--only completeness` compares what traces hold all the same" if self.only_costs else ""
        return f"{self.a} (A) and {self.b} (B) must not be compared: {'; '.join(self.refusals)}{advice}."

    def summary(self) -> str:
        """How it went, in one sentence."""
        told = [
            f"{self.count_of(('worse',))} worse",
            f"{self.count_of(('better',))} better",
            *([f"{mixed} better and worse"] if (mixed := self.count_of(("mixed",))) else []),
            f"{self.count_of(KEPT)} the same or equivalent",
            f"of {self.count_of(('inconclusive',))} nothing can be said",
        ]
        quantities = count(sum(len(pair.lines) for pair in self.pairs), "quantity", "quantities")
        return f"From A to B, of {quantities} in {count(len(self.pairs), 'pair')} of cells: {listed(told)}."
