"""The workers of Locust's master on this machine, and those awaited from elsewhere."""

from __future__ import annotations

import logging
import shlex
import socket
from typing import TYPE_CHECKING

from runner.errors import DriverError
from runner.load.crew import LOCAL, Crew, StartedWorkers
from runner.load.environment import TICKET_VARIABLE
from runner.load.locust_arguments import PYTHON, shared_arguments
from runner.load.locust_process import come_first

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.spec.load_profile import LocustLoad

logger = logging.getLogger(__name__)

_ANY = frozenset({"0.0.0.0", "*", "::"})  # noqa: S104 - compared with, not bound to


class LocalWorkers(StartedWorkers):
    """`workers: N`: processes of this machine, ended with the master."""

    def __init__(self, load: LocustLoad, file: Path, logs: Path, number: int) -> None:
        super().__init__(number, logs)
        self._load = load
        self._file = file

    def begin(self, port: int, environ: Mapping[str, str]) -> None:
        """Start them.

        Raises:
            StorageError: a log can't be written.
            DriverError: a process can't be started.
        """
        command = [*PYTHON, "--worker", "--master-host", LOCAL, "--master-port", str(port)]
        command += shared_arguments(self._load, self._file)
        own = {**environ, TICKET_VARIABLE: self._ticket, "PYTHONUNBUFFERED": "1"}
        for number in range(1, self.number + 1):
            come_first(self._start(number, command, own).pid)

    def _called(self, number: int) -> str:
        return f"a worker (process {self._processes[number - 1].pid}) of {self.number}"

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
