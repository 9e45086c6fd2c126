"""Intervals of one variant's figures over its trials, widened by how much the trials differ.

Requests of one trial share that trial's luck, so they are worth fewer than their number. A share gets the
Clopper-Pearson interval at an effective sample size (Korn & Graubard 1998, Survey Methodology 24: 193-201):

- design effect: Pearson's overdispersion of the trials' counts (McCullagh & Nelder 1989, section 4.5), at least 1;
- effective size: n / design effect, times (z / t with B-1 degrees of freedom)² because the design effect itself is an
  estimate from only B trials. That factor is never below 1/B: all trials together never count for less than one alone.

"p95 is at most x" says "at least 95 % of requests took at most x", so a quantile's interval holds every x at which the
interval of the share at or below x holds the quantile's share (a test inverted; Conover 1999, section 3.2). The design
effect is taken at each x, not once at the quantile: trials that differ below a limit say nothing against the limit.
A mean gets a t interval over the trials, with the same care (`mean_interval`).

From four trials on a quantile's interval is the wider, at each end, of this one and of the one that takes whole trials for
lucky or unlucky (`luck`), because counting alone can't know the trials it did not see.

Coverage, simulated (`python -m bench statistics_coverage`, in small in tests/analysis): 95 % or more from four trials on, with trials
that differ by nothing up to 20 %. With two or three trials, and with one, it covers less than it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from runner.analysis.luck import Luck
from runner.results.document.figures import Interval
from runner.results.histogram import Histogram, bucket_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
_MOST = 20
"""Times the blocks there were: beyond that, nobody would run it."""
TRIALS_FOR_COVERAGE = 4
"""From this many trials on the spread between them is known well enough for an interval to cover what it says."""


def clopper_pearson(
    successes: Floats | float, total: Floats | float, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """The exact binomial interval of a share (Clopper & Pearson 1934), element by element.

    Args:
        successes: how many of `total`; need not be whole, as an effective size is not.
        total: how many in all; 0 gives 0 to 1.
        confidence: of the two-sided interval.

    Returns:
        The lower and the upper ends, shares from 0 to 1.
    """
    k, n = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(total, dtype=float))
    tail = (1 - confidence) / 2
    misses = np.maximum(n - k, 0.0)
    # beta.ppf needs positive shapes: the ends at 0 and at n are put in by hand
    low = np.where(k > 0, stats.beta.ppf(tail, np.where(k > 0, k, 1.0), misses + 1), 0.0)
    high = np.where(misses > 0, stats.beta.ppf(1 - tail, k + 1, np.where(misses > 0, misses, 1.0)), 1.0)
    return np.asarray(low, dtype=float), np.asarray(high, dtype=float)


def design_effect(successes: Floats, totals: Floats) -> Floats:
    """How many times more than binomial chance the trials' shares vary, at least 1.

    Args:
        successes: one row per trial; one column per share.
        totals: one row per trial (one column), all above 0.

    Returns:
        One number per column: Pearson's chi-square over its degrees of freedom; 1 for one trial, and where a share is
        0 or 1.
    """
    trials = successes.shape[0]
    if trials < 2:  # noqa: PLR2004 - a spread takes two
        return np.ones(successes.shape[1:])
    share = successes.sum(axis=0) / totals.sum()
    chance = totals * share * (1 - share)
    square = np.divide((successes - totals * share) ** 2, chance, out=np.zeros_like(successes), where=chance > 0)
    effects: Floats = np.maximum(square.sum(axis=0) / (trials - 1), 1.0)
    return effects


def unknown_spread_factor(trials: int, confidence: float = CONFIDENCE) -> float:
    """What share of the requests still counts, because the spread was estimated from so few trials (see the module)."""
    if trials < 2:  # noqa: PLR2004 - a spread takes two
        return 1.0
    tail = 1 - (1 - confidence) / 2
    return max(float(stats.norm.ppf(tail) / stats.t.ppf(tail, trials - 1)) ** 2, 1 / trials)


def _band(successes: Floats, totals: Floats, confidence: float) -> tuple[Floats, Floats]:
    """The intervals of several shares (columns) of the same trials (rows)."""
    size = _sizes(successes, totals, confidence)
    share = successes.sum(axis=0) / totals.sum()
    return clopper_pearson(share * size, size, confidence)


def _sizes(successes: Floats, totals: Floats, confidence: float) -> Floats:
    sizes: Floats = totals.sum() / design_effect(successes, totals) * unknown_spread_factor(len(totals), confidence)
    return sizes


def share_interval(successes: Sequence[int], totals: Sequence[int], confidence: float = CONFIDENCE) -> Interval:
    """A share over several trials with its interval.

    Args:
        successes: per trial, how many.
        totals: per trial, of how many; trials of 0 are left out.
        confidence: of the two-sided interval.
    """
    used = [(k, n) for k, n in zip(successes, totals, strict=True) if n]
    if not used:
        return Interval()
    table = np.array(used, dtype=float)
    low, high = _band(table[:, :1], table[:, 1:], confidence)
    return Interval(estimate=float(table[:, 0].sum() / table[:, 1].sum()), low=float(low[0]), high=float(high[0]))


def effective_size(successes: Sequence[int], totals: Sequence[int], confidence: float = CONFIDENCE) -> float:
    """How many independent requests those of several trials are worth for a share (see the module)."""
    used = np.array([(k, n) for k, n in zip(successes, totals, strict=True) if n], dtype=float).reshape(-1, 2)
    return _sizes(used[:, :1], used[:, 1:], confidence).item() if len(used) else 0.0


@dataclass(frozen=True, slots=True)
class LatencyBand:
    """The distribution of several trials' durations with its pointwise interval, from which any quantile is read.

    Attributes:
        values: µs, the bucket midpoints in order.
        share: at or below each bucket.
        low: lower ends of those shares.
        high: upper ends of those shares.
        high_below: the upper end of the share below the smallest duration seen.
        confidence: of the two-sided intervals.
        trials: whose luck widens the intervals; none where there are too few to tell.
    """

    values: Floats
    share: Floats
    low: Floats
    high: Floats
    high_below: float
    confidence: float = CONFIDENCE
    trials: Sequence[Histogram] = ()

    @classmethod
    def of(cls, histograms: Sequence[Histogram], confidence: float = CONFIDENCE) -> LatencyBand | None:
        """The band of several trials' histograms; None when they are all empty."""
        used = [histogram for histogram in histograms if histogram.count]
        if not used:
            return None
        whole = Histogram.merged(used)
        buckets = sorted(whole.counts)
        at_or_below = np.cumsum([[h.counts.get(lower, 0) for lower in buckets] for h in used], axis=1).astype(float)
        totals = np.array([[h.count] for h in used], dtype=float)
        low, high = _band(at_or_below, totals, confidence)
        _, below = _band(np.zeros((len(used), 1)), totals, confidence)
        middle = np.array([lower + (bucket_width(lower) - 1) / 2 for lower in buckets])
        return cls(
            values=np.clip(middle, whole.least, whole.greatest),
            share=at_or_below.sum(axis=0) / totals.sum(),
            low=low,
            high=high,
            high_below=float(below[0]),
            confidence=confidence,
            trials=used if len(used) >= TRIALS_FOR_COVERAGE else (),
        )

    def counted(self) -> LatencyBand:
        """The same by counting requests alone, whatever luck whole trials had."""
        return replace(self, trials=())

    def quantile(self, share: float) -> Interval:
        """A quantile (share 0 to 1) in µs with its interval; an end is None where too few requests bound it."""
        # a hair's width keeps 0.95 * 100 requests from missing the 95th by rounding
        estimate = self.values[min(int(np.searchsorted(self.share, share - 1e-12)), len(self.values) - 1)]
        excluded = self.low < share
        last = int(np.flatnonzero(excluded)[-1]) + 1 if excluded.any() else 0
        possible = np.flatnonzero(self.high >= share)
        low = float(self.values[possible[0]]) if self.high_below < share else None
        high = float(self.values[last]) if last < len(self.values) else None
        luck = Luck.of(self.trials, share) if self.trials else None
        if luck:
            least, most = luck.quantile(share, self.confidence)
            low, high = None if low is None else min(low, least), None if high is None else max(high, most)
        return Interval(estimate=float(estimate), low=low, high=high)


def quantile_interval(histograms: Sequence[Histogram], share: float, confidence: float = CONFIDENCE) -> Interval:
    """A quantile over several trials, in µs, with its interval.

    Args:
        histograms: one per trial; empty ones are left out.
        share: the quantile's share, 0.95 for p95.
        confidence: of the two-sided interval.
    """
    band = LatencyBand.of(histograms, confidence)
    return band.quantile(share) if band else Interval()


def mean_interval(histograms: Sequence[Histogram], confidence: float = CONFIDENCE) -> Interval:
    """The mean over several trials, in µs, with its t interval.

    From two trials on the interval comes from the spread between the trials' means, weighted by requests (the
    variance of a ratio estimator; Cochran 1977, section 6.4). With one trial it comes from the spread between that
    trial's requests. From four trials on, at each end, the wider of it and of Cox's interval for a lognormal, since means
    of trials that differ by a factor are skewed and t misses on the high side.
    """
    used = [histogram for histogram in histograms if histogram.count]
    if not used:
        return Interval()
    whole = Histogram.merged(used)
    mean = whole.total / whole.count
    if len(used) == 1:
        if whole.count < 2:  # noqa: PLR2004 - a spread takes two
            return Interval(estimate=mean)
        square = sum(n * (lower + (bucket_width(lower) - 1) / 2 - mean) ** 2 for lower, n in whole.counts.items())
        variance, degrees = square / (whole.count - 1) / whole.count, whole.count - 1
    else:
        trials = len(used)
        square = sum((h.count / whole.count * (h.total / h.count - mean)) ** 2 for h in used)
        variance, degrees = trials / (trials - 1) * square, trials - 1
    half = float(stats.t.ppf(1 - (1 - confidence) / 2, degrees)) * variance**0.5
    low, high = max(mean - half, 0.0), mean + half
    if len(used) >= TRIALS_FOR_COVERAGE and all(histogram.total for histogram in used):
        least, most = _lognormal_mean([h.total / h.count for h in used], confidence)
        low, high = min(low, least), max(high, most)
    return Interval(estimate=mean, low=low, high=high)


def _lognormal_mean(means: Sequence[float], confidence: float) -> tuple[float, float]:
    """Cox's interval for the mean of a lognormal (Zhou & Gao 1997, Statistics in Medicine 16: 783-790)."""
    logs, freedom = np.log(means), len(means) - 1
    square = float(np.var(logs, ddof=1))
    half = float(stats.t.ppf(1 - (1 - confidence) / 2, freedom))
    half *= (square / len(means) + square**2 / (2 * freedom)) ** 0.5
    middle = float(np.mean(logs)) + square / 2
    return float(np.exp(middle - half)), float(np.exp(middle + half))


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean of one number per trial with its t interval; with one trial the ends are None."""
    if not values:
        return Interval()
    mean = float(np.mean(values))
    if len(values) < 2:  # noqa: PLR2004 - a spread takes two
        return Interval(estimate=mean)
    half = float(stats.t.ppf(1 - (1 - confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return Interval(estimate=mean, low=mean - half, high=mean + half)


def blocks_to_bound(share: float, answered: int, blocks: int) -> int | None:
    """The blocks after which a quantile has an upper (share above a half) or lower bound at all.

    Args:
        share: the quantile's, 0.999 for p99.9.
        answered: requests with an answer, of all blocks together.
        blocks: how many those were.
    """
    if not answered or not blocks or not 0 < share < 1:
        return None
    needed = np.log((1 - CONFIDENCE) / 2) / np.log(max(share, 1 - share))
    for more in range(blocks, _MOST * blocks + 1):
        if answered / blocks * more * unknown_spread_factor(more) > needed:
            return more
    return None
