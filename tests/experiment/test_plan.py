from __future__ import annotations

from collections import Counter

from harness.experiment.plan import arm_order, block_plans, sample_order


def plans(seed: int = 1, fork: int = 0) -> list[tuple[str, int, int, int, tuple[int, ...]]]:
    return [
        tuple(plan)  # type: ignore[misc]
        for plan in block_plans(seed, fork, samples=7, blocks=6, calls_per_block=5, first_repetition=10)
    ]


def test_the_plan_is_a_function_of_seed_and_fork() -> None:
    """The same seed and fork give the same plan, another seed or fork another one."""
    assert plans() == plans()
    assert plans(seed=2) != plans()
    assert plans(fork=1) != plans()


def test_both_arms_ask_for_the_same_samples() -> None:
    """Block by block, both arms have the same repetitions and samples."""
    by_arm: dict[str, dict[int, tuple[int, tuple[int, ...]]]] = {"strategy": {}, "baseline": {}}
    for arm, block, _, first, order in plans():
        by_arm[arm][block] = (first, order)
    assert by_arm["strategy"] == by_arm["baseline"]
    assert len(by_arm["strategy"]) == 6


def test_arms_take_turns_in_pairs_in_random_order() -> None:
    """Each pair of blocks has one of each arm; over many forks either arm comes first about half the time."""
    first = Counter[str]()
    for fork in range(200):
        found = plans(fork=fork)
        for one, other in zip(found[::2], found[1::2], strict=True):
            assert {one[0], other[0]} == {"strategy", "baseline"}
            first[one[0]] += 1
    assert 500 < first["strategy"] < 700


def test_positions_number_the_sequence() -> None:
    """Positions count the blocks of a fork from 0 in the order in which they run."""
    assert [plan[2] for plan in plans()] == list(range(12))


def test_repetitions_are_not_used_twice() -> None:
    """No repetition of an arm stands in two blocks, so every call has an id of its own."""
    used = [first + offset for arm, _, _, first, order in plans() if arm == "strategy" for offset in range(len(order))]
    assert len(used) == len(set(used)) == 30
    assert min(used) == 10


def test_every_sample_is_asked_for_equally_often() -> None:
    """Over whole rounds of the set, each sample comes up the same number of times."""
    assert set(Counter(sample_order(3, 0, 7, 0, 70)).values()) == {10}


def test_either_arm_may_warm_up_first() -> None:
    """The order of warm-up is drawn for each fork."""
    assert {tuple(arm_order(1, fork)) for fork in range(20)} == {("strategy", "baseline"), ("baseline", "strategy")}
