"""What is asked when: sample order and block order as pure functions of the seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records import Arm

ARMS: tuple[Arm, Arm] = ("strategy", "baseline")


class BlockPlan(NamedTuple):
    """One block of one arm.

    Attributes:
        arm: Who runs it.
        block: Index within the arm.
        position: Place in the fork's sequence.
        first_repetition: Repetition of its first call.
        order: Indexes of the samples, one a call.
    """

    arm: Arm
    block: int
    position: int
    first_repetition: int
    order: tuple[int, ...]


def sample_order(seed: int, fork: int, samples: int, first_repetition: int, calls: int) -> tuple[int, ...]:
    """Which samples a stretch of calls asks for: the fork's own shuffle of the set, over and over.

    Both arms of a fork get the same, so a difference between them is not one of prompts.
    """
    shuffled = random.Random(f"{seed}/samples/{fork}").sample(range(samples), samples)  # noqa: S311  # reproducible
    return tuple(shuffled[(first_repetition + offset) % samples] for offset in range(calls))


def block_plans(  # noqa: PLR0913  # the shape of a fork, each part named
    seed: int, fork: int, *, samples: int, blocks: int, calls_per_block: int, first_repetition: int
) -> Iterator[BlockPlan]:
    """The measured blocks of one fork in the order in which they run.

    The arms take turns in pairs and the order within each pair is drawn at random: a drift of
    the machine then touches both alike, and no rhythm of its own can favour one.
    """
    draw = random.Random(f"{seed}/blocks/{fork}")  # noqa: S311  # reproducible, not secret
    position = 0
    for block in range(blocks):
        start = first_repetition + block * calls_per_block
        order = sample_order(seed, fork, samples, start, calls_per_block)
        for arm in draw.sample(ARMS, 2):
            yield BlockPlan(arm, block, position, start, order)
            position += 1


def arm_order(seed: int, fork: int) -> list[Arm]:
    """Which arm is started and warmed up first in a fork."""
    return random.Random(f"{seed}/arms/{fork}").sample(ARMS, 2)  # noqa: S311  # reproducible, not secret
