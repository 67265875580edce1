"""Costs of a pair: differences of forks, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.comparison.family import Candidate, unsaid
from harness.comparison.results import A_AND_B
from harness.gate.costs import cost_pairs, margin_ms, what_is_slower
from harness.gate.machines import machine_changes, touching
from harness.gate.runs import Samples, Sides
from harness.overhead.contrasts import Difference, contrast
from harness.overhead.intervals import FIXED_LEVEL, STOPPED_LEVEL, mean, t_interval
from harness.report.format import ABSENT, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.comparison.results import Line
    from harness.gate.costs import CostPair
    from harness.gate.results import Margins
    from harness.gate.runs import GatedCell

_BYTES = "stored_bytes_per_trace"
_BYTES_NAME = "stored bytes per trace"
_LATENCY = "p50_ms"


def cost_lines(a: GatedCell, b: GatedCell, margins: Margins) -> Iterator[Line | Candidate]:
    """Every cost that either has, also under loads, and bytes stored; none of an untraced pair.

    What forbids a comparison in one direction forbids it in the other, and the smaller of the two margins counts, so
    that A against B and B against A say the same. Where the machine, or the SDK untraced, was slower on one side, a
    cost changed if it did by more than that explains, and equivalent it is not called.
    """
    there, back = (
        {(pair.name, pair.load): pair for pair in cost_pairs(*cells, margins, sides, heeds_machine=False)}
        for cells, sides in (((a, b), A_AND_B), ((b, a), Sides(A_AND_B.after, A_AND_B.before)))
    )
    stopped_early = a.stopped_early or b.stopped_early
    for key in dict.fromkeys((*there, *back)):
        yield _cost(there.get(key), back.get(key), margins, _machine(a, b, *key), stopped_early=stopped_early)
    if there:
        yield from _bytes(a, b, margins)


def _machine(a: GatedCell, b: GatedCell, name: str, load: str) -> tuple[float, str]:
    """By which factor the machine, or the SDK untraced, was slower on one side, less 1; and that in words.

    Of what may be behind a change of this cost, it is what changed most; 0 where nobody says.
    """
    old, new = (one.costs if not load else one.loads[load].costs if load in one.loads else {} for one in (a, b))
    changes = touching(name, machine_changes(old, new, what_is_slower(a, b), A_AND_B))
    found = [(max(one.factor, 1 / one.factor) - 1, one.told) for one in changes]
    return max(found, key=lambda one: one[0], default=(0.0, ""))


def _cost(
    there: CostPair | None,
    back: CostPair | None,
    margins: Margins,
    machine: tuple[float, str],
    *,
    stopped_early: bool,
) -> Line | Candidate:
    pair = there or back
    assert pair is not None  # noqa: S101  # a key is of one of them
    old, new = (pair.baseline, pair.current) if there else (pair.current, pair.baseline)
    # A load has as many forks as were asked for.
    stopped_early = stopped_early and not pair.load
    shown = [_shown(one, "ms", stopped_early=stopped_early) for one in (old, new)]
    reasons = [one.difference for one in (there, back) if one is not None and isinstance(one.difference, str)]
    if reasons or there is None or isinstance(there.difference, str):
        return unsaid(pair.quantity, reasons[0] if reasons else "one side has no value of it", *shown)
    margin = min(margin_ms(old, margins), margin_ms(new, margins))
    beside = ""
    if pair.name == _LATENCY and old.base is not None and new.base is not None:
        beside = f"; untraced, p50 is {quantity(old.base.value, 'ms')} in A and {quantity(new.base.value, 'ms')} in B"
    found = _candidate(pair.quantity, shown, there.difference, margin, "ms", beside)
    # What equal tracing would have cost more on the slower machine.
    explained = machine[0] * max(old.added, new.added)
    if explained <= margin:
        return found
    doubt = f"{machine[1]}, which alone may make a difference of {quantity(explained, 'ms')}"
    p_no_difference = there.difference.p_beyond(explained)
    return found._replace(doubt=doubt, beside="", p_no_difference=p_no_difference, p_no_equivalence=1.0)


def _bytes(a: GatedCell, b: GatedCell, margins: Margins) -> Iterator[Line | Candidate]:
    """Bytes have no untraced part: the margin is the relative one, of what is stored."""
    old, new = a.costs.get(_BYTES, Samples()), b.costs.get(_BYTES, Samples())
    if not (old.per_fork or new.per_fork):
        return
    stopped_early = a.stopped_early or b.stopped_early
    shown = [_shown(one, "bytes", stopped_early=stopped_early) for one in (old, new)]
    for which, one in zip(A_AND_B, (old, new), strict=True):
        if one.reason is not None or not one.per_fork:
            reason = f"{which} has none" + (f": {one.reason}" if one.reason else "")
            yield unsaid(_BYTES_NAME, reason, *shown)
            return
        if one.looks_cheap is not None:
            yield unsaid(_BYTES_NAME, f"in {which} {one.looks_cheap}", *shown)
            return
    found = contrast([(1.0, new.per_fork), (-1.0, old.per_fork)], stopped_early=stopped_early)
    if isinstance(found, str):
        yield unsaid(_BYTES_NAME, found, *shown)
        return
    margin = margins.relative * min(old.whole, new.whole)
    yield _candidate(_BYTES_NAME, shown, found, margin, "bytes", "")


def _candidate(name: str, shown: list[str], difference: Difference, margin: float, unit: str, beside: str) -> Candidate:  # noqa: PLR0913, PLR0917  # as many as it has
    return Candidate(
        quantity=name,
        a=shown[0],
        b=shown[1],
        value=difference.value,
        low=difference.value - difference.half_width,
        high=difference.value + difference.half_width,
        margin=margin,
        unit=unit,
        p_no_difference=difference.p_beyond(0.0),
        p_no_equivalence=difference.p_not_within(margin),
        beside=beside,
    )


def _shown(samples: Samples, unit: str, *, stopped_early: bool) -> str:
    """The mean over forks with its interval; what must not be compared is not printed either."""
    if not samples.per_fork or samples.reason is not None or samples.looks_cheap is not None:
        return ABSENT
    interval = t_interval(samples.per_fork, level=STOPPED_LEVEL if stopped_early else FIXED_LEVEL)
    low, high = (None, None) if isinstance(interval, str) else interval
    return quantity(mean(samples.per_fork), unit, low, high)
