"""A closed loop with as many users as the file's own `LoadTestShape` says from second to second.

Locust's runner would start and stop users; here one that the shape takes away rests between two tasks, so that it is there again, its
session too, when the shape asks for more. Every process ticks its own copy from the window's beginning and takes its share.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import gevent
from gevent.hub import get_hub

from runner.load.child.closed_loop import ClosedPool
from runner.load.child.pool import Seat, distribute

if TYPE_CHECKING:
    from locust import LoadTestShape, User
    from locust.env import Environment

    from runner.load.child.recorder import Recorder
    from runner.load.wire import Prepare

logger = logging.getLogger("locust.meshtrial")

_TICK = 1.0
"""Seconds, as Locust's own runner asks a shape."""


class ShapedPool(ClosedPool):
    """Users that loop while their shape wants them."""

    def __init__(self, environment: Environment, shape: LoadTestShape) -> None:
        super().__init__(environment)
        self._shape = shape
        self._shape.runner = environment.runner
        self._working: set[Seat] = set()
        self._following: gevent.Greenlet | None = None

    def prepare(self, plan: Prepare, users: int) -> None:
        """Nobody is made before the shape asks for them."""
        self._users, self._index, self._of = max(1, users), plan.index, plan.of
        self._working = set()

    def may_work(self, seat: Seat) -> bool:
        """Whether the shape wants the user of `seat` now."""
        return seat in self._working

    def open(self, recorder: Recorder, start: float) -> None:
        """Follow the shape from `start` (of `perf_counter`) on."""
        super().open(recorder, start)
        self._following = gevent.spawn(self._follow)

    def close(self) -> int:
        """Begin no more tasks; a closed loop has no arrivals."""
        if self._following is not None:
            self._following.kill(block=False)
            self._following = None
        return super().close()

    def _follow(self) -> None:
        self._shape.reset_time()
        users = 0
        try:
            while (told := self._shape.tick()) is not None:
                goal, step = max(0, round(told[0])), max(1, round(told[1]))
                users = min(goal, users + step) if goal > users else max(goal, users - step)
                self._resize(users, told[2] if len(told) > 2 else None)  # noqa: PLR2004 - a tick's third part
                gevent.sleep(_TICK)
        except Exception as error:
            logger.exception("The load shape failed")
            self.user_error(f"{type(self._shape).__name__}: {type(error).__name__}: {error}")
        self._resize(0, None)

    def _resize(self, users: int, classes: list[type[User]] | None) -> None:
        """Have this process's share of so many users work, and all others rest after their task."""
        wanted = distribute(self.environment, users, self._of, classes)[self._index] if users else {}
        self._users = max(1, users)
        for name, number in wanted.items():
            for _ in range(number - len(self._of_class(name))):
                self._coming += 1
                self.spawn(name)
                gevent.sleep(0)
        self._working = {seat for name, number in wanted.items() for seat in self._of_class(name)[:number]}
        for seat in sorted(self._parked & self._working, key=lambda seat: seat.number):
            self._parked.discard(seat)
            get_hub().loop.run_callback(seat.waiter.switch, None)

    def _of_class(self, name: str) -> list[Seat]:
        return sorted((seat for seat in self.seats if seat.name == name), key=lambda seat: seat.number)
