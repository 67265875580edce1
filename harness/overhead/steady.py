"""Whether the cost is one number: the same in the later calls as in the earlier ones.

Two questions are asked of each cell.

- Do the measured calls hold a level? In each fork the median of the second half of an arm's analysed
  calls minus that of the first is one value, and its mean over forks has an interval like every other
  estimate. What counts is the change of added p50: a change that both arms share is the machine's.
  It is judged as a cost is: within the margin it is steady, beyond it and not zero it is not steady,
  and an interval that includes zero and leaves the margin does not say.
- How long was the warm-up? The burst's calls, each the median over forks, are cut where the rest is
  known best: White, "An effective truncation heuristic for bias reduction in simulation output",
  Simulation 69 (1997), the marginal standard error rule. A cut beyond the middle of the burst
  means that it never became level. The warm-up is kept in the records and analysed nowhere else.

A cell that is not steady gets a warning. Its verdict is withdrawn (``inconclusive``) only if the change
exceeds the margin and the later half alone would not give the same verdict: a cost of 4.4 ms that falls to
3.6 is not one number, but "slower" is true of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.overhead.intervals import FIXED_LEVEL, mean, t_interval
from harness.overhead.ledger import CLOCK_STEP_MS, NS_PER_MS, QUANTILES
from harness.overhead.verdicts import span_ms, verdict_of
from harness.results import Estimate, SteadyState, VerdictName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.overhead.samples import Fork, IntArray

HALF_CALLS = QUANTILES["p50_ms"][1]
"""Analysed calls that each half of a fork needs for a median."""

_STEADY: dict[VerdictName, bool | None] = {"equivalent": True, "slower": False, "faster": False, "inconclusive": None}

MIN_WARMUP_CALLS = 10
"""Under so many warm-up calls nothing is said about when they became level."""


def steady_state(forks: Sequence[Fork], margin_ms: float, level: float) -> SteadyState:
    """Whether a cell's calls held their level.

    Args:
        forks: The complete forks.
        margin_ms: The equivalence margin, for the change and for the verdict of the later half.
        level: Level of the t quantile of the cell's verdict.
    """
    warmup_calls = min((side.warmup_ns.size for fork in forks for side in (fork.strategy, fork.baseline)), default=0)
    settled = {
        "strategy": settled_after([fork.strategy.warmup_ns for fork in forks]),
        "baseline": settled_after([fork.baseline.warmup_ns for fork in forks]),
    }
    measured = held_level(
        [fork.strategy.latency_ns for fork in forks], [fork.baseline.latency_ns for fork in forks], margin_ms, level
    )
    return measured.model_copy(
        update={
            "warmup_calls": warmup_calls,
            "settled_after": settled,
            "sentence": f"{measured.sentence}; {_warmup_sentence(warmup_calls, settled)}",
        }
    )


def held_level(ours: Sequence[IntArray], theirs: Sequence[IntArray], margin_ms: float, level: float) -> SteadyState:
    """Whether added p50 held from the first half of each fork's calls to the second, without a word on the warm-up.

    Args:
        ours: The strategy arm's latencies in the order of the calls, one array a fork.
        theirs: The baseline arm's.
        margin_ms: The equivalence margin, for the change and for the verdict of the later half.
        level: Level of the t quantile of the verdict.
    """
    fewest = min((one.size for one in (*ours, *theirs)), default=0)
    if fewest < 2 * HALF_CALLS:
        return SteadyState(
            steady=None,
            changes={},
            sentence=(
                f"not known whether it was steady: that needs {2 * HALF_CALLS} analysed calls in each arm of each "
                f"fork, and there are {fewest}"
            ),
        )
    halves = [(_halves_ms(mine), _halves_ms(other)) for mine, other in zip(ours, theirs, strict=True)]
    changes = {
        "added_p50_ms": [(a[1] - b[1]) - (a[0] - b[0]) for a, b in halves],
        "strategy_p50_ms": [a[1] - a[0] for a, _ in halves],
        "baseline_p50_ms": [b[1] - b[0] for _, b in halves],
    }
    estimates = {name: estimate_of(name, values, level=FIXED_LEVEL) for name, values in changes.items()}
    later = estimate_of("p50_ms", [a[1] - b[1] for a, b in halves], level=level)
    added = estimates["added_p50_ms"]
    steady = None if added.low is None or added.high is None else _STEADY[verdict_of(added.low, added.high, margin_ms)]
    return SteadyState(
        steady=steady,
        changes=estimates,
        later=later,
        later_verdict=None if later.low is None or later.high is None else verdict_of(later.low, later.high, margin_ms),
        sentence=_measured_sentence(added, steady, margin_ms),
    )


def why_unsteady(state: SteadyState, verdict: VerdictName, margin_ms: float) -> str | None:
    """Why the verdict has to be withdrawn, in one clause; ``None`` where it may stand."""
    added = state.changes.get("added_p50_ms")
    if state.steady is not False or added is None or added.value is None or abs(added.value) <= margin_ms:
        return None
    if state.later_verdict in (None, verdict):
        return None
    return (
        f"it was not steady: {_change(added)}, more than the margin of {margin_ms:g} ms, "
        f"and the later half alone would be {state.later_verdict}, not {verdict}"
    )


def estimate_of(name: str, values: Sequence[float], *, level: float) -> Estimate:
    """An estimate in ms from one value a fork, without a baseline."""
    interval = t_interval(values, level=level, resolution=CLOCK_STEP_MS)
    bounds = (None, None) if isinstance(interval, str) else interval
    return Estimate(
        name=name,
        unit="ms",
        value=mean(values),
        low=bounds[0],
        high=bounds[1],
        forks=len(values),
        per_fork=tuple(values),
        reason=interval if isinstance(interval, str) else None,
    )


def settled_after(bursts: Sequence[IntArray]) -> int | None:
    """Calls of a burst until the rest of it was level: the cut that leaves the smallest standard error of the mean.

    Args:
        bursts: The warm-up latencies of one arm, one array a fork.

    Returns:
        ``None`` if a burst has too few calls, or if the best cut lies beyond its middle.
    """
    length = min((burst.size for burst in bursts), default=0)
    if length < MIN_WARMUP_CALLS:
        return None
    typical = np.median(np.stack([burst[:length] for burst in bursts]), axis=0)
    # The last few calls are alike by luck too often for a cut among them to mean anything.
    errors = [float(np.var(typical[cut:])) / (length - cut) for cut in range(length - MIN_WARMUP_CALLS // 2 + 1)]
    cut = int(np.argmin(errors))
    return cut if cut <= length // 2 else None


def _halves_ms(latency_ns: IntArray) -> tuple[float, float]:
    middle = latency_ns.size // 2
    return float(np.median(latency_ns[:middle])) / NS_PER_MS, float(np.median(latency_ns[middle:])) / NS_PER_MS


def _change(added: Estimate) -> str:
    value, low, high = added.value or 0.0, added.low or 0.0, added.high or 0.0
    return (
        f"added p50 changed by {span_ms(value, low, high, sign=True)} from the first half of each fork's calls "
        "to the second"
    )


def _measured_sentence(added: Estimate, steady: bool | None, margin_ms: float) -> str:
    if steady is not None:
        return f"{f'steady within {margin_ms:g} ms' if steady else 'not steady'}: {_change(added)}"
    if added.low is None:
        return f"not known whether it was steady: {added.reason}"
    return f"no change seen, though one beyond the margin of {margin_ms:g} ms could be there: {_change(added)}"


def _warmup_sentence(calls: int, settled: dict[str, int | None]) -> str:
    if calls < MIN_WARMUP_CALLS:
        return f"{calls} warm-up calls are too few to see when they became level"
    parts = [
        f"the {arm} arm did not become level in the first half"
        if after is None
        else f"the {arm} arm was level {f'after {after}' if after else 'from the first on'}"
        for arm, after in settled.items()
    ]
    return f"of {calls} warm-up calls {' and '.join(parts)}"
