"""What a trial takes beside its warm-up and its measured window.

Whole runs of a fast experiment (Bookinfo, two variants with routing rules that differ by a header, 30 arrivals a second,
one second of warm-up and one of measurement), watched through the run's own progress reports: from one trial's `apply`
to the next one's, less the two seconds. It holds the journal, applying and confirming on eight proxies, the requests
still under way at both edges, reading all counters twice, restoring, verifying, and writing the trial's file and
`run.json`. Against it stands the plainest trial there is: one `locust --headless -t 2s` of the same file against the
same mesh, its whole life less the load as its log has it (Locust's own timer stops some tenths of a second early), with
nothing applied, checked, read or kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import TYPE_CHECKING

from bench.measure import Result, Sample, Series, ratio, series, side_by_side
from runner.conduct.progress import Silent
from runner.conduct.run import RunOptions, run
from runner.mesh.local import launch
from runner.mesh.local.mesh import LocalMesh
from runner.spec.load import load_experiment

if TYPE_CHECKING:
    from runner.conduct.progress import Step

LOADFILE = """
from locust import FastHttpUser, constant, task

class Visitor(FastHttpUser):
    wait_time = constant(1)

    @task
    def page(self):
        self.client.get("/productpage")
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
  - headers: {response: {set: {x-variant: fresh}}}
    route: [{destination: {host: details}}]
"""
EXPERIMENT = """
experiment: dead-time
variants:
  as-it-is: {{}}
  header: {{apply: [rule.yaml]}}
load:
  locust: {{file: load.py}}
  arrivals: {{rate: 30/s}}
  warmup: 1s
  duration: 1s
blocks: {blocks}
"""
_LOAD = 2.0
"""Seconds of load in a trial, warm-up and window together."""
TOTAL = "beside its load"
PHASES = ("apply", "warm up", "measure", "collect", "restore")
WHAT = {
    "apply": "apply and confirm",
    "warm up": "the warm-up's edges: users made, requests drained, counters read",
    "measure": "the window's edges: users made, requests drained",
    "collect": "counters and logs read",
    "restore": "restore, verify, judge, write",
}


class _Watcher(Silent):
    """Notes when every phase began."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    def step(self, step: Step) -> None:
        """A phase begins."""
        self.steps.append((step.phase, perf_counter()))

    def dead(self) -> Sample:
        """Mean seconds of a trial beside its load, whole and by phase; the last trial, which nothing follows, is left out."""
        spent: dict[str, list[float]] = {phase: [] for phase in PHASES}
        for (phase, began), (_, ended) in pairwise(self.steps):
            spent[phase].append(ended - began - (_LOAD / 2 if phase in {"warm up", "measure"} else 0.0))
        complete = len(spent["restore"])
        by_phase = {phase: fmean(values[:complete]) for phase, values in spent.items()}
        return {TOTAL: sum(by_phase.values()), **by_phase}


def ours(experiment: Path, results: Path) -> Sample:
    """One run of an experiment, with what its trials took beside their load."""
    watcher = _Watcher()
    done = run(load_experiment(experiment), RunOptions(results=results, seed=1), watcher)
    if done.error is not None:
        raise done.error
    return watcher.dead()


def raw(loadfile: Path, url: str) -> Sample:
    """One raw Locust process, with what it took beside its load."""
    command = [sys.executable, "-m", "locust", "-f", str(loadfile), "--headless", "--only-summary"]
    command += ["-u", "10", "-r", "10", "-t", f"{_LOAD:.0f}s", "-H", url]
    began = perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return {
        TOTAL: perf_counter() - began - (_moment(said, "run-time limit reached") - _moment(said, "All users spawned"))
    }


def _moment(log: str, words: str) -> float:
    """When Locust logged something, in seconds since the epoch."""
    line = next(line for line in log.splitlines() if words in line)
    return datetime.strptime(line[1:24], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name:
        folder = Path(name)
        texts = {
            "load.py": LOADFILE,
            "rule.yaml": RULE,
            "dead-time.yaml": EXPERIMENT.format(blocks=1 if quick else 3),
        }
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        mesh = LocalMesh.start("bookinfo", owned=False)
        try:
            arms = {
                "a trial": lambda: ours(folder / "dead-time.yaml", folder / "results"),
                "a raw Locust process": lambda: raw(folder / "load.py", mesh.gateway_url()),
            }
            found = side_by_side(arms, 2 if quick else 5, warm=not quick)
        finally:
            mesh.leave_running()
            launch.end(mesh.instance)
    mine, plain = (series(found, name, TOTAL, "s") for name in arms)
    phases = [in_milliseconds(series(found, "a trial", phase, "s", f"- {WHAT[phase]}")) for phase in PHASES]
    return Result([mine.aimed("<= 0.5"), *phases, plain, ratio("trial to raw process", mine, plain)])


def in_milliseconds(seconds: Series) -> Series:
    """The same in another unit."""
    return Series(seconds.what, "ms", tuple(value * 1000 for value in seconds.values))
