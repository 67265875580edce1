"""How far recall would move with other prompts of the same kind: an interval over samples.

For the prompt set that was run recall is a count and has no error: every fact of every call was
judged. What is uncertain is how it carries over to prompts that were not run. Facts of one call
stand or fall together, and so do the calls of one sample, so the sample is the unit, and recall is a ratio of two
sums over samples: its interval is Student's t on the ratio estimator's linearised variance
(Cochran, "Sampling Techniques", 3rd ed. 1977, sections 2.11 and 6.3), ``n - 1`` degrees of freedom. A
binomial interval over facts would count one sample's facts many times over.

It holds as far as the samples stand for those that were not run: a prompt set is chosen, not
drawn. Rare scenarios of few samples make it wide, as they should.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.results import Convention, Judgement

MIN_SAMPLES = 10
"""Under so many samples there is no interval: shares lie askew, and t needs some of them to even that out."""

_LEVEL = 0.95


class Spread(NamedTuple):
    """The interval of recall over samples, as shares from 0 to 1."""

    low: float
    high: float


def recall_spread(judgements: Iterable[Judgement], convention: Convention = "mlflow") -> Spread | str:
    """The 95% interval of recall over samples, or why there is none, as a clause."""
    applicable: dict[str, int] = {}
    recorded: dict[str, int] = {}
    for one in judgements:
        if one.convention == convention:
            applicable[one.sample_id] = applicable.get(one.sample_id, 0) + 1
            if one.verdict == "recorded":
                recorded[one.sample_id] = recorded.get(one.sample_id, 0) + 1
    n, facts = len(applicable), sum(applicable.values())
    if n < MIN_SAMPLES:
        return f"{n} judged samples give no interval of recall, at least {MIN_SAMPLES} are needed"
    recall = sum(recorded.values()) / facts
    residuals = [recorded.get(sample, 0) - recall * number for sample, number in applicable.items()]
    variance = math.fsum(residual**2 for residual in residuals) / (n - 1)
    if variance < 1e-12:
        return f"all {n} samples have the same recall, so their spread says nothing about its uncertainty"
    half_width = float(stdtrit(n - 1, (1 + _LEVEL) / 2)) * math.sqrt(n * variance) / facts
    return Spread(max(0.0, recall - half_width), min(1.0, recall + half_width))
