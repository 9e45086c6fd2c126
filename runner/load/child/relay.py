"""The master's part with workers: takes them in, hands on what they and the driver say, and keeps them on one clock.

Everything that the driver says or hears is in the master's clock (the driver runs beside it); a worker's own is known
to this module only.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import AsyncResult
from locust.runners import STATE_MISSING

from runner import __version__
from runner.load import wire
from runner.load.wire import decode, encode, kind_of

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import MasterRunner

    from runner.load.child.link import Link

logger = logging.getLogger("locust.meshtrial")

_PINGS = 8
"""The quickest of so many counts: it waited least, so half of it is nearest to the way there."""
_PING_PATIENCE = 5.0
_WATCH = 0.1
_SEE_OFF = 3.0
"""Seconds that workers get for their users' `on_stop`; the driver waits five for all."""


@dataclass(slots=True)
class _Seat:
    """One worker that was taken.

    Attributes:
        number: from 1.
        client: Locust's name for it.
        local: whether it runs on this machine, so that its clock is this one.
        heard: the number of its last line.
    """

    number: int
    client: str
    local: bool
    heard: int = 0
    lost: bool = False
    clock: wire.Clock = field(default_factory=lambda: wire.Clock(0.0, 0.0, 0.0))
    pong: AsyncResult | None = None


class Relay:
    """One per master."""

    def __init__(
        self,
        environment: Environment,
        runner: MasterRunner,
        link: Link,
        own: wire.Join,
        workers: int,
        *,
        other_clocks: bool = False,
    ) -> None:
        """Begin to take workers.

        Args:
            environment: Locust's.
            runner: Locust's master.
            link: to the driver.
            own: what the master would say if it were a worker; each must say the same.
            workers: how many are taken; others wait unused.
            other_clocks: whether those that the driver started itself are on other machines too.
        """
        self._runner = runner
        self._link = link
        self._own = own
        self._workers = workers
        self._other_clocks = other_clocks
        self._seats: dict[str, _Seat] = {}
        self._unused: set[str] = set()
        runner.register_message(wire.JOIN, self._on_join)
        runner.register_message(wire.LINE, self._on_line)
        environment.parsed_options.expect_workers = 0  # Locust would otherwise wait for them where it can't be stopped
        link.route = self._route
        link.farewell = self._farewell
        gevent.spawn(self._watch)

    @property
    def port(self) -> int:
        """Where workers connect."""
        port: int = self._runner.server.port
        return port

    # Joining.

    def _on_join(self, environment: Environment, msg: Any) -> None:  # noqa: ARG002 - Locust names them
        client = msg.node_id
        seat = self._seats.get(client)
        if seat is not None:  # it asked again before the answer came
            self._tell(client, wire.Welcome(seat.number))
            return
        if len(self._seats) >= self._workers:
            if client not in self._unused:
                self._unused.add(client)
                logger.warning("%s came when all %d workers were there; it waits unused", client, self._workers)
            return
        version, line = msg.data
        if version != __version__:
            name = f"the worker {client.rpartition('_')[0]}"
            self._refuse(client, wire.Unfit(*_other_version(name, "Meshtrial", version, __version__)))
            return
        join = decode(line)
        if not isinstance(join, wire.Join):
            raise TypeError(f"{client} joined with {type(join).__name__}")
        if join.ticket != self._own.ticket:
            logger.warning("%s is none of the workers that were started for this run", client)
            self._tell(client, wire.Unfit("this run has started its own workers", ""))
            return
        unfit = _difference(join, self._own)
        if unfit is not None:
            self._refuse(client, unfit)
            return
        seat = self._seats[client] = _Seat(
            len(self._seats) + 1, client, local=bool(join.ticket) and not self._other_clocks
        )
        self._tell(client, wire.Welcome(seat.number))
        name = f"{join.host}, process {join.pid}"
        hello = wire.Hello(join.pid, "worker", seat.number, join.locust, join.users, join.notes, name=name)
        self._link.forward(seat.number, encode(hello))

    def _refuse(self, client: str, unfit: wire.Unfit) -> None:
        self._tell(client, unfit)
        self._link.send(unfit)

    # What is said.

    def _tell(self, client: str, message: wire.Message) -> None:
        self._runner.send_message(wire.LINE, encode(message), client_id=client)

    def _route(self, number: int, line: bytes) -> None:
        """Hand on what the driver says to a worker."""
        for seat in self._seats.values():
            if seat.number == number:
                if kind_of(line) == "Go":
                    go = decode(line)
                    if isinstance(go, wire.Go):
                        line = encode(wire.Go(go.start + seat.clock.offset))
                self._runner.send_message(wire.LINE, line, client_id=seat.client)

    def _on_line(self, environment: Environment, msg: Any) -> None:  # noqa: ARG002 - Locust names them
        """Hand on what a worker says to the driver."""
        seat = self._seats.get(msg.node_id)
        if seat is None:
            return
        number, line = msg.data
        if number != seat.heard + 1:
            self._lose(seat, f"told {number - seat.heard - 1} things that never arrived")
            return
        seat.heard = number
        match kind_of(line):
            case "Pong":
                if seat.pong is not None:
                    seat.pong.set((perf_counter(), decode(line)))
            case "Prepared":
                gevent.spawn(self._prepared, seat, line)
            case "Done":
                done = decode(line)
                if isinstance(done, wire.Done):
                    line = encode(replace(done, ended=done.ended - seat.clock.skew))
                self._link.forward(seat.number, line)
            case _:
                self._link.forward(seat.number, line)

    # Clocks.

    def _prepared(self, seat: _Seat, line: bytes) -> None:
        """Compare clocks before every window, since clocks drift; a worker that has made its users is at rest."""
        if not seat.local:
            try:
                seat.clock = self._measure(seat)
            except gevent.Timeout:
                self._lose(seat, f"did not answer within {_PING_PATIENCE:.0f} s when asked for its clock")
                return
            self._link.forward(seat.number, encode(seat.clock))
        self._link.forward(seat.number, line)

    def _measure(self, seat: _Seat) -> wire.Clock:
        trips = []
        for number in range(_PINGS):
            seat.pong = AsyncResult()
            wall, sent = time(), perf_counter()
            self._tell(seat.client, wire.Ping(number))
            received, pong = seat.pong.get(timeout=_PING_PATIENCE)
            trip = received - sent
            trips.append(wire.Clock(trip, pong.clock - sent - trip / 2, pong.wall - wall - trip / 2))
        seat.pong = None
        return min(trips, key=lambda clock: clock.round_trip)

    # Losing them, and leaving.

    def _watch(self) -> None:
        """Locust counts a worker as missing after some four seconds without its heartbeat."""
        while True:
            gevent.sleep(_WATCH)
            for seat in self._seats.values():
                node = self._runner.clients.get(seat.client)
                if node is None:
                    self._lose(seat, "left")
                elif node.state == STATE_MISSING:
                    self._lose(seat, "is silent: it died, hangs, or can't be reached any more")

    def _lose(self, seat: _Seat, reason: str) -> None:
        if not seat.lost:
            seat.lost = True
            self._link.forward(seat.number, encode(wire.Lost(reason)))

    def see_off(self) -> None:
        """Wait until the workers, who were told to quit, have gone."""
        deadline = perf_counter() + _SEE_OFF
        while perf_counter() < deadline and any(
            not seat.lost and seat.client in self._runner.clients for seat in self._seats.values()
        ):
            gevent.sleep(_WATCH)

    def _farewell(self) -> None:
        """The driver is gone: no worker goes on sending load for nobody."""
        for client in list(self._runner.clients):
            if client in self._seats:
                self._tell(client, wire.Quit())
            else:
                self._runner.send_message("quit", client_id=client)


def _other_version(name: str, what: str, theirs: str, ours: str) -> tuple[str, str]:
    return (
        f"{name} runs {what} {theirs}, and this is {ours}",
        f"Install {what} {ours} where it runs, and start it again",
    )


def _difference(worker: wire.Join, own: wire.Join) -> wire.Unfit | None:
    """Why a worker would not do what the others do."""
    name = f"the worker {worker.host}, process {worker.pid},"
    if worker.locust != own.locust:
        return wire.Unfit(*_other_version(name, "Locust", worker.locust, own.locust))
    if worker.loadfile != own.loadfile:
        return wire.Unfit(f"{name} has a load file with other content", "Copy the file there, and start it again")
    if sorted(worker.users) != sorted(own.users):
        theirs, ours = (", ".join(sorted(one.users)) for one in (worker, own))
        return wire.Unfit(f"{name} runs the user classes {theirs}, and this {ours}", "Start it with the same arguments")
    names = worker.options.keys() | own.options.keys()
    other = sorted(name for name in names if worker.options.get(name) != own.options.get(name))
    if other:
        options = ", ".join(f"--{one.replace('_', '-')}" for one in other)
        return wire.Unfit(f"{name} was started with another {options}", "Start it with the same arguments")
    return None
