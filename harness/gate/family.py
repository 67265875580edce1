"""All comparisons of a gate that chance may touch, judged as one family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from harness.overhead.contrasts import holm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.gate.results import Comparison


class Tested(Protocol):
    """One comparison before it is known how many others there are."""

    @property
    def p_value(self) -> float | None:
        """Of a difference beyond the margin, unadjusted; ``None`` where nothing can be said."""

    def judged(self, p_adjusted: float | None, tests: int) -> Comparison:
        """The comparison, once its p-value is corrected for so many tests."""


def judge(pairs: Sequence[Tested]) -> list[Comparison]:
    """Judge all of them, corrected together by Holm's method."""
    tested = [pair.p_value for pair in pairs if pair.p_value is not None]
    adjusted = iter(holm(tested))
    return [pair.judged(None if pair.p_value is None else next(adjusted), len(tested)) for pair in pairs]
