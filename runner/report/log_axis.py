"""A logarithmic axis: where a positive value stands in pixels, and which round values are labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report.sweep_axis import Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FACTORS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
_MOST = 6
_ROOM = 1.06
"""How far the axis goes beyond the outermost values, so that no mark is cut off."""


@dataclass(frozen=True, slots=True)
class LogAxis:
    """From `low` to `high`, drawn between the pixels `start` and `end` (which may run upwards)."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> LogAxis:
        """An axis on which all of some positive values have room."""
        known = [value for value in values if value > 0] or [1.0]
        low, high = min(known), max(known)
        if high < low * 2:
            middle = math.sqrt(low * high)
            low, high = middle / math.sqrt(2), middle * math.sqrt(2)
        return cls(low / _ROOM, high * _ROOM, start, end)

    def at(self, value: float) -> float:
        """The place of a value, in pixels; beyond the ends, the end."""
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return round(self.start + (self.end - self.start) * min(share, 1.0), 1)

    def ticks(self, text: Callable[[float], str]) -> list[Tick]:
        """Round values, as dense as there is room for."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found: list[float] = []
        for factors in _FACTORS:
            found = [f * 10.0**power for power in powers for f in factors if self.low <= f * 10.0**power <= self.high]
            if len(found) <= _MOST:
                break
        if len(found) < 2:  # noqa: PLR2004 - one label says nothing about a scale
            found = [self.low * _ROOM, math.sqrt(self.low * self.high), self.high / _ROOM]
        return [Tick(self.at(value), text(value)) for value in found]
