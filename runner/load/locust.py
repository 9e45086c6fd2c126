"""The Locust driver: one child process for a whole run, told window by window what to do, read as it goes."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from importlib import metadata
from pathlib import Path
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING

from runner.errors import DriverError, InputError, Problem
from runner.load import wire
from runner.load.loadfile_errors import explain
from runner.load.locust_process import LinkClosedError, LocustProcess
from runner.load.locust_window import Collected, prepare_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from runner.load.base import WindowPlan
    from runner.results.window import Second, Window
    from runner.spec.model import LocustLoad, Tls

logger = logging.getLogger(__name__)

_PLUGIN = Path(__file__).with_name("locust_plugin.py")
_START_TIMEOUT = 120.0
"""Seconds; Locust's import takes 0.8 s, the rest is for what a loadfile does at import."""
_GRACE = 20.0
"""Seconds beyond what a window or its preparation may take, before a process that says nothing counts as hung."""
_HEAD_START = 0.03
"""Seconds between the word to begin and the beginning, so that all processes begin together."""
_POLL = 0.1
_GOODBYE = 5.0

_OURS = {
    "-f": "file",
    "--locustfile": "file",
    "-u": "users",
    "--users": "users",
    "-r": "users",
    "--spawn-rate": "users",
    "-t": "duration",
    "--run-time": "duration",
    "-H": "host",
    "--host": "host",
    "--processes": "processes",
    "--master": "processes",
    "--worker": "processes",
    "--headless": None,
    "--headful": None,
    "--autostart": None,
    "--autoquit": None,
    "-l": None,
    "--list": None,
    "-h": None,
    "--help": None,
    "-V": None,
    "--version": None,
    "--show-task-ratio": None,
    "--show-task-ratio-json": None,
}
"""Arguments of Locust that the experiment file has a key for, or that would keep it from running."""
_OUR_VARIABLES = frozenset(
    {
        "LOCUST_LOCUSTFILE",
        "LOCUST_USERS",
        "LOCUST_SPAWN_RATE",
        "LOCUST_RUN_TIME",
        "LOCUST_HOST",
        "LOCUST_PROCESSES",
        "LOCUST_MODE_MASTER",
        "LOCUST_MODE_WORKER",
        "LOCUST_HEADLESS",
        "LOCUST_HEADFUL",
        "LOCUST_AUTOSTART",
        "LOCUST_AUTOQUIT",
        "LOCUST_TAGS",
        "LOCUST_EXCLUDE_TAGS",
        "LOCUST_USER_CLASSES",
        "LOCUST_CONFIG",
        "LOCUST_SKIP_MONKEY_PATCH",
        "LOCUST_MASTER_BIND_HOST",
        "LOCUST_MASTER_BIND_PORT",
        "LOCUST_MASTER_NODE_HOST",
        "LOCUST_MASTER_NODE_PORT",
    }
)
"""Locust's own variables for those arguments, which must not reach it either."""


class LocustDriver:
    """Drives any ordinary locustfile, open loop or closed.

    Attributes:
        notes: what is done otherwise than Locust alone would, a sentence each; known after `start`.
        user_classes: names of the user classes that run; known after `start`.
    """

    name = "locust"
    closed_loop_only = False

    def __init__(self, load: LocustLoad, *, work_directory: Path, environ: Mapping[str, str] | None = None) -> None:
        """Make a driver that has not started yet.

        Args:
            load: the file and how to run it.
            work_directory: where `locust.log` is written.
            environ: the environment for the child; this process's when None.
        """
        self._load = load
        self._file = load.file.absolute()
        self._environ = dict(os.environ if environ is None else environ)
        self._process = LocustProcess(work_directory / "locust.log")
        self._generators: list[int] = []
        self._master: int | None = None
        self._window = 0
        self.version = metadata.version("locust")
        self.notes: list[str] = []
        self.user_classes: list[str] = []

    # Driver

    def start(self) -> None:
        """Start Locust and load the user's file; see `runner.load.base.Driver`."""
        self._check_file()
        self._check_arguments()
        workers = self._load.processes if self._load.processes > 1 else 0
        environ = {key: value for key, value in self._environ.items() if key not in _OUR_VARIABLES}
        environ[wire.LOADFILE_VARIABLE] = str(self._file)
        self._process.start(self._command(), environ, workers)
        try:
            self._await_hellos(1 + workers)
        except BaseException:
            self._process.end(0.0)
            raise

    def drive(
        self, plan: WindowPlan, watch: Callable[[Second], None] | None = None, stop: Event | None = None
    ) -> Window:
        """Generate load for one window; see `runner.load.base.Driver`."""
        if not self._generators:
            raise DriverError("the Locust driver was not started")
        _check_tls(plan.target.tls)
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
        patience = 0.0
        try:
            self._process.send(wire.Quit(), self._process.peers)
            patience = _GOODBYE
        except LinkClosedError:
            pass
        self._generators = []
        self._process.end(patience)

    # Starting

    def _check_file(self) -> None:
        file = self._file
        if not file.exists():
            raise InputError(Problem(f"the load file {file} does not exist"))
        if not file.is_file() or file.suffix != ".py":
            raise InputError(
                Problem(f"the load file {file} is no Python file", expected="a file whose name ends in .py")
            )
        if "," in str(file):
            raise InputError(Problem(f"Locust can't load a file with a comma in its path: {file}"))
        if not os.access(file, os.R_OK):
            raise InputError(Problem(f"the load file {file} can't be read"))

    def _check_arguments(self) -> None:
        problems = []
        for argument in self._load.args:
            name = argument.split("=", 1)[0]
            if name in _OURS:
                key = _OURS[name]
                hint = f"Use the key {key} of the experiment file" if key else "Locust runs headless under meshtrial"
                problems.append(Problem(f"args: {name} can't be passed on to Locust", suggestion=hint))
        if problems:
            raise InputError(problems)

    def _command(self) -> list[str]:
        load = self._load
        # -P: a file in the working directory must not stand for a module of the standard library
        command = [sys.executable, "-P", "-m", "locust", "-f", f"{_PLUGIN},{self._file}", *load.users]
        command += ["--headless", "--only-summary", "--exit-code-on-error", "0"]
        if load.processes > 1:
            port = str(_free_port())
            command += [
                "--processes",
                str(load.processes),
                "--master-bind-host",
                "127.0.0.1",
                "--master-bind-port",
                port,
            ]
            command += ["--master-host", "127.0.0.1", "--master-port", port]
        command += load.args
        if load.tags:
            command += ["--tags", *load.tags]
        if load.exclude_tags:
            command += ["--exclude-tags", *load.exclude_tags]
        return command

    def _await_hellos(self, number: int) -> None:
        deadline = monotonic() + _START_TIMEOUT
        waiting = set(range(number))
        while waiting:
            if monotonic() > deadline:
                raise self._process.died(f"Locust was not up after {_START_TIMEOUT:.0f} s")
            try:
                messages = self._process.receive(_POLL)
            except LinkClosedError as error:
                code = self._process.exit_code()
                raise explain(self._file, self._load.users, code, self._process.printed()) from error
            for peer, message in messages:
                if isinstance(message, wire.Refused):
                    raise self._refusal(message)
                if isinstance(message, wire.Hello):
                    waiting.discard(peer)
                    self._met(peer, message)
        self._generators.sort()

    def _met(self, peer: int, hello: wire.Hello) -> None:
        if hello.role == "master":
            self._master = peer
        else:
            self._generators.append(peer)
        self.version, self.user_classes = hello.locust, hello.users
        for note in hello.notes:
            if note not in self.notes:
                self.notes.append(note)
                logger.warning("%s: %s", self._file.name, note)

    def _refusal(self, message: wire.Refused) -> InputError | DriverError:
        if message.input_error:
            return InputError(Problem(f"{self._file}: {message.reason}"))
        return self._process.died(f"Locust could not do its part: {message.reason}")

    # Driving

    def _prepare(self, plan: WindowPlan) -> None:
        peers = list(enumerate(self._generators))
        if self._master is not None:
            peers.append((-1, self._master))
        for index, peer in peers:
            self._process.send(prepare_message(plan, self._window, index, len(self._generators)), [peer])
        deadline = monotonic() + 2 * plan.drain + _GRACE
        waiting = {peer for _, peer in peers}
        while waiting:
            if monotonic() > deadline:
                raise self._process.died("Locust's users were not ready in time")
            for peer, message in self._process.receive(_POLL):
                if isinstance(message, wire.Refused) and message.window == self._window:
                    raise self._refusal(message)
                if isinstance(message, wire.Prepared) and message.window == self._window:
                    waiting.discard(peer)

    def _run(self, plan: WindowPlan, watch: Callable[[Second], None] | None, stop: Event | None) -> Window:
        collected = Collected(self._window, len(self._generators))
        begin = perf_counter() + _HEAD_START
        started = time() + _HEAD_START
        deadline = begin + plan.seconds + plan.drain + _GRACE
        stopped = stop is not None and stop.is_set()
        if stopped:
            return collected.window(plan, started, stopped=True)
        self._process.send(wire.Go(begin), self._generators)
        while len(collected.done) < len(self._generators):
            if stop is not None and stop.is_set() and not stopped:
                stopped = True
                deadline = perf_counter() + plan.drain + _GRACE
                self._process.send(wire.Stop(), self._generators)
            if perf_counter() > deadline:
                raise self._process.died("Locust does not answer")
            for peer, message in self._process.receive(_POLL):
                if isinstance(message, wire.Refused) and message.window == self._window:
                    raise self._refusal(message)
                second = collected.take(peer, message)
                if second is not None and watch is not None:
                    watch(second)
        return collected.window(plan, started, stopped=stopped)


def _check_tls(tls: Tls | None) -> None:
    """Raise InputError for a file of the TLS settings that is not there."""
    if tls is None:
        return
    files = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
    problems = [
        Problem(f"the file of tls.{key} does not exist: {path}")
        for key, path in files.items()
        if path and not path.is_file()
    ]
    if tls.key and not tls.certificate:
        problems.append(Problem("tls.key needs tls.certificate beside it"))
    if problems:
        raise InputError(problems)


def _free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago, for Locust's own master and workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
