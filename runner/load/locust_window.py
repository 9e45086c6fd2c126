"""A window on its way to the generating processes, and what they say about it on its way back."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from runner.load import wire
from runner.load.shelf import Shelf
from runner.results.counters import summed
from runner.results.window import Second, Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.load.base import WindowPlan


class Collected:
    """What the generating processes said about one window, added up."""

    def __init__(self, window: int, generators: int) -> None:
        self._window = window
        self._generators = generators
        self._final = Shelf()
        self._live: dict[int, Second] = {}
        self._ticked: dict[int, int] = {}
        self._parts: dict[int, list[Second]] = {}
        self.done: dict[int, wire.Done] = {}

    def take(self, peer: int, message: wire.Message) -> Second | None:
        """Add a message; the live record of a second when every process has told its part of it."""
        match message:
            case wire.Part(window=self._window, second=part):
                self._final.at(part.offset).add(part)
                self._parts.setdefault(peer, []).append(part)
            case wire.Tick(window=self._window, offset=offset, in_flight=in_flight):
                live = self._live.setdefault(offset, Second(offset))
                for part in self._parts.pop(peer, []):
                    live.add(part)
                live.in_flight += in_flight
                self._final.at(offset).in_flight += in_flight
                self._ticked[offset] = self._ticked.get(offset, 0) + 1
                if self._ticked[offset] == self._generators:
                    return self._live.pop(offset)
            case wire.Done(window=self._window):
                self.done[peer] = message
            case _:
                pass
        return None

    def window(self, plan: WindowPlan, started: float, *, stopped: bool) -> Window:
        """The whole window."""
        done = list(self.done.values())
        length = max((one.length for one in done), default=0.0)
        number = max(ceil(length - 1e-6), self._final.end())
        return Window(
            seconds=self._final.first(number),
            length=length,
            open_loop=plan.arrivals is not None,
            scheduled=sum(one.scheduled for one in done),
            started=started,
            ended=max((one.ended for one in done), default=started),
            generator_cpu=max((one.cpu for one in done), default=0.0) / length if length else 0.0,
            drained=all(one.drained for one in done),
            stopped=stopped,
            unmeasured=sum(one.unmeasured for one in done),
            user_errors=summed(one.user_errors for one in done),
        )


def prepare_message(
    plan: WindowPlan, window: int, index: int, of: int, there: Callable[[str], str] | None = None
) -> wire.Prepare:
    """What one generating process is told of a plan; `there` says where a file of this machine lies for it."""

    def absolute(path: Path | None) -> str | None:
        if path is None:
            return None
        return there(str(path.absolute())) if there else str(path.absolute())

    tls = plan.target.tls
    arrivals = plan.arrivals
    return wire.Prepare(
        window=window,
        target=wire.TargetOnWire(
            # Locust puts the two together as they are.
            plan.target.url.rstrip("/"),
            dict(plan.target.headers),
            wire.TlsOnWire(absolute(tls.ca), absolute(tls.certificate), absolute(tls.key), tls.verify) if tls else None,
        ),
        seconds=plan.seconds,
        seed=plan.seed,
        drain=plan.drain,
        arrivals=wire.ArrivalsOnWire(
            arrivals.rate,
            None
            if arrivals.stages is None
            else tuple(wire.StageOnWire(one.rate, one.duration) for one in arrivals.stages),
            arrivals.distribution,
            arrivals.max_in_flight,
        )
        if arrivals
        else None,
        users=plan.users,
        index=index,
        of=of,
    )
