"""When arrivals are due: an open-loop schedule that depends on nothing but the profile, the length and the seed.

Both distributions go through the same map, the integral of the rate: a uniform schedule puts arrivals at evenly
spaced values of it, a Poisson one at the points of a unit-rate Poisson process (the time change of an inhomogeneous
Poisson process, so ramps stay exact). Pure Python without Locust: the driver's child, the planner and the tests share
it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROUNDING = 1e-9
"""Arrivals; what float arithmetic may be off by before the number of arrivals in a window would change."""


class Stage(Protocol):
    """A stretch in which the rate goes in a straight line to `rate` (per second) within `duration` seconds."""

    @property
    def rate(self) -> float: ...  # noqa: D102
    @property
    def duration(self) -> float: ...  # noqa: D102


class Profile(Protocol):
    """What a schedule is made from: `runner.spec.model.Arrivals`, and what the driver's child gets of it."""

    @property
    def rate(self) -> float | None: ...  # noqa: D102
    @property
    def stages(self) -> Sequence[Stage] | None: ...  # noqa: D102
    @property
    def distribution(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _Ramp:
    """A stretch in which the rate goes in a straight line; `begin` in seconds, `before` in arrivals due before it."""

    begin: float
    length: float
    first_rate: float
    last_rate: float
    before: float

    @property
    def arrivals(self) -> float:
        """How many arrivals the stretch holds, as an area."""
        return (self.first_rate + self.last_rate) / 2 * self.length

    def when(self, area: float) -> float:
        """The moment, in seconds since the stretch began, at which `area` arrivals of it are due."""
        slope = (self.last_rate - self.first_rate) / self.length
        root = math.sqrt(max(0.0, self.first_rate * self.first_rate + 2 * slope * area))
        return min(self.length, 2 * area / (self.first_rate + root)) if area > 0 else 0.0


def _ramps(arrivals: Profile, seconds: float) -> list[_Ramp]:
    """The profile cut off, or its last rate held, at `seconds`; stages start from a rate of zero."""
    if arrivals.rate is not None:
        return [_Ramp(0.0, seconds, arrivals.rate, arrivals.rate, 0.0)]
    ramps: list[_Ramp] = []
    begin = rate = before = 0.0
    for stage in arrivals.stages or ():
        length = min(stage.duration, seconds - begin)
        if length <= 0:
            break
        reached = rate + (stage.rate - rate) * length / stage.duration
        ramps.append(_Ramp(begin, length, rate, reached, before))
        begin, before, rate = begin + length, before + ramps[-1].arrivals, reached
    if begin < seconds:
        ramps.append(_Ramp(begin, seconds - begin, rate, rate, before))
    return ramps


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


def expected(arrivals: Profile, seconds: float) -> float:
    """How many arrivals a window of `seconds` holds on average."""
    return sum(ramp.arrivals for ramp in _ramps(arrivals, seconds))


def peak_rate(arrivals: Profile, seconds: float) -> float:
    """The highest rate, per second, that the profile reaches within `seconds`."""
    return max((max(ramp.first_rate, ramp.last_rate) for ramp in _ramps(arrivals, seconds)), default=0.0)


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
    ramps = [ramp for ramp in _ramps(arrivals, seconds) if ramp.arrivals > 0]
    areas = _areas(arrivals.distribution, seed)
    area = next(areas)
    for ramp in ramps:
        end = ramp.before + ramp.arrivals
        while area < end - _ROUNDING:
            moment = ramp.begin + ramp.when(area - ramp.before)
            if moment < seconds:
                due.append(moment)
            area = next(areas)
    return due
