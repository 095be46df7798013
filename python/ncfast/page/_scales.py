"""Axes: where a value stands, which ticks there are, how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ZERO_BAND = 0.1  # share of a logarithmic axis below the least positive value, if zero occurs
_MOST_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, linear or logarithmic; `has_zero` adds a zero below a logarithmic one."""

    low: float
    high: float
    log: bool = False
    has_zero: bool = False

    def place(self, value: float) -> float:
        """Return where a value stands: 0 at the low end, 1 at the high end."""
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return 0.0
        bottom = _ZERO_BAND if self.has_zero else 0.0
        share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return bottom + (1 - bottom) * share

    def ticks(self) -> list[tuple[float, str]]:
        """Return values to mark, and how to write them."""
        if not self.log:
            return [(value, f"{value:,.12g}") for value in _round_values(self.low, self.high)]
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        step = max(1, -(-(last - first + 1) // _MOST_TICKS))
        marks = [(10.0**power, power_of_ten(power)) for power in range(last, first - 1, -step)]
        if len(marks) < 2:
            steps = [factor * 10.0**power for power in range(last, first - 2, -1) for factor in (5, 2, 1)]
            marks = [(value, number(value, 1)) for value in steps if self.low <= value <= self.high]
        return ([(0.0, "0")] if self.has_zero else []) + marks


def fitted(values: Iterable[float], *, log: bool, zero: bool = False) -> Scale:
    """Return a scale that holds all finite values; with `zero`, a linear one begins there."""
    finite = [value for value in values if math.isfinite(value)]
    if log:
        positive = [value for value in finite if value > 0]
        if not positive:
            return Scale(0.0, 1.0)
        low, high = min(positive), max(positive)
        if high / low < 10:  # less than a decade looks like more than it is
            middle = math.sqrt(low * high)
            low, high = middle / math.sqrt(10), middle * math.sqrt(10)
        return Scale(low / 1.25, high * 1.25, log=True, has_zero=any(value <= 0 for value in finite))
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    low = min(low, 0.0) if zero else low
    margin = 0.04 * (high - low) or abs(high) * 0.04 or 0.5
    return Scale(low if zero and low == 0 else low - margin, high + margin)


def _round_values(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12 - math.floor(math.log10(step))) for i in range(first, last + 1)]


def power_of_ten(power: int) -> str:
    """Write a power of ten, as people do."""
    if 0 <= power <= 3:
        return str(10**power)
    return f"{10.0**power:.{-power}f}" if -2 <= power < 0 else "10" + str(power).translate(_SUPERSCRIPTS)


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits: 0.0123, 1.23 × 10⁻⁵, 12,300."""
    if not math.isfinite(value):
        return {"inf": "∞", "-inf": "−∞"}.get(str(value), "undefined")
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}".replace("-", "−")
    if 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:#.{digits}g}".removesuffix(".")
        return text.replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", "−")


def percent(share: float) -> str:
    """Write a share as a percentage of two or three digits, never rounded to 0 % or 100 % when it is not."""
    if share in (0.0, 1.0) or not math.isfinite(share):
        return f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%") if math.isfinite(share) else number(share)
    if 0.99 < share < 1.0:
        digits = min(9, max(1, math.ceil(-math.log10(1 - share) - 1e-9) - 2))
        return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"
    return f"{number(100 * share, 2 if share < 0.1 else 3)}\N{NO-BREAK SPACE}%"
