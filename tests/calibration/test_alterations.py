"""An altered value always states something else, and whatever is planted leaves the original alone."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.calibration.planting.alterations import altered, doubled, retyped

SCALARS = st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e6, 1e6, allow_nan=False) | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


def text(value: Any) -> str:
    """As JSON, in which 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


@given(VALUES, st.integers(0, 2**32))
def test_every_alteration_differs_from_the_value_that_was_given(value: Any, seed: int) -> None:
    """No way yields the value itself: a plant that plants nothing would count as missed, or worse, as found."""
    before = copy.deepcopy(value)
    draw = random.Random(seed)
    for way, changed in [*altered(value, draw), *doubled(value), *retyped(value, draw)]:
        assert text(changed) != text(before), way
    assert text(value) == text(before)


def test_a_text_is_altered_in_all_the_ways_in_which_texts_get_damaged() -> None:
    """Accents, case, white space and length each have a way of their own."""
    ways = dict(altered("Déjà vu", random.Random(1)))
    assert set(ways) == {
        "a character changed",
        "cut short",
        "white space after it",
        "other case",
        "another Unicode form",
        "its repr",
    }
    assert ways["white space after it"] == "Déjà vu "
    assert ways["another Unicode form"] != "Déjà vu"


def test_white_space_after_json_text_is_no_alteration() -> None:
    """A tool call's arguments are JSON: white space around them changes nothing that they state."""
    assert "white space after it" not in dict(altered('{"city": "Rome"}', random.Random(1)))


def test_counts_are_doubled_and_lists_hold_each_element_twice() -> None:
    """Duplicated means added up for a count, and repeated for a list."""
    assert dict(doubled(27)) == {"counted twice": 54, "a list of it twice": [27, 27]}
    assert dict(doubled(["a", "b"])) == {"each element twice": ["a", "a", "b", "b"]}
