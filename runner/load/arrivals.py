"""When arrivals are due: an open-loop schedule that depends on nothing but the profile, the length and the seed.

Both distributions go through the same map, the integral of the rate: a uniform schedule puts arrivals at evenly
spaced values of it, a Poisson one at the points of a unit-rate Poisson process (the time change of an inhomogeneous
Poisson process, so ramps stay exact). Pure Python without Locust: the driver's child and the tests share it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from runner.spec.rates import ramps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.spec.rates import Profile

_ROUNDING = 1e-9
"""Arrivals; what float arithmetic may be off by before the number of arrivals in a window would change."""


def _areas(distribution: str, seed: int) -> Iterator[float]:
    """Ever growing areas under the rate, in arrivals, one for each arrival."""
    generator = random.Random(seed)  # noqa: S311 - a reproducible schedule, no secret
    if distribution == "poisson":
        area = 0.0
        while True:
            area += generator.expovariate(1.0)
            yield area
    phase = generator.random()
    number = 0
    while True:
        yield number + phase
        number += 1


def schedule(arrivals: Profile, seconds: float, seed: int) -> list[float]:
    """The due moments of a window, in seconds since it began, in order.

    Args:
        arrivals: rate or stages (the first ramps up from zero; after the last its rate is held), and the
            distribution. `uniform` spaces arrivals evenly, beginning at a fraction of the first interval that the
            seed picks; `poisson` draws independent exponential gaps.
        seconds: length of the window; every moment is in `[0, seconds)`.
        seed: equal seeds give equal schedules.
    """
    due: list[float] = []
    areas = _areas(arrivals.distribution, seed)
    area = next(areas)
    for ramp in (ramp for ramp in ramps(arrivals, seconds) if ramp.arrivals > 0):
        end = ramp.before + ramp.arrivals
        while area < end - _ROUNDING:
            moment = ramp.begin + ramp.when(area - ramp.before)
            if moment < seconds:
                due.append(moment)
            area = next(areas)
    return due
