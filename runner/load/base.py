"""What a load driver must be able to do for a trial; the one dict of drivers is in `runner.load.drivers`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from runner.results.window import Second, Window
    from runner.spec.load_profile import Arrivals, Tls


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Attributes:
        url: base URL, becomes Locust's host.
        headers: sent with every request unless the loadfile sets the same header itself.
        secret_headers: names of those among them that must not show in the process table.
        tls: CA and client certificate for HTTPS.
        command: what stands before the generator's command line to have it run where the load leaves from.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    secret_headers: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """One stretch of load to generate: a warm-up or a measurement.

    For Locust exactly one of `arrivals` and `users` (`shape`: as many as the file's load shape
    says) is given; fortio's own file says how it asks.

    Attributes:
        seconds: how long arrivals are due (open loop) or users loop (closed loop).
        seed: of the arrival schedule and of the users' random choices; equal seeds give equal schedules (choices are drawn
            in the order in which users come to them, which concurrency decides).
        drain: the longest wait, in seconds, for requests still under way when the window ends.
        begun: called once, from the calling thread, when load begins, with the wall-clock time of the first due moment as far as it is
            known then (seconds since the epoch); `Window.started` is the last word. Not called for a window that never begins.
    """

    target: Target
    seconds: float
    seed: int
    arrivals: Arrivals | None = None
    users: int | str | None = None
    drain: float = 30.0
    begun: Callable[[float], None] | None = None


class Driver(Protocol):
    """A load generator that lives for a whole run; windows are driven one after the other."""

    name: str
    version: str
    closed_loop_only: bool

    def start(self) -> None:
        """Start the generator's processes and load the user's file.

        Raises:
            InputError: the load file is missing, raises on import, or has no user class; with its own error and line.
            DriverError: the generator did not start.
        """
        ...

    def settle(self, command: tuple[str, ...]) -> None:
        """Told once, when the mesh is open, what stands before the generator's command line to have it run elsewhere.

        Raises:
            DriverError: the generator is not there.
        """
        ...

    def drive(
        self, plan: WindowPlan, watch: Callable[[Second], None] | None = None, stop: Event | None = None
    ) -> Window:
        """Generate load for one window and return when it has drained.

        Args:
            plan: what to generate.
            watch: called about once a second, from the calling thread, when a second is over, with what became known
                in it (all processes added up): the requests that ended in it, whenever they were due, so that slow
                answers show live too. The returned window instead puts every request into the second of its due
                (closed loop: sending) moment.
            stop: ends the window early when set.

        Raises:
            DriverError: a generator process died or does not answer.
        """
        ...

    def close(self) -> None:
        """End the generator's processes."""
        ...
