"""Simulated queues, whose capacity under an objective is known: what a capacity search is tried on, in bench and in tests."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from runner.analysis.capacity_trial import Hopeless, judge_trial, planned_in, without_lead
from runner.analysis.capacity_types import Proposal, Trial
from runner.analysis.evidence import TrialEvidence
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.results.window import Second, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from runner.spec.checks import Condition

    Floats = NDArray[np.float64]

_HALVINGS = 16


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue in Kendall's notation, first come first served.

    Attributes:
        name: `M/M/1`: arrivals (Markov or deterministic), service (the same), workers.
        rate: requests per second that all workers together can serve.
        limit: seconds that `quantile` of the requests may take.
        quantile: the objective's.
    """

    name: str
    rate: float
    limit: float
    quantile: float = 0.99

    @property
    def workers(self) -> int:
        """How many requests are served at a time."""
        return int(self.name.rsplit("/", 1)[1])

    def responses(self, arrivals: float, seconds: float, dice: np.random.Generator) -> tuple[Floats, Floats]:
        """Arrival moments and response times (s) of so many seconds, beginning with an empty queue."""
        if self.name.startswith("M"):
            gaps = dice.exponential(1 / arrivals, int(arrivals * seconds + 10 * math.sqrt(arrivals * seconds) + 20))
            due = np.cumsum(gaps)
            due = due[due < seconds]
        else:
            due = (np.arange(int(arrivals * seconds)) + dice.random()) / arrivals
        mean = self.workers / self.rate
        service = dice.exponential(mean, len(due)) if self.name[2] == "M" else np.full(len(due), mean)
        if self.workers == 1:  # Lindley's recursion in closed form
            work = np.cumsum(service)
            return due, work + np.maximum.accumulate(due - (work - service)) - due
        return due, self._served(due, service)

    def _served(self, due: Floats, service: Floats) -> Floats:
        free = [0.0] * self.workers
        taken = np.empty(len(due))
        for place, (moment, length) in enumerate(zip(due.tolist(), service.tolist(), strict=True)):
            done = max(moment, free[0]) + length
            heapq.heapreplace(free, done)
            taken[place] = done - moment
        return taken

    def capacity(self, requests: int) -> float:
        """The arrival rate at which `quantile` of `requests` in one long stretch takes `limit`, found by halving."""
        low, high = 0.2 * self.rate, self.rate
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            # the same dice each time: only the rate differs
            _, taken = self.responses(middle, requests / middle, np.random.default_rng(1))
            low, high = (middle, high) if np.quantile(taken, self.quantile) < self.limit else (low, middle)
        return (low + high) / 2


@dataclass(slots=True)
class Simulated:
    """Carries a search's proposals out on a queue, through the same windows and the same judge as a real one."""

    queue: Queue
    objective: Sequence[Condition]
    horizon: float
    dice: np.random.Generator

    def carry_out(self, proposal: Proposal) -> Trial:
        """One trial; ended early as a real one is."""
        length = proposal.lead + proposal.seconds
        due, taken = self.queue.responses(proposal.rate, length, self.dice)
        hopeless = Hopeless(self.objective, round(proposal.rate * proposal.seconds), proposal.lead)
        ended = self._ended(due, taken, hopeless, round(length))
        kept = due < ended
        whole = _window(due[kept], taken[kept], ended, stopped=ended < length)
        window = without_lead(whole, proposal.lead)
        evidence = TrialEvidence(1, 1, self.queue.name, window)
        planned = planned_in(window, proposal.rate, proposal.seconds)
        judged = judge_trial(evidence, self.objective, judge(ValidityInput(window)), self.horizon, planned)
        return Trial(proposal.rate, proposal.seconds, judged.outcome, judged.strain, judged.loss, ended)

    @staticmethod
    def _ended(due: Floats, taken: Floats, hopeless: Hopeless, length: int) -> float:
        """The second after which the watcher said that going on would teach nothing."""
        done = due + taken
        for offset in range(length):
            inside = (done >= offset) & (done < offset + 1)
            second = _window(np.full(int(inside.sum()), 0.0), taken[inside], 1.0).seconds[0]
            second.offset = offset
            if hopeless.see(second):
                return float(offset + 1)
        return float(length)


def _window(due: Floats, taken: Floats, length: float, *, stopped: bool = False) -> Window:
    seconds = [Second(offset) for offset in range(math.ceil(length))]
    micros = np.rint(taken * 1e6).astype(int).tolist()
    for offset, response in zip(due.astype(int).tolist(), micros, strict=True):
        cell = seconds[offset].cell("page", "200")
        cell.response.record(response)
        cell.service.record(response)
        seconds[offset].due += 1
    return Window(
        seconds,
        length,
        open_loop=True,
        scheduled=len(due),
        started=0.0,
        ended=length,
        generator_cpu=0.1,
        stopped=stopped,
    )
