"""Both arms of each fork under one load, and what the differences between them come to over forks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.errors import CellError
from harness.overhead.intervals import mean, t_interval
from harness.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harness.records import LoadRun

STORES_NOTHING = "the strategy stores no traces"


class Pair(NamedTuple):
    """Both arms of one fork under one load, or in one step of a saturation."""

    strategy: LoadRun
    baseline: LoadRun

    @property
    def fork(self) -> int:
        """The fork's index."""
        return self.strategy.fork

    @property
    def lost(self) -> int:
        """Traces of the strategy's arm that were not there after the drain."""
        return max(0, self.strategy.expected_traces - self.strategy.stored_traces)


class Quantity(NamedTuple):
    """Name of an estimate, its unit, and by how much values may differ and count as equal."""

    name: str
    unit: str
    resolution: float = 0.0


def pairs_of(runs: Iterable[LoadRun]) -> dict[tuple[str, float | None], list[Pair]]:
    """Forks in order by load and offered rate; a load that only one arm has finished is left out.

    Raises:
        CellError: If an arm ran a load twice, or the arms did not make the same calls.
    """
    by_side: dict[tuple[str, float | None, int], dict[str, LoadRun]] = {}
    for run in runs:
        sides = by_side.setdefault((run.load, run.offered_per_s, run.fork), {})
        if run.arm in sides:
            raise CellError(f"fork {run.fork}: its {run.arm} arm ran the load {run.load} twice")
        sides[run.arm] = run
    pairs: dict[tuple[str, float | None], list[Pair]] = {}
    for (load, offered, fork), sides in sorted(by_side.items(), key=lambda item: item[0][2]):
        if len(sides) < 2:
            continue
        pair = Pair(sides["strategy"], sides["baseline"])
        if pair.strategy.calls != pair.baseline.calls:
            raise CellError(
                f"fork {fork}: under the load {load} its arms made {pair.strategy.calls} and {pair.baseline.calls} "
                "calls, so they cannot be compared"
            )
        pairs.setdefault((load, offered), []).append(pair)
    return pairs


def expected(pairs: Iterable[Pair]) -> int:
    """Traces that the strategy's arms should have stored."""
    return sum(pair.strategy.expected_traces for pair in pairs)


def lost(pairs: Iterable[Pair]) -> int:
    """How many of them were not there after the drain; a surplus in one fork makes up for no loss in another."""
    return sum(pair.lost for pair in pairs)


def failed(pairs: Iterable[Pair]) -> int:
    """Calls of both arms that raised."""
    return sum(run.errors for pair in pairs for run in pair)


def rate_per_s(run: LoadRun) -> float:
    """Calls a second until the last one ended."""
    return run.calls * 1e9 / run.wall_ns


def sustained_per_s(run: LoadRun) -> float:
    """Calls a second until the last trace was stored."""
    return run.calls * 1e9 / (run.wall_ns + run.drain_ns)


def difference(quantity: Quantity, pairs: Sequence[Pair], value: Callable[[LoadRun], float]) -> Estimate:
    """Strategy minus baseline, with the baseline beside it."""
    sides = [(value(pair.strategy), value(pair.baseline)) for pair in pairs]
    return estimate(quantity, [ours - theirs for ours, theirs in sides], [theirs for _, theirs in sides])


def ratio(quantity: Quantity, pairs: Sequence[Pair], value: Callable[[LoadRun], float]) -> Estimate:
    """The strategy's amount as a share of the baseline's; it stands beside both."""
    return estimate(quantity, [value(pair.strategy) / value(pair.baseline) for pair in pairs], [])


def estimate(quantity: Quantity, values: Sequence[float], baselines: Sequence[float]) -> Estimate:
    """The mean of one value a fork, with Student's interval where there is one."""
    interval = t_interval(values, resolution=quantity.resolution)
    low, high = (None, None) if isinstance(interval, str) else interval
    return Estimate(
        name=quantity.name,
        unit=quantity.unit,
        value=mean(values),
        low=low,
        high=high,
        forks=len(values),
        per_fork=tuple(values),
        baseline=mean(baselines) if baselines else None,
        reason=interval if isinstance(interval, str) else None,
    )


def withheld(quantity: Quantity, forks: Sequence[object], reason: str) -> Estimate:
    """No value, and why."""
    return Estimate(
        name=quantity.name, unit=quantity.unit, value=None, low=None, high=None, forks=len(forks), reason=reason
    )
