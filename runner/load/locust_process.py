"""Locust's process as the driver sees it: started once, spoken to over socket pairs, ended for good.

The socket pairs are inherited, so there is no file or port to leave behind and nobody else can connect.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import DriverError, StorageError
from runner.load.environment import FDS_VARIABLE, TICKETS_VARIABLE
from runner.load.loadfile_errors import tail
from runner.load.wire import Message, decode, encode, routed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_CHUNK = 1 << 20
_PRIORITY = -10
_SEND_TIMEOUT = 10.0


class LinkClosedError(Exception):
    """A process of the generator closed its end: it is dead or dying."""


def come_first(pid: int) -> None:
    """Let the generator go before everything else where that is allowed (root): waiting for a processor, it would send late.

    Linux shares processors between sessions first (autogroups, sched(7)), then between processes.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, _PRIORITY)
        Path(f"/proc/{pid}/autogroup").write_text(str(_PRIORITY), encoding="ascii")


class LocustProcess:
    """One `python -m locust`, and the workers it forks."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.peers: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: list[socket.socket] = []
        self._buffers: list[bytes] = []
        self._selector = selectors.DefaultSelector()

    def start(self, command: Sequence[str], environ: Mapping[str, str], workers: int) -> None:
        """Start the process; `workers` is how many it will fork (0: none).

        Raises:
            StorageError: the log can't be written.
            DriverError: the process can't be started.
        """
        pairs = [socket.socketpair() for _ in range(1 + workers)]
        reading, writing = os.pipe()
        os.write(writing, bytes(range(workers)))
        os.close(writing)
        theirs = [theirs.fileno() for _, theirs in pairs]
        variables = {
            FDS_VARIABLE: ",".join(map(str, theirs)),
            TICKETS_VARIABLE: str(reading),
            "PYTHONUNBUFFERED": "1",
        }
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**environ, **variables},
                    pass_fds=(*theirs, reading),
                    start_new_session=True,  # Ctrl-C is for the runner, which lets the load drain
                )
            come_first(self._process.pid)
        except OSError as error:
            for mine, _ in pairs:
                mine.close()
            if error.filename == str(self.log) or not self.log.parent.is_dir():
                raise StorageError(f"the log {self.log} can't be written: {error.strerror}") from error
            raise DriverError(f"Locust could not be started: {error}") from error
        finally:
            os.close(reading)
            for _, end in pairs:
                end.close()
        self._sockets = [mine for mine, _ in pairs]
        self._buffers = [b"" for _ in pairs]
        self.peers = list(range(len(pairs)))
        for index, mine in enumerate(self._sockets):
            mine.settimeout(_SEND_TIMEOUT)
            self._selector.register(mine, selectors.EVENT_READ, index)

    def send(self, message: Message, peers: Iterable[int]) -> None:
        """Send a message to some of the processes; a number beyond them is a worker's, reached through the master.

        Raises:
            LinkClosedError: one of them is gone.
        """
        line = encode(message)
        for peer in peers:
            try:
                if peer < len(self._sockets):
                    self._sockets[peer].sendall(line)
                else:
                    self._sockets[0].sendall(b"%d " % peer + line)
            except OSError as error:
                raise LinkClosedError from error

    def receive(self, timeout: float) -> list[tuple[int, Message]]:
        """What arrived, with the index of the process it came from; waits at most `timeout` seconds for anything.

        Raises:
            LinkClosedError: a process closed its end, and all that it said before was returned.
        """
        messages: list[tuple[int, Message]] = []
        for key, _ in self._selector.select(max(0.0, timeout)):
            index: int = key.data
            try:
                data = self._sockets[index].recv(_CHUNK)
            except OSError:
                data = b""
            if not data:
                if messages:
                    return messages
                raise LinkClosedError
            *lines, self._buffers[index] = (self._buffers[index] + data).split(b"\n")
            for line in lines:
                worker, told = routed(line)
                messages.append((index if worker is None else worker, decode(told)))
        return messages

    def printed(self) -> str:
        """The end of what the process printed (at most 256 KiB)."""
        try:
            with self.log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - (256 << 10)))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def exit_code(self, patience: float = 5.0) -> int | None:
        """The process's exit code, once it has one; None when it still runs after `patience` seconds."""
        if self._process is None:
            return None
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def died(self, what: str) -> DriverError:
        """The error for a process that ended or went silent in the middle of its work."""
        code = self.exit_code(0.3)
        how = (
            "" if code is None else f" (killed by {signal.Signals(-code).name})" if code < 0 else f" (exit code {code})"
        )
        return DriverError(f"{what}{how}; the last that it said:\n{tail(self.printed())}")

    def end(self, patience: float) -> None:
        """Wait at most `patience` seconds for the process to end by itself, then kill it and its workers."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            # Its session holds the workers too; they may outlive it for a moment.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for mine in self._sockets:
            mine.close()
        self._sockets, self.peers = [], []
        self._selector.close()
        self._selector = selectors.DefaultSelector()
