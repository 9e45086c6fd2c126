"""What an arrival profile amounts to: its ramps, how many arrivals a window holds, the rate to warm up at.

Pure arithmetic without pydantic: the schedule that the load generator's own process makes is built on the same ramps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


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
class Ramp:
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


def ramps(arrivals: Profile, seconds: float) -> list[Ramp]:
    """The profile cut off, or its last rate held, at `seconds`; stages start from a rate of zero."""
    if arrivals.rate is not None:
        return [Ramp(0.0, seconds, arrivals.rate, arrivals.rate, 0.0)]
    found: list[Ramp] = []
    begin = rate = before = 0.0
    for stage in arrivals.stages or ():
        length = min(stage.duration, seconds - begin)
        if length <= 0:
            break
        reached = rate + (stage.rate - rate) * length / stage.duration
        found.append(Ramp(begin, length, rate, reached, before))
        begin, before, rate = begin + length, before + found[-1].arrivals, reached
    if begin < seconds:
        found.append(Ramp(begin, seconds - begin, rate, rate, before))
    return found


def expected(arrivals: Profile, seconds: float) -> float:
    """How many arrivals a window of `seconds` holds on average."""
    return sum(ramp.arrivals for ramp in ramps(arrivals, seconds))


def peak_rate(arrivals: Profile, seconds: float) -> float:
    """The highest rate, per second, that the profile reaches within `seconds`."""
    return max((max(ramp.first_rate, ramp.last_rate) for ramp in ramps(arrivals, seconds)), default=0.0)


def opening_rate(arrivals: Profile, seconds: float) -> float:
    """The constant rate to warm up at for `seconds`: what the profile sends on average in its first seconds.

    A profile with stages would bring a service to the state of its end, not of its beginning, were it run as a warm-up too; and a
    ramp's first goal may be more than the service bears. Stages at the beginning in which nothing arrives are passed over.
    """
    if arrivals.rate is not None:
        return arrivals.rate
    begin = 0.0
    for stage in arrivals.stages or ():
        if stage.rate:
            break
        begin += stage.duration
    return (expected(arrivals, begin + seconds) - expected(arrivals, begin)) / seconds
