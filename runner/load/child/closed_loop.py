"""A closed loop: N users, each with one task after the other and its own `wait_time` between them.

Users are made before the window and stay for the next one with the same target; at the window's edges they stop
between two tasks.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import gevent
from gevent.hub import get_hub

from runner.load.child.pool import Pool, Seat, distribute
from runner.load.child.recorder import Recorder, Work

if TYPE_CHECKING:
    from locust import TaskSet
    from locust.env import Environment

    from runner.load.wire import Prepare


class ClosedPool(Pool):
    """Users that loop."""

    paces = True
    scheduled = 0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._open = False
        self._coming = 0
        self._users = 1
        self._index = 0
        self._of = 1
        self._parked: set[Seat] = set()
        self._works: dict[int, Work] = {}

    def prepare(self, plan: Prepare, users: int) -> None:
        """Make the users that are missing."""
        self._users, self._index, self._of = users, plan.index, plan.of
        present: dict[str, int] = {}
        for seat in self.seats:
            present[seat.name] = present.get(seat.name, 0) + 1
        for name, number in distribute(self.environment, users, plan.of)[plan.index].items():
            for _ in range(number - present.get(name, 0)):
                self._coming += 1
                self.spawn(name)
                gevent.sleep(0)

    def open(self, recorder: Recorder, start: float) -> None:
        """Let the users loop from `start` (of `perf_counter`) on."""
        self.recorder = recorder
        gevent.sleep(max(0.0, start - perf_counter()))
        self._open = True
        loop = get_hub().loop
        for seat in sorted(self._parked, key=lambda seat: seat.number):
            loop.run_callback(seat.waiter.switch, None)
        self._parked.clear()

    def close(self) -> int:
        """Begin no more tasks; a closed loop has no arrivals."""
        self._open = False
        return 0

    def coming(self) -> int:
        """How many users are on their way."""
        return self._coming

    def joined(self, seat: Seat) -> None:  # noqa: ARG002 - the protocol of pools
        """The user of `seat` is past its `on_start` and asks for its first task."""
        self._coming -= 1

    def failed(self, name: str) -> None:  # noqa: ARG002 - the protocol of pools
        """A user could not be made; as in Locust, nobody takes its place within the window."""
        self._coming -= 1

    def hold(self, seat: Seat, taskset: TaskSet) -> None:
        """Block while no window is open; a user that was never seated first runs to where it asks for a task."""
        while not self._open and seat.seated:
            self._park(seat, taskset)

    def may_work(self, seat: Seat) -> bool:  # noqa: ARG002 - for pools of which some rest
        """Whether the user of `seat` works in this window."""
        return True

    def next_work(self, seat: Seat, taskset: TaskSet) -> Work:
        """The next task, at once while the window is open."""
        while not self._open or self.recorder is None or not self.may_work(seat):
            self._park(seat, taskset)
        self.in_flight += 1
        work = self._works.get(seat.number)
        if work is None or work.recorder is not self.recorder:
            work = self._works[seat.number] = Work(self.recorder, None)
        return work

    def _park(self, seat: Seat, taskset: TaskSet) -> None:
        """Wait for the next window, and there a fraction of the user's own wait time, so that users don't go in step.

        Pacing wait times count from the moment they were last asked; they are set back so that the fraction is not
        made up for.
        """
        self._parked.add(seat)
        try:
            seat.wait_for_work()
        finally:
            self._parked.discard(seat)
        for holder in (seat.user, taskset):
            _forget_pace(holder)
        place = (seat.number * self._of + self._index) % self._users
        gevent.sleep(taskset.wait_time() * place / self._users)
        for holder in (seat.user, taskset):
            _forget_pace(holder)


def _forget_pace(holder: Any) -> None:
    """Make Locust's `constant_pacing` count from now on."""
    holder._cp_last_run = perf_counter()  # noqa: SLF001 - there is no public way
    holder._cp_last_wait_time = 0  # noqa: SLF001
