"""How often the intervals hold the truth that they are about.

95 % is what they promise, or more. First the paired interval of a comparison, under every kind of noise between trials; then that of
two error shares; then the intervals of one variant alone, where whole trials are slower or faster than others by a factor (the spread
between trials; the truth is that of all trials there could be). For quantiles the counting method alone stands beside what is used,
which is the wider of counting and of taking whole trials for lucky (`runner/analysis/luck.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal, stats

from bench.measure import Result, Table
from bench.statistics_model import NOISES, SEED, Noise, excludes, in_blocks, percent, shift_intervals, stream
from runner.analysis.intervals import LatencyBand, clopper_pearson, mean_interval, share_interval
from runner.results.histogram import Histogram

if TYPE_CHECKING:
    from bench.statistics_model import Floats

WITHIN = 0.2
"""Spread of the logarithms of a trial's latencies."""
CENTRE = 50_000
"""µs."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_BUCKET = 1.004
"""A quantile is its bucket's midpoint, so it is off by up to 0.4 %."""
_LARGE = 2_000_000
_SIGNIFICANT_BITS = 8
"""Of a histogram's bucket (`runner/results/histogram.py`)."""


def paired(noise: Noise, blocks: int, runs: int, shift: float = 0.1) -> float:
    """Coverage of the interval of a true shift."""
    dice = stream("paired", noise.name, blocks)
    ours, theirs = in_blocks(dice, noise.levels(dice, runs, 2 * blocks))
    true = math.log1p(shift)
    return 1 - float(np.mean(excludes(shift_intervals(ours + true - theirs), true)))


def share_intervals(ours: Floats, theirs: Floats, requests: int) -> tuple[Floats, Floats]:
    """The interval of a difference of shares for every row of counts (`runs` x `blocks`), as `runner.analysis.compare` has it."""
    low, high = shift_intervals((ours - theirs) / requests)
    # the least width that counts this small allow (Newcombe)
    total = requests * ours.shape[1]
    (p, p_low, p_high), (q, q_low, q_high) = (
        (k.sum(axis=1) / total, *clopper_pearson(k.sum(axis=1), total)) for k in (ours, theirs)
    )
    return (
        np.minimum(low, p - q - np.hypot(p - p_low, q_high - q)),
        np.maximum(high, p - q + np.hypot(p_high - p, q - q_low)),
    )


def shares(ours: float, theirs: float, requests: int, blocks: int, runs: int, varied: float = 0.0) -> float:
    """Coverage of the interval of a difference of two error shares.

    Args:
        ours: the true share of one side.
        theirs: of the other.
        requests: of each trial.
        blocks: of each run.
        runs: how many.
        varied: the deviation of a trial's true share, relative to the share.
    """
    dice = stream("shares", ours, theirs, requests, blocks, varied)

    def counts(share: float) -> Floats:
        true: Floats | float = share
        if varied and share:
            size = share * (1 - share) / (varied * share) ** 2 - 1
            true = dice.beta(share * size, (1 - share) * size, (runs, blocks))
        return np.asarray(dice.binomial(requests, true, (runs, blocks)), dtype=float)

    low, high = share_intervals(counts(ours), counts(theirs), requests)
    hair = 1e-12
    return float(np.mean((low <= ours - theirs + hair) & (high >= ours - theirs - hair)))


def one_share(share: float, requests: int, trials: int, runs: int, varied: float) -> float:
    """Coverage of the interval of one variant's error share; `varied` as in `shares`."""
    dice = stream("one share", share, requests, trials, varied)
    size = share * (1 - share) / (varied * share) ** 2 - 1 if varied else 0.0
    true = dice.beta(share * size, (1 - share) * size, (runs, trials)) if varied else share
    held = 0
    for counts in dice.binomial(requests, true, (runs, trials)).tolist():
        ends = share_interval(counts, [requests] * trials)
        held += (ends.low or 0) <= share <= (ends.high or 0)
    return held / runs


def histogram_of(logarithms: Floats) -> Histogram:
    """A trial's latencies as the driver would have recorded them."""
    values = np.maximum(np.rint(CENTRE * np.exp(logarithms)), 0).astype(int)
    found = Histogram()
    found.count, found.total = len(values), int(values.sum())
    found.least, found.greatest = int(values.min()), int(values.max())
    shifts = np.maximum(np.frexp(values)[1] - _SIGNIFICANT_BITS, 0)
    lower, numbers = np.unique(values >> shifts << shifts, return_counts=True)
    found.counts = dict(zip(lower.tolist(), numbers.tolist(), strict=True))
    return found


def one_variant(
    trials: int, requests: int, spread: float, runs: int, *, tails: int = 0, memory: float = 0.0
) -> dict[str, float]:
    """Coverage of one variant's intervals.

    Args:
        trials: how many.
        requests: of each.
        spread: the deviation of the logarithm of a trial's factor.
        runs: how many.
        tails: degrees of freedom of that factor's Student's t (scaled to the same deviation); 0 for normal.
        memory: correlation of one request with the next one.

    Returns:
        By figure; `p95, counting alone` and the like for the other method.
    """
    dice = stream("one variant", trials, requests, spread, tails, memory)

    def lucks(size: int) -> Floats:
        if tails:
            return np.asarray(spread * dice.standard_t(tails, size) / math.sqrt(tails / (tails - 2)))
        return np.asarray(spread * dice.standard_normal(size))

    everything = lucks(_LARGE) + WITHIN * dice.standard_normal(_LARGE) if tails else None
    wide = math.hypot(WITHIN, spread)
    mean: float | None = None  # that of a heavy-tailed factor does not exist
    if everything is None:
        quantiles = {name: CENTRE * math.exp(stats.norm.ppf(share) * wide) for name, share in QUANTILES.items()}
        mean = CENTRE * math.exp(wide**2 / 2)
    else:
        quantiles = {name: CENTRE * math.exp(np.quantile(everything, share)) for name, share in QUANTILES.items()}
    held = dict.fromkeys([*QUANTILES, *(f"{name}, counting alone" for name in QUANTILES), "mean"], 0)
    for _ in range(runs):
        drawn = dice.standard_normal((trials, requests))
        if memory:
            drawn = signal.lfilter([math.sqrt(1 - memory**2)], [1, -memory], drawn, axis=1)
        logarithms = lucks(trials)[:, None] + WITHIN * drawn
        parts = [histogram_of(row) for row in logarithms]
        band = LatencyBand.of(parts)
        assert band is not None
        for name, share in QUANTILES.items():
            held[name] += _holds(band, share, quantiles[name])
            held[f"{name}, counting alone"] += _holds(band.counted(), share, quantiles[name])
        ends = mean_interval(parts)
        held["mean"] += mean is not None and (ends.low or 0) <= mean <= (ends.high or math.inf)
    if mean is None:
        del held["mean"]
    return {name: number / runs for name, number in held.items()}


def _holds(band: LatencyBand, share: float, true: float) -> bool:
    ends = band.quantile(share)
    return (ends.low or 0) / _BUCKET <= true and (ends.high is None or ends.high * _BUCKET >= true)


CASES: dict[str, dict[str, float]] = {
    "all alike": {"spread": 0.0},
    "5 %": {"spread": 0.05},
    "10 %": {"spread": 0.1},
    "20 %": {"spread": 0.2},
    "20 %, heavy tails": {"spread": 0.2, "tails": 3},
    "5 %, requests in bursts": {"spread": 0.05, "memory": 0.9},
}


def measure(*, quick: bool) -> Result:
    """Run the simulations."""
    many = 2000 if quick else 50_000
    few = 40 if quick else 400
    counts = (6, 8, 10, 15, 20)
    pairs = Table(
        f"Interval of a true change of 10 %, paired by block, {many} runs",
        ["noise between trials", *(f"{count} blocks" for count in counts)],
        [[noise.name, *(percent(paired(noise, count, many)) for count in counts)] for noise in NOISES],
    )
    cases = [(0.0, 0.005), (0.001, 0.003), (0.01, 0.01), (0.01, 0.03), (0.1, 0.2), (0.0, 0.5)]
    settings = [(120, 6), (120, 10), (600, 6), (600, 10), (600, 20)]
    differences = Table(
        f"Interval of a difference of error shares, {many // 5} runs; shares that vary from trial to trial by half in brackets",
        ["true shares", *(f"{blocks} blocks of {requests}" for requests, blocks in settings)],
        [
            [
                f"{ours:.1%} and {theirs:.1%}",
                *(
                    f"{percent(shares(ours, theirs, requests, blocks, many // 5))} "
                    f"({percent(shares(ours, theirs, requests, blocks, many // 5, 0.5))})"
                    for requests, blocks in settings
                ),
            ]
            for ours, theirs in cases
        ],
    )
    sizes = [(150, 4), (150, 6), (600, 6), (600, 10), (600, 20)]
    errors = Table(
        f"Interval of one variant's error share, {5 * few} runs; shares that vary from trial to trial by half in brackets",
        ["true share", *(f"{trials} trials of {requests}" for requests, trials in sizes)],
        [
            [
                f"{share:.1%}",
                *(
                    f"{percent(one_share(share, requests, trials, 5 * few, 0.0))} "
                    f"({percent(one_share(share, requests, trials, 5 * few, 0.5))})"
                    for requests, trials in sizes
                ),
            ]
            for share in (0.001, 0.01, 0.1, 0.5)
        ],
    )
    alone = []
    for trials, requests in ((4, 600), (6, 150), (6, 600), (10, 600), (20, 600)):
        found = {case: one_variant(trials, requests, runs=few, **given) for case, given in CASES.items()}  # type: ignore[arg-type]  # whole numbers among them
        alone.append(
            Table(
                f"Intervals of one variant, {trials} trials of {requests} requests, {few} runs",
                ["spread between trials", *found],
                [
                    [name, *(percent(found[case][name]) if name in found[case] else "" for case in found)]
                    for name in found["all alike"]
                ],
            )
        )
    alone_off, shares_off, pairs_off = (200 * (0.05 * 0.95 / n) ** 0.5 for n in (few, many // 5, many))
    notes = [
        (
            f"Seed {SEED}. The simulation's own error: {alone_off:.1f} points for one variant, {shares_off:.1f} for shares, "
            f"{pairs_off:.1f} for pairs."
        ),
        "Heavy tails at 20 %: nothing can tell the p99 of slow trials that so few trials did not show.",
    ]
    return Result(notes=notes, tables=[pairs, differences, errors, *alone])
