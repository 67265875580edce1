"""The cost taken apart by levels, and the sum of the steps held against the cost from end to end.

Each step is a cell of its own, with forks of its own, so the steps are independent of one another and
of the cell that measures the whole. Their means are added, and so are the variances of these means. The
sum's interval is Student's t with the degrees of freedom of Welch, "The generalization of 'Student's' problem
when several different population variances are involved", Biometrika 34 (1947), and Satterthwaite, "An
approximate distribution of estimates of variance components", Biometrics Bulletin 2 (1946):
``df = (sum v)^2 / sum(v^2 / (n - 1))`` with ``v = s^2 / n`` of each step.

Whether sum and whole agree is asked of the interval of their difference, made in the same way, and not
of whether their own intervals overlap, which would let twice the difference pass. An interval that includes
zero is no agreement by itself: a wide one includes nearly everything. They ``agree`` if the whole interval lies
within a margin, the larger of the equivalence margin and ``AGREEMENT_SHARE`` of the whole; they ``disagree`` if
it leaves the margin and excludes zero, also as one of all the sweep's sums (Holm's correction); else it is
``inconclusive``, and the sentence says how far apart they may lie.

All this rests on the forks of the cells alone. What touches a whole cell and not its neighbour, such as another
state of the machine an hour later, is in no fork's spread, and makes these intervals too narrow.
"""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from scipy.special import stdtr, stdtrit

from harness.config import LEVELS, measure_of
from harness.overhead.contrasts import ALPHA, holm
from harness.overhead.intervals import mean, quantile_level
from harness.overhead.verdicts import verdict_of
from harness.results import CellResult, CostStep, Estimate, StepSum

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.results import SumVerdict, VerdictName

QUANTITIES = {"p50_ms": "added p50", "cpu_ms_per_call": "CPU added per call"}
"""What is taken apart: name of the estimate to what it is in words."""

LOWEST, HIGHEST = LEVELS[0], LEVELS[-1]
SAME_PACE = 1.05
"""Calls whose paces differ by no more than this factor are paced alike."""

AGREEMENT_SHARE = 0.1
"""Sum and whole agree if they are known to differ by less than this share of the whole, or than the equivalence
margin where that is larger."""

_AGREEMENT: dict[VerdictName, SumVerdict] = {
    "equivalent": "agree",
    "slower": "disagree",
    "faster": "disagree",
    "inconclusive": "inconclusive",
}

_OF_THE_LEVELS = ("level", "against", "into")


class Branch(NamedTuple):
    """How traces leave: where to, and whether in the background; ``None``: as their MLflow does by itself."""

    into: str
    asynchronous: bool | None

    def __str__(self) -> str:
        ways = {True: "asynchronously", False: "synchronously", None: "exported as MLflow has it"}
        return f"into {self.into}, {ways[self.asynchronous]}"


class Bounds(NamedTuple):
    """A sum with its interval, and the two-sided p-value of the true sum being zero."""

    value: float
    low: float
    high: float
    p_zero: float


def sum_of(means: Sequence[tuple[int, Sequence[float]]], level: float) -> Bounds:
    """A signed sum of independent means with its interval.

    Args:
        means: For each the sign with which it counts, and its values, at least two and not all equal.
        level: Level of the t quantile.
    """
    value = math.fsum(sign * mean(values) for sign, values in means)
    variances = [_variance_of_mean(values) for _, values in means]
    variance = math.fsum(variances)
    freedom = variance**2 / math.fsum(
        part**2 / (len(values) - 1) for part, (_, values) in zip(variances, means, strict=True)
    )
    error = math.sqrt(variance)
    half_width = float(stdtrit(freedom, (1 + level) / 2)) * error
    # Raised as the interval is widened, so that both say the same of zero.
    p_zero = min(1.0, 2 * float(stdtr(freedom, -abs(value) / error)) * ALPHA / (1 - level))
    return Bounds(value, value - half_width, value + half_width, p_zero)


def step_sums(cells: Iterable[CellResult]) -> tuple[StepSum, ...]:
    """The cost of each strategy taken apart, for each way in which its traces left and each quantity.

    Cells are put together only where nothing but their levels differs. A strategy of which the sweep
    has no cell but the one from end to end is not among them.
    """
    groups: dict[str, list[CellResult]] = {}
    for cell in cells:
        if cell.cell.tracing != "none":
            groups.setdefault(_conditions(cell), []).append(cell)
    parts = [
        _parts(group, branch, quantity)
        for group in groups.values()
        if any(_edge(cell) != (LOWEST, HIGHEST) for cell in group)
        for branch in dict.fromkeys(_branch(cell) for cell in group if cell.cell.level == HIGHEST)
        for quantity in QUANTITIES
    ]
    adjusted = iter(holm([part.p_zero for part in parts if part.p_zero is not None]))
    tested = sum(part.p_zero is not None for part in parts)
    return tuple(_step_sum(part, None if part.p_zero is None else next(adjusted), tested) for part in parts)


def _conditions(result: CellResult) -> str:
    """What has to be equal for steps to be added."""
    cell = result.cell
    config: dict[str, Any] = {key: value for key, value in cell.config.items() if key not in ("sweep", "store")}
    tracing = dict(config.get("tracing", {}))
    tracing["export"] = {key: value for key, value in tracing.get("export", {}).items() if key != "asynchronous"}
    config["tracing"] = {key: value for key, value in tracing.items() if key not in _OF_THE_LEVELS}
    machine = cell.machine.model_dump(exclude={"load_1min"})
    parts = (_label(result), config, cell.versions, machine, cell.prompt_set_digest, cell.seed)
    return json.dumps(parts, sort_keys=True, default=str)


def _label(result: CellResult) -> str:
    """The cell's label without its levels and its branch."""
    cell = result.cell
    others = [part for part in cell.switches.split(", ") if not part.startswith("asynchronous=")]
    usual = {"level": HIGHEST, "against": LOWEST, "into": "sqlite", "switches": ", ".join(others)}
    return cell.model_copy(update=usual).label


def _edge(result: CellResult) -> tuple[str, str]:
    return result.cell.against, result.cell.level


def _branch(result: CellResult) -> Branch:
    export = result.cell.config.get("tracing", {}).get("export", {})
    if result.cell.into == "collector":
        return Branch(result.cell.into, True)
    # Where nothing is said, it is a matter of the version: MLflow 3.10 does not export in the background by itself.
    return Branch(result.cell.into, export.get("asynchronous"))


class _Parts(NamedTuple):
    """One sum and its whole, before it is known how many others there are; ``p_zero`` is of their difference."""

    label: str
    branch: Branch
    quantity: str
    steps: tuple[CostStep, ...]
    whole: CostStep
    total: Estimate
    difference: Estimate
    margin_ms: float | None
    pace: str
    p_zero: float | None


def _parts(cells: Sequence[CellResult], branch: Branch, quantity: str) -> _Parts:
    edges: dict[tuple[str, str], CellResult] = {}
    for cell in cells:
        if cell.cell.level != HIGHEST or _branch(cell) == branch:
            edges.setdefault(_edge(cell), cell)
    whole_cell = edges.pop((LOWEST, HIGHEST), None)
    steps = tuple(_step(edge, edges.get(edge), quantity) for edge in _chain(edges))
    whole = _step((LOWEST, HIGHEST), whole_cell, quantity)
    level = max(quantile_level(measure_of(cell.cell.config)) for cell in cells)
    total, _ = _added([(1, step) for step in steps], quantity, level)
    difference, p_zero = _added([*((1, step) for step in steps), (-1, whole)], quantity, level)
    used = {step.cell_id for step in (*steps, whole)}
    pace = _pace([cell for cell in cells if cell.cell.cell_id in used])
    margin_ms = _margin_ms(whole, whole_cell)
    return _Parts(
        _label(cells[0]), branch, quantity, steps, whole, total, difference, margin_ms, pace,
        None if margin_ms is None else p_zero,
    )  # fmt: skip


def _step_sum(parts: _Parts, p_adjusted: float | None, comparisons: int) -> StepSum:
    verdict = _verdict(parts.difference, parts.margin_ms, p_adjusted)
    return StepSum(
        label=parts.label,
        **parts.branch._asdict(),
        quantity=parts.quantity,
        steps=parts.steps,
        whole=parts.whole,
        total=parts.total,
        difference=parts.difference,
        verdict=verdict,
        margin_ms=parts.margin_ms,
        p_adjusted=p_adjusted,
        comparisons=comparisons,
        sentence=f"{parts.label} {parts.branch}: {_held(parts, verdict, comparisons)}{parts.pace}",
    )


def _chain(edges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The longest way from the lowest level to the highest; every adjacent pair if there is no way."""
    longest: dict[str, list[tuple[str, str]]] = {LOWEST: []}
    for against, level in sorted(edges, key=lambda edge: (LEVELS.index(edge[1]), LEVELS.index(edge[0]))):
        way = longest.get(against)
        if way is not None and len(way) + 1 > len(longest.get(level, ())):
            longest[level] = [*way, (against, level)]
    return longest.get(HIGHEST) or list(itertools.pairwise(LEVELS))


def _step(edge: tuple[str, str], result: CellResult | None, quantity: str) -> CostStep:
    against, level = edge
    if result is None:
        reason = f"the sweep has no cell that times {level} against {against}"
        return CostStep(cell_id=None, level=level, against=against, estimate=None, reason=reason)
    estimate, why = _estimate(result, quantity)
    return CostStep(cell_id=result.cell.cell_id, level=level, against=against, estimate=estimate, reason=why)


def _estimate(result: CellResult, quantity: str) -> tuple[Estimate | None, str | None]:
    overhead = result.overhead
    if overhead is None:
        return None, result.cell.reason or "its cell was not timed"
    estimate = overhead.estimates.get(quantity)
    if estimate is None or estimate.value is None:
        return None, (estimate and estimate.reason) or f"its cell has no estimate of {quantity}"
    if overhead.traces_lost:
        return None, f"its cell lost {overhead.traces_lost} of {overhead.traces_expected} traces"
    if quantity == "p50_ms" and overhead.verdict == "not judged" and estimate.low is not None:
        return None, overhead.sentence.removeprefix("not judged: ")
    return estimate, estimate.reason


def _added(parts: Sequence[tuple[int, CostStep]], quantity: str, level: float) -> tuple[Estimate, float | None]:
    """The signed sum of steps, and the p-value of its being zero where it has an interval."""
    missing = [f"{step.level} against {step.against}: {step.reason}" for _, step in parts if step.estimate is None]
    given = [(sign, step.estimate) for sign, step in parts if step.estimate is not None]
    open_ended = [step.reason for _, step in parts if step.estimate is not None and step.estimate.low is None]
    values = [(sign, estimate.per_fork) for sign, estimate in given]
    bounds: Bounds | tuple[float | None, float | None, float | None, float | None] = (None, None, None, None)
    if not missing and not open_ended:
        bounds = sum_of(values, level)
    elif not missing:
        bounds = (math.fsum(sign * mean(one) for sign, one in values), None, None, None)
    summed = Estimate(
        name=quantity,
        unit="ms",
        value=bounds[0],
        low=bounds[1],
        high=bounds[2],
        forks=min((estimate.forks for _, estimate in given), default=0),
        reason="; ".join(missing) or next((reason for reason in open_ended if reason), None),
    )
    return summed, bounds[3]


def _pace(cells: Sequence[CellResult]) -> str:
    """What has to be said where a slow destination made some of the cells slower than others."""
    periods_ms = [cell.cell.period_ms for cell in cells if cell.cell.period_ms is not None]
    if not periods_ms or max(periods_ms) <= SAME_PACE * min(periods_ms):
        return ""
    return (
        f"; their calls started {min(periods_ms):.0f} to {max(periods_ms):.0f} ms apart, and what a call costs may "
        "depend on that"
    )


def _margin_ms(whole: CostStep, cell: CellResult | None) -> float | None:
    """How far sum and whole may lie apart and still agree; ``None`` where there is no whole."""
    if cell is None or cell.overhead is None or whole.estimate is None or whole.estimate.value is None:
        return None
    return max(cell.overhead.equivalence_margin_ms, AGREEMENT_SHARE * abs(whole.estimate.value))


def _verdict(difference: Estimate, margin_ms: float | None, p_adjusted: float | None) -> SumVerdict:
    if margin_ms is None or p_adjusted is None or difference.low is None or difference.high is None:
        return "can't say"
    verdict = _AGREEMENT[verdict_of(difference.low, difference.high, margin_ms)]
    return "inconclusive" if verdict == "disagree" and p_adjusted > ALPHA else verdict


def _held(parts: _Parts, verdict: SumVerdict, comparisons: int) -> str:
    """Sum and whole held against each other, in words."""
    what, whole, difference, margin_ms = QUANTITIES[parts.quantity], parts.whole, parts.difference, parts.margin_ms
    if verdict == "can't say" or margin_ms is None or whole.estimate is None:
        return f"whether the steps of {what} sum to the whole cannot be said: {difference.reason}"
    margin = f"{margin_ms:.3g} ms"
    low, high = difference.low or 0.0, difference.high or 0.0
    by_chance = f"; by itself it would be a disagreement, but chance gives one among {comparisons} such sums"
    words = {
        "agree": f"they agree within {margin}",
        "disagree": "they disagree",
        "inconclusive": f"whether they agree within {margin} cannot be told: they may differ by up to "
        f"{max(abs(low), abs(high)):.2g} ms{by_chance if low > 0 or high < 0 else ''}",
    }[verdict]
    return (
        f"the steps of {what} sum to {_span(parts.total)}, and end to end it is {_span(whole.estimate)}: "
        f"{words} (sum minus whole: {_span(difference)})"
    )


def _span(estimate: Estimate) -> str:
    bounds = (estimate.value or 0.0, estimate.low or 0.0, estimate.high or 0.0)
    half_width = (bounds[2] - bounds[1]) / 2
    places = 2 if half_width <= 0 else min(max(1 - math.floor(math.log10(half_width)), 2), 6)
    value, low, high = (f"{bound:.{places}f}" for bound in bounds)
    return f"{value} ms [{low}, {high}]"


def _variance_of_mean(values: Sequence[float]) -> float:
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1) / len(values)
