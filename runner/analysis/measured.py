"""A metric as it was measured: its value, its interval, or why it can't be had."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.analysis.intervals import TRIALS_FOR_COVERAGE
from runner.analysis.words import quantity, spread

if TYPE_CHECKING:
    from runner.results.document.figures import Interval
    from runner.spec.metrics import Unit


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric as it was measured.

    Attributes:
        unit: of the values.
        value: the estimate, None when there is none.
        low: lower end of the interval; for an exact value the value.
        high: upper end of the interval.
        exact: a count, compared as it is.
        successes: for a share, how many (of `total`).
        total: for a share, of how many.
        size: for a share, how many independent requests the total is worth.
        trials: over how many trials.
        settles: for a quantile that the requests do not bound on both sides, the blocks with which they would.
        missing: why there is no value.
        never: in words, where something that takes a time did not happen; it took `low` at least then, and there is no value.
        note: what a reader should know beside the value.
    """

    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    exact: bool = False
    successes: int = 0
    total: int = 0
    size: float = 0.0
    trials: int = 0
    settles: int | None = None
    missing: str = ""
    never: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The value with its interval: `1.04 s (0.98 to 1.09 s)`, `124`."""
        if self.value is None:
            return self.never or "not measured"
        shown = quantity(self.value, self.unit)
        if self.exact:
            return shown
        return f"{shown} ({spread(self.low, self.high, self.unit, self.value)})"


def exact_value(value: float, unit: Unit, note: str = "") -> Measured:
    """A value that is known exactly: its interval is itself."""
    return Measured(unit, value, value, value, exact=True, note=note)


def from_interval(interval: Interval, unit: Unit, scale: float = 1.0) -> Measured:
    """An estimate with its interval, each times `scale`."""
    estimate, low, high = (
        None if end is None else end * scale for end in (interval.estimate, interval.low, interval.high)
    )
    return Measured(unit, estimate, low, high)


def noting_few_trials(measured: Measured, trials: int) -> Measured:
    """Say so where the spread between trials is hardly known."""
    if measured.value is None or measured.exact or trials >= TRIALS_FOR_COVERAGE:
        return measured
    known = "one trial can't show" if trials == 1 else f"{trials} trials hardly show"
    note = f"{known} how much trials differ"
    return replace(measured, note=f"{measured.note}; {note}" if measured.note else note)
