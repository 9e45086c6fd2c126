"""How far a quantile of all requests may lie from the few trials seen, when whole trials have luck of their own.

Six trials that differ by 20 % say little about the slowest one in a hundred: a method that only counts requests can't know
the trials it did not see, and the upper end of a p95 was then too low 13 times in 100. This one assumes what trials on one
machine look like: the same distribution, all of it faster or slower by a factor that is the trial's luck.

- a trial's luck: the middle, over the 5th to the 95th percentile, of how far its quantiles lie from the average trial's
  (logarithms). Where answers come in two kinds, 1 ms and 2 s, single quantiles leap between them; the middle one does not;
- each kind has a luck of its own: a busy machine makes the quick answers 20 % slower, and not a fault's delay of 2 s. Kinds lie
  apart where the average trial's quantiles leap by `_LEAP` or more from one twentieth of the requests to the next. Fewer than
  `_FEWEST_LEVELS` of them are no kind: they are a tail, or lie where trials leap, and the luck of all answers is taken for theirs;
- spread and middle of luck are known only as well as B trials tell: their joint uncertainty is chi-square and normal, and
  the quantile is worked out at an even grid of it (a generalised confidence interval; Weerahandi 1993, JASA 88: 899-905);
- the interval holds the middle 95 % of those quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

from runner.results.histogram import Histogram, bucket_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LEVELS = np.arange(0.05, 0.96, 0.05)
_GRID = 16
"""Points along each of the two uncertain numbers: 256 in all."""
_LEAP = np.log(2)
_FEWEST_LEVELS = 3
_STEP = 0.004
"""Resolution of a duration's logarithm: half the width of the histogram's buckets."""
_HALVINGS = 18
_FEWEST = 0.5
"""What a duration of 0 µs is taken for, as it has no logarithm."""


@dataclass(frozen=True, slots=True)
class Luck:
    """The common distribution of several trials, and how much whole trials differ in one kind of answers.

    Attributes:
        values: logarithms of durations (µs), each trial's luck taken out, in order.
        weights: the share of requests at each.
        middle: mean luck.
        spread: the standard deviation of luck between trials.
        trials: how many.
    """

    values: Floats
    weights: Floats
    middle: float
    spread: float
    trials: int

    @classmethod
    def of(cls, histograms: Sequence[Histogram], share: float) -> Luck | None:
        """The luck of two or more trials with answered requests, among answers like that at a quantile (share 0 to 1).

        None when the trials do not differ at all.
        """
        parts = [_logarithms(histogram) for histogram in histograms]
        quantiles = np.array([_quantiles(values, numbers) for values, numbers in parts])
        kind = quantiles[:, _kind(quantiles.mean(axis=0), share)]
        lucks = np.median(kind - kind.mean(axis=0), axis=1)
        spread = float(np.std(lucks, ddof=1))
        if spread <= 0:
            return None
        values = np.concatenate([part - luck for (part, _), luck in zip(parts, lucks, strict=True)])
        counts = np.concatenate([numbers for _, numbers in parts])
        steps, place = np.unique(np.round(values / _STEP), return_inverse=True)
        weights = np.bincount(place, weights=counts)
        return cls(steps * _STEP, weights / weights.sum(), float(lucks.mean()), spread, len(histograms))

    def quantile(self, share: float, confidence: float) -> tuple[float, float]:
        """The interval of a quantile (share 0 to 1) of requests of all trials that there could be, in µs."""
        even = (np.arange(_GRID) + 0.5) / _GRID
        freedom = self.trials - 1
        spreads = self.spread * np.sqrt(freedom / stats.chi2.ppf(even, freedom))
        middles = self.middle + np.outer(spreads, stats.norm.ppf(even)) / self.trials**0.5
        possible = np.exp(self._mixed(share, spreads)[:, None] + middles)
        low, high = np.quantile(possible, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    def _mixed(self, share: float, spreads: Floats) -> Floats:
        """The quantile of the common distribution smeared by each spread of luck, by halving."""
        low, high = self.values[0] - 8 * spreads, self.values[-1] + 8 * spreads
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = special.ndtr((middle[:, None] - self.values) / spreads[:, None]) @ self.weights < share
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2, dtype=float)


def _logarithms(histogram: Histogram) -> tuple[Floats, Floats]:
    """A trial's durations as logarithms, and how many there are of each."""
    buckets = sorted(histogram.counts)
    middle = np.array([lower + (bucket_width(lower) - 1) / 2 for lower in buckets])
    number = np.array([histogram.counts[lower] for lower in buckets], dtype=float)
    return np.log(np.maximum(middle, _FEWEST)), number


def _quantiles(values: Floats, numbers: Floats) -> Floats:
    """Those of one trial at all levels."""
    seen = np.cumsum(numbers)
    found: Floats = values[np.searchsorted(seen, _LEVELS * seen[-1] * (1 - 1e-12))]
    return found


def _kind(average: Floats, share: float) -> slice:
    """Which of `_LEVELS` are of the same kind as a share; all where too few of them are."""
    edges = [0, *(np.flatnonzero(np.diff(average) >= _LEAP) + 1).tolist(), len(average)]
    nearest = int(np.argmin(np.abs(_LEVELS - share)))
    start, end = next((a, b) for a, b in pairwise(edges) if nearest < b)
    return slice(start, end) if end - start >= _FEWEST_LEVELS else slice(None)
