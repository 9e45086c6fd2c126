"""The axes of a sweep's curves: where a value stands, and which places are labelled."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.units import parse_duration, parse_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH = 340
HEIGHT = 200
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 26
_WIDE = 20.0
"""From this ratio of the greatest to the smallest value on, the values stand on a logarithmic axis."""
_CHARACTER = 6.2
"""Width of a label's character in pixels, rounded up."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS = 4
_NOTHING = 1e-12
_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place."""

    at: float
    text: str


def _percent(text: str) -> float:
    match = _PERCENT.fullmatch(text)
    if not match:
        raise ValueError(text)
    return float(match[1])


_READERS: tuple[Callable[[str], float], ...] = (parse_duration, parse_rate, _percent, float)


def numbers(values: Sequence[str]) -> list[float] | None:
    """The values as numbers of one kind (durations, rates, percentages, plain numbers); None when they are not."""
    for reader in _READERS:
        try:
            found = [reader(value) for value in values]
        except ValueError:
            continue
        if all(math.isfinite(number) for number in found) and len(set(found)) == len(found):
            return found
    return None


class ValueAxis:
    """The matrix variable's values from left to right: to scale when they are numbers, else evenly apart as written."""

    def __init__(self, values: Sequence[str]) -> None:
        scale = numbers(values)
        if scale is None:
            self.values = list(values)
            places = [float(place) for place in range(len(values))]
        else:
            order = sorted(range(len(values)), key=lambda place: scale[place])
            self.values = [values[place] for place in order]
            places = [scale[place] for place in order]
            if places[0] > 0 and places[-1] / places[0] > _WIDE:
                places = [math.log(place) for place in places]
        span = places[-1] - places[0] or 1.0
        room = WIDTH - LEFT - RIGHT - 24
        self._x = {
            value: round(LEFT + 12 + room * (place - places[0]) / span, 1)
            for value, place in zip(self.values, places, strict=True)
        }

    def x(self, value: str) -> float:
        """The place of a value, in pixels from the left."""
        return self._x[value]

    def ticks(self) -> list[Tick]:
        """The values that have room for their labels: the first, the last, and what fits between them."""
        chosen: list[str] = []
        for value in [self.values[0], self.values[-1], *self.values[1:-1]]:
            half = len(value) * _CHARACTER / 2 + 3
            if value not in chosen and all(
                abs(self.x(value) - self.x(other)) >= half + len(other) * _CHARACTER / 2 + 3 for other in chosen
            ):
                chosen.append(value)
        return [Tick(self.x(value), value) for value in self.values if value in chosen]


class AmountAxis:
    """A metric from zero upwards, ending at a round number above everything that is drawn."""

    def __init__(self, greatest: float, *, most: float = math.inf) -> None:
        top = greatest if greatest > _NOTHING else 1.0
        size = 10.0 ** math.floor(math.log10(top / _TICKS))
        self.step = next(size * factor for factor in _STEPS if size * factor * _TICKS >= top * 0.999)
        self.top = min(most, self.step * math.ceil(top / self.step - 0.001))

    def y(self, value: float) -> float:
        """The place of an amount, in pixels from above."""
        part = min(max(value / self.top, 0.0), 1.0)
        return round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM), 1)

    def ticks(self, text: Callable[[float], str]) -> list[Tick]:
        """Zero and the steps up to the top."""
        steps = math.floor(self.top / self.step + 0.001)
        return [Tick(self.y(self.step * number), text(self.step * number)) for number in range(steps + 1)]
