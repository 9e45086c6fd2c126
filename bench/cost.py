"""What a request costs the generator under `arrivals:`, beside a plain loop in Locust.

The same task against one Envoy that answers by itself. Plain Locust runs it as a loop without wait (ten users, as fast as
its core allows) and paced to a rate (users at constant_throughput, started apart); ours sends it by `arrivals:` at the same
rates. CPU time is that of the generator's process from outside (user and system), requests are those that Envoy counted,
both over the middle of each load; a generator that goes to sleep between any two events pays for each waking, so how often
it did stands beside. The runner's own process, which reads what the driver streams, has a row of its own. Requests per
second and core are one over the CPU per request.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.bare import BareEnvoys, Envoy
from bench.cpu import cpu_seconds, ordinary
from bench.measure import Result, Sample, Series, Table, figure, ratio, series, side_by_side
from runner.load.base import Target, WindowPlan
from runner.load.drivers import make_driver
from runner.spec.load_profile import Arrivals, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.load.base import Driver

_RATES = {"FastHttpUser": (200, 2000), "HttpUser": (200, 800)}
_LOOP_USERS = 10
_PACED_USERS = 40
_SETTLE = 1.0
"""Seconds of load before it counts."""
_FILE = """
from locust import {user_class}, task

class Visitor({user_class}):
    @task
    def page(self):
        self.client.get("/")
"""
_LOOP = """
from locust import {user_class}, constant, task

class Visitor({user_class}):
    wait_time = constant(0)

    @task
    def page(self):
        while True:
            self.client.get("/")
"""
_PACED = """
import itertools
import gevent
from locust import {user_class}, constant_throughput, task

number = itertools.count()

class Visitor({user_class}):
    wait_time = constant_throughput({each})

    def on_start(self):
        gevent.sleep(next(number) / {rate})

    @task
    def page(self):
        self.client.get("/")
"""
_CPU, _CORE, _RATE, _SLEEPS, _RUNNER = (
    "CPU per request",
    "requests/s and core",
    "requests/s",
    "sleeps per request",
    "runner's CPU per request",
)


@dataclass(slots=True)
class _Meter:
    """What a generator and its Envoy had done at one moment."""

    envoy: Envoy
    generator: psutil.Process
    runner: psutil.Process | None = None

    def read(self) -> tuple[float, float, float, float, float]:
        """Requests answered, the clock, the generator's CPU time and voluntary switches, the runner's CPU time."""
        return (
            self.envoy.counter("http.bare.downstream_rq_completed"),
            time.perf_counter(),
            cpu_seconds([self.generator]),
            self.generator.num_ctx_switches().voluntary,
            cpu_seconds([self.runner]) if self.runner else 0.0,
        )

    def over(self, seconds: float) -> Sample:
        """What comes in the next seconds."""
        before = self.read()
        time.sleep(seconds)
        number, took, cpu, sleeps, runner = (
            later - earlier for later, earlier in zip(self.read(), before, strict=True)
        )
        if not number:
            raise RuntimeError("no load came")
        return {
            _CPU: cpu / number * 1e6,
            _CORE: number / cpu,
            _RATE: number / took,
            _SLEEPS: sleeps / number,
            _RUNNER: runner / number * 1e6,
        }


def _plain(file: Path, users: int, envoy: Envoy, seconds: float) -> Sample:
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary", "-H", envoy.url]
    command += ["-u", str(users), "-r", str(users)]
    counter = "http.bare.downstream_rq_completed"
    idle = envoy.counter(counter)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while envoy.counter(counter) < idle + users:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("plain Locust sent nothing")
                time.sleep(0.05)
            time.sleep(_SETTLE)
            return _Meter(envoy, psutil.Process(process.pid)).over(seconds)
        finally:
            process.kill()


def _ours(driver: Driver, generator: psutil.Process, rate: int, envoy: Envoy, seconds: float) -> Sample:
    arrivals = Arrivals.model_validate({"rate": f"{rate}/s"})
    plan = WindowPlan(Target(envoy.url), seconds + 2 * _SETTLE, 1, arrivals)
    failures: list[BaseException] = []

    def drive() -> None:
        try:
            driver.drive(plan)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            failures.append(error)

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        time.sleep(_SETTLE)
        return _Meter(envoy, generator, psutil.Process()).over(seconds)
    finally:
        thread.join()
        if failures:
            raise failures[0]


def _start(file: Path, folder: Path) -> tuple[Driver, psutil.Process]:
    own = psutil.Process()
    before = {child.pid for child in own.children()}
    driver = make_driver(Load.model_validate({"locust": {"file": str(file)}}), work_directory=folder)
    driver.start()
    (generator,) = [child for child in own.children() if child.pid not in before]
    ordinary(generator)
    return driver, generator


def _compared(
    user_class: str, folder: Path, envoy: Envoy, repeats: int, seconds: float
) -> tuple[dict[str, list[Sample]], tuple[int, ...]]:
    """Every way of sending with one kind of user, in shuffled repeats."""
    folder = folder / user_class
    folder.mkdir()
    rates = _RATES[user_class]
    file, loop = folder / "visitor.py", folder / "loop.py"
    file.write_text(_FILE.format(user_class=user_class), encoding="utf-8")
    loop.write_text(_LOOP.format(user_class=user_class), encoding="utf-8")
    driver, generator = _start(file, folder)
    arms: dict[str, Callable[[], Sample]] = {"loop": partial(_plain, loop, _LOOP_USERS, envoy, seconds)}
    for rate in rates:
        paced = folder / f"paced_{rate}.py"
        paced.write_text(_PACED.format(user_class=user_class, each=rate / _PACED_USERS, rate=rate), encoding="utf-8")
        arms[f"paced {rate}"] = partial(_plain, paced, _PACED_USERS, envoy, seconds)
        arms[f"arrivals {rate}"] = partial(_ours, driver, generator, rate, envoy, seconds)
    try:
        return side_by_side(arms, repeats, warm=False), rates
    finally:
        driver.close()


def _rows(user_class: str, found: Mapping[str, Sequence[Sample]], rates: Sequence[int]) -> list[Series]:
    rows = []
    for rate in rates:
        ours = series(found, f"arrivals {rate}", _CPU, "µs")
        title = f"{user_class}, CPU per request, arrivals at {rate}/s to"
        rows += [
            ratio(f"{title} the same rate paced", ours, series(found, f"paced {rate}", _CPU, "µs")),
            ratio(f"{title} a plain loop", ours, series(found, "loop", _CPU, "µs")),
        ]
    return rows


def _named(arm: str) -> str:
    kind, _, rate = arm.partition(" ")
    names = {
        "loop": "plain Locust, a loop without wait",
        "paced": "plain Locust, constant_throughput",
        "arrivals": "meshtrial, arrivals",
    }
    return f"{names[kind]}, {rate}/s" if rate else names[kind]


def _table(user_class: str, found: Mapping[str, Sequence[Sample]]) -> Table:
    def cell(samples: Sequence[Sample], quantity: str, unit: str) -> str:
        row = Series("", unit, tuple(sample[quantity] for sample in samples))
        return f"{figure(row.middle, unit)} ({figure(min(row.values), unit)} to {figure(max(row.values), unit)})"

    quantities = ((_CPU, "µs"), (_CORE, "/s"), (_RATE, "/s"), (_SLEEPS, "x"), (_RUNNER, "µs"))
    rows = [
        (
            _named(arm),
            *(
                "" if quantity == _RUNNER and not arm.startswith("arrivals") else cell(samples, quantity, unit)
                for quantity, unit in quantities
            ),
        )
        for arm, samples in found.items()
    ]
    return Table(user_class, ("", *(quantity for quantity, _ in quantities)), rows)


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    repeats, seconds = (2, 2.0) if quick else (7, 5.0)
    rows: list[Series] = []
    tables = []
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name, BareEnvoys(Path(name), workers=1) as bare:
        for user_class in _RATES:
            found, rates = _compared(user_class, Path(name), bare.envoys[0], repeats, seconds)
            rows += _rows(user_class, found, rates)
            tables.append(_table(user_class, found))
    return Result(rows, tables=tables)
