"""The thread that switches a phase on and off while load is driven: in which order, on which clock, and what when something fails."""

from __future__ import annotations

import threading
import time

import pytest

from runner.conduct.phases import Switcher, drive_switched
from runner.conduct.plan import PhasePlan
from runner.errors import ConfigRejectedError, DriverError
from runner.load.base import Target, WindowPlan
from runner.results.window import Window

PUT = ("a resource",)
BACK = (("the one before",), ("a key",))
LIMIT = 20.0
"""Seconds after which a test gives up; never waited for."""


class Mesh:
    """Notes what is read and changed; `refuses` is the number of the change that fails."""

    def __init__(self, refuses=0):
        self.did = []
        self.refuses = refuses
        self.off = threading.Event()

    def change(self, put, delete):
        number = sum(what == "change" for what, *_ in self.did) + 1
        self.did.append(("change", put, delete))
        if number == self.refuses:
            raise ConfigRejectedError("a proxy refused it")
        return {"p": f"v{number}"}

    def read(self):
        self.did.append(("read",))
        if len(self.did) == 6:
            self.off.set()
        return len(self.did)


class Driver:
    """Drives nothing: calls what a driver calls, then waits until `until` is set, or the load is to stop."""

    name, version, closed_loop_only = "none", "1", False

    def __init__(self, until, *, fails=False, ahead=0.0):
        self.until, self.fails, self.ahead = until, fails, ahead

    def drive(self, plan, watch=None, stop=None):
        assert watch is None
        started = time.time()
        if plan.begun is not None:
            plan.begun(started + self.ahead)
        deadline = time.monotonic() + LIMIT
        while not (self.until.is_set() or stop.is_set()):
            assert time.monotonic() < deadline
            self.until.wait(0.005)
        if self.fails:
            raise DriverError("it died")
        return Window([], 1.0, open_loop=True, scheduled=0, started=started, ended=started, generator_cpu=0.0)


def switcher_of(mesh, stop, before=0.02, during=0.03):
    phases = PhasePlan((), PUT, frozenset(), before, during, 1.0)
    told = []
    return Switcher(phases, BACK, mesh.change, mesh.read, stop, told.append), told


def drive(driver, switcher, stop):
    return drive_switched(driver, WindowPlan(Target("http://x/"), 1.0, 1), None, stop, switcher)


def test_each_switch_is_read_around_and_confirmed_in_order():
    mesh, stop = Mesh(), threading.Event()
    switcher, told = switcher_of(mesh, stop)
    window = drive(Driver(mesh.off), switcher, stop)
    reading = ("read",)
    assert mesh.did == [reading, ("change", PUT, ()), reading, reading, ("change", *BACK), reading]
    assert told == ["before", "switching on", "during", "switching off", "after"]
    on, off = switcher.switches(window.started)
    moments = [*on.model_dump().values(), *off.model_dump().values()]
    assert moments == sorted(moments)
    assert on.begun >= 0.02
    assert off.begun >= 0.05
    assert (switcher.on.before, switcher.on.versions, switcher.on.after) == (1, {"p": "v1"}, 3)
    assert (switcher.off.before, switcher.off.versions, switcher.off.after) == (4, {"p": "v2"}, 6)
    assert not stop.is_set()


def test_times_are_from_the_moment_at_which_load_really_began():
    mesh, stop = Mesh(), threading.Event()
    switcher, _ = switcher_of(mesh, stop)
    window = drive(Driver(mesh.off, ahead=0.03), switcher, stop)
    said, _ = switcher.switches(window.started + 0.03)
    meant, _ = switcher.switches(window.started)
    assert meant.begun - said.begun == pytest.approx(0.03)
    assert said.begun >= 0.02


@pytest.mark.parametrize("refuses", [1, 2])
def test_a_switch_that_fails_ends_the_load_and_is_told(refuses):
    mesh, stop = Mesh(refuses), threading.Event()
    switcher, _ = switcher_of(mesh, stop)
    with pytest.raises(ConfigRejectedError, match="a proxy refused it"):
        drive(Driver(threading.Event()), switcher, stop)
    assert stop.is_set()
    assert sum(what == "change" for what, *_ in mesh.did) == refuses
    assert (switcher.on is None) is (refuses == 1)


def test_load_that_ends_before_is_switched_no_more():
    mesh, stop, over = Mesh(), threading.Event(), threading.Event()
    over.set()
    switcher, told = switcher_of(mesh, stop, before=LIMIT)
    window = drive(Driver(over), switcher, stop)
    assert switcher.switches(window.started) is None
    assert (mesh.did, told) == ([], ["before"])


def test_a_wish_to_stop_keeps_the_second_switch_from_being_made():
    mesh, stop = Mesh(), threading.Event()
    switcher, _ = switcher_of(mesh, stop, during=LIMIT)
    tell = switcher.tell
    switcher.tell = lambda phase: (tell(phase), phase == "during" and stop.set())
    window = drive(Driver(threading.Event()), switcher, stop)
    on, off = switcher.switches(window.started)
    assert (on.begun >= 0.02, off) == (True, None)


def test_a_driver_that_dies_leaves_no_thread_behind():
    mesh, stop, over = Mesh(), threading.Event(), threading.Event()
    over.set()
    switcher, _ = switcher_of(mesh, stop, before=LIMIT)
    with pytest.raises(DriverError, match="it died"):
        drive(Driver(over, fails=True), switcher, stop)
    assert "phases" not in {thread.name for thread in threading.enumerate()}


def test_without_a_switcher_a_driver_is_driven_as_ever():
    over = threading.Event()
    over.set()
    assert drive(Driver(over), None, threading.Event()).scheduled == 0
