"""A locustfile through Meshtrial's driver against the same file in raw Locust.

The same file, ten users in a closed loop without wait, against one Envoy that answers by itself, so that Locust's one
core is the limit: once as `locust --headless`, once driven by `LocustDriver` with everything recorded. Both are up at the
same time, and take turns of a second and a half in shuffled order while the other is stopped (SIGSTOP), so that what is
compared lies next to each other. They are watched from outside in the same way: the requests that Envoy counted, and the
CPU time of the processes (the driver's side includes the runner's own, which reads what the driver streams). Both run at
ordinary priority in a session of their own. On a machine with other work the rate says little, and the requests for each
second that the generator was on a core say it all: that is the rate when it has a core to itself.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.bare import ADMIN_PORT, BareEnvoys, Envoy
from bench.cpu import cpu_seconds, ordinary
from bench.measure import Result, Sample, Series, ratio, series, side_by_side
from runner.load.base import Target, WindowPlan
from runner.load.drivers import make_driver
from runner.spec.load_profile import Load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FILE = """
from locust import {user_class}, constant, task

class Visitor({user_class}):
    wait_time = constant(0)

    @task
    def page(self):
        self.client.get("/")
"""
_USERS = 10
_WARM = 1.0
"""Seconds of load before a generator's first turn."""
_SETTLE = 0.2
"""Seconds of a turn before it counts."""
_LIMIT = 600.0
_RATE, _CORE, _CPU = "rate", "requests per CPU second of the generator", "CPU per request, all processes"


@dataclass(slots=True)
class _Side:
    """A generator that is up, and stopped between its turns.

    Attributes:
        generator: its process.
        others: processes whose CPU time counts for it too.
        failures: what ended it early.
    """

    generator: psutil.Process
    others: Sequence[psutil.Process] = ()
    failures: list[BaseException] = field(default_factory=list)

    def check(self) -> None:
        """Go on only while it lives."""
        if self.failures:
            raise self.failures[0]
        if not self.generator.is_running() or self.generator.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError("a generator ended early")

    def warm_up(self, envoy: Envoy) -> None:
        """Wait until load comes, let it run for a while, then stop it."""
        idle, deadline = _requests(envoy), time.monotonic() + 60
        while _requests(envoy) < idle + _USERS:
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError("no load came")
            time.sleep(0.02)
        time.sleep(_WARM)
        self.generator.suspend()

    def turn(self, envoy: Envoy, seconds: float) -> Sample:
        """Let it run for a turn."""
        self.generator.resume()
        try:
            time.sleep(_SETTLE)
            before, began = _requests(envoy), time.perf_counter()
            generating, reading = cpu_seconds([self.generator]), cpu_seconds(self.others)
            time.sleep(seconds)
            number, took = _requests(envoy) - before, time.perf_counter() - began
            generating, reading = cpu_seconds([self.generator]) - generating, cpu_seconds(self.others) - reading
            self.check()
        finally:
            self.generator.suspend()
        return {_RATE: number / took, _CORE: number / generating, _CPU: (generating + reading) / number * 1e6}


def _requests(envoy: Envoy) -> int:
    """How many requests Envoy has answered."""
    connection = http.client.HTTPConnection(envoy.address, ADMIN_PORT, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/stats?filter=^http%5C.bare%5C.downstream_rq_completed$")
        return int(connection.getresponse().read().decode().rpartition(": ")[2])


@contextlib.contextmanager
def _raw(file: Path, envoy: Envoy) -> Iterator[_Side]:
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary"]
    command += ["-u", str(_USERS), "-r", str(_USERS), "-t", f"{_LIMIT:.0f}s", "-H", envoy.url]
    with file.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _Side(psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _driven(file: Path, envoy: Envoy) -> Iterator[_Side]:
    load = Load.model_validate({"locust": {"file": file}, "users": _USERS})
    driver = make_driver(load, work_directory=file.parent)
    own, stop = psutil.Process(), threading.Event()
    others = set(own.children())
    driver.start()
    side = _Side(next(child for child in own.children() if child not in others), [own])
    ordinary(side.generator)

    def drive() -> None:
        try:
            plan = WindowPlan(Target(envoy.url), seconds=_LIMIT, seed=1, users=_USERS)
            driver.drive(plan, lambda _: None, stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that watches
            side.failures.append(error)

    thread = threading.Thread(target=drive)
    try:
        thread.start()
        yield side
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            side.generator.resume()
        stop.set()
        thread.join()
        driver.close()


def _compared(user_class: str, folder: Path, envoy: Envoy, *, pairs: int, turns: int, seconds: float) -> list[Series]:
    """Compare one kind of user, in some pairs of fresh processes that take some turns each."""
    file = folder / "visitor.py"
    file.write_text(_FILE.format(user_class=user_class), encoding="utf-8")
    driven, raw = f"{user_class} through the driver", f"{user_class} in raw Locust"
    found: dict[str, list[Sample]] = {driven: [], raw: []}
    for pair in range(pairs):
        with _raw(file, envoy) as theirs:
            theirs.warm_up(envoy)
            with _driven(file, envoy) as ours:
                ours.warm_up(envoy)
                arms = {driven: partial(ours.turn, envoy, seconds), raw: partial(theirs.turn, envoy, seconds)}
                for arm, samples in side_by_side(arms, turns, seed=pair, warm=False).items():
                    found[arm] += samples
    rows: list[Series] = []
    for quantity, unit, aim in ((_RATE, "/s", ">= 0.98"), (_CORE, "/s", ">= 0.98"), (_CPU, "µs", None)):
        our, their = series(found, driven, quantity, unit), series(found, raw, quantity, unit)
        compared = ratio(f"{user_class}, {quantity}, driver to raw", our, their)
        rows += [our, their, compared.aimed(aim) if aim else compared]
    return rows


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    rows: list[Series] = []
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name, BareEnvoys(Path(name), workers=1) as bare:
        for user_class in ("FastHttpUser", "HttpUser"):
            rows += _compared(
                user_class,
                Path(name),
                bare.envoys[0],
                pairs=1 if quick else 3,
                turns=4 if quick else 6,
                seconds=0.8 if quick else 1.3,
            )
    return Result(rows)
