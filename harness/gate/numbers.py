"""Numbers of stored documents: what no measurement gives is damage, and is refused where it is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

LARGEST = 1e15
"""Larger than any cost in ms, and small enough to be squared and summed."""

Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**9)]


def check_lost(expected: int, lost: int, expected_by_fork: list[int], lost_by_fork: list[int]) -> None:
    """Refuse counts of lost traces that contradict each other.

    Raises:
        ValueError: Saying how; pydantic makes it an error of the document's place.
    """
    if len(expected_by_fork) != len(lost_by_fork):
        raise ValueError(
            f"expected_by_fork has {len(expected_by_fork)} forks and lost_by_fork {len(lost_by_fork)}; "
            "they must have as many"
        )
    for those, of in ((lost, expected), *zip(lost_by_fork, expected_by_fork, strict=True)):
        if those > of:
            raise ValueError(f"{those} traces are lost of {of} that were expected; it must be at most as many")
