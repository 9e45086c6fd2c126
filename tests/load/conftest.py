"""A real server to put under load, and drivers that are closed whatever happens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.load.base import Target, WindowPlan
from runner.load.drivers import make_driver
from runner.spec.load_profile import Arrivals, Load

SERVER = Path(__file__).with_name("observed_server.py")


@dataclass
class Server:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:  # noqa: S310 - its own server
            return response.read()

    def seen(self, path: str | None = None) -> list[dict]:
        everything = json.loads(self.ask("/__seen"))
        return [one for one in everything if path is None or one["path"] == path]


def start_server(*arguments: str) -> tuple[subprocess.Popen, int]:
    process = subprocess.Popen(
        [sys.executable, str(SERVER), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, int(process.stdout.readline())


def end_server(process: subprocess.Popen) -> None:
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


@pytest.fixture(scope="session")
def run_server():
    """Start a server with arguments and get its port; all end with the session."""
    processes = []

    def run(*arguments: str) -> int:
        process, port = start_server(*arguments)
        processes.append(process)
        return port

    yield run
    for process in processes:
        end_server(process)


@pytest.fixture(scope="session")
def server_process(run_server):
    return Server(run_server())


@pytest.fixture
def server(server_process):
    server_process.ask("/__forget")
    return server_process


@pytest.fixture
def drive(tmp_path, server):
    """Make a driver from a loadfile's text: `driver(text, **locust_keys)`; all are closed at the end."""
    drivers = []

    def make(text: str, *, name: str = "loadfile_under_test.py", **keys):
        file = tmp_path / "files" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
        load = Load.model_validate({"locust": {"file": file, **keys}})
        driver = make_driver(load, work_directory=tmp_path / "work")
        drivers.append(driver)
        return driver

    yield make
    for driver in drivers:
        driver.close()


def plan(server, *, rate: str | None = "50/s", seconds: float = 1.0, users: int | None = None, seed: int = 1, **more):
    """A window; `arrivals` in `more` overrides the rate."""
    arrivals = more.pop("arrivals", None)
    if users is None and arrivals is None:
        arrivals = {"rate": rate, **more.pop("profile", {})}
    headers = more.pop("headers", {})
    return WindowPlan(
        target=Target(url=more.pop("url", None) or server.url, headers=headers, tls=more.pop("tls", None)),
        seconds=seconds,
        seed=seed,
        arrivals=Arrivals.model_validate(arrivals) if arrivals else None,
        users=users,
        **more,
    )


@pytest.fixture
def plan_for(server):
    """`plan` for the server of this test."""

    def make(**keys):
        return plan(server, **keys)

    return make


@pytest.fixture
def serve_fortio(fortio):
    """Start fortio's own server with arguments and get the addresses of its HTTP and its gRPC port."""
    processes = []

    def serve(*arguments: str) -> tuple[str, str]:
        ports = ("-http-port", "127.0.0.1:0", "-grpc-port", "127.0.0.1:0")
        off = [part for name in ("tcp", "udp", "redirect") for part in (f"-{name}-port", "disabled")]
        process = subprocess.Popen(
            [fortio, "server", *ports, *off, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        processes.append(process)
        found = {}
        while len(found) < 2:
            line = process.stderr.readline()
            assert line, "fortio's server ended"
            if match := re.search(r"(http|grpc)\b.* server listening on tcp ([\d.]+:\d+)", line):
                found[match[1]] = match[2]
        return found["http"], found["grpc"]

    yield serve
    for process in processes:
        process.kill()
        process.wait(10)
        process.stderr.close()


@pytest.fixture
def fortio_server(serve_fortio):
    """fortio's own server: the addresses of its HTTP and its gRPC port."""
    return serve_fortio()
