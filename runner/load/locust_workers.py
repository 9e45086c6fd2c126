"""The workers of Locust's master, as the driver sees them: started here, or awaited from elsewhere.

A worker that is lost ends the run with its name: what the others measured would be a thinner load than was asked for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shlex
import signal
import socket
import subprocess
from time import monotonic
from typing import TYPE_CHECKING

from runner.errors import DriverError, InputError, Problem, StorageError
from runner.load import wire
from runner.load.loadfile_errors import tail
from runner.load.locust_arguments import PYTHON, shared_arguments
from runner.load.locust_process import come_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from runner.spec.model import LocustLoad

logger = logging.getLogger(__name__)

_LONGEST_ROUND_TRIP = 0.2
"""Seconds. A clock is known to half of it, and series are made of seconds: a tenth of one is what they can bear."""
_LARGEST_SKEW = 5.0
"""Seconds between wall clocks. They are corrected, but machines whose time is kept differ by milliseconds."""
_START_TIMEOUT = 120.0
_LOCAL = "127.0.0.1"
_ANY = frozenset({"0.0.0.0", "*", "::"})  # noqa: S104 - compared with, not bound to


class Crew:
    """What both kinds of workers have in common.

    Attributes:
        number: how many there are.
        patience: how long they may take to come, in seconds.
        whole: whether none was seen to die of which the master may not know yet.
        later: whether they can be started only when the mesh is open.
    """

    later = False

    def __init__(self, number: int, patience: float) -> None:
        self.number = number
        self.patience = patience
        self.whole = True
        self._names: dict[int, str] = {}
        self._clocks: dict[int, wire.Clock] = {}

    def master_arguments(self) -> list[str]:
        """What the master's command line needs besides.

        Raises:
            DriverError: its port can't be had.
        """
        raise NotImplementedError

    def master_environ(self) -> dict[str, str]:
        """What the master's environment needs besides."""
        return {wire.WORKERS_VARIABLE: str(self.number)}

    def begin(self, port: int, environ: Mapping[str, str]) -> None:
        """The master listens on a port: workers may come."""
        raise NotImplementedError

    def missing(self, joined: int) -> DriverError:
        """The error when fewer than `number` have come."""
        raise NotImplementedError

    def path_there(self, path: str) -> str:
        """Where a file of this machine lies where the workers run."""
        return path

    def log_of(self, peer: int) -> str:
        """The end of a worker's log, as the end of a sentence; nothing for one elsewhere."""
        del peer
        return ""

    def end(self, patience: float) -> None:
        """Wait at most `patience` seconds for what was started here to end, then kill it."""

    def failed(self, peer: int, what: str) -> DriverError:
        """The error for a worker that did not do its part; `what` goes on after its name."""
        name = f" ({self._names[peer]})" if peer in self._names else ""
        return DriverError(f"worker {peer} of {self.number}{name} {what}{self.log_of(peer)}")

    def see(self, messages: Iterable[tuple[int, wire.Message]]) -> None:
        """Take what concerns the workers themselves.

        Raises:
            InputError: a worker would not do the same as the others.
            DriverError: a worker was lost, or its clock can't be relied on.
        """
        for peer, message in messages:
            match message:
                case wire.Hello(role="worker", name=name):
                    self._names[peer] = name
                case wire.Unfit(reason, advice):
                    raise InputError(Problem(reason, suggestion=advice))
                case wire.Lost(reason):
                    raise self.failed(peer, reason)
                case wire.Clock():
                    self._clocks[peer] = message
                    self._check_clock(peer, message)
                case _:
                    pass

    def _check_clock(self, peer: int, clock: wire.Clock) -> None:
        if clock.round_trip > _LONGEST_ROUND_TRIP:
            error = self.failed(
                peer,
                f"is {clock.round_trip * 1000:.0f} ms away and back, so its seconds can't be laid on the others' "
                f"(at most {_LONGEST_ROUND_TRIP * 1000:.0f} ms)",
            )
            error.advice = "Run the master nearer to its workers, and keep their machines from being overloaded"
            raise error
        if abs(clock.skew) > _LARGEST_SKEW:
            error = self.failed(
                peer, f"has a clock that is {abs(clock.skew):.1f} s {'ahead' if clock.skew > 0 else 'behind'}"
            )
            error.advice = "Let NTP keep the time on both machines (timedatectl set-ntp true)"
            raise error

    @property
    def round_trip(self) -> float:
        """The longest way to a worker and back, in seconds."""
        return max((clock.round_trip for clock in self._clocks.values()), default=0.0)

    def remarks(self) -> list[str]:
        """How far clocks were off in the window that just ended, a sentence if any was measured."""
        clocks = self._clocks.values()
        if not clocks:
            return []
        skew = max(abs(clock.skew) for clock in clocks)
        sentence = (
            f"workers from elsewhere: {len(clocks)}; their clocks differed from this machine's by up to "
            f"{_short(skew)}, corrected to within {_short(self.round_trip / 2)}"
        )
        return [sentence]


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


class LocalWorkers(Crew):
    """`workers: N`: processes of this machine, ended with the master."""

    def __init__(self, load: LocustLoad, file: Path, logs: Path, number: int) -> None:
        super().__init__(number, _START_TIMEOUT)
        self._load = load
        self._file = file
        self._logs = logs
        self._ticket = secrets.token_hex(16)
        self._processes: list[subprocess.Popen[bytes]] = []

    def master_arguments(self) -> list[str]:
        """Loopback, and a port that the kernel chooses."""
        return ["--master", "--master-bind-host", _LOCAL, "--master-bind-port", "0"]

    def master_environ(self) -> dict[str, str]:
        """What the master's environment needs besides."""
        return {**super().master_environ(), wire.TICKET_VARIABLE: self._ticket}

    def begin(self, port: int, environ: Mapping[str, str]) -> None:
        """Start them.

        Raises:
            StorageError: a log can't be written.
            DriverError: a process can't be started.
        """
        command = [*PYTHON, "--worker", "--master-host", _LOCAL, "--master-port", str(port)]
        command += shared_arguments(self._load, self._file)
        for number in range(1, self.number + 1):
            path = self._log(number)
            try:
                log = path.open("wb")
            except OSError as error:
                raise StorageError(f"the log {path} can't be written: {error.strerror}") from error
            with log:
                try:
                    process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env={**environ, wire.TICKET_VARIABLE: self._ticket, "PYTHONUNBUFFERED": "1"},
                        start_new_session=True,  # Ctrl-C is for the runner
                    )
                except OSError as error:
                    raise DriverError(f"a Locust worker could not be started: {error}") from error
            self._processes.append(process)
            come_first(process.pid)

    def see(self, messages: Iterable[tuple[int, wire.Message]]) -> None:
        """Take what concerns the workers themselves, and look whether all live."""
        super().see(messages)
        for number, process in enumerate(self._processes, 1):
            code = process.poll()
            if code is not None:
                self.whole = False
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                raise DriverError(f"a worker (process {process.pid}) of {self.number} died: {how}{self._told(number)}")

    def missing(self, joined: int) -> DriverError:
        """The error when fewer than `number` have come."""
        return DriverError(
            f"{joined} of {self.number} Locust workers were up after {self.patience:.0f} s{self._told(1)}"
        )

    def log_of(self, peer: int) -> str:
        """The end of a worker's log; they come in another order than they were started in."""
        for number, process in enumerate(self._processes, 1):
            if self._names.get(peer, "").endswith(f"process {process.pid}"):
                return self._told(number)
        return ""

    def _log(self, number: int) -> Path:
        return self._logs / f"worker-{number}.log"

    def _told(self, number: int) -> str:
        path = self._log(number)
        try:
            return f"; the last that it said:\n{tail(path.read_text(errors='replace'))}"
        except OSError:
            return ""

    def end(self, patience: float) -> None:
        """Wait at most `patience` seconds for them to end, then kill them."""
        deadline = monotonic() + patience
        processes, self._processes = self._processes, []
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - monotonic()))
        for process in processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class ExternalWorkers(Crew):
    """`workers: external`: started by others, on this machine or elsewhere."""

    def __init__(self, load: LocustLoad, file: Path) -> None:
        super().__init__(load.expect, load.master.wait)
        self._bind, self._port = load.master.bind, load.master.port
        host = socket.gethostname() if self._bind in _ANY else self._bind
        command = ["locust", "--worker", "--master-host", host, "--master-port", str(self._port)]
        self.command = shlex.join(command + shared_arguments(load, file))

    def master_arguments(self) -> list[str]:
        """The address that the file gives, which must be free."""
        address = (self._bind.replace("*", ""), self._port)
        family = socket.AF_INET6 if ":" in self._bind else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise DriverError(
                f"the master of the workers can't listen on {self._bind}:{self._port}: {error.strerror or error}",
                advice="Free the port, or choose another address: load.locust.master: {bind: ..., port: ...}",
            ) from error
        return ["--master", "--master-bind-host", self._bind, "--master-bind-port", str(self._port)]

    def begin(self, port: int, environ: Mapping[str, str]) -> None:
        """Say how to start one."""
        del port, environ
        logger.warning("waits %.0f s for %s; start each with: %s", self.patience, self._those(), self.command)

    def _those(self) -> str:
        return f"{self.number} Locust worker{'' if self.number == 1 else 's'} at {self._bind}:{self._port}"

    def missing(self, joined: int) -> DriverError:
        """The error when fewer than `number` have come."""
        return DriverError(
            f"{joined} of {self._those()} came within {self.patience:.0f} s", advice=f"Start each with: {self.command}"
        )


def make_crew(load: LocustLoad, file: Path, logs: Path) -> Crew | None:
    """The workers that a load asks for; None when it does not."""
    if load.workers is None:
        return None
    if load.workers == "external":
        return ExternalWorkers(load, file)
    return LocalWorkers(load, file, logs, load.workers)
