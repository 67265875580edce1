"""How far recall would move with other prompts of the same kind."""

from __future__ import annotations

import random

import pytest

from harness.completeness.spread import MIN_SAMPLES, recall_spread
from harness.results import Judgement

FACTS = 8
RUNS = 400


def judgements(shares: list[float], facts: int = FACTS) -> list[Judgement]:
    """One call a sample, of whose facts such a share is recorded."""
    return [
        Judgement(
            call_id=f"c{sample}",
            sample_id=f"s{sample}",
            fact=f"f{fact}",
            convention="mlflow",
            verdict="recorded" if fact < share * facts else "missing",
            place="",
        )
        for sample, share in enumerate(shares)
        for fact in range(facts)
    ]


def test_samples_count_not_facts() -> None:
    """Facts of one sample stand and fall together: more facts a sample make the interval no narrower."""
    shares = [1.0, 0.5] * 10
    few, many = recall_spread(judgements(shares)), recall_spread(judgements(shares, facts=80))
    assert not isinstance(few, str)
    assert few == pytest.approx(many)
    assert few.low < 0.75 < few.high
    # By hand: residuals of ±0.25 a sample, 20 samples, t(19) = 2.093.
    assert few.high - 0.75 == pytest.approx(2.093 * 0.25 * (20 / 19) ** 0.5 / 20**0.5, rel=1e-3)


def test_it_covers_the_recall_of_the_prompts_that_samples_come_from() -> None:
    """Of many prompt sets drawn from one stock, the interval holds the stock's recall in about 95%."""
    dice = random.Random(5)
    covered = 0
    for _ in range(RUNS):
        shares = [dice.choice((1.0, 0.875, 0.75, 0.5)) for _ in range(30)]
        found = recall_spread(judgements(shares))
        assert not isinstance(found, str)
        covered += found.low <= 0.78125 <= found.high
    assert 0.91 <= covered / RUNS <= 0.985


def test_few_samples_give_no_interval() -> None:
    """The reason names how many there are and how many it takes."""
    reason = recall_spread(judgements([1.0, 0.5, 0.5]))
    assert reason == f"3 judged samples give no interval of recall, at least {MIN_SAMPLES} are needed"


def test_samples_without_spread_give_no_interval() -> None:
    """Where all fared alike there is nothing to tell the uncertainty from, and no width would claim certainty."""
    assert isinstance(recall_spread(judgements([0.5] * 12)), str)


def test_it_stays_within_what_a_share_can_be() -> None:
    """Near all and near nothing the bounds end at 1 and 0."""
    found = recall_spread(judgements([1.0] * 11 + [0.0]))
    assert not isinstance(found, str)
    assert 0.0 <= found.low < found.high <= 1.0
