"""The search for the highest arrival rate that keeps an objective: a state machine that proposes trials and is fed their results.

Pure: it knows rates, durations and outcomes, and nothing of meshes or generators. The method is MLRsearch's (IETF
draft-ietf-bmwg-mlrsearch: loads classified by duration sums and an exceed ratio, relevant bounds, conditional throughput) with
a quick doubling in front and a fit behind:

1. doubling: short probes at `start`, then at twice the rate each time, until one fails, and fails again;
2. bisection: one trial at each rate, in the logarithm of the rate, until the range is `coarse`. One trial may err, so this is
   only a guess;
3. confirmation: trials are repeated on either side of the fit until a lower and an upper bound are classified and at most
   `width` apart, stepping outwards where the guess was wrong;
4. refinement: more trials at the fitted rate, while the fit is less sure than `sure`.

A trial that the generator spoiled says nothing about the service: it is repeated once, and a rate at which it happens again is
a ceiling that this generator can't measure beyond. No search makes more load than `most_load`.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.analysis.capacity_fit import fit
from runner.analysis.capacity_types import HAIR, Bound, Ending, Found, Goal, Outcome, Proposal, Trial, classify

if TYPE_CHECKING:
    from runner.analysis.capacity_fit import Fit

_TRIES = 2
_BELOW = 0.65
"""How much of the width lies below the fit: the median trial sees less of the rare bursts than a long stretch does."""


class _OutOfLoadError(Exception):
    """The next trial would make more load than the search may."""


_Script = Generator[Proposal, Trial, None]


@dataclass(slots=True)
class Search:
    """One search: carry `proposal` out and `feed` its result, until there is no proposal any more.

    Attributes:
        goal: what is searched for.
        shift: 0 to 1, moves the rates of the doubling, so that repeated searches do not all try the same ones.
        trials: everything that was fed, in order.
        proposal: the next trial; None when the search is over.
    """

    goal: Goal
    shift: float = 0.5
    trials: list[Trial] = field(default_factory=list)
    proposal: Proposal | None = None
    _script: _Script = field(init=False)
    _ending: Ending = Ending.OUT_OF_LOAD
    _ceiling: float = math.inf

    def __post_init__(self) -> None:
        self._script = self._run()
        self.proposal = next(self._script, None)

    @property
    def load(self) -> float:
        """Seconds of load so far."""
        return sum(trial.load for trial in self.trials)

    def feed(self, trial: Trial) -> None:
        """Take the result of the proposal."""
        self.trials.append(trial)
        try:
            self.proposal = self._script.send(trial)
        except StopIteration:
            self.proposal = None

    def bound(self, rate: float) -> Bound:
        """What the trials at a rate say together."""
        goal = self.goal
        return classify(self._at(rate), goal.seconds, goal.duration_sum, goal.exceed)

    def bounds(self) -> tuple[float | None, float | None]:
        """The relevant bounds: the highest lower bound below the lowest upper bound, and that; None where there is none."""
        rates = {trial.rate for trial in self.trials}
        high = min((rate for rate in rates if self.bound(rate) is Bound.UPPER), default=None)
        lows = [rate for rate in rates if self.bound(rate) is Bound.LOWER and (high is None or rate < high)]
        return max(lows, default=None), high

    def found(self) -> Found:
        """What the search came to."""
        low, high = self.bounds()
        ending, rate = self._ending, None
        if low is not None and high is not None and ending in {Ending.FOUND, Ending.OUT_OF_LOAD}:
            ending = Ending.FOUND if high <= low * (1 + self.goal.width) * (1 + HAIR) else Ending.WIDE
            fitted = self._fit()
            rate = min(max(fitted.rate if fitted else math.sqrt(low * high), low), high)
        throughput = None if low is None else low * (1 - self._loss(low))
        return Found(ending, rate, low, high, throughput, self.load)

    # What to measure next.

    def _run(self) -> _Script:
        try:
            low, high = yield from self._double()
            guess = low or high or self.goal.start
            if low is not None and high is not None:
                guess = yield from self._bisect(low, high)
            yield from self._confirm(guess)
            if self._ending is Ending.FOUND:
                yield from self._refine()
        except _OutOfLoadError:
            return

    def _double(self) -> Generator[Proposal, Trial, tuple[float | None, float | None]]:
        """Probe ever higher rates; the last that held and the first that did not, None where there is none.

        A probe that failed is repeated, because one unlucky second must not halve the range. At the lower end, which decides
        whether there is a search at all, the rate is classified.
        """
        goal, low, rate = self.goal, None, self.goal.start
        while (yield from self._probed(rate)):
            if rate >= goal.to:
                return rate, None
            low, rate = rate, min(goal.to, rate * 2 ** (1 if low else 0.5 + self.shift))
        return low, rate

    def _probed(self, rate: float) -> Generator[Proposal, Trial, bool]:
        for _ in range(_TRIES):
            outcome = yield from self._try(rate, self.goal.probe, "double")
            if outcome is not Outcome.FAILED:
                return outcome is Outcome.HELD
        if rate > self.goal.start:
            return False
        yield from self._decide(rate)
        return self.bound(rate) is Bound.LOWER

    def _bisect(self, low: float, high: float) -> Generator[Proposal, Trial, float]:
        """Halve the logarithm of the range, by one trial each; the middle of what is left."""
        while high > low * (1 + self.goal.coarse):
            middle = math.sqrt(low * high)
            outcome = yield from self._try(middle, self.goal.guess, "bisect")
            low, high = (middle, high) if outcome is Outcome.HELD else (low, middle)
        return math.sqrt(low * high)

    def _confirm(self, guess: float) -> _Script:
        """Classify rates until a lower and an upper bound are close enough, or an end of the range is decided."""
        goal = self.goal
        below, above = (1 + goal.width) ** _BELOW, (1 + goal.width) ** (1 - _BELOW)
        while True:
            low, high = self.bounds()
            top = min(math.inf if high is None else high, self._ceiling)
            if low is not None and top <= low * (1 + goal.width) * (1 + HAIR):
                self._ending = Ending.FOUND if high == top else Ending.SPOILED
                return
            if low is not None and low >= goal.to:
                self._ending = Ending.UPPER_END_HOLDS
                return
            if top <= goal.start:
                self._ending = Ending.LOWER_END_FAILS if high == top else Ending.SPOILED
                return
            fitted = self._fit()
            middle = fitted.rate if fitted else guess
            if low is None:
                rate = min(middle / below, top / self._step(Bound.UPPER))
            elif top == math.inf:
                rate = max(middle * above, low * self._step(Bound.LOWER))
            else:
                rate = _between(low, top, middle, below, above)
            yield from self._decide(min(max(rate, goal.start), goal.to))

    def _step(self, side: Bound) -> float:
        """How far out to look for a missing bound: twice as far with every bound that turned out to be on the other side.

        A wide answer is worth more than none, and a service that does worse than the guess by one width may do so by many.
        """
        wrong = sum(self.bound(rate) is side for rate in {trial.rate for trial in self.trials})
        return float((1 + self.goal.width) ** (2 ** max(0, wrong - 1)))

    def _decide(self, rate: float) -> _Script:
        """Repeat trials at a rate until it is classified."""
        while self.bound(rate) is Bound.UNDECIDED and rate < self._ceiling:
            yield from self._try(rate, self.goal.seconds, "confirm")

    def _refine(self) -> _Script:
        """Trials at the fitted rate until it is known well enough.

        Always between the bounds and never at one, which `duration_sum` has decided already.
        """
        while (fitted := self._fit()) is not None and fitted.spread > self.goal.sure:
            low, high = self.bounds()
            if low is None or high is None:
                return
            inside = (high / low) ** 0.25
            rate = min(max(fitted.rate, low * inside), high / inside)
            outcome = yield from self._try(rate, self.goal.seconds, "refine")
            if outcome is Outcome.SPOILED:
                return

    def _try(self, rate: float, seconds: float, phase: str) -> Generator[Proposal, Trial, Outcome]:
        """One trial, repeated once when it was spoiled."""
        for _ in range(_TRIES):
            lead = min(self.goal.lead, math.ceil(seconds / 2))
            if self.load + lead + seconds > self.goal.most_load + HAIR:
                raise _OutOfLoadError
            trial = yield Proposal(rate, seconds, lead, phase)
            if trial.outcome is not Outcome.SPOILED:
                return trial.outcome
        self._ceiling = min(self._ceiling, rate)
        return Outcome.SPOILED

    # Looking back.

    def _at(self, rate: float) -> list[Trial]:
        return [trial for trial in self.trials if trial.rate == rate]

    def _fit(self) -> Fit | None:
        usable = [
            (trial.rate, trial.seconds, trial.strain, trial.outcome is Outcome.HELD)
            for trial in self.trials
            if trial.outcome is not Outcome.SPOILED and trial.seconds >= self.goal.guess - HAIR
        ]
        return fit(usable)

    def _loss(self, rate: float) -> float:
        """The loss that the share `1 - exceed` of the time at a rate stays within (of the median trial, for 0.5)."""
        goal = self.goal
        full = [trial for trial in self._at(rate) if trial.seconds >= goal.seconds - HAIR]
        left = max(goal.duration_sum, sum(trial.seconds for trial in full)) * (1 - goal.exceed)
        loss = 0.0
        for trial in sorted(full, key=lambda trial: trial.loss):
            if left <= HAIR:
                return loss
            loss, left = trial.loss, left - trial.seconds
        return loss if left <= HAIR else 1.0


def _between(low: float, top: float, middle: float, below: float, above: float) -> float:
    """The next rate between two bounds that are too far apart: beside the fit, where that ends the search at once."""
    if middle <= low * below:
        return low * below * above
    if middle >= top / above:
        return top / (below * above)
    return middle / below if middle / low >= top / middle else middle * above
