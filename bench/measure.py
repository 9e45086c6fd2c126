"""Things run side by side: every repeat runs each of them once, in shuffled order, and ratios are taken within a repeat."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one thing, a value for each repeat.

    Attributes:
        what: what was measured, as the table says it.
        unit: `s`, `ms`, `µs`, `/s`, or `x` for a ratio.
        values: one for each repeat, in order.
        aim: what is aimed at, with its direction: `<= 2.5` or `>= 0.98`, in `unit`; None without an aim.
    """

    what: str
    unit: str
    values: tuple[float, ...]
    aim: str | None = None

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the median keeps the aim; None without one."""
        if self.aim is None:
            return None
        operator, limit = self.aim.split()
        return self.middle <= float(limit) if operator == "<=" else self.middle >= float(limit)

    def aimed(self, aim: str) -> Series:
        """The same with an aim."""
        return Series(self.what, self.unit, self.values, aim)


@dataclass(frozen=True, slots=True)
class Table:
    """What has no repeats, such as a simulation: cells as they are shown, the first of each row its head."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found.

    Attributes:
        rows: the table's rows.
        notes: sentences that belong to them: what limits a figure, what was left out.
        tables: further tables, after that of the rows.
    """

    rows: Sequence[Series] = field(default=())
    notes: Sequence[str] = field(default=())
    tables: Sequence[Table] = field(default=())


Sample = dict[str, float]
"""What one repeat of one thing gave, by quantity."""


def side_by_side(
    arms: Mapping[str, Callable[[], Sample]], repeats: int, seed: int = 1, *, warm: bool = True
) -> dict[str, list[Sample]]:
    """Run every arm once in each repeat, in a shuffled order of its own.

    Args:
        arms: by name, what to run; each returns its measured quantities.
        repeats: how many count.
        seed: of the order.
        warm: run every arm once before, uncounted, so that caches and bytecode are there for all.

    Returns:
        By arm, one sample for each repeat.
    """
    dice = random.Random(seed)  # noqa: S311 - an order, not a secret
    found: dict[str, list[Sample]] = {name: [] for name in arms}
    for repeat in range(-1 if warm else 0, repeats):
        for name in dice.sample(list(arms), len(arms)):
            say(f"{name}, repeat {repeat + 1} of {repeats}" if repeat >= 0 else f"{name}, warming up")
            sample = arms[name]()
            if repeat >= 0:
                found[name].append(sample)
    say("")
    return found


def say(text: str) -> None:
    """Show what goes on, on a line of its own that the next one replaces; nothing when standard error is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def series(found: Mapping[str, Sequence[Sample]], arm: str, quantity: str, unit: str, what: str = "") -> Series:
    """One quantity of one arm."""
    return Series(what or f"{arm}, {quantity}", unit, tuple(sample[quantity] for sample in found[arm]))


def ratio(what: str, ours: Series, theirs: Series) -> Series:
    """Ours to theirs, repeat by repeat."""
    return Series(what, "x", tuple(mine / other for mine, other in zip(ours.values, theirs.values, strict=True)))


def figure(value: float, unit: str) -> str:
    """A value as the table shows it: three digits that mean something, and the unit."""
    if unit == "x":
        return f"{value:.3f}" if value < 10 else f"{value:.3g}"
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{text}{unit}" if unit == "/s" else f"{text} {unit}"
