"""Where users ask for leave: Locust's task sets and their waits, patched in the child process only.

A task that is a nested task set runs at once, only its own tasks pass the gate: so sequences, weights, tags,
`interrupt()` and Markov chains keep their meaning. Users that the loadfile started by itself have no seat and pass.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from gevent import getcurrent
from locust import TaskSet
from locust.exception import InterruptTaskSet

from runner.load.child.recorder import SEAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.load.child.pool import Seat


def _seat() -> Seat | None:
    """The seat of the user whose own greenlet runs."""
    current = getcurrent()
    tree = getattr(current, "spawn_tree_locals", None)
    seat: Seat | None = tree.get(SEAT) if tree else None
    return seat if seat is not None and seat.greenlet is current else None


def _gated(execute: Callable[[TaskSet], None]) -> Callable[[TaskSet], None]:
    @wraps(execute)
    def execute_next_task(self: TaskSet) -> None:
        current = getcurrent()
        tree = getattr(current, "spawn_tree_locals", None)
        seat: Seat | None = tree.get(SEAT) if tree else None
        if seat is None or seat.greenlet is not current:
            execute(self)
            return
        task = self._task_queue[0]
        if isinstance(task, type) and issubclass(task, TaskSet):
            seat.enter(self)
            execute(self)
            return
        seat.begin(self)
        try:
            execute(self)
        except InterruptTaskSet:
            seat.end(interrupted=True)
            raise
        except BaseException:
            seat.end()
            raise
        seat.end()

    return execute_next_task


def _paced(original: Callable[[TaskSet], None]) -> Callable[[TaskSet], None]:
    @wraps(original)
    def wait(self: TaskSet) -> None:
        seat = _seat()
        # Called within a task, a wait is a part of the task.
        if seat is None or seat.pool.paces or seat.work is not None:
            original(self)
        else:
            seat.rest_if_idle()

    return wait


def gated_function(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """A pytest function that Locust runs as a task, with the gate before it."""

    @wraps(function)
    def run(fixture: Any) -> None:
        seat = _seat()
        if seat is None:
            function(fixture)
            return
        seat.begin(seat.user)
        try:
            function(fixture)
        finally:
            seat.end()

    return run


def install() -> None:
    """Patch Locust's task sets, once."""
    TaskSet.execute_next_task = _gated(TaskSet.execute_next_task)
    TaskSet.wait = _paced(TaskSet.wait)
