"""What all workers of Locust's master have in common, as the driver sees them.

A worker that is lost ends the run with its name: what the others measured would be a thinner load than was asked for.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from time import monotonic
from typing import TYPE_CHECKING

from runner.errors import DriverError, InputError, Problem, StorageError
from runner.load import wire
from runner.load.environment import TICKET_VARIABLE, WORKERS_VARIABLE
from runner.load.loadfile_errors import tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_LONGEST_ROUND_TRIP = 0.2
"""Seconds. A clock is known to half of it, and series are made of seconds: a tenth of one is what they can bear."""
_LARGEST_SKEW = 5.0
"""Seconds between wall clocks. They are corrected, but machines whose time is kept differ by milliseconds."""
_START_TIMEOUT = 120.0
LOCAL = "127.0.0.1"


class Crew:
    """Workers of any kind.

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
        return {WORKERS_VARIABLE: str(self.number)}

    def begin(self, port: int, environ: Mapping[str, str]) -> None:
        """The master listens on a port: workers may come."""
        raise NotImplementedError

    def missing(self, joined: int) -> DriverError:
        """The error when fewer than `number` have come."""
        raise NotImplementedError

    def path_there(self, peer: int, path: str) -> str:
        """Where a file of this machine lies where a worker runs."""
        del peer
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


class StartedWorkers(Crew):
    """Workers that this machine starts a process for each, with a log of its own, and whose master is on loopback."""

    def __init__(self, number: int, logs: Path) -> None:
        super().__init__(number, _START_TIMEOUT)
        self._logs = logs
        self._ticket = secrets.token_hex(16)
        self._processes: list[subprocess.Popen[bytes]] = []

    def master_arguments(self) -> list[str]:
        """Loopback, and a port that the kernel chooses."""
        return ["--master", "--master-bind-host", LOCAL, "--master-bind-port", "0"]

    def master_environ(self) -> dict[str, str]:
        """What the master's environment needs besides."""
        return {**super().master_environ(), TICKET_VARIABLE: self._ticket}

    def see(self, messages: Iterable[tuple[int, wire.Message]]) -> None:
        """Take what concerns the workers themselves, and look whether all live."""
        super().see(messages)
        for number, process in enumerate(self._processes, 1):
            code = process.poll()
            if code is not None:
                self.whole = False
                raise self._ended(number, code)

    def _ended(self, number: int, code: int) -> InputError | DriverError:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return DriverError(f"{self._called(number)} died: {how}{self._told(number)}")

    def _called(self, number: int) -> str:
        raise NotImplementedError

    def _start(
        self, number: int, command: Sequence[str], environ: Mapping[str, str], *, parcel: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a worker's process.

        Args:
            number: which one, from 1.
            command: its command line.
            environ: its environment.
            parcel: whether it is sent something on standard input, and says on standard output what nobody reads.

        Raises:
            StorageError: its log can't be written.
            DriverError: it can't be started.
        """
        path = self._log(number)
        try:
            log = path.open("wb")
        except OSError as error:
            raise StorageError(f"the log {path} can't be written: {error.strerror}") from error
        with log:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE if parcel else subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL if parcel else log,
                    stderr=log,
                    env=dict(environ),
                    start_new_session=True,  # Ctrl-C is for the runner
                )
            except OSError as error:
                raise DriverError(f"a Locust worker could not be started: {error}") from error
        self._processes.append(process)
        return process

    def _log(self, number: int) -> Path:
        return self._logs / f"worker-{number}.log"

    def _told(self, number: int) -> str:
        try:
            return f"; the last that it said:\n{tail(self._log(number).read_text(errors='replace'))}"
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
            if process.stdin:
                with contextlib.suppress(OSError):
                    process.stdin.close()
