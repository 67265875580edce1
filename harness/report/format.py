"""Numbers and texts as every report prints them: the one place that rounds and clips."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

ABSENT = "—"
MINUS = "−"  # noqa: RUF001 - the typographic minus, as wide as a digit
_BYTE_UNITS = ("bytes", "B")
_BYTE_STEPS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_IN_SIGHT = 12
"""Characters of a clipped text that have to stand behind the first difference from its neighbour."""


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _decimals_for(size: float, digits: int) -> int:
    """Decimals that show ``size`` with so many significant digits, from 0 to 3."""
    if size <= 0:
        return 0 if digits > 2 else 2
    return min(3, max(0, digits - 1 - math.floor(math.log10(size))))


def number(value: float | None, *, decimals: int | None = None) -> str:
    """A plain number: three significant digits, thousands apart, a real minus; absent is a dash."""
    if value is None or not math.isfinite(value):
        return ABSENT
    places = _decimals_for(abs(value), 3) if decimals is None else decimals
    text = f"{abs(value):,.{places}f}".replace(",", "\N{NO-BREAK SPACE}")
    is_zero = not any(digit in text for digit in "123456789")
    return text if value >= 0 or is_zero else MINUS + text


def _scaled(unit: str, largest: float) -> tuple[float, str]:
    if unit not in _BYTE_UNITS:
        return 1.0, unit
    return next(((step, name) for step, name in _BYTE_STEPS if largest >= step), (1.0, "B"))


def quantity(value: float | None, unit: str, low: float | None = None, high: float | None = None) -> str:
    """A number with its unit and, where there is one, its interval: ``4.13 ms [3.82, 4.44]``.

    The interval's half-width sets the decimals (two significant digits of it), so that no more
    digits are printed than the measurement supports. Bytes are scaled by steps of 1000.
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    bounds = [bound for bound in (low, high) if bound is not None and math.isfinite(bound)]
    divisor, shown_unit = _scaled(unit, max(abs(part) for part in (value, *bounds)))
    suffix = f" {shown_unit}" if shown_unit else ""
    if low is None or high is None or len(bounds) < 2:
        return number(value / divisor) + suffix
    decimals = _decimals_for((high - low) / 2 / divisor, 2)
    middle, lower, upper = (number(part / divisor, decimals=decimals) for part in (value, low, high))
    return f"{middle}{suffix} [{lower}, {upper}]"


def series(values: tuple[float, ...], unit: str) -> str:
    """Several numbers of one unit, in their order: ``3.9, 4.2, 4.4 ms``."""
    if not values:
        return ABSENT
    divisor, shown_unit = _scaled(unit, max((abs(value) for value in values if _known(value)), default=0.0))
    return ", ".join(number(value / divisor) for value in values) + f" {shown_unit}".rstrip()


def percent(share: float | None) -> str:
    """A share in percent with one decimal; only a true 1 prints as 100% and only a true 0 as 0%."""
    if share is None or not math.isfinite(share):
        return ABSENT
    tenths = round(share * 1000)
    if tenths == 0 and share != 0:
        return "<0.1%"
    if tenths == 1000 and share < 1:
        tenths = 999
    return f"{number(tenths / 10, decimals=0 if tenths % 10 == 0 else 1)}%"


def percent_within(share: float | None, low: float | None, high: float | None) -> str:
    """A share in percent with its interval, where it has one: ``0.23% [0.18, 0.27]``."""
    if share is None or low is None or high is None:
        return percent(share)
    return quantity(100 * share, "%", 100 * low, 100 * high).replace(" %", "%")


def give_or_take(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """A number without its unit, and half the width of its interval: ``("22.4", "±3.8")``; empty without one."""
    if value is None or low is None or high is None:
        return number(value), ""
    half = (high - low) / 2
    places = _decimals_for(half, 2)
    return number(value, decimals=places), f"±{number(half, decimals=places)}"


def count(number_of: int, one: str, many: str | None = None) -> str:
    """A count with its noun: ``1 trace``, ``2 traces``."""
    return f"{number_of} {one if number_of == 1 else many or one + 's'}"


def listed(items: list[str], conjunction: str = "and") -> str:
    """Items in a row as a sentence has them: ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def clip(text: str, limit: int) -> str:
    """A text on one line with at most ``limit`` characters; a cut is shown by an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def evidence(value: Any, limit: int = 160) -> str:
    """A value from the wire or a trace as compact JSON on one line, clipped."""
    return clip(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str), limit)


def evidence_pair(wire: Any, traced: Any, limit: int = 160) -> tuple[str, str]:
    """Two values to be read beside each other, each as ``evidence``.

    Where long values differ only beyond the cut, both begin shortly before the first difference,
    so that two texts that look alike are alike.
    """
    first, second = (json.dumps(value, ensure_ascii=False, sort_keys=True, default=str) for value in (wire, traced))
    return clip_pair(first, second, limit)


def clip_pair(one: str, other: str, limit: int) -> tuple[str, str]:
    """Two texts clipped to one line each, with their first difference in sight."""
    first, second = " ".join(one.split()), " ".join(other.split())
    shorter = min(len(first), len(second))
    alike = next((index for index in range(shorter) if first[index] != second[index]), shorter)
    if first == second or alike < limit - _IN_SIGHT or max(len(first), len(second)) <= limit:
        return clip(first, limit), clip(second, limit)
    start = alike - limit // 3
    return f"…{clip(first[start:], limit - 1)}", f"…{clip(second[start:], limit - 1)}"


def utc(unix_ns: int) -> str:
    """A moment in UTC to the minute, such as ``2026-03-01 14:05 UTC``."""
    return datetime.fromtimestamp(unix_ns // 1_000_000_000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(elapsed_ns: int) -> str:
    """A span of time in words: ``42 s``, ``3 min 20 s``, ``1 h 5 min``."""
    seconds = max(0, round(elapsed_ns / 1e9))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
