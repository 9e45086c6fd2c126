"""The words of a capacity search as data, and MLRsearch's rule for what all trials at one rate say together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HAIR = 1e-9
"""What floating point may be off by in sums of seconds and ratios of rates."""


class Outcome(StrEnum):
    """What one trial says about its rate."""

    HELD = "held"
    FAILED = "failed"
    SPOILED = "spoiled"
    """Nothing: the generator and not the service was the limit, or the config was lost."""


class Bound(StrEnum):
    """What all trials at one rate say together."""

    LOWER = "lower"
    """The objective is kept at this rate."""
    UPPER = "upper"
    """It is not."""
    UNDECIDED = "undecided"


class Ending(StrEnum):
    """How a search ended; the first two have an estimate."""

    FOUND = "found"
    WIDE = "wide"
    """Both bounds are confirmed, but the load was used up before they were as close as wanted."""
    LOWER_END_FAILS = "lower_end_fails"
    UPPER_END_HOLDS = "upper_end_holds"
    SPOILED = "spoiled"
    """Higher rates could not be judged: the generator was the limit, or the config was lost."""
    OUT_OF_LOAD = "out_of_load"
    """The load was used up before both bounds were confirmed."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is searched for, and how carefully.

    The defaults keep the error of p99 objectives on simulated queues under 3 % (bench/capacity_truth.py, docs/benchmarks.md).

    Attributes:
        start: the lowest rate, arrivals per second; the objective must be kept there.
        to: the highest rate, at which it must not be.
        width: how far apart the bounds may be, relative to the lower one.
        exceed: the share of the time measured at a rate in which the objective may fail and the rate still counts as kept.
            0.5, which MLRsearch recommends, lets the median trial decide.
        seconds: of a trial that counts fully.
        duration_sum: seconds of trials at one rate after which it is decided; three times `seconds` is the best of three.
        probe: seconds of a trial of the doubling.
        guess: seconds of a trial of the bisection.
        coarse: the range at which the bisection stops, relative to its lower end.
        lead: seconds of load before each trial, not judged, that bring the service to its state at this rate; half as long as
            the trial at most.
        sure: standard deviation of the fit, relative to its rate, at which refinement stops.
        most_load: seconds of load, leads included, that the whole search may make.
    """

    start: float
    to: float
    width: float = 0.05
    exceed: float = 0.5
    seconds: float = 15.0
    duration_sum: float = 45.0
    probe: float = 2.0
    guess: float = 6.0
    coarse: float = 0.10
    lead: float = 2.0
    sure: float = 0.015
    most_load: float = 180.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial to carry out: `lead` seconds that are not judged, then `seconds` that are, at `rate` arrivals per second."""

    rate: float
    seconds: float
    lead: float
    phase: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a proposal.

    Attributes:
        rate: arrivals per second.
        seconds: that it counts for: as proposed, also when it was ended early because its outcome was certain.
        outcome: what it says.
        strain: how much of what the objective allows was used: 1 at the limit, 2 with twice as many slow requests as may be;
            infinite where it can't be told.
        loss: the share of arrivals that did not get what the objective promises a single request.
        load: seconds of load that it took, its lead included.
    """

    rate: float
    seconds: float
    outcome: Outcome
    strain: float = math.inf
    loss: float = 0.0
    load: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        ending: how it ended.
        rate: the estimate, within the bounds; None without one.
        low: the highest rate at which the objective was confirmed to be kept; None without one.
        high: the lowest rate at which it was confirmed not to be; None without one.
        throughput: MLRsearch's conditional throughput: what of `low` got what the objective promises.
        load: seconds of load that the search made.
    """

    ending: Ending
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    throughput: float | None = None
    load: float = 0.0

    @property
    def conclusive(self) -> bool:
        """Whether there is an estimate."""
        return self.rate is not None


def classify(trials: Iterable[Trial], seconds: float, duration_sum: float, exceed: float) -> Bound:
    """What the trials at one rate say together, by MLRsearch's load classification.

    A trial shorter than `seconds` never proves that a rate is kept, and that it is not only as far as short trials that
    held do not outweigh it. What is missing to `duration_sum` is taken as failed (by the pessimist) and as held (by the
    optimist); where the two agree the rate is decided.

    Args:
        trials: at one rate; spoiled ones are left out here.
        seconds: the length from which a trial counts fully.
        duration_sum: seconds that decide.
        exceed: the share of time in which the objective may fail.
    """
    time = {(long, outcome): 0.0 for long in (True, False) for outcome in Outcome}
    for trial in trials:
        time[trial.seconds >= seconds - HAIR, trial.outcome] += trial.seconds
    held = time[True, Outcome.HELD]
    outweighed = time[False, Outcome.HELD] * exceed / (1 - exceed)
    failed = time[True, Outcome.FAILED] + max(0.0, time[False, Outcome.FAILED] - outweighed)
    whole = max(held + failed, duration_sum)
    allowed = whole * exceed + HAIR
    optimist, pessimist = failed <= allowed, whole - held <= allowed
    if optimist != pessimist:
        return Bound.UNDECIDED
    return Bound.LOWER if optimist else Bound.UPPER
