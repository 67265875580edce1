"""How far the forks so far are from the asked precision, and what is said of what ended a run.

Nothing here asks whether the interval excludes zero: forks that were added until it does would
find a difference in two equal arms in far more than 5% of runs (Armitage, McPherson and Rowe,
"Repeated significance tests on accumulating data", JRSS A 132 (1969)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.config import MeasureConfig
    from harness.records import StoppedBy
    from harness.results import Estimate

_WORDS: dict[StoppedBy, str] = {
    "precision": "precision reached",
    "budget": "stopped by budget",
    "max_forks": "stopped by measure.max_forks",
}


def half_width_ms(p50: Estimate) -> float | None:
    """Half the width of the interval; ``None`` without one."""
    return None if p50.low is None or p50.high is None else (p50.high - p50.low) / 2


def asked_half_width_ms(p50: Estimate, measure: MeasureConfig) -> float | None:
    """The half-width to stop at: the larger of the absolute one and the share of the traced p50.

    ``None`` if none is asked for, or if the traced p50 is not known and a share of it is.
    """
    if measure.precision_ms <= 0 and measure.precision_relative <= 0:
        return None
    if measure.precision_relative <= 0:
        return measure.precision_ms
    if p50.value is None or p50.baseline is None:
        return None
    return max(measure.precision_ms, measure.precision_relative * (p50.baseline + p50.value))


def so_far(p50: Estimate, measure: MeasureConfig) -> str:
    """The interval after the forks so far beside the asked one, in few words; empty before the first fork."""
    if p50.value is None:
        return ""
    half, asked = half_width_ms(p50), asked_half_width_ms(p50, measure)
    now = f"added p50 {p50.value:+.3g} ms"
    now += ", no interval yet" if half is None else f" ± {half:.2g}"
    return now if asked is None else f"{now}, asked ± {asked:.2g}"


def ending(p50: Estimate, measure: MeasureConfig, stopped_by: StoppedBy) -> str:
    """What is added to the verdict's sentence of what ended the forks; empty where none were to be added."""
    if stopped_by not in _WORDS:
        return ""
    words = f"; {_WORDS[stopped_by]} after {p50.forks} forks"
    half, asked = half_width_ms(p50), asked_half_width_ms(p50, measure)
    if p50.forks < measure.forks:
        words += f" of the {measure.forks} asked for"
    if half is None or asked is None:
        return words
    return f"{words}, half-width {half:.2g} ms {'above' if half > asked else 'within'} the asked {asked:.2g} ms"
