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
from harness.overhead.verdicts import span_ms
from harness.results import Drift, Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.overhead.samples import Fork

_WHAT = {"baseline_p50_ms": "untraced p50", "added_p50_ms": "added p50"}


def drift(forks: Sequence[Fork]) -> Drift:
    """How the untraced p50 and the added p50 rose or fell over a cell's forks."""
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
    return Drift(changes=changes, sentence=_sentence(changes))


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


def _sentence(changes: dict[str, Estimate]) -> str:
    parts = []
    for name, change in changes.items():
        if change.value is None or change.low is None or change.high is None:
            parts.append(f"drift of {_WHAT[name]} not known: {change.reason}")
            continue
        seen = f"no drift of {_WHAT[name]} seen" if change.low <= 0 <= change.high else f"{_WHAT[name]} drifted"
        span = span_ms(change.value, change.low, change.high, sign=True)
        parts.append(f"{seen}: {span} from the first fork to the last")
    return "; ".join(parts)
