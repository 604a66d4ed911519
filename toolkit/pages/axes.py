"""Axes of charts: positions of values, and tick values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic map from values `low` to `high` to positions `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Position of a value, clamped to the ends of the axis."""
        low, high, here = (self._scaled(number) for number in (self.low, self.high, value))
        share = (here - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values between the ends, at most about `most` of them."""
        return _decades(self.low, self.high, most) if self.logarithmic else _steps(self.low, self.high, most)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.logarithmic else value


def spanning(values: Sequence[float], start: float, end: float, *, logarithmic: bool = False) -> Axis:
    """An axis for all values: with 0 if linear, with a margin if logarithmic."""
    if not logarithmic:
        low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
        return Axis(low, high if high > low else 1.0, start, end)
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive), max(positive)
    margin = max((high / low) ** 0.06, 1.03)
    return Axis(low / margin, high * margin, start, end, True)


def crowded(values: Sequence[float]) -> bool:
    """Whether most of the positive values are in the lowest tenth of their range, where only logarithms tell them
    apart."""
    positive = [value for value in values if value > 0]
    return 2 * sum(value < 0.1 * max(positive) for value in positive) > len(positive)


def number(value: float) -> str:
    """Three significant digits with an SI suffix: 1.5k, 20M, 3G."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def _steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(most - 1, 1)
    if rough <= 0:
        return [low]
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for factors in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(found) <= most:
            return found
    every = math.ceil(len(found) / most)
    return found[::every]
