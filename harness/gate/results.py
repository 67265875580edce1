"""What the gate finds."""

from __future__ import annotations

import math
from typing import Literal

from harness.errors import ConfigError
from harness.records import Record

Outcome = Literal["worse", "inconclusive", "better", "not worse"]
Scope = Literal["all", "completeness", "cost"]
SHARE = "share"
"""The unit of what lies between 0 and 1."""


class Margins(Record):
    """What is tolerated.

    Attributes:
        absolute_ms: A cost may rise by so much.
        relative: A cost may instead rise by this share of what it was, untraced part included, but of no more than
            three times what tracing adds; the larger of both counts.
        recall: Share of the facts that may be recorded no more, or turn wrong.
        loss: Share of its traces by which a run may lose more.
    """

    absolute_ms: float = 0.5
    relative: float = 0.1
    recall: float = 0.0
    loss: float = 0.01

    def check(self) -> None:
        """Refuse what is no margin.

        Raises:
            ConfigError: Naming the flag.
        """
        flags = {
            "--margin-ms": (self.absolute_ms, math.inf),
            "--margin-relative": (self.relative, math.inf),
            "--recall-margin": (self.recall, 1.0),
            "--loss-margin": (self.loss, 1.0),
        }
        for flag, (value, most) in flags.items():
            if not (math.isfinite(value) and 0 <= value <= most):
                options = "a number from 0 upwards" if most == math.inf else "a share from 0 to 1"
                raise ConfigError(f"{flag} is {value:g}, it must be {options}")


class Comparison(Record):
    """One quantity of one cell in both runs.

    Attributes:
        cell: The cell in people's words.
        quantity: Such as ``added p50`` or ``recall``.
        sentence: What was found, whole and in plain text.
        baseline: The value in the stored run.
        current: The value in the new one.
        low: Lower bound of the difference, unadjusted 95%; ``None`` where the comparison is exact or impossible.
        high: Upper bound.
        margin: The largest rise that is tolerated, in ``unit``.
        unit: Of all these numbers; empty for counts.
        p_adjusted: Of a difference beyond the margin, corrected for all comparisons of the gate; ``None`` likewise.
        smallest_rise: Of a cost, the smallest rise that this gate finds in four of five such runs, in ``unit``.
    """

    cell: str
    quantity: str
    outcome: Outcome
    sentence: str
    baseline: float | None = None
    current: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    unit: str = ""
    p_adjusted: float | None = None
    smallest_rise: float | None = None


class GateResult(Record):
    """Everything that one gate found.

    Attributes:
        refusals: Why the runs must not be compared, one clause each; nothing else was compared then.
        comparisons: In the order of the baseline's cells.
        changes: Versions and the like that differ, one sentence each.
        notes: What was left out, one sentence each.
        tests: Comparisons that chance may touch, which the correction is for.
    """

    baseline: str
    current: str
    margins: Margins
    scope: Scope = "all"
    refusals: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tests: int = 0

    def of(self, outcome: Outcome) -> tuple[Comparison, ...]:
        """The comparisons that came out so."""
        return tuple(one for one in self.comparisons if one.outcome == outcome)

    def fails(self, *, strict: bool) -> bool:
        """Whether something got worse, or with ``strict`` may have."""
        return bool(self.of("worse") or (strict and self.of("inconclusive")))

    def summary(self) -> str:
        """How it went, in one sentence, with what was corrected for."""
        if self.refusals:
            return f"The runs must not be compared: {'; '.join(self.refusals)}."
        counts = [f"{len(self.of(outcome))} {outcome}" for outcome in ("worse", "inconclusive", "better", "not worse")]
        noun = "comparison" if len(self.comparisons) == 1 else "comparisons"
        corrected = (
            f"; {self.tests} of them rest on samples and are corrected together by Holm's method at 5%, "
            "the others are exact"
            if self.tests
            else "; all of them are exact"
        )
        return f"{len(self.comparisons)} {noun}: {', '.join(counts)}{corrected}."
