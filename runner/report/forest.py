"""The interval plot of comparisons: positions on one axis for all rows of a group, ready to be drawn as SVG.

Relative changes stand on a logarithmic axis (half is as far from zero as double), differences of shares on a plain one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.results.document.checks import ComparisonRecord

WIDTH = 260
HEIGHT = 34
_EDGE = 12
_DOT = 12
_TICK_ROOM = 46
_FLOOR = -0.999
_STEPS = (0.0, -0.5, 1.0, -0.1, 0.1, 9.0, -0.9, 0.25, -0.25, 0.5, -0.75, 3.0, 0.05, -0.05, 0.02, -0.02, 0.01, -0.01)
"""Relative changes that make good ticks, the most telling first."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on the axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One comparison, drawn: all numbers are x positions in pixels, None where there is nothing to draw.

    Attributes:
        zero: the line of no difference.
        band: both ends of the margin within which variants count as equivalent.
        low: the interval's lower end; at the edge when `low_open`.
        high: the interval's upper end; at the edge when `high_open`.
        low_open: whether the data put no bound below.
        high_open: whether the data put no bound above.
        estimate: the estimate.
        blocks: each block's own difference.
    """

    zero: float
    band: tuple[float, float] | None
    low: float | None
    high: float | None
    low_open: bool
    high_open: bool
    estimate: float | None
    blocks: list[float]

    @property
    def long(self) -> bool:
        """Whether the interval is longer than the dot is wide, so that its ends can be told from it."""
        return self.low is not None and self.high is not None and self.high - self.low > _DOT


class Axis:
    """One axis wide enough for all of some comparisons, all relative or all of shares."""

    def __init__(self, records: Sequence[ComparisonRecord], *, shares: bool) -> None:
        self._shares = shares
        values = [self._scaled(value) for record in records for value in _values(record)] + [0.0]
        least, greatest = min(values), max(values)
        room = (greatest - least) * 0.06 or (0.05 if shares else math.log1p(0.2))
        self._from, self._to = least - room, greatest + room

    def _scaled(self, value: float) -> float:
        return value if self._shares else math.log1p(max(value, _FLOOR))

    def x(self, value: float) -> float:
        """The place of a difference, in pixels from the left."""
        part = (self._scaled(value) - self._from) / (self._to - self._from)
        return round(_EDGE + part * (WIDTH - 2 * _EDGE), 1)

    def plot(self, record: ComparisonRecord) -> Plot:
        """One comparison on this axis."""
        known = record.estimate is not None
        margin = record.margin
        return Plot(
            zero=self.x(0.0),
            band=(self.x(self._lower(margin)), self.x(margin)) if margin else None,
            low=(float(_EDGE) / 2 if record.low is None else self.x(record.low)) if known else None,
            high=(WIDTH - float(_EDGE) / 2 if record.high is None else self.x(record.high)) if known else None,
            low_open=known and record.low is None,
            high_open=known and record.high is None,
            estimate=None if record.estimate is None else self.x(record.estimate),
            blocks=[self.x(value) for value in record.differences if math.isfinite(value)],
        )

    def _lower(self, margin: float) -> float:
        return -margin if self._shares else 1 / (1 + margin) - 1

    def ticks(self) -> list[Tick]:
        """Labelled places, far enough apart to be read, in order."""
        found: list[Tick] = []
        for value in self._share_steps() if self._shares else _STEPS:
            scaled = self._scaled(value)
            if not self._from <= scaled <= self._to:
                continue
            x = self.x(value)
            if all(abs(x - other.x) >= _TICK_ROOM for other in found):
                found.append(Tick(x, _tick_text(value, "" if self._shares else " %")))
        return sorted(found, key=lambda tick: tick.x)

    def _share_steps(self) -> Iterable[float]:
        """Zero, then the multiples of the smallest round step whose labels have room."""
        least_step = (self._to - self._from) * _TICK_ROOM / (WIDTH - 2 * _EDGE)
        size = 10.0 ** math.floor(math.log10(least_step))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least_step)
        first, last = math.ceil(self._from / step), math.floor(self._to / step)
        return [0.0, *(step * number for number in range(first, last + 1) if number)]


def _tick_text(value: float, unit: str) -> str:
    text = f"{abs(value) * 100:.3g}{unit}"
    return text if value == 0 else f"{'+' if value > 0 else words.MINUS}{text}"


def _values(record: ComparisonRecord) -> list[float]:
    margin = [record.margin, -record.margin] if record.margin else []
    ends = [value for value in (record.estimate, record.low, record.high) if value is not None]
    return [value for value in (*ends, *record.differences, *margin) if math.isfinite(value)]
