"""Thirty minutes of load: does memory stay flat?

One trial of `meshtrial run` that lasts half an hour, with 100 requests a second by `arrivals:` against an Envoy that answers by
itself, as a user would start it; beside it, at the same time and rate, plain Locust (20 users at constant_throughput(5)).
The resident memory of three processes is read every few seconds: the runner, which keeps the series of every second for the
report (those of the past packed), its generator (Locust with the driver's hand inside), and plain Locust. The slope is Theil
and Sen's (the median of all pairs' slopes, with its 95 % interval), from the end of the warm-up and a start of one minute on. A
runner that kept every request would hold 180,000 of them at the end; what it keeps for each second shows as its slope.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.bare import BareEnvoys
from bench.command import MESHTRIAL
from bench.cpu import cpu_seconds
from bench.measure import Result, Table, figure, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_RATE = 100
_FILE = """
from locust import FastHttpUser, constant_throughput, task

class Visitor(FastHttpUser):
    wait_time = constant_throughput(5)

    @task
    def page(self):
        self.client.get("/")
"""
_EXPERIMENT = """
experiment: memory
mesh: {{none: {{url: "{url}"}}}}
variants: {{steady: {{}}}}
load:
  locust: {{file: visitor.py}}
  arrivals: {{rate: {rate}/s}}
  warmup: 5s
  duration: {seconds}s
blocks: 1
"""
_COUNTER = "http.bare.downstream_rq_completed"


@dataclass(slots=True)
class _Watched:
    """A process and what it held.

    Attributes:
        what: as the table says it.
        process: the process.
        held: moments (seconds since sampling began) and resident MB.
        cpu: seconds on a core while it was watched.
    """

    what: str
    process: psutil.Process
    held: list[tuple[float, float]] = field(default_factory=list)
    cpu: float = 0.0


@contextlib.contextmanager
def _started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "printed.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _generator_of(runner: subprocess.Popen[bytes]) -> psutil.Process:
    """The runner's Locust, once it is up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process(runner.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("locust" in word for word in child.cmdline()):
                    return child
        if runner.poll() is not None:
            raise RuntimeError(f"meshtrial run ended early with {runner.returncode}")
        time.sleep(0.2)
    raise RuntimeError("meshtrial run started no Locust")


def _sample(watched: Sequence[_Watched], seconds: float, every: float, kept: Path) -> None:
    """Read what they hold every few seconds; `kept` has the samples should the benchmark end early."""
    began = time.monotonic()
    before = [cpu_seconds([one.process]) for one in watched]
    number = 0
    while time.monotonic() - began < seconds:
        for one in watched:
            one.held.append((time.monotonic() - began, one.process.memory_info().rss / 1e6))
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps([one.held[-1] for one in watched]) + "\n")
        say(f"{watched[0].held[-1][0]:.0f} of {seconds:.0f} s")
        number += 1
        time.sleep(max(0.0, began + number * every - time.monotonic()))
    for one, earlier in zip(watched, before, strict=True):
        one.cpu = cpu_seconds([one.process]) - earlier
    say("")


def _row(one: _Watched) -> tuple[str, ...]:
    from scipy.stats import theilslopes  # noqa: PLC0415 - slow to import, and memory of the benchmark itself

    moments, held = zip(*one.held, strict=True)
    slope, _, low, high = theilslopes(held, [moment / 3600 for moment in moments], alpha=0.95)
    took = moments[-1] - moments[0]
    return (
        one.what,
        figure(held[0], "MB"),
        figure(held[-1], "MB"),
        figure(max(held), "MB"),
        f"{slope:+.2f} MB/h",
        f"{low:+.2f} to {high:+.2f} MB/h",
        f"{one.cpu / took:.1%} of a core",
    )


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    seconds, start, every = (20, 3.0, 0.5) if quick else (1800, 60.0, 5.0)
    with (
        tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name,
        BareEnvoys(Path(name), number=2, workers=1) as bare,
        contextlib.ExitStack() as stack,
    ):
        folder, url = Path(name), bare.envoys[0].url
        (folder / "visitor.py").write_text(_FILE, encoding="utf-8")
        (folder / "memory.yaml").write_text(
            _EXPERIMENT.format(url=url, rate=_RATE, seconds=seconds + start + 10), encoding="utf-8"
        )
        locust = [sys.executable, "-m", "locust", "-f", "visitor.py", "--headless", "--only-summary"]
        locust += ["-H", bare.envoys[1].url, "-u", "20", "-r", "20"]
        plain = stack.enter_context(_started(locust, folder))
        runner = stack.enter_context(_started([MESHTRIAL, "run", "memory.yaml", "--results", "results"], folder))
        generator = _generator_of(runner)
        time.sleep(5 + start)
        watched = [
            _Watched("meshtrial's runner", psutil.Process(runner.pid)),
            _Watched("its generator", generator),
            _Watched("plain Locust", psutil.Process(plain.pid)),
        ]
        before = [envoy.counter(_COUNTER) for envoy in bare.envoys]
        kept = Path(tempfile.gettempdir()) / f"meshtrial-memory-{os.getpid()}.jsonl"
        _sample(watched, seconds, every, kept)
        ours, theirs = (envoy.counter(_COUNTER) - earlier for envoy, earlier in zip(bare.envoys, before, strict=True))
    kept.unlink()
    rows = [_row(one) for one in watched]
    head = ("", "first", "last", "most", "slope", "95 % interval of the slope", "CPU")
    number = len(watched[0].held)
    return Result(
        tables=[Table(f"Resident memory over {watched[0].held[-1][0] / 60:.1f} minutes, {number} samples", head, rows)],
        notes=[f"{ours:,} requests by meshtrial and {theirs:,} by plain Locust while memory was read"],
    )
