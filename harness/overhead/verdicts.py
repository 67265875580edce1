"""From the estimate of added p50 to a verdict, and to a sentence that a person can act on.

The order of the questions matters. An interval that lies within the equivalence margin is
``equivalent``, even if it excludes zero: a small difference that is known well. Otherwise it is
``slower`` or ``faster`` if it excludes zero, and else ``inconclusive``: an interval that includes
zero is not "no overhead".

To ask that the interval lies within the margin is to make two one-sided tests, one against each end
of the margin (Schuirmann, "A comparison of the two one-sided tests procedure and the power approach
for assessing the equivalence of average bioavailability", Journal of Pharmacokinetics and
Biopharmaceutics 15, 1987). The custom there is the 90% interval, which errs in 5% of cases that lie on
the margin. Here it is the 95% interval that is printed anyway, which errs in 2.5% of them: stricter, and
no cell is called equivalent by an interval that no reader sees.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import ConfigError
from harness.overhead.contrasts import POWER, smallest_found
from harness.overhead.intervals import FIXED_LEVEL
from harness.overhead.ledger import expected_traces, lost_traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config import MeasureConfig
    from harness.overhead.samples import Fork
    from harness.results import Estimate, VerdictName

LOAD_TOLERANCE = 0.10
"""The load may exceed its limit by this share: both rates are measured, and the pace was set
before all of the drain rate's forks had run."""

MAX_ONE_SIDED_FAILURES = 0.01
"""Above this share of the calls, what is left after one arm's failures is no longer a fair sample."""

TYPICAL_CALL_MS = 500.0
"""The call that an added latency is put in proportion to."""

CLOCK_PLACES = 6
"""Decimals of a millisecond that a clock of whole nanoseconds has."""


class Ruling(NamedTuple):
    """A verdict and its sentence."""

    verdict: VerdictName
    sentence: str


def equivalence_margin_ms(p50: Estimate, measure: MeasureConfig) -> float:
    """The larger of the absolute margin and the relative one, which is a share of the baseline's p50.

    Raises:
        ConfigError: If the margin is negative or not a number.
    """
    for key in ("margin_ms", "margin_relative"):
        value = getattr(measure, key)
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"measure.{key} is {value}; it must be a number from 0 upwards")
    return max(measure.margin_ms, measure.margin_relative * (p50.baseline or 0.0))


def objections(
    forks: Sequence[Fork], load_rate_per_s: float | None, drain_rate_per_s: float | None, measure: MeasureConfig
) -> list[str]:
    """Why the latencies must not be judged, whatever their interval says; one clause each."""
    found = [
        clause for clause in (_lost(forks), _astray(forks), _surplus(forks), _stray(forks), _failures(forks)) if clause
    ]
    if load_rate_per_s is not None and drain_rate_per_s is not None:
        limit_per_s = measure.max_load * drain_rate_per_s
        if load_rate_per_s > limit_per_s * (1 + LOAD_TOLERANCE):
            found.append(
                f"the load of {load_rate_per_s:.1f} calls a second saturated the store, which drains the traces of "
                f"{drain_rate_per_s:.1f} calls a second and may be given {limit_per_s:.1f}"
            )
    return found


def _lost(forks: Sequence[Fork]) -> str | None:
    lost = lost_traces(forks)
    clause = f"{lost} of {expected_traces(forks)} traces were lost, and dropping traces makes tracing look cheap"
    return clause if lost else None


def _astray(forks: Sequence[Fork]) -> str | None:
    astray = sum(run.astray_traces for fork in forks for run in (fork.strategy.run, fork.baseline.run))
    return f"{astray} traces came to the store, although all were to go to the collector" if astray else None


def _surplus(forks: Sequence[Fork]) -> str | None:
    surplus = sum(max(0, fork.strategy.run.stored_traces - fork.strategy.run.expected_traces) for fork in forks)
    return (
        f"{surplus} traces more than expected were stored, so the arm did other work than its calls"
        if surplus
        else None
    )


def _stray(forks: Sequence[Fork]) -> str | None:
    stray = sum(abs(fork.baseline.run.stored_traces - fork.baseline.run.expected_traces) for fork in forks)
    return f"the baseline arm stored {stray} traces, so it is no baseline" if stray else None


def _failures(forks: Sequence[Fork]) -> str | None:
    one_sided = sum(fork.one_sided_failures for fork in forks)
    compared = one_sided + sum(fork.calls for fork in forks)
    if one_sided <= MAX_ONE_SIDED_FAILURES * compared:
        return None
    return f"{one_sided} of {compared} calls failed in one arm only, so the calls that are left are not a fair sample"


def rule(  # noqa: PLR0913 - each is one thing that a verdict rests on
    p50: Estimate,
    margin_ms: float,
    objected: Sequence[str],
    *,
    is_floor: bool,
    unsteady: str | None = None,
    level: float = FIXED_LEVEL,
) -> Ruling:
    """Judge added p50.

    Args:
        p50: Its estimate.
        margin_ms: The equivalence margin.
        objected: What ``objections`` found.
        is_floor: Whether both arms were equal, so that the result is the noise floor.
        unsteady: Why the cost is not one number, in one clause, where it changed so much while it was
            measured that the later calls do not give the same verdict.
        level: Level of the t quantile of its interval.
    """
    if objected or p50.value is None or p50.low is None or p50.high is None:
        return Ruling("not judged", _not_judged(p50, objected))
    verdict = verdict_of(p50.low, p50.high, margin_ms)
    if is_floor:
        return Ruling(verdict, _floor_sentence(p50, p50.value, p50.low, p50.high))
    if unsteady and verdict != "inconclusive":
        added = (
            f"added p50 is {span_ms(p50.value, p50.low, p50.high, sign=True)} a call{_interval_of(p50)}{_beside(p50)}"
        )
        return Ruling("inconclusive", f"inconclusive: {added}; {unsteady}")
    return Ruling(verdict, _sentence(verdict, p50, (p50.value, p50.low, p50.high), margin_ms, level))


def verdict_of(low: float, high: float, margin_ms: float) -> VerdictName:
    """The verdict that an interval gives by itself."""
    if -margin_ms < low and high < margin_ms:
        return "equivalent"
    if low > 0:
        return "slower"
    return "faster" if high < 0 else "inconclusive"


def _not_judged(p50: Estimate, objected: Sequence[str]) -> str:
    clauses = [*objected, *([p50.reason] if p50.reason else [])]
    sentence = f"not judged: {'; '.join(clauses)}"
    if objected or p50.value is None:
        return sentence
    return f"{sentence}; the mean difference is {_number(p50.value, abs(p50.value), sign=True)} ms a call{_beside(p50)}"


def _sentence(
    verdict: VerdictName, p50: Estimate, bounds: tuple[float, float, float], margin_ms: float, level: float
) -> str:
    value, low, high = bounds
    tail = f"a call{_interval_of(p50)}"
    share = f"{_share(abs(value))} of a {TYPICAL_CALL_MS:.0f} ms call"
    if verdict == "slower":
        return f"slower by {span_ms(value, low, high)} {tail}, {share}{_beside(p50)}"
    if verdict == "faster":
        return f"faster by {span_ms(-value, -high, -low)} {tail}, {share}{_beside(p50)}"
    added = f"added p50 is {span_ms(value, low, high, sign=True)} {tail}{_beside(p50)}"
    if verdict == "inconclusive":
        seen = smallest_found((high - low) / 2, p50.forks, level)
        return (
            f'inconclusive: {added}; the interval includes zero, which is not "no overhead": '
            f"only an effect from {_number(seen, seen)} ms on would be seen in {POWER:.0%} of such runs"
        )
    side = "; small, but above zero" if low > 0 else "; small, but below zero" if high < 0 else ""
    return f"equivalent within {margin_ms:g} ms: {added}{side}"


def _floor_sentence(p50: Estimate, value: float, low: float, high: float) -> str:
    span = span_ms(value, low, high, sign=True)
    text = f"noise floor: two equal arms differ by {span} a call (95% interval, {p50.forks} forks){_baseline(p50)}"
    if low <= 0 <= high:
        return f"{text}; the interval includes zero, as it should"
    bound = max(abs(low), abs(high))
    return (
        f"{text}; the interval excludes zero although neither arm was traced: a false alarm, "
        f"and the floor is its farther bound, {_number(bound, (high - low) / 2)} ms"
    )


def _baseline(p50: Estimate) -> str:
    return "" if p50.baseline is None else f", baseline p50 {_number(p50.baseline, p50.baseline)} ms"


def _beside(p50: Estimate) -> str:
    """The baseline, and the ratio that may stand only beside it, with a word where the two do not agree."""
    if p50.ratio is None:
        return _baseline(p50)
    bounds = "" if p50.ratio_low is None else f" [{p50.ratio_low:.2f}, {p50.ratio_high:.2f}]"
    return f"{_baseline(p50)} (traced {p50.ratio:.2f}{bounds} times that{_contradiction(p50)})"


def _contradiction(p50: Estimate) -> str:
    """What has to be said where the ratio does not show what the difference shows, or shows what that does not."""
    if not p50.ratio_contradicts:
        return ""
    if (p50.ratio_low or 0.0) <= 1 <= (p50.ratio_high or 0.0):
        return "; this interval includes 1, so the ratio shows no difference"
    return "; this interval excludes 1, though that of the difference includes zero"


def _interval_of(p50: Estimate) -> str:
    return f" (95% interval, {p50.forks} forks)"


def span_ms(value: float, low: float, high: float, *, sign: bool = False) -> str:
    """A value and its bounds in ms, to two digits of the half-width or more: only a zero may read as zero."""
    shown = [part for part in (value, low, high) if part]
    places = _places((high - low) / 2)
    while places < CLOCK_PLACES and any(not round(part, places) for part in shown):
        places += 1
    mark = "+" if sign else ""
    return f"{value:{mark}.{places}f} ms [{low:{mark}.{places}f}, {high:{mark}.{places}f}]"


def _number(value: float, scale: float, *, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.{_places(scale)}f}"


def _places(scale: float) -> int:
    """Decimals that show two digits of a number of this size, from 2 to the clock's own."""
    return 2 if scale <= 0 else min(max(1 - math.floor(math.log10(scale)), 2), CLOCK_PLACES)


def _share(added_ms: float) -> str:
    percent = 100 * added_ms / TYPICAL_CALL_MS
    if percent < 0.01:
        return "under 0.01%"
    return f"{percent:.1f}%" if percent >= 0.1 else f"{percent:.2f}%"
