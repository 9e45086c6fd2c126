"""Whole commands, run as a user runs them, with short experiments of their own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

LOAD = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def page(self):
        with self.client.get("/productpage", catch_response=True) as response:
            if "currently unavailable" in (response.text or ""):
                response.request_meta["context"]["outcome"] = "something unavailable"
"""

DELAY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
  - fault: {delay: {percentage: {value: 100}, fixedDelay: 300ms}}
    route: [{destination: {host: details}}]
"""

EXPERIMENT = """
experiment: slow-details
question: Does a slow details service slow the page?
variants:
  as-it-is: {}
  slow-details: {apply: [delay.yaml]}
load:
  locust: {file: load.py}
  arrivals: {rate: 40/s}
  warmup: 0s
  duration: 2s
blocks: 1
checks:
  as-it-is: ["requests == 80", "p50 < 250ms", "status[200] == 80"]
  slow-details: ["requests == 80", "p50 >= 300ms", "proxy[productpage-v1 fault.delays_injected] == 80"]
"""


@dataclass
class Workshop:
    """A folder with an experiment, and the command line in it."""

    folder: Path
    environment: dict

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def start(self, *arguments, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "runner.cli.main", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, *arguments, timeout=120, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=timeout)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def workshop(tmp_path, own_state):
    folder = tmp_path / "work"
    folder.mkdir()
    shop = Workshop(folder, {**os.environ, "XDG_STATE_HOME": str(own_state), "COLUMNS": "200"})
    shop.write("load.py", LOAD)
    shop.write("delay.yaml", DELAY)
    shop.write("slow.yaml", EXPERIMENT)
    yield shop
    if list(own_state.glob("meshtrial/meshes/*")):
        shop.run("mesh", "down")
