"""Arrivals: each is one task of a user from a bounded pool, at its due moment, whatever the service does.

The dispatcher runs in gevent's hub, on an alarm that rings at each due moment; it only hands work to users that wait.
Users are made by a greenlet of its own (making one may block), ahead of need, so that an arrival seldom waits for an
`on_start`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from runner.load.arrivals import schedule
from runner.load.child.alarm import Alarm
from runner.load.child.pool import Pool, Seat, distribute
from runner.load.child.recorder import Recorder, Work
from runner.spec.rates import peak_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust import TaskSet
    from locust.env import Environment

    from runner.load.wire import ArrivalsOnWire, Prepare

_SPARE_SECONDS = 0.25
"""How many seconds' worth of arrivals find an idle user ready: about what a slow login takes."""
_FEWEST_SPARE = 2
_MOST_SPARE = 100
_BURST = 0.005
"""Seconds the dispatcher may go on before responses get their turn."""


def _interleaved(shares: dict[str, float]) -> Iterator[str]:
    """Class names forever, each as often as its share, as evenly mixed as can be."""
    total = sum(shares.values())
    credit = dict.fromkeys(shares, 0.0)
    while True:
        for name, share in shares.items():
            credit[name] += share / total
        chosen = max(credit, key=credit.__getitem__)
        credit[chosen] -= 1
        yield chosen


def class_shares(environment: Environment, most_users: int) -> dict[str, float]:
    """Which share of the arrivals each user class gets.

    By weight; with fixed counts, as Locust would fill a pool of `most_users`.
    """
    classes = environment.user_classes
    if any(cls.fixed_count for cls in classes):
        counts = distribute(environment, most_users, 1)[0]
        return {name: float(count) for name, count in counts.items() if count}
    return {cls.__name__: float(cls.weight) for cls in sorted(classes, key=lambda cls: cls.__name__)}


class OpenPool(Pool):
    """Users that take arrivals."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._idle: dict[str, deque[Seat]] = defaultdict(deque)
        self._pending: dict[str, deque[Work]] = defaultdict(deque)
        self._coming: dict[str, int] = defaultdict(int)
        self._population: dict[str, int] = defaultdict(int)
        self._wanted: deque[str] = deque()
        self._hire = Event()
        self._spare: dict[str, int] = {}
        self._limit = 0
        self._due: list[float] = []
        self._names: list[str] = []
        self._next = 0
        self._start = 0.0
        self._alarm: Alarm | None = None
        self._recruiter = gevent.spawn(self._recruit)

    # Before and after a window.

    def prepare(self, plan: Prepare, arrivals: ArrivalsOnWire) -> None:
        """Compute this process's part of the schedule, and make the first users.

        Every process computes the whole schedule and takes every `of`-th arrival, so that all together are the one
        seeded schedule.
        """
        sharing = min(plan.of, arrivals.max_in_flight)
        whole = schedule(arrivals, plan.seconds, plan.seed)
        shares = class_shares(self.environment, arrivals.max_in_flight)
        names = _interleaved(shares)
        mine = [
            (due, name)
            for index, (due, name) in enumerate(zip(whole, names, strict=False))
            if index % sharing == plan.index
        ]
        self._due = [due for due, _ in mine]
        self._names = [name for _, name in mine]
        self._next = 0
        self._limit = arrivals.max_in_flight // sharing + (plan.index < arrivals.max_in_flight % sharing)
        if not mine:
            return
        total = sum(shares.values())
        rate = peak_rate(arrivals, plan.seconds) / sharing
        self._spare = {
            name: min(self._limit, _MOST_SPARE, max(_FEWEST_SPARE, ceil(rate * share / total * _SPARE_SECONDS)))
            for name, share in shares.items()
        }
        for name, spare in self._spare.items():
            for _ in range(spare - len(self._idle[name]) - self._coming[name]):
                self._want(name)

    def open(self, recorder: Recorder, start: float) -> None:
        """Hand out arrivals from `start` (of `perf_counter`) on."""
        self.recorder = recorder
        self._start = start
        self._alarm = Alarm(self._ring)
        if self._due:
            self._alarm.set(start + self._due[0])

    def close(self) -> int:
        """Hand out no more; how many arrivals were due."""
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        return self._next

    @property
    def scheduled(self) -> int:
        """How many arrivals this process has in this window."""
        return len(self._due)

    def coming(self) -> int:
        """How many users are on their way."""
        return sum(self._coming.values())

    # In the hub: nothing here may block.

    def _ring(self) -> None:
        enough = perf_counter() + _BURST
        while self._alarm is not None and self._next < len(self._due):
            due = self._start + self._due[self._next]
            now = perf_counter()
            if due > now or now > enough:
                self._alarm.set(due)
                return
            name = self._names[self._next]
            self._next += 1
            self._arrive(due, name)

    def _arrive(self, due: float, name: str) -> None:
        recorder = self.recorder
        if recorder is None:
            return
        recorder.due(due)
        if self.in_flight >= self._limit:
            recorder.drop(due)
            return
        self.in_flight += 1
        work = Work(recorder, due)
        idle = self._idle[name]
        free = len(idle) + self._coming[name] - len(self._pending[name])
        if free <= self._spare[name] and self._population[name] < self._limit:
            self._want(name)
        if idle:
            seat = idle.popleft()
            seat.waiter.switch(work)
        else:
            self._pending[name].append(work)
            if self._coming[name] < len(self._pending[name]):
                self._want(name)

    # In greenlets.

    def _want(self, name: str) -> None:
        self._coming[name] += 1
        self._population[name] += 1
        self._wanted.append(name)
        self._hire.set()

    def _recruit(self) -> None:
        while True:
            self._hire.wait()
            self._hire.clear()
            while self._wanted:
                self.spawn(self._wanted.popleft())
                gevent.sleep(0)

    def joined(self, seat: Seat) -> None:
        """The user of `seat` is past its `on_start` and asks for its first task."""
        self._coming[seat.name] -= 1

    def failed(self, name: str) -> None:
        """A user of a class could not be made: an arrival that waited for it and for nobody else is dropped."""
        self._coming[name] -= 1
        pending = self._pending[name]
        while len(pending) > self._coming[name]:
            self._drop(pending.popleft())

    def _drop(self, work: Work) -> None:
        self.in_flight -= 1
        if work.due is not None:
            work.recorder.drop(work.due)

    def left(self, name: str) -> None:
        """A user of a class has stopped."""
        self._population[name] -= 1

    def stop(self, patience: float) -> None:
        """Stop every user (their `on_stop` runs), for at most `patience` seconds."""
        self._recruiter.kill()
        super().stop(patience)

    def cut(self, patience: float) -> None:
        """Stop the users that are still busy, and drop the arrivals that never got one."""
        while self._wanted:
            name = self._wanted.popleft()
            self.failed(name)
            self.left(name)
        for pending in self._pending.values():
            while pending:
                self._drop(pending.popleft())
        super().cut(patience)

    def next_work(self, seat: Seat, taskset: TaskSet) -> Work:  # noqa: ARG002 - the protocol of pools
        """The arrival that waits for a user of this class, or the next one."""
        pending = self._pending[seat.name]
        if pending:
            return pending.popleft()
        idle = self._idle[seat.name]
        idle.append(seat)
        try:
            work: Work = seat.wait_for_work()
        except BaseException:
            if seat in idle:
                idle.remove(seat)
            raise
        return work
