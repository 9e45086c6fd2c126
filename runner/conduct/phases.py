"""The switches of a trial with phases: made from a thread of their own while the driver makes load, each read around and confirmed.

Everything is timed from the first due moment on the monotonic clock. Proxies are read before a switch and after it, so that what
they count while it is under way belongs to no phase.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from time import monotonic, time
from typing import TYPE_CHECKING, Generic, TypeVar

from runner.results.document.phases import Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.conduct.plan import PhasePlan
    from runner.istio.resource import Resource, ResourceKey
    from runner.load.base import Driver, WindowPlan
    from runner.results.window import Second, Window

Reading = TypeVar("Reading")

_POLL = 0.05
"""The longest time, in seconds, in which a wish to stop is not seen."""


@dataclass(frozen=True, slots=True)
class Made(Generic[Reading]):
    """One switch that was made.

    Attributes:
        switch: when.
        before: what the proxies showed just before it.
        versions: the config version that every proxy confirmed, by proxy.
        after: what the proxies showed just after it.
    """

    switch: Switch
    before: Reading
    versions: dict[str, str]
    after: Reading


def drive_switched(
    driver: Driver,
    plan: WindowPlan,
    watch: Callable[[Second], None],
    stop: threading.Event,
    switcher: Switcher[Reading] | None,
) -> Window:
    """Drive one window, with the switches made meanwhile when there is a switcher; see `runner.load.base.Driver.drive`.

    Raises:
        DriverError: the generator did not do its part.
        MeshError: a switch failed.
    """
    if switcher is None:
        return driver.drive(plan, watch, stop)
    try:
        window = driver.drive(replace(plan, begun=switcher.begin), watch, stop)
    finally:
        switcher.finish()
    if switcher.error is not None:
        raise switcher.error
    return window


@dataclass(slots=True)
class Switcher(Generic[Reading]):
    """Switches a phase's change on, and off again, in one window of load.

    Attributes:
        phases: what, and when.
        back: what takes it off again: resources to put back, keys to delete.
        change: makes a change known to the journal, then to the mesh; returns once every proxy confirmed it, with the versions.
        read: reads the proxies.
        stop: set when the load is to end; a switch that failed sets it too.
        tell: told where the window is, from the thread that switches: `before`, `switching on`, `during` and so on.
        on: the first switch, once it was made.
        off: the second.
        error: what went wrong in a switch; whoever drives the load raises it.
    """

    phases: PhasePlan
    back: tuple[Sequence[Resource], Sequence[ResourceKey]]
    change: Callable[[Sequence[Resource], Sequence[ResourceKey]], dict[str, str]]
    read: Callable[[], Reading]
    stop: threading.Event
    tell: Callable[[str], None]
    on: Made[Reading] | None = None
    off: Made[Reading] | None = None
    error: BaseException | None = None
    _origin: float = 0.0
    _said: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self, started: float) -> None:
        """The window begins: its first due moment is at `started`, seconds since the epoch."""
        self._said = started
        self._origin = monotonic() + (started - time())
        self._thread = threading.Thread(target=self._run, name="phases", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The window is over, however it ended: no switch is begun any more, and one that is under way is waited for."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def switches(self, started: float) -> tuple[Switch, Switch | None] | None:
        """When the switches were made, from the window's start; None when there was none.

        Args:
            started: when the window began after all, seconds since the epoch.
        """
        if self.on is None:
            return None
        shift = started - self._said
        return _moved(self.on.switch, shift), _moved(self.off.switch, shift) if self.off else None

    def _run(self) -> None:
        try:
            self.tell("before")
            if self._reached(self.phases.before):
                self.tell("switching on")
                self.on = self._switch(self.phases.put, ())
                self.tell("during")
            if self.on and self._reached(self.phases.before + self.phases.during):
                self.tell("switching off")
                self.off = self._switch(*self.back)
                self.tell("after")
        except BaseException as error:  # noqa: BLE001 - raised again where the load is driven
            self.error = error
            self.stop.set()

    def _reached(self, moment: float) -> bool:
        """Wait for a moment of the window; false when the load ends before."""
        while (left := moment - self._now()) > 0:
            if self._over.wait(min(left, _POLL)) or self.stop.is_set():
                return False
        return not (self._over.is_set() or self.stop.is_set())

    def _switch(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> Made[Reading]:
        begun = self._now()
        before = self.read()
        requested = self._now()
        versions = self.change(put, delete)
        confirmed = self._now()
        after = self.read()
        switch = Switch(begun=begun, requested=requested, confirmed=confirmed, ended=self._now())
        return Made(switch, before, versions, after)

    def _now(self) -> float:
        return monotonic() - self._origin


def _moved(switch: Switch, shift: float) -> Switch:
    return Switch(**{name: moment - shift for name, moment in switch.model_dump().items()})
