"""Whether the machine, or the cost, changed from the first fork to the last.

A straight line through the forks' values by least squares, and Student's t interval of its slope with
n - 2 degrees of freedom (Draper and Smith, *Applied Regression Analysis*, 3rd edition, 1998, section
1.4). A drift of the machine touches both arms alike and cancels in the difference; it is reported
because it tells how much the machine can be trusted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from harness.overhead.intervals import FIXED_LEVEL, MIN_FORKS
from harness.overhead.ledger import CLOCK_STEP_MS, NS_PER_MS, QUANTILES
from harness.overhead.verdicts import span_ms, verdict_of
from harness.results import Drift, Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.overhead.samples import Fork
    from harness.results import VerdictName


def drift(forks: Sequence[Fork], margin_ms: float, against: str = "untraced") -> Drift:
    """How the p50 of the arm that is timed against, and the added p50, rose or fell over a cell's forks.

    Args:
        forks: The complete forks.
        margin_ms: The equivalence margin: a drift that is known to lie within it is none.
        against: What that arm is: untraced, or the strategy at a lower level.
    """
    fewest = min((fork.calls for fork in forks), default=0)
    least = QUANTILES["p50_ms"][1]
    if fewest < least:
        return Drift(changes={}, sentence=f"drift not known: a fork's p50 needs {least} analysed calls")
    numbers = [fork.number for fork in forks]
    theirs = [float(np.median(fork.baseline.latency_ns)) / NS_PER_MS for fork in forks]
    ours = [float(np.median(fork.strategy.latency_ns)) / NS_PER_MS for fork in forks]
    changes = {
        "baseline_p50_ms": _rise("baseline_p50_ms", numbers, theirs),
        "added_p50_ms": _rise("added_p50_ms", numbers, [a - b for a, b in zip(ours, theirs, strict=True)]),
    }
    what = {"baseline_p50_ms": f"{against} p50", "added_p50_ms": "added p50"}
    told = {name: _told(change, margin_ms) for name, change in changes.items()}
    return Drift(
        changes=changes,
        sentence="; ".join(_sentence(what[name], told[name], change, margin_ms) for name, change in changes.items()),
        seen=tuple(name for name, verdict in told.items() if verdict in ("slower", "faster")),
    )


def _rise(name: str, numbers: Sequence[int], values: Sequence[float]) -> Estimate:
    """The fitted line's rise from the first fork to the last."""
    n = len(values)
    x = np.asarray(numbers, dtype=np.float64)
    y = np.asarray(values, dtype=np.float64)
    if n < MIN_FORKS:
        return _without(name, values, f"{n} complete forks show no drift, at least {MIN_FORKS} are needed")
    if np.ptp(y) <= CLOCK_STEP_MS:
        return _without(name, values, f"all {n} forks gave the same, so there is no spread to hold a drift against")
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    residuals = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt(float((residuals**2).sum()) / (n - 2) / spread)
    half_width = float(stdtrit(n - 2, (1 + FIXED_LEVEL) / 2)) * error
    length = float(x[-1] - x[0])
    return Estimate(
        name=name,
        unit="ms",
        value=slope * length,
        low=(slope - half_width) * length,
        high=(slope + half_width) * length,
        forks=n,
        per_fork=tuple(values),
    )


def _without(name: str, values: Sequence[float], reason: str) -> Estimate:
    return Estimate(
        name=name, unit="ms", value=None, low=None, high=None, forks=len(values), per_fork=tuple(values), reason=reason
    )


def _told(change: Estimate, margin_ms: float) -> VerdictName:
    if change.low is None or change.high is None:
        return "not judged"
    return verdict_of(change.low, change.high, margin_ms)


def _sentence(what: str, told: VerdictName, change: Estimate, margin_ms: float) -> str:
    if change.value is None or change.low is None or change.high is None:
        return f"drift of {what} not known: {change.reason}"
    rise = f"{span_ms(change.value, change.low, change.high, sign=True)} from the first fork to the last"
    if told == "equivalent":
        return f"{what} held within {margin_ms:g} ms: {rise}"
    if told == "inconclusive":
        return f"whether {what} drifted cannot be told, and a drift beyond {margin_ms:g} ms could be there: {rise}"
    return f"{what} drifted: {rise}"
