"""The load generators that are held against each other, each started as its users start it and read by what it reports."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runner.load.base import Target, WindowPlan
from runner.load.drivers import make_driver
from runner.results.histogram import Histogram
from runner.spec.load_profile import Arrivals, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runner.load.base import Driver

QUANTILES = (50, 75, 95, 99)
SLOW = 0.09
"""Seconds from which an answer counts as one that was delayed by 100 ms."""
_LIMIT = 180
_FILE = """
from locust import {user_class}, constant_throughput, task

class Visitor({user_class}):
    wait_time = constant_throughput(10)

    @task
    def page(self):
        self.client.get("/")
"""
_K6 = """
import http from 'k6/http';
import {{ Counter }} from 'k6/metrics';
const aborted = new Counter('aborted'), slow = new Counter('slow');
export const options = {{ discardResponseBodies: true, summaryTrendStats: {quantiles}, scenarios: {{ load: {{
  executor: 'constant-arrival-rate', rate: {rate}, timeUnit: '1s', duration: '{seconds}s', preAllocatedVUs: 100, maxVUs: 400 }} }} }};
export default function () {{
  const answer = http.get('{url}');
  aborted.add(answer.status === 503 ? 1 : 0);
  slow.add(answer.timings.duration >= {slow} ? 1 : 0);
}}
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a generator says of its load.

    Attributes:
        requests: how many were answered.
        quantiles: milliseconds by percentage, of `QUANTILES`.
        aborted: how many were answered with 503.
        slow: how many took `SLOW` or longer.
    """

    requests: int
    quantiles: Mapping[int, float]
    aborted: int
    slow: int


def tool(name: str) -> str | None:
    """Where a program is: on PATH, or where the tests keep theirs; None when it is not installed."""
    cache = Path.home() / ".cache" / "meshtrial" / "bin" / name
    return shutil.which(name) or (str(cache) if cache.is_file() else None)


@contextlib.contextmanager
def generators() -> Iterator[tuple[dict[str, Callable[[str, int, int], Seen]], list[str]]]:
    """All that are installed, by name, ours first; and a note for each that is not.

    Each takes a URL, a rate per second and a number of seconds. Ours are started once, as for a run; each of the others is
    a process of its own for every load.
    """
    found: dict[str, Callable[[str, int, int], Seen]] = {}
    notes = []
    if os.geteuid() == 0:
        notes.append("run as root, where meshtrial lets its generator go first; the other tools ask for no priority")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshtrial-bench-")))
        for kind in ("FastHttpUser", "HttpUser"):
            file = folder / f"{kind.lower()}.py"
            file.write_text(_FILE.format(user_class=kind), encoding="utf-8")
            driver = make_driver(Load.model_validate({"locust": {"file": str(file)}}), work_directory=folder / kind)
            stack.callback(driver.close)
            driver.start()
            found[f"meshtrial, {kind}"] = partial(_ours, driver)
        found["Locust, constant_throughput"] = partial(_locust, folder / "fasthttpuser.py")
        others: dict[str, tuple[str, Callable[..., Seen], tuple[Sequence[str], ...]]] = {
            "vegeta": ("vegeta", _vegeta, ()),
            "k6, constant-arrival-rate": ("k6", _k6, ()),
            "fortio -c 8": ("fortio", _fortio, (["-c", "8"],)),
            "fortio -c 64 -uniform -nocatchup": (
                "fortio",
                _fortio,
                (["-c", "64", "-uniform", "-nocatchup"],),
            ),
        }
        for name, (program, run, arguments) in others.items():
            binary = tool(program)
            if binary:
                found[name] = partial(run, binary, *arguments)
            else:
                notes.append(f"{program} is not installed, so {name} is left out")
        yield found, notes


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LIMIT).stdout


def _ours(driver: Driver, url: str, rate: int, seconds: int) -> Seen:
    arrivals = Arrivals.model_validate({"rate": f"{rate}/s"})
    whole = driver.drive(WindowPlan(Target(url.rstrip("/")), seconds, 1, arrivals)).whole()
    by_status = whole.cells["/"]
    answered = Histogram.merged(cell.response for cell in by_status.values())
    return Seen(
        answered.count,
        {percent: (answered.quantile(percent / 100) or 0) / 1000 for percent in QUANTILES},
        by_status["503"].requests if "503" in by_status else 0,
        answered.count - round(answered.count_at_or_below(SLOW * 1e6)),
    )


def _vegeta(binary: str, url: str, rate: int, seconds: int) -> Seen:
    attack = [binary, "attack", f"-rate={rate}", f"-duration={seconds}s", "-workers=20", "-max-workers=400"]
    results = subprocess.run(
        attack, input=f"GET {url}\n".encode(), capture_output=True, check=True, timeout=_LIMIT
    ).stdout
    rows = subprocess.run(
        [binary, "encode", "-to=csv"], input=results, capture_output=True, check=True, timeout=_LIMIT
    ).stdout
    report = subprocess.run(
        [binary, "report", "-type=json"], input=results, capture_output=True, check=True, timeout=_LIMIT
    ).stdout
    answers = [(int(row[1]), int(row[2])) for row in csv.reader(io.StringIO(rows.decode()))]
    times = sorted(latency for _, latency in answers)
    told = json.loads(report)["latencies"]
    # its report has no 75th percentile: that one is of its own rows
    quantiles = {percent: told.get(f"{percent}th", times[-(-len(times) * percent // 100) - 1]) for percent in QUANTILES}
    return Seen(
        len(answers),
        {percent: value / 1e6 for percent, value in quantiles.items()},
        sum(code == 503 for code, _ in answers),
        sum(latency >= SLOW * 1e9 for latency in times),
    )


def _k6(binary: str, url: str, rate: int, seconds: int) -> Seen:
    with tempfile.TemporaryDirectory() as folder:
        script, summary = Path(folder) / "load.js", Path(folder) / "summary.json"
        quantiles = json.dumps([f"p({percent})" for percent in QUANTILES])
        script.write_text(
            _K6.format(quantiles=quantiles, rate=rate, seconds=seconds, url=url, slow=SLOW * 1000), encoding="utf-8"
        )
        environment = {**os.environ, "K6_NO_USAGE_REPORT": "true", "HOME": folder}
        command = [binary, "run", "--quiet", "--no-usage-report", "--summary-export", str(summary), str(script)]
        subprocess.run(command, capture_output=True, check=True, timeout=_LIMIT, env=environment)
        metrics = json.loads(summary.read_text(encoding="utf-8"))["metrics"]
    waited = metrics["http_req_duration"]
    return Seen(
        metrics["http_reqs"]["count"],
        {percent: waited[f"p({percent})"] for percent in QUANTILES},
        metrics["aborted"]["count"],
        metrics["slow"]["count"],
    )


def _fortio(binary: str, arguments: Sequence[str], url: str, rate: int, seconds: int) -> Seen:
    percentiles = ",".join(map(str, QUANTILES))
    command = [binary, "load", "-qps", str(rate), "-t", f"{seconds}s", "-p", percentiles, "-allow-initial-errors"]
    found = json.loads(_run([*command, "-json", "-", *arguments, url]))
    histogram = found["DurationHistogram"]
    return Seen(
        histogram["Count"],
        {int(item["Percentile"]): item["Value"] * 1000 for item in histogram["Percentiles"]},
        found["RetCodes"].get("503", 0),
        sum(bucket["Count"] for bucket in histogram["Data"] if bucket["End"] > SLOW),
    )


def _locust(file: Path, url: str, rate: int, seconds: int) -> Seen:
    users = str(rate // 10)
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", users, "-r", users]
    command += ["-t", f"{seconds}s", "-H", url.rstrip("/"), "--json", "--exit-code-on-error", "0"]
    text = _run([*command, "--stop-timeout", "5"])
    array = re.search(r"^\[$.*^\]$", text, re.DOTALL | re.MULTILINE)
    if array is None:
        raise RuntimeError(f"Locust printed no result: {text[-500:]}")
    found = json.loads(array[0])[0]
    times = {int(key): count for key, count in found["response_times"].items()}
    return Seen(
        found["num_requests"],
        {percent: _quantile(times, percent / 100) for percent in QUANTILES},
        found["num_failures"],
        sum(count for value, count in times.items() if value >= SLOW * 1000),
    )


def _quantile(counts: Mapping[int, int], share: float) -> float:
    left = sum(counts.values()) * share
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return float(value)
    return float(max(counts))
