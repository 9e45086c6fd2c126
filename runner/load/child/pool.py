"""The users of a window, each in a seat: where it waits for work and what it is doing.

Users are Locust's own, started in its runner's group; this module decides when they work. What both ways of driving
have in common is here; `open_loop` and `closed_loop` differ in where work comes from.
"""

from __future__ import annotations

import logging
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import gevent
from gevent.hub import Waiter
from locust.runners import WorkerNode
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_WAITING

from runner.load.child.recorder import SEAT, Work

if TYPE_CHECKING:
    from locust import TaskSet, User
    from locust.env import Environment

    from runner.load.child.recorder import Recorder

logger = logging.getLogger("locust.meshtrial")

_MOST_CARRIED = 20
"""How often an arrival is handed on by interrupted task sets that sent nothing, so that a file with nothing else can't
spin."""
_IDLE_SPIN = 0.1
"""Seconds that a user rests when its task set fails before any task; Locust's own wait would have slept there."""
_DRAIN_POLL = 0.001


def distribute(
    environment: Environment, users: int, processes: int, classes: list[type[User]] | None = None
) -> list[dict[str, int]]:
    """How Locust itself spreads users over classes (weights, fixed counts; only some of them when given) and processes.

    Returns:
        For each process, the number of users by class name.
    """
    nodes = [WorkerNode(id=f"process_{index:06d}") for index in range(processes)]
    dispatcher = environment.dispatcher_class(worker_nodes=nodes, user_classes=environment.user_classes)
    dispatcher.new_dispatch(target_user_count=users, spawn_rate=users, user_classes=classes)
    spread = list(dispatcher)[-1]
    return [dict(spread[node.id]) for node in nodes]


class Seat:
    """One user of the pool.

    Attributes:
        work: the task under way.
        seated: whether the user is past its `on_start`.
        entering: whether it runs the `on_start` of a nested task set.
        rested: whether its last wait came without a task before it.
    """

    __slots__ = (
        "entering",
        "greenlet",
        "locals",
        "name",
        "number",
        "pool",
        "rested",
        "seated",
        "user",
        "waiter",
        "work",
    )

    def __init__(self, pool: Pool, name: str, number: int, user: User) -> None:
        self.pool = pool
        self.name = name
        self.number = number
        self.user = user
        self.locals = {SEAT: self}
        self.greenlet: Any = None
        self.waiter = Waiter()
        self.work: Work | None = None
        self.seated = False
        self.entering = False
        self.rested = False

    def begin(self, taskset: TaskSet) -> None:
        """Return once the user may run a task."""
        if self.entering or not self.seated:
            self._arrived()
        work = self.work
        if work is None:
            work = self.work = self.pool.next_work(self, taskset)
            work.begun = perf_counter()
            work.locals[SEAT] = self
        self.greenlet.spawn_tree_locals = work.locals

    def end(self, *, interrupted: bool = False) -> None:
        """The task is over; one that only interrupted its task set leaves its arrival to the next."""
        self.greenlet.spawn_tree_locals = self.locals
        self.rested = False
        work = self.work
        if work is None or (interrupted and work.may_be_carried(_MOST_CARRIED)):
            return
        self.work = None
        self.pool.in_flight -= 1

    def enter(self, taskset: TaskSet) -> None:
        """A nested task set begins; what its `on_start` does must not reach beyond a window."""
        self.pool.hold(self, taskset)
        if not self.entering:
            self.entering = True
            self.pool.entering += 1

    def _arrived(self) -> None:
        if self.entering:
            self.entering = False
            self.pool.entering -= 1
        if not self.seated:
            self.seated = True
            self.pool.joined(self)

    def wait_for_work(self) -> Any:
        """Sleep until `waiter` is switched to; the user counts as waiting, so that Locust can stop it at once."""
        self.user._state = LOCUST_STATE_WAITING  # noqa: SLF001 - as Locust's own waits do
        work = self.waiter.get()
        self.user._state = LOCUST_STATE_RUNNING  # noqa: SLF001
        return work

    def rest_if_idle(self) -> None:
        """Sleep a little when a wait of this user comes a second time without a task in between."""
        if self.rested:
            gevent.sleep(_IDLE_SPIN)
        self.rested = True


class Pool:
    """All users of one process for one target.

    Attributes:
        in_flight: tasks that were begun, or that wait for a user that is being made.
        entering: users in the `on_start` of a nested task set.
        recorder: of the window under way.
        errors: what went wrong with users outside any window.
        paces: whether users keep their own `wait_time`.
    """

    paces = False

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.classes = {cls.__name__: cls for cls in environment.user_classes}
        self.seats: set[Seat] = set()
        self.in_flight = 0
        self.entering = 0
        self.recorder: Recorder | None = None
        self.errors: dict[str, int] = {}
        self._made = 0

    # What the two kinds decide.

    def next_work(self, seat: Seat, taskset: TaskSet) -> Work:
        """Block until the user of `seat` may begin a task; count it in flight."""
        raise NotImplementedError

    def hold(self, seat: Seat, taskset: TaskSet) -> None:
        """Block while no window is open, if nobody waits for the user of `seat` to become ready."""

    def joined(self, seat: Seat) -> None:
        """The user of `seat` is past its `on_start` and asks for its first task."""

    def failed(self, name: str) -> None:
        """A user of a class could not be made, or left before its first task."""

    def left(self, name: str) -> None:
        """A user of a class has stopped, or could not be made."""

    def coming(self) -> int:
        """How many users are on their way."""
        raise NotImplementedError

    # Users.

    def spawn(self, name: str) -> None:
        """Make one user of a class and start it."""
        try:
            user = self.classes[name](self.environment)
        except Exception as error:
            logger.exception("A user of class %s could not be made", name)
            self.user_error(f"{name}: {type(error).__name__}: {error}")
            self.failed(name)
            self.left(name)
            return
        seat = Seat(self, name, self._made, user)
        self._made += 1
        self.seats.add(seat)
        seat.greenlet = user.start(self.environment.runner.user_greenlets)
        seat.greenlet.spawn_tree_locals = seat.locals
        seat.greenlet.link(partial(self._gone, seat))

    def _gone(self, seat: Seat, _greenlet: object) -> None:
        self.seats.discard(seat)
        if seat.work is not None:
            seat.work = None
            self.in_flight -= 1
        if seat.entering:
            self.entering -= 1
        if not seat.seated:
            self.failed(seat.name)
        self.left(seat.name)

    def user_error(self, description: str) -> None:
        """Note an exception that left the user's code."""
        if self.recorder is not None:
            self.recorder.user_error(description)
        elif description in self.errors or len(self.errors) < 100:  # noqa: PLR2004 - as many as the recorder keeps
            self.errors[description] = self.errors.get(description, 0) + 1

    def stop(self, patience: float) -> None:
        """Stop every user (their `on_stop` runs), for at most `patience` seconds."""
        self._stop(list(self.seats), patience)

    def cut(self, patience: float) -> None:
        """Stop the users that are still busy, so that nothing of this window reaches into the next."""
        self._stop([seat for seat in self.seats if seat.work or seat.entering or not seat.seated], patience)

    def _stop(self, seats: list[Seat], patience: float) -> None:
        gevent.joinall([gevent.spawn(seat.user.stop, force=True) for seat in seats], timeout=patience)
        gevent.killall([seat.greenlet for seat in seats if not seat.greenlet.dead], block=False)

    def drain(self, patience: float) -> bool:
        """Wait until nothing is under way, at most `patience` seconds; whether that came about."""
        deadline = perf_counter() + patience
        while self.in_flight or self.entering or self.coming():
            if perf_counter() >= deadline:
                return False
            gevent.sleep(_DRAIN_POLL)
        return True
