"""A worker's end of the wire: the same messages as over a socket pair, inside Locust's own to its master."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import gevent
import locust
from gevent.event import Event
from gevent.lock import RLock
from locust.argument_parser import default_args_dict
from locust.exception import RPCError

from runner import __version__
from runner.load.child.link import ORPHANED
from runner.load.wire import JOIN, LINE, Hello, Join, Message, Ping, Pong, Refused, Unfit, Welcome, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from locust.env import Environment
    from locust.runners import WorkerRunner

logger = logging.getLogger("locust.meshtrial")

_ASK_AGAIN = 1.0
"""Seconds; the master may not listen yet."""
_SILENCE = 10
"""Seconds without a sign of the master after which it counts as gone (Locust's own worker goes on for 60)."""
_UNFIT = 1


def join_of(environment: Environment, loadfile: Path, hello: Hello, ticket: str) -> Join:
    """What this process must have in common with the others."""
    defaults = default_args_dict()
    options = {
        name: hashlib.sha256(repr(value).encode()).hexdigest()[:16]  # they may hold secrets
        for name, value in vars(environment.parsed_options).items()
        if name not in defaults or (name in {"tags", "exclude_tags"} and value)
    }
    digest = hashlib.sha256(loadfile.read_bytes()).hexdigest()
    host = socket.gethostname()
    return Join(host, hello.pid, locust.__version__, hello.users, hello.notes, digest, options, ticket)


class WorkerLink:
    """Messages to and from the master; its silence ends the process."""

    def __init__(self, environment: Environment, runner: WorkerRunner, loadfile: Path, ticket: str) -> None:
        self._environment = environment
        self._runner = runner
        self._loadfile = loadfile
        self._ticket = ticket
        self._receive: Callable[[Message], None] | None = None
        self._sending = RLock()
        self._sent = 0
        self._welcome = Event()
        self._silent = 0

    def listen(self, receive: Callable[[Message], None]) -> None:
        """Hand every incoming message to `receive`."""
        self._receive = receive
        self._runner.register_message(LINE, self._on_line)
        self._environment.events.heartbeat_received.add_listener(self._on_heartbeat)
        gevent.spawn(self._watch)

    def greet(self, hello: Hello) -> None:
        """Ask the master to be taken, until it answers."""
        join = encode(join_of(self._environment, self._loadfile, hello, self._ticket))
        while not self._welcome.is_set():
            self._runner.send_message(JOIN, [__version__, join])
            self._welcome.wait(_ASK_AGAIN)

    def send(self, message: Message) -> None:
        """Send one message; blocks this greenlet only."""
        if isinstance(message, Refused) and not self._welcome.is_set():
            self._leave(_UNFIT, f"this worker can't take part: {message.reason}")
        try:
            with self._sending:
                self._sent += 1
                self._runner.send_message(LINE, [self._sent, encode(message)])
        except RPCError as error:
            self._leave(ORPHANED, f"the master can't be reached: {error}")

    def _on_line(self, environment: Environment, msg: Any) -> None:  # noqa: ARG002 - Locust names them
        match decode(msg.data):
            case Ping(number):
                self.send(Pong(number, perf_counter(), time()))
            case Welcome(number):
                if not self._welcome.is_set():
                    logger.info("taken as worker %d", number)
                self._welcome.set()
            case Unfit(reason, advice):
                self._leave(_UNFIT, f"the master refuses this worker: {reason}. {advice}")
            case message:
                if self._receive is not None:
                    self._receive(message)

    def _on_heartbeat(self, **_others: Any) -> None:
        self._silent = 0

    def _watch(self) -> None:
        """Count seconds by this greenlet's own turns: after a task that never yielded nothing was heard either."""
        while self._silent < _SILENCE:
            gevent.sleep(1)
            self._silent += 1
        self._leave(ORPHANED, f"the master has been silent for {_SILENCE} s")

    def _leave(self, code: int, reason: str) -> None:
        logger.error(reason)
        logging.shutdown()
        os._exit(code)
