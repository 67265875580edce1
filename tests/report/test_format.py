from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.format import (
    clip,
    duration,
    evidence,
    give_or_take,
    listed,
    number,
    percent,
    percent_within,
    quantity,
    series,
    utc,
)

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (math.nan, "—"),
        (math.inf, "—"),
        (0.0, "0"),
        (-0.00001, "0.000"),
        (0.0834, "0.083"),
        (4.1, "4.10"),
        (28.44, "28.4"),
        (217.3, "217"),
        (-4.1, f"{MINUS}4.10"),
        (12345.6, "12\N{NO-BREAK SPACE}346"),
    ],
)
def test_number_has_three_significant_digits(value: float | None, text: str) -> None:
    """Numbers print with three significant digits, and what is no number as a dash."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ((4.134, "ms", 3.82, 4.44), "4.13 ms [3.82, 4.44]"),
        ((28.4, "ms", 26.1, 30.7), "28.4 ms [26.1, 30.7]"),
        ((217.0, "us", 191.0, 242.0), "217 us [191, 242]"),
        ((0.032, "ms", -0.048, 0.112), f"0.032 ms [{MINUS}0.048, 0.112]"),
        ((12345.0, "bytes", 12205.0, 12485.0), "12.35 kB [12.21, 12.48]"),
        ((950.0, "bytes", None, None), "950 B"),
        ((4.134, "ms", None, None), "4.13 ms"),
        ((4.134, "ms", 3.82, None), "4.13 ms"),
        ((None, "ms", 1.0, 2.0), "—"),
    ],
)
def test_quantity_prints_no_more_digits_than_its_interval_supports(
    estimate: tuple[float | None, str, float | None, float | None], text: str
) -> None:
    """Value and bounds have the decimals of the interval's half-width, and the unit once."""
    assert quantity(*estimate) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "—"),
        (0.0, "0%"),
        (1.0, "100%"),
        (0.963, "96.3%"),
        (0.5, "50%"),
        (0.9999, "99.9%"),
        (0.00001, "<0.1%"),
        (-0.00001, "<0.1%"),
        (-0.02, f"{MINUS}2%"),
        (1.5, "150%"),
    ],
)
def test_percent_rounds_nothing_to_all_or_none(share: float | None, text: str) -> None:
    """Only a true 1 is 100% and only a true 0 is 0%."""
    assert percent(share) == text


@given(st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_share_between_none_and_all_stays_between(share: float) -> None:
    """No share strictly between 0 and 1 prints as one of them."""
    assert percent(share) not in ("0%", "100%")


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_number_is_near_its_value(value: float) -> None:
    """What is printed differs from the value by rounding alone."""
    printed = number(value).replace(MINUS, "-").replace("\N{NO-BREAK SPACE}", "")
    assert re.fullmatch(r"-?\d+(\.\d+)?", printed)
    assert float(printed) == pytest.approx(value, rel=0.006, abs=0.0005001)


def test_series_shares_its_unit() -> None:
    """Values of forks stand in their order with one unit."""
    assert series((3.9, 4.25, -0.1), "ms") == f"3.90, 4.25, {MINUS}0.100 ms"
    assert series((), "ms") == "—"


def test_evidence_is_one_clipped_line() -> None:
    """A value of any kind becomes JSON on one line that ends in an ellipsis when cut."""
    assert evidence({"b": 1, "a": "x\ny"}) == '{"a": "x\\ny", "b": 1}'
    assert evidence("x" * 500, 20) == '"' + "x" * 18 + "…"


def test_clip_joins_lines() -> None:
    """A clipped text has no line breaks."""
    assert clip("a\n  b", 10) == "a b"


def test_words_for_lists_and_times() -> None:
    """Lists, durations and moments read as words."""
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert [duration(part * 10**9) for part in (42, 200, 3900)] == ["42 s", "3 min 20 s", "1 h 5 min"]
    assert utc(1_772_373_900 * 10**9) == "2026-03-01 14:05 UTC"


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0.0023, 0.0018, 0.0027), "0.230% [0.180, 0.270]"),
        ((0.4, 0.3, 0.5), "40% [30, 50]"),
        ((0.4, None, None), "40%"),
        ((None, None, None), "—"),
    ],
)
def test_a_share_has_its_interval(bounds: tuple[float | None, ...], text: str) -> None:
    """In percent, with decimals as the half-width supports them; without an interval as ever."""
    assert percent_within(*bounds) == text


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [
        ((22.4, 18.6, 26.2), ("22.4", "±3.8")),
        ((0.02, -0.11, 0.15), ("0.02", "±0.13")),
        ((3.0, None, None), ("3.00", "")),
        ((None, None, None), ("—", "")),
    ],
)
def test_a_half_width_stands_beside_its_number(bounds: tuple[float | None, ...], shown: tuple[str, str]) -> None:
    """With two significant digits, which set those of the number."""
    assert give_or_take(*bounds) == shown
