"""The capacity that all trials of a search point to together, because bounds alone waste what each trial says about how near it is.

The strain of a trial (how much of what the objective allows was used; 1 at the limit) is modelled as a Poisson rate that grows
by a power of the arrival rate: ln strain = slope (ln rate - ln capacity). That is the form of a queue's tail near saturation,
where ln P(wait > t) is linear in the load (Kingman 1961, heavy traffic). The capacity and the slope are not maximised over but
averaged over, on a grid: with few trials the likelihood has no maximum when all those below held and all those above failed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

CAP = 3.0
"""A trial with more strain than this counts as one with this: far beyond the limit the model does not hold, and a trial that is
certain to have more is ended early."""
SPAN = 0.2
"""Trials whose ln rate is further than this from the change from held to failed are left out."""
_WORTH = 15.0
"""Seconds of a trial that are worth one independent look; correlated waits make a trial worth far less than its requests."""
_SEEN = 0.6
"""The mean of capped strains at the capacity itself: strains are skewed (a trial in four has most of the slow requests), and the
cap takes from the mean what only rare trials show. Simulated; without it estimates come out 1 % too high."""
_REACH = np.linspace(-0.15, 0.15, 151)
_SLOPES = np.geomspace(4.0, 120.0, 16)
"""From a service that degrades over half of its range to one that falls off a cliff."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted capacity.

    Attributes:
        rate: arrivals per second.
        spread: its standard deviation, relative to it.
    """

    rate: float
    spread: float


def fit(trials: Sequence[tuple[float, float, float, bool]]) -> Fit | None:
    """The capacity that trials point to.

    Args:
        trials: rate (arrivals per second), length (s), strain and whether the objective held, of each.

    Returns:
        None as long as not both some held and some failed.
    """
    centre = _change(trials)
    if centre is None:
        return None
    near = [
        (math.log(rate) - centre, min(strain, CAP), seconds / _WORTH)
        for rate, seconds, strain, _ in trials
        if abs(math.log(rate) - centre) < SPAN
    ]
    capacity, slope = np.meshgrid(_REACH, _SLOPES, indexing="ij")
    likelihood = np.zeros_like(capacity)
    for place, strain, weight in near:
        expected = np.clip(slope * (place - capacity) + math.log(_SEEN), -20.0, math.log(CAP))
        likelihood += weight * (strain * expected - np.exp(expected))
    weights = np.exp(likelihood - likelihood.max())
    weights /= weights.sum()
    middle = float((weights * capacity).sum())
    spread = math.sqrt(max(0.0, float((weights * (capacity - middle) ** 2).sum())))
    return Fit(math.exp(centre + middle), spread)


def _change(trials: Sequence[tuple[float, float, float, bool]]) -> float | None:
    """The ln rate that best parts the trials that held from those that failed, by the seconds on the wrong side."""
    rates = sorted({rate for rate, *_ in trials})
    if len({held for *_, held in trials}) < 2 or len(rates) < 2:  # noqa: PLR2004 - both outcomes, at two rates
        return None
    edges = [(math.log(a) + math.log(b)) / 2 for a, b in pairwise(rates)]
    wrong = [sum(s for rate, s, _, held in trials if (math.log(rate) < edge) != held) for edge in edges]
    best = [edge for edge, lost in zip(edges, wrong, strict=True) if lost == min(wrong)]
    return sum(best) / len(best)
