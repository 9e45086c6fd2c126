"""Capacity searches against queues and a server whose capacity is known.

Simulated queues first (Kendall's names: arrivals, service, workers; the first number is what all workers together can serve):
the truth is the arrival rate at which 99 % of one long stretch of requests stay within the limit, and each of ten seeds makes one
search of at most 180 s of load, beside plain bisection (doubling, then one trial of 10 s at each rate down to 1 %, as load
generators without a classification do it). Then a real server with eight workers of 20 ms each, searched by `meshtrial capacity`
and by plain bisection with the same Locust, and ramped by k6 (20/s to 1000/s in 170 s, ended by its own threshold) where k6 is
installed; the truth is what the server serves in a second while 30 % more arrive than it can take, before and after in the same run.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from bench.generators import tool
from bench.measure import Result, Series, say
from bench.queues import Queue, Simulated
from runner.analysis.capacity import Search
from runner.analysis.capacity_types import Goal, Outcome, Proposal
from runner.conduct.capacity import CAPACITY
from runner.conduct.capacity_record import prepared
from runner.conduct.progress import Silent
from runner.conduct.run import RunOptions, run
from runner.load.base import Target, WindowPlan
from runner.load.drivers import make_driver
from runner.spec.checks import parse_objective
from runner.spec.load import Overrides, load_experiment
from runner.spec.load_profile import Arrivals, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.load.base import Driver

QUEUES = (
    Queue("M/M/1", 800, 0.25),
    Queue("M/M/1", 2000, 0.05),
    Queue("M/M/8", 800, 0.25),
    Queue("M/D/1", 500, 0.25),
    Queue("M/D/1", 500, 0.05),
    Queue("D/D/8", 400, 0.25),
    Queue("D/M/8", 1200, 0.1),
    Queue("M/M/1", 800, 0.05),
)
"""The last one is beyond what 180 s can tell: at its capacity one trial in four shows half of all the slow requests there are."""
SEEDS = 10
_NEAR = 3.0
SIMULATED_AIM = f"<= {_NEAR:g}"
REAL_AIM = "<= 5"
MOST_LOAD = 180.0
WORKERS, SERVICE, LIMIT = 8, 0.02, 250.0
START, TO = 20.0, 1000.0
_BISECTED = 10.0
_CLOSE = 1.01
_SATURATED = 10.0
_OVER = 1.3
_RAMP = 170.0
_FILE = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def page(self):
        self.client.get("/")
"""
_EXPERIMENT = """
experiment: capacity-truth
mesh: {{none: {{url: "{url}"}}}}
variants: {{server: {{}}}}
load: {{locust: {{file: load.py}}, warmup: 1s}}
capacity: {{objective: "p99 < 250ms and error_rate < 0.1%", from: 20/s, to: 1000/s}}
"""
_K6 = """
import http from 'k6/http';
export const options = {{ discardResponseBodies: true,
  thresholds: {{ http_req_duration: [{{ threshold: 'p(99)<250', abortOnFail: true, delayAbortEval: '2s' }}] }},
  scenarios: {{ ramp: {{ executor: 'ramping-arrival-rate', startRate: 20, timeUnit: '1s', preAllocatedVUs: 200, maxVUs: 1000,
    stages: [{{ target: 1000, duration: '{seconds:.0f}s' }}] }} }} }};
export default function () {{ http.get('{url}/'); }}
"""


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    rows, notes = _simulated(quick=quick)
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name:
        more, said = _real(Path(name), quick=quick)
    return Result([*rows, *more], [*notes, *said])


# Simulated queues


def _simulated(*, quick: bool) -> tuple[list[Series], list[str]]:
    rows: list[Series] = []
    loads: list[float] = []
    plain: list[float] = []
    within = ours = 0
    for queue in QUEUES[:2] if quick else QUEUES:
        truth = queue.capacity(300_000 if queue.workers > 1 else 2_000_000)
        errors, others = [], []
        for seed in range(2 if quick else SEEDS):
            say(f"{queue.name} at {queue.rate:g}/s, seed {seed}")
            found, load = _searched(queue, seed)
            errors.append(100 * abs(found / truth - 1))
            loads.append(load)
            others.append(100 * abs(_plain(_trial_of(queue, seed), START, 5000.0)[0] / truth - 1))
        what = f"{queue.name}, {queue.rate:g}/s, p99 < {queue.limit * 1000:g} ms (truth {truth:.0f}/s): error"
        rows += [Series(what, "%", tuple(errors), SIMULATED_AIM), Series("- plain bisection", "%", tuple(others))]
        within += sum(error <= _NEAR for error in errors)
        ours += len(errors)
        plain += others
    say("")
    note = (
        f"Within 3 %: {within} of {ours} searches of simulated queues, {sum(error <= _NEAR for error in plain)} of {len(plain)} "
        f"plain bisections. Load of one search: {min(loads):.0f} to {max(loads):.0f} s."
    )
    return rows, [note]


def _searched(queue: Queue, seed: int) -> tuple[float, float]:
    """The estimate of one search, and its seconds of load; the objective's error rate is there as in a real one."""
    goal = Goal(START, 5000.0, most_load=MOST_LOAD)
    search = Search(goal, shift=random.Random(seed).random())  # noqa: S311 - a simulation
    objective = parse_objective(f"p99 < {queue.limit * 1000:g}ms and error_rate < 0.1%", None)
    service = Simulated(queue, objective, goal.duration_sum, np.random.default_rng(seed))
    while search.proposal is not None:
        search.feed(service.carry_out(search.proposal))
    found = search.found()
    return found.rate or math.inf, found.load


def _trial_of(queue: Queue, seed: int) -> Callable[[float], bool]:
    objective = parse_objective(f"p99 < {queue.limit * 1000:g}ms", None)
    service = Simulated(queue, objective, 0.0, np.random.default_rng(seed))
    return lambda rate: service.carry_out(Proposal(rate, _BISECTED, 0.0, "bisect")).outcome is Outcome.HELD


def _plain(holds: Callable[[float], bool], start: float, to: float) -> tuple[float, float]:
    """Doubling, then bisection down to 1 %, one trial at each rate; the last rate that held, and the seconds of load."""
    low, high, load = start, start, 0.0
    while high < to and load < MOST_LOAD:
        load += _BISECTED
        if not holds(high):
            break
        low, high = high, high * 2
    while high > low * _CLOSE and load < MOST_LOAD:
        middle = math.sqrt(low * high)
        load += _BISECTED
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, load


# A real server


@contextlib.contextmanager
def queue_server(workers: int, seconds: float) -> Iterator[str]:
    """A server of its own that serves so many requests at a time, each for so many seconds; its URL."""
    command = [sys.executable, str(Path(__file__).with_name("queue_server.py")), str(workers), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the server did not start")
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _real(folder: Path, *, quick: bool) -> tuple[list[Series], list[str]]:
    (folder / "load.py").write_text(_FILE, encoding="utf-8")
    found: dict[str, list[float]] = {}
    loads: list[float] = []
    notes: list[str] = []
    with queue_server(WORKERS, SERVICE) as url:
        (folder / "experiment.yaml").write_text(_EXPERIMENT.format(url=url), encoding="utf-8")
        driver = make_driver(Load(locust={"file": folder / "load.py"}), work_directory=folder)
        driver.start()
        try:
            before = _throughput(driver, url)
            for repeat in range(1 if quick else 2):
                say(f"the real server, repeat {repeat + 1}")
                results = {"meshtrial capacity": _meshtrial(folder, repeat, loads)}
                if not repeat:  # minutes each; ours is the one to be judged
                    results["plain bisection"] = _plain(lambda rate: _holds(driver, url, rate), START, TO)[0]
                if not quick and tool("k6") and not repeat:
                    results["k6 ramp"] = _k6(folder, url)
                after = _throughput(driver, url)
                truth, before = fmean([before, after]), after
                found.setdefault("saturated", []).append(truth)
                for who, rate in results.items():
                    found.setdefault(who, []).append(100 * abs(rate / truth - 1))
        finally:
            driver.close()
    say("")
    if "k6 ramp" not in found:
        notes.append("k6 is not installed here, or was left out by --quick.")
    notes.append(f"Load of one search of the real server: {min(loads):.0f} to {max(loads):.0f} s.")
    saturated = Series(
        f"real server, {WORKERS} workers of {SERVICE * 1000:g} ms: throughput", "/s", tuple(found.pop("saturated"))
    )
    rows = [Series(f"- {who}: error", "%", tuple(errors)) for who, errors in found.items()]
    return [saturated, rows[0].aimed(REAL_AIM), *rows[1:]], notes


def _throughput(driver: Driver, url: str) -> float:
    """Requests that end in a second while more arrive than can be served, once the queue has grown."""
    ended: list[int] = []
    arrivals = Arrivals(rate="1/s").model_copy(update={"rate": _OVER * WORKERS / SERVICE, "max_in_flight": 10_000})
    driver.drive(
        WindowPlan(Target(url), _SATURATED, 1, arrivals=arrivals),
        lambda second: ended.append(sum(cell.requests for by in second.cells.values() for cell in by.values())),
    )
    return fmean(ended[2:])


def _holds(driver: Driver, url: str, rate: float) -> bool:
    arrivals = Arrivals(rate="1/s").model_copy(update={"rate": rate})
    whole = driver.drive(WindowPlan(Target(url), _BISECTED, 1, arrivals=arrivals)).whole()
    cells = [cell for by in whole.cells.values() for cell in by.values()]
    slow = sum(cell.response.count - cell.response.count_at_or_below(LIMIT * 1000) for cell in cells)
    return slow + whole.dropped <= 0.01 * max(1, whole.due)


def _meshtrial(folder: Path, repeat: int, loads: list[float]) -> float:
    experiment = prepared(load_experiment(folder / "experiment.yaml", overrides=Overrides(blocks=1)))
    done = run(experiment, RunOptions(results=folder / "results", seed=repeat), Silent(), method=CAPACITY)
    (search,) = done.document.variants[0].capacity_searches
    loads.append(search.load_s)
    return search.rate or math.inf


def _k6(folder: Path, url: str) -> float:
    """The rate that the ramp had reached when its threshold ended it, from how many requests it had made."""
    (folder / "ramp.js").write_text(_K6.format(url=url, seconds=_RAMP), encoding="utf-8")
    summary = folder / "k6.json"
    command = [
        tool("k6") or "k6",
        "run",
        "--quiet",
        "--no-usage-report",
        "--summary-export",
        str(summary),
        str(folder / "ramp.js"),
    ]
    subprocess.run(command, check=False, capture_output=True, timeout=2 * _RAMP)  # 99: a threshold failed
    metrics = json.loads(summary.read_text(encoding="utf-8"))["metrics"]
    made = metrics["iterations"]["count"] + metrics.get("dropped_iterations", {}).get("count", 0)
    return math.sqrt(START**2 + 2 * made * (TO - START) / _RAMP)
