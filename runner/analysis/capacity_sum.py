"""Several searches of one variant as one capacity, with an interval that a check may rest on.

The bounds of a search are rates that were classified, and no 95 % interval: the trials that classified them may have been
lucky. How far searches are off was simulated (bench/capacity_truth.py): one search by less than 5 % in 95 % of cases and more,
the centre of many by less than 2 %, most of it upwards, because a queue needs longer than a trial to show its worst.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from runner.analysis.signed_rank import hodges_lehmann, shift_interval
from runner.results.document.figures import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE_OFF = 0.05
"""What one search may be off by, relative to the capacity."""
ALL_OFF = 0.02
"""What all searches of a variant may be off by together."""


def together(searches: Sequence[Interval]) -> Interval:
    """The capacity that searches found together, with its 95 % interval.

    The estimate is their Hodges-Lehmann centre in ln(rate). From six searches on the interval is the exact signed-rank one of
    that centre, widened by `ALL_OFF`; with fewer it reaches as far as any search's bounds and any estimate less or plus
    `ONE_OFF`, which claims nothing about how much searches differ.

    Args:
        searches: the estimate and the bounds of each, arrivals per second; at least one, all with numbers.
    """
    logs = [math.log(search.estimate or 0.0) for search in searches]
    estimate = math.exp(hodges_lehmann(logs))
    interval = shift_interval(logs)
    if interval is not None:
        return Interval(
            estimate=estimate,
            low=math.exp(interval[0]) / (1 + ALL_OFF),
            high=math.exp(interval[1]) * (1 + ALL_OFF),
        )
    low, high = hull(searches)
    return Interval(
        estimate=estimate,
        low=min(low, math.exp(min(logs)) / (1 + ONE_OFF)),
        high=max(high, math.exp(max(logs)) * (1 + ONE_OFF)),
    )


def hull(searches: Sequence[Interval]) -> tuple[float, float]:
    """The lowest lower and the highest upper bound of some searches, all with numbers."""
    return min(search.low or 0.0 for search in searches), max(search.high or math.inf for search in searches)


def knee(trials: Sequence[tuple[float, float | None]]) -> float | None:
    """The knee of a latency curve: the rate with the greatest power, rate over response time (Kleinrock 1979).

    Beyond it, a little more throughput costs much more waiting.

    Args:
        trials: rate (arrivals per second) and median response (any unit; None where nothing was answered) of each.
    """
    by_rate: dict[float, list[float]] = {}
    for rate, response in trials:
        if response:
            by_rate.setdefault(rate, []).append(response)
    if not by_rate:
        return None
    return max(by_rate, key=lambda rate: rate / median(by_rate[rate]))
