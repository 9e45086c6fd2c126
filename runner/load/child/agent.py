"""The driver's hand inside Locust: says hello, makes users, opens and closes windows, streams what happened."""

from __future__ import annotations

import gc
import logging
import os
import random
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time, time
from typing import TYPE_CHECKING, Any

import gevent
import locust
import locust.log
from gevent.event import Event
from locust.runners import STATE_RUNNING, STATE_STOPPED, LocalRunner, MasterRunner, WorkerRunner

from runner.load import feed
from runner.load.child import gate
from runner.load.child.closed_loop import ClosedPool
from runner.load.child.link import Fds, Link, die_with_parent, outlive_parent
from runner.load.child.logs import ration
from runner.load.child.open_loop import OpenPool
from runner.load.child.recorder import Recorder, RequestListener
from runner.load.child.relay import Relay
from runner.load.child.sessions import Sessions
from runner.load.child.shaped_loop import ShapedPool
from runner.load.child.start_up import (
    ignore_config_files,
    leave_load_to_the_driver,
    open_as_many_files_as_allowed,
    patch_pytest_loading,
    restore_standard_modules,
    standard_modules,
)
from runner.load.child.worker_link import WorkerLink, join_of
from runner.load.environment import CLOCKS_VARIABLE, FDS_VARIABLE, LOADFILE_VARIABLE, TICKET_VARIABLE, WORKERS_VARIABLE
from runner.load.wire import SHAPE, Done, Go, Hello, Message, Prepare, Prepared, Quit, Refused, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import LoadTestShape
    from locust.env import Environment

logger = logging.getLogger("locust.meshtrial")

_PATIENCE_WITH_ON_STOP = 5.0


class Agent:
    """One per process."""

    def __init__(self) -> None:
        self._fds = Fds() if FDS_VARIABLE in os.environ else None
        self._ticket = os.environ.pop(TICKET_VARIABLE, "")
        self._workers = int(os.environ.pop(WORKERS_VARIABLE, "0"))
        self._other_clocks = bool(os.environ.pop(CLOCKS_VARIABLE, ""))
        self._loadfile = os.environ.pop(LOADFILE_VARIABLE, "")
        self._sessions = Sessions()
        self._requests = RequestListener(locust.events.request)
        self._pool: OpenPool | ClosedPool | None = None
        self._pool_is_for: tuple[object, ...] = ()
        self._plan: Prepare | None = None
        self._number = 0
        self._driving: gevent.Greenlet | None = None
        self._stop = Event()
        self._standard = standard_modules()
        self._environment: Environment | None = None
        self._shape: LoadTestShape | None = None
        self._link: Link | WorkerLink | None = None
        self._relay: Relay | None = None

    # At start-up.

    def install(self) -> None:
        """Hook into Locust; called when the plugin is loaded, before the user's file is."""
        if self._fds is not None or self._ticket:  # a worker that was started elsewhere has a life of its own
            die_with_parent()
        open_as_many_files_as_allowed()
        gate.install()
        self._sessions.install()
        patch_pytest_loading()
        locust.events.init_command_line_parser.add_listener(ignore_config_files)
        locust.events.init.add_listener(self._on_init)

    def _on_init(self, environment: Environment, runner: Any, **_others: Any) -> None:
        if environment is self._environment:
            return
        self._environment = environment
        if not self._loadfile:
            self._loadfile = str(Path(environment.parsed_locustfiles[-1]).absolute())
        self._link, index = self._connect(environment, runner)
        restore_standard_modules(self._standard)
        directory = str(Path(self._loadfile).parent)
        if directory not in sys.path:  # for imports within tasks
            sys.path.append(directory)
        notes = self._take_over(environment, runner)
        role = (
            "worker" if isinstance(runner, WorkerRunner) else "master" if isinstance(runner, MasterRunner) else "local"
        )
        hello = Hello(
            os.getpid(), role, index, locust.__version__, [cls.__name__ for cls in environment.user_classes], notes
        )
        hello = replace(hello, shape=type(self._shape).__name__ if self._shape else "")
        if self._workers and isinstance(runner, MasterRunner) and isinstance(self._link, Link):
            outlive_parent()  # the link's end tells, and then the workers are told
            own = join_of(environment, Path(self._loadfile), hello, self._ticket)
            self._relay = Relay(environment, runner, self._link, own, self._workers, other_clocks=self._other_clocks)
            hello = replace(hello, port=self._relay.port)
        # Only once Locust goes on after all listeners of `init`, so that one that fails is told first.
        gevent.spawn(self._greet, hello)

    def _connect(self, environment: Environment, runner: Any) -> tuple[Link | WorkerLink, int]:
        """The wire to the driver, and the index of a forked worker."""
        if self._fds is not None:
            forked = isinstance(runner, WorkerRunner)
            connection, index = self._fds.claim(worker=forked)
            if forked:
                die_with_parent()
            return Link(connection), index
        if isinstance(runner, WorkerRunner):
            return WorkerLink(environment, runner, Path(self._loadfile), self._ticket), 0
        sys.exit("locust_plugin.py is for `locust --worker`; everything else is started by `meshtrial run`")

    def _take_over(self, environment: Environment, runner: Any) -> list[str]:
        notes = []
        environment.locustfile = Path(self._loadfile).name
        if environment.shape_class is not None:
            notes.append(
                f"{type(environment.shape_class).__name__} is followed with `users: shape` only: "
                "the experiment says how much load there is"
            )
            self._shape, environment.shape_class = environment.shape_class, None
        leave_load_to_the_driver(environment, runner)
        environment.events.user_error.add_listener(self._on_user_error)
        ration()
        return notes

    def _greet(self, hello: Hello) -> None:
        link, environment = self._link, self._environment
        if link is None or environment is None or locust.log.unhandled_greenlet_exception:
            return
        for cls in environment.user_classes:
            if not cls.tasks and not hasattr(cls, "functions"):
                link.send(
                    Refused(0, f"user class {cls.__name__} has no tasks (after tags were applied)", input_error=True)
                )
                return
        link.listen(self._receive)
        link.greet(hello)

    def _on_user_error(self, user_instance: Any, exception: BaseException, tb: Any, **_others: Any) -> None:
        if self._pool is None:
            return
        where = ""
        for frame in traceback.extract_tb(tb):
            if frame.filename.startswith(str(Path(self._loadfile).parent)):
                where = f" at {Path(frame.filename).name}:{frame.lineno}"
        user = getattr(user_instance, "user", user_instance)  # Locust gives a task set when it was a task that raised
        words = f"{type(exception).__name__}: {str(exception)[:200]}"
        self._pool.user_error(f"{type(user).__name__}{where}: {words}")

    # While it runs.

    def _receive(self, message: Message) -> None:
        match message:
            case Prepare():
                gevent.spawn(self._guarded, self._prepare, message)
            case Go():
                self._driving = gevent.spawn(self._guarded, self._window, message.start)
            case Stop():
                self._stop.set()
            case Quit():
                gevent.spawn(self._quit)
            case _:
                raise TypeError(f"the driver sent {type(message).__name__}")

    def _guarded(self, function: Callable[..., None], *args: Any) -> None:
        """Run a function of this class; tell the driver when it fails instead of letting it wait."""
        try:
            function(*args)
        except Exception as error:
            logger.exception("The driver's agent failed")
            if self._link is not None:
                self._link.send(Refused(self._number, f"{type(error).__name__}: {error}", input_error=False))

    def _prepare(self, plan: Prepare) -> None:
        link, environment = self._link, self._environment
        if link is None or environment is None:
            return
        if self._driving is not None:  # of a window that the driver left in the middle
            self._stop.set()
            self._driving.join()
        self._stop.clear()
        self._number = plan.window
        feed.begin_window(plan.seed, max(plan.index, 0), plan.of)
        try:
            fresh = self._make_pool(plan, environment)
        except OSError as error:
            link.send(Refused(plan.window, f"the TLS files can't be used: {error}", input_error=True))
            return
        random.seed(plan.seed * 1000 + plan.index)
        pool = self._pool
        if isinstance(pool, OpenPool) and plan.arrivals is not None:
            pool.prepare(plan, plan.arrivals)
        elif isinstance(pool, ClosedPool):
            pool.prepare(plan, plan.users if isinstance(plan.users, int) else 0)
        if pool is not None:
            pool.drain(plan.drain)
            if fresh:
                environment.events.spawning_complete.fire(user_count=len(pool.seats))
        self._plan = plan
        gc.collect()
        gc.freeze()
        link.send(Prepared(plan.window, len(pool.seats) if pool is not None else 0))

    def _make_pool(self, plan: Prepare, environment: Environment) -> bool:
        """Users stay as long as the target and the kind of loop do; a new target is a new test to Locust's listeners.

        Returns:
            Whether the pool is new.
        """
        wanted = (plan.target, plan.users)
        if self._pool_is_for == wanted:
            return False
        runner = environment.runner
        self._end_test(environment)
        self._sessions.aim(plan.target)
        environment.host = plan.target.url
        for cls in environment.user_classes:
            cls.host = plan.target.url
        if plan.index >= 0:
            if plan.users == SHAPE and self._shape is not None:
                self._pool = ShapedPool(environment, self._shape)
            else:
                self._pool = OpenPool(environment) if plan.users is None else ClosedPool(environment)
        self._pool_is_for = wanted
        environment.stats.clear_all()
        environment.events.test_start.fire(environment=environment)
        if isinstance(runner, (LocalRunner, WorkerRunner)):
            runner.update_state(STATE_RUNNING)
        return True

    def _end_test(self, environment: Environment) -> None:
        if not self._pool_is_for:
            return
        environment.events.test_stopping.fire(environment=environment)
        if self._pool is not None:
            self._pool.stop(_PATIENCE_WITH_ON_STOP)
            self._pool = None
        environment.runner.update_state(STATE_STOPPED)
        environment.events.test_stop.fire(environment=environment)
        self._pool_is_for = ()

    def _window(self, start: float) -> None:
        link, plan, pool = self._link, self._plan, self._pool
        if link is None or plan is None or pool is None:
            return
        recorder = Recorder(plan.window, start, plan.seconds, open_loop=plan.users is None)
        recorder.user_errors, pool.errors = pool.errors, {}
        self._requests.follow(recorder)
        cpu_before = process_time()
        pool.open(recorder, start)
        offset = 0
        while offset < recorder.last and not self._stop.wait(max(0.0, start + offset + 1 - perf_counter())):
            recorder.flush(link, offset, pool.in_flight)
            offset += 1
        self._stop.wait(max(0.0, start + plan.seconds - perf_counter()))
        stopped = self._stop.is_set()
        length = min(plan.seconds, max(0.0, perf_counter() - start)) if stopped else plan.seconds
        due = pool.close()
        cpu = process_time() - cpu_before
        in_flight = pool.in_flight
        recorder.flush(link, offset, in_flight)
        drained = self._drain(pool, recorder, link, plan.drain)
        ended = time()
        if not drained:
            pool.cut(_PATIENCE_WITH_ON_STOP)
        recorder.flush(link, None, pool.in_flight)
        self._requests.follow(None)
        pool.recorder = None
        scheduled = due if stopped else pool.scheduled
        link.send(Done(plan.window, length, scheduled, cpu, drained, ended, recorder.unmeasured, recorder.user_errors))

    def _drain(self, pool: OpenPool | ClosedPool, recorder: Recorder, link: Link | WorkerLink, patience: float) -> bool:
        """Wait until nothing is under way, and go on telling what ends."""
        deadline = perf_counter() + patience
        while not pool.drain(min(1.0, max(0.0, deadline - perf_counter()))):
            recorder.flush(link, None, pool.in_flight)
            if perf_counter() >= deadline:
                return False
        return True

    def _quit(self) -> None:
        environment = self._environment
        if environment is None:
            return
        self._end_test(environment)
        if self._relay is not None:
            self._relay.see_off()
        environment.runner.quit()


_agent: Agent | None = None


def install() -> None:
    """Hook into Locust, once however often the plugin's file is loaded."""
    global _agent  # noqa: PLW0603 - one per process
    if _agent is None:
        _agent = Agent()
        _agent.install()
