"""The simulator's waiting."""

from __future__ import annotations

import asyncio
import math
import statistics
from time import perf_counter_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.gateway.latency import planned_waits_ns, wait_until
from harness.gateway.settings import LatencySettings

LOGNORMAL = LatencySettings(kind="lognormal", first_token_ms=200.0, per_token_ms=20.0, sigma=0.5)

counts = st.integers(min_value=0, max_value=40)


@given(seed=st.integers(), sample=st.text(max_size=8), repetition=st.integers(0, 99), short=counts, long=counts)
def test_waits_are_a_pure_function_and_prefixes_of_each_other(
    seed: int, sample: str, repetition: int, short: int, long: int
) -> None:
    """The same seed, sample and repetition wait alike, however many tokens follow."""
    short, long = sorted((short, long))
    waits = planned_waits_ns(LOGNORMAL, seed, sample, repetition, long)
    assert planned_waits_ns(LOGNORMAL, seed, sample, repetition, short) == waits[:short]


@pytest.mark.parametrize("other", [(2, "a", 0), (1, "b", 0), (1, "a", 1)])
def test_waits_differ_by_seed_sample_and_repetition(other: tuple[int, str, int]) -> None:
    """Each of the three arguments counts."""
    assert planned_waits_ns(LOGNORMAL, *other, 5) != planned_waits_ns(LOGNORMAL, 1, "a", 0, 5)


def test_fixed_waits_are_the_values() -> None:
    """The first token has its own wait, each further token the other."""
    settings = LatencySettings(kind="fixed", first_token_ms=2.5, per_token_ms=0.25)
    assert planned_waits_ns(settings, 0, "a", 0, 3) == (2_500_000, 250_000, 250_000)


def test_no_latency_waits_nothing() -> None:
    """Kind ``none`` ignores the values."""
    assert planned_waits_ns(LatencySettings(first_token_ms=5.0), 0, "a", 0, 2) == (0, 0)


def test_lognormal_waits_have_the_median_and_spread_asked_for() -> None:
    """Median and sigma are those of the distribution of the first token's wait."""
    firsts_ms = [planned_waits_ns(LOGNORMAL, 0, "a", index, 1)[0] / 1e6 for index in range(4000)]
    logs = [math.log(first) for first in firsts_ms]
    # Four standard errors: sigma / sqrt(4000) of a mean, sigma / sqrt(8000) of a standard deviation.
    assert statistics.fmean(logs) == pytest.approx(math.log(200.0), abs=0.032)
    assert statistics.stdev(logs) == pytest.approx(0.5, abs=0.023)


@pytest.mark.parametrize("delay_ns", [0, 300_000, 5_000_000])
def test_a_wait_never_ends_early(delay_ns: int) -> None:
    """A deadline has passed when the wait for it is over, be it short or long."""

    async def late_ns() -> int:
        never = asyncio.create_task(asyncio.sleep(60))
        deadline_ns = perf_counter_ns() + delay_ns
        await wait_until(deadline_ns, unless=never)
        late_ns = perf_counter_ns() - deadline_ns
        never.cancel()
        return late_ns

    assert asyncio.run(late_ns()) >= 0


def test_a_wait_ends_with_what_it_was_for() -> None:
    """A wait of a minute is over when the task is done."""

    async def early_ns() -> int:
        deadline_ns = perf_counter_ns() + 60_000_000_000
        await wait_until(deadline_ns, unless=asyncio.create_task(asyncio.sleep(0.01)))
        return deadline_ns - perf_counter_ns()

    assert asyncio.run(early_ns()) > 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "sometimes"}, "sometimes.*none"),
        ({"kind": "fixed", "per_token_ms": -1.0}, "per_token_ms"),
    ],
)
def test_impossible_latency_is_refused(settings: dict[str, object], says: str) -> None:
    """The error names the offender and where it stands."""
    with pytest.raises(InputError, match=says):
        LatencySettings(**settings)
