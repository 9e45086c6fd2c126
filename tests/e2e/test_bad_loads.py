"""Loads that can't be: refused before anything starts where that can be known, else inconclusive or the driver's failure."""

import re
import resource
import shlex
import socket
import subprocess
import sys

import pytest

from runner import __version__
from runner.results.store import RunFolder

PLAIN = """
mesh: {none: {url: "URL"}}
variants:
  first: {}
  second: {}
load:
  locust: {file: page.py}
  arrivals: {rate: 40/s}
  warmup: 0s
  duration: 1s
blocks: 1
checks:
  first: ["error_rate < 50%"]
  second vs first: ["p50 <= +50%", "error_rate <= +50%"]
"""
PAGE = """
from locust import FastHttpUser, constant, task

class Visitor(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def page(self):
        self.client.get("/page")
"""
PLUGIN = """
import runner
runner.__version__ = "0.0.1"
from runner.load.child import agent
agent.install()
"""


@pytest.fixture
def shop(workshop, servers):
    workshop.write("page.py", PAGE)
    workshop.write("plain.yaml", PLAIN.replace("URL", servers[0].url))
    return workshop


def change(shop, *pairs):
    text = (shop.folder / "plain.yaml").read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    shop.write("plain.yaml", text)


def fewer_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))


REFUSED = {
    "more users than files": (
        ("  arrivals: {rate: 40/s}", "  users: 500"),
        ("plain.yaml:8:10: 500 users hold a connection each, and only 512 files may be open in a process of this machine; "
        "expected at most 448. Raise the limit with `ulimit -n`, or share it: load.locust.processes: 2"),
    ),
    "more in flight than files": (
        ("{rate: 40/s}", "{rate: 40/s, max_in_flight: 449}"),
        "plain.yaml:8:41: 449 tasks under way at once hold a connection each",
    ),
    "more in flight than the files of two workers": (
        ("{file: page.py}\n  arrivals: {rate: 40/s}", "{file: page.py, workers: 2}\n  arrivals: {rate: 40/s, max_in_flight: 900}"),
        ("plain.yaml:8:41: 900 tasks under way at once hold a connection each, and only 512 files may be open in a process of "
        "this machine, and 2 share the load; expected at most 896. Raise the limit with `ulimit -n`, or share it: load.locust.workers: 3"),
    ),
    "more connections of fortio than files": (
        ("  locust: {file: page.py}\n  arrivals: {rate: 40/s}", "  fortio: {connections: 450, qps: 0}"),
        "plain.yaml:7:25: 450 connections of fortio hold a connection each",
    ),
    "a stage of negative length": (
        ("{rate: 40/s}", "{stages: [{rate: 5/s, duration: 1s}, {rate: 5/s, duration: -2s}]}"),
        "plain.yaml:8:72: load.arrivals.stages.1.duration: '-2s' is not a duration such as 500ms, 2s or 3m: it is less than zero",
    ),
    "a stage of no length": (
        ("{rate: 40/s}", "{stages: [{rate: 5/s, duration: 0s}]}"),
        "plain.yaml:8:45: load.arrivals.stages.0.duration: must be more than zero",
    ),
    "an objective without a unit": (
        ("blocks: 1", 'blocks: 1\ncapacity: {objective: "p99 < 250"}'),
        'plain.yaml:12:30: "p99 < 250": 250 needs a unit; expected a duration such as 2s or 500ms. Write "250ms" or "250s"',
    ),
    "a latency across loops": (
        ("  second: {}", "  second: {load: {users: 3}}"),
        ('plain.yaml:14:22: "p50 <= +50%": first is an open loop (arrivals: latency counts from the moment a request was due), '
        "second a closed one"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_load_that_can_not_be_is_refused_before_anything_starts(shop, servers, name, command):
    pair, told = REFUSED[name]
    change(shop, pair)
    result = shop.run(command, "plain.yaml", preexec_fn=fewer_files)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"meshtrial: {told}"), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert servers[0].seen == []
    assert not (shop.folder / "results").exists()


def test_too_few_blocks_are_warned_of_wherever_one_looks(shop):
    change(shop, ("blocks: 1", "blocks: 6"), ("p50", "p99"), ("40/s", "30/s"))
    warnings = [
        "warning: plain.yaml:11:9: 6 blocks can't decide 2 comparisons: inconclusive with fewer than 7 blocks",
        (
            "warning: plain.yaml:14:22: comparing p99 takes 5000 answers in every trial, and this load gives about 30 in 1 s, so it "
            "will be inconclusive: it takes 2 min 47 s at this rate, or 5000/s"
        ),
    ]
    for command in ("validate", "plan"):
        result = shop.run(command, "plain.yaml")
        assert (result.returncode, result.stderr.splitlines()) == (0, warnings)
    result = shop.run("run", "plain.yaml", "--blocks", "1", "--duration", "500ms")
    assert result.returncode == 5
    told = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert told[0] == "warning: --blocks 1: 1 block can't decide 2 comparisons: inconclusive with fewer than 7 blocks"
    assert "this load gives about 15 in 500 ms" in told[1]
    assert len(told) == 2


def test_a_worker_of_another_version_is_refused_in_one_sentence(shop, servers):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    change(shop, ("{file: page.py}", f"{{file: page.py, workers: external, master: {{port: {port}}}}}"))
    folder = shop.folder / "elsewhere"
    folder.mkdir()
    plugin = shop.write("elsewhere/locust_plugin.py", PLUGIN)
    run = shop.start("run", "plain.yaml")
    waits = run.stderr.readline()
    command = shlex.split(waits.partition("start each with: ")[2])
    at = command.index("-f") + 1
    command[at] = f"{plugin},{shop.folder / 'page.py'}"
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=subprocess.STDOUT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (2, ""), err
    (told,) = err.splitlines()
    assert re.fullmatch(
        rf"meshtrial: the worker \S+ runs Meshtrial 0\.0\.1, and this is {re.escape(__version__)}\. "
        rf"Install Meshtrial {re.escape(__version__)} where it runs, and start it again",
        told,
    ), told
    assert worker.wait(20) == 1
    assert servers[0].seen == []
    assert not (shop.folder / "results").exists()


def document(shop, result):
    return RunFolder.open(shop.folder / result.stdout.strip().splitlines()[-1]).document()


def test_a_rate_that_is_not_reached_is_inconclusive(shop, servers):
    """A service that takes half a second, and only five requests may be under way: 10/s of 40/s."""
    servers[0].delay = 0.5
    change(shop, ("{rate: 40/s}", "{rate: 40/s, max_in_flight: 5}"))
    result = shop.run("run", "plain.yaml")
    assert result.returncode == 5, result.stderr
    found = document(shop, result)
    for trial in (trial for variant in found.variants for trial in variant.trials):
        assert {"rate_missed", "dropped"} <= {str(code) for code in trial.invalid_because}
    assert {str(check.outcome) for check in found.checks} == {"inconclusive"}
    assert "is valid (" in found.reason


@pytest.mark.parametrize(
    ("dies", "told"),
    [
        ('printf \'{"RunType": "HTTP", "StartTi\'', "fortio's result is not whole (exit code 0): Unterminated string"),
        ('printf \'{"RunType": "HT\'; kill -9 $$', "fortio's result is not whole (killed by SIGKILL)"),
        ("kill -9 $$", "fortio ended without a result (killed by SIGKILL)"),
    ],
)
def test_a_fortio_that_tells_only_half_is_the_drivers_failure_and_no_bad_input(shop, dies, told):
    program = shop.write(
        "fortio",
        f"""#!/bin/sh
case "$*" in
    version) echo 1.68.0;;
    *http*) {dies};;
    *) echo "Error: fortio load/curl needs a URL or destination" >&2;;
esac
""",
    )
    program.chmod(0o755)
    change(shop, ("  locust: {file: page.py}\n  arrivals: {rate: 40/s}", "  fortio: {binary: fortio, qps: 20}"))
    result = shop.run("run", "plain.yaml")
    assert result.returncode == 3, result.stderr
    assert told in result.stderr
    found = document(shop, result)
    assert (str(found.verdict), found.ended != "") == ("error", True)
    assert told in found.reason


SHAPE = """
from locust import LoadTestShape

class Steps(LoadTestShape):
    def tick(self):
        return (2, 2) if self.get_run_time() < 0.9 else (6, 6)
"""


def test_a_load_shape_is_followed_and_one_that_is_missing_is_bad_input(shop, servers):
    change(shop, ("  arrivals: {rate: 40/s}", "  users: shape"), ("duration: 1s", "duration: 2s"))
    result = shop.run("run", "plain.yaml")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(
        r"meshtrial: plain\.yaml:8:10: \S+/page\.py has no load shape; "
        r"expected a class that inherits from LoadTestShape, or users: 10\n",
        result.stderr,
    )
    assert servers[0].seen == []
    assert not (shop.folder / "results").exists()
    shop.write("page.py", PAGE + SHAPE)
    result = shop.run("run", "plain.yaml", "--only", "first")
    assert result.returncode in {0, 5}, result.stderr
    found = document(shop, result)
    (variant,) = found.variants
    assert (variant.closed_loop, variant.load.startswith("users by the loadfile's shape in a closed loop at")) == (
        True,
        True,
    )
    assert any("the rate changes within the window by design" in remark for remark in variant.trials[-1].remarks)
    assert not any(trial.invalid_because for trial in variant.trials)
    assert 0 < variant.requests == len(servers[0].seen)


def test_a_warm_up_before_stages_is_as_even_as_they_begin(shop, servers):
    """Stages that end high: a warm-up that ran them would have hit the service with their end."""
    stages = "{stages: [{rate: 40/s, duration: 1s}, {rate: 40/s, duration: 1s}, {rate: 200/s, duration: 500ms}]}"
    change(
        shop, ("{rate: 40/s}", stages), ("warmup: 0s", "warmup: 2s"), ("duration: 1s\nblocks", "duration: 2.5s\nblocks")
    )
    result = shop.run("run", "plain.yaml", "--only", "first")
    found = document(shop, result)
    (trial,) = [trial for variant in found.variants for trial in variant.trials if not trial.superseded]
    measured, warming = trial.requests, len(servers[0].seen) - sum(t.requests for v in found.variants for t in v.trials)
    assert measured == 20 + 40 + 60
    runs = sum(len(variant.trials) for variant in found.variants)
    assert warming == 60 * runs  # 30/s for 2 s: what the first two seconds of the stages send
