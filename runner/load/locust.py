"""The Locust driver: one child process for a whole run, told window by window what to do, read as it goes."""

from __future__ import annotations

import contextlib
import logging
import os
from functools import partial
from importlib import metadata
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING

from runner.errors import DriverError, InputError, Problem
from runner.load import wire
from runner.load.environment import LOADFILE_VARIABLE
from runner.load.loadfile_errors import explain
from runner.load.locust_arguments import OUR_VARIABLES, check_arguments, check_file, check_tls, command
from runner.load.locust_process import LinkClosedError, LocustProcess
from runner.load.locust_window import Collected, prepare_message
from runner.load.locust_workers import make_crew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from threading import Event

    from runner.load.base import WindowPlan
    from runner.load.crew import Crew
    from runner.load.pod_workers import PodWorkers
    from runner.results.window import Second, Window
    from runner.spec.load_profile import LocustLoad

logger = logging.getLogger(__name__)

_START_TIMEOUT = 120.0
"""Seconds; Locust's import takes 0.8 s, the rest is for what a loadfile does at import."""
_GRACE = 20.0
"""Seconds beyond what a window or its preparation may take, before a process that says nothing counts as hung."""
_HEAD_START = 0.03
"""Seconds between the word to begin and the beginning, so that all processes begin together."""
_WORKERS_HEAD_START = 0.25
"""The same where the word has a network to cross."""
_POLL = 0.1
_GOODBYE = 5.0


class LocustDriver:
    """Drives any ordinary locustfile, open loop or closed.

    Attributes:
        notes: what is done otherwise than Locust alone would, a sentence each; known after `start`.
        pods: the crew whose pods are awaited by `board`; None for workers of another kind.
        user_classes: names of the user classes that run; known after `start`.
        shape: name of the file's load shape, empty without one; known after `start`.
    """

    name = "locust"
    closed_loop_only = False

    def __init__(
        self,
        load: LocustLoad,
        *,
        work_directory: Path,
        environ: Mapping[str, str] | None = None,
        crew: PodWorkers | None = None,
    ) -> None:
        """Make a driver that has not started yet.

        Args:
            load: the file and how to run it.
            work_directory: where `locust.log` is written.
            environ: the environment for the child; this process's when None.
            crew: workers in pods; what `load` says when None.
        """
        self._load = load
        self._file = load.file.absolute()
        self._environ = dict(os.environ if environ is None else environ)
        self._process = LocustProcess(work_directory / "locust.log")
        self.pods = crew
        self._crew = crew or make_crew(load, self._file, work_directory)
        self._port = 0
        self._generators: list[int] = []
        self._master: int | None = None
        self._window = 0
        self.version = metadata.version("locust")
        self.notes: list[str] = []
        self.user_classes: list[str] = []
        self.shape = ""

    # Driver

    def start(self) -> None:
        """Start Locust and load the user's file; see `runner.load.base.Driver`."""
        check_file(self._file)
        check_arguments(self._load)
        forks = self._load.processes if self._load.processes > 1 else 0
        environ = self._child_environ()
        environ[LOADFILE_VARIABLE] = str(self._file)
        started = command(self._load, self._file)
        crew = self._crew
        try:
            if crew is None:
                self._process.start(started, environ, forks)
                self._await_hellos(range(1 + forks))
            else:
                self._process.start([*started, *crew.master_arguments()], {**environ, **crew.master_environ()}, 0)
                self._port = self._await_hellos([0])
                if not crew.later:
                    self._begin_crew(crew)
        except BaseException:
            if crew is None:
                self._process.end(0.0)
            else:
                self.close()  # workers elsewhere must be told
            raise

    def _child_environ(self) -> dict[str, str]:
        return {key: value for key, value in self._environ.items() if key not in OUR_VARIABLES}

    def _begin_crew(self, crew: Crew) -> None:
        crew.begin(self._port, {**self._child_environ(), LOADFILE_VARIABLE: str(self._file)})
        self._await_hellos(range(1, 1 + crew.number))

    def settle(self, command: tuple[str, ...]) -> None:
        """Nothing: the master runs on this machine, and workers in pods are told by `board`."""

    def board(self, commands: Sequence[tuple[str, ...]], image: str) -> None:
        """Start the workers of `pods`, whose pods are there now, and return when all have joined.

        Args:
            commands: what stands before a command line to have it run in each pod.
            image: what the pods run, for messages.

        Raises:
            InputError: the image holds another version of this program or of Locust.
            DriverError: a worker did not come.
        """
        crew = self.pods
        if crew is None:
            raise RuntimeError("this driver has no workers in pods")
        crew.image = image
        crew.board(commands)
        try:
            self._begin_crew(crew)
        except BaseException:
            self.close()
            raise

    def drive(
        self, plan: WindowPlan, watch: Callable[[Second], None] | None = None, stop: Event | None = None
    ) -> Window:
        """Generate load for one window; see `runner.load.base.Driver`."""
        if not self._generators:
            raise DriverError("the Locust driver was not started")
        check_tls(plan.target.tls)
        self._window += 1
        try:
            self._prepare(plan)
            return self._run(plan, watch, stop)
        except LinkClosedError as error:
            raise self._process.died("Locust died in the middle of a window") from error
        except BaseException:
            # A signal, or a watcher that raised: nobody waits for this window any more, so its load ends now.
            with contextlib.suppress(LinkClosedError):
                self._process.send(wire.Stop(), self._generators)
            raise

    def close(self) -> None:
        """End Locust's processes; users' `on_stop` and the file's `test_stop` listeners run first."""
        crew = self._crew
        patience = 0.0
        try:
            if crew is not None:
                self._process.send(wire.Quit(), self._generators)
                crew.end(_GOODBYE)
            if crew is None or crew.whole:
                self._process.send(wire.Quit(), self._process.peers)
                patience = _GOODBYE
        except LinkClosedError:
            pass
        self._generators, self._master = [], None
        self._process.end(patience)
        if crew is not None:
            crew.end(0.0)

    # Starting

    def _await_hellos(self, peers: Iterable[int]) -> int:
        """Wait until all of these have said hello; the port of the last that named one."""
        crew, port = self._crew, 0
        waiting = set(peers)
        workers = crew is not None and 0 not in waiting
        deadline = monotonic() + (crew.patience if crew is not None and workers else _START_TIMEOUT)
        while waiting:
            if monotonic() > deadline:
                if crew is not None and workers:
                    raise crew.missing(len(self._generators))
                raise self._process.died(f"Locust was not up after {_START_TIMEOUT:.0f} s")
            try:
                messages = self._receive()
            except LinkClosedError as error:
                code = self._process.exit_code()
                raise explain(self._file, self._load.users, code, self._process.printed()) from error
            for peer, message in messages:
                if isinstance(message, wire.Refused):
                    raise self._refusal(peer, message)
                if isinstance(message, wire.Hello):
                    waiting.discard(peer)
                    port = message.port or port
                    self._met(peer, message)
        self._generators.sort()
        return port

    def _receive(self) -> list[tuple[int, wire.Message]]:
        """What the processes said; what it means for the workers is seen to here."""
        messages = self._process.receive(_POLL)
        if self._crew is not None:
            self._crew.see(messages)
        return messages

    def _met(self, peer: int, hello: wire.Hello) -> None:
        if hello.role == "master":
            self._master = peer
        else:
            self._generators.append(peer)
        self.version, self.user_classes = hello.locust, hello.users
        self.shape = hello.shape or self.shape
        for note in hello.notes:
            if note not in self.notes:
                self.notes.append(note)
                logger.warning("%s: %s", self._file.name, note)

    def _refusal(self, peer: int, message: wire.Refused) -> InputError | DriverError:
        if message.input_error:
            return InputError(Problem(f"{self._file}: {message.reason}"))
        if self._crew is not None and peer:
            return self._crew.failed(peer, f"could not do its part: {message.reason}")
        return self._process.died(f"Locust could not do its part: {message.reason}")

    # Driving

    def _prepare(self, plan: WindowPlan) -> None:
        peers = list(enumerate(self._generators))
        if self._master is not None:
            peers.append((-1, self._master))
        for index, peer in peers:
            there = partial(self._crew.path_there, peer) if self._crew is not None and peer != self._master else None
            told = prepare_message(plan, self._window, index, len(self._generators), there)
            self._process.send(told, [peer])
        deadline = monotonic() + 2 * plan.drain + _GRACE
        waiting = {peer for _, peer in peers}
        while waiting:
            if monotonic() > deadline:
                raise self._process.died("Locust's users were not ready in time")
            for peer, message in self._receive():
                if isinstance(message, wire.Refused) and message.window == self._window:
                    raise self._refusal(peer, message)
                if isinstance(message, wire.Prepared) and message.window == self._window:
                    waiting.discard(peer)

    def _run(self, plan: WindowPlan, watch: Callable[[Second], None] | None, stop: Event | None) -> Window:
        collected = Collected(self._window, len(self._generators))
        crew = self._crew
        head_start = _HEAD_START if crew is None else _WORKERS_HEAD_START + crew.round_trip
        begin = perf_counter() + head_start
        started = time() + head_start
        deadline = begin + plan.seconds + plan.drain + _GRACE
        stopped = stop is not None and stop.is_set()
        if stopped:
            return collected.window(plan, started, stopped=True)
        self._process.send(wire.Go(begin), self._generators)
        if plan.begun is not None:
            plan.begun(started)
        while len(collected.done) < len(self._generators):
            if stop is not None and stop.is_set() and not stopped:
                stopped = True
                deadline = perf_counter() + plan.drain + _GRACE
                self._process.send(wire.Stop(), self._generators)
            if perf_counter() > deadline:
                raise self._process.died("Locust does not answer")
            for peer, message in self._receive():
                if isinstance(message, wire.Refused) and message.window == self._window:
                    raise self._refusal(peer, message)
                second = collected.take(peer, message)
                if second is not None and watch is not None:
                    watch(second)
        window = collected.window(plan, started, stopped=stopped)
        if crew is not None:
            window.remarks += crew.remarks()
        return window
