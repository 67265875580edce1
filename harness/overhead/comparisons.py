"""Verdicts of many cells and loads held together: how many of them would be there by chance alone.

A verdict rejects one of two hypotheses about added p50, of a cell or of one of its further loads: "there is
no difference" by the two-sided t test over forks (``slower``, ``faster``), or "the difference is the margin
or more" by two one-sided ones (``equivalent``, see ``harness.overhead.verdicts``). With twenty verdicts at 5%
each, one wrong one is to be expected. Here the p-values of all of a sweep's verdicts are corrected, for each
hypothesis by itself, as in Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
Journal of Statistics 6 (1979): the chance that anything in the sweep is called slower or faster wrongly is at
most 5%, whatever is true of the rest and however the results hang together, and so is the chance that anything
is called equivalent wrongly. A verdict alone is left as it is without a correction.

Where forks are added until the interval is narrow enough, intervals have a wider level for 95%
coverage (see ``harness.overhead.intervals``); the p-values are widened by the same factor, so that a
p-value is below 0.05 exactly where the interval says so. Simulated runs of 8 to 40 forks that stop
so have p-values below 0.05, 0.01 and 0.002 less often than that; with 4 to 12 forks, at the worst half-width,
0.9, 1.1 and 1.25 times as often.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from scipy.special import stdtr

from harness.overhead import contrasts
from harness.overhead.intervals import FIXED_LEVEL, mean
from harness.results import CorrectedVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.results import Estimate, VerdictName

ALPHA = 1 - FIXED_LEVEL
"""The chance of any wrong verdict of one kind that a sweep may have."""


Name = TypeVar("Name", str, tuple[str, str])
"""What a verdict is called: by a cell's id, or by that and a load."""


class Judged(Protocol):
    """What a verdict rests on: that of a cell, or that of a cell under a load."""

    @property
    def verdict(self) -> VerdictName | None:
        """The verdict by itself."""

    @property
    def is_floor(self) -> bool:
        """Whether both arms were equal."""

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Estimates by name, ``p50_ms`` among them."""

    @property
    def p_no_difference(self) -> float | None:
        """p-value, see ``PValues``."""

    @property
    def p_no_equivalence(self) -> float | None:
        """Likewise."""


class PValues(NamedTuple):
    """p-values of the two hypotheses that a verdict may reject."""

    no_difference: float
    no_equivalence: float


def p_values(p50: Estimate, margin_ms: float, level: float) -> PValues | None:
    """The p-values that belong to an estimate's interval; ``None`` where it has none.

    Args:
        p50: The estimate with its per-fork differences.
        margin_ms: The equivalence margin.
        level: Level of the t quantile that the interval was made with.
    """
    if p50.low is None or p50.high is None:
        return None
    n = len(p50.per_fork)
    centre = mean(p50.per_fork)
    error = math.sqrt(math.fsum((value - centre) ** 2 for value in p50.per_fork) / (n - 1) / n)
    nearer_end = max((centre - margin_ms) / error, (-margin_ms - centre) / error)
    widened = 2 * ALPHA / (1 - level)
    return PValues(
        min(1.0, widened * float(stdtr(n - 1, -abs(centre) / error))),
        min(1.0, widened * float(stdtr(n - 1, nearer_end))),
    )


def corrected(results: Mapping[Name, Judged]) -> dict[Name, CorrectedVerdict]:
    """What is left of a sweep's verdicts when all of them are held together, by name.

    A/A tests claim nothing (that their arms do not differ is known) and what was not judged makes no
    comparison, so they are neither counted nor in the result.

    Args:
        results: What tracing costs in each cell, and under each load, by any name.
    """
    raw = {
        name: PValues(result.p_no_difference, result.p_no_equivalence)
        for name, result in results.items()
        if not result.is_floor
        and result.verdict not in (None, "not judged")
        and result.p_no_difference is not None
        and result.p_no_equivalence is not None
    }
    differences = holm({name: pair.no_difference for name, pair in raw.items()})
    equivalences = holm({name: pair.no_equivalence for name, pair in raw.items()})
    return {
        name: _corrected(results[name], pair, PValues(differences[name], equivalences[name]), len(raw))
        for name, pair in raw.items()
    }


def holm(p_by_name: Mapping[Name, float]) -> dict[Name, float]:
    """p-values adjusted by Holm's procedure: in rising order each times the number not yet passed, never falling."""
    return dict(zip(p_by_name, contrasts.holm(list(p_by_name.values())), strict=True))


def _corrected(result: Judged, raw: PValues, adjusted: PValues, comparisons: int) -> CorrectedVerdict:
    verdict = _left(result, adjusted)
    stands = verdict == result.verdict
    return CorrectedVerdict(
        comparisons=comparisons,
        verdict=verdict,
        stands=stands,
        p_no_difference=adjusted.no_difference,
        p_no_equivalence=adjusted.no_equivalence,
        sentence=_sentence(result.verdict, verdict, raw, adjusted, comparisons),
    )


def _left(result: Judged, adjusted: PValues) -> VerdictName:
    """What may still be said: never more than the verdict says by itself."""
    if result.verdict == "inconclusive":
        return "inconclusive"
    if result.verdict == "equivalent" and adjusted.no_equivalence < ALPHA:
        return "equivalent"
    if adjusted.no_difference >= ALPHA:
        return "inconclusive"
    p50 = result.estimates["p50_ms"]
    return "slower" if (p50.value or 0.0) > 0 else "faster"


def _sentence(own: VerdictName | None, left: VerdictName, raw: PValues, adjusted: PValues, comparisons: int) -> str:
    if comparisons == 1:
        return "the only comparison of the sweep, so there is nothing to correct for"
    of = f"{comparisons} comparisons of the sweep (Holm)"
    if own == "inconclusive":
        return f"inconclusive by itself, and so among {of}"
    claim = "no_equivalence" if own == "equivalent" else "no_difference"
    numbers = f"p {_shown(getattr(raw, claim))}, corrected {_shown(getattr(adjusted, claim))}"
    if own == left:
        return f"{own} also as one of {of}: {numbers}"
    return f"{own} by itself, but {left} as one of {of}: {numbers}"


def _shown(value: float) -> str:
    return "under 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.1 else f"{value:.2f}"
