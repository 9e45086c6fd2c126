"""The child's end of the wire to its driver, and the promise that no driver's death leaves a child behind."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import gevent
from gevent.lock import RLock

from runner.load.environment import FDS_VARIABLE, TICKETS_VARIABLE
from runner.load.wire import Hello, Message, decode, encode, routed

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
ORPHANED = 70
"""Exit code when the driver is gone (sysexits' EX_SOFTWARE); nobody is left to read it."""
_FAREWELL = 0.3
"""Seconds for the last messages to leave; Locust gives its own half a second."""


class Fds:
    """The descriptors that the driver left to this process; out of the environment, so that no grandchild has them."""

    def __init__(self) -> None:
        self.sockets = [int(part) for part in os.environ.pop(FDS_VARIABLE).split(",")]
        self.tickets = int(os.environ.pop(TICKETS_VARIABLE))
        for descriptor in (*self.sockets, self.tickets):
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the function's own form

    def claim(self, *, worker: bool) -> tuple[socket.socket, int]:
        """This process's socket and worker index (0 when it is no worker); every other descriptor is closed."""
        index = os.read(self.tickets, 1)[0] if worker else 0
        mine = self.sockets[1 + index] if worker else self.sockets[0]
        for descriptor in (*self.sockets, self.tickets):
            if descriptor != mine:
                os.close(descriptor)
        return socket.socket(fileno=mine), index


def die_with_parent() -> None:
    """Ask the kernel for a signal when the parent dies: a task that never yields would not see the wire's end.

    The kernel sends it also when only the thread that made this process ends, so the handler looks whether the parent
    is really gone.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    number = signal.SIGRTMIN + 7

    def check(_signal: int, _frame: object) -> None:
        if os.getppid() != parent:
            os._exit(ORPHANED)

    signal.signal(number, check)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def outlive_parent() -> None:
    """Take `die_with_parent` back: for a process that still has something to do when the wire's end tells it."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


class Link:
    """JSON lines both ways; the end of the incoming ones ends the process.

    Attributes:
        route: takes the lines that are for workers, with the worker's number.
        farewell: called once when the driver is gone, before the process ends.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = RLock()
        self._leaving = False
        self.route: Callable[[int, bytes], None] | None = None
        self.farewell: Callable[[], None] | None = None

    def greet(self, hello: Hello) -> None:
        """Say that this process is up."""
        self.send(hello)

    def send(self, message: Message) -> None:
        """Send one message; blocks this greenlet only."""
        self._send(encode(message))

    def forward(self, worker: int, line: bytes) -> None:
        """Hand on what a worker said."""
        self._send(b"%d " % worker + line)

    def _send(self, line: bytes) -> None:
        try:
            with self._sending:
                self._connection.sendall(line)
        except OSError:
            self._orphaned()

    def listen(self, receive: Callable[[Message], None]) -> None:
        """Hand every incoming message to `receive` in a greenlet of its own, forever."""
        gevent.spawn(self._listen, receive)

    def _listen(self, receive: Callable[[Message], None]) -> None:
        try:
            with self._connection.makefile("rb") as lines:
                for line in lines:
                    worker, told = routed(line)
                    if worker is None:
                        receive(decode(told))
                    elif self.route is not None:
                        self.route(worker, told)
        finally:
            self._orphaned()

    def _orphaned(self) -> None:
        """End the process. Whoever notices second waits too, so that the farewell gets out."""
        try:
            if self.farewell is not None and not self._leaving:
                self._leaving = True
                self.farewell()
            if self._leaving:
                gevent.sleep(_FAREWELL)
        finally:
            os._exit(ORPHANED)
