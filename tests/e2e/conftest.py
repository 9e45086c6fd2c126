"""Whole commands, run as a user runs them, with short experiments of their own."""

import http.server
import os
import subprocess
import sys
import threading
import time
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


class Server:
    """Answers with 200, after `delay` seconds, and notes what was asked, with the moment."""

    def __init__(self):
        server = self
        self.delay = 0.0
        seen = self.seen = []
        moments = self.moments = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                moments.append(time.time())
                seen.append((self.path, self.headers["Host"]))
                time.sleep(server.delay)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers():
    """Two servers of this test's own."""
    found = [Server(), Server()]
    yield found
    for server in found:
        server.close()
