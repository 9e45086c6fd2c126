"""A server that stops for 200 ms every two seconds, as each load generator reports it.

Two hundred requests a second for twenty seconds by a schedule: arithmetic says p95 = 100 ms and p99 = 180 ms (see
`bench/stall_server.py`), whoever asks. A generator that waits with its server sends less and reports less. Ours with
FastHttpUser and with HttpUser stand beside vegeta, k6 (constant arrival rate), fortio (its defaults, and `-uniform
-nocatchup`) and plain Locust (20 users at constant_throughput(10)); one that is not installed is left out and named.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import Result, Sample, ratio, series, side_by_side
from runner.load.base import Target, WindowPlan
from runner.load.drivers import make_driver
from runner.spec.model import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATE = 200
SECONDS = 20
QUICK_SECONDS = 6
REPEATS = 5

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
export const options = {{ discardResponseBodies: true, summaryTrendStats: ['p(95)', 'p(99)'], scenarios: {{ load: {{
  executor: 'constant-arrival-rate', rate: {rate}, timeUnit: '1s', duration: '{seconds}s', preAllocatedVUs: 100, maxVUs: 400 }} }} }};
export default function () {{ http.get('{url}'); }}
"""
_SENT, _P95, _P99 = "sent of all", "p95", "p99"


def _tool(name: str) -> str | None:
    cache = Path.home() / ".cache" / "meshtrial" / "bin" / name
    return shutil.which(name) or (str(cache) if cache.is_file() else None)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bench.stall_server", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError("the server did not start")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


def _run(command: list[str], **options: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=180, **options).stdout


def _ours(driver_of: dict[str, object], kind: str, url: str, seconds: int) -> Sample:
    window = driver_of[kind].drive(WindowPlan(Target(url.rstrip("/")), seconds, 1, _arrivals()))
    whole = window.whole()
    response = whole.cell("/", "200").response
    return {
        _SENT: response.count / (RATE * seconds),
        _P95: (response.quantile(0.95) or 0) / 1000,
        _P99: (response.quantile(0.99) or 0) / 1000,
    }


def _arrivals():
    from runner.spec.model import Arrivals  # noqa: PLC0415 - a type of the experiment file

    return Arrivals.model_validate({"rate": f"{RATE}/s"})


def _vegeta(binary: str, url: str, seconds: int) -> Sample:
    attack = [binary, "attack", f"-rate={RATE}", f"-duration={seconds}s", "-workers=20", "-max-workers=400"]
    results = subprocess.run(attack, input=f"GET {url}\n".encode(), capture_output=True, check=True, timeout=180).stdout
    report = subprocess.run(
        [binary, "report", "-type=json"], input=results, capture_output=True, check=True, timeout=60
    )
    found = json.loads(report.stdout)
    return {
        _SENT: found["requests"] / (RATE * seconds),
        _P95: found["latencies"]["95th"] / 1e6,
        _P99: found["latencies"]["99th"] / 1e6,
    }


def _k6(binary: str, url: str, seconds: int) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        script, summary = Path(folder) / "load.js", Path(folder) / "summary.json"
        script.write_text(_K6.format(rate=RATE, seconds=seconds, url=url))
        environment = {**os.environ, "K6_NO_USAGE_REPORT": "true", "HOME": folder}
        command = [binary, "run", "--quiet", "--no-usage-report", "--summary-export", str(summary), str(script)]
        subprocess.run(command, capture_output=True, check=True, timeout=180, env=environment)
        metrics = json.loads(summary.read_text())["metrics"]
    waited = metrics["http_req_duration"]
    return {_SENT: metrics["http_reqs"]["count"] / (RATE * seconds), _P95: waited["p(95)"], _P99: waited["p(99)"]}


def _fortio(binary: str, arguments: list[str], url: str, seconds: int) -> Sample:
    command = [binary, "load", "-qps", str(RATE), "-t", f"{seconds}s", "-p", "95,99", "-json", "-", *arguments, url]
    found = json.loads(_run(command))
    histogram = found["DurationHistogram"]
    values = {item["Percentile"]: item["Value"] * 1000 for item in histogram["Percentiles"]}
    return {_SENT: histogram["Count"] / (RATE * seconds), _P95: values[95], _P99: values[99]}


def _locust(file: Path, url: str, seconds: int) -> Sample:
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", "20", "-r", "20"]
    command += [
        "-t",
        f"{seconds}s",
        "-H",
        url.rstrip("/"),
        "--json",
        "--exit-code-on-error",
        "0",
        "--stop-timeout",
        "5",
    ]
    text = _run(command)
    found = json.loads(re.search(r"\[.*\]", text, re.DOTALL)[0])[0]
    times = {int(key): count for key, count in found["response_times"].items()}
    return {_SENT: found["num_requests"] / (RATE * seconds), _P95: _quantile(times, 0.95), _P99: _quantile(times, 0.99)}


def _quantile(counts: dict[int, int], share: float) -> float:
    left = sum(counts.values()) * share
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return float(value)
    return float(max(counts))


def measure(*, quick: bool = False) -> Result:
    """Run all of them side by side."""
    seconds, repeats = (QUICK_SECONDS, 2) if quick else (SECONDS, REPEATS)
    notes = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshtrial-bench-")))
        url = stack.enter_context(_server())
        drivers: dict[str, object] = {}
        for kind in ("FastHttpUser", "HttpUser"):
            file = folder / f"{kind.lower()}.py"
            file.write_text(_FILE.format(user_class=kind))
            load = Load.model_validate({"locust": {"file": str(file)}})
            driver = make_driver(load, work_directory=folder / kind)
            stack.callback(driver.close)
            driver.start()
            drivers[kind] = driver
        arms: dict[str, Callable[[], Sample]] = {
            "meshtrial, FastHttpUser": partial(_ours, drivers, "FastHttpUser", url, seconds),
            "meshtrial, HttpUser": partial(_ours, drivers, "HttpUser", url, seconds),
            "Locust, constant_throughput": partial(_locust, folder / "fasthttpuser.py", url, seconds),
        }
        others: dict[str, tuple[str, Callable[[str], Callable[[], Sample]]]] = {
            "vegeta": ("vegeta", lambda tool: partial(_vegeta, tool, url, seconds)),
            "k6, constant-arrival-rate": ("k6", lambda tool: partial(_k6, tool, url, seconds)),
            "fortio -c 8": ("fortio", lambda tool: partial(_fortio, tool, ["-c", "8"], url, seconds)),
            "fortio -c 64 -uniform -nocatchup": (
                "fortio",
                lambda tool: partial(
                    _fortio, tool, ["-c", "64", "-uniform", "-nocatchup", "-r", "0.00005"], url, seconds
                ),
            ),
        }
        for name, (tool, make) in others.items():
            binary = _tool(tool)
            if binary:
                arms[name] = make(binary)
            else:
                notes.append(f"{tool} is not installed, so {name} is left out")
        found = side_by_side(arms, repeats, warm=False)
    rows = []
    for name in arms:
        ours = name == "meshtrial, FastHttpUser"
        rows.append(
            series(found, name, _SENT, "x", f"{name}: sent").aimed(">= 1")
            if ours
            else series(found, name, _SENT, "x", f"{name}: sent")
        )
        for quantity, aim in ((_P95, "<= 108"), (_P99, "<= 189")):
            row = series(found, name, quantity, "ms", f"{name}: {quantity}")
            rows.append(row.aimed(aim) if ours else row)
    if "vegeta" in found:
        for quantity in (_P95, _P99):
            mine = series(found, "meshtrial, FastHttpUser", quantity, "ms")
            rows.append(ratio(f"ours to vegeta: {quantity}", mine, series(found, "vegeta", quantity, "ms")))
    return Result(rows, [f"the truth by arithmetic: p95 = 100 ms, p99 = 180 ms, {RATE * seconds} requests", *notes])
